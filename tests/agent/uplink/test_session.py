"""The uplink's rules against the collector of ``making``, with every message under the test's control."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable

import pytest
from tests.agent.spool.making import BEGIN, MINUTE, STORE, Collector, Device, everything

from stonechat import description, topics, wire
from stonechat.event import EventKind, Severity
from stonechat.ranges import Ranges
from stonechat.records import Flag, Record
from stonechat.wire import Ack, State, Stream, WindowBatch
from stonechat_agent.spool import Spool
from stonechat_agent.uplink import Publish, Uplink
from stonechat_agent.uplink.session import MAX_BACKLOG, MAX_BATCH_BYTES, MAX_UNACKED, PROBE_MS

ACK = topics.down("shops", "kiosk-1", "ack")


class Bench:
    """A device, a collector, and the network between them, which the test is."""

    def __init__(self, device: Device, *, spread_ms: int = 0, pace_ms: int = 1000, **options: object) -> None:
        self.device = device
        self.clock = device.clock
        self.rng = random.Random(1)
        self.pace_ms, self.spread_ms = pace_ms, spread_ms
        self.options = options
        self.collector = Collector(lambda: self.clock.true)
        self.start()

    def start(self) -> None:
        self.spool: Spool = self.device.open(**self.options)
        self.uplink = Uplink(
            self.spool,
            "shops",
            "kiosk-1",
            random=self.rng.random,
            spread_ms=self.spread_ms,
            pace_ms=self.pace_ms,
        )

    def restart(self) -> None:
        self.spool.close()
        self.start()

    def connect(self) -> list[Publish]:
        return self.uplink.connected(self.clock())

    def window(self, *, bulk: int = 0) -> list[Publish]:
        return self.uplink.window_closed(self.device.draft(self.spool, bulk=bulk), self.clock())

    def tick(self, seconds: float = 1.0) -> list[Publish]:
        self.clock.pass_ms(int(seconds * 1000))
        return self.uplink.tick(self.clock())

    def answer(self, payload: bytes) -> list[Publish]:
        return self.uplink.message(ACK, payload, self.clock())

    def deliver(self, messages: list[Publish]) -> None:
        """Let the collector take the messages, and what its answers bring forth, until nothing comes."""
        while messages:
            payloads = [self.collector.take(message.payload) for message in messages]
            messages = [more for payload in payloads for more in self.answer(payload)]

    def settle(self, seconds: int = 120) -> None:
        for _ in range(seconds):
            self.deliver(self.tick())


@pytest.fixture
def bench(device: Device) -> Bench:
    return Bench(device)


def leaf(message: Publish) -> str:
    topic = topics.parse(message.topic)
    assert topic is not None
    assert (topic.fleet, topic.device, topic.direction) == ("shops", "kiosk-1", "up")
    return topic.leaf


def leaves(messages: list[Publish]) -> list[str]:
    return [leaf(message) for message in messages]


def batch_of(message: Publish) -> WindowBatch:
    batch = wire.decode(message.payload)
    assert isinstance(batch, WindowBatch)
    return batch


def records(message: Publish) -> list[int]:
    """The seqs that a message of windows covers."""
    return [
        seq
        for record in batch_of(message).records
        for _, low, high in record.cover
        for seq in range(low, high + 1)
    ]


def test_a_window_is_published_acknowledged_and_let_go(bench: Bench) -> None:
    bench.deliver(bench.connect())
    (message,) = bench.window()
    assert (leaf(message), message.qos, message.retain) == ("window", 1, False)
    bench.deliver([message])
    assert bench.collector.weight == bench.device.truth
    assert bench.uplink.unacknowledged == 0
    assert everything(bench.spool) == []


def test_the_birth_goes_first_and_is_retained_then_the_newest_window_then_history(bench: Bench) -> None:
    bench.uplink.describe({"labels": {"site": "berlin"}}, bench.clock())
    for _ in range(130):
        assert bench.window() == []
    first, second, *rest = bench.connect()
    assert (leaf(first), first.qos, first.retain) == ("state", 1, True)
    birth = wire.decode(first.payload)
    assert isinstance(birth, State)
    assert (birth.online, birth.order, birth.epoch) == (True, bench.spool.order, bench.spool.epoch)
    assert birth.description == {"labels": {"site": "berlin"}}
    assert records(second) == [130] or 130 in records(second)
    assert leaves(rest) == ["event"], "the new description"
    history: list[int] = []
    for _ in range(20):
        for message in bench.tick():
            history += records(message)
            bench.deliver([message])
    assert history == sorted(history)
    assert bench.collector.weight == bench.device.truth


def test_will_and_birth_of_a_connection_carry_one_count_and_later_ones_more(bench: Bench) -> None:
    counts = []
    for _ in range(3):
        will = wire.decode(bench.uplink.will().payload)
        birth = wire.decode(bench.connect()[0].payload)
        assert isinstance(will, State)
        assert isinstance(birth, State)
        assert (will.online, birth.online) == (False, True)
        assert (will.order, will.connect, will.epoch) == (birth.order, birth.connect, birth.epoch)
        counts.append(birth.connect)
        bench.uplink.disconnected(bench.clock())
    assert counts == sorted(set(counts))
    bench.connect()
    (gone,) = bench.uplink.stopping(bench.clock())
    assert gone.retain
    state = wire.decode(gone.payload)
    assert isinstance(state, State)
    assert not state.online


def test_at_most_eight_messages_are_unacknowledged_and_new_windows_stay_held(bench: Bench) -> None:
    bench.connect()
    sent = [message for _ in range(30) for message in bench.window()]
    assert bench.uplink.unacknowledged == MAX_UNACKED
    assert len({message.payload for message in sent if len(records(message)) == 1}) >= MAX_UNACKED
    assert bench.spool.offered(Stream.WINDOW) == MAX_UNACKED
    while bench.spool.fold():
        pass
    assert bench.spool.stats().records < 30, "what is held folds meanwhile"
    bench.settle(1500)
    assert bench.collector.weight == bench.device.truth


def test_the_bound_holds_across_reconnects_and_restarts(bench: Bench) -> None:
    for round_ in range(12):
        bench.connect()
        for _ in range(20):
            bench.window()
            bench.tick(20)
            assert bench.uplink.unacknowledged <= MAX_UNACKED
        bench.uplink.disconnected(bench.clock())
        if round_ % 3 == 2:
            bench.restart()
    assert bench.spool.offered(Stream.WINDOW) <= MAX_UNACKED * 64
    bench.deliver(bench.connect())
    bench.settle(300)
    assert bench.collector.weight == bench.device.truth
    assert bench.collector.overlaps == 0


def test_without_acknowledgements_only_a_probe_goes_out_less_and_less_often(bench: Bench) -> None:
    bench.connect()
    for _ in range(10):
        bench.window()
    times: list[int] = []
    probes: list[Publish] = []
    for _ in range(3600):
        out = bench.tick()
        assert len(out) <= 1
        times += [bench.clock.boottime] * len(out)
        probes += out
    assert 4 <= len(times) <= 12
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert gaps[-1] > 4 * PROBE_MS
    # When a collector is there again the probe's acknowledgement brings everything along.
    bench.deliver([probes[-1]])
    bench.settle()
    assert bench.collector.weight == bench.device.truth


def test_a_collector_that_comes_back_is_offered_everything_at_once(bench: Bench) -> None:
    birth = bench.connect()[0]
    for _ in range(10):
        bench.window()
    for _ in range(7200):
        bench.tick()
    # The broker kept the birth for it; answering that is its first sign of life.
    bench.deliver(bench.answer(bench.collector.take(birth.payload)))
    bench.settle(60)
    assert bench.collector.weight == bench.device.truth


def test_a_collector_that_never_takes_a_description_is_not_sent_it_without_pause(bench: Bench) -> None:
    body = {"labels": {"site": "berlin"}}
    bench.uplink.describe(body, bench.clock())
    bench.deliver(bench.connect())
    bench.settle(3)
    bench.collector.wanted = {description.hash_of(body)}
    for _ in range(20):
        bench.deliver(bench.window())
        bench.settle(5)
    assert len(bench.collector.events) <= 23


def test_what_is_unacknowledged_is_offered_again_on_reconnect_with_the_same_bytes(bench: Bench) -> None:
    bench.connect()
    lost = [message for _ in range(3) for message in bench.window()]
    offered = {record.cover: record for message in lost for record in batch_of(message).records}
    bench.uplink.disconnected(bench.clock())
    again: list[Publish] = [message for message in bench.connect() if leaf(message) == "window"]
    for _ in range(10):
        again += bench.tick()
    assert [records(message) for message in again] == [[3], [1, 2]], "the newest first"
    assert {record.cover: record for message in again for record in batch_of(message).records} == offered


def test_a_message_that_a_later_one_overtook_is_offered_again(bench: Bench) -> None:
    bench.connect()
    (lost,) = bench.window()
    arrived = bench.window()
    bench.deliver(arrived)
    bench.settle(5)
    assert bench.collector.weight == bench.device.truth
    assert lost.payload not in {message.payload for message in arrived}


def test_a_lost_acknowledgement_leads_to_a_repeat_that_the_receipts_drop(bench: Bench) -> None:
    bench.connect()
    for message in bench.window():
        bench.collector.take(message.payload)
    bench.settle(60)
    assert bench.uplink.unacknowledged == 0
    assert bench.collector.weight == bench.device.truth


def test_history_is_paced_as_the_collector_asks(device: Device) -> None:
    bench = Bench(device, pace_ms=100)
    for _ in range(2000):
        bench.window()
    bench.collector.pace = 20_000
    bench.deliver(bench.connect())
    sent = []
    for _ in range(200):
        out = bench.tick()
        sent += [len(records(message)) for message in out]
        bench.deliver(out)
    assert 8 <= len(sent) <= 22
    assert max(sent) <= 64
    bench.collector.pace = 0
    bench.settle(80)
    assert bench.collector.weight == device.truth


def test_history_leaves_room_for_what_is_live(bench: Bench) -> None:
    for _ in range(1000):
        bench.window()
    bench.connect()
    for _ in range(60):
        bench.tick()
    assert bench.uplink.unacknowledged == MAX_BACKLOG + 1, "and the newest, on connect"
    (live,) = bench.window()
    assert records(live) == [1001]


def test_a_batch_keeps_below_its_bound_in_bytes(device: Device) -> None:
    bench = Bench(device)
    for _ in range(120):
        bench.window(bulk=500)
    sizes: list[int] = []
    messages = bench.connect()
    for _ in range(60):
        sizes += [len(message.payload) for message in messages]
        bench.deliver(messages)
        messages = bench.tick()
    assert max(sizes) <= MAX_BATCH_BYTES
    assert bench.collector.weight == device.truth


def test_the_publishing_phase_is_the_devices_own(device: Device) -> None:
    bench = Bench(device, spread_ms=10_000)
    bench.deliver(bench.connect())
    phases = set()
    for _ in range(5):
        assert bench.window() == []
        waited = 0
        while not (out := bench.tick(0.25)):
            waited += 250
            assert waited < 10_500
        bench.deliver(out)
        phases.add(waited)
    assert len(phases) == 1
    assert bench.spool.offered(Stream.WINDOW) == 0


def test_the_header_tells_the_clocks_and_the_epochs_held(bench: Bench) -> None:
    bench.connect()
    bench.window()
    bench.window()
    before = bench.spool.epoch
    bench.restart()
    bench.connect()
    batches = [batch_of(message) for message in bench.window()]
    assert {batch.records[0].cover[0][0] for batch in batches} == {before, bench.spool.epoch}
    for batch in batches:
        header = batch.header
        assert (header.epoch, header.order) == (bench.spool.epoch, bench.spool.order)
        assert (header.wall, header.boottime) == (bench.clock.true, bench.clock.boottime)
        assert set(header.held) == set(bench.spool.held_epochs())
        assert {epoch for epoch, _, _ in header.held} == {before, bench.spool.epoch}


def test_without_a_clock_the_collectors_time_is_the_anchor(bench: Bench) -> None:
    bench.clock.synced = False
    bench.clock.error = -BEGIN
    assert bench.window() == []
    out = bench.connect()
    assert leaves(out) == ["state"], "nothing is offered before the run's time is known"
    bench.clock.pass_ms(200)
    answer = bench.collector.take(out[0].payload)
    bench.clock.pass_ms(200)
    bench.deliver(bench.answer(answer))
    bench.settle(5)
    (record,) = bench.collector.records
    assert record.start is not None
    assert abs(record.start - BEGIN) <= 1
    assert record.flags == Flag.UNSYNCED | Flag.ANCHORED_LATE


def test_a_birth_that_nobody_answers_is_repeated_while_the_time_is_not_known(bench: Bench) -> None:
    bench.clock.synced = False
    bench.connect()
    births = [message for _ in range(200) for message in bench.tick()]
    assert set(leaves(births)) == {"state"}
    assert 3 <= len(births) <= 14


def test_an_answer_that_took_too_long_says_nothing_of_the_time(bench: Bench) -> None:
    bench.clock.synced = False
    answer = bench.collector.take(bench.connect()[0].payload)
    bench.clock.pass_ms(10 * MINUTE)
    bench.answer(answer)
    assert not bench.spool.anchored


def test_events_are_published_at_once_and_taken_once(bench: Bench) -> None:
    bench.deliver(bench.connect())
    (message,) = bench.uplink.event(
        EventKind.ENGINE_DOWN, "llama", Severity.WARNING, {"code": 7}, bench.clock()
    )
    assert leaf(message) == "event"
    bench.deliver([message, message])
    (event,) = bench.collector.events
    assert (event.kind, event.key, event.attributes) == (EventKind.ENGINE_DOWN, "llama", {"code": 7})


def test_a_description_is_sent_when_it_is_new_and_when_it_is_wanted(bench: Bench) -> None:
    body = {"labels": {"site": "berlin"}, "agent": {"version": "1"}}
    name = description.hash_of(body)
    bench.uplink.describe(body, bench.clock())
    bench.deliver(bench.connect())
    bench.settle(3)
    (event,) = bench.collector.events
    assert (event.kind, event.key, event.attributes) == (EventKind.DESCRIPTION, name.hex(), body)
    bench.restart()
    bench.uplink.describe(body, bench.clock())
    bench.deliver(bench.connect())
    bench.settle(3)
    assert len(bench.collector.events) == 1, "not new any more"
    bench.collector.wanted = {name, b"unknown1"}
    bench.deliver(bench.window())
    bench.collector.wanted = set()
    bench.settle(3)
    assert [event.attributes for event in bench.collector.events] == [body] * 2


def test_a_changed_description_is_in_the_retained_birth_at_once(bench: Bench) -> None:
    bench.uplink.describe({"labels": {"ring": "a"}}, bench.clock())
    bench.deliver(bench.connect())
    bench.deliver(bench.uplink.describe({"labels": {"ring": "b"}}, bench.clock()))
    first, second = bench.collector.states
    assert (first.order, first.connect) == (second.order, second.connect)
    assert second.description == {"labels": {"ring": "b"}}


@pytest.mark.parametrize("keep", [0, 1, 50])
def test_a_collector_restored_from_a_backup_is_given_what_it_lacks(bench: Bench, keep: int) -> None:
    bench.deliver(bench.connect())
    backup: tuple[dict[tuple[int, int], Ranges], list[Record]] = ({}, [])
    for n in range(100):
        bench.deliver(bench.window())
        bench.deliver(bench.uplink.event(EventKind.RESUMED, "device", Severity.INFO, {"n": n}, bench.clock()))
        if n + 1 == keep:
            backup = dict(bench.collector.receipts), list(bench.collector.records)
    events = len(bench.collector.events)
    bench.collector.receipts, bench.collector.records = backup
    bench.collector.events = bench.collector.events[:keep]
    bench.deliver(bench.window())
    bench.settle(300)
    assert bench.collector.weight == bench.device.truth
    assert bench.collector.overlaps == 0
    assert len(bench.collector.events) == events


def reject(bench: Bench, messages: list[Publish], bad: Callable[[int], bool]) -> list[Publish]:
    """Answer each message as a collector that cannot read it when it holds one of the bad windows."""
    out: list[Publish] = []
    for message in messages:
        if leaf(message) == "window" and any(bad(seq) for seq in records(message)):
            ack = Ack(STORE, rejected=((wire.digest(message.payload), "sketch"),), time=bench.clock.true)
            out += bench.answer(wire.encode_ack(ack))
        else:
            out += bench.answer(bench.collector.take(message.payload))
    return out


def test_a_rejected_batch_goes_once_more_record_by_record_and_only_the_bad_one_is_lost(bench: Bench) -> None:
    for _ in range(80):
        bench.window()
    messages = bench.connect()
    for _ in range(400):
        while messages:
            messages = reject(bench, messages, lambda seq: seq == 17)
        messages = bench.tick()
    taken = {
        seq
        for record in bench.collector.records
        for _, low, high in record.cover
        for seq in range(low, high + 1)
    }
    assert taken == set(range(1, 81)) - {17}
    bench.deliver(bench.window())
    bench.settle(5)
    assert bench.spool.losses == {"window.rejected": 1}
    (loss,) = [event for event in bench.collector.events if event.kind == EventKind.LOSS]
    assert loss.attributes["cover"] == [[f"{bench.spool.epoch:016x}", 17, 17]]
    assert bench.uplink.unacknowledged == 0


def test_what_is_refused_for_good_is_not_offered_again(bench: Bench) -> None:
    bench.connect()
    (message,) = bench.window()
    ack = Ack(STORE, refused=((0, bench.spool.epoch, 1, 1, "overlap"),), time=bench.clock.true)
    bench.answer(wire.encode_ack(ack))
    assert bench.uplink.unacknowledged == 0
    bench.deliver(bench.window())
    bench.settle(300)
    assert all(1 not in [r.cover[0][1] for r in batch.records] for batch in windows_of(bench))
    assert bench.spool.losses == {"window.refused": 1}
    assert leaf(message) == "window"


def windows_of(bench: Bench) -> list[WindowBatch]:
    return [batch for batch in bench.collector.batches if isinstance(batch, WindowBatch)]


def test_messages_that_are_not_for_us_or_not_acknowledgements_change_nothing(bench: Bench) -> None:
    bench.connect()
    bench.window()
    good = wire.encode_ack(Ack(STORE, {(0, bench.spool.epoch): ((1, 1),)}, time=1))
    now = bench.clock()
    assert bench.uplink.message(topics.down("shops", "kiosk-2", "ack"), good, now) == []
    assert bench.uplink.message(topics.down("shops", "kiosk-1", "config"), b"", now) == []
    for payload in (b"", b"\1", b"\1\1garbage", good[:-3], bench.uplink.will().payload):
        assert bench.answer(payload) == []
    assert bench.uplink.unacknowledged == 1


def test_nothing_is_published_while_there_is_no_connection(bench: Bench) -> None:
    assert bench.window() == []
    assert bench.uplink.event(EventKind.RESUMED, "device", Severity.INFO, None, bench.clock()) == []
    assert bench.tick(100) == []
    assert bench.uplink.stopping(bench.clock()) == []
    bench.connect()
    bench.uplink.disconnected(bench.clock())
    assert bench.window() == []
    assert bench.tick(100) == []
    assert bench.uplink.unacknowledged == 0


def test_acknowledgements_that_a_full_disk_made_us_forget_are_asked_for_again(bench: Bench) -> None:
    bench.deliver(bench.connect())
    bench.deliver(bench.window())  # taken and acknowledged, which the next commit is to keep
    disk = bench.spool._disk
    assert disk is not None
    db = disk._db
    db.execute(f"PRAGMA max_page_count={db.execute('PRAGMA page_count').fetchone()[0]}")
    while True:
        out = bench.window(bulk=50)
        if bench.spool.stats().in_memory:
            break
        bench.deliver(out)
    assert bench.spool.offered(Stream.WINDOW) > 1, "forgotten with the transaction that failed"
    bench.deliver(out)
    db.execute("PRAGMA max_page_count=1000000")
    bench.deliver(bench.window())
    bench.settle(60)
    assert not bench.spool.stats().in_memory
    assert bench.spool.offered(Stream.WINDOW) == 0
    assert bench.collector.weight == bench.device.truth


@pytest.mark.parametrize("seed", range(12))
def test_totals_are_exact_whatever_the_network_does(device: Device, seed: int) -> None:
    rng = random.Random(seed)
    bench = Bench(device, max_size=1 << 20)
    connected = False
    late: list[bytes] = []

    def through(messages: list[Publish]) -> None:
        while messages:
            message, *messages = messages
            for _ in range(rng.choice([0, 1, 1, 1, 2])):
                answer = bench.collector.take(message.payload)
                fate = rng.random()
                if fate < 0.6:
                    messages += bench.answer(answer)
                elif fate < 0.8:
                    late.append(answer)

    for _ in range(600):
        bench.clock.pass_ms(rng.randrange(10_000))
        dice = rng.random()
        if dice < 0.35:
            through(bench.window())
        elif dice < 0.4:
            bench.uplink.disconnected(bench.clock())
            connected = False
        elif dice < 0.5 and not connected:
            through(bench.connect())
            connected = True
        elif dice < 0.53:
            bench.spool.fold()
        elif dice < 0.54:
            bench.restart()
            connected = False
        elif dice < 0.6 and late:
            through(bench.answer(late.pop(rng.randrange(len(late)))))
        elif dice < 0.62:
            through(bench.uplink.event(EventKind.RESUMED, "device", Severity.INFO, None, bench.clock()))
        else:
            through(bench.tick())
        assert bench.uplink.unacknowledged <= MAX_UNACKED
    bench.uplink.disconnected(bench.clock())
    bench.deliver(bench.connect())
    bench.settle(200)
    assert bench.collector.weight == device.truth
    assert bench.collector.overlaps == 0
    assert not bench.spool.losses
    assert bench.spool.stats().records == 0
