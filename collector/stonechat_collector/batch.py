"""One transaction of ingest: what is taken, dropped or refused by the receipts, and what is to be written.

See ``ingest`` for what happens to a message, and docs/wire.md, "Exactly once", for the rules.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from sqlalchemy import Connection, bindparam, delete, func, select, tuple_, update

from stonechat import description, wire
from stonechat.event import Event, EventKind, Severity
from stonechat.ranges import Cover, Standing, cover_size
from stonechat.records import Record
from stonechat.topics import Topic
from stonechat.wire import EventBatch, ExchangeBatch, State, Stream, WindowBatch
from stonechat_collector import figures, identity, schema
from stonechat_collector.beat import write_beat
from stonechat_collector.exchanges import Exchanges
from stonechat_collector.messages import Item, Rejection, epochs_of, header_epochs, plain
from stonechat_collector.raised import raise_event
from stonechat_collector.store import Store, insert_all, insert_tuples
from stonechat_collector.taken import MAX_FRAGMENTS, Taken, cover_standing

FUTURE_MS = 600_000
"""How far ahead of the collector's clock a record may claim to begin before it is flagged."""

MAX_REJECTED = 1000
"""Rejected messages that are kept; their counts by reason are kept for good."""

_TIME_LIMIT = 1 << 52
_COUNT_LIMIT = 1_000_000_000
_IN_LIMIT = 400  # pairs in one query: SQLite before 3.32 takes 999 parameters


@dataclass
class Reply:
    """What an ack will say to one device."""

    named: set[int] = field(default_factory=set)
    refused: list[tuple[int, int, int, int, str]] = field(default_factory=list)
    rejected: list[tuple[bytes, str]] = field(default_factory=list)
    wanted: set[bytes] = field(default_factory=set)
    newest: tuple[int, int, int] = (0, 0, 0)
    """(order, boottime, epoch) out of the newest message that is answered."""


class Batch:
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
        self._rejected: list[Rejection] = []
        self._exchanges = Exchanges()
        self._described: dict[bytes, bytes] = {}
        self.stored_descriptions: set[bytes] = set()
        self.replies: dict[tuple[str, str], Reply] = {}
        self.counts: dict[str, int] = {}

    def take(self, items: Sequence[Item], rejected: Sequence[Rejection]) -> None:
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
            elif isinstance(item.body, ExchangeBatch):
                self._take_exchanges(item, item.body)
            else:
                self._take_state(item, item.body)
        for name, number in self._exchanges.write(self._connection, self._now).items():
            self._count(name, number)
        self._want()

    def receipts_of(self, device: str, stream: int) -> dict[int, Taken]:
        """The receipts of a device's stream, by epoch."""
        return self._receipts[device, stream]

    # Reading

    def _lock(self, items: Sequence[Item], rejected: Sequence[Rejection]) -> None:
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

    def _load_receipts(self, items: Sequence[Item]) -> None:
        named: dict[str, set[int]] = {}
        for item in items:
            epochs = named.setdefault(item.topic.device, set())
            epochs.update(epochs_of(item.body))
            reply_epochs = header_epochs(item.body)
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

    def _belongs(self, item: Item) -> bool:
        fleet = self._devices[item.topic.device]["fleet"]
        if fleet == item.topic.fleet:
            return True
        detail = f"device {item.topic.device} belongs to fleet {fleet}"
        self._reject(Rejection(item.message, item.topic, "fleet", detail))
        return False

    def _take_windows(self, item: Item, batch: WindowBatch) -> None:
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

    def _take_events(self, item: Item, batch: EventBatch) -> None:
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

    def _take_exchanges(self, item: Item, batch: ExchangeBatch) -> None:
        # They leave in a thread of their own, so their order says nothing of which run is the current one.
        row = self._devices[item.topic.device]
        row["last_seen"] = row["changed"] = self._now
        self._exchanges.take(item.topic.device, batch)

    def _take_state(self, item: Item, state: State) -> None:
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
                    self._reject(Rejection(item.message, item.topic, "description", "cannot be hashed"))
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

    def _reject(self, refusal: Rejection) -> None:
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

    def _reply(self, topic: Topic) -> Reply:
        return self.replies.setdefault((topic.fleet, topic.device), Reply())

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


def _unfit(record: Record, windows: int) -> str | None:
    """Why a record can never be stored, though it could be read."""
    if record.start is None or not -_TIME_LIMIT < record.start < _TIME_LIMIT:
        return "start"
    if max(record.last_order, record.last_boottime, record.first.order) >= 1 << 63:
        return "number"
    return "cover" if windows > _COUNT_LIMIT else None


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
