"""Judged rows on disk: logits of the encoder and of the floor beside the labels, and who is who."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from . import floor
from . import rows as data
from .rows import Row

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Scored:
    """Rows and what was said of them.

    Attributes:
        names: source of each row.
        keys: `rows.key` of prompt and response, in hexadecimal: the same row in two files has the same.
        facts: of each row what else slices need: split, whether it is an answer, its pair, its number of characters.
        labels, encoder, floor: shape (rows, heads); labels are NaN where unknown, the others logits.
    """

    names: NDArray[np.str_]
    keys: NDArray[np.str_]
    facts: list[dict[str, object]]
    labels: Floats
    encoder: Floats
    floor: Floats

    @classmethod
    def of(cls, rows: Sequence[Row], encoder: Floats, floor_logits: Floats) -> Scored:
        return cls(
            np.array([row.source for row in rows]),
            np.array([data.key(row.prompt, row.response).hex() for row in rows]),
            [
                {
                    "split": row.split,
                    "answer": row.answer,
                    "barred": row.barred,
                    "pair": row.pair,
                    "prompt": bool(row.prompt),
                    "characters": len(row.response),
                }
                for row in rows
            ],
            floor.targets(rows),
            encoder,
            floor_logits,
        )

    def save(self, path: Path) -> None:
        np.savez_compressed(
            path,
            names=self.names,
            keys=self.keys,
            facts=np.array([json.dumps(facts) for facts in self.facts]),
            labels=self.labels,
            encoder=self.encoder,
            floor=self.floor,
        )

    @classmethod
    def load(cls, path: Path) -> Scored:
        with np.load(path) as held:
            return cls(
                held["names"],
                held["keys"],
                [json.loads(str(facts)) for facts in held["facts"]],
                held["labels"],
                held["encoder"],
                held["floor"],
            )

    @classmethod
    def joined(cls, parts: Sequence[Scored]) -> Scored:
        return cls(
            np.concatenate([part.names for part in parts]),
            np.concatenate([part.keys for part in parts]),
            [facts for part in parts for facts in part.facts],
            np.concatenate([part.labels for part in parts]),
            np.concatenate([part.encoder for part in parts]),
            np.concatenate([part.floor for part in parts]),
        )

    def take(self, chosen: NDArray[np.bool_]) -> Scored:
        """The rows where `chosen` is true."""
        facts = [facts for facts, there in zip(self.facts, chosen, strict=True) if there]
        return Scored(
            self.names[chosen],
            self.keys[chosen],
            facts,
            self.labels[chosen],
            self.encoder[chosen],
            self.floor[chosen],
        )
