"""The rules that make totals exact (docs/wire.md, "Exactly once"), the spool's half, each by itself."""

from __future__ import annotations

from pathlib import Path

from tests.agent.spool.making import (
    BEGIN,
    DESCRIPTION,
    MINUTE,
    STORE,
    Device,
    ack,
    events,
    everything,
    weight,
)

from stonechat.event import EventKind, Severity
from stonechat.wire import Ack, Stream
from stonechat_agent.spool import Spool


def held(spool: Spool) -> list[int]:
    return [candidate.id for candidate in spool.candidates(Stream.WINDOW, frozen=False)]


def frozen(spool: Spool) -> list[int]:
    return [candidate.id for candidate in spool.candidates(Stream.WINDOW, frozen=True)]


def test_each_run_has_an_epoch_of_its_own_and_a_higher_order(device: Device) -> None:
    seen: list[tuple[int, int]] = []
    for _ in range(5):
        spool = device.open()
        seen.append((spool.order, spool.epoch))
        spool.close()
    assert [order for order, _ in seen] == [1, 2, 3, 4, 5]
    assert len({epoch for _, epoch in seen}) == 5
    assert all(0 < epoch < 1 << 64 for _, epoch in seen)


def test_an_epoch_that_the_spool_has_already_is_drawn_again(device: Device) -> None:
    drawn = iter([bytes(8), b"\1" * 8, b"\1" * 8, b"\1" * 8, b"\2" * 8])
    spool = Spool.open(device.directory, rng_bytes=lambda n: next(drawn), clock=device.clock)
    device.windows(spool, 1)
    spool.close()
    again = Spool.open(device.directory, rng_bytes=lambda n: next(drawn), clock=device.clock)
    assert again.epoch == int.from_bytes(b"\2" * 8, "big")


def test_windows_and_events_are_two_streams_of_numbers(device: Device) -> None:
    spool = device.open()
    assert [spool.append(device.draft(spool)).seq for _ in range(3)] == [1, 2, 3]
    assert spool.append_event(EventKind.STARTED, "agent", Severity.INFO).seq == 1
    assert spool.append(device.draft(spool)).seq == 4
    assert spool.append_event(EventKind.STARTED, "agent", Severity.INFO).seq == 2


def test_a_window_is_durable_when_append_returns(device: Device) -> None:
    spool = device.open()
    spool.append(device.draft(spool))
    # Another process sees it although this one neither closed nor committed anything since.
    twin = Device(device.directory.parent / "twin")
    copy(device.directory, twin.directory)
    assert weight(everything(twin.open())) == device.truth


def copy(source: Path, target: Path) -> None:
    target.mkdir()
    for file in source.iterdir():
        (target / file.name).write_bytes(file.read_bytes())


def test_offered_in_the_commit_that_appends_it(device: Device) -> None:
    spool = device.open()
    kept = spool.append(device.draft(spool), offer_now=True)
    (record,) = kept.offered
    assert record.cover == ((spool.epoch, 1, 1),)
    assert record.start == BEGIN
    twin = Device(device.directory.parent / "twin")
    copy(device.directory, twin.directory)
    assert frozen(twin.open()) == [kept.id]


def test_what_is_offered_never_changes_and_never_folds(device: Device) -> None:
    spool = device.open()
    device.windows(spool, 10)
    ids = held(spool)[3:6]
    first = [offer.items for offer in spool.offer(Stream.WINDOW, ids)]
    assert all(record.start is not None for items in first for record in items)
    device.windows(spool, 200)
    while spool.fold():
        pass
    spool.close()
    spool = device.open()
    assert frozen(spool) == ids
    assert [offer.items for offer in spool.offer(Stream.WINDOW, ids)] == first
    assert weight(everything(spool)) == device.truth


def test_an_offer_is_durable_before_it_is_returned(device: Device) -> None:
    spool = device.open()
    device.windows(spool, 3)
    (offer,) = spool.offer(Stream.WINDOW, held(spool)[:1])
    twin = Device(device.directory.parent / "twin")
    copy(device.directory, twin.directory)
    again = twin.open()
    while again.fold():
        pass
    assert frozen(again) == [offer.id]
    assert again.offer(Stream.WINDOW, [offer.id])[0].items == offer.items


def test_only_an_acknowledgement_lets_go(device: Device) -> None:
    spool = device.open()
    device.windows(spool, 4)
    everything(spool)
    result = spool.apply_ack(ack(spool, (2, 3)))
    assert len(result.let_go[Stream.WINDOW]) == 2
    assert [record.cover[0][1] for record in everything(spool)] == [1, 4]


def test_an_acknowledgement_of_what_was_never_offered_is_ignored(device: Device) -> None:
    spool = device.open()
    device.windows(spool, 3)
    result = spool.apply_ack(ack(spool, (1, 3), refused=((0, spool.epoch, 1, 3, "overlap"),)))
    assert not result.let_go[Stream.WINDOW]
    assert not result.dropped[Stream.WINDOW]
    assert len(everything(spool)) == 3
    assert not spool.losses


def test_an_acknowledgement_of_a_strange_epoch_and_of_impossible_numbers_is_ignored(device: Device) -> None:
    spool = device.open()
    device.windows(spool, 3)
    everything(spool)
    top = (1 << 63) - 1
    strange = Ack(
        STORE,
        {
            (0, spool.epoch ^ 1): ((1, 3),),
            (7, spool.epoch): ((1, 3),),
            (0, spool.epoch): ((1 << 41, top), (5, 9)),
        },
        ((0, spool.epoch, 1 << 41, top, "x"), (9, spool.epoch, 1, 3, "x"), (0, spool.epoch, 3, 1, "x")),
        time=1,
    )
    assert not spool.apply_ack(strange).let_go[Stream.WINDOW]
    assert len(everything(spool)) == 3


def test_ranges_that_overlap_or_are_not_sorted_are_understood(device: Device) -> None:
    spool = device.open()
    device.windows(spool, 5)
    everything(spool)
    spool.apply_ack(ack(spool, (4, 5), (1, 2), (2, 3)))
    assert everything(spool) == []


def test_an_acknowledgement_that_is_lost_with_the_power_is_only_forgotten(device: Device) -> None:
    spool = device.open()
    device.windows(spool, 3)
    everything(spool)
    spool.apply_ack(ack(spool, (1, 3)))
    twin = Device(device.directory.parent / "twin")
    copy(device.directory, twin.directory)
    assert len(frozen(twin.open())) == 3  # it was not synced
    device.windows(spool, 1)  # the next window's commit takes it along
    other = Device(device.directory.parent / "other")
    copy(device.directory, other.directory)
    assert frozen(other.open()) == []


def test_a_row_whose_records_part_ways_is_split(device: Device) -> None:
    spool = device.open()
    device.windows(spool, 70)  # the first hour is packed into one row
    records = everything(spool)
    packed = max(spool.candidates(Stream.WINDOW, frozen=True), key=lambda candidate: candidate.n)
    assert packed.n == 60
    spool.apply_ack(ack(spool, (1, 5), (9, 9)))
    left = everything(spool)
    assert [record for record in records if record.cover[0][1] not in {1, 2, 3, 4, 5, 9}] == left


def test_what_was_let_go_is_wanted_again_when_a_collector_lacks_it(device: Device) -> None:
    spool = device.open()
    device.windows(spool, 6)
    records = everything(spool)
    spool.apply_ack(ack(spool, (1, 6), time=10))
    assert everything(spool) == []
    result = spool.apply_ack(ack(spool, (1, 2), (5, 5), time=20, store=b"restored"))
    assert result.wanted_again == 3
    assert everything(spool) == [records[2], records[3], records[5]]
    # Wanted rows are frozen, and are let go like any other.
    while spool.fold():
        pass
    assert everything(spool) == [records[2], records[3], records[5]]
    spool.apply_ack(ack(spool, (1, 6), time=30, store=b"restored"))
    assert everything(spool) == []


def test_receipts_that_an_acknowledgement_does_not_name_say_nothing(device: Device) -> None:
    spool = device.open()
    device.windows(spool, 2)
    everything(spool)
    spool.apply_ack(ack(spool, (1, 2), time=10))
    result = spool.apply_ack(Ack(b"another1", {}, time=20))
    assert result.wanted_again == 0


def test_an_older_answer_that_comes_late_tells_nothing_of_what_is_missing(device: Device) -> None:
    spool = device.open()
    device.windows(spool, 4)
    everything(spool)
    spool.apply_ack(ack(spool, (1, 3), time=2000))
    late = spool.apply_ack(ack(spool, (1, 1), (4, 4), time=1000))
    assert late.wanted_again == 0
    assert len(late.let_go[Stream.WINDOW]) == 1
    # A clock that went back by much is a restored collector's, not an answer out of order.
    assert spool.apply_ack(ack(spool, (1, 1), time=-10_000_000)).wanted_again == 3


def test_what_is_refused_for_good_is_dropped_counted_and_told(device: Device) -> None:
    spool = device.open()
    device.windows(spool, 5)
    everything(spool)
    result = spool.apply_ack(ack(spool, (1, 1), refused=[(0, spool.epoch, n, n, "overlap") for n in (2, 3)]))
    assert len(result.dropped[Stream.WINDOW]) == 2
    assert [record.cover[0][1] for record in everything(spool)] == [4, 5]
    device.windows(spool, 1)
    assert spool.losses == {"window.refused": 2}
    (event,) = events(spool)
    assert (event.kind, event.key, event.attributes["lost"]) == (EventKind.LOSS, "window.refused", 2)
    assert event.attributes["cover"] == [[f"{spool.epoch:016x}", 2, 3]]


def test_a_refusal_of_a_clones_record_drops_no_other_record_within_its_range(device: Device) -> None:
    spool = device.open()
    device.windows(spool, 5)
    everything(spool)
    result = spool.apply_ack(ack(spool, refused=((0, spool.epoch, 2, 4, "overlap"),)))
    assert not result.dropped[Stream.WINDOW]
    assert [record.cover[0][1] for record in everything(spool)] == [1, 2, 3, 4, 5]


def test_losses_of_one_kind_are_told_by_one_event_until_it_is_offered(device: Device) -> None:
    spool = device.open()
    device.windows(spool, 6)
    everything(spool)
    for seq in (1, 3, 4):
        spool.apply_ack(ack(spool, refused=((0, spool.epoch, seq, seq, "overlap"),)))
        device.windows(spool, 1)
    (event,) = events(spool)
    assert event.attributes["lost"] == 3
    assert event.attributes["cover"] == [[f"{spool.epoch:016x}", 1, 1], [f"{spool.epoch:016x}", 3, 4]]
    spool.apply_ack(ack(spool, refused=((0, spool.epoch, 6, 6, "overlap"),)))
    device.windows(spool, 1)
    assert [item.attributes["lost"] for item in events(spool)] == [3, 1]


def test_the_header_names_every_epoch_that_has_a_row_with_its_lowest_numbers(device: Device) -> None:
    spool = device.open()
    device.windows(spool, 3)
    spool.append_event(EventKind.STARTED, "agent", Severity.INFO)
    everything(spool)
    first = spool.epoch
    spool.apply_ack(ack(spool, (1, 3)))
    device.windows(spool, 1)
    spool.close()
    device.open().close()  # a run without a row is forgotten
    spool = device.open()
    device.windows(spool, 2)
    # Rows that were let go count as long as they are there.
    assert {epoch: lows for epoch, *lows in spool.held_epochs()} == {first: [1, 1], spool.epoch: [1, 0]}


def test_descriptions_and_their_slots_survive_a_restart(device: Device) -> None:
    spool = device.open()
    description = {"labels": {"site": "berlin"}, "agent": {"version": "1"}}
    name, new = spool.describe(description)
    assert new
    slots = spool.slots(name)
    assert slots.key(5, "timeout") == "timeout"
    spool.append(device.draft(spool, description=name))
    assert not slots.changed
    spool.close()
    spool = device.open()
    assert spool.describe(description) == (name, False)
    assert spool.description(name) == description
    assert spool.slots(name).to_plain() == slots.to_plain()
    assert spool.description(DESCRIPTION) is None


def test_packing_an_hour_loses_nothing(device: Device) -> None:
    spool = device.open()
    drafts = [device.draft(spool) for _ in range(150)]
    for draft in drafts:
        spool.append(draft)
    rows = spool.candidates(Stream.WINDOW, frozen=False, limit=1000)
    assert [row.n for row in rows[:2]] == [60, 60]
    assert len(rows) == 32
    assert [(r.first, r.values, r.step) for r in everything(spool)] == [
        (d.first, d.values, MINUTE) for d in drafts
    ]
