"""Folds that leave out whole sources: what a judge is worth on text that nobody trained it on.

Sources of one family (one release, one origin) leave together, and every source is left out exactly once. Families are
dealt out so that each head's positives and negatives, counted up to `CAP` a source because training samples sources
evenly, are spread over the folds. No randomness: the same rows give the same folds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from .rows import Row, key

CAP = 2000


@dataclass(frozen=True)
class Fold:
    number: int
    families: frozenset[str]
    sources: frozenset[str]


def leave_sources_out(rows: Sequence[Row], count: int = 5) -> list[Fold]:
    """`count` folds over the families of the rows.

    Raises:
        ValueError: fewer families than folds.
    """
    tally: dict[str, dict[tuple[str, bool], int]] = defaultdict(lambda: defaultdict(int))
    family_of = {}
    for row in rows:
        family_of[row.source] = row.family
        for head, value in row.labels.items():
            tally[row.source][head, value >= 0.5] += 1
    of_family: dict[str, dict[tuple[str, bool], int]] = defaultdict(lambda: defaultdict(int))
    for source, counts in tally.items():
        for cell, n in counts.items():
            of_family[family_of[source]][cell] += min(n, CAP)
    if len(of_family) < count:
        raise ValueError(f"{len(of_family)} families for {count} folds: name fewer folds")
    whole: dict[tuple[str, bool], int] = defaultdict(int)
    for counts in of_family.values():
        for cell, n in counts.items():
            whole[cell] += n

    def weight(counts: dict[tuple[str, bool], int]) -> float:
        return sum(n / whole[cell] for cell, n in counts.items())

    loads: list[dict[tuple[str, bool], float]] = [defaultdict(float) for _ in range(count)]
    dealt: list[set[str]] = [set() for _ in range(count)]
    for family in sorted(of_family, key=lambda name: (-weight(of_family[name]), name)):
        shares = {cell: n / whole[cell] for cell, n in of_family[family].items()}
        # The squares grow least where these heads are scarcest so far; equal folds by the fewest families.
        cost = [
            (
                sum((load[cell] + share) ** 2 - load[cell] ** 2 for cell, share in shares.items()),
                len(names),
                at,
            )
            for at, (load, names) in enumerate(zip(loads, dealt, strict=True))
        ]
        at = min(cost)[2]
        dealt[at].add(family)
        for cell, share in shares.items():
            loads[at][cell] += share
    return [
        Fold(
            at, frozenset(names), frozenset(source for source, family in family_of.items() if family in names)
        )
        for at, names in enumerate(dealt)
    ]


def parted(rows: Sequence[Row], fold: Fold) -> tuple[list[Row], list[Row]]:
    """The rows to train on and the rows of the sources left out.

    A training row whose text or prompt also stands in a source left out is left out too: derived sources hold other
    sources' texts.
    """
    held = [row for row in rows if row.source in fold.sources]
    texts = {key(row.response) for row in held}
    prompts = {key(row.prompt) for row in held if row.prompt and row.prompt_groups}
    train = [
        row
        for row in rows
        if row.source not in fold.sources
        and row.split == "train"
        and key(row.response) not in texts
        and not (row.prompt and row.prompt_groups and key(row.prompt) in prompts)
    ]
    return train, held
