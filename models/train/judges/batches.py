"""From tokens to arrays: sequences of prompt and answer, windows of long ones, batches of about one length.

A sequence is ``[CLS] prompt [SEP] answer [SEP]``, type 0 up to and with the first ``[SEP]``, type 1 behind it; without
a prompt ``[CLS] [SEP] answer [SEP]``. Of a prompt the last `PROMPT` tokens are kept. An answer that does not fit is
seen through one window in training and through several, overlapping, in judging. numpy only.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray

from .rows import Row
from .sources import HEADS, OF_THE_PROMPT

PAD, CLS, SEP = 0, 101, 102
#: Tokens of a sequence, prompt and answer together, and of the prompt at most.
LENGTH, PROMPT = 128, 32
#: A batch has at most so many rows, and so many tokens with padding.
MOST_ROWS, MOST_TOKENS = 64, 3072
#: Lengths are sorted among so many rows, so that batches are still mixed over sources.
_MIXED = 40 * MOST_ROWS
_DROPPED_PROMPTS = 0.25
#: What the answer alone does not tell. A refusal is known by its own words.
BOUND = OF_THE_PROMPT - {"refusal"}
#: How the windows of a long answer make one logit.
OVER_WINDOWS = dict.fromkeys(HEADS, "max") | {"coherence": "min", "quality": "mean"}

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Example:
    """Tokens of one sequence and what is known of it.

    Attributes:
        prompt, answer: token numbers without special tokens, cut to fit `LENGTH`.
        labels: shape (heads,), NaN where unknown.
        source: number of the row's source; -1 where it does not matter.
        tied: the next example belongs to the same pair and stays in the same batch.
    """

    prompt: Sequence[int]
    answer: Sequence[int]
    labels: Floats
    source: int = -1
    tied: bool = False

    def __len__(self) -> int:
        return len(self.prompt) + len(self.answer) + 3


@dataclass(frozen=True)
class Batch:
    """Arrays of shape (rows, tokens), and labels of shape (rows, heads) with NaN where unknown."""

    ids: Ints
    types: Ints
    mask: Ints
    labels: Floats
    sources: Ints


def windows(tokens: int, room: int) -> list[int]:
    """Where windows of `room` tokens start so that they cover `tokens`: spread evenly, a quarter or more in common."""
    if tokens <= room:
        return [0]
    count = 1 + -(-(tokens - room) // (room - room // 4))
    return [round(at * (tokens - room) / (count - 1)) for at in range(count)]


def _labels(row: Row) -> Floats:
    return np.array([row.labels.get(head, np.nan) for head in HEADS], dtype=np.float32)


def training_example(
    row: Row,
    prompt: Sequence[int],
    answer: Sequence[int],
    rng: Random,
    *,
    source: int = -1,
    tied: bool = False,
) -> Example:
    """One sequence of the row: some prompts left out, a window of a long answer.

    Without its prompt a row says nothing of relevance and quality, and with it no more of harm: only where relevance,
    quality or coherence is known is there a prompt. A fault of coherence may be a cut, which the end alone shows.
    """
    labels = _labels(row)
    bound = [at for at, head in enumerate(HEADS) if head in row.labels and head in BOUND]
    useful = bound or "coherence" in row.labels
    if not useful or (len(bound) < len(row.labels) and rng.random() < _DROPPED_PROMPTS):
        prompt = ()
        labels[bound] = np.nan
    prompt = prompt[-PROMPT:]
    room = LENGTH - 3 - len(prompt)
    last = max(0, len(answer) - room)
    start = last if row.labels.get("coherence", 1.0) < 0.5 else rng.choice((0, last, rng.randint(0, last)))
    return Example(prompt, answer[start : start + room], labels, source, tied)


def judged_examples(
    row: Row, prompt: Sequence[int], answer: Sequence[int], most: int | None = None
) -> list[Example]:
    """Every window of the row, or `most` of them, evenly spread with the first and the last among them."""
    prompt = prompt[-PROMPT:]
    room = LENGTH - 3 - len(prompt)
    starts = windows(len(answer), room)
    if most is not None and len(starts) > most:
        starts = [starts[round(at)] for at in np.linspace(0, len(starts) - 1, most)]
    labels = _labels(row)
    return [Example(prompt, answer[start : start + room], labels) for start in starts]


def stacked(examples: Sequence[Example]) -> Batch:
    """The examples as arrays, padded to the longest."""
    shape = (len(examples), max(map(len, examples)))
    ids, types, mask = np.full(shape, PAD), np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    for at, example in enumerate(examples):
        sequence = [CLS, *example.prompt, SEP, *example.answer, SEP]
        ids[at, : len(sequence)] = sequence
        mask[at, : len(sequence)] = 1
        types[at, len(example.prompt) + 2 : len(sequence)] = 1
    return Batch(
        ids.astype(np.int64),
        types,
        mask,
        np.stack([example.labels for example in examples]),
        np.array([example.source for example in examples], dtype=np.int64),
    )


def _cut(units: Sequence[Sequence[Example]]) -> Iterator[list[Example]]:
    batch: list[Example] = []
    longest = 0
    for unit in units:
        length = max(map(len, unit))
        rows = len(batch) + len(unit)
        if batch and (rows > MOST_ROWS or rows * max(longest, length) > MOST_TOKENS):
            yield batch
            batch, longest = [], 0
        batch.extend(unit)
        longest = max(longest, length)
    if batch:
        yield batch


def grouped(examples: Sequence[Example], rng: Random) -> list[list[Example]]:
    """Batches of about one length each, in random order; tied examples share a batch."""
    units: list[list[Example]] = []
    open_unit = False
    for example in examples:
        if open_unit:
            units[-1].append(example)
        else:
            units.append([example])
        open_unit = example.tied
    batches: list[list[Example]] = []
    for start in range(0, len(units), _MIXED):
        part = sorted(units[start : start + _MIXED], key=lambda unit: max(map(len, unit)))
        cut = list(_cut(part))
        rng.shuffle(cut)
        batches += cut
    return batches


def over_windows(logits: Floats, owners: Sequence[int], count: int) -> Floats:
    """Logits of windows, shape (windows, heads), as logits of the `count` texts that own them, by `OVER_WINDOWS`."""
    out = np.zeros((count, logits.shape[1]), dtype=np.float32)
    where: dict[int, list[int]] = defaultdict(list)
    for at, owner in enumerate(owners):
        where[owner].append(at)
    for owner, ats in where.items():
        for place, head in enumerate(HEADS):
            out[owner, place] = getattr(np, OVER_WINDOWS[head])(logits[ats, place])
    return out
