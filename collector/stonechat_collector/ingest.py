"""Taking messages: decode, validate, take or drop by the receipts, commit, then acknowledge.

`Ingest.take` is the whole of it. It is stateless between calls but for counters and a cache of what can never change,
so several processes may share one subscription: a device's messages may reach any of them in any order, twice, or at
once, and the store ends the same (docs/wire.md, "Exactly once").

What happens to a message:

* It is no message of ours, or its sender's topic does not fit it: a row in ``rejected``, and an ack that names its
  digest where the topic says whom to tell.
* A record or event whose cover is new is stored; one that was taken before is dropped; one that is partly new can be
  neither without a count being wrong, so it is refused for good and an event says so.
* The acks that come back hold everything that is durable by then. They are to be published, and the messages to be
  acknowledged to the broker, only after `take` has returned: when it raises, nothing has happened.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, cast

import msgpack
from sqlalchemy import Connection, and_, bindparam, delete, func, select, tuple_, update

from stonechat import description, topics, wire
from stonechat.errors import Refused
from stonechat.event import Event, EventKind, Severity
from stonechat.ranges import Cover, Ranges, Standing, cover_size
from stonechat.record import Record, to_plain
from stonechat.topics import Topic
from stonechat.wire import Ack, EventBatch, State, Stream, WindowBatch
from stonechat_collector import figures, identity, schema
from stonechat_collector.store import Store, insert_all, insert_tuples
from stonechat_collector.taken import MAX_FRAGMENTS, Taken, cover_standing

FUTURE_MS = 600_000
"""How far ahead of the collector's clock a record may claim to begin before it is flagged."""

MAX_REJECTED = 1000
"""Rejected messages that are kept; their counts by reason are kept for good."""

EVENT_SPAN_MS = 3_600_000
"""Events that the collector raises about the same thing within this time are counted in one row."""

BEAT_MS = 10_000
"""How often a process without messages says that it is alive."""

MIN_PACE_MS = 50
MAX_PACE_MS = 60_000
BACKLOG_SHARE = 0.5
"""The share of this process's time that backlog may take, so that live windows always find it free."""

_TIME_LIMIT = 1 << 52
_COUNT_LIMIT = 1_000_000_000
_IN_LIMIT = 400  # pairs in one query: SQLite before 3.32 takes 999 parameters

_LEAVES: Mapping[str, type] = {"window": WindowBatch, "event": EventBatch, "state": State}


class Message(NamedTuple):
    """One MQTT message, received or to be published."""

    topic: str
    payload: bytes
    retain: bool = False


class _Rejected(NamedTuple):
    message: Message
    topic: Topic | None
    reason: str
    detail: str


class _Item(NamedTuple):
    """A message that could be read. ``blobs`` holds a row's payload for each record."""

    message: Message
    topic: Topic
    body: WindowBatch | EventBatch | State
    blobs: Sequence[bytes] = ()


@dataclass
class _Reply:
    """What an ack will say to one device."""

    named: set[int] = field(default_factory=set)
    refused: list[tuple[int, int, int, int, str]] = field(default_factory=list)
    rejected: list[tuple[bytes, str]] = field(default_factory=list)
    wanted: set[bytes] = field(default_factory=set)
    newest: tuple[int, int, int] = (0, 0, 0)
    """(order, boottime, epoch) out of the newest message that is answered."""


class Ingest:
    """Takes messages into a store.

    Args:
        clock_ms: the collector's clock, ms since 1970.
        retention_ms: age above which a window is only counted, not stored; None: none is too old.
        name: of this process in the table ``processes``.
    """

    def __init__(
        self,
        store: Store,
        clock_ms: Callable[[], int],
        *,
        retention_ms: int | None = None,
        name: str = "ingest",
    ) -> None:
        self._store = store
        self._clock_ms = clock_ms
        self._retention_ms = retention_ms
        self._name = name
        self._known: set[bytes] = set()  # descriptions that the store holds
        self._pace = _Pace()
        self._last_beat = 0
        self.counts: dict[str, int] = self._restored()

    def take(self, messages: Sequence[Message]) -> list[Message]:
        """Take messages in one transaction, and return the acks to publish.

        Raises:
            StoreUnavailable: nothing was taken. The messages are to be kept, not acknowledged, and given again.
        """
        begun = time.perf_counter()
        now = self._clock_ms()
        items: list[_Item] = []
        rejected: list[_Rejected] = []
        for message in messages:
            topic = topics.parse(message.topic)
            try:
                if topic is None or topic.direction != "up" or topic.leaf not in _LEAVES:
                    raise Refused("topic", "not one that devices publish to")
                if message.payload or topic.leaf != "state":  # an empty state clears a retained one
                    items.append(_read(message, topic))
            except Refused as error:
                rejected.append(_Rejected(message, topic, error.reason, str(error)))
        with self._store.writing() as connection:
            batch = _Batch(self._store, connection, now, self._retention_ms, self._known)
            batch.take(items, rejected)
            counts = {name: self.counts.get(name, 0) + n for name, n in batch.counts.items()}
            counts = {**self.counts, **counts}
            counts["messages"] = counts.get("messages", 0) + len(messages)
            counts["commits"] = counts.get("commits", 0) + 1
            batch.write(self._name, counts)
        self.counts = counts
        self._last_beat = now
        self._known |= batch.stored_descriptions
        if len(self._known) > 10_000:
            self._known.clear()
        backlog = [item.topic.device for item in items if len(item.blobs) > 1]
        self._pace.took(time.perf_counter() - begun, len(messages), backlog, now)
        return [self._ack(to, reply, batch) for to, reply in batch.replies.items()]

    def beat(self) -> None:
        """Note in the store that this process is alive, unless it said so lately. Raises StoreUnavailable."""
        now = self._clock_ms()
        if now - self._last_beat < BEAT_MS:
            return
        with self._store.writing() as connection:
            write_beat(self._store, connection, self._name, now, self.counts)
        self._last_beat = now

    def _ack(self, to: tuple[str, str], reply: _Reply, batch: _Batch) -> Message:
        fleet, device = to
        taken: dict[tuple[int, int], Ranges] = {}
        for epoch in sorted(reply.named):
            for stream in Stream:
                taken[stream, epoch] = batch.receipts_of(device, stream)[epoch].frozen()
        ack = Ack(
            store=self._store.store_id,
            taken=taken,
            refused=tuple(reply.refused),
            rejected=tuple(reply.rejected),
            wanted=tuple(sorted(reply.wanted)[:16]),
            time=self._clock_ms(),
            pace=self._pace.ms(),
            echo=(reply.newest[2], reply.newest[1]),
        )
        return Message(topics.down(fleet, device, "ack"), _sealed(ack))

    def _restored(self) -> dict[str, int]:
        """The counters of this process before it was last restarted: a counter that falls is read as a reset."""
        with self._store.reading() as connection:
            row = connection.scalar(
                select(schema.processes.c.figures).where(schema.processes.c.name == self._name)
            )
        return {name: int(n) for name, n in (row or {}).items()}


def _read(message: Message, topic: Topic) -> _Item:
    body = wire.decode(message.payload)
    if not isinstance(body, _LEAVES[topic.leaf]):
        raise Refused("type", f"a {type(body).__name__} on up/{topic.leaf}")
    if isinstance(body, WindowBatch):
        try:
            return _Item(message, topic, body, [msgpack.packb(to_plain(record)) for record in body.records])
        except OverflowError as error:
            raise Refused("number", "beyond 64 bits") from error
    assert isinstance(body, EventBatch | State)
    return _Item(message, topic, body)


def _sealed(ack: Ack) -> bytes:
    """The ack's payload. Where its receipts are too many for a message, those in most fragments are left out: a device
    offers again what an ack does not name, and is told then."""
    while True:
        try:
            return wire.encode_ack(ack)
        except ValueError:
            if not ack.taken:
                raise
            most = max(ack.taken, key=lambda key: len(ack.taken[key]))
            ack = replace(ack, taken={key: ranges for key, ranges in ack.taken.items() if key != most})


class _Pace:
    """How long a device with backlog should wait between two batches, so that all of them share `BACKLOG_SHARE`."""

    def __init__(self) -> None:
        self._cost_ms = 1.0
        self._devices: dict[str, int] = {}

    def took(self, seconds: float, messages: int, backlog: Iterable[str], now: int) -> None:
        if messages:
            self._cost_ms += 0.1 * (seconds * 1000 / messages - self._cost_ms)
        for device in backlog:
            self._devices[device] = now
        if len(self._devices) > 100:
            self._devices = {d: at for d, at in self._devices.items() if now - at < MAX_PACE_MS}

    def ms(self) -> int:
        wanted = len(self._devices) * self._cost_ms / BACKLOG_SHARE
        return max(MIN_PACE_MS, min(MAX_PACE_MS, math.ceil(wanted)))


class _Batch:
    """One transaction: what was read under its lock, what became of it, and what is to be written."""

    def __init__(
        self,
        store: Store,
        connection: Connection,
        now: int,
        retention_ms: int | None,
        known: set[bytes],
    ) -> None:
        self._store = store
        self._connection = connection
        self._now = now
        self._oldest = None if retention_ms is None else now - retention_ms
        self._known = known
        self._devices: dict[str, dict[str, Any]] = {}
        self._receipts: dict[tuple[str, int], dict[int, Taken]] = {}
        self._newest: dict[str, Record] = {}
        self._windows: list[tuple[Any, ...]] = []
        self._pending: list[tuple[Any, ...]] = []
        self._described_by: set[tuple[str, bytes]] = set()
        self._events: list[dict[str, Any]] = []
        self._raised: dict[tuple[str, str, str], dict[str, Any]] = {}
        self._rejected: list[_Rejected] = []
        self._described: dict[bytes, bytes] = {}
        self.stored_descriptions: set[bytes] = set()
        self.replies: dict[tuple[str, str], _Reply] = {}
        self.counts: dict[str, int] = {}

    def take(self, items: Sequence[_Item], rejected: Sequence[_Rejected]) -> None:
        self._lock(items, rejected)
        for refusal in rejected:
            self._reject(refusal)
        owned = [item for item in items if self._belongs(item)]
        self._load_receipts(owned)
        for item in owned:
            if isinstance(item.body, WindowBatch):
                self._take_windows(item, item.body)
            elif isinstance(item.body, EventBatch):
                self._take_events(item, item.body)
            else:
                self._take_state(item, item.body)
        self._want()

    def receipts_of(self, device: str, stream: int) -> dict[int, Taken]:
        """The receipts of a device's stream, by epoch."""
        return self._receipts[device, stream]

    # Reading

    def _lock(self, items: Sequence[_Item], rejected: Sequence[_Rejected]) -> None:
        """Read the devices' rows and keep them from every other writer. New devices are bound to their fleet here."""
        fleets = {item.topic.device: item.topic.fleet for item in reversed(items)}
        names = sorted({*fleets, *(r.topic.device for r in rejected if r.topic is not None)})
        found = self._rows(names)
        new = [name for name in names if name not in found and name in fleets]
        if new:
            self._connection.execute(
                self._store.upsert(schema.devices),
                [_new_device(name, fleets[name], self._now) for name in new],
            )
            found.update(self._rows(new))
        self._devices = found

    def _rows(self, names: Sequence[str]) -> dict[str, dict[str, Any]]:
        rows: dict[str, dict[str, Any]] = {}
        for at in range(0, len(names), _IN_LIMIT):
            query = _OWNED.where(schema.devices.c.id.in_(names[at : at + _IN_LIMIT])).order_by(
                schema.devices.c.id
            )
            for row in self._connection.execute(self._store.locked(query)).mappings():
                rows[row["id"]] = dict(row)
        return rows

    def _load_receipts(self, items: Sequence[_Item]) -> None:
        named: dict[str, set[int]] = {}
        for item in items:
            epochs = named.setdefault(item.topic.device, set())
            epochs.update(_epochs(item.body))
            reply_epochs = _header_epochs(item.body)
            if reply_epochs:
                reply = self._reply(item.topic)
                reply.named.update(reply_epochs)
                sent = item.body if isinstance(item.body, State) else item.body.header
                reply.newest = max(reply.newest, (sent.order, sent.boottime, sent.epoch))
        for device, epochs in named.items():
            for stream in Stream:
                self._receipts[device, stream] = {epoch: Taken() for epoch in epochs}
        pairs = [(device, f"{epoch:016x}") for device, epochs in named.items() for epoch in epochs]
        table = schema.receipts
        for at in range(0, len(pairs), _IN_LIMIT):
            query = select(table).where(tuple_(table.c.device, table.c.epoch).in_(pairs[at : at + _IN_LIMIT]))
            for device, epoch, stream, blob in self._connection.execute(query):
                if stream in (Stream.WINDOW, Stream.EVENT):
                    self._receipts[device, stream][int(epoch, 16)] = Taken(blob)

    # Deciding

    def _belongs(self, item: _Item) -> bool:
        fleet = self._devices[item.topic.device]["fleet"]
        if fleet == item.topic.fleet:
            return True
        detail = f"device {item.topic.device} belongs to fleet {fleet}"
        self._reject(_Rejected(item.message, item.topic, "fleet", detail))
        return False

    def _take_windows(self, item: _Item, batch: WindowBatch) -> None:
        name, row = item.topic.device, self._devices[item.topic.device]
        self._heard(row, batch.header.epoch, batch.header.order, batch.header.boottime, batch.header.wall)
        receipts = self._receipts[name, Stream.WINDOW]
        stored = dropped = 0
        for record, blob in zip(batch.records, item.blobs, strict=True):
            windows = record.windows
            refusal = _unfit(record, windows)
            if refusal:
                self._refuse(item.topic, Stream.WINDOW, record.cover, refusal)
                continue
            if not self._new(item.topic, Stream.WINDOW, receipts, record.cover):
                dropped += 1
                continue
            row["windows"] += windows
            newest = self._newest.get(name)
            if newest is None or record.newest > newest.newest:
                self._newest[name] = record
            start = cast("int", record.start)
            self._described_by.add((name, record.description))
            if self._oldest is not None and start < self._oldest:
                row["expired"] += windows
                self._raise(
                    (name, EventKind.LOSS, "retention"), Severity.WARNING, {"windows": windows}, windows
                )
                self._count("expired", windows)
                continue
            epoch, seq, _ = record.cover[0]
            key = (name, start, f"{epoch:016x}", seq)
            self._pending.append((*key, self._now))
            self._windows.append(
                (
                    *key,
                    record.step,
                    windows,
                    record.description,
                    int(record.flags),
                    start > self._now + FUTURE_MS,
                    blob,
                )
            )
            stored += 1
        self._count("records", stored)
        self._count("repeated", dropped)

    def _take_events(self, item: _Item, batch: EventBatch) -> None:
        name, row = item.topic.device, self._devices[item.topic.device]
        self._heard(row, batch.header.epoch, batch.header.order, batch.header.boottime, batch.header.wall)
        receipts = self._receipts[name, Stream.EVENT]
        for event in batch.events:
            if cover_size(event.cover) > _COUNT_LIMIT:
                self._refuse(item.topic, Stream.EVENT, event.cover, "cover")
                continue
            if not self._new(item.topic, Stream.EVENT, receipts, event.cover):
                self._count("repeated", 1)
                continue
            attributes = plain(event.attributes)
            if event.kind == EventKind.DESCRIPTION:
                if not self._describe(row, event):
                    self._refuse(item.topic, Stream.EVENT, event.cover, "hash")
                    continue
                attributes = {}  # it stands in ``descriptions``
            start = event.start if event.start is not None else self._now
            lasted = (
                event.last_boottime - event.first.boottime if event.last_order == event.first.order else 0
            )
            self._events.append(
                {
                    "device": name,
                    "fleet": row["fleet"],
                    "origin": "device",
                    "kind": plain(event.kind),
                    "key": plain(event.key),
                    "severity": int(event.severity),
                    "start": start,
                    "last": start + min(max(0, lasted), _TIME_LIMIT),
                    "count": event.count,
                    "received": self._now,
                    "attributes": attributes,
                }
            )
            self._count("events", 1)

    def _take_state(self, item: _Item, state: State) -> None:
        row = self._devices[item.topic.device]
        if state.online:
            # A retained birth says what was, not that the device is there now.
            self._heard(
                row, state.epoch, state.order, state.boottime, state.wall, live=not item.message.retain
            )
            if state.description is not None:
                try:
                    row_hash = self._store_description(state.description)
                except (ValueError, TypeError, OverflowError):
                    self._reject(_Rejected(item.message, item.topic, "description", "cannot be hashed"))
                    return
            else:
                row_hash = None
        # The will of a connection comes after its birth and has the same numbers.
        stands = (row["state_order"], row["state_connect"], row["online"] is False)
        if (state.order, state.connect, not state.online) > stands:
            row.update(
                state_order=state.order, state_connect=state.connect, online=state.online, state_at=self._now
            )
            row["changed"] = self._now
            if state.online and row_hash is not None:
                row["description"] = row_hash
        self._count("states", 1)

    def _heard(
        self, row: dict[str, Any], epoch: int, order: int, sent: int, wall: int, *, live: bool = True
    ) -> None:
        """Note that a device was heard, and whether it is one device."""
        if live:
            row["last_seen"] = row["changed"] = self._now
        runs = [identity.Run(*run) for run in row["runs"]]
        seen = identity.see(runs, f"{epoch:016x}", order, sent=sent, wall=wall, now=self._now)
        row["runs"] = seen.runs
        if seen.succeeded:
            row.update(state_order=-1, state_connect=-1, now_order=-1, now_boottime=-1)
        if seen.duplicate:
            attributes = {
                "epochs": [run.epoch for run in seen.runs[:2]],
                "orders": [r.order for r in seen.runs[:2]],
            }
            self._raise((row["id"], EventKind.DUPLICATE_IDENTITY, ""), Severity.CRITICAL, attributes)

    def _new(self, topic: Topic, stream: Stream, receipts: dict[int, Taken], cover: Cover) -> bool:
        """Rule 3. Takes a new cover into the receipts."""
        standing = cover_standing(receipts, cover)
        if standing is Standing.TAKEN:
            return False
        if standing is Standing.PARTIAL:
            epoch, low, high = cover[0]
            attributes = {"stream": stream.name.lower(), "epoch": f"{epoch:016x}", "low": low, "high": high}
            about = (topic.device, EventKind.PARTIAL_OVERLAP, stream.name.lower())
            self._raise(about, Severity.CRITICAL, attributes)
            self._refuse(topic, stream, cover, "overlap")
            return False
        for epoch, _, _ in cover:
            if len(receipts[epoch].ranges) >= MAX_FRAGMENTS:
                self._refuse(topic, stream, cover, "fragmented")
                return False
        for epoch, low, high in cover:
            receipts[epoch].add(low, high)
        return True

    def _refuse(self, topic: Topic, stream: Stream, cover: Cover, reason: str) -> None:
        self._reply(topic).refused.extend(
            (int(stream), epoch, low, high, reason) for epoch, low, high in cover
        )
        self._devices[topic.device]["refused"] += 1
        self._count("refused", 1)

    def _reject(self, refusal: _Rejected) -> None:
        self._rejected.append(refusal)
        self._count("rejected", 1)
        topic = refusal.topic
        if topic is None or topic.direction != "up":
            return
        self._reply(topic).rejected.append((wire.digest(refusal.message.payload), refusal.reason))
        row = self._devices.get(topic.device)
        if row is not None and row["fleet"] == topic.fleet:
            row["rejected"] += 1
            attributes = {"reason": refusal.reason}
            self._raise((topic.device, EventKind.REJECTED, refusal.reason), Severity.WARNING, attributes)

    def _describe(self, row: dict[str, Any], event: Event) -> bool:
        """Store the description that an event carries, unless its key is not its hash."""
        try:
            return self._store_description(event.attributes, expected=event.key) is not None
        except (ValueError, TypeError, OverflowError):
            return False

    def _store_description(self, body: Mapping[str, Any], expected: str | None = None) -> bytes | None:
        packed = description.canonical(body)
        name = description.hash_of(body)
        if expected is not None and name.hex() != expected:
            return None
        if name not in self._known:
            self._described[name] = packed
        return name

    def _want(self) -> None:
        """Ask for the descriptions that records name and the store lacks."""
        missing = {name for _, name in self._described_by} - self._known - self._described.keys()
        if not missing:
            return
        column = schema.descriptions.c.hash
        wanted = sorted(missing)[:_IN_LIMIT]
        held = set(self._connection.scalars(select(column).where(column.in_(wanted))))
        self.stored_descriptions |= held
        for device, name in self._described_by:
            if name in missing and name not in held:
                self.replies[self._devices[device]["fleet"], device].wanted.add(name)

    def _raise(
        self, about: tuple[str, str, str], severity: Severity, attributes: dict[str, Any], count: int = 1
    ) -> None:
        """Raise an event about a device: (device, kind, key). Equal ones of a batch become one."""
        raised = self._raised.setdefault(about, {"severity": severity, "count": 0})
        raised["count"] += count
        raised["attributes"] = attributes

    def _reply(self, topic: Topic) -> _Reply:
        return self.replies.setdefault((topic.fleet, topic.device), _Reply())

    def _count(self, name: str, n: int) -> None:
        if n:
            self.counts[name] = self.counts.get(name, 0) + n

    # Writing

    def write(self, process: str, counts: Mapping[str, int]) -> None:
        """Write everything. The transaction is committed by whoever began it."""
        connection, store, now = self._connection, self._store, self._now
        for name, record in self._newest.items():
            row = self._devices[name]
            if record.newest > (row["now_order"], row["now_boottime"]):
                row.update(
                    now_order=record.last_order,
                    now_boottime=record.last_boottime,
                    now={**figures.now_of(record), "start": record.start, "step": record.step},
                    description=record.description,
                )
        changed = [
            {"device": device, "epoch": f"{epoch:016x}", "stream": int(stream), "ranges": taken.blob()}
            for (device, stream), epochs in self._receipts.items()
            for epoch, taken in epochs.items()
            if taken.changed
        ]
        if changed:
            connection.execute(store.upsert(schema.receipts, ["ranges"]), changed)
        insert_tuples(connection, schema.windows, _WINDOW_COLUMNS, self._windows)
        insert_tuples(connection, schema.pending, _PENDING_COLUMNS, self._pending)
        insert_all(connection, schema.events, self._events)
        if self._described:
            rows = [{"hash": name, "body": body} for name, body in self._described.items()]
            connection.execute(store.upsert(schema.descriptions), rows)
            self.stored_descriptions |= self._described.keys()
        if self._devices:
            rows = [{**row, "key": row["id"]} for row in self._devices.values()]
            connection.execute(_UPDATE, rows)
        for about, raised in self._raised.items():
            raise_event(connection, now, about, fleet=self._devices[about[0]]["fleet"], **raised)
        self._write_rejected()
        write_beat(store, connection, process, now, counts)

    def _write_rejected(self) -> None:
        if not self._rejected:
            return
        connection, table = self._connection, schema.rejected
        rows = [
            {
                "at": self._now,
                "reason": refusal.reason,
                "detail": plain(refusal.detail)[:256],
                "topic": plain(refusal.message.topic)[:256],
                "size": len(refusal.message.payload),
                "digest": wire.digest(refusal.message.payload),
            }
            for refusal in self._rejected
        ]
        insert_all(connection, table, rows)
        newest = connection.scalar(select(func.max(table.c.id)))
        connection.execute(delete(table).where(table.c.id <= newest - MAX_REJECTED))
        by_reason: dict[str, int] = {}
        for refusal in self._rejected:
            by_reason[refusal.reason] = by_reason.get(refusal.reason, 0) + 1
        connection.execute(
            self._store.add_to(schema.rejections, "count"),
            [{"reason": reason, "count": n} for reason, n in sorted(by_reason.items())],
        )


def raise_event(
    connection: Connection,
    now: int,
    about: tuple[str, str, str],
    *,
    fleet: str,
    severity: int,
    count: int,
    attributes: Mapping[str, Any],
    span_ms: int = EVENT_SPAN_MS,
) -> None:
    """Write an event of the collector's own about (device, kind, key).

    Where the same one was raised within ``span_ms`` it is counted in that row.
    """
    device, kind, key = about
    table = schema.events
    same = and_(
        table.c.device == device,
        table.c.start > now - span_ms,
        table.c.origin == "collector",
        table.c.kind == kind,
        table.c.key == key,
    )
    row = connection.execute(
        select(table.c.id, table.c["count"].label("n")).where(same).order_by(table.c.id.desc()).limit(1)
    ).first()
    if row is not None:
        values = {"count": row.n + count, "last": now, "received": now, "attributes": dict(attributes)}
        connection.execute(update(table).where(table.c.id == row.id).values(values))
        return
    insert_all(
        connection,
        table,
        [
            {
                "device": device,
                "fleet": fleet,
                "origin": "collector",
                "kind": kind,
                "key": key,
                "severity": int(severity),
                "start": now,
                "last": now,
                "count": count,
                "received": now,
                "attributes": dict(attributes),
            }
        ],
    )


def write_beat(
    store: Store, connection: Connection, process: str, now: int, figures: Mapping[str, int]
) -> None:
    """Write that a process of the collector worked at ``now``, and its counters."""
    row = {"name": process, "at": now, "figures": dict(figures)}
    connection.execute(store.upsert(schema.processes, ["at", "figures"]), row)


def plain(item: Any) -> Any:
    """What a device sent as JSON and any database can hold it: no bytes, no NaN, no NUL, and keys that are texts."""
    if isinstance(item, str):
        return item.replace("\0", "\ufffd")
    if isinstance(item, bytes):
        return item.hex()
    if isinstance(item, float) and not math.isfinite(item):
        return None
    if isinstance(item, Mapping):
        return {plain(key) if isinstance(key, str) else str(key): plain(value) for key, value in item.items()}
    if isinstance(item, list | tuple):
        return [plain(part) for part in item]
    return item


def _unfit(record: Record, windows: int) -> str | None:
    """Why a record can never be stored, though it could be read."""
    if record.start is None or not -_TIME_LIMIT < record.start < _TIME_LIMIT:
        return "start"
    if max(record.last_order, record.last_boottime, record.first.order) >= 1 << 63:
        return "number"
    return "cover" if windows > _COUNT_LIMIT else None


def _header_epochs(body: WindowBatch | EventBatch | State) -> set[int]:
    """The epochs of which the sender is told all receipts."""
    if isinstance(body, State):
        return {body.epoch} if body.online else set()
    return {body.header.epoch, *(epoch for epoch, _, _ in body.header.held)}


def _epochs(body: WindowBatch | EventBatch | State) -> set[int]:
    epochs = _header_epochs(body)
    if isinstance(body, WindowBatch):
        epochs.update(epoch for record in body.records for epoch, _, _ in record.cover)
    elif isinstance(body, EventBatch):
        epochs.update(epoch for event in body.events for epoch, _, _ in event.cover)
    return epochs


_WINDOW_COLUMNS = tuple(schema.windows.c.keys())
_PENDING_COLUMNS = ("device", "start", "epoch", "seq", "at")

_OWN_COLUMNS = (
    "last_seen",
    "online",
    "state_order",
    "state_connect",
    "state_at",
    "description",
    "now_order",
    "now_boottime",
    "now",
    "windows",
    "expired",
    "refused",
    "rejected",
    "runs",
    "changed",
)
"""The columns of ``devices`` that ingest owns."""

_OWNED = select(
    schema.devices.c.id, schema.devices.c.fleet, *(schema.devices.c[name] for name in _OWN_COLUMNS)
)
_UPDATE = (
    update(schema.devices)
    .where(schema.devices.c.id == bindparam("key"))
    .values({name: bindparam(name) for name in _OWN_COLUMNS})
)


def _new_device(name: str, fleet: str, now: int) -> dict[str, Any]:
    return {
        "id": name,
        "fleet": fleet,
        "first_seen": now,
        "last_seen": now,
        "state_order": -1,
        "state_connect": -1,
        "state_at": now,
        "now_order": -1,
        "now_boottime": -1,
        "windows": 0,
        "expired": 0,
        "refused": 0,
        "rejected": 0,
        "runs": [],
        "changed": now,
    }
