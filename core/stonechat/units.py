"""Durations and sizes as people write them: ``"250ms"``, ``"7d"``, ``"64MiB"``.

Strict on purpose: one number, one unit, no spaces, no default unit, no signs, since ``60`` in a file tells no reader
whether seconds or minutes were meant. Numbers may have a fraction (``"1.5s"``). Results are integers (nanoseconds,
bytes), so that a value survives parse and format unchanged.
"""

from __future__ import annotations

import re
from fractions import Fraction

NS_PER_SECOND = 1_000_000_000

DURATION_UNITS = {
    "ns": 1,
    "us": 1_000,
    "ms": 1_000_000,
    "s": NS_PER_SECOND,
    "m": 60 * NS_PER_SECOND,
    "h": 3_600 * NS_PER_SECOND,
    "d": 86_400 * NS_PER_SECOND,
}
SIZE_UNITS = {
    "B": 1,
    "kB": 1_000,
    "MB": 1_000_000,
    "GB": 1_000_000_000,
    "TB": 1_000_000_000_000,
    "KiB": 1 << 10,
    "MiB": 1 << 20,
    "GiB": 1 << 30,
    "TiB": 1 << 40,
}
# "KB" is written often enough, and means what "kB" means.
_SIZE_SPELLINGS = {**SIZE_UNITS, "KB": 1_000}
# SQLite and MessagePack hold signed 64-bit integers; a duration or size beyond them is a slip of the pen.
_LIMIT = (1 << 63) - 1

_QUANTITY = re.compile(r"([0-9]{1,19}(?:\.[0-9]{1,9})?)([A-Za-z]+)", re.ASCII)


def parse_duration(text: str) -> int:
    """Return nanoseconds (>= 0) for text such as ``"250ms"``, ``"60s"``, ``"10m"``, ``"1h"``, ``"7d"``.

    Raises:
        ValueError: another form, a fraction of a nanosecond, or more than 2**63 - 1 ns (292 years).
    """
    return _parse(text, DURATION_UNITS, 'a duration such as "250ms", "60s", "10m", "1h" or "7d"')


def parse_size(text: str) -> int:
    """Return bytes (>= 0) for text such as ``"500B"``, ``"1KiB"``, ``"10MB"``, ``"64MiB"``.

    Raises:
        ValueError: another form, a fraction of a byte, or more than 2**63 - 1 bytes.
    """
    return _parse(text, _SIZE_SPELLINGS, 'a size such as "500B", "1KiB", "10MB" or "64MiB"')


def format_duration(ns: int) -> str:
    """Return the shortest exact text for a number of nanoseconds (>= 0); ``parse_duration`` gives the number back."""
    return _format(ns, DURATION_UNITS, zero="0s")


def format_size(size: int) -> str:
    """Return the shortest exact text for a number of bytes (>= 0); ``parse_size`` gives the number back."""
    return _format(size, SIZE_UNITS, zero="0B")


def _parse(text: str, units: dict[str, int], expected: str) -> int:
    match = _QUANTITY.fullmatch(text)
    if match is None or match[2] not in units:
        raise ValueError(f"must be {expected}")
    number = Fraction(match[1]) * units[match[2]]
    if number.denominator != 1:
        raise ValueError(f"must be {expected}; {text!r} is not a whole number of {next(iter(units))}")
    if number > _LIMIT:
        raise ValueError(f"must be {expected}; {text!r} is too large")
    return int(number)


def _format(number: int, units: dict[str, int], zero: str) -> str:
    if number < 0:
        raise ValueError(f"must not be negative: {number}")
    if number == 0:
        return zero
    return min(
        (f"{number // factor}{unit}" for unit, factor in units.items() if number % factor == 0), key=len
    )
