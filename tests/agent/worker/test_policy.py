"""When a worker may score, and how long one that failed is left alone."""

from __future__ import annotations

import pytest

from stonechat.catalog import metric_id
from stonechat_agent.sampling.reading import Reading
from stonechat_agent.scoring.worker.policy import Backoff, Conditions, Gate, conditions_of


def gate(*, always: bool = False) -> Gate:
    return Gate(always=always, max_temperature=80, min_battery=20)


def test_nothing_is_known_and_nothing_is_wrong() -> None:
    assert gate().why_not(0, 100.0) == ""


def test_a_decoding_engine_comes_first_and_gets_a_moment_after_it() -> None:
    one = gate()
    assert one.why_not(1, 100.0) == "decoding"
    assert one.why_not(0, 100.3) == "decoding"  # an agent that calls tools is back in milliseconds
    assert one.why_not(0, 100.6) == ""
    assert gate(always=True).why_not(3, 100.0) == ""


@pytest.mark.parametrize("always", [True, False])
def test_heat_pauses_until_it_is_clearly_cooler(always: bool) -> None:
    one = gate(always=always)
    found = []
    for now, temperature in enumerate([79.9, 80.0, 79.0, 75.0, 74.9, 79.9, 80.0]):
        one.tell(Conditions(temperature, None, None), now)
        found.append(one.why_not(0, now))
    assert found == ["", "heat", "heat", "heat", "", "", "heat"]


def test_a_low_battery_pauses_while_it_is_in_use() -> None:
    one = gate()
    found = []
    for now, (percent, on_battery) in enumerate(
        [(20.0, True), (19.9, True), (24.0, True), (25.0, True), (19.0, True), (19.0, False), (19.0, True)]
    ):
        one.tell(Conditions(None, percent, on_battery), now)
        found.append(one.why_not(0, now))
    assert found == ["", "battery", "battery", "", "battery", "", "battery"]


def test_what_some_samples_do_not_tell_holds_for_a_minute() -> None:
    one = gate()
    one.tell(Conditions(90.0, None, None), 0.0)
    one.tell(Conditions(None, None, None), 30.0)
    assert one.why_not(0, 59.0) == "heat"
    assert one.why_not(0, 61.0) == ""  # a sensor that is gone must not stop it for good


def test_conditions_are_those_of_a_sample() -> None:
    readings = [
        Reading(metric_id("hw.temperature"), 605),
        Reading(metric_id("hw.battery.charge"), 4_321),
        Reading(metric_id("hw.battery.power"), 9_000),
        Reading(metric_id("hw.fan_speed"), 3_000),
    ]
    assert conditions_of(readings) == Conditions(60.5, 43.21, True)
    assert conditions_of([Reading(metric_id("hw.battery.power"), 0)]) == Conditions(None, None, False)


def test_waits_grow_are_told_once_each_and_begin_anew_after_a_long_life() -> None:
    backoff = Backoff((1.0, 10.0, 60.0), stable=300.0)
    found = [backoff.failed(lived=5.0) for _ in range(5)]
    assert found == [
        (1.0, True, False),
        (10.0, True, False),
        (60.0, True, True),
        (60.0, False, True),
        (60.0, False, True),
    ]
    assert backoff.failed(lived=300.0) == (1.0, True, False)
