"""Quantiles of whole numbers within a fixed relative error, exactly mergeable.

DDSketch (Masson, Rim, Lee: "DDSketch: a fast and fully-mergeable quantile sketch", VLDB 2019) over integers: a value
``v >= 1`` falls into bin ``ceil(log(v) / log(gamma))`` with ``gamma = (1 + a) / (1 - a)``, and a quantile is reported
as the bin's middle, at most ``a * v`` away from the true one. Counts and the sum are integers, so that merging is
associative and commutative to the last unit.

At most ``MAX_BINS`` neighbouring bins are kept, counted down from the highest; what falls below them is counted in the
lowest kept bin. With ``a`` = 2 % that is a range of 1 to 8e8 below the maximum, beyond which only the lowest quantiles
suffer. The kept range depends on the greatest key alone, which is why the collapse keeps the order of merging out of
the result.

A sketch is a tuple ``(accuracy, zeros, sum, key, count, key, count, ...)``: accuracy in ten-thousandths, zeros the
count of values below 1, keys ascending. Some 8 bytes a bin on the heap, 2 on the wire.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

ACCURACY = 200
"""Relative error of new sketches, in ten-thousandths: 2 %."""

MAX_BINS = 512

Sketch = tuple[int, ...]

_LOG_GAMMA = math.log((1 + ACCURACY / 1e4) / (1 - ACCURACY / 1e4))


def log_gamma(accuracy: int) -> float:
    """Natural logarithm of the ratio of two neighbouring bins, for an accuracy in ten-thousandths (1 to 9999)."""
    if accuracy == ACCURACY:
        return _LOG_GAMMA
    return math.log((1 + accuracy / 1e4) / (1 - accuracy / 1e4))


def key_of(value: int) -> int:
    """The bin of a value of at least 1, at the accuracy of new sketches."""
    return math.ceil(math.log(value) / _LOG_GAMMA)


def collapse(bins: dict[int, int]) -> dict[int, int]:
    """Keep the ``MAX_BINS`` highest neighbouring bins; lower ones are added to the lowest kept."""
    if not bins:
        return bins
    lowest = max(bins) - MAX_BINS + 1
    below = [key for key in bins if key < lowest]
    if below:
        bins[lowest] = bins.get(lowest, 0) + sum(bins.pop(key) for key in below)
    return bins


def build(accuracy: int, zeros: int, total: int, bins: dict[int, int]) -> Sketch:
    """A sketch from its parts; ``bins`` is collapsed in place."""
    flat: list[int] = [accuracy, zeros, total]
    for pair in sorted(collapse(bins).items()):
        flat.extend(pair)
    return tuple(flat)


def of(values: Iterable[int]) -> Sketch:
    """The sketch of whole numbers; those below 1 count as zeros and add nothing to the sum."""
    zeros = total = 0
    bins: dict[int, int] = {}
    for value in values:
        if value < 1:
            zeros += 1
        else:
            total += value
            key = key_of(value)
            bins[key] = bins.get(key, 0) + 1
    return build(ACCURACY, zeros, total, bins)


def bins_of(sketch: Sketch) -> dict[int, int]:
    """The bins of a sketch: key to count."""
    return dict(zip(sketch[3::2], sketch[4::2], strict=True))


def merge(one: Sketch, other: Sketch) -> Sketch:
    """The sketch of both sketches' values. Raises ValueError when their accuracies differ."""
    if one[0] != other[0]:
        raise ValueError(f"sketches of accuracy {one[0]}e-4 and {other[0]}e-4 cannot be merged")
    bins = bins_of(one)
    for key, count in zip(other[3::2], other[4::2], strict=True):
        bins[key] = bins.get(key, 0) + count
    return build(one[0], one[1] + other[1], one[2] + other[2], bins)


def count(sketch: Sketch) -> int:
    """How many values the sketch holds."""
    return sketch[1] + sum(sketch[4::2])


def quantile(sketch: Sketch, q: float) -> float | None:
    """The value at quantile ``q`` in [0, 1], within the sketch's accuracy; None when it is empty."""
    total = count(sketch)
    if not total:
        return None
    rank = q * (total - 1)
    seen = sketch[1]
    if rank < seen:
        return 0.0
    width = log_gamma(sketch[0])
    key = sketch[-2] if len(sketch) > 3 else 0
    for candidate, n in zip(sketch[3::2], sketch[4::2], strict=True):
        seen += n
        if seen > rank:
            key = candidate
            break
    gamma = math.exp(width)
    return 2.0 * math.exp(key * width) / (1.0 + gamma)
