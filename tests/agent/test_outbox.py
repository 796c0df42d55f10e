"""Which exchanges are chosen for the collector, and how they leave."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stonechat import wire
from stonechat.exchange import Exchange, Outcome
from stonechat.exchange_row import Row
from stonechat.ids import exchange_id
from stonechat.wire import ExchangeBatch, Header
from stonechat_agent import outbox
from stonechat_agent.journal.journal import SLOW_BATCH_SECONDS
from stonechat_agent.outbox import HOUR_SECONDS, MAX_BYTES, MAX_ROWS, REASONS, Chooser, Outbox, pack
from stonechat_agent.settings import Exchanges, Privacy
from stonechat_agent.uplink import Publish

MS = 1_000_000
NEVER = Exchanges(sample=0.0, slow_ns=30_000 * MS, most_per_hour=40)
HEADER = Header(7, 1, 1_790_000_000_000, 5_000)


class Clock:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def an_exchange(kind: str = "plain", **changes: Any) -> Exchange:
    known: dict[str, dict[str, Any]] = {
        "plain": {"last_byte_ns": 100 * MS},
        "flagged": {"findings": ("repetition",)},
        "cut": {"findings": ("truncated",)},
        "cut and flagged": {"findings": ("truncated", "repetition")},
        "failed": {"outcome": Outcome.ERROR, "error_type": "timeout"},
        "slow": {"last_byte_ns": 30_000 * MS},
        "gone": {"outcome": Outcome.ABORTED, "closed_ns": 31_000 * MS},
    }
    return Exchange(engine="llama", **{**known[kind], **changes})


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("plain", None),
        ("flagged", "flagged"),
        ("cut", None),
        ("cut and flagged", "flagged"),
        ("failed", "failed"),
        ("slow", "slow"),
        ("gone", "slow"),
    ],
)
def test_each_reason_is_told_by_what_happened(kind: str, reason: str | None) -> None:
    assert Chooser(NEVER, random=lambda: 0.5, clock=Clock()).choose(an_exchange(kind)) == reason


def test_the_sample_is_a_share_of_the_ordinary_ones() -> None:
    settings = Exchanges(sample=0.25, most_per_hour=100_000)
    chooser = Chooser(settings, random=random.Random(4).random, clock=Clock())
    chosen = Counter(chooser.choose(an_exchange()) for _ in range(4000))
    assert set(chosen) == {None, "sampled"}
    assert 900 < chosen["sampled"] < 1100


def test_nothing_is_told_where_an_hour_holds_none() -> None:
    chooser = Chooser(Exchanges(sample=1.0, most_per_hour=0), random=lambda: 0.0, clock=Clock())
    assert chooser.choose(an_exchange("failed")) is None
    assert chooser.choose(an_exchange()) is None
    assert chooser.left_out() == {"failed": 1, "sampled": 1}


def test_a_storm_of_failures_leaves_room_for_what_is_slow_or_flagged() -> None:
    clock = Clock()
    chooser = Chooser(NEVER, random=lambda: 0.5, clock=clock)
    assert sum(chooser.choose(an_exchange("failed")) is not None for _ in range(500)) == 10
    assert sum(chooser.choose(an_exchange("slow")) is not None for _ in range(500)) == 10
    clock.now += HOUR_SECONDS / 2
    assert chooser.choose(an_exchange("flagged")) == "flagged"
    assert chooser.left_out()["failed"] == 490


def test_what_nobody_else_used_melts_and_may_be_spent_by_one() -> None:
    clock = Clock()
    chooser = Chooser(NEVER, random=lambda: 0.5, clock=clock)
    told = 0
    for _ in range(3600):
        told += chooser.choose(an_exchange("failed")) is not None
        clock.now += 1
    assert 38 <= told <= 40
    assert chooser.choose(an_exchange("failed")) == "failed"  # another hour


@given(
    st.lists(
        st.tuples(st.sampled_from(["flagged", "failed", "slow", "plain"]), st.floats(0, 900)), max_size=300
    ),
    st.integers(0, 30),
)
def test_no_hour_holds_more_and_no_reason_less_than_its_share(
    happened: list[tuple[str, float]], most: int
) -> None:
    clock = Clock()
    chooser = Chooser(Exchanges(sample=1.0, most_per_hour=most), random=lambda: 0.0, clock=clock)
    hours: dict[int, Counter[str]] = {}
    for kind, pause in happened:
        clock.now += pause
        hour = hours.setdefault(int((clock.now - 1_000) // HOUR_SECONDS), Counter())
        reason = chooser.choose(an_exchange(kind))
        if reason is not None:
            hour[reason] += 1
            assert reason in REASONS
        elif (clock.now - 1_000) % HOUR_SECONDS < 1:
            wanted = "sampled" if kind == "plain" else kind
            assert hour[wanted] >= most // 4  # at the hour's beginning, each has its quarter
        assert hour.total() <= most


@dataclass
class Kept:
    """Texts as the journal has them."""

    texts: dict[str, Any]

    def plain(self) -> dict[str, Any]:
        return dict(self.texts)


@dataclass
class Entry:
    """An exchange as the journal has it."""

    row: Row
    texts: Kept | None = None
    state: str = "not_flagged"
    chosen: str | None = "slow"


def an_entry(number: int, texts: dict[str, Any] | None = None, **fields: Any) -> Entry:
    row: Row = {
        "id": exchange_id(1_790_000_000_000, number),
        "start": 1_790_000_000_000,
        "engine": "llama",
        **fields,
    }
    return Entry(row, None if texts is None else Kept(texts), "not_flagged" if texts is None else "kept")


def opened(payload: bytes) -> ExchangeBatch:
    batch = wire.decode(payload)
    assert isinstance(batch, ExchangeBatch)
    return batch


def test_a_message_holds_so_many_and_says_why_each_is_in_it() -> None:
    parcel = pack([an_entry(number) for number in range(40)], HEADER, Privacy())
    batch = opened(parcel.payload)
    assert len(batch.exchanges) == len(parcel.ids) == MAX_ROWS
    assert batch.exchanges[0] == wire.Told(an_entry(0).row, None, "slow", "not_flagged")
    assert batch.privacy == ("flagged", "none")


@pytest.mark.parametrize(
    ("upload", "findings", "leaves"),
    [
        ("none", ["repetition"], False),
        ("none", None, False),
        ("flagged", ["repetition"], True),
        ("flagged", None, False),
        ("all", None, True),
    ],
)
def test_texts_leave_only_as_the_settings_allow(
    upload: str, findings: list[str] | None, leaves: bool
) -> None:
    fields = {"findings": findings} if findings else {}
    entry = an_entry(1, {"answer": "canary-7731"}, **fields)
    (told,) = opened(pack([entry], HEADER, Privacy(journal="all", upload=upload)).payload).exchanges
    assert told.texts == ({"answer": "canary-7731"} if leaves else None)
    assert told.kept == "kept"


def test_large_texts_make_small_messages_and_lose_no_exchange() -> None:
    noise = random.Random(3)

    def long() -> dict[str, Any]:
        return {"answer": "".join(chr(noise.randrange(0x4E00, 0x9FFF)) for _ in range(9_000))}

    waiting = [an_entry(number, long()) for number in range(5)]
    seen: list[str] = []
    while waiting:
        parcel = pack(waiting, HEADER, Privacy(journal="all", upload="all"))
        assert 0 < len(parcel.payload) <= MAX_BYTES
        told = opened(parcel.payload).exchanges
        assert all(t.texts and not t.texts.get("cut") for t in told)
        assert [t.row["id"] for t in told] == list(parcel.ids)
        seen += parcel.ids
        waiting = waiting[len(parcel.ids) :]
    assert seen == [an_entry(number).row["id"] for number in range(5)]


def test_one_that_is_too_large_by_itself_loses_texts_and_says_so() -> None:
    noise = random.Random(3)
    endless = "".join(chr(noise.randrange(0x4E00, 0x9FFF)) for _ in range(60_000))
    (told,) = opened(
        pack([an_entry(1, {"answer": endless})], HEADER, Privacy("all", upload="all")).payload
    ).exchanges
    assert told.texts is not None
    assert told.texts["cut"] is True
    assert endless.startswith(told.texts["answer"])


def test_what_no_collector_would_take_is_settled_and_holds_nothing_up() -> None:
    bad = an_entry(2, model="two words")
    worse = an_entry(3, scores={"toxic": float("nan")})
    parcel = pack([bad, worse, an_entry(4)], HEADER, Privacy())
    assert [told.row["id"] for told in opened(parcel.payload).exchanges] == [an_entry(4).row["id"]]
    assert len(parcel.ids) == 3
    assert parcel.unsendable == 2
    assert pack([bad], HEADER, Privacy()) == (b"", (bad.row["id"],), 1)


@dataclass
class Journal:
    """A journal in memory."""

    waiting: list[Entry]
    broken: bool = False

    def unsent(self, limit: int) -> Sequence[Entry]:
        if self.broken:
            raise OSError("disk")
        return self.waiting[:limit]

    def mark_sent(self, ids: Sequence[str]) -> None:
        self.waiting = [entry for entry in self.waiting if entry.row["id"] not in ids]


@dataclass
class Delivery:
    done: bool = False
    lost: bool = False


@dataclass
class Broker:
    """Takes messages while it is there; acknowledges when a test says so, or by itself."""

    there: bool = True
    prompt: bool = False
    taken: list[Publish] = field(default_factory=list)
    deliveries: list[Delivery] = field(default_factory=list)

    def deliver(self, message: Publish) -> Delivery | None:
        if not self.there:
            return None
        self.taken.append(message)
        self.deliveries.append(Delivery(done=self.prompt))
        return self.deliveries[-1]


def a_box(journal: Journal, broker: Broker) -> Outbox:
    return Outbox(
        journal, Privacy(), topic="stonechat/1/f/d/up/exchange", header=lambda: HEADER, deliver=broker.deliver
    )


def test_one_message_at_a_time_and_nothing_is_settled_before_the_brokers_word() -> None:
    journal, broker = Journal([an_entry(number) for number in range(20)]), Broker()
    box = a_box(journal, broker)
    box.turn(0.0)
    box.turn(5.0)
    assert len(broker.taken) == 1
    assert len(journal.waiting) == 20
    broker.deliveries[0].done = True
    box.turn(6.0)
    assert len(journal.waiting) == 4
    assert len(broker.taken) == 2
    broker.deliveries[1].done = True
    assert box.turn(11.0) == outbox.IDLE_SECONDS
    assert journal.waiting == []
    assert {message.topic for message in broker.taken} == {"stonechat/1/f/d/up/exchange"}
    assert {(message.qos, message.retain) for message in broker.taken} == {(1, False)}


@pytest.mark.parametrize("how", ["lost", "silent", "away"])
def test_what_the_broker_never_had_is_sent_again(how: str) -> None:
    journal, broker = Journal([an_entry(1)]), Broker(there=how != "away")
    box = a_box(journal, broker)
    box.turn(0.0)
    if how == "lost":
        broker.deliveries[0].lost = True
    broker.there = True
    box.turn(1.0 if how != "silent" else 1.0 + outbox.PATIENCE_SECONDS)
    assert len(broker.taken) == (1 if how == "away" else 2)
    assert len(journal.waiting) == 1
    broker.deliveries[-1].done = True
    box.turn(200.0)
    assert journal.waiting == []


def test_what_was_chosen_is_written_when_it_is_looked_for() -> None:
    assert outbox.WRITTEN_SECONDS > SLOW_BATCH_SECONDS


def test_the_thread_sends_once_linked_and_survives_a_broken_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SETTLE_SECONDS", "PACE_SECONDS", "LOOK_SECONDS", "WRITTEN_SECONDS", "IDLE_SECONDS"):
        monkeypatch.setattr(outbox, name, 0.01)
    journal, broker = Journal([an_entry(number) for number in range(20)], broken=True), Broker(prompt=True)
    box = a_box(journal, broker)
    box.start()
    waited = threading.Event()
    assert not waited.wait(0.05)
    assert broker.taken == []
    box.linked()
    waited.wait(0.05)
    journal.broken = False
    box.wake()
    for _ in range(6_000):
        if not journal.waiting:
            break
        waited.wait(0.01)
    box.unlinked()
    box.stop()
    assert journal.waiting == []
    assert len(broker.taken) == 2
