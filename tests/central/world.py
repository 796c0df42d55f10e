"""A device, a broker, a network and a collector that break in every way that we know of.

The agent's spool and uplink and the collector's ingest, store and roll-up are the real ones. Simulated are the
clocks, the broker and the network (messages are lost, repeated, late and out of order), and the disk (power cuts lose
and reorder what was not synced). Each window carries a random weight of 40 bits in a counter, so that a loss and a
double cannot cancel in a total.
"""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import msgpack
from sqlalchemy import delete, select
from tests.central import disk

from stonechat.catalog import metric_id
from stonechat.description import hash_of
from stonechat.event import EventKind, Severity
from stonechat.ranges import Ranges, Standing, difference, standing, union
from stonechat.records import DEVICE, Flag, Record, from_plain
from stonechat.wire import Stream
from stonechat_agent.sampling import Reading
from stonechat_agent.spool import Instant, Spool
from stonechat_agent.uplink import Publish, Uplink
from stonechat_agent.window import WindowBuilder
from stonechat_collector import rollup, schema
from stonechat_collector.buckets import Bucket
from stonechat_collector.ingest import Ingest
from stonechat_collector.messages import Message
from stonechat_collector.store import Store, StoreUnavailable

FLEET, NAME = "fleet", "device"
WEIGHT = metric_id("system.disk.io.read")
MINUTE = 60_000
GENESIS = 1_790_000_000_000
DESCRIPTIONS: tuple[dict[str, Any], ...] = ({"labels": {"ring": "a"}}, {"labels": {"ring": "b"}})
_LOG = 400


class Window(NamedTuple):
    """What is known to be true of a window."""

    weight: int
    begins: int
    """True time of its beginning, ms."""


@dataclass
class Truth:
    """The windows that were committed, and those that nobody can be asked for."""

    windows: dict[tuple[int, int], Window] = field(default_factory=dict)
    """By (epoch, seq)."""
    excused: set[tuple[int, int]] = field(default_factory=set)
    """Not sure to exist: under way in a power cut, or on a disk that rotted, was replaced or put aside."""


class Machine:
    """One machine with a disk, a clock and, while it runs, an agent."""

    def __init__(self, world: World, directory: Path) -> None:
        self.world = world
        self.directory = directory
        self.boots = 0
        self.spool: Spool | None = None
        self.uplink: Uplink | None = None
        self.connected = False
        self.description = 0
        self.inbox: list[bytes] = []
        self.windows = 0
        self.aside: set[str] = set()
        self.boot()

    # Clocks

    def boot(self) -> None:
        """Power on: the boottime begins anew, and the wall clock is what a board without a battery makes of it."""
        rng = self.world.rng
        self.boots += 1
        self.boot_id = f"{rng.getrandbits(64):016x}"
        self.booted = self.world.time - rng.randrange(5_000, 60_000)
        self.asleep = 0
        self.synced = rng.random() < 0.6
        self.shift = 0 if self.synced else rng.choice([-self.world.time, -86_400_000, 0, 3_600_000])

    def now(self) -> Instant:
        """What the clocks show."""
        boottime = self.world.time - self.booted
        return Instant(boottime - self.asleep, boottime, self.world.time + self.shift, self.synced)

    # The agent

    def start(self) -> None:
        """Start the agent, if it does not run."""
        if self.spool is not None:
            return
        rng = self.world.rng
        self.spool = Spool.open(
            self.directory,
            rng_bytes=lambda n: rng.getrandbits(8 * n).to_bytes(n, "big"),
            clock=self.now,
            max_size=self.world.spool_bytes,
            boot_id=self.boot_id,
            free_bytes=lambda _: 1 << 40,
        )
        self.uplink = Uplink(self.spool, FLEET, NAME, random=rng.random, spread_ms=rng.choice([0, 15_000]))
        self.uplink.describe(DESCRIPTIONS[self.description], self.now())
        self.windows = 0

    def stop(self) -> None:
        """Stop the agent as systemd does."""
        if self.spool is None:
            return
        self.disconnect(clean=True)
        self.spool.close()
        self.spool = self.uplink = None

    def crash(self, files: disk.Files | None = None) -> None:
        """End the agent at once; the disk then holds ``files``, or what it held."""
        if self.spool is None:
            return
        left = disk.read(self.directory) if files is None else files
        self.disconnect(clean=False)
        self.spool.close()
        self.spool = self.uplink = None
        disk.write(self.directory, left)

    def cut(self, work: Callable[[], object]) -> None:
        """Lose the power while ``work`` is under way; what it published went nowhere."""
        before = disk.read(self.directory)
        work()
        self.crash(disk.cut(before, disk.read(self.directory), self.world.rng))

    def connect(self) -> None:
        """Reach the broker."""
        if self.uplink is None or self.connected:
            return
        self.connected = True
        self.testament = self.uplink.will()
        self.publish(self.uplink.connected(self.now()))

    def disconnect(self, *, clean: bool) -> None:
        """Lose the broker, which publishes the will unless the disconnect was on purpose."""
        if self.uplink is None or not self.connected:
            return
        if clean:
            self.publish(self.uplink.stopping(self.now()))
        elif self.world.rng.random() < 0.8:
            self.world.flights.append(self.testament)
        self.connected = False
        self.inbox.clear()
        self.uplink.disconnected(self.now())

    def publish(self, messages: Sequence[Publish]) -> None:
        """Hand messages to the network."""
        if self.connected:
            self.world.flights.extend(messages)

    def tick(self) -> None:
        """Let the uplink do what is due."""
        if self.uplink is not None:
            self.publish(self.uplink.tick(self.now()))

    def window(self) -> None:
        """Live through a minute, and close its window."""
        assert self.spool is not None
        assert self.uplink is not None
        opened, begins = self.now(), self.world.time
        self.world.time += MINUTE
        description = hash_of(DESCRIPTIONS[self.description])
        slots = self.spool.slots(description)
        builder = WindowBuilder(
            opened, order=self.spool.order, description=description, slots=slots, length_ms=MINUTE
        )
        weight = self.world.rng.getrandbits(40) | 1
        builder.add_reading(Reading(WEIGHT, weight))
        self.windows += 1
        self.world.truth.windows[self.spool.epoch, self.windows] = Window(weight, begins)
        self.publish(self.uplink.window_closed(builder.build(self.now()), self.now()))

    def event(self) -> None:
        """Have something to tell."""
        assert self.uplink is not None
        key = self.world.rng.choice(["engine", "clock"])
        self.publish(self.uplink.event(EventKind.ENGINE_DOWN, key, Severity.INFO, None, self.now()))

    def describe(self) -> None:
        """Change the description in force."""
        assert self.uplink is not None
        self.description = 1 - self.description
        self.publish(self.uplink.describe(DESCRIPTIONS[self.description], self.now()))

    def losses(self) -> Counter[str]:
        """What the agent has counted as lost."""
        assert self.spool is not None
        return self.spool.losses

    def excuse_latest(self) -> None:
        """The power went while this window was written: it may be there or not."""
        self.world.truth.excused.add(next(reversed(self.world.truth.windows)))

    def notice_quarantine(self) -> None:
        """Excuse what was in a file that the agent has put aside since: its event tells that there was something."""
        aside = {path.name for path in self.directory.glob("*.bad-*")}
        if aside - self.aside:
            self.excuse_all()
        self.aside = aside

    def excuse_all(self) -> None:
        """Nobody can be asked for what only this disk held."""
        self.world.truth.excused.update(self.world.truth.windows)


class World:
    """Everything, driven by one random generator."""

    def __init__(self, seed: int, directory: Path, template: Path) -> None:
        self.rng = random.Random(seed)
        self.time = GENESIS
        self.directory = directory
        self.truth = Truth()
        self.flights: list[Publish] = []
        self.spool_bytes = 64 << 20
        self.database = directory / "fleet.db"
        shutil.copy(template, self.database)
        self.backup: bytes | None = None
        self.image: disk.Files | None = None
        self._open_collector()
        self.machines = [Machine(self, directory / "m0")]
        self.did: list[str] = []
        self.forgotten = 0
        """Rows that retention took."""

    def _open_collector(self) -> None:
        self.store = Store(f"sqlite:///{self.database}")
        self.workers = [Ingest(self.store, lambda: self.time, name=f"worker-{n}") for n in (0, 1)]

    def close(self) -> None:
        """Release every file."""
        for machine in self.machines:
            if machine.spool is not None:
                machine.spool.close()
        self.store.close()

    # The network

    def deliver(self, index: int, *, keep: bool = False, crash: bool = False) -> None:
        """Give one message in flight to a worker. ``keep``: it comes again. ``crash``: the answer is never sent."""
        flight = self.flights[index] if keep else self.flights.pop(index)
        worker = self.rng.choice(self.workers)
        try:
            answers = worker.take([Message(flight.topic, flight.payload, flight.retain)])
        except StoreUnavailable:
            self.flights.append(flight)
            return
        if crash:
            return
        for answer in answers:
            for machine in self.machines:  # clones share the topic
                if machine.connected:
                    machine.inbox.append(answer.payload)

    def deliver_batch(self, count: int) -> None:
        """Give several messages to one worker in one transaction."""
        batch = [
            self.flights.pop(self.rng.randrange(len(self.flights)))
            for _ in range(min(count, len(self.flights)))
        ]
        answers = self.rng.choice(self.workers).take([Message(f.topic, f.payload, f.retain) for f in batch])
        for answer in answers:
            for machine in self.machines:
                if machine.connected:
                    machine.inbox.append(answer.payload)

    def receive(self, machine: Machine, index: int) -> None:
        """Let a machine have one of the answers that wait for it."""
        payload = machine.inbox.pop(index)
        if machine.uplink is not None and machine.connected:
            machine.publish(machine.uplink.message(machine.uplink.ack_topic, payload, machine.now()))

    # The collector

    def back_up(self) -> None:
        """Copy the database as it is."""
        self.store.close()
        self.backup = self.database.read_bytes()
        self._open_collector()

    def restore(self) -> None:
        """Put the copy in the database's place, which loses everything since."""
        assert self.backup is not None
        self.store.close()
        for path in self.directory.glob("fleet.db-*"):
            path.unlink()
        self.database.write_bytes(self.backup)
        self._open_collector()

    def retain(self) -> None:
        """Forget the older half of the windows that the roll-up has, as retention does."""
        self.roll_up()
        with self.store.writing() as connection:
            starts = sorted(start for (start,) in connection.execute(select(schema.windows.c.start)))
            if starts:
                old = schema.windows.c.start < starts[len(starts) // 2]
                self.forgotten += connection.execute(delete(schema.windows).where(old)).rowcount

    def roll_up(self) -> None:
        """Merge what is pending."""
        while rollup.advance(self.store, self.time):
            pass

    # The end

    def heal(self) -> None:
        """Let everything work from here on, until nothing is on its way and every loss is told.

        A loss is counted and told with the window after it, so windows go on until two of them brought none.
        """
        for machine in self.machines:
            machine.disconnect(clean=False)
            machine.synced, machine.shift = True, 0
            machine.start()
        told = [-1, -1]
        while told[-2:] != [(now := sum(sum(machine.losses().values()) for machine in self.machines))] * 2:
            told.append(now)
            for machine in self.machines:
                machine.window()
            self._settle()
        self.roll_up()

    def _settle(self, rounds: int = 400) -> None:
        for _ in range(rounds):
            idle = True
            for machine in self.machines:
                machine.connect()
                machine.tick()
            while self.flights or any(machine.inbox for machine in self.machines):
                idle = False
                if self.flights:
                    self.deliver(0)
                for machine in self.machines:
                    while machine.inbox:
                        self.receive(machine, 0)
            for machine in self.machines:
                machine.notice_quarantine()
            stats = [machine.spool.stats() for machine in self.machines if machine.spool is not None]
            if idle and not any(one.records or one.events for one in stats):
                return
            self.time += 20_000
        raise AssertionError(f"not quiet after {rounds} rounds: {stats}")

    def check(self) -> None:
        """The collector's totals are the truth, but for what an event accounts for."""
        with self.store.reading() as connection:
            receipts = {
                int(epoch, 16): _ranges(blob)
                for epoch, blob in connection.execute(
                    select(schema.receipts.c.epoch, schema.receipts.c.ranges).where(
                        schema.receipts.c.device == NAME, schema.receipts.c.stream == int(Stream.WINDOW)
                    )
                )
            }
            rows = [
                from_plain(msgpack.unpackb(blob, strict_map_key=False))
                for (blob,) in connection.execute(select(schema.windows.c.payload))
            ]
            buckets = [
                Bucket.unpack(blob)
                for (blob,) in connection.execute(
                    select(schema.rollups.c.payload).where(schema.rollups.c.scope == rollup.DEVICE)
                )
            ]
            lost = list(
                connection.execute(
                    select(schema.events.c.kind, schema.events.c.attributes).where(
                        schema.events.c.kind == EventKind.LOSS
                    )
                )
            )
        taken = {key for key in self.truth.windows if _has(receipts, key)}
        unknown = {epoch: list(ranges) for epoch, ranges in receipts.items()}
        for epoch, seq in taken:
            unknown[epoch] = list(difference(unknown[epoch], [(seq, seq)]))
        assert not any(unknown.values()), f"receipts of windows that never were: {unknown}"
        total = sum(self.truth.windows[key].weight for key in taken)
        stored = sum(_weight(record.values) for record in rows)
        assert self.forgotten or stored == total, self.tell("windows", total, stored, rows)
        rolled = sum(_weight({DEVICE: dict(bucket.totals())}) for bucket in buckets)
        assert rolled == total, self.tell("roll-ups", total, rolled, rows)
        accounted = {(epoch, seq) for _, attributes in lost for epoch, seq in _covered(attributes)}
        missing = set(self.truth.windows) - taken - self.truth.excused - accounted
        assert not missing, self.tell(f"lost without a word: {sorted(missing)[:5]}", total, stored, rows)
        self._check_times(rows)

    def _check_times(self, rows: Sequence[Record]) -> None:
        for record in rows:
            epoch, seq, _ = record.cover[0]
            window = self.truth.windows[epoch, seq]
            assert record.start is not None
            if Flag.PACKED not in record.flags:
                off = abs(record.start - window.begins)
                assert off <= 2 * MINUTE, f"a window of {window.begins} stands at {record.start}: {record}"

    def tell(self, what: str, expected: int, found: int, rows: Sequence[Record]) -> str:
        """A failure, with the history that led to it."""
        return f"{what}: expected {expected}, found {found}\n" + "\n".join(self.did[-_LOG:])


def _ranges(blob: bytes) -> Ranges:
    flat = msgpack.unpackb(blob)
    return union(zip(flat[::2], flat[1::2], strict=True))


def _has(receipts: dict[int, Ranges], key: tuple[int, int]) -> bool:
    epoch, seq = key
    return standing(receipts.get(epoch, ()), seq, seq) is Standing.TAKEN


def _weight(values: Any) -> int:
    return sum(metrics[WEIGHT][1] for metrics in values.values() if WEIGHT in metrics)


def _covered(attributes: dict[str, Any]) -> list[tuple[int, int]]:
    if attributes.get("stream") != "window":
        return []
    return [
        (epoch, seq)
        for epoch, low, high in _cover(attributes.get("cover", ()))
        for seq in range(low, high + 1)
    ]


def _cover(plain: Any) -> list[tuple[int, int, int]]:
    return [(int(epoch, 16) if isinstance(epoch, str) else epoch, low, high) for epoch, low, high in plain]
