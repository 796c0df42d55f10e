"""The bound in bytes: folding, coalescing, and what is given up only then."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.agent.spool.making import MINUTE, Device, ack, events, everything, weight
from tests.core import strategies

from stonechat.event import EventKind, Severity
from stonechat.records import Record, fold_all
from stonechat.wire import Stream
from stonechat_agent.spool import Spool
from stonechat_agent.spool.ladder import RUNGS, climb

SMALL = 1 << 17


def used(spool: Spool) -> int:
    return sum(file.stat().st_size for file in Path(spool.directory).iterdir())


def test_when_the_bound_nears_windows_fold_and_totals_stay(device: Device) -> None:
    spool = device.open(max_size=SMALL)
    device.windows(spool, 800, bulk=16)
    assert used(spool) <= SMALL
    records = everything(spool)
    assert weight(records) == device.truth
    assert not spool.losses
    steps = [record.step for record in records]
    assert set(steps) == {MINUTE, 10 * MINUTE}
    assert steps == sorted(steps, reverse=True), "the oldest fold first"
    assert all(record.windows <= 10 for record in records)


def test_the_bound_holds_when_even_folding_does_not_suffice_and_the_loss_is_told(device: Device) -> None:
    spool = device.open(max_size=SMALL)
    seqs = device.windows(spool, 500, bulk=60, length=10 * MINUTE)  # too long to fold on the first rung
    assert used(spool) <= SMALL
    records = everything(spool)
    kept = sum(record.windows for record in records)
    assert kept < len(seqs)
    assert spool.losses == {"window.space": len(seqs) - kept}
    assert records[-1].cover == ((spool.epoch, seqs[-1], seqs[-1]),), "the newest stay"
    (event,) = [event for event in events(spool) if event.kind == EventKind.LOSS]
    assert event.attributes["lost"] == len(seqs) - kept
    assert event.attributes["cover"] == [[f"{spool.epoch:016x}", 1, len(seqs) - kept]]


def test_space_is_taken_first_from_what_a_collector_has(device: Device) -> None:
    spool = device.open(max_size=SMALL)
    device.windows(spool, 200, bulk=20)
    everything(spool)
    spool.apply_ack(ack(spool, (1, 200)))
    device.windows(spool, 400, bulk=40)
    assert not spool.losses
    assert sum(record.windows for record in everything(spool)) == 400
    ((_, lowest, _),) = spool.held_epochs()
    assert lowest > 200, "what was let go made way"


def test_what_was_let_go_stays_while_there_is_room(device: Device) -> None:
    spool = device.open()
    device.windows(spool, 500)
    everything(spool)
    spool.apply_ack(ack(spool, (1, 500)))
    device.windows(spool, 500)
    assert spool.held_epochs() == ((spool.epoch, 1, 0),)


def test_a_full_disk_keeps_the_file_from_growing(device: Device) -> None:
    free = [1 << 40]
    spool = device.open(min_free=1 << 20, free_bytes=lambda _: free[0])
    device.windows(spool, 600, bulk=10)
    free[0] = 1 << 10
    before = (device.directory / "spool.db").stat().st_size
    device.windows(spool, 600, bulk=10)
    after = (device.directory / "spool.db").stat().st_size
    assert after <= max(before, 64 * 4096)
    assert weight(everything(spool)) == device.truth


def test_descriptions_stay_apart_when_windows_fold(device: Device) -> None:
    spool = device.open()
    for name in (b"describe", b"another1", b"describe"):
        device.windows(spool, 5, description=name)
    while spool.fold():
        pass
    assert [(record.description, record.windows) for record in everything(spool)] == [
        (b"describe", 5),
        (b"another1", 5),
        (b"describe", 5),
    ]


def test_a_fold_is_aligned_to_the_clock_where_it_is_known(device: Device) -> None:
    device.clock.pass_ms(7 * MINUTE)
    spool = device.open()
    device.windows(spool, 30)
    while spool.fold():
        pass
    assert [record.windows for record in everything(spool)] == [3, 10, 10, 7]


@settings(max_examples=20)
@given(strategies.histories(most=6), st.randoms(use_true_random=False))
def test_climbing_a_rung_keeps_the_totals(records: list[Record], rng: random.Random) -> None:
    folded = climb(records, RUNGS[-1], lambda record: record.first.boottime)
    assert fold_all(folded).values == fold_all(records).values
    assert sum(record.windows for record in folded) == sum(record.windows for record in records)
    cut = rng.randrange(len(records) + 1)
    once = [
        r
        for part in (records[:cut], records[cut:])
        for r in climb(part, RUNGS[-1], lambda r: r.first.boottime)
    ]
    assert fold_all(once).values == fold_all(records).values


def test_events_of_one_kind_and_key_coalesce_when_their_share_is_full(device: Device) -> None:
    spool = device.open(max_size=SMALL)
    for n in range(2000):
        device.clock.pass_ms(1000)
        spool.append_event(EventKind.ENGINE_DOWN, f"engine-{n % 3}", Severity.WARNING, {"n": n})
    left = events(spool)
    assert not spool.losses
    assert sum(event.count for event in left) == 2000
    assert len(left) < 1000
    first = min((event for event in left if event.key == "engine-0"), key=lambda event: event.first.boottime)
    assert (first.first.boottime, first.count) == (1000, 256)
    assert first.last_boottime == 1000 + 255 * 3000
    assert sum(high - low + 1 for event in left for _, low, high in event.cover) == 2000


def test_events_that_were_offered_do_not_coalesce(device: Device) -> None:
    spool = device.open(max_size=SMALL)
    kept = [
        spool.append_event(EventKind.ENGINE_DOWN, "engine", Severity.WARNING, offer_now=True)
        for _ in range(5)
    ]
    for _ in range(2000):
        spool.append_event(EventKind.ENGINE_DOWN, "engine", Severity.WARNING)
    ids = [candidate.id for candidate in spool.candidates(Stream.EVENT, frozen=True)]
    assert ids == [each.id for each in kept]
    assert [event.count for event in events(spool)[:5]] == [1] * 5


@pytest.mark.parametrize("bulk", [0, 4])
def test_what_is_written_to_the_disk_is_counted(device: Device, bulk: int) -> None:
    spool = device.open()
    before = spool.stats().written
    device.windows(spool, 600, bulk=bulk)
    written = spool.stats().written - before
    assert 600 * 4096 < written < 600 * 60 * 2000, "at least a page each, at most 2 KB a second"
