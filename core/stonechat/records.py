"""Records: one window, or the fold of several. What the agent holds and sends, and what the collector stores."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import IntFlag
from typing import Any, NamedTuple

from stonechat.catalog import VERSION
from stonechat.errors import FoldError, Refused
from stonechat.ranges import Cover, cover_size, cover_union
from stonechat.values import Value, fold


class Series(NamedTuple):
    """What the metrics of exchanges belong to. Parts are identifiers of at most 64 characters, "" where not meant."""

    engine: str = ""
    model: str = ""
    operation: str = ""


DEVICE = Series()
"""The series of the device's own metrics."""

OTHER = Series("other", "other", "other")
"""The series of all exchanges whose own found no free slot."""

MAX_SERIES = 16
"""Series of exchanges in a record, ``OTHER`` and those of engines and device not counted."""

MAX_TALLY_KEYS = 16
"""Keys of a tally in a record, ``other`` not counted."""


class Flag(IntFlag):
    """What a record's reader should know of its time and shape. The numbers stand on the wire."""

    UNSYNCED = 1  # the clock was not known to be right when the window was cut
    ANCHORED_LATE = 2  # the start was computed from a later anchor of the same run
    PACKED = 4  # no anchor ever: the start was packed backwards from the next known one
    MIXED = 8  # folded across descriptions
    CUT_DESCRIPTION = 16  # ended early: the description changed
    CUT_CLOCK = 32  # ended early: the wall clock stepped
    CUT_SUSPEND = 64  # ended early: the device was suspended
    CUT_STOP = 128  # ended early: the agent stopped


class Stamp(NamedTuple):
    """An instant as one run of the agent knows it.

    ``order`` counts the runs of one spool; ``monotonic`` and ``boottime`` are ms of the kernel's clocks; ``wall`` is
    ms since 1970 as the device believed it; ``synced`` says whether the clock was known to be synchronised.
    """

    order: int
    monotonic: int
    boottime: int
    wall: int
    synced: bool


Values = Mapping[Series, Mapping[int, Value]]


@dataclass(frozen=True, slots=True)
class Record:
    """One window or the fold of several, of one device.

    ``first`` is the beginning of the earliest window, (``last_order``, ``last_boottime``) the end of the latest.
    ``start`` is the wall time in ms at which the record begins, fixed when it is first offered, None before.
    ``step`` is the nominal length in ms of the rung it stands on (the window's length, ten minutes, an hour, a day),
    ``observed`` the ms in which it was really measured, ``samples`` the readings taken meanwhile.
    """

    cover: Cover
    description: bytes
    first: Stamp
    last_order: int
    last_boottime: int
    step: int
    observed: int
    samples: int
    values: Values = field(default_factory=dict)
    start: int | None = None
    flags: Flag = Flag(0)
    catalog: int = VERSION

    @property
    def windows(self) -> int:
        """How many windows are folded into it."""
        return cover_size(self.cover)

    @property
    def newest(self) -> tuple[int, int]:
        """What orders records of one device by the time they tell of: (epoch order, boottime) of the end."""
        return self.last_order, self.last_boottime


def fold_values(one: Values, other: Values) -> dict[Series, dict[int, Value]]:
    """The values of both, per series and metric."""
    result = {series: dict(metrics) for series, metrics in one.items()}
    for series, metrics in other.items():
        mine = result.setdefault(series, {})
        for metric, value in metrics.items():
            mine[metric] = fold(mine[metric], value) if metric in mine else value
    return result


def fold_records(one: Record, other: Record, *, step: int = 0, mixed: bool = False) -> Record:
    """The record that holds what both hold.

    Args:
        step: the rung's length in ms; at least the longer of both steps is taken.
        mixed: fold across descriptions; the result carries the later one's and says so in its flags.

    Raises:
        FoldError: the covers overlap, or descriptions or catalogue versions differ.
    """
    if one.catalog != other.catalog:
        raise FoldError(f"records of catalogue {one.catalog} and {other.catalog} do not fold")
    flags = one.flags | other.flags
    if one.description != other.description:
        if not mixed:
            raise FoldError("records of two descriptions do not fold unless as mixed")
        flags |= Flag.MIXED
    try:
        cover = cover_union(one.cover, other.cover)
    except ValueError as error:
        raise FoldError(str(error)) from error
    later = max(one, other, key=lambda record: (record.newest, record.description))
    return Record(
        cover=cover,
        description=later.description,
        first=min(one.first, other.first, key=lambda stamp: (stamp.order, stamp.boottime, stamp)),
        last_order=later.last_order,
        last_boottime=later.last_boottime,
        step=max(one.step, other.step, step),
        observed=one.observed + other.observed,
        samples=one.samples + other.samples,
        values=fold_values(one.values, other.values),
        flags=flags,
        catalog=one.catalog,
    )


def fold_all(records: Iterable[Record], *, step: int = 0, mixed: bool = False) -> Record:
    """The fold of at least one record; a single one only gets the step."""
    items = iter(records)
    result = replace(next(items), start=None)
    for record in items:
        result = fold_records(result, record, step=step, mixed=mixed)
    return replace(result, step=max(result.step, step))


def to_plain(record: Record) -> list[Any]:
    """A record as lists, numbers, strings and bytes, for a store's row: ``[layout, ...]``, MessagePack-ready."""
    return [
        1,
        record.cover,
        record.description,
        record.first,
        record.last_order,
        record.last_boottime,
        record.step,
        record.observed,
        record.samples,
        record.start,
        int(record.flags),
        record.catalog,
        [[series, metrics] for series, metrics in record.values.items()],
    ]


def from_plain(plain: list[Any]) -> Record:
    """The record of ``to_plain``. Raises Refused for another layout."""
    if plain[0] != 1:
        raise Refused("layout", f"row of layout {plain[0]}, this version reads 1")
    _, cover, description, first, order, boottime, step, observed, samples, start, flags, catalog, values = (
        plain
    )
    return Record(
        cover=tuple((epoch, low, high) for epoch, low, high in cover),
        description=description,
        first=Stamp(*first),
        last_order=order,
        last_boottime=boottime,
        step=step,
        observed=observed,
        samples=samples,
        values={
            Series(*series): {metric: tuple(value) for metric, value in metrics.items()}
            for series, metrics in values
        },
        start=start,
        flags=Flag(flags),
        catalog=catalog,
    )
