"""The scores of rows that a model never saw, in a file: what folds give and what comes after them reads.

One NumPy archive a fold and model, without any text::

    keys     16 bytes a row: `rows.key` of source, prompt and response; equal rows of two archives share it
    sources  name of each row's source
    labels   float32 (rows, heads), NaN where unknown
    logits   float32 (rows, heads), NaN where the model has no such head
    heads    names of the columns
    fold     number of the fold that left the rows' sources out
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .floor import targets
from .rows import Row, key
from .sources import HEADS

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Scored:
    """What an archive holds; see the module's docstring."""

    keys: NDArray[np.void]
    sources: NDArray[np.str_]
    labels: Floats
    logits: Floats
    heads: tuple[str, ...]
    fold: int


def save(path: Path, rows: Sequence[Row], logits: Floats, *, fold: int, heads: Sequence[str] = HEADS) -> None:
    """Write the logits of `rows`, shape (rows, heads).

    Raises:
        ValueError: the shape does not fit.
    """
    if logits.shape != (len(rows), len(heads)):
        raise ValueError(f"logits {logits.shape}: expected ({len(rows)}, {len(heads)})")
    digests = b"".join(key(row.source, row.prompt, row.response) for row in rows)
    np.savez_compressed(
        path,
        keys=np.frombuffer(digests, dtype="V16"),
        sources=np.array([row.source for row in rows], dtype=np.str_),
        labels=targets(rows, heads),
        logits=logits.astype(np.float32),
        heads=np.array(heads, dtype=np.str_),
        fold=np.array(fold),
    )


def read(path: Path) -> Scored:
    """Read what `save` wrote.

    Raises:
        ValueError: a field is missing; the message names it.
    """
    with np.load(path, allow_pickle=False) as archive:
        missing = {"keys", "sources", "labels", "logits", "heads", "fold"} - set(archive.files)
        if missing:
            raise ValueError(
                f"{path}: no {', '.join(sorted(missing))}; write it with train.judges.scored.save"
            )
        return Scored(
            keys=archive["keys"],
            sources=archive["sources"],
            labels=archive["labels"],
            logits=archive["logits"],
            heads=tuple(str(head) for head in archive["heads"]),
            fold=int(archive["fold"]),
        )


def joined(
    first: Sequence[Scored], *others: Sequence[Scored]
) -> tuple[Scored, list[Floats], NDArray[np.int64]]:
    """Rows that several models scored, each row once.

    Args:
        first: archives of one model, one a fold.
        others: archives of each other model; rows that one of the models lacks are left out.

    Returns:
        the first model's rows (`fold` is -1), each other model's logits for them, and each row's fold.

    Raises:
        ValueError: the archives' heads differ, or the models share no row.
    """
    heads = first[0].heads
    if any(part.heads != heads for parts in (first, *others) for part in parts):
        raise ValueError("archives with different heads cannot be joined")
    places = [
        {
            name.tobytes(): (number, at)
            for number, part in enumerate(parts)
            for at, name in enumerate(part.keys)
        }
        for parts in (first, *others)
    ]
    shared = [digest for digest in places[0] if all(digest in place for place in places)]
    if not shared:
        raise ValueError("the models scored no row in common")
    mine = [places[0][digest] for digest in shared]
    logits = [
        np.stack([parts[n].logits[at] for n, at in map(place.__getitem__, shared)])
        for parts, place in zip(others, places[1:], strict=True)
    ]
    return (
        Scored(
            keys=np.array([first[n].keys[at] for n, at in mine]),
            sources=np.array([first[n].sources[at] for n, at in mine]),
            labels=np.stack([first[n].labels[at] for n, at in mine]),
            logits=np.stack([first[n].logits[at] for n, at in mine]),
            heads=heads,
            fold=-1,
        ),
        logits,
        np.array([first[n].fold for n, _ in mine], dtype=np.int64),
    )
