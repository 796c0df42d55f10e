"""The phases of an exchange over its time."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from stonechat.exchange_row import FIELDS, FieldKind
from stonechat.waterfall import PHASES, lay_out

S = 1_000_000


def spans(**fields: Any) -> list[tuple[str, int, int]]:
    fall = lay_out(fields)
    return [] if fall is None else [span[:3] for span in fall.spans]


def test_phases_before_the_first_token_end_at_it_and_the_rest_is_told_by_no_figure() -> None:
    assert spans(queue=S, prefill=2 * S, ttft=4 * S, decode=5 * S, duration=10 * S) == [
        ("unattributed", 0, S),
        ("queue", S, 2 * S),
        ("prefill", 2 * S, 4 * S),
        ("decode", 4 * S, 9 * S),
        ("unattributed", 9 * S, 10 * S),
    ]


def test_without_a_first_token_they_follow_each_other_from_the_requests_end() -> None:
    assert spans(connected=S, queue=S, prefill=S, decode=2 * S, duration=5 * S) == [
        ("unattributed", 0, S),
        ("queue", S, 2 * S),
        ("prefill", 2 * S, 3 * S),
        ("decode", 3 * S, 5 * S),
    ]


def test_reasoning_is_what_comes_before_the_first_content() -> None:
    assert spans(ttft=S, ttfc=3 * S, decode=5 * S, duration=6 * S)[1:] == [
        ("reasoning", S, 3 * S),
        ("decode", 3 * S, 6 * S),
    ]
    assert spans(ttft=0, ttfc=9 * S, decode=5 * S, duration=5 * S) == [("reasoning", 0, 5 * S)]


def test_figures_that_are_longer_than_what_was_seen_do_not_overlap() -> None:
    assert spans(queue=9 * S, prefill=2 * S, ttft=S, decode=S, duration=2 * S) == [
        ("queue", 0, S),
        ("decode", S, 2 * S),
    ]


def test_nothing_lasts_beyond_the_last_byte() -> None:
    """What was seen of the connection may be later than what the engine did by then."""
    assert spans(connected=2 * S, prefill=S, decode=3 * S, duration=5 * S) == [
        ("unattributed", 0, S),
        ("prefill", S, 2 * S),
        ("decode", 2 * S, 5 * S),
    ]
    assert spans(connected=S, prefill=2 * S, decode=9 * S, duration=5 * S) == [
        ("prefill", 0, 2 * S),
        ("decode", 2 * S, 5 * S),
    ]
    assert spans(ttft=S, decode=5 * S, duration=5 * S) == [("unattributed", 0, S), ("decode", S, 5 * S)]


def test_a_failure_without_figures_is_told_by_none_and_no_time_is_no_waterfall() -> None:
    assert spans(duration=30 * S) == [("unattributed", 0, 30 * S)]
    assert spans(closed=S) == [("unattributed", 0, S)]
    assert lay_out({}) is None
    assert lay_out({"duration": 0}) is None


TIMES = st.none() | st.integers(0, 1 << 52)


@given(
    st.fixed_dictionaries({f.name: TIMES for f in FIELDS if f.kind in (FieldKind.OFFSET, FieldKind.DURATION)})
)
def test_any_figures_make_bars_within_the_whole(fields: dict[str, int | None]) -> None:
    fall = lay_out(fields)
    if fall is None:
        return
    for span in fall.spans:
        assert span.phase in PHASES
        assert 0 <= span.begin < span.end <= fall.whole
        assert 0 <= fall.at(span.begin) <= fall.at(span.end) <= 1000
    seen = [span for span in fall.spans if span.phase != "decode"]
    assert all(one.end <= other.begin for one, other in pairwise(seen))


def test_the_request_is_a_phase_and_what_follows_begins_after_it() -> None:
    assert spans(request_complete=S, queue=S, ttft=3 * S, duration=3 * S) == [
        ("request", 0, S),
        ("unattributed", S, 2 * S),
        ("queue", 2 * S, 3 * S),
    ]
    # An engine's figures that do not fit after the request's end: the request gives way.
    assert spans(request_complete=2 * S, prefill=2 * S, ttft=3 * S, duration=3 * S) == [
        ("request", 0, S),
        ("prefill", S, 3 * S),
    ]
