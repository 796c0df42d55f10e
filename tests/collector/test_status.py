"""Which status a device has and why, by its facts; and the watch that keeps it in the store."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select
from tests.collector.making import CHAT, MINUTE, NOW, state_message, window, windows_message

from stonechat import sketch
from stonechat.catalog import Kind
from stonechat.records import DEVICE, Series
from stonechat.values import counter, gauge
from stonechat_collector import rollup, schema, views
from stonechat_collector.identity import Run, see
from stonechat_collector.ingest import Ingest
from stonechat_collector.status import STATUSES, Facts, causes, judge, silence_limit
from stonechat_collector.store import Store
from stonechat_collector.views import sentence
from stonechat_collector.watch import Watch

WELL: dict[str, Any] = {"start": NOW, "step": MINUTE, "engine_up": 1.0, "temperature_celsius": 50.0}
RECENT: dict[str, Any] = {
    "exchanges": 100,
    "error_ratio": 0.0,
    "tokens_per_second": 20.0,
    "ttft_p95_seconds": 0.5,
}


def facts(now: dict[str, Any] | None = WELL, recent: dict[str, Any] | None = RECENT, **changes: Any) -> Facts:
    made = Facts(True, NOW, NOW, now, recent, NOW)
    return made._replace(**changes)


@pytest.mark.parametrize(
    ("case", "status", "reason"),
    [
        (facts(), "well", ""),
        (facts(online=None), "well", ""),
        (facts(online=False), "offline", "its connection ended"),
        (facts(last_seen=NOW - 180_001), "offline", "nothing heard for more than 3 min"),
        (facts(last_seen=NOW - 179_999), "well", ""),
        (
            facts({**WELL, "step": 2000}, last_seen=NOW - 20_001),
            "offline",
            "nothing heard for more than 20 s",
        ),
        (facts(None, None), "unknown", "heard of, but no window came yet"),
        (facts(None, None, online=False), "offline", "its connection ended"),
        (facts({**WELL, "engine_up": 0.0}), "failing", "the engine is down"),
        (facts(recent={**RECENT, "error_ratio": 0.05}), "failing", "5% of 100 exchanges failed"),
        (facts(recent={**RECENT, "error_ratio": 0.5, "exchanges": 4}), "well", ""),
        (facts(recent={**RECENT, "ttft_p95_seconds": 12.0}), "slow", "first token after 12 s (p95)"),
        (facts({**WELL, "throttled": 0.4}), "hot", "throttled 40% of the time at 50 °C"),
        (facts({**WELL, "temperature_celsius": 85.0}), "hot", "85 °C"),
        (facts({**WELL, "gpu_temperature_celsius": 91.0}), "hot", "91 °C"),
        # Figures of exchanges long past say nothing of now.
        (facts({**WELL, "start": NOW + 1_200_001}, {**RECENT, "error_ratio": 1.0}), "well", ""),
    ],
)
def test_the_worst_that_applies_is_the_status(case: Facts, status: str, reason: str) -> None:
    verdict = judge(case, NOW)
    assert (verdict.status, verdict.reason) == (status, reason)
    assert verdict.status in STATUSES


@pytest.mark.parametrize(
    ("own", "peers", "slow"),
    [
        (10.0, [10.0, 20.0], True),
        (10.1, [10.1, 20.0], False),
        (10.0, [10.0], False),
        (10.0, [1.0, 10.0, 30.0], False),
        (10.0, [10.0, 30.0, 30.0], True),
        (10.0, [10.0, 10.0, 30.0, 40.0, 50.0], True),
        (10.0, [], False),
    ],
)
def test_slow_is_half_of_what_half_of_the_others_reach(own: float, peers: list[float], slow: bool) -> None:
    verdict = judge(facts(recent={**RECENT, "tokens_per_second": own}), NOW, peers)
    assert verdict.status == ("slow" if slow else "well")


def test_the_reason_names_what_the_device_itself_shows() -> None:
    now = {**WELL, "engine_run_delay": 0.9, "memory_pressure": 0.06, "cpu_pressure": 0.3}
    assert causes(now) == [
        "the engine's threads wait for the CPU, 90% of one core's time",
        "memory pressure 6% of the time",
    ]
    verdict = judge(facts(now, {**RECENT, "tokens_per_second": 4.0}), NOW, [4.0, 20.0, 22.0])
    assert verdict.reason.startswith(
        "4 tokens/s where its peers have 21; the engine's threads wait for the CPU"
    )


def test_a_folded_record_does_not_make_a_device_patient() -> None:
    assert silence_limit({"step": 86_400_000}) == 180_000
    assert silence_limit(None) == 180_000


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({}, "No device has reported yet."),
        ({"well": 1}, "The only device is well."),
        ({"slow": 1}, "The only device is slow."),
        ({"failing": 1, "well": 1}, "1 of 2 devices is well. 1 failing."),
        ({"well": 3}, "All 3 devices are well."),
        ({"offline": 2, "slow": 1, "well": 409}, "409 of 412 devices are well. 2 offline, 1 slow."),
    ],
)
def test_the_fleet_in_a_sentence(counts: dict[str, int], words: str) -> None:
    assert sentence(counts) == words


def busy(seq: int, rate: int, *, delay: int = 0) -> Any:
    end = seq * MINUTE + MINUTE
    values = {
        DEVICE: {60: gauge([5000], 1, end)},
        Series("engine"): {40: gauge([10_000], 1, end), 48: counter(delay)},
        CHAT: {1: counter(10), 15: (Kind.SKETCH, *sketch.of([rate] * 10))},
    }
    return window(seq, start=NOW - 10 * MINUTE + seq * MINUTE, values=values)


def overview(store: Store, now: int) -> dict[str, tuple[str, int | None]]:
    return {d["id"]: (d["status"], d["since"]) for d in views.fleet_overview(store, now)["devices"]}


def kinds(store: Store) -> list[str]:
    with store.reading() as connection:
        return list(connection.scalars(select(schema.events.c.kind).order_by(schema.events.c.id)))


def test_the_watch_keeps_status_and_since_and_tells_of_coming_and_going(store: Store) -> None:
    ingest, watch = Ingest(store, lambda: NOW), Watch(store)
    for name, rate in (("kiosk-1", 20_000), ("kiosk-2", 21_000), ("kiosk-3", 5_000)):
        ingest.take(
            [
                state_message(True, 1, 1, device=name),
                windows_message([busy(n, rate) for n in range(1, 5)], device=name),
            ]
        )
    rollup.advance(store, NOW)
    assert watch.round(NOW) == 3
    assert overview(store, NOW) == {
        "kiosk-1": ("well", NOW),
        "kiosk-2": ("well", NOW),
        "kiosk-3": ("slow", NOW),
    }
    assert watch.round(NOW + 1000) == 0
    Ingest(store, lambda: NOW + 2000).take([state_message(False, 1, 1, device="kiosk-1")])
    assert watch.round(NOW + 3000) == 1
    assert overview(store, NOW + 3000)["kiosk-1"] == ("offline", NOW + 2000)
    Ingest(store, lambda: NOW + 5000).take([state_message(True, 1, 2, device="kiosk-1")])
    assert watch.round(NOW + 6000) == 1
    assert overview(store, NOW + 6000)["kiosk-1"] == ("well", NOW + 6000)
    assert kinds(store) == ["device_offline", "device_online"]


def test_silence_shows_though_the_watch_be_gone(store: Store) -> None:
    Ingest(store, lambda: NOW).take([windows_message([busy(1, 20_000)])])
    rollup.advance(store, NOW)
    Watch(store).round(NOW)
    assert overview(store, NOW + 200_000)["kiosk-1"] == ("offline", NOW)


def test_a_second_watch_judges_as_the_first(store: Store) -> None:
    Ingest(store, lambda: NOW).take([windows_message([busy(1, 20_000)])])
    Watch(store).round(NOW)
    assert Watch(store).round(NOW + 1000) == 0


def runs(*seen: tuple[str, int, int, int]) -> tuple[tuple[Run, ...], bool, bool]:
    """What a sequence of (epoch, order, sent, collector's minute) comes to."""
    known: tuple[Run, ...] = ()
    duplicate = succeeded = False
    for epoch, order, sent, minute in seen:
        sighting = see(known, epoch, order, sent=sent, wall=NOW + sent, now=NOW + minute * MINUTE)
        known, duplicate = sighting.runs, duplicate or sighting.duplicate
        succeeded = succeeded or sighting.succeeded
    return known, duplicate, succeeded


def test_a_restart_is_one_device() -> None:
    known, duplicate, _ = runs(("a", 1, 1, 0), ("a", 1, 2, 1), ("b", 2, 3, 2), ("b", 2, 4, 3))
    assert not duplicate
    assert [run.epoch for run in known] == ["b", "a"]


def test_a_redelivered_message_of_the_run_before_changes_nothing() -> None:
    known, duplicate, _ = runs(("a", 1, 5, 0), ("b", 2, 9, 1), *[("a", 1, 5, 2), ("b", 2, 10, 2)] * 5)
    assert not duplicate
    assert known[0].epoch == "b"


def test_one_message_that_comes_again_and_again_is_one_sign_of_life() -> None:
    again = [("b", 2, 8, 3), ("a", 1, 7, 3)] * 5
    assert not runs(("a", 1, 1, 0), ("b", 2, 5, 1), ("a", 1, 7, 2), *again)[1]
    assert runs(("a", 1, 1, 0), ("b", 2, 5, 1), ("a", 1, 7, 2), ("b", 2, 8, 3), ("a", 1, 9, 3))[1]


def test_a_reimaged_device_takes_over_when_the_old_one_is_long_silent() -> None:
    known, _, succeeded = runs(("a", 57, 5, 0), ("b", 1, 1, 5))
    assert not succeeded
    assert known[0].epoch == "a"
    known, _, succeeded = runs(("a", 57, 5, 0), ("b", 1, 1, 5), ("b", 1, 2, 16))
    assert succeeded
    assert known[0].epoch == "b"
