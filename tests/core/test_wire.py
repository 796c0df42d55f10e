"""What is written is read; what is not ours is refused with a short reason, whatever it is."""

from __future__ import annotations

import hashlib
import random
import zlib
from dataclasses import replace

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core import strategies

from stonechat import columns, envelope, topics, wire
from stonechat._dictionary import DICTIONARIES
from stonechat.description import canonical, hash_of
from stonechat.errors import Refused
from stonechat.event import Event
from stonechat.exchange_row import Row
from stonechat.exchange_texts import Texts
from stonechat.ids import exchange_id
from stonechat.records import DEVICE, Record, Stamp, from_plain, to_plain
from stonechat.values import counter, gauge

HEADER = wire.Header(77, 3, 1_700_000_000_000, 5_000, ((77, 1, 0), (76, 0, 4)))


@given(strategies.histories())
def test_a_batch_of_windows_comes_back_whole(history: list[Record]) -> None:
    batch = wire.decode(wire.encode_windows(HEADER, history))
    assert isinstance(batch, wire.WindowBatch)
    assert batch.header == HEADER
    assert list(batch.records) == history


@given(strategies.histories())
def test_a_row_comes_back_whole(history: list[Record]) -> None:
    for record in history:
        assert from_plain(msgpack.unpackb(msgpack.packb(to_plain(record)), strict_map_key=False)) == record


@given(st.lists(strategies.events(), min_size=1, max_size=5))
def test_events_come_back_whole(items: list[Event]) -> None:
    batch = wire.decode(wire.encode_events(HEADER, items))
    assert isinstance(batch, wire.EventBatch)
    assert list(batch.events) == items


def test_state_and_ack_come_back_whole() -> None:
    birth = wire.State(True, 3, 9, 77, 1_700_000_000_000, 5, {"labels": {"site": "berlin"}})
    assert wire.decode(wire.encode_state(birth)) == birth
    ack = wire.Ack(
        b"storename",
        {(0, 77): ((1, 4), (6, 9)), (1, 77): ((1, 1),)},
        refused=((0, 77, 5, 5, "overlap"),),
        rejected=((b"digest__", "msgpack"),),
        wanted=(b"descript",),
        time=1_700_000_000_001,
        pace=250,
        echo=(77, 5_000),
    )
    with pytest.raises(Refused):
        wire.decode(wire.encode_ack(ack))  # a store of nine bytes
    ack = replace(ack, store=b"thestore")
    assert wire.decode(wire.encode_ack(ack)) == ack


def _row(number: int = 1) -> Row:
    return {
        "id": exchange_id(1_790_000_000_000 + number, number),
        "start": 1_790_000_000_000 + number,
        "engine": "llama",
        "model": "qwen2.5:1.5b",
        "outcome": "error",
        "error_type": "timeout",
        "duration": 2_500_000,
        "findings": ["repetition"],
        "scores": {"toxic": 0.25},
    }


TEXTS: Texts = {"prompt": [["user", "Why? \0 \U0001f600"]], "answer": "So.", "tool_calls": [["clock", "{}"]]}
PRIVACY = wire.Privacy("flagged", "none")


@pytest.mark.parametrize("texts", [None, TEXTS, {}])
def test_exchanges_come_back_whole(texts: Texts | None) -> None:
    told = [wire.Told(_row(1), texts, "failed", "kept"), wire.Told(_row(2))]
    batch = wire.decode(wire.encode_exchanges(HEADER, told, PRIVACY))
    assert batch == wire.ExchangeBatch(HEADER, told, PRIVACY)


def test_a_later_version_may_add_to_exchanges() -> None:
    message = envelope.unseal(wire.encode_exchanges(HEADER, [wire.Told(_row())], PRIVACY))
    message[2][0][0][9_999] = "a field of a later version"
    message[2][0].append("later")
    message[3].append("later")
    message.append("later")
    batch = wire.decode(envelope.seal(message))
    assert isinstance(batch, wire.ExchangeBatch)
    assert list(batch.exchanges) == [wire.Told(_row())]


@pytest.mark.parametrize(
    "body",
    [
        [],
        [[[{}, None, "slow", "kept"]], ["flagged", "none"]],
        [[], ["flagged", "none"]],
        [
            [[{1: exchange_id(1, 1), 2: 5}, None, "slow", "kept"]] * (wire.MAX_EXCHANGES + 1),
            ["flagged", "none"],
        ],
        [[[{1: exchange_id(1, 1), 2: 5}, None, "slow", "kept"]], ["flagged"]],
        [[[{1: exchange_id(1, 1), 2: 5}, None, "slow", "kept"]], ["a sentence of its own", "none"]],
        [[[{1: exchange_id(1, 1), 2: 5}, None, "slow", "kept"]], None, "slow", "kept"],
        [[[{1: "not-an-id", 2: 5}, None, "slow", "kept"]], ["flagged", "none"]],
        [[[{1: exchange_id(1, 1), 2: -5}, None, "slow", "kept"]], ["flagged", "none"]],
        [[[{1: exchange_id(1, 1), 2: 5, 4: "two words"}, None, "slow", "kept"]], ["flagged", "none"]],
        [[[dict.fromkeys(range(1_000_000), 5), None, "slow", "kept"]], ["flagged", "none"]],
        [[[{1: exchange_id(1, 1), 2: 5}, {"answer": 7}, "slow", "kept"]], ["flagged", "none"]],
        [[[{1: exchange_id(1, 1), 2: 5}, {"answer": "x" * 70_000}, "slow", "kept"]], ["flagged", "none"]],
        [[{1: exchange_id(1, 1), 2: 5}], ["flagged", "none"]],
        [[[{1: exchange_id(1, 1), 2: 5}, None]], ["flagged", "none"]],
        [[[{1: exchange_id(1, 1), 2: 5}, None, "two words", "kept"]], ["flagged", "none"]],
    ],
)
def test_exchanges_that_no_device_sends_are_refused_in_a_word(body: list[object]) -> None:
    head = [77, 3, 1_700_000_000_000, 5_000, []]
    payload = b"\x01\x00" + envelope.compress(msgpack.packb([5, head, *body]), 0)
    with pytest.raises(Refused) as refusal:
        wire.decode(payload)
    assert refusal.value.reason.isalpha()


def _plain() -> Record:
    values = {DEVICE: {60: gauge([5, 7], 1, 60_000), 91: counter(8)}}
    first = Stamp(1, 0, 0, 1_700_000_000_000, True)
    return Record(((77, 1, 1),), b"describe", first, 1, 60_000, 60_000, 60_000, 2, values, start=first.wall)


@pytest.mark.parametrize("kind", [7, 6_000])
def test_ids_and_kinds_that_the_reader_does_not_know_are_carried_on(kind: int) -> None:
    strange = {9_999: (kind, 5, 0, 0), 60: gauge([5], 1, 60_000), 70_000: (kind, "a-word", 4)}
    records = [
        replace(
            _plain(), cover=((77, seq, seq),), values={DEVICE: strange if seq % 2 else {9_999: (kind, seq)}}
        )
        for seq in (1, 2, 3)
    ]
    carried = columns.decode(envelope.unpack(msgpack.packb(columns.encode(records))))
    assert carried == records
    assert columns.decode(envelope.unpack(msgpack.packb(columns.encode(carried)))) == records
    assert [
        from_plain(msgpack.unpackb(msgpack.packb(to_plain(r)), strict_map_key=False)) for r in carried
    ] == records


def test_a_later_version_may_add_items_to_a_message() -> None:
    message = envelope.unseal(wire.encode_windows(HEADER, [_plain()]))
    message[1].append("later")
    message[2].append("later")
    message[2][2].append(4)
    message.append({"later": True})
    batch = wire.decode(envelope.seal(message))
    assert isinstance(batch, wire.WindowBatch)
    assert list(batch.records) == [_plain()]


def test_a_sketch_of_another_accuracy_says_so_on_the_wire() -> None:
    record = replace(_plain(), values={DEVICE: {150: (3, 100, 0, 9, 4, 1)}})
    assert columns.decode(columns.encode([record])) == [record]


@given(st.binary(max_size=200))
def test_random_bytes_are_refused(data: bytes) -> None:
    for payload in (data, b"\x01\x00" + data, b"\x01\x01" + data):
        with pytest.raises(Refused):
            wire.decode(payload)


@given(strategies.histories(most=2), st.randoms(use_true_random=False))
def test_a_damaged_message_is_refused_or_still_within_the_format(
    history: list[Record], rng: random.Random
) -> None:
    """Whatever is changed in the message before compression, the reader raises Refused or gives sound records."""
    message = envelope.unseal(wire.encode_windows(HEADER, history))
    for _ in range(3):
        _damage(message, rng)
    try:
        batch = wire.decode(envelope.seal(message))
    except (Refused, OverflowError, ValueError):
        return
    assert isinstance(batch, wire.WindowBatch | wire.EventBatch | wire.State | wire.Ack)
    if isinstance(batch, wire.WindowBatch):
        again = columns.decode(columns.encode(list(batch.records)))
        assert again == list(batch.records)


def _damage(item: object, rng: random.Random) -> None:
    while isinstance(item, list) and item:
        at = rng.randrange(len(item))
        if not isinstance(item[at], list) or rng.random() < 0.15:
            junk: object = rng.choice([0, -1, 1 << 63, "x", None, [], {}, b"", True, 1.5, [1, 2], 1 << 40])
            item[at] = junk
            return
        item = item[at]


def test_bounds_hold_against_bombs() -> None:
    raw = zlib.compressobj(9, wbits=-15)
    bomb = b"\x01\x00" + (raw.compress(bytes(64 << 20)) + raw.flush())[: envelope.MAX_PAYLOAD - 2]
    with pytest.raises(Refused, match="oversized"):
        wire.decode(bomb)
    with pytest.raises(Refused, match="oversized"):
        wire.decode(bytes(envelope.MAX_PAYLOAD + 1))
    with pytest.raises(Refused):
        wire.decode(b"\x01\x00" + envelope.compress(b"\x91" * 100_000, 0))
    with pytest.raises(Refused, match="trailing"):
        wire.decode(wire.encode_windows(HEADER, [_plain()]) + b"x")
    with pytest.raises(Refused, match="truncated"):
        wire.decode(wire.encode_windows(HEADER, [_plain()])[:-4])
    with pytest.raises(Refused, match="version"):
        wire.decode(b"\x02" + wire.encode_windows(HEADER, [_plain()])[1:])
    with pytest.raises(Refused, match="dictionary"):
        wire.decode(b"\x01\x63" + wire.encode_windows(HEADER, [_plain()])[2:])


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ((1, -5), "value"),
        ((2, 2, 30, 5, 7, 7, 1, 60_000), "gauge"),  # two readings of at most 7 that sum to 30
        ((2, 2, 12, 5, 7, 9, 1, 60_000), "gauge"),  # a last reading beyond the greatest
        ((3, 200, 0, 9, 4, 0), "sketch"),
        ((3, 200, 0, 9, 4, 1, 4, 1), "sketch"),
        ((5, "b", 1, "a", 1), "tally"),
        ((5, "a b", 1), "tally"),
        ((6, 19, 1, 1), "vector"),
    ],
)
def test_values_that_no_writer_makes_are_refused(value: tuple[int, ...], reason: str) -> None:
    record = replace(_plain(), values={DEVICE: {60: value}})
    with pytest.raises(Refused, match=reason):
        columns.decode(columns.encode([record]))


@pytest.mark.parametrize(
    "cover", [((77, 0, 0),), ((77, 5, 4),), ((77, 1, 5), (77, 5, 6)), ((78, 1, 1), (77, 1, 1))]
)
def test_covers_that_are_not_canonical_are_refused(cover: tuple[tuple[int, int, int], ...]) -> None:
    with pytest.raises(Refused):
        columns.decode(columns.encode([replace(_plain(), cover=cover)]))


def test_equal_numbers_stand_once() -> None:
    assert columns.pack_column([5, 5, 5]) == 5
    assert columns.pack_column([1000, 1001, 1002]) == [1, 1000, 1, 1]
    assert columns.pack_column([1, 100, 1]) == [0, 1, 100, 1]
    with pytest.raises(Refused):
        columns.unpack_column([0, 1, True], 2)


def test_topics_are_parsed_strictly() -> None:
    name = topics.up("shops", "kiosk-017", "window")
    assert name == "stonechat/1/shops/kiosk-017/up/window"
    assert topics.parse(name) == topics.Topic("shops", "kiosk-017", "up", "window")
    assert topics.parse(topics.down("shops", "kiosk-017", "ack")) is not None
    assert topics.up_filter("window", "c") == "$share/c/stonechat/1/+/+/up/window"
    for bad in (
        "stonechat/2/a/b/up/window",
        "stonechat/1/a/b/up/ack",
        "stonechat/1/A/b/up/window",
        name + "/x",
        "",
    ):
        assert topics.parse(bad) is None


def test_a_description_is_named_by_what_it_says() -> None:
    one = {"labels": {"b": "2", "a": "1"}, "hardware": {"cores": 4}}
    other = {"hardware": {"cores": 4}, "labels": {"a": "1", "b": "2"}}
    assert canonical(one) == canonical(other)
    assert hash_of(one) == hash_of(other) != hash_of({})
    with pytest.raises(ValueError, match="at most"):
        hash_of({"labels": {"a": "x" * 9000}})


def test_a_released_dictionary_never_changes() -> None:
    released = {1: "865eeef0c34e2a2fc5d39d8ba76dfb6aa46400f5b17e012194250e085be43c99"}
    assert {
        number: hashlib.sha256(content).hexdigest() for number, content in DICTIONARIES.items()
    } == released
