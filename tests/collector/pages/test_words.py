"""How figures and times are written."""

from __future__ import annotations

import pytest

from stonechat_collector import status
from stonechat_collector.pages import words


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0, "0"),
        (0.012345, "0.0123"),
        (4.5, "4.50"),
        (9.996, "10.0"),
        (99.96, "100"),
        (512.4, "512"),
        (12_345, "12,300"),
        (-3.217, "-3.22"),
    ],
)
def test_figures_have_three_significant_digits(value: float, written: str) -> None:
    assert words.significant(value) == written


@pytest.mark.parametrize(
    ("value", "unit", "written"),
    [
        (0, "s", "0 s"),
        (0.000_25, "s", "250 µs"),
        (0.4123, "s", "412 ms"),
        (0.9996, "s", "1.00 s"),
        (12.34, "s", "12.3 s"),
        (600, "s", "10.0 min"),
        (86_400, "s", "24.0 h"),
        (400_000, "s", "4.63 d"),
        (0.5, "1", "50.0 %"),
        (0.034, "1", "3.4 %"),
        (0.0004, "1", "< 0.1 %"),
        (1, "1", "100 %"),
        (0, "1", "0 %"),
        (33_000_000, "By", "31.5 MiB"),
        (1023, "By", "0.999 KiB"),
        (61.53, "Cel", "61.5 °C"),
        (23.42, "{token}/s", "23.4 tok/s"),
        (9_999, "{exchange}", "9,999"),
        (123_456, "{exchange}", "123 k"),
        (12_345_678, "{token}", "12.3 M"),
    ],
)
def test_a_figure_stands_in_the_unit_in_which_it_reads_best(value: float, unit: str, written: str) -> None:
    assert str(words.figure(value, unit)) == written


def test_unknown_is_a_dash_with_a_word_and_never_a_zero() -> None:
    markup = words.figure_html(None, "s")
    assert "unknown" in markup
    assert "0" not in markup


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (0, "just now"),
        (-8, "just now"),
        (12, "12 s ago"),
        (250, "4 min ago"),
        (7300, "2 h ago"),
        (200_000, "2 d ago"),
        (-240, "in 4 min"),
    ],
)
def test_times_are_relative(seconds: int, written: str) -> None:
    now = 1_795_602_784_000
    assert words.ago(now - seconds * 1000, now) == written
    assert '<time datetime="2026-11-2' in words.ago_html(now - seconds * 1000, now)


def test_since_names_the_day_where_it_was_not_today() -> None:
    now = 1_795_602_784_000
    assert ">09:33 UTC<" in words.since_html(now - 3_600_000, now)
    assert ">24 Nov 10:33 UTC<" in words.since_html(now - 86_400_000, now)


@pytest.mark.parametrize("ms", [-(10**18), 10**18])
def test_an_impossible_instant_is_shown_at_the_edge_of_the_calendar(ms: int) -> None:
    assert words.exact(ms).endswith("UTC")


def test_the_statuses_are_those_of_the_verdicts() -> None:
    assert tuple(words.STATUS_RANK) == status.STATUSES


def test_a_status_of_a_newer_store_is_unknown() -> None:
    assert words.status_word("splendid") == "unknown"
    assert words.status_word("slow") == "slow"
