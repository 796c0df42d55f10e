"""When an engine is asked: by tables of instants."""

from __future__ import annotations

from stonechat_agent.passive.schedule import Schedule


def test_at_the_start_then_only_after_use_and_once_a_minute() -> None:
    schedule = Schedule(100)
    assert schedule.due == 100
    schedule.answered(101)
    assert schedule.due is None
    schedule.used(110)
    assert schedule.due == 161
    schedule.used(120)
    assert schedule.due == 161
    schedule.answered(161)
    schedule.used(300)
    assert schedule.due == 300


def test_one_that_came_up_is_asked_at_once() -> None:
    schedule = Schedule(0)
    schedule.answered(0)
    schedule.came_up(10)
    assert schedule.due == 10


def test_one_that_is_not_there_is_asked_ever_less_often() -> None:
    schedule = Schedule(0)
    waits = []
    now = 0.0
    for _ in range(7):
        schedule.not_ready(now)
        assert schedule.due is not None
        waits.append(schedule.due - now)
        now = schedule.due
    assert waits == [2, 4, 8, 16, 32, 60, 60]
    schedule.came_up(now)
    schedule.not_ready(now)
    assert schedule.due == now + 2


def test_one_that_hangs_is_left_alone_for_long() -> None:
    schedule = Schedule(0)
    waits = []
    now = 0.0
    for _ in range(6):
        schedule.hung(now)
        schedule.used(now)  # being used does not bring the next question forward
        assert schedule.due is not None
        waits.append(schedule.due - now)
        now = schedule.due
    assert waits == [60, 120, 240, 480, 600, 600]
