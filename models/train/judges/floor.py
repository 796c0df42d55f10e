"""The floor under every judge: logistic regression on hashed n-grams, one output a head, trained on the same rows.

Features are the words, the pairs of words and the runs of 3 to 5 characters of the lower-cased response, hashed into
`2**BITS` columns, as TF-IDF (1 + log of the count, times log of rows over rows that have it) of length 1. Heads that
depend on the prompt also get the share of the response's and the prompt's words that the other has. Adagrad, log loss,
unknown heads masked, labels between 0 and 1 as they are. numpy only; some 60,000 rows train in a minute on one core.

    python -m train.judges.floor --rows 1000 --folds 5
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import sys
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import folds, metrics
from .rows import DEFAULT_DATA, HELD_BACK, DataMissingError, Row, load
from .sampling import Sampler
from .sources import BARS, HEADS

BITS = 18
#: The label of a text shows early: what follows this many characters is not read.
MOST_CHARACTERS = 1000
_WORD = re.compile(r"\w+|[^\w\s]")

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Features:
    """Rows of sparse numbers: row i has the columns `columns[starts[i]:starts[i + 1]]` with `values` there.

    Every row has the column `2**BITS`, the constant, so that none is empty.
    """

    starts: Ints
    columns: NDArray[np.int32]
    values: Floats

    def __len__(self) -> int:
        return len(self.starts) - 1

    def take(self, ats: Sequence[int] | Ints) -> Features:
        """The rows at `ats`, in that order."""
        chosen = np.asarray(ats, dtype=np.int64)
        lengths = (self.starts[1:] - self.starts[:-1])[chosen]
        starts = np.concatenate(([0], np.cumsum(lengths)))
        places = np.arange(starts[-1]) - np.repeat(starts[:-1] - self.starts[chosen], lengths)
        return Features(starts, self.columns[places], self.values[places])


def _hashed(text: str) -> NDArray[np.int64]:
    """The columns of a text's n-grams, one for each occurrence."""
    text = " ".join(text.lower().split())[:MOST_CHARACTERS]
    words = _WORD.findall(text)
    grams = [zlib.crc32(word.encode("utf-8", "replace")) for word in words]
    grams += [zlib.crc32(f"{a} {b}".encode("utf-8", "replace"), 1) for a, b in itertools.pairwise(words)]
    found = [np.array(grams, dtype=np.uint64)]
    points = np.frombuffer(f" {text} ".encode("utf-32-le", "replace"), dtype=np.uint32).astype(np.uint64)
    for length in (3, 4, 5):
        if len(points) < length:
            break
        run = np.full(len(points) - length + 1, length, dtype=np.uint64)
        for step in range(length):
            run = run * np.uint64(0x100000001B3) + points[step : len(points) - length + 1 + step]
        found.append(run * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(32))
    return (np.concatenate(found) & np.uint64((1 << BITS) - 1)).astype(np.int64)


def _overlap(row: Row) -> list[tuple[int, float]]:
    """Two columns behind the constant: shares of words in common, for heads that depend on the prompt."""
    said, asked = (set(_WORD.findall(text.lower()[:MOST_CHARACTERS])) for text in (row.response, row.prompt))
    both = len(said & asked)
    size = 1 << BITS
    return [(size + 1, both / len(said)), (size + 2, both / len(asked))] if said and asked else []


def features(rows: Sequence[Row]) -> Features:
    """The counts of each row's n-grams, as 1 + log(count): not yet weighted by rarity."""
    columns, values, lengths = [], [], []
    for row in rows:
        found, counts = np.unique(_hashed(row.response), return_counts=True)
        extra = [(1 << BITS, 1.0), *_overlap(row)]
        columns.append(np.concatenate((found, [column for column, _ in extra])).astype(np.int32))
        values.append(np.concatenate((1 + np.log(counts), [value for _, value in extra])).astype(np.float32))
        lengths.append(len(columns[-1]))
    starts = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    return Features(starts, np.concatenate(columns), np.concatenate(values))


def targets(rows: Sequence[Row], heads: Sequence[str] = HEADS) -> Floats:
    """Labels, shape (rows, heads), NaN where unknown."""
    out = np.full((len(rows), len(heads)), np.nan, dtype=np.float32)
    for at, row in enumerate(rows):
        for place, head in enumerate(heads):
            if head in row.labels:
                out[at, place] = row.labels[head]
    return out


class Floor:
    """One logistic regression a head over the same features.

    Args:
        passes: over the training rows.
        rate: Adagrad's learning rate.
        decay: pull of each touched weight towards 0.
    """

    def __init__(
        self, *, passes: int = 4, rate: float = 0.15, decay: float = 1e-6, batch: int = 256, seed: int = 0
    ):
        self._passes, self._rate, self._decay, self._batch, self._seed = passes, rate, decay, batch, seed
        self._rarity: Floats = np.zeros(0, dtype=np.float32)
        self._weights: Floats = np.zeros((0, 0), dtype=np.float32)

    def fit(self, counts: Features, labels: Floats) -> Floor:
        """Learn from `features` and `targets`; a head without labels stays at 0.5."""
        size = (1 << BITS) + 3
        seen = np.bincount(counts.columns, minlength=size)
        self._rarity = np.log((1 + len(counts)) / (1 + seen)).astype(np.float32) + 1
        self._rarity[1 << BITS :] = 1
        rows = self._weighted(counts)
        weights = np.zeros((size, labels.shape[1]), dtype=np.float32)
        squares = np.full_like(weights, 1e-3)
        order = np.random.default_rng(self._seed)
        for _ in range(self._passes):
            shuffled = order.permutation(len(rows))
            for start in range(0, len(shuffled), self._batch):
                ats = shuffled[start : start + self._batch]
                part, wanted = rows.take(ats), labels[ats]
                error = _sigmoid(_logits(part, weights)) - np.where(np.isnan(wanted), 0, wanted)
                error[np.isnan(wanted)] = 0
                spread = np.repeat(error, np.diff(part.starts), axis=0) * part.values[:, None]
                by_column = np.argsort(part.columns, kind="stable")
                touched, first = np.unique(part.columns[by_column], return_index=True)
                slope = np.add.reduceat(spread[by_column], first, axis=0) + self._decay * weights[touched]
                squares[touched] += slope**2
                weights[touched] -= self._rate * slope / np.sqrt(squares[touched])
        self._weights = weights
        return self

    def logits(self, counts: Features) -> Floats:
        """Shape (rows, heads): log odds of each head."""
        return _logits(self._weighted(counts), self._weights)

    def _weighted(self, counts: Features) -> Features:
        values = counts.values * self._rarity[counts.columns]
        grams = counts.columns < 1 << BITS
        # Length 1 over the n-grams alone: the constant and the overlap keep their own scale.
        lengths = np.sqrt(np.add.reduceat(np.where(grams, values, 0) ** 2, counts.starts[:-1]))
        scale = np.repeat(np.maximum(lengths, 1e-6), np.diff(counts.starts))
        return Features(
            counts.starts, counts.columns, np.where(grams, values / scale, values).astype(np.float32)
        )


def _logits(rows: Features, weights: Floats) -> Floats:
    out = np.empty((len(rows), weights.shape[1]), dtype=np.float32)
    for place in range(weights.shape[1]):
        out[:, place] = np.add.reduceat(weights[rows.columns, place] * rows.values, rows.starts[:-1])
    return out


def _sigmoid(logits: Floats) -> Floats:
    return (1 / (1 + np.exp(-np.clip(logits, -30, 30)))).astype(np.float32)


def by_source(rows: Sequence[Row], logits: Floats, heads: Sequence[str] = HEADS) -> dict[str, dict[str, Any]]:
    """For each head the measures of `metrics.summary`: ``{head: {"pooled": .., "pooled, both": .., source: ..}}``.

    `pooled` counts every row, among them whole sources of ordinary answers that are easy to tell from posts; `pooled,
    both` counts the sources that hold positives and negatives themselves, and is the stricter of the two.
    """
    labels = targets(rows, heads)
    names = np.array([row.source for row in rows])
    out: dict[str, dict[str, Any]] = {}
    for place, head in enumerate(heads):
        there = ~np.isnan(labels[:, place])
        if not there.any():
            continue
        each = {}
        both = np.zeros(len(rows), dtype=bool)
        for name in sorted(set(names[there])):
            rows_of = there & (names == name)
            each[str(name)] = metrics.summary(labels[rows_of, place], logits[rows_of, place])
            if each[str(name)]["roc_auc"] is not None:
                both |= rows_of
        out[head] = {
            "pooled": metrics.summary(labels[there, place], logits[there, place]),
            "pooled, both": metrics.summary(labels[both, place], logits[both, place]),
            **each,
        }
    return out


def sources_left_out(
    rows: Sequence[Row], *, count: int, size: int, seed: int = 0
) -> tuple[list[Row], Floats, list[dict[str, Any]]]:
    """Score every row by a floor that never saw its source.

    Args:
        size: rows a fold is trained on, drawn as `Sampler` does.

    Returns:
        the rows in the order of the folds, their logits, and for each fold what it left out and its times.
    """
    scored: list[Row] = []
    logits: list[Floats] = []
    notes = []
    for fold in folds.leave_sources_out(rows, count):
        start = time.monotonic()
        train, held = folds.parted(rows, fold)
        epoch = Sampler(train, size=size, seed=seed).epoch(0)
        floor = Floor(seed=seed).fit(features(epoch), targets(epoch))
        logits.append(floor.logits(features(held)))
        scored += held
        seconds = round(time.monotonic() - start, 1)
        notes.append(
            {"fold": fold.number, "left_out": sorted(fold.sources), "train": len(epoch), "seconds": seconds}
        )
    return scored, np.concatenate(logits), notes


def table(results: dict[str, dict[str, Any]]) -> str:
    """The measures as text, one line a head and source; `-` where only one class is there."""

    def number(value: float | None) -> str:
        return "-" if value is None else f"{value:.3f}"

    lines = [f"{'head':<11}{'source':<44}{'rows':>7}{'pos':>7}{'ROC-AUC':>9}{'PR-AUC':>8}"]
    for head, sources in results.items():
        lines += [
            f"{head:<11}{source:<44}{row['rows']:>7}{row['positives']:>7}"
            f"{number(row['roc_auc']):>9}{number(row['pr_auc']):>8}"
            for source, row in sources.items()
        ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="train.judges.floor", description=__doc__.split("\n", maxsplit=1)[0]
    )
    parser.add_argument(
        "--data", type=Path, default=DEFAULT_DATA, help="folder of the data (default: %(default)s)"
    )
    parser.add_argument("--rows", type=int, help="about so many rows of each file (default: all)")
    parser.add_argument(
        "--size", type=int, default=60_000, help="rows a fold trains on (default: %(default)s)"
    )
    parser.add_argument(
        "--folds", type=int, default=5, help="how often whole sources are left out; 0: held-back rows"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--include",
        nargs="*",
        choices=BARS,
        default=[],
        help="experiments only: rows that must not reach shipped weights",
    )
    parser.add_argument("--json", type=Path, help="write the measures there too")
    options = parser.parse_args(arguments)
    try:
        loaded = load(options.data, include=frozenset(options.include), limit=options.rows)
    except DataMissingError as error:
        print(error, file=sys.stderr)
        return 1
    if options.folds:
        rows, logits, notes = sources_left_out(
            loaded.rows, count=options.folds, size=options.size, seed=options.seed
        )
    else:
        epoch = Sampler(loaded.rows, size=options.size, seed=options.seed).epoch(0)
        rows = [row for row in loaded.rows if row.split in HELD_BACK]
        logits = Floor(seed=options.seed).fit(features(epoch), targets(epoch)).logits(features(rows))
        notes = [{"held_back": len(rows), "train": len(epoch)}]
    results = by_source(rows, logits)
    for note in notes:
        print(json.dumps(note))
    print(table(results))
    if options.json:
        options.json.write_text(json.dumps({"notes": notes, "heads": results}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
