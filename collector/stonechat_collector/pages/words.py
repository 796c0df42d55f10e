"""How figures, times and statuses are written: the filters of the templates.

Figures have three significant digits and their unit beside them; unknown is a dash that says "unknown" to a screen
reader, never a zero. Times are relative, with the exact instant in a ``time`` element. All functions are pure.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any, NamedTuple

from markupsafe import Markup


class Status(NamedTuple):
    """One status of a device: its word, what it means, and whether somebody should look."""

    word: str
    meaning: str
    needs_somebody: bool


STATUSES: tuple[Status, ...] = (
    Status("offline", "silent: the collector hears nothing from it", True),
    Status("failing", "its engine is down, or too many exchanges end in errors", True),
    Status("slow", "answers take longer than they should", True),
    Status("hot", "close to its limit of temperature, or throttled by it", True),
    Status("well", "answers come, in time", False),
    Status("unknown", "heard of, but nothing is known yet", False),
)
"""Worst first; the order of every list of statuses."""

STATUS_RANK: Mapping[str, int] = {status.word: rank for rank, status in enumerate(STATUSES)}

_UNKNOWN = Markup(
    '<span class="unknown"><span aria-hidden="true">–</span><span class="vh">unknown</span></span>'
)


def status_word(word: object) -> str:
    """The word if it is a status, else ``"unknown"``: a word of a newer store never looks like "well"."""
    return word if isinstance(word, str) and word in STATUS_RANK else "unknown"


def significant(value: float) -> str:
    """Three significant digits, without an exponent and without zeros that say nothing beyond them: 0.0123, 4.50, 512.

    Thousands are grouped: 12,300.
    """
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else "–"
    # Rounding may carry into another digit (9.996), so the exponent is taken from the rounded number.
    rounded = float(f"{value:.2e}")
    decimals = 2 - math.floor(math.log10(abs(rounded)))
    return f"{rounded:,.{max(decimals, 0)}f}"


class Figure(NamedTuple):
    """A number as it is written, and its unit ("" where it has none)."""

    text: str
    unit: str

    def __str__(self) -> str:
        return f"{self.text} {self.unit}" if self.unit else self.text


def duration(seconds: float) -> Figure:
    """Seconds in the unit in which they read best, from microseconds to days."""
    size = abs(seconds)
    for limit, factor, unit in (
        (9.995e-4, 1e6, "µs"),
        (0.9995, 1e3, "ms"),
        (119.95, 1, "s"),
        (7170, 1 / 60, "min"),
        (172_000, 1 / 3600, "h"),
    ):
        if size < limit:
            return Figure(significant(seconds * factor), unit) if size else Figure("0", "s")
    return Figure(significant(seconds / 86400), "d")


def size(count: float) -> Figure:
    """Bytes in binary units."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(count) < 999.5:
            return Figure(significant(count), unit)
        count /= 1024
    return Figure(significant(count), "TiB")


def count(value: float) -> Figure:
    """A count: exact below ten thousand, then in thousands, millions or billions."""
    if abs(value) < 10_000:
        return Figure(f"{value:,.0f}" if float(value).is_integer() else significant(value), "")
    for unit in ("k", "M"):
        value /= 1000
        if abs(value) < 999.5:
            return Figure(significant(value), unit)
    return Figure(significant(value / 1000), "G")


def share(ratio: float) -> Figure:
    """A ratio of 0 to 1 as percent; one decimal is as fine as anybody reads it."""
    percent = ratio * 100
    if 0 < abs(percent) < 0.1:
        return Figure("< 0.1", "%")
    return Figure(significant(percent) if abs(percent) >= 10 else f"{percent:.1f}".removesuffix(".0"), "%")


def per_thousand(ratio: float) -> Figure:
    """A ratio of 0 to 1 as so many of a thousand, for what is rare."""
    number = ratio * 1000
    if 0 < number < 0.1:
        return Figure("< 0.1", "")
    return Figure(significant(number) if number >= 10 else f"{number:.1f}".removesuffix(".0"), "")


PER_THOUSAND = "1/1000"
"""The unit of `FORMATS` by which a ratio is written as so many of a thousand."""

FORMATS: Mapping[str, Callable[[float], Figure]] = {
    "s": duration,
    "By": size,
    "1": share,
    PER_THOUSAND: per_thousand,
    "{token}/s": lambda value: Figure(significant(value), "tok/s"),
    "Cel": lambda value: Figure(significant(value), "°C"),
    "W": lambda value: Figure(significant(value), "W"),
    "J": lambda value: Figure(significant(value), "J"),
    "Hz": lambda value: Figure(significant(value / 1e6), "MHz"),
}


def figure(value: float | None, unit: str) -> Figure | None:
    """The figure of a value in a UCUM base unit; units in braces are counts. None stays None: unknown."""
    if value is None:
        return None
    return FORMATS.get(unit, count)(value)


def figure_html(value: float | None, unit: str) -> Markup:
    """A figure for a cell: number, then unit in its own element; unknown as a dash with a word for screen readers."""
    written = figure(value, unit)
    if written is None:
        return _UNKNOWN
    if not written.unit:
        return Markup('<span class="n">{}</span>').format(written.text)
    return Markup('<span class="n">{}</span> <span class="u">{}</span>').format(*written)


def instant(ms: int) -> str:
    """``2026-11-25T10:33:04Z``: for the ``datetime`` of a ``time`` element."""
    return _at(ms).strftime("%Y-%m-%dT%H:%M:%SZ")


def exact(ms: int) -> str:
    """``2026-11-25 10:33:04 UTC``: for titles and tables."""
    return _at(ms).strftime("%Y-%m-%d %H:%M:%S UTC")


def ago(ms: int, now_ms: int) -> str:
    """How long ago, in one unit: ``just now``, ``12 s ago``, ``4 min ago``, ``3 h ago``, ``2 d ago``.

    More than ten seconds ahead of us is told as it is (``in 4 min``): a clock is wrong somewhere.
    """
    seconds = round((now_ms - ms) / 1000)
    if -10 <= seconds < 5:
        return "just now"
    span = _span(abs(seconds))
    return f"{span} ago" if seconds > 0 else f"in {span}"


def _span(seconds: int) -> str:
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min"
    if seconds < 2 * 86400:
        return f"{seconds // 3600} h"
    return f"{seconds // 86400} d"


def span_words(seconds: float | None) -> str:
    """A span to average over: ``5 min``, ``1 h``; "" where unknown."""
    return "" if not seconds else _span(round(seconds))


def last_words(seconds: float | None) -> str:
    """A span behind "the last": ``5 min``, ``minute``, ``hour``; "" where unknown."""
    return {"1 min": "minute", "1 h": "hour"}.get(span_words(seconds), span_words(seconds))


def ago_html(ms: int | None, now_ms: int) -> Markup:
    """A ``time`` element with a relative text that the page's script keeps current."""
    if ms is None:
        return Markup('<span class="unknown">never</span>')
    return Markup('<time datetime="{}" title="{}" data-ago>{}</time>').format(
        instant(ms), exact(ms), ago(ms, now_ms)
    )


def since_html(ms: int | None, now_ms: int) -> Markup:
    """A ``time`` element with the time of day, and the date where that was not today; the script makes it local."""
    if ms is None:
        return Markup("")
    then, now = _at(ms), _at(now_ms)
    text = then.strftime("%H:%M UTC" if then.date() == now.date() else "%-d %b %H:%M UTC")
    return Markup('<time datetime="{}" title="{}" data-clock>{}</time>').format(instant(ms), exact(ms), text)


def plural(number: int, one: str, many: str = "") -> str:
    """``1 device``, ``2 devices``; thousands are grouped."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def sentence(text: str) -> str:
    """A reason as a sentence of its own: ``memory pressure`` as ``Memory pressure.``"""
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def _at(ms: int) -> datetime:
    # A device may claim any instant. What no calendar has is shown at the calendar's edge instead of as an error page.
    return datetime.fromtimestamp(min(max(ms, 0), 253402300799000) / 1000, tz=timezone.utc)


def text_of(value: Any) -> str:
    """A fact of a description for people: lists joined, booleans as yes and no, mappings as ``key value`` pairs."""
    if value is None or value == "":
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {text_of(item)}" for key, item in value.items() if text_of(item))
    if isinstance(value, (list, tuple)):
        return ", ".join(filter(None, map(text_of, value)))
    if isinstance(value, float):
        return significant(value) if math.isfinite(value) else ""
    return f"{value:,}" if isinstance(value, int) else str(value)
