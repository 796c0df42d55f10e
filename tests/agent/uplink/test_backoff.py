"""Full jitter, begun anew only after a stable session."""

from __future__ import annotations

import random

from stonechat_agent.uplink import Backoff


def test_waits_grow_up_to_the_cap() -> None:
    backoff = Backoff(lambda: 0.999999, base=1.0, cap=60.0)
    waits = [round(backoff.wait(float(now))) for now in range(10)]
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]


def test_waits_are_spread_over_the_whole_span() -> None:
    backoff = Backoff(random.Random(1).random, cap=300.0)
    waits = [backoff.wait(0.0) for _ in range(1000)][20:]
    assert min(waits) < 10
    assert max(waits) > 290
    assert 130 < sum(waits) / len(waits) < 170
    assert all(0.1 <= wait <= 300 for wait in waits)


def test_a_session_that_breaks_at_once_does_not_begin_anew() -> None:
    backoff = Backoff(lambda: 0.999999, base=1.0, stable=60.0)
    for attempt in range(5):
        backoff.connected(attempt * 10.0)
        assert round(backoff.wait(attempt * 10.0 + 1)) == 2**attempt
    backoff.connected(100.0)
    assert round(backoff.wait(160.0)) == 1


def test_an_attempt_that_fails_after_a_stable_session_goes_on_growing() -> None:
    backoff = Backoff(lambda: 0.999999)
    backoff.connected(0.0)
    assert [round(backoff.wait(now)) for now in (1000.0, 1100.0, 1200.0)] == [1, 2, 4]
