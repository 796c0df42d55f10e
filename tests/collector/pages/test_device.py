"""The device page's range and the columns of its charts."""

from __future__ import annotations

from typing import Any

import pytest
from tests.collector.pages.fleets import NOW, a_device, windows

from stonechat_collector.pages import device
from stonechat_collector.pages.device import HOUR, MINUTE, Range

TTFT = "gen_ai.server.time_to_first_token"


def course(metric: str, points: list[dict[str, Any]], step: int = MINUTE) -> dict[str, Any]:
    return {"step": step, "spans": [], "metrics": {metric: {"unit": "", "kind": "", "points": points}}}


@pytest.mark.parametrize(
    ("name", "window", "step"),
    [
        ("15m", MINUTE, MINUTE),
        ("15m", 5000, 5000),
        ("1h", MINUTE, MINUTE),
        ("24h", MINUTE, 10 * MINUTE),
        ("7d", MINUTE, HOUR),
        ("30d", MINUTE, HOUR),
    ],
)
def test_the_step_is_the_finest_that_the_windows_and_the_width_allow(
    name: str, window: int, step: int
) -> None:
    span = Range.read({"range": name}, NOW, window)
    assert span.step == step
    assert span.start % step == span.end % step == 0
    assert span.end >= NOW > span.end - step
    assert (span.end - span.start) / step <= device.MAX_POINTS + 1


def test_a_fixed_range_stays_and_moves_by_its_length() -> None:
    span = Range.read({"from": str(NOW - 2 * HOUR), "to": str(NOW - HOUR)}, NOW)
    assert not span.live
    assert span.end - span.start in {HOUR, HOUR + MINUTE}
    assert f"from={span.start - (span.end - span.start)}" in span.moved(-1)


def test_a_step_without_a_window_is_a_gap() -> None:
    span = Range("", 0, 3 * MINUTE, MINUTE)
    points = [{"time": 0, "p50": 0.2, "p95": 0.9}, {"time": 2 * MINUTE, "p50": 0.4, "p95": 1.0}]
    page = device.build(a_device("kiosk-1"), course(TTFT, points), [], span)
    assert [line["values"] for line in page.data["charts"][0]["series"]] == [
        [0.2, None, 0.4],
        [0.9, None, 1.0],
    ]
    assert [time for time, _ in page.rows] == [2 * MINUTE, 0]


def test_a_folded_span_is_as_coarse_as_it_is_and_its_counts_are_spread() -> None:
    span = Range("", 0, 4 * MINUTE, MINUTE)
    points = [
        {"time": 0, "sum": 9.0, "rate": 0.05, "span": 3 * MINUTE},
        {"time": 3 * MINUTE, "sum": 5.0, "rate": 0.1},
    ]
    page = device.build(a_device("kiosk-1"), course("stonechat.exchanges", points), [], span)
    counted = next(chart for chart in page.data["charts"] if chart["key"] == "count")
    assert counted["series"][0]["values"] == [3.0, 3.0, 3.0, 5.0]


def test_failures_are_none_where_exchanges_were_counted_and_unknown_where_not() -> None:
    span = Range("", 0, 2 * MINUTE, MINUTE)
    page = device.build(
        a_device("kiosk-1"), course("stonechat.exchanges", [{"time": 0, "sum": 4.0, "rate": 1.0}]), [], span
    )
    failed = next(chart for chart in page.data["charts"] if chart["key"] == "errors")
    assert failed["series"][0]["values"] == [0.0, None]


def test_neighbouring_spans_of_an_uncertain_clock_are_one() -> None:
    span = Range("", 0, 4 * MINUTE, MINUTE)
    found = windows(span.start, span.end, span.step)
    found["spans"] = [{"time": at * MINUTE, "span": MINUTE, "uncertain": at != 2} for at in (0, 1, 2, 3)]
    page = device.build(a_device("kiosk-1"), found, [], span)
    assert page.data["uncertain"] == [(0, 120), (180, 240)]
    facts = dict(page.facts)["Delivery"]
    assert ("clock", "not certain in 3 of 4 steps") in facts


def test_what_is_not_known_has_no_chart_and_no_fact() -> None:
    found = a_device("kiosk-1", "unknown", labels={}, hardware=None)
    page = device.build(found, {"step": MINUTE, "spans": [], "metrics": {}}, [], Range.read({}, NOW))
    assert not page.charts
    assert not page.rows
    assert [title for title, _ in page.facts] == ["Device"]
