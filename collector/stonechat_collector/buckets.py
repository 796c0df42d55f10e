"""Buckets: the fold of any records that begin in a span, as the roll-ups keep it. Pure.

A bucket's payload is MessagePack of::

    [1, records, windows, observed, samples, uncertain, [[series, metric, catalogue, value], ...]]

``observed`` is ms, ``uncertain`` the records whose time is not certain. A metric stands once for each *form* of its
values: catalogue version, kind, and what two values must share to be added (a sketch's accuracy, the number of bins
or components). So values that do not add stand side by side, whatever the order in which they came. Values of a kind
that this version does not know cannot be added at all; they stay in the windows' rows only.

Numbers beyond 64 bits, which MessagePack lacks, are extension 1: a signed big-endian number. No honest device needs
them, but a hostile one must not bring the roll-up to a halt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, cast

import msgpack

from stonechat import sketch
from stonechat.catalog import Kind
from stonechat.errors import Refused
from stonechat.records import Flag, Series
from stonechat.values import Value, tally

LAYOUT = 1
_BIG = 1


class Form(NamedTuple):
    """Which values of a metric add up: those of equal form."""

    series: tuple[str, ...]
    metric: int
    catalog: int
    kind: int
    shape: int


class Bucket:
    """Records folded together, as far as they add up. ``add`` and ``merge`` only collect; `folded` folds."""

    __slots__ = ("_parts", "observed", "records", "samples", "uncertain", "windows")

    def __init__(self) -> None:
        self.records = self.windows = self.observed = self.samples = self.uncertain = 0
        self._parts: dict[Form, list[Value]] = {}

    def add(self, plain: Sequence[Any], windows: int, *, uncertain: bool = False) -> None:
        """Add a record as ``stonechat.records.to_plain`` makes it, as it comes out of a row."""
        self.records += 1
        self.windows += windows
        self.observed += plain[7]
        self.samples += plain[8]
        self.uncertain += uncertain
        catalog, parts = plain[11], self._parts
        for series, metrics in plain[12]:
            name = tuple(series)
            for metric, value in metrics.items():
                kind = value[0]
                if kind in _FOLDS:
                    # A plain tuple hashes and compares like the named one, and is made in half the time.
                    form = (name, metric, catalog, kind, _shape(kind, value))
                    held = parts.get(form)  # type: ignore[call-overload]
                    if held is None:
                        parts[form] = [value]  # type: ignore[index]
                    else:
                        held.append(value)

    def merge(self, other: Bucket) -> None:
        """Add all that another bucket holds."""
        self.records += other.records
        self.windows += other.windows
        self.observed += other.observed
        self.samples += other.samples
        self.uncertain += other.uncertain
        mine = self._parts
        for form, values in other._parts.items():
            held = mine.get(form)
            if held is None:
                mine[form] = list(values)
            else:
                held.extend(values)

    def folded(self) -> Bucket:
        """This bucket with one value for each form; it is changed in place."""
        for form, values in self._parts.items():
            if len(values) > 1:
                self._parts[form] = [_FOLDS[form[3]](values)]
        return self

    def values(self) -> Iterable[tuple[Series, int, Value]]:
        """(series, metric, value) of everything, the newest catalogue's first. Folds."""
        self.folded()
        for form in sorted(self._parts, key=lambda form: -form[2]):
            yield Series(*form[0]), form[1], tuple(self._parts[form][0])

    def totals(self) -> Iterable[tuple[int, Value]]:
        """(metric, value) of everything, all series together; of forms that do not add, the newest catalogue's."""
        groups: dict[int, dict[tuple[int, int, int], list[Value]]] = {}
        for form, values in self._parts.items():
            groups.setdefault(form[1], {}).setdefault(tuple(form[2:]), []).extend(values)  # type: ignore[arg-type]
        for metric, forms in groups.items():
            yield metric, fold_many(forms[max(forms)])

    def pack(self) -> bytes:
        """The payload of a row."""
        self.folded()
        parts = [[form[0], form[1], form[2], self._parts[form][0]] for form in sorted(self._parts)]
        head = [LAYOUT, self.records, self.windows, self.observed, self.samples, self.uncertain]
        packed: bytes = msgpack.packb([*head, parts], default=_big)
        return packed

    @classmethod
    def unpack(cls, payload: bytes) -> Bucket:
        """The bucket of a row. Raises Refused for another layout."""
        layout, records, windows, observed, samples, uncertain, parts = msgpack.unpackb(
            payload, strict_map_key=False, ext_hook=_small
        )
        if layout != LAYOUT:
            raise Refused("layout", f"bucket of layout {layout}, this version reads {LAYOUT}")
        bucket = cls()
        bucket.records, bucket.windows, bucket.observed = records, windows, observed
        bucket.samples, bucket.uncertain = samples, uncertain
        for series, metric, catalog, value in parts:
            form = (tuple(series), metric, catalog, value[0], _shape(value[0], value))
            bucket._parts[form] = [value]  # type: ignore[index]
        return bucket


def uncertain(flags: int, future: bool) -> bool:
    """Whether the time of a record is not certain: its clock was not known to be right, and no anchor came later."""
    return (
        future or bool(flags & Flag.PACKED) or flags & (Flag.UNSYNCED | Flag.ANCHORED_LATE) == Flag.UNSYNCED
    )


def fold_many(values: Sequence[Value]) -> Value:
    """The fold of any number of values of one form, at once: what ``values.fold`` makes of them two by two."""
    return tuple(_FOLDS[cast("int", values[0][0])](values))


def _shape(kind: int, value: Sequence[Any]) -> int:
    if kind <= _GAUGE:
        return 0
    if kind == _SKETCH:
        return cast("int", value[1])
    return len(value) if kind in _BY_LENGTH else 0


# Plain numbers: a comparison with an enumeration's member takes five times as long, and there are millions.
_COUNTER, _GAUGE, _SKETCH = Kind.COUNTER.value, Kind.GAUGE.value, Kind.SKETCH.value
_BY_LENGTH = frozenset((Kind.HISTOGRAM.value, Kind.VECTOR.value))


def _counters(values: Sequence[Any]) -> Value:
    return (_COUNTER, sum([value[1] for value in values]))


def _gauges(values: Sequence[Any]) -> Value:
    if len(values) == 2:  # one record into a bucket: the usual case while all is live
        _, n1, sum1, low1, high1, last1, order1, boottime1 = values[0]
        _, n2, sum2, low2, high2, last2, order2, boottime2 = values[1]
        order, boottime, last = max((order1, boottime1, last1), (order2, boottime2, last2))
        low, high = low1 if low1 < low2 else low2, high1 if high1 > high2 else high2
        return (_GAUGE, n1 + n2, sum1 + sum2, low, high, last, order, boottime)
    _, counts, sums, lows, highs, lasts, orders, boottimes = zip(*values, strict=True)
    order, boottime, last = max(zip(orders, boottimes, lasts, strict=True))
    return (_GAUGE, sum(counts), sum(sums), min(lows), max(highs), last, order, boottime)


def _sketches(values: Sequence[Any]) -> Value:
    bins: dict[int, int] = {}
    zeros = total = 0
    for value in values:
        zeros += value[2]
        total += value[3]
        for key, n in zip(value[4::2], value[5::2], strict=True):
            bins[key] = bins.get(key, 0) + n
    return (_SKETCH, *sketch.build(values[0][1], zeros, total, bins))


def _tallies(values: Sequence[Any]) -> Value:
    counts: dict[str, int] = {}
    for value in values:
        for key, n in zip(value[1::2], value[2::2], strict=True):
            counts[key] = counts.get(key, 0) + n
    return tally(counts)


def _sums(values: Sequence[Any]) -> Value:
    columns = zip(*values, strict=True)
    kind = next(columns)[0]
    return (kind, *map(sum, columns))


_FOLDS: dict[int, Callable[[Sequence[Any]], Value]] = {
    Kind.COUNTER: _counters,
    Kind.GAUGE: _gauges,
    Kind.SKETCH: _sketches,
    Kind.HISTOGRAM: _sums,
    Kind.TALLY: _tallies,
    Kind.VECTOR: _sums,
}


def _big(number: Any) -> msgpack.ExtType:
    if not isinstance(number, int):
        raise TypeError(f"{type(number).__name__} in a bucket")
    return msgpack.ExtType(_BIG, number.to_bytes(number.bit_length() // 8 + 1, "big", signed=True))


def _small(code: int, data: bytes) -> int:
    if code != _BIG:
        raise Refused("layout", f"extension {code} in a bucket")
    return int.from_bytes(data, "big", signed=True)
