"""Hashed rows: the n-grams of many texts behind each other, and batches of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stonechat_agent.scoring.judging import hashing
from train.judges.rows import Row

Floats = NDArray[np.float32]
Places = NDArray[np.int64]
Values = NDArray[np.int32]


@dataclass(frozen=True)
class Bag:
    """The buckets of many texts: those of text i are `values[starts[i]:starts[i + 1]]`."""

    values: Values
    starts: Places

    @classmethod
    def of(cls, texts: Sequence[Values]) -> Bag:
        starts = np.concatenate(([0], np.cumsum([len(text) for text in texts]))).astype(np.int64)
        return cls(np.concatenate([*texts, np.zeros(0, np.int32)]), starts)

    def at(self, ats: Places) -> Bag:
        """The texts at `ats`."""
        values, lengths, _ = self.take(ats, 0, None)
        return Bag(values, np.concatenate(([0], np.cumsum(lengths))))

    def take(self, ats: Places, most: int, rng: np.random.Generator | None) -> tuple[Values, Places, Places]:
        """The buckets of the texts at `ats` behind each other, how many of each are there, and how many it has.

        With `rng`, of a text with more than `most` so many are drawn: what a long text costs in training is bounded.
        """
        whole = self.starts[ats + 1] - self.starts[ats]
        lengths = whole if rng is None else np.minimum(whole, most)
        offsets = np.cumsum(lengths) - lengths
        within = np.arange(lengths.sum()) - np.repeat(offsets, lengths)
        if rng is not None:
            drawn = np.repeat(whole > most, lengths)
            within[drawn] = (rng.random(int(drawn.sum())) * np.repeat(whole, lengths)[drawn]).astype(np.int64)
        return self.values[np.repeat(self.starts[ats], lengths) + within], lengths, whole


@dataclass(frozen=True)
class Hashed:
    """What `hashing.feed` gives, of many pairs and not padded."""

    answer_words: Bag
    answer_pieces: Bag
    prompt_words: Bag
    prompt_pieces: Bag
    measures: Floats

    def __len__(self) -> int:
        return len(self.measures)

    def fed(self, at: int) -> dict[str, NDArray[np.generic]]:
        """The graph's input for one row, as `hashing.feed` makes it."""
        bags = ("answer_words", "answer_pieces", "prompt_words", "prompt_pieces")
        rows: dict[str, Bag] = {name: getattr(self, name) for name in bags}
        fed = {
            name: hashing.padded([bag.values[bag.starts[at] : bag.starts[at + 1]]])
            for name, bag in rows.items()
        }
        return {**fed, "measures": self.measures[at : at + 1]}

    def at(self, ats: Places) -> Hashed:
        """The rows at `ats`."""
        return Hashed(
            self.answer_words.at(ats),
            self.answer_pieces.at(ats),
            self.prompt_words.at(ats),
            self.prompt_pieces.at(ats),
            self.measures[ats],
        )


def hashed(pairs: Sequence[tuple[str, str]], spec: hashing.Spec) -> Hashed:
    """Hash (prompt, answer) pairs as the agent does; about 3,000 a second."""
    read = [hashing.read_pair(prompt, answer, spec) for prompt, answer in pairs]
    measures = [hashing.measured(asked, said) for asked, said in read]
    return Hashed(
        Bag.of([said.words for _, said in read]),
        Bag.of([said.pieces for _, said in read]),
        Bag.of([asked.words for asked, _ in read]),
        Bag.of([asked.pieces for asked, _ in read]),
        np.array(measures, np.float32).reshape(len(read), len(hashing.MEASURES)),
    )


def of_rows(rows: Sequence[Row], spec: hashing.Spec) -> Hashed:
    return hashed([(row.prompt, row.response) for row in rows], spec)
