"""Values of metrics, and how two of them fold into one.

A value is a flat tuple whose first item is its kind (``catalog.Kind``); the rest are whole numbers, and in tallies
short identifiers too:

==========  =================================================================================
counter     ``(1, increments)``
gauge       ``(2, count, sum, min, max, last, order, boottime)``: ``last`` was read in the window
            that ended at ``boottime`` (ms) of the run of that ``order``
sketch      ``(3, accuracy, zeros, sum, key, count, ...)``: see ``sketch``
histogram   ``(4, count, weight, ...)``: values counted, then ``HISTOGRAM_BINS`` weights in ten-thousandths
tally       ``(5, key, count, ...)``: keys ascending
vector      ``(6, count, sum, ...)``
==========  =================================================================================

Folding is associative and commutative to the last unit. The bounds on the number of series and of a tally's keys are
not the fold's: they are kept where keys come into being (``slots``), because a bound applied while folding would make
the result depend on the order.
"""

from __future__ import annotations

from collections.abc import Iterable

from stonechat import sketch
from stonechat.catalog import Kind
from stonechat.errors import FoldError

Value = tuple[int | str, ...]

HISTOGRAM_BINS = 20
"""Bins of [0, 1], each a twentieth wide; 1.0 falls into the last."""

WEIGHT_ONE = 10_000
"""The weight of a value that stands for itself alone: weights are ten-thousandths."""

VECTOR_MIN_COUNT = 20
"""A vector sum of fewer values than this never travels: it would give one of them away."""


def counter(increments: int) -> Value:
    """A counter's increments."""
    return (Kind.COUNTER, increments)


def gauge(readings: Iterable[int], order: int, boottime: int) -> Value:
    """A gauge of at least one reading, in the order of their reading, in a window that ended at ``boottime`` ms."""
    items = list(readings)
    return (Kind.GAUGE, len(items), sum(items), min(items), max(items), items[-1], order, boottime)


def tally(counts: dict[str, int]) -> Value:
    """A tally of identifiers."""
    flat: list[int | str] = [Kind.TALLY]
    for pair in sorted(counts.items()):
        flat.extend(pair)
    return tuple(flat)


def tally_counts(value: Value) -> dict[str, int]:
    """The counts of a tally, by key."""
    return dict(zip(value[1::2], value[2::2], strict=True))  # type: ignore[arg-type]


def bin_of(score: float) -> int:
    """The bin of a histogram in which a score of 0 to 1 counts."""
    # In whole ten-thousandths, which is as fine as scores are: 0.15 * 20 may lie on either side of 3.
    return min(HISTOGRAM_BINS - 1, max(0, round(score * 10_000) * HISTOGRAM_BINS // 10_000))


def histogram(count: int, weights: Iterable[int]) -> Value:
    """A histogram of ``count`` values, with the weight of each bin in units of ``WEIGHT_ONE``."""
    return (Kind.HISTOGRAM, count, *weights)


def weight_of(value: Value) -> int:
    """The weight of all the values of a histogram."""
    return sum(value[2:])  # type: ignore[arg-type]


def fold(one: Value, other: Value) -> Value:
    """The value that holds what both hold.

    Raises:
        FoldError: the kinds differ, the kind is unknown, or the two cannot be added (other sketch accuracy, other
            number of bins or components).
    """
    kind = one[0]
    if kind != other[0]:
        raise FoldError(f"values of kind {kind} and {other[0]} do not fold")
    if kind == Kind.COUNTER:
        return (kind, one[1] + other[1])  # type: ignore[operator]
    if kind == Kind.GAUGE:
        return _fold_gauge(one, other)
    if kind == Kind.SKETCH:
        try:
            return (kind, *sketch.merge(one[1:], other[1:]))  # type: ignore[arg-type]
        except ValueError as error:
            raise FoldError(str(error)) from error
    if kind == Kind.TALLY:
        counts = tally_counts(one)
        for key, n in tally_counts(other).items():
            counts[key] = counts.get(key, 0) + n
        return tally(counts)
    if kind in (Kind.HISTOGRAM, Kind.VECTOR):
        if len(one) != len(other):
            raise FoldError(f"values of {len(one) - 2} and {len(other) - 2} components do not fold")
        return (kind, *(a + b for a, b in zip(one[1:], other[1:], strict=True)))  # type: ignore[operator]
    raise FoldError(f"values of kind {kind} are not known here and do not fold")


def _fold_gauge(one: Value, other: Value) -> Value:
    kind, n1, sum1, min1, max1, last1, order1, boot1 = one
    _, n2, sum2, min2, max2, last2, order2, boot2 = other
    # The later reading is the last; the reading itself breaks a tie, so that the order of folding cannot.
    later = max((order1, boot1, last1), (order2, boot2, last2))
    return (
        kind,
        n1 + n2,  # type: ignore[operator]
        sum1 + sum2,  # type: ignore[operator]
        min(min1, min2),
        max(max1, max2),
        later[2],
        later[0],
        later[1],
    )
