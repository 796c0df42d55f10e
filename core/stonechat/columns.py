"""Records as columns: what many records of one device have in common stands once.

A *column* holds one whole number for each of n records: a bare number when all are equal, else ``[0, v, v, ...]`` as
they are or ``[1, v, d, d, ...]`` as differences, whichever is shorter. A record's values are turned into *words*,
whole numbers chosen so that the usual ones are small or equal to their neighbours', and word j of all records makes a
column; trailing columns of zeros are left out. Kinds whose values vary in length (sketch, tally, and every kind that
this version does not know) are *ragged*: a column of lengths, then all words in one list.

A batch is::

    [1, n, meta, extra, descriptions, epochs, series, blocks]

    meta          18 columns, in the order of ``_meta``
    extra         covers of more than one range: [record, epoch, low, high, ...] each
    descriptions  8-byte hashes; meta holds indexes
    epochs        64-bit numbers; meta holds indexes
    series        [engine, model, operation] each
    blocks        for each series a list of metrics: [head, kind?, mask?, column...] each

    head          (id - previous id) << 5 | min(kind, 7) << 2 | ragged << 1 | masked
    kind          only when the head says 7
    mask          only when masked: bit i is set when record i has the value; at most 64 records a batch

Words of a gauge, relative to its record: min, max - min, last - min, sum - count * min, count - samples, runs between
its last reading and the record's end, and the boottime of the last reading (ms before the record's end when it is of
the same run, else as it is). Words of a sketch: accuracy (0 is 2 %), zeros, sum, first key, count, difference to the
next key, count, ... The words of a kind that is not known are carried as they came.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import accumulate, chain, pairwise, repeat
from operator import add, lt, mul, sub
from typing import Any, cast

import msgpack

from stonechat.catalog import Kind
from stonechat.errors import Refused
from stonechat.ids import identifier
from stonechat.records import MAX_SERIES, MAX_TALLY_KEYS, Flag, Record, Series, Stamp
from stonechat.sketch import ACCURACY, MAX_BINS
from stonechat.values import HISTOGRAM_BINS, VECTOR_MIN_COUNT, Value

LAYOUT = 1
MAX_RECORDS = 64
MAX_ENGINES = 16
MAX_METRICS = 512
MAX_RANGES = 256
"""Ranges of one record's cover."""
MAX_COMPONENTS = 64
"""Components of a vector sum."""
_MAX_WORDS = 2 * MAX_BINS + 8
_META = 18
# Plain numbers: to ask an enumeration's member for its value takes as long as to check one.
_COUNTER, _GAUGE, _SKETCH = Kind.COUNTER.value, Kind.GAUGE.value, Kind.SKETCH.value
_HISTOGRAM, _TALLY, _VECTOR = Kind.HISTOGRAM.value, Kind.TALLY.value, Kind.VECTOR.value
_LIMIT = 1 << 63

Column = Any  # an int, or a list of ints as the module's docstring says


def pack_column(values: Sequence[int]) -> Column:
    """The shortest column of at least one number."""
    first = values[0]
    if all(value == first for value in values):
        return first
    differences = [1, first, *map(sub, values[1:], values)]
    plain = [0, *values]
    return differences if len(msgpack.packb(differences)) < len(msgpack.packb(plain)) else plain


def unpack_column(column: Column, n: int) -> Sequence[int]:
    """The n numbers of a column. Raises Refused for anything else."""
    if type(column) is int:
        return [column] * n
    if type(column) is not list or len(column) != n + 1 or set(map(type, column)) != {int}:
        raise Refused("column", f"not a column of {n}")
    if column[0] == 0:
        return column[1:]
    if column[0] == 1:
        return list(accumulate(column[1:]))
    raise Refused("column", f"coding {column[0]}")


# Encoding


def encode(records: Sequence[Record]) -> list[Any]:
    """1 to ``MAX_RECORDS`` records as columns."""
    if not 1 <= len(records) <= MAX_RECORDS:
        raise ValueError(f"{len(records)} records, 1 to {MAX_RECORDS} fit a batch")
    descriptions = list(dict.fromkeys(record.description for record in records))
    epochs = list(dict.fromkeys(epoch for record in records for epoch, _, _ in record.cover))
    extra = []
    for index, record in enumerate(records):
        if len(record.cover) > 1:
            rest = [
                item for epoch, low, high in record.cover[1:] for item in (epochs.index(epoch), low, high)
            ]
            extra.append([index, *rest])
    meta = [
        pack_column(column) for column in zip(*(_meta(r, descriptions, epochs) for r in records), strict=True)
    ]
    series = list(dict.fromkeys(key for record in records for key in record.values))
    blocks = [_encode_block(records, key) for key in series]
    return [LAYOUT, len(records), meta, extra, descriptions, epochs, [list(key) for key in series], blocks]


def _meta(record: Record, descriptions: list[bytes], epochs: list[int]) -> tuple[int, ...]:
    first, (epoch, low, high) = record.first, record.cover[0]
    same_run = record.last_order == first.order
    return (
        record.catalog,
        descriptions.index(record.description),
        epochs.index(epoch),
        low,
        high - low,
        first.order,
        first.boottime,
        first.boottime - first.monotonic,
        first.wall - first.boottime,
        int(first.synced),
        record.last_order - first.order,
        record.last_boottime - first.boottime if same_run else record.last_boottime,
        record.step,
        record.observed - record.step,
        record.samples,
        0 if record.start is None else 1,
        0 if record.start is None else record.start - first.wall,
        int(record.flags),
    )


def _encode_block(records: Sequence[Record], series: Series) -> list[Any]:
    block: list[Any] = []
    previous = 0
    for metric in sorted({metric for record in records for metric in record.values.get(series, ())}):
        holders = [r for r in records if metric in r.values.get(series, ())]
        values = [record.values[series][metric] for record in holders]
        # Kinds never differ within a metric; if a writer's catalogue said otherwise, the reader would be misled.
        kind = cast("int", values[0][0])
        words = [_TO_WORDS.get(kind, _as_they_are)(v, r) for v, r in zip(values, holders, strict=True)]
        masked = len(holders) < len(records)
        ragged = kind not in _ARITY
        entry: list[Any] = [(metric - previous) << 5 | min(kind, 7) << 2 | ragged << 1 | masked]
        if kind >= 7:
            entry.append(kind)
        if masked:
            entry.append(sum(1 << i for i, r in enumerate(records) if metric in r.values.get(series, ())))
        if ragged:
            entry.append(pack_column([len(word) for word in words]))
            entry.append([item for word in words for item in word])
        else:
            columns = [pack_column(cast("Sequence[int]", column)) for column in zip(*words, strict=True)]
            while columns and columns[-1] == 0:
                columns.pop()
            entry.extend(columns)
        block.append(entry)
        previous = metric
    return block


def _as_they_are(value: Value, record: Record) -> Value:
    return value[1:]


def _gauge_words(value: Value, record: Record) -> Value:
    _, n, total, low, high, last, order, boottime = cast("tuple[int, ...]", value)
    runs = record.last_order - order
    back = boottime if runs else record.last_boottime - boottime
    return low, high - low, last - low, total - n * low, n - record.samples, runs, back


def _sketch_words(value: Value, record: Record) -> Value:
    _, accuracy, zeros, total, *bins = cast("tuple[int, ...]", value)
    words = [0 if accuracy == ACCURACY else accuracy, zeros, total]
    previous = 0
    for key, n in zip(bins[::2], bins[1::2], strict=True):
        words += key - previous, n
        previous = key
    return tuple(words)


_TO_WORDS: dict[int, Callable[[Value, Record], Value]] = {
    Kind.GAUGE: _gauge_words,
    Kind.SKETCH: _sketch_words,
}

_ARITY: dict[int, int] = {
    Kind.COUNTER: 1,
    Kind.GAUGE: 7,
    Kind.HISTOGRAM: 1 + HISTOGRAM_BINS,
}
"""Kinds whose values have a fixed number of words."""


# Decoding


def decode(plain: Any) -> list[Record]:
    """The records of ``encode``, each checked. Raises Refused for anything that is not in the format or its bounds."""
    try:
        layout, n, meta, extra, descriptions, epochs, series, blocks, *_ = plain
    except (TypeError, ValueError) as error:
        raise Refused("batch", "not a batch of columns") from error
    if layout != LAYOUT:
        raise Refused("layout", f"layout {layout!r}, this version reads {LAYOUT}")
    if type(n) is not int or not 1 <= n <= MAX_RECORDS:
        raise Refused("batch", f"{n!r} records, 1 to {MAX_RECORDS} are allowed")
    frames = _decode_meta(meta, n, descriptions, epochs, extra)
    values: list[dict[Series, dict[int, Value]]] = [{} for _ in range(n)]
    for key, block in zip(_series(series, blocks), blocks, strict=True):
        _decode_block(block, n, key, frames, values)
    return [Record(values=mine, **frame) for frame, mine in zip(frames, values, strict=True)]


def _decode_meta(meta: Any, n: int, descriptions: Any, epochs: Any, extra: Any) -> list[dict[str, Any]]:
    if type(meta) is not list or len(meta) < _META:
        raise Refused("meta", "too few columns")
    hashes = _checked_list(descriptions, bytes, n, "descriptions")
    if any(len(item) != 8 for item in hashes):
        raise Refused("descriptions", "a hash is not of 8 bytes")
    runs = _checked_list(epochs, int, n * MAX_RANGES, "epochs")
    if any(not 0 < epoch < 1 << 64 for epoch in runs):
        raise Refused("epochs", "an epoch is not of 64 bits")
    covers = _decode_extra(extra, n, runs)
    frames: list[dict[str, Any]] = []
    for index, row in enumerate(zip(*(unpack_column(column, n) for column in meta[:_META]), strict=True)):
        (catalog, description, epoch, low, span, order, boottime, suspended, ahead, synced) = row[:10]
        (later, passed, step, extra_time, samples, started, shift, flags) = row[10:]
        if not (0 <= description < len(hashes) and 0 <= epoch < len(runs)):
            raise Refused("meta", "an index points nowhere")
        frame: dict[str, Any] = {
            "cover": _cover(((runs[epoch], low, low + span), *covers.get(index, ()))),
            "description": hashes[description],
            "first": Stamp(order, boottime - suspended, boottime, boottime + ahead, bool(synced)),
            "last_order": order + later,
            "last_boottime": passed if later else boottime + passed,
            "step": step,
            "observed": step + extra_time,
            "samples": samples,
            "start": boottime + ahead + shift if started else None,
            "flags": Flag(flags & 0xFFFF),
            "catalog": catalog,
        }
        numbers = (catalog, low, span, order, boottime, later, frame["last_boottime"], samples, flags)
        if min(numbers) < 0 or max(numbers) >= _LIMIT or not 0 < step <= 1 << 40 or not low:
            raise Refused("meta", "a number is out of its range")
        if not 0 <= frame["observed"] < 1 << 48 or abs(ahead) >= 1 << 52 or abs(shift) >= 1 << 52:
            raise Refused("meta", "a time is out of its range")
        frames.append(frame)
    return frames


def _decode_extra(extra: Any, n: int, epochs: list[int]) -> dict[int, list[tuple[int, int, int]]]:
    covers: dict[int, list[tuple[int, int, int]]] = {}
    for item in _checked_list(extra, list, n, "covers"):
        if len(item) < 4 or len(item) % 3 != 1 or len(item) > 3 * MAX_RANGES or set(map(type, item)) != {int}:
            raise Refused("covers", "not a list of ranges")
        if item[0] in covers or any(not 0 <= epoch < len(epochs) for epoch in item[1::3]):
            raise Refused("covers", "an index points nowhere")
        covers[item[0]] = [
            (epochs[e], low, high) for e, low, high in zip(item[1::3], item[2::3], item[3::3], strict=True)
        ]
    return covers


def _cover(ranges: Sequence[tuple[int, int, int]]) -> tuple[tuple[int, int, int], ...]:
    if len(ranges) > 1:
        for one, other in pairwise(ranges):
            if (one[0], one[2] + 1) >= (other[0], other[1]):
                raise Refused("covers", "ranges are not sorted and apart")
    if any(not 0 < low <= high < _LIMIT for _, low, high in ranges):
        raise Refused("covers", "a range is out of its bounds")
    return tuple(ranges)


def _series(series: Any, blocks: Any) -> list[Series]:
    items = _checked_list(series, list, MAX_SERIES + MAX_ENGINES + 2, "series")
    if len(_checked_list(blocks, list, len(items), "blocks")) != len(items):
        raise Refused("blocks", f"not {len(items)} of them")
    keys = []
    for item in items:
        if len(item) != 3 or not all(part == "" or _is_identifier(part) for part in item):
            raise Refused("series", "not three identifiers")
        keys.append(Series(*item))
    if len(set(keys)) != len(keys):
        raise Refused("series", "one stands twice")
    if sum(1 for key in keys if key.operation) > MAX_SERIES + 1:
        raise Refused("series", f"more than {MAX_SERIES} of exchanges")
    return keys


def _decode_block(
    block: list[Any],
    n: int,
    series: Series,
    frames: list[dict[str, Any]],
    values: list[dict[Series, dict[int, Value]]],
) -> None:
    if len(block) > MAX_METRICS:
        raise Refused("blocks", f"more than {MAX_METRICS} metrics")
    mine: list[dict[int, Value]] = [{} for _ in range(n)]
    metric = 0
    for entry in block:
        if type(entry) is not list or not entry or type(entry[0]) is not int or entry[0] < 32:
            raise Refused("blocks", "not a metric")
        head, *rest = entry
        metric += head >> 5
        kind, ragged, masked = head >> 2 & 7, head & 2, head & 1
        if metric >= 1 << 32:
            raise Refused("blocks", "a metric's id is out of its range")
        if kind == 7:
            kind = _pop_int(rest, 7, 1 << 16)
        holders = range(n)
        if masked:
            mask = _pop_int(rest, 1, (1 << n) - 1)
            holders = [i for i in range(n) if mask >> i & 1]  # type: ignore[assignment]
        bare = _ragged(rest, len(holders)) if ragged else _fixed(rest, len(holders), kind)
        frame = frames if len(holders) == n else [frames[i] for i in holders]
        check = _FROM_WORDS.get(kind)
        if bool(ragged) == (kind in _ARITY) and check:
            raise Refused("blocks", "a kind in the form of another")
        whole = check(bare, frame) if check else [(kind, *value) for value in bare]
        for i, value in zip(holders, whole, strict=True):
            mine[i][metric] = value
    for index, metrics in enumerate(mine):
        if metrics:
            values[index][series] = metrics


def _pop_int(rest: list[Any], least: int, most: int) -> int:
    if not rest or type(rest[0]) is not int or not least <= rest[0] <= most:
        raise Refused("blocks", "a number is missing or out of its range")
    return cast("int", rest.pop(0))


def _fixed(columns: list[Any], n: int, kind: int) -> Sequence[Sequence[int]]:
    """The words of n values as columns, missing ones added: one sequence a word for the kinds that we know."""
    arity = _ARITY.get(kind)
    if len(columns) > (arity or MAX_COMPONENTS):
        raise Refused("blocks", "too many words")
    unpacked = [unpack_column(column, n) for column in columns]
    if arity is None:
        return list(zip(*unpacked, strict=True)) if unpacked else [()] * n
    unpacked.extend(repeat([0] * n, arity - len(unpacked)))
    return unpacked


def _ragged(rest: list[Any], n: int) -> list[Value]:
    if len(rest) != 2 or type(rest[1]) is not list:
        raise Refused("blocks", "not lengths and words")
    lengths, words = unpack_column(rest[0], n), rest[1]
    if min(lengths) < 0 or max(lengths) > _MAX_WORDS or sum(lengths) != len(words):
        raise Refused("blocks", "lengths that do not fit the words")
    if not set(map(type, words)) <= {int, str}:
        raise Refused("blocks", "words that are neither numbers nor identifiers")
    ends = list(accumulate(lengths))
    return [tuple(words[end - length : end]) for length, end in zip(lengths, ends, strict=True)]


def _check_counter(columns: Sequence[Sequence[int]], frames: list[dict[str, Any]]) -> list[Value]:
    _within(columns[0])
    return list(zip(repeat(_COUNTER), columns[0], strict=False))


def _check_gauge(columns: Sequence[Sequence[int]], frames: list[dict[str, Any]]) -> list[Value]:
    if len(frames) == 1:
        return [_check_one_gauge([column[0] for column in columns], frames[0])]
    low, spread, last, rest, beside, runs, back = columns
    counts = list(map(add, beside, [frame["samples"] for frame in frames]))
    if min(counts) < 1 or min(spread) < 0 or min(last) < 0 or min(runs) < 0 or any(map(lt, spread, last)):
        raise Refused("gauge", "a reading out of its own bounds")
    sums = list(map(add, rest, map(mul, counts, low)))
    _within(map(abs, sums))  # bounds the rest as well: |min| <= |sum| + ..., checked with the spread below
    _within(map(abs, low))
    _within(spread)
    if min(rest) < 0 or any(map(lt, map(mul, counts, spread), rest)):
        raise Refused("gauge", "a sum that its readings cannot have")
    orders = [frame["last_order"] - run for frame, run in zip(frames, runs, strict=True)]
    boots = [
        b if run else frame["last_boottime"] - b for frame, run, b in zip(frames, runs, back, strict=True)
    ]
    if min(orders) < 0 or min(boots) < 0:
        raise Refused("gauge", "a reading before the first run")
    _within(boots)
    kind = repeat(_GAUGE)
    highs, lasts = map(add, low, spread), map(add, low, last)
    return list(zip(kind, counts, sums, low, highs, lasts, orders, boots, strict=False))


def _check_one_gauge(words: list[int], frame: dict[str, Any]) -> Value:
    """`_check_gauge` for the one record of a live message: a fifth of the time that columns of one take."""
    low, spread, last, rest, beside, runs, back = words
    count = beside + frame["samples"]
    if count < 1 or runs < 0 or not 0 <= last <= spread:
        raise Refused("gauge", "a reading out of its own bounds")
    total = rest + count * low
    if not (-_LIMIT < total < _LIMIT and -_LIMIT < low < _LIMIT and spread < _LIMIT):
        raise Refused("value", "a number is out of its range")
    if not 0 <= rest <= count * spread:
        raise Refused("gauge", "a sum that its readings cannot have")
    order = frame["last_order"] - runs
    boottime = back if runs else frame["last_boottime"] - back
    if order < 0 or boottime < 0:
        raise Refused("gauge", "a reading before the first run")
    if boottime >= _LIMIT:
        raise Refused("value", "a number is out of its range")
    return _GAUGE, count, total, low, low + spread, low + last, order, boottime


def _check_histogram(columns: Sequence[Sequence[int]], frames: list[dict[str, Any]]) -> list[Value]:
    for column in columns:
        _within(column)
    return list(zip(repeat(_HISTOGRAM), *columns, strict=False))


def _check_vector(values: Sequence[Sequence[int]], frames: list[dict[str, Any]]) -> list[Value]:
    for value in values:
        if (
            not 1 < len(value) <= 1 + MAX_COMPONENTS
            or set(map(type, value)) != {int}
            or value[0] < VECTOR_MIN_COUNT
        ):
            raise Refused("vector", f"not a sum of {VECTOR_MIN_COUNT} values or more")
        _within(map(abs, value))
    kind = _VECTOR
    return [(kind, *value) for value in values]


def _check_sketch(values: Sequence[Value], frames: list[dict[str, Any]]) -> list[Value]:
    # Every word is a whole number of at least 0 and in range, which is quickest told of all of them at once.
    everything = cast("list[int]", list(chain.from_iterable(values)))
    if set(map(type, everything)) != {int}:
        raise Refused("sketch", "not accuracy, zeros, sum and bins")
    _within(everything)
    result: list[Value] = []
    kind = _SKETCH
    for words in cast("Sequence[tuple[int, ...]]", values):
        size = len(words)
        if size < 3 or size % 2 == 0 or words[0] >= 10_000 or size > 2 * MAX_BINS + 3:
            raise Refused("sketch", "not accuracy, zeros, sum and bins, or beyond their range")
        keys, counts = list(accumulate(words[3::2])), words[4::2]
        if keys and (min(counts) < 1 or min(words[5::2], default=1) < 1 or keys[-1] > 1 << 20):
            raise Refused("sketch", "bins that are empty, unsorted or out of range")
        value = [kind, words[0] or ACCURACY, *words[1:]]
        value[4::2] = keys
        result.append(tuple(value))
    return result


def _check_tally(values: Sequence[Value], frames: list[dict[str, Any]]) -> list[Value]:
    for words in values:
        keys, counts = words[::2], words[1::2]
        if len(keys) != len(counts) or len(keys) > MAX_TALLY_KEYS + 1 or not set(map(type, counts)) <= {int}:
            raise Refused("tally", "not keys and counts")
        if not all(map(_is_identifier, keys)) or list(keys) != sorted(set(keys)):
            raise Refused("tally", "keys that are no identifiers or not sorted")
        if counts and min(counts) < 1:  # type: ignore[operator]
            raise Refused("tally", "a count below one")
        _within(counts)
    kind = _TALLY
    return [(kind, *words) for words in values]


def _is_identifier(item: Any) -> bool:
    return type(item) is str and _known_identifier(item)


@lru_cache(maxsize=4096)
def _known_identifier(text: str) -> bool:
    return identifier(text) is not None


def _within(numbers: Any) -> None:
    items = list(numbers)
    if items and (min(items) < 0 or max(items) >= _LIMIT):
        raise Refused("value", "a number is out of its range")


_FROM_WORDS: dict[int, Callable[[Any, list[dict[str, Any]]], list[Value]]] = {
    Kind.COUNTER: _check_counter,
    Kind.GAUGE: _check_gauge,
    Kind.SKETCH: _check_sketch,
    Kind.HISTOGRAM: _check_histogram,
    Kind.TALLY: _check_tally,
    Kind.VECTOR: _check_vector,
}


def _checked_list(items: Any, kind: type, most: int, name: str) -> list[Any]:
    if type(items) is not list or len(items) > most or not set(map(type, items)) <= {kind}:
        raise Refused(name, f"not a list of at most {most} {kind.__name__}")
    return items
