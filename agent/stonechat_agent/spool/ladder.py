"""The ladder that held windows climb when space is short: what is brought together, and how far it is folded.

A rung first brings the rows of one stretch of time (``span``) into one row, then folds their records into buckets of
``step``. The first rung loses nothing: an hour's windows stand in columns, which takes a third of the space. An hour
and a day are one row of the table more each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from stonechat.records import Record, fold_all


class Rung(NamedTuple):
    """One rung; lengths in ms. ``step`` 0: records stay as they are."""

    step: int
    span: int


HOUR = 3_600_000
PACK = Rung(0, HOUR)
RUNGS: tuple[Rung, ...] = (PACK, Rung(600_000, HOUR))


def climb(records: Sequence[Record], rung: Rung, instant: Callable[[Record], int]) -> list[Record]:
    """The records folded into the rung's buckets, oldest first.

    Records of two descriptions or catalogue versions stay apart, and so do those whose step is the rung's or longer.

    Args:
        instant: where a record begins on the time line that buckets are cut on, in ms.
    """
    if not rung.step:
        return list(records)
    buckets: dict[tuple[object, ...], list[Record]] = {}
    for record in records:
        key: tuple[object, ...] = (instant(record) // rung.step, record.description, record.catalog)
        if record.step >= rung.step:
            key = (*key, record.cover)
        buckets.setdefault(key, []).append(record)
    folded = [
        fold_all(bucket, step=rung.step) if bucket[0].step < rung.step else bucket[0]
        for bucket in buckets.values()
    ]
    return sorted(folded, key=lambda record: (record.first.order, record.first.boottime))
