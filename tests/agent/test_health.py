"""Whether engines are up, and what is told when that changes."""

from __future__ import annotations

from stonechat.event import EventKind
from stonechat.exchange import Exchange, Source
from stonechat_agent.health import RESTARTS, UP, EngineHealth
from stonechat_agent.sampling.reading import Reading


def kinds(health: EngineHealth, *readings: Reading) -> list[str]:
    return [change.kind for change in health.sampled(readings)[1]]


def test_an_engine_is_down_once_and_up_once() -> None:
    health = EngineHealth(["e"])
    up, down = Reading(UP, 10_000, "e"), Reading(UP, 0, "e")
    assert kinds(health, up) == []
    assert kinds(health, down) == [EventKind.ENGINE_DOWN]
    assert kinds(health, down) == []
    assert kinds(health, up, Reading(RESTARTS, 1, "e")) == [EventKind.ENGINE_RESTARTED, EventKind.ENGINE_UP]
    assert health.states == {"e": True}


def test_without_a_process_the_relay_says_whether_the_engine_is_reached() -> None:
    health = EngineHealth(["e"])
    assert health.sampled([]) == ([], [])
    health.met(Exchange("e", error_type="engine_refused"))
    added, changes = health.sampled([])
    assert added == [Reading(UP, 0, "e")]
    assert [change.kind for change in changes] == [EventKind.ENGINE_DOWN]
    health.met(Exchange("e", first_byte_ns=5))
    assert health.sampled([])[0] == [Reading(UP, 10_000, "e")]


def test_an_engine_that_fails_while_it_answers_is_up() -> None:
    health = EngineHealth(["e"])
    health.met(Exchange("e", error_type="http_5xx", first_byte_ns=5))
    health.met(Exchange("e", error_type="timeout", connected_ns=1))
    assert health.sampled([])[0] == [Reading(UP, 10_000, "e")]


def test_what_an_application_tells_says_nothing_of_the_engine() -> None:
    health = EngineHealth(["e"])
    health.met(Exchange("e", source=Source.RECORD, error_type="timeout"))
    health.met(Exchange("e", source=Source.RECORD, first_byte_ns=5))
    assert health.sampled([]) == ([], [])


def test_an_engine_that_tells_of_itself_is_up_and_one_that_nobody_reaches_is_down() -> None:
    health = EngineHealth(["e"])
    health.heard("e", up=False)
    assert kinds(health) == [EventKind.ENGINE_DOWN]
    assert kinds(health) == []
    health.heard("e", up=True)
    assert kinds(health) == [EventKind.ENGINE_UP]
    # Its process, where that is known, is the better witness.
    health.heard("e", up=False)
    assert kinds(health, Reading(UP, 10_000, "e")) == []
