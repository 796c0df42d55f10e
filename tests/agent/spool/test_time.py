"""Starts: fixed when a record is first offered, and never before the run's time is known."""

from __future__ import annotations

from tests.agent.spool.making import BEGIN, MINUTE, Device, events, everything

from stonechat.event import EventKind, Severity
from stonechat.records import Flag
from stonechat.wire import Stream
from stonechat_agent.spool import Source


def test_a_window_of_a_synchronised_clock_keeps_its_own_wall_time(device: Device) -> None:
    spool = device.open()
    device.windows(spool, 2)
    assert [record.start for record in everything(spool)] == [BEGIN, BEGIN + MINUTE]
    assert [record.flags for record in everything(spool)] == [0, 0]


def test_a_clock_that_steps_does_not_move_windows_that_were_synchronised(device: Device) -> None:
    spool = device.open()
    device.windows(spool, 1)
    device.clock.true += 3_600_000
    device.windows(spool, 1)
    assert [record.start for record in everything(spool)] == [BEGIN, BEGIN + MINUTE + 3_600_000]


def test_nothing_is_offered_before_the_run_has_an_anchor(device: Device) -> None:
    device.clock.synced = False
    device.clock.error = -BEGIN  # 1970
    spool = device.open()
    assert not spool.append(device.draft(spool), offer_now=True).offered
    assert not spool.append_event(EventKind.STARTED, "agent", Severity.INFO, offer_now=True).offered
    assert not spool.anchored
    assert everything(spool) == []
    assert events(spool) == []


def test_an_anchor_that_comes_later_gives_true_starts_and_a_flag(device: Device) -> None:
    device.clock.synced = False
    device.clock.error = -BEGIN
    spool = device.open()
    device.windows(spool, 3)
    spool.append_event(EventKind.STARTED, "agent", Severity.INFO)
    device.clock.synced = True
    device.windows(spool, 1)
    records = everything(spool)
    assert [record.start for record in records] == [BEGIN + n * MINUTE for n in range(4)]
    assert [record.flags for record in records] == [Flag.UNSYNCED | Flag.ANCHORED_LATE] * 3 + [Flag(0)]
    assert [event.start for event in events(spool)] == [BEGIN + 3 * MINUTE]


def test_a_better_anchor_replaces_a_worse_one_and_never_the_other_way_round(device: Device) -> None:
    device.clock.synced = False
    spool = device.open()
    device.windows(spool, 2)
    spool.anchor(BEGIN + 5000, Source.LATE)
    (first,) = spool.offer(Stream.WINDOW, [spool.candidates(Stream.WINDOW, frozen=False)[0].id])
    assert first.items[0].start == BEGIN + 5000
    spool.anchor(BEGIN, Source.CLOCK)
    spool.anchor(BEGIN + 9000, Source.LATE)
    # What was offered keeps its start, whatever is known by now.
    assert [record.start for record in everything(spool)] == [BEGIN + 5000, BEGIN + MINUTE]


def test_an_anchor_survives_with_the_commit_that_used_it(device: Device) -> None:
    device.clock.synced = False
    spool = device.open()
    device.windows(spool, 2)
    spool.anchor(BEGIN, Source.LATE)
    spool.offer(Stream.WINDOW, [spool.candidates(Stream.WINDOW, frozen=False)[0].id])
    spool.close()
    device.clock.reboot()
    spool = device.open()
    device.clock.synced = True
    device.windows(spool, 1)
    assert [record.start for record in everything(spool)][:2] == [BEGIN, BEGIN + MINUTE]


def test_runs_without_a_clock_are_packed_backwards_from_the_next_known_start(device: Device) -> None:
    device.clock.synced = False
    device.clock.error = -BEGIN
    for _ in range(3):
        spool = device.open()
        device.windows(spool, 2)
        spool.close()
        device.clock.reboot(off_ms=7_200_000)  # off for two hours that nobody can know of
    spool = device.open()
    assert everything(spool) == []
    known = device.clock.true
    device.clock.synced = True
    device.windows(spool, 1)
    records = everything(spool)
    assert [record.start for record in records] == [known - n * MINUTE for n in (6, 5, 4, 3, 2, 1)] + [known]
    assert all(record.flags == Flag.UNSYNCED | Flag.PACKED for record in records[:6])


def test_runs_since_one_boot_share_what_is_known_of_the_time(device: Device) -> None:
    device.clock.synced = False
    device.clock.error = -BEGIN
    spool = device.open(boot_id="boot-1")
    device.windows(spool, 2)
    spool.close()
    device.clock.pass_ms(500_000)  # the agent was stopped, the device was not
    spool = device.open(boot_id="boot-1")
    device.clock.synced = True
    device.windows(spool, 1)
    records = everything(spool)
    assert [record.start for record in records[:2]] == [BEGIN, BEGIN + MINUTE]
    assert all(record.flags == Flag.UNSYNCED | Flag.ANCHORED_LATE for record in records[:2])


def test_the_wall_clock_neither_orders_nor_evicts(device: Device) -> None:
    spool = device.open()
    device.windows(spool, 2)
    spool.close()
    device.clock.reboot(off_ms=-400_000_000_000)  # a clock that claims to be synchronised, twelve years back
    spool = device.open()
    device.windows(spool, 2)
    orders = [record.first.order for record in everything(spool)]
    assert orders == [1, 1, 2, 2]
