"""Whatever arrives: nothing but a rejection comes of it, and what is good beside it is taken."""

from __future__ import annotations

import random
import zlib
from dataclasses import replace
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select
from tests.collector.making import (
    CHAT,
    NOW,
    ack_of,
    event,
    events_message,
    exchange_row,
    exchanges_message,
    state_message,
    window,
    windows_message,
)

from stonechat import envelope, topics, wire
from stonechat.records import DEVICE, Stamp
from stonechat.values import counter, gauge
from stonechat_collector import exchange_views, rollup, schema, views
from stonechat_collector.audit import audit
from stonechat_collector.batch import MAX_REJECTED
from stonechat_collector.ingest import Ingest
from stonechat_collector.messages import Message
from stonechat_collector.store import Store
from stonechat_collector.taken import MAX_FRAGMENTS
from stonechat_collector.watch import Watch

LEAVES = ("window", "event", "state", "exchange")
VALID = [
    windows_message([window(1), window(2)]),
    events_message([event(1), event(2, attributes={"a": {"b": [1, 2.5, "x"]}})]),
    state_message(True, 1, 1, description={"labels": {"site": "berlin"}}),
    exchanges_message(
        [
            wire.Told(exchange_row(1, findings=["repetition"], scores={"toxic": 0.5}), None, "slow", "none"),
            wire.Told(exchange_row(2), {"prompt": [["user", "x"]], "answer": "y"}, "flagged", "kept"),
        ]
    ),
]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Ingest:
    store = Store(f"sqlite:///{tmp_path_factory.mktemp('hostile')}/fleet.db")
    return Ingest(store, lambda: NOW)


SEQ = iter(range(1, 1_000_000))


def survives(ingest: Ingest, hostile: Message) -> None:
    """A message does no harm: what comes with it in one batch is taken."""
    seq = next(SEQ)
    good = windows_message([window(seq)], device="good")
    answers = ingest.take([hostile, good])
    (mine,) = [answer for answer in answers if answer.topic.endswith("/good/down/ack")]
    assert ack_of([mine]).taken[0, 7][-1][1] == seq


@settings(max_examples=150)
@given(leaf=st.sampled_from(LEAVES), payload=st.binary(max_size=400), sealed=st.booleans())
def test_random_bytes_are_rejected(shared: Ingest, leaf: str, payload: bytes, sealed: bool) -> None:
    if sealed:
        payload = b"\x01\x00" + envelope.compress(payload, 0)
    survives(shared, Message(topics.up("shops", "bad", leaf), payload))


@settings(max_examples=300)
@given(index=st.integers(0, 3), seed=st.integers(0, 1 << 32))
def test_mutated_messages_do_no_harm(shared: Ingest, index: int, seed: int) -> None:
    """Words of a valid message are replaced by what no honest device would send."""
    rng = random.Random(seed)
    message = VALID[index]
    body = envelope.unseal(message.payload)
    poison: list[Any] = [
        None,
        -1,
        0,
        1 << 63,
        (1 << 64) - 1,
        -(1 << 63),
        1.5,
        float("nan"),
        "",
        "x\0y",
        b"\xff",
        [],
        {},
        True,
    ]

    def mutated(item: object, depth: int = 0) -> object:
        if rng.random() < 0.04:
            return rng.choice(poison)
        if isinstance(item, list):
            return [mutated(part, depth + 1) for part in item]
        if isinstance(item, dict):
            return {key: mutated(value, depth + 1) for key, value in item.items()}
        return item

    payload = b"\x01\x00" + envelope.compress(msgpack.packb(mutated(body)), 0)
    survives(shared, Message(message.topic.replace("kiosk-1", "bad"), payload))


@settings(max_examples=100)
@given(topic=st.text(max_size=60))
def test_any_topic_is_survived(shared: Ingest, topic: str) -> None:
    survives(shared, Message(topic, VALID[0].payload))


def test_after_all_that_the_store_rolls_up_and_can_be_read(shared: Ingest) -> None:
    store = shared._store
    while rollup.advance(store, NOW):
        pass
    Watch(store).round(NOW)
    assert audit(store) == []
    for device in views.fleet_overview(store, NOW)["devices"]:
        views.device_windows(store, device["id"], NOW - 86_400_000, NOW)
        for found in exchange_views.exchanges_page(store, device["id"])["exchanges"]:
            exchange_views.exchange(store, device["id"], found["id"])
    views.events_page(store)


def test_a_bomb_is_stopped(shared: Ingest) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = packer.compress(bytes(100_000_000)) + packer.flush()
    payload = b"\x01\x00" + bomb
    assert len(payload) < envelope.MAX_PAYLOAD
    (answer,) = shared.take([Message(topics.up("shops", "bad", "window"), payload)])
    assert [reason for _, reason in ack_of([answer]).rejected] == ["oversized"]


def test_numbers_at_their_bounds_do_not_stop_the_roll_up(store: Store) -> None:
    ingest = Ingest(store, lambda: NOW)
    huge = (1 << 63) - 1
    records = [
        window(
            seq,
            start=NOW - 60_000 + seq,
            values={DEVICE: {90: counter(huge), 60: gauge([huge // 4], 1, seq)}, CHAT: {1: counter(huge)}},
        )
        for seq in range(1, 9)
    ]
    records = [replace(record, observed=(1 << 48) - 1) for record in records]
    assert ack_of(ingest.take([windows_message(records)])).refused == ()
    while rollup.advance(store, NOW):
        pass
    assert audit(store) == []
    Watch(store).round(NOW)
    course = views.device_windows(store, "kiosk-1", NOW - 3_600_000, NOW, 600_000)
    assert course["metrics"]["stonechat.exchanges"]["points"][0]["sum"] == pytest.approx(8 * huge)


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (replace(window(1), start=None), "start"),
        (replace(window(1), start=(1 << 60)), "start"),
        (window(1, high=1 << 40), "cover"),
    ],
)
def test_a_record_that_can_never_be_stored_is_refused(store: Store, record: object, reason: str) -> None:
    from stonechat.records import Record

    assert isinstance(record, Record)
    # A start that far off does not pass the wire's own bounds unless its wall clock is as far off.
    if record.start and record.start > 1 << 52:
        record = replace(
            record, first=Stamp(1, 60_000, 1 << 60, 1 << 60, True), last_boottime=(1 << 60) + 1, values={}
        )
    ack = ack_of(Ingest(store, lambda: NOW).take([windows_message([record, window(9)])]))
    assert {refusal[-1] for refusal in ack.refused} == {reason}
    assert ack.taken[0, 7] == ((9, 9),)


def test_receipts_in_too_many_pieces_are_refused(store: Store) -> None:
    ingest = Ingest(store, lambda: NOW)
    seqs = list(range(1, 2 * MAX_FRAGMENTS + 21, 2))
    tiny = {DEVICE: {90: counter(1)}}
    messages = [
        windows_message([window(seq, values=tiny, start=NOW) for seq in seqs[at : at + 60]])
        for at in range(0, len(seqs), 60)
    ]
    acks = [ack_of(ingest.take([message])) for message in messages]
    assert {refusal[-1] for ack in acks for refusal in ack.refused} == {"fragmented"}
    assert len(acks[-1].taken[0, 7]) == MAX_FRAGMENTS


def test_rejected_messages_are_kept_in_a_bounded_number_and_all_counted(store: Store) -> None:
    ingest = Ingest(store, lambda: NOW)
    bad = Message(topics.up("shops", "bad", "window"), b"\x07nonsense")
    for _ in range(4):
        ingest.take([bad] * 400)
    with store.reading() as connection:
        kept = connection.scalar(select(func.count()).select_from(schema.rejected))
        counted = connection.execute(select(schema.rejections)).all()
        devices = connection.scalar(select(func.count()).select_from(schema.devices))
    assert kept == MAX_REJECTED
    assert [tuple(row) for row in counted] == [("version", 1600)]
    assert devices == 0  # what cannot be read makes no device known


def test_a_number_beyond_64_bits_rejects_its_message_only(shared: Ingest) -> None:
    record = replace(window(1), first=Stamp(1, -(1 << 63) - 9, 60_000, NOW, True))
    hostile = windows_message([record], device="bad")
    answers = shared.take([hostile])
    assert [reason for _, reason in ack_of(answers).rejected] == ["number"]
    survives(shared, hostile)
