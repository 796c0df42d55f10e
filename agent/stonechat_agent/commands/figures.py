"""Figures for people: three digits and a unit. What is unknown says so, and is never a zero."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from stonechat.units import DURATION_UNITS, SIZE_UNITS

UNKNOWN = "unknown"
NONE = "-"
"""Unknown, in the cell of a table."""

_US = {unit: factor // 1000 for unit, factor in DURATION_UNITS.items() if factor >= 1000}


def duration(us: float | None, unknown: str = UNKNOWN) -> str:
    """Microseconds as ``"850us"``, ``"12.3ms"``, ``"2.51s"``, ``"1m40s"``, ``"2h05m"`` or ``"3d04h"``."""
    if us is None:
        return unknown
    if us < 999.5:
        return f"{us:.0f}us"
    if us < 999_500:
        return f"{_three(us / _US['ms'])}ms"
    if us < 59.95 * _US["s"]:
        return f"{_three(us / _US['s'])}s"
    seconds = round(us / _US["s"])
    if seconds < 3600:
        return f"{seconds // 60}m{seconds % 60:02}s"
    if seconds < 86_400:
        return f"{seconds // 3600}h{seconds % 3600 // 60:02}m"
    return f"{seconds // 86_400}d{seconds % 86_400 // 3600:02}h"


def size(number: float | None, unknown: str = UNKNOWN) -> str:
    """Bytes as ``"512B"``, ``"1.50KiB"``, ``"12.3MiB"``."""
    if number is None:
        return unknown
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if number >= 0.9995 * SIZE_UNITS[unit]:
            return f"{_three(number / SIZE_UNITS[unit])}{unit}"
    return f"{number:.0f}B"


def count(number: float | None, unknown: str = UNKNOWN) -> str:
    """A whole number below 100,000 as it is, then ``"123k"``, ``"1.23M"``."""
    if number is None:
        return unknown
    if number < 99_999.5:
        return f"{number:.0f}"
    if number < 999_500:
        return f"{number / 1e3:.0f}k"
    for factor, unit in ((1e6, "M"), (1e9, "G")):
        if number < 999.5 * factor:
            return f"{_three(number / factor)}{unit}"
    return f"{number:.3g}"


def rate(number: float | None, unknown: str = UNKNOWN) -> str:
    """Tokens a second, without the unit."""
    return unknown if number is None else _three(number)


def share(number: float | None, unknown: str = UNKNOWN) -> str:
    """A share of 1 as ``"12.5%"``."""
    if number is None:
        return unknown
    return f"{100 * number:.0f}%" if number in (0, 1) else f"{_three(100 * number)}%"


def moment(ms: float | None, *, today: datetime | None = None, unknown: str = UNKNOWN) -> str:
    """Ms since 1970 as local time, without what it shares with ``today``: the day, or else the year."""
    if ms is None:
        return unknown
    try:
        local = datetime.fromtimestamp(ms / 1000)
    except (ValueError, OverflowError, OSError):
        return unknown  # a clock that was never set, and a reader that cannot show it
    if today is not None and local.date() == today.date():
        return local.strftime("%H:%M:%S")
    if today is not None and local.year == today.year:
        return local.strftime("%m-%d %H:%M:%S")
    return local.strftime("%Y-%m-%d %H:%M:%S")


def precise_moment(ms: int) -> str:
    """Ms since 1970 as local time with milliseconds and zone."""
    try:
        local = datetime.fromtimestamp(ms / 1000).astimezone()
    except (ValueError, OverflowError, OSError):
        return f"{ms} ms since 1970"
    return local.strftime("%Y-%m-%d %H:%M:%S.") + f"{ms % 1000:03}" + local.strftime(" %z")


def quantile(values: Sequence[float], q: float) -> float | None:
    """The value at quantile ``q`` of sorted values (nearest rank); None of none."""
    if not values:
        return None
    return values[min(len(values) - 1, max(0, -int(-q * len(values) // 1) - 1))]


def _three(number: float) -> str:
    """Three digits, and never an exponent."""
    if number < 9.995:
        text = f"{number:.2f}"
        return text if number >= 0.005 or number == 0 else "<0.01"
    if number < 99.95:
        return f"{number:.1f}"
    return f"{number:.0f}"
