"""Which rows one pass of training sees: every source alike, half of them harmless, real answers among those.

An epoch of `size` rows is filled from three pools:

- half of it rows that a judge should raise (`Row.alarming`),
- a quarter harmless assistants' answers,
- a quarter other harmless texts.

Inside a pool every source has the same share, times its rows' weight; a source has at most `repeats` times its rows,
and what it cannot fill goes to the others. Large sources are walked through: epoch n + 1 goes on where n ended. A row
of a pair brings one row of the other kind of its pair, which stands right behind it and counts against its own pool.
Everything follows from the seed and the epoch's number.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

from . import typography
from .rows import Row

POOLS = ("alarming", "answers", "texts")


def pool_of(row: Row) -> str:
    if row.alarming:
        return "alarming"
    return "answers" if row.answer else "texts"


def shares(total: int, weights: dict[str, float], most: dict[str, int]) -> dict[str, int]:
    """Split `total` over the names by weight, no name above its `most`; less than `total` where all are full."""
    out = dict.fromkeys(weights, 0)
    open_names = {name for name in weights if weights[name] > 0 and most[name] > 0}
    left = min(total, sum(most[name] for name in open_names))
    while left > 0:
        whole = sum(weights[name] for name in open_names)
        wanted = {name: left * weights[name] / whole for name in open_names}
        full = {name for name in open_names if wanted[name] >= most[name] - out[name]}
        if not full:
            for name in sorted(open_names):
                out[name] += int(wanted[name])
                left -= int(wanted[name])
            # What rounding left goes to the largest remainders.
            by_remainder = sorted(open_names, key=lambda name: (int(wanted[name]) - wanted[name], name))
            for name in by_remainder[:left]:
                out[name] += 1
            break
        for name in full:
            left -= most[name] - out[name]
            out[name] = most[name]
        open_names -= full
    return out


class Sampler:
    """Epochs of rows, the same for the same rows, seed and number.

    Args:
        rows: only rows of split `train` are drawn.
        size: rows of an epoch, a few more where partners overfill a pool; fewer where the sources cannot fill it.
        repeats: how often an epoch may hold one row.
        rough_share: share of the texts (not answers) that come in lower case, a third of those without punctuation.
    """

    def __init__(
        self, rows: Sequence[Row], *, size: int, seed: int = 0, repeats: int = 2, rough_share: float = 0.15
    ) -> None:
        self._size, self._seed, self._repeats, self._rough_share = size, seed, repeats, rough_share
        self._rows = [row for row in rows if row.split == "train"]
        order = random.Random(seed)
        self._pools: dict[str, dict[str, list[int]]] = {name: defaultdict(list) for name in POOLS}
        partners: dict[str, list[int]] = defaultdict(list)
        for at, row in enumerate(self._rows):
            self._pools[pool_of(row)][row.source].append(at)
            if row.pair:
                partners[row.pair].append(at)
        for pool in self._pools.values():
            for ats in pool.values():
                order.shuffle(ats)
        self._partners = {
            pair: ats for pair, ats in partners.items() if len({self._rows[at].alarming for at in ats}) == 2
        }

    def epoch(self, number: int) -> list[Row]:
        """The rows of an epoch (from 0), shuffled, with the rows of a pair side by side."""
        rng = random.Random(f"{self._seed}/{number}")
        units: list[list[int]] = []
        had = {name: dict.fromkeys(pool, 0) for name, pool in self._pools.items()}
        parts = {"alarming": self._size // 2, "answers": self._size // 4, "texts": self._size // 4}
        for name in POOLS:
            pool = self._pools[name]
            weights = {source: self._rows[ats[0]].weight for source, ats in pool.items()}
            most = {source: len(ats) * self._repeats for source, ats in pool.items()}
            quotas = shares(parts[name], weights, most)
            for source in sorted(pool):
                ats, quota = pool[source], quotas[source]
                for step in range(quota * number, quota * (number + 1) - had[name][source]):
                    unit = [ats[step % len(ats)]]
                    partner = self._partner(unit[0], rng) if name == "alarming" else None
                    if partner is not None:
                        unit.append(partner)
                        had[pool_of(self._rows[partner])][source] += 1
                    units.append(unit)
        rng.shuffle(units)
        return [self._roughened(self._rows[at], rng) for unit in units for at in unit]

    def epochs(self, count: int) -> Iterator[list[Row]]:
        return (self.epoch(number) for number in range(count))

    def _partner(self, at: int, rng: random.Random) -> int | None:
        others = [
            other for other in self._partners.get(self._rows[at].pair, ()) if not self._rows[other].alarming
        ]
        return rng.choice(others) if others else None

    def _roughened(self, row: Row, rng: random.Random) -> Row:
        draw = rng.random()
        if row.answer or draw >= self._rough_share:
            return row
        response = typography.roughened(row.response, bare=draw < self._rough_share / 3)
        return replace(row, response=response) if response else row
