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
            raise ValueError(f"{path}: no {', '.join(sorted(missing))}; write it with train.judges.scored.save")
        return Scored(
            keys=archive["keys"],
            sources=archive["sources"],
            labels=archive["labels"],
            logits=archive["logits"],
            heads=tuple(str(head) for head in archive["heads"]),
            fold=int(archive["fold"]),
        )


def joined(first: Sequence[Scored], second: Sequence[Scored]) -> tuple[Scored, Floats, NDArray[np.int64]]:
    """Rows that two models scored, each row once.

    Args:
        first: archives of one model, one a fold.
        second: archives of the other; rows that `first` lacks are left out, and the other way round.

    Returns:
        the first model's rows (`fold` is -1), the second model's logits for them, and each row's fold.

    Raises:
        ValueError: the archives' heads differ, or the models share no row.
    """
    heads = first[0].heads
    if any(part.heads != heads for part in (*first, *second)):
        raise ValueError("archives with different heads cannot be joined")
    place: dict[bytes, tuple[int, int]] = {}
    for number, part in enumerate(second):
        for at, name in enumerate(part.keys):
            place[name.tobytes()] = (number, at)
    taken: set[bytes] = set()
    chosen: list[tuple[int, int, int, int]] = []
    for number, part in enumerate(first):
        for at, name in enumerate(part.keys):
            digest = name.tobytes()
            if digest in place and digest not in taken:
                taken.add(digest)
                chosen.append((number, at, *place[digest]))
    if not chosen:
        raise ValueError("the two models scored no row in common")
    return (
        Scored(
            keys=np.array([first[n].keys[at] for n, at, _, _ in chosen]),
            sources=np.array([first[n].sources[at] for n, at, _, _ in chosen]),
            labels=np.stack([first[n].labels[at] for n, at, _, _ in chosen]),
            logits=np.stack([first[n].logits[at] for n, at, _, _ in chosen]),
            heads=heads,
            fold=-1,
        ),
        np.stack([second[n].logits[at] for _, _, n, at in chosen]),
        np.array([first[n].fold for n, _, _, _ in chosen], dtype=np.int64),
    )
