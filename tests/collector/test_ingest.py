"""What ingest makes of messages: taken once, refused, rejected, acknowledged."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import func, select
from tests.collector.making import (
    DESCRIPTION,
    MINUTE,
    NOW,
    ack_of,
    event,
    events_message,
    header,
    state_message,
    window,
    windows_message,
)

from stonechat import description, wire
from stonechat_collector import schema
from stonechat_collector.ingest import Ingest
from stonechat_collector.messages import Message
from stonechat_collector.store import Store


@pytest.fixture
def ingest(store: Store) -> Ingest:
    return Ingest(store, lambda: NOW)


def count(store: Store, table: Any) -> int:
    with store.reading() as connection:
        return int(connection.scalar(select(func.count()).select_from(table)) or 0)


def device(store: Store, name: str = "kiosk-1") -> dict[str, Any]:
    with store.reading() as connection:
        return dict(
            connection.execute(select(schema.devices).where(schema.devices.c.id == name)).mappings().one()
        )


def events(store: Store) -> list[tuple[str, str, int]]:
    table = schema.events
    with store.reading() as connection:
        rows = connection.execute(select(table.c.kind, table.c.key, table.c["count"]).order_by(table.c.id))
        return [(kind, key, n) for kind, key, n in rows]


def test_new_windows_are_stored_with_a_pending_entry_and_acknowledged(store: Store, ingest: Ingest) -> None:
    ack = ack_of(ingest.take([windows_message([window(1), window(2)], head=header(held=[7, 9]))]))
    assert ack.taken == {(0, 7): ((1, 2),), (1, 7): (), (0, 9): (), (1, 9): ()}
    assert (ack.store, ack.time, ack.wanted) == (store.store_id, NOW, (DESCRIPTION,))
    assert count(store, schema.windows) == count(store, schema.pending) == 2
    assert device(store)["windows"] == 2


def test_a_repeated_message_changes_nothing_and_is_acknowledged_again(store: Store, ingest: Ingest) -> None:
    message = windows_message([window(1), window(2)])
    first = ack_of(ingest.take([message]))
    again = ack_of(ingest.take([message, message]))
    assert again.taken == first.taken
    assert count(store, schema.windows) == count(store, schema.pending) == 2


def test_a_batch_may_mix_new_and_taken_records(store: Store, ingest: Ingest) -> None:
    ingest.take([windows_message([window(2)])])
    ack = ack_of(ingest.take([windows_message([window(1), window(2), window(3)])]))
    assert ack.taken[0, 7] == ((1, 3),)
    assert count(store, schema.windows) == 3


def test_a_partly_taken_record_is_refused_for_good_and_raises_an_event(store: Store, ingest: Ingest) -> None:
    ingest.take([windows_message([window(3)])])
    ack = ack_of(ingest.take([windows_message([window(1, high=5), window(6)])]))
    assert ack.refused == ((0, 7, 1, 5, "overlap"),)
    assert ack.taken[0, 7] == ((3, 3), (6, 6))
    assert events(store) == [("partial_overlap", "window", 1)]


def test_events_are_taken_once_as_well(store: Store, ingest: Ingest) -> None:
    message = events_message([event(1), event(2)])
    ack_of(ingest.take([message]))
    ack = ack_of(ingest.take([message]))
    assert ack.taken[1, 7] == ((1, 2),)
    assert [kind for kind, _, _ in events(store)] == ["engine_down", "engine_down"]


def test_a_description_is_stored_under_its_hash_only(store: Store, ingest: Ingest) -> None:
    body = {"labels": {"site": "berlin"}}
    name = description.hash_of(body)
    good = event(1, kind="description", key=name.hex(), attributes=body)
    bad = event(2, kind="description", key="00" * 8, attributes=body)
    ack = ack_of(ingest.take([windows_message([window(1, description=name)]), events_message([good, bad])]))
    assert ack.wanted == ()
    assert ack.refused == ((1, 7, 2, 2, "hash"),)
    assert count(store, schema.descriptions) == 1


def test_a_birth_is_acknowledged_with_the_time_and_a_late_one_is_ignored(
    store: Store, ingest: Ingest
) -> None:
    ack = ack_of(ingest.take([state_message(True, 2, 5, description={"labels": {"site": "b"}})]))
    assert (ack.time, ack.taken) == (NOW, {(0, 7): (), (1, 7): ()})
    assert ingest.take([state_message(False, 2, 4)]) == []
    assert device(store)["online"] is True
    ingest.take([state_message(False, 2, 5)])
    assert device(store)["online"] is False
    ingest.take([state_message(True, 2, 5)])
    assert device(store)["online"] is False
    ingest.take([state_message(True, 2, 6)])
    assert device(store)["online"] is True


def test_what_means_now_comes_from_the_newest_record_only(store: Store, ingest: Ingest) -> None:
    ingest.take([windows_message([window(9)])])
    ingest.take([windows_message([window(1), window(2)])])
    row = device(store)
    assert (row["now_order"], row["now_boottime"]) == (1, 10 * MINUTE)
    assert row["now"]["cpu_utilization"] == 0.3


def test_a_device_stays_in_its_fleet(store: Store, ingest: Ingest) -> None:
    ingest.take([windows_message([window(1)])])
    foreign = windows_message([window(2)], fleet="other")
    (answer,) = ingest.take([foreign])
    assert answer.topic == "stonechat/1/other/kiosk-1/down/ack"
    assert ack_of([answer]).rejected == ((wire.digest(foreign.payload), "fleet"),)
    assert count(store, schema.windows) == 1


def test_what_cannot_be_read_is_kept_with_its_reason_and_others_are_taken(
    store: Store, ingest: Ingest
) -> None:
    good = windows_message([window(1)])
    bad = [
        Message(good.topic, b"\x01\x01nonsense"),
        Message(good.topic, b""),
        Message("stonechat/1/shops/kiosk-1/up/event", good.payload),
        Message("stonechat/1/shops/KIOSK/up/window", good.payload),
        Message("stonechat/1/shops/kiosk-1/down/ack", good.payload),
    ]
    answers = ingest.take([*bad, good])
    ack = ack_of(answers)
    assert {reason for _, reason in ack.rejected} == {"deflate", "truncated", "type"}
    assert ack.taken[0, 7] == ((1, 1),)
    assert count(store, schema.rejected) == 5
    assert device(store)["rejected"] == 3


def test_a_record_older_than_retention_is_counted_as_lost_and_not_stored(store: Store) -> None:
    ingest = Ingest(store, lambda: NOW, retention_ms=60 * MINUTE)
    old = window(1, high=3, start=NOW - 61 * MINUTE)
    ack = ack_of(ingest.take([windows_message([old, window(4, start=NOW)])]))
    assert ack.taken[0, 7] == ((1, 4),)
    assert count(store, schema.windows) == 1
    assert events(store) == [("loss", "retention", 3)]
    assert device(store)["expired"] == 3


def test_a_start_in_the_future_is_flagged_and_not_moved(store: Store, ingest: Ingest) -> None:
    ingest.take([windows_message([window(1, start=NOW + 20 * MINUTE), window(2, start=NOW + 9 * MINUTE)])])
    with store.reading() as connection:
        rows = connection.execute(select(schema.windows.c.start, schema.windows.c.future)).all()
    assert sorted(tuple(row) for row in rows) == [(NOW + 9 * MINUTE, False), (NOW + 20 * MINUTE, True)]


def test_two_runs_of_one_order_are_two_devices(store: Store, ingest: Ingest) -> None:
    ingest.take([state_message(True, 3, 1, epoch=7)])
    ingest.take([state_message(True, 3, 1, epoch=8), windows_message([window(1, epoch=8, order=3)])])
    assert [kind for kind, _, _ in events(store)] == ["duplicate_identity"]


def test_two_runs_that_take_turns_are_two_devices(store: Store, ingest: Ingest) -> None:
    for turn in range(1, 4):
        for epoch, order in ((7, 3), (8, 5)):
            sent = turn * MINUTE + order
            head = header(epoch, order, sent=sent, wall=NOW + sent)
            ingest.take([windows_message([window(turn, epoch=epoch, order=order)], head=head)])
    assert [kind for kind, _, _ in events(store)] == ["duplicate_identity"]


def test_late_messages_of_an_older_run_do_not_make_two_devices(store: Store, ingest: Ingest) -> None:
    late = [
        windows_message([window(n, epoch=7)], head=header(7, 1, sent=n * 1000, wall=NOW + n * 1000))
        for n in range(1, 9)
    ]
    ingest.take(late[:1])
    for n in range(1, 8):
        head = header(8, 2, sent=20_000 + n, wall=NOW + 20_000 + n)
        ingest.take([windows_message([window(n, epoch=8, order=2)], head=head), late[n], late[n - 1]])
    assert events(store) == []
