"""The spool: windows and events on their way to the collector, by the rules that make totals exact.

The tables, their invariants and their deletion rules are drawn in ``store``. What is kept here:

- Every window and event gets (epoch, seq) and one synced commit. It is *held* until ``append(offer_now=True)`` or
  ``offer`` marks it *offered* in a synced commit; from then on its records, covers and starts never change.
- Only held windows fold, oldest first, when the byte bound nears.
- Acknowledgements touch only what was offered. They join the transaction that the next window commits: losing one to
  a power cut is harmless, because the row is then offered once more and the collector's receipts drop it.
- What was let go stays until its space is needed; an acknowledgement that lacks it makes it *wanted* again.
- While the disk refuses, the same tables in memory take what is new, and are written back when it does not. A damaged
  file is put aside (``spool.db.bad-N``) and a new one begun. Numbers come from memory, so they stay unique throughout.

The connect count of births needs no place here: it only orders the connections of one run, and ``order`` the runs.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import Any, NamedTuple, TypeVar

import msgpack

from stonechat.description import HASH_BYTES, Description, canonical, hash_of
from stonechat.event import Event, EventKind, Severity
from stonechat.records import Flag, Record
from stonechat.slots import Slots
from stonechat.wire import MAX_EPOCHS, Ack, Stream
from stonechat_agent.clocks import Instant
from stonechat_agent.spool import codec, files
from stonechat_agent.spool.acks import AckReader, AckResult
from stonechat_agent.spool.lock import Lock, SpoolInUse, last_order
from stonechat_agent.spool.losses import Loss
from stonechat_agent.spool.room import Room
from stonechat_agent.spool.rows import event_row, items_of, name_of, window_row
from stonechat_agent.spool.store import FILE, FROZEN, SEQ_BITS, Found, Row, Run, Source, State, Store, row_id

T = TypeVar("T")

log = logging.getLogger(__name__)

RING_BYTES = 2 << 20
"""Bound of the tables in memory while the disk refuses: some days of folded windows."""

RETRY_MS = 10_000
"""Time between two attempts to write to a disk that refused."""

_ORDER_GAP = 16  # a run's order after a damaged file, above the last one that the lock's file names
_DESCRIPTIONS = 64  # descriptions that are kept although no window names them
_STALE_MS = 600_000  # how far out of order an answer may come


class Kept(NamedTuple):
    """What ``append`` did: the number given, the row's id, and the items to publish at once, empty when it is held."""

    seq: int
    id: int
    offered: Sequence[Record] | Sequence[Event] = ()


class Offer(NamedTuple):
    """A row that may be published: it is frozen and durable."""

    id: int
    items: Sequence[Record] | Sequence[Event]


class Candidate(NamedTuple):
    """A row that could be offered: its id, how many records it holds, and its bytes as stored."""

    id: int
    n: int
    size: int


class Stats(NamedTuple):
    """What ``stats`` counts. Sizes in bytes."""

    size: int
    written: int
    records: int
    events: int
    in_memory: bool


class Spool:
    """Windows and events not yet acknowledged. One thread, no clock and no randomness of its own."""

    def __init__(
        self,
        directory: str,
        *,
        rng_bytes: Callable[[int], bytes],
        clock: Callable[[], Instant],
        max_size: int,
        min_free: int,
        window_step_ms: int,
        boot_id: str,
        free_bytes: Callable[[str], int],
        on_event: Callable[[Event], object],
    ) -> None:
        """For ``open``, which also brings the files up."""
        self.directory = directory
        self.window_step_ms = window_step_ms
        self.losses: Counter[str] = Counter()
        """Windows and events lost since the start, by ``stream.reason``."""
        self.setbacks = 0
        """How often changes that were not committed were forgotten, so that rows may be offered again."""
        self._rng_bytes = rng_bytes
        self._clock = clock
        self._max_size, self._min_free = max_size, min_free
        self._free_bytes = free_bytes
        self._on_event = on_event
        self._lock: Lock | None = None
        self._disk: Store | None = None
        self._ring: Store | None = None
        self._room = Room(self._place, self._lose)
        self._seqs = {Stream.WINDOW: 0, Stream.EVENT: 0}
        self._changed_runs: set[int] = set()
        self._lost: list[Loss] = []
        self._notes: list[tuple[str, Severity, dict[str, Any]]] = []
        self._slots: dict[bytes, Slots] = {}
        self._described: tuple[bytes, bytes] | None = None
        self._ack_store, self._ack_time = b"", 0
        self._retry_at = 0
        self._written_before = 0
        # What holds until the file says otherwise, and all along where there is none.
        self.epoch = self._draw_epoch(set())
        self.order = self._run = last_order(directory) + 1
        opened = clock().boottime
        self._runs = {self._run: Run(self._run, self.epoch, self.order, boot_id, opened)}

    def _draw_epoch(self, known: set[int]) -> int:
        epoch = 0
        while not epoch or epoch in known:  # zero is no epoch on the wire
            epoch = int.from_bytes(self._rng_bytes(8), "big")
        return epoch

    @classmethod
    def open(
        cls,
        directory: str | os.PathLike[str],
        *,
        rng_bytes: Callable[[int], bytes],
        clock: Callable[[], Instant],
        max_size: int = 64 << 20,
        min_free: int = 0,
        window_step_ms: int = 60_000,
        boot_id: str = "",
        free_bytes: Callable[[str], int] = files.free_bytes,
        on_event: Callable[[Event], object] = lambda _: None,
    ) -> Spool:
        """Open the spool of a directory, made if missing, and begin a new run in one synced commit.

        It never refuses for the state of disk or file: a damaged file is put aside, and where nothing can be written
        the spool works in memory until it can.

        Args:
            rng_bytes: that many random bytes; 8 are drawn for the epoch.
            clock: what the clocks show now.
            max_size: bound of the files in bytes.
            min_free: free bytes of the disk below which the files do not grow.
            window_step_ms: nominal length of a window.
            boot_id: the kernel's boot id, so that runs since one boot share what is known of the time.
            free_bytes: free bytes of the disk that a directory lies on.
            on_event: told of each event once it is committed, those of the spool's own included.

        Raises:
            SpoolInUse: another process has it open.
        """
        spool = cls(
            os.fspath(directory),
            rng_bytes=rng_bytes,
            clock=clock,
            max_size=max_size,
            min_free=min_free,
            window_step_ms=window_step_ms,
            boot_id=boot_id,
            free_bytes=free_bytes,
            on_event=on_event,
        )
        try:
            spool._open_disk(begun=False)
        except (OSError, sqlite3.Error) as error:
            spool._to_memory(error)
        return spool

    def close(self) -> None:
        """Commit what waits for the next commit, and close. The lock is free afterwards."""
        self._retry_at = 0
        self._try_disk()
        store = self._active()
        try:
            self._commit(store)
        except sqlite3.Error as error:
            log.warning("spool not committed at the end", extra={"reason": str(error)})
        for store in self._stores():
            store.close()
        self._disk = self._ring = None
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    # Appending

    def append(self, draft: Record, *, offer_now: bool = False) -> Kept:
        """Keep a window, in one synced commit.

        Args:
            draft: a record without cover; its stamps are this run's.
            offer_now: mark it offered in the same commit, so that it may be published; it stays held where its start
                cannot be known yet.
        """
        self._try_disk()
        if draft.first.synced:
            self.anchor(draft.first.wall - draft.first.boottime, Source.CLOCK)
        seq = self._next_seq(Stream.WINDOW)
        record = replace(draft, cover=((self.epoch, seq, seq),), start=None)
        offered: Sequence[Record] = ()
        if offer_now and (dated := self._dated(record, self._run)) is not None:
            record, offered = dated, (dated,)
        row = window_row(self._run, [record], State.OFFERED if offered else State.HELD)
        self._commit_new(Stream.WINDOW, row, record)
        return Kept(seq, row.id, offered)

    def append_event(
        self,
        kind: str,
        key: str,
        severity: Severity,
        attributes: Mapping[str, Any] | None = None,
        *,
        at: Instant | None = None,
        offer_now: bool = False,
    ) -> Kept:
        """Keep an event that happened ``at`` (now where None), in one synced commit."""
        self._try_disk()
        event = self._event(kind, key, severity, attributes or {}, at or self._clock())
        offered: Sequence[Event] = ()
        if offer_now and (dated := self._dated(event, self._run)) is not None:
            event, offered = dated, (dated,)
        row = event_row(self._run, event, State.OFFERED if offered else State.HELD)
        self._commit_new(Stream.EVENT, row, event)
        self._on_event(event)
        return Kept(row.low, row.id, offered)

    def _event(
        self, kind: str, key: str, severity: Severity, attributes: Mapping[str, Any], at: Instant
    ) -> Event:
        seq = self._next_seq(Stream.EVENT)
        cover = ((self.epoch, seq, seq),)
        stamp = at.stamp(self.order)
        return Event(cover, kind, key, severity, stamp, self.order, at.boottime, attributes=attributes)

    def _next_seq(self, stream: Stream) -> int:
        self._seqs[stream] += 1
        return self._seqs[stream]

    def _commit_new(self, stream: Stream, row: Row, item: codec.Item) -> None:
        payload = codec.encode([item])
        # Thrice: a damaged file makes way for a new one, and a disk that refuses for memory.
        for _ in range(3):
            store = self._active()
            try:
                store.begin()
                self._make_room(store, len(payload) + 128)
                store.insert(stream, row, payload)
                if isinstance(item, Record):
                    self._room.pack(store, row, item)
                self._commit(store)
                return
            except sqlite3.Error as error:
                self._failed(store, error)

    def _commit(self, store: Store) -> None:
        """Commit, with the runs that changed, the slots that were taken, and events that tell of losses and faults."""
        store.begin()
        lost, notes = self._lost, self._notes
        self._lost = []
        told = [
            self._write_event(store, EventKind.LOSS, loss.key, Severity.WARNING, loss.attributes())
            for loss in lost
        ]
        for key in {loss.key for loss in lost}:
            self._room.coalesce(store, name_of(EventKind.LOSS, key))
        for kind, severity, attributes in notes:
            told.append(self._write_event(store, kind, "spool", severity, attributes))
        for number in self._changed_runs:
            store.put_run(self._runs[number])
        for name, slots in self._slots.items():
            if slots.changed:
                body = (store.description(name) or (None, None))[0]
                store.put_description(name, body, msgpack.packb(slots.to_plain()))
        store.commit()
        self._notes = self._notes[len(notes) :]
        self._changed_runs.clear()
        for slots in self._slots.values():
            slots.changed = False
        for loss in lost:
            self.losses[loss.key] += loss.lost
        for event in told:
            self._on_event(event)
        if store.checkpoint_due:
            try:
                store.checkpoint()
            except sqlite3.Error as error:
                # Nothing is lost: all of it stands in the log, and the next commit tries again.
                log.warning("spool checkpoint failed", extra={"reason": str(error)})

    # Time

    @property
    def anchored(self) -> bool:
        """Whether this run's wall time is known: before that, nothing is offered."""
        return self._runs[self._run].anchor is not None

    def anchor(self, offset: int, source: Source = Source.CLOCK) -> None:
        """Note that wall - boottime is ``offset`` ms in this run. A better source replaces a worse one."""
        run = self._runs[self._run]
        if source > run.source:
            self._runs[self._run] = run._replace(anchor=offset, source=source)
            self._changed_runs.add(self._run)

    def _resolve(self, number: int) -> Run | None:
        """The run with an anchor, found where it has none of its own; None while that is impossible."""
        run = self._runs.get(number)
        if run is None or run.anchor is not None:
            return run
        later = [self._runs[key] for key in sorted(self._runs) if key > number]
        # The next run with a known start; the runs between it and this one are packed backwards on the way.
        chain = [run]
        for candidate in later:
            if candidate.anchor is not None:
                break
            chain.append(candidate)
        else:
            return None
        following = candidate
        for run in reversed(chain):
            if run.boot and run.boot == following.boot:
                anchor, source = following.anchor, min(Source.LATE, following.source)
            else:
                assert following.anchor is not None
                anchor, source = following.anchor + following.opened - self._ended(run), Source.PACKED
            following = run._replace(anchor=anchor, source=source)
            self._runs[run.run] = following
            self._changed_runs.add(run.run)
        return following

    def _ended(self, run: Run) -> int:
        ends = [end for end in self._each(lambda store: store.ended(run.run)) if end is not None]
        return max(ends, default=run.opened)

    def _dated(self, item: codec.Item, number: int) -> Any:
        """The item with its start fixed, None where its run has no anchor yet."""
        if item.first.synced:
            return replace(item, start=item.first.wall)
        run = self._resolve(number)
        if run is None or run.anchor is None:
            return None
        start = item.first.boottime + run.anchor
        if isinstance(item, Event):
            return replace(item, start=start)
        flag = Flag.PACKED if run.source is Source.PACKED else Flag.ANCHORED_LATE
        return replace(item, start=start, flags=item.flags | Flag.UNSYNCED | flag)

    # Offering

    def candidates(
        self, stream: Stream, *, frozen: bool, after: int = 0, limit: int = 64, newest: bool = False
    ) -> list[Candidate]:
        """Rows that could be offered with an id above ``after``: those that are frozen already, or those held."""
        states = FROZEN if frozen else (State.HELD,)
        found = [
            Candidate(*item)
            for items in self._each(lambda store: store.sizes(stream, states, after, limit, newest=newest))
            for item in items
        ]
        found.sort(reverse=newest)
        return found[:limit]

    def offer(self, stream: Stream, ids: Iterable[int]) -> list[Offer]:
        """Mark rows offered, in a synced commit, and return them in the order of their ids as they may be published.

        A row whose start cannot be known yet, that is let go or gone, or whose commit failed, is not returned.
        """
        wanted = sorted(set(ids))
        self._try_disk()
        offers: list[Offer] = []
        for store in self._stores():
            fresh: list[Offer] = []
            try:
                for key in wanted:
                    found = store.row(stream, key)
                    if found is None or found.row.state == State.LET_GO:
                        continue
                    items = self._items(store, stream, found)
                    if items is None:
                        continue
                    if found.row.state in FROZEN:
                        offers.append(Offer(key, items))
                    elif (dated := self._freeze(store, stream, found.row, items)) is not None:
                        fresh.append(Offer(key, dated))
                if fresh or self._lost:
                    self._commit(store)
                offers.extend(fresh)
            except sqlite3.Error as error:
                self._failed(store, error)
        return sorted(offers, key=lambda offer: offer.id)

    def _freeze(self, store: Store, stream: Stream, row: Row, items: list[Any]) -> list[Any] | None:
        """Fix the starts of a held row's items, None where that cannot be done now."""
        if store is not self._active():
            return None  # the disk refuses at present
        dated = [self._dated(item, row.run) for item in items]
        if None in dated:
            return None
        store.replace(stream, row._replace(state=int(State.OFFERED)), codec.encode(dated))
        return dated

    def _items(self, store: Store, stream: Stream, found: Found) -> list[Any] | None:
        """The records or the event of a row; one that is damaged is deleted, and counted as lost."""
        items = items_of(stream, found)
        if items is None:
            self._lose(store, stream, found.row, "damaged")
        return items

    def split(self, key: int) -> list[int]:
        """Put each record of a row of windows into a row of its own, and return their ids."""
        for store in self._stores():
            try:
                found = store.row(Stream.WINDOW, key)
                if found is not None:
                    return [row.id for row in self._split(store, Stream.WINDOW, found.row)]
            except sqlite3.Error as error:
                self._failed(store, error)
        return []

    def _split(self, store: Store, stream: Stream, row: Row) -> list[Row]:
        found = store.row(stream, row.id)
        items = self._items(store, stream, found) if found is not None else None
        if items is None:
            return []
        if len(items) == 1:
            return [row]
        store.delete(stream, [row.id])
        singles = []
        for record in items:
            singles.append(window_row(row.run, [record], State(row.state)))
            store.insert(stream, singles[-1], codec.encode([record]))
        return singles

    # Acknowledgements

    def apply_ack(self, ack: Ack) -> AckResult:
        """Let go of what a collector has, give up what it refuses for good, and want again what it lacks.

        Nothing of it is synced before the next commit: see the module's docstring.
        """
        result = AckResult()
        # Two workers of one collector may answer out of order. An older answer still says truly what was taken, but
        # not what is missing; one that is much older comes from a clock that went back.
        stale = ack.store == self._ack_store and 0 < self._ack_time - ack.time < _STALE_MS
        for store in self._stores():
            try:
                AckReader(store, self._runs, result, self._split, self._lose).apply(ack, lacks=not stale)
            except sqlite3.Error as error:
                self._failed(store, error)
        if not stale:
            self._ack_store, self._ack_time = ack.store, ack.time
        return result

    def drop(self, stream: Stream, ids: Iterable[int], reason: str) -> None:
        """Give frozen rows up, with a counted loss: no collector will take them."""
        for store in self._stores():
            try:
                for key in ids:
                    found = store.row(stream, key)
                    if found is not None and found.row.state in FROZEN:
                        self._lose(store, stream, found.row, reason)
            except sqlite3.Error as error:
                self._failed(store, error)

    # Losses and space

    def _lose(self, store: Store, stream: Stream, row: Row, reason: str) -> None:
        """Delete a row, and have the next commit count and tell what it held."""
        store.delete(stream, [row.id])
        run = self._runs.get(row.run)
        if run is not None:
            self._lost.append(
                Loss(stream, reason, tuple((run.epoch, low, high) for low, high in row.ranges()))
            )

    def _write_event(
        self, store: Store, kind: str, key: str, severity: Severity, attributes: Mapping[str, Any]
    ) -> Event:
        """Add an event of the spool's own to the transaction that is open."""
        event = self._event(kind, key, severity, attributes, self._clock())
        store.insert(Stream.EVENT, event_row(self._run, event, State.HELD), codec.encode([event]))
        return event

    def fold(self) -> bool:
        """Let the oldest held windows climb a rung, in the transaction that commits next; False when none can."""
        store = self._active()
        try:
            return self._room.fold(store)
        except sqlite3.Error as error:
            self._failed(store, error)
            return False

    def _place(self, record: Record, number: int) -> int:
        """Wall time where it is known, else boottime: what the buckets of a fold are cut on."""
        if record.first.synced:
            return record.first.wall
        run = self._runs.get(number)
        return record.first.boottime + (run.anchor or 0 if run is not None else 0)

    def _make_room(self, store: Store, incoming: int) -> None:
        grow = store is self._ring or self._free_bytes(self.directory) >= self._min_free
        self._room.make(store, incoming, store.budget(grow=grow))

    # Descriptions and slots

    def describe(self, description: Description) -> tuple[bytes, bool]:
        """Keep a description as the one in force; returns its hash and whether it is new here."""
        name = hash_of(description)
        new = self.description(name) is None
        self._described = name, canonical(description)
        store = self._active()
        if new:
            try:
                self._put_described(store)
            except sqlite3.Error as error:
                self._failed(store, error)
        return name, new

    def _put_described(self, store: Store) -> None:
        if self._described is not None:
            name, body = self._described
            slots = self._slots.get(name)
            store.put_description(name, body, msgpack.packb(slots.to_plain()) if slots else None)

    def description(self, name: bytes) -> dict[str, Any] | None:
        """The body of a description, None where it is not known."""
        known = self._each(lambda store: store.description(name))
        bodies = [item[0] for item in known if item is not None and item[0] is not None]
        if self._described is not None and self._described[0] == name:
            bodies.append(self._described[1])
        for body in bodies:
            if blake2b(body, digest_size=HASH_BYTES).digest() == name:  # a damaged one is as good as none
                found: dict[str, Any] = msgpack.unpackb(body)
                return found
        return None

    def slots(self, name: bytes) -> Slots:
        """The slots of a description. What takes a slot is written with the next window."""
        if name not in self._slots:
            slots = Slots()
            for known in self._each(lambda store: store.description(name)):
                if known is not None and known[1] is not None:
                    try:
                        slots = Slots.from_plain(msgpack.unpackb(known[1], strict_map_key=False))
                    except (ValueError, TypeError, AttributeError) as error:
                        log.warning("slots damaged", extra={"reason": type(error).__name__})
            # The one before keeps what is not written yet.
            self._slots = {key: value for key, value in self._slots.items() if value.changed}
            self._slots[name] = slots
        return self._slots[name]

    # What the header tells

    def held_epochs(self, first: Iterable[int] = ()) -> tuple[tuple[int, int, int], ...]:
        """(epoch, lowest window, lowest event) of the epochs that have a row here, those of ``first`` (ids) first.

        Rows that were let go count: the receipts that answer then tell whether the collector still has them.
        """
        named = dict.fromkeys([key >> SEQ_BITS for key in first])
        named.update(dict.fromkeys(sorted(self._runs, reverse=True)))
        held: list[tuple[int, int, int]] = []
        for number in named:
            if number in self._runs and len(held) < MAX_EPOCHS:
                window, event = self._lowest(Stream.WINDOW, number), self._lowest(Stream.EVENT, number)
                if window or event:
                    held.append((self._runs[number].epoch, window, event))
        return tuple(held)

    def _lowest(self, stream: Stream, number: int) -> int:
        return min((low for low in self._each(lambda store: store.lowest(stream, number)) if low), default=0)

    def offered(self, stream: Stream) -> int:
        """How many records are offered and not acknowledged."""
        return sum(self._each(lambda store: store.records(stream, (State.OFFERED,))))

    def waiting_event(self, kind: str, key: str) -> bool:
        """Whether an event of that kind and key is held, or published and not acknowledged."""
        name = f"{kind}\0{key}".encode()
        return any(self._each(lambda store: store.waiting(name)))

    def stats(self) -> Stats:
        """Sizes and counts."""
        waiting = (State.HELD, *FROZEN)
        return Stats(
            size=sum(self._each(lambda store: store.size())),
            written=self._written_before + (self._disk.written if self._disk else 0),
            records=sum(self._each(lambda store: store.records(Stream.WINDOW, waiting))),
            events=sum(self._each(lambda store: store.records(Stream.EVENT, waiting))),
            in_memory=self._ring is not None,
        )

    # Files and faults

    def _active(self) -> Store:
        """Where new rows go."""
        store = self._ring or self._disk
        if store is None:
            raise ValueError(f"{self.directory}: the spool is closed")
        return store

    def _stores(self) -> list[Store]:
        return [store for store in (self._disk, self._ring) if store is not None]

    def _each(self, work: Callable[[Store], T]) -> list[T]:
        results: list[T] = []
        for store in self._stores():
            try:
                results.append(work(store))
            except sqlite3.Error as error:
                self._failed(store, error)
        return results

    def _open_disk(self, *, begun: bool) -> None:
        """Open the file and enter this run into it; ``begun``: its epoch and order stand in records already.

        Raises:
            SpoolInUse, OSError, sqlite3.Error: nothing has changed.
        """
        os.makedirs(self.directory, mode=0o750, exist_ok=True)
        if self._lock is None:
            self._lock = Lock(self.directory)
        store, damaged = files.open_store(self.directory, self._max_size)
        while True:
            if damaged is not None:
                self._notes.append((EventKind.SPOOL_QUARANTINED, Severity.CRITICAL, dict(damaged)))
            try:
                self._enter(store, begun=begun)
                break
            except BaseException as error:
                store.close()
                if store.fresh or not files.is_damage(self.directory, error):
                    raise
                damaged = files.put_aside(self.directory, error)
                store = Store(os.path.join(self.directory, FILE), self._max_size)
        self._disk = store
        self._changed_runs.clear()
        self._lock.write(self.order)

    def _enter(self, store: Store, *, begun: bool) -> None:
        """Enter this run into a file, with every other run that still has a row there, in one commit."""
        known = store.runs()
        if not begun:
            self._choose_order(known, self._lock.last_order if self._lock is not None else 0)
        runs = {run.run: run for run in known if any(store.lowest(stream, run.run) for stream in Stream)}
        for run in known:
            if run.run not in runs:
                store.delete_run(run.run)
        number = max((run.run for run in known), default=0) + 1
        if begun:
            number = max(number, self._run)
        runs[number] = self._runs[self._run]._replace(run=number, epoch=self.epoch, order=self.order)
        store.put_run(runs[number])
        store.prune_descriptions(_DESCRIPTIONS)
        self._put_described(store)
        store.commit()
        if store.fresh:
            files.sync_directory(self.directory)
        self._run, self._runs = number, runs

    def _choose_order(self, known: Sequence[Run], hint: int) -> None:
        latest = max((run.order for run in known), default=0)
        # Above what the lock's file names where the database knows less: it is new, or an older copy.
        self.order = latest + 1 if latest >= hint else hint + _ORDER_GAP
        epochs = {run.epoch for run in known}
        if self.epoch in epochs:
            self.epoch = self._draw_epoch(epochs)

    def _failed(self, store: Store, error: sqlite3.Error) -> None:
        """Go on after an error of the disk: with a new file where it is damaged, in memory where it refuses.

        What was not committed is forgotten. That costs nothing: the caller repeats what it wanted to keep, and what
        acknowledgements had let go is offered once more.
        """
        if store is not self._disk:
            raise error  # the tables in memory: nothing is left to fall back on
        self.setbacks += 1
        self._lost = []
        damaged = files.is_damage(self.directory, error)
        try:
            store.rollback()
        except sqlite3.Error as second:
            damaged = damaged or files.is_damage(self.directory, second)
        if not damaged:
            self._to_memory(error)
            return
        self._written_before += store.written
        store.close()
        self._disk = None
        try:
            attributes = files.put_aside(self.directory, error)
            self._notes.append((EventKind.SPOOL_QUARANTINED, Severity.CRITICAL, dict(attributes)))
            self._open_disk(begun=True)
        except (OSError, sqlite3.Error) as second_error:
            self._to_memory(second_error)

    def _to_memory(self, error: Exception) -> None:
        self._retry_at = self._clock().monotonic + RETRY_MS
        if self._ring is not None:
            return
        log.error("spool unwritable", extra={"directory": self.directory, "reason": str(error)})
        self._ring = Store(None, RING_BYTES)
        attributes = {"reason": type(error).__name__}
        self._notes.append((EventKind.SPOOL_UNWRITABLE, Severity.CRITICAL, attributes))

    def _try_disk(self) -> None:
        """While in memory: write what is there back to the disk, if it takes it now."""
        if self._ring is None or self._clock().monotonic < self._retry_at:
            return
        self._retry_at = self._clock().monotonic + RETRY_MS
        ring, number = self._ring, self._run
        try:
            if self._disk is None:
                self._open_disk(begun=True)
        except (OSError, sqlite3.Error, SpoolInUse):
            return
        disk = self._disk
        assert disk is not None
        if self._run != number:
            self.setbacks += 1
            _renumber(ring, number, self._run)
        try:
            self._write_back(ring, disk)
        except sqlite3.Error as error:
            self._failed(disk, error)
            return
        self._ring = None
        ring.close()
        log.warning("spool recovered", extra={"directory": self.directory})
        self._notes.append((EventKind.SPOOL_RECOVERED, Severity.INFO, {}))

    def _write_back(self, ring: Store, disk: Store) -> None:
        """Copy the rows in memory to the disk in one commit."""
        disk.begin()
        self._make_room(disk, ring.used())
        for run in self._runs.values():
            disk.put_run(run)
        for name, body, slots in ring.descriptions():
            disk.put_description(name, body, slots)
        for stream in Stream:
            for row in ring.rows(stream, list(State)):
                found = ring.row(stream, row.id)
                if found is not None:
                    disk.replace(stream, row, found.payload)
        disk.commit()


def _renumber(ring: Store, old: int, new: int) -> None:
    """Give the rows of a run the ids that its number in the file asks for.

    Whoever holds the old ids finds the rows gone; they are offered once more, and the receipts drop what was taken.
    """
    for stream in Stream:
        for row in ring.rows(stream, list(State), row_id(old, 0), row_id(old + 1, 0) - 1):
            found = ring.row(stream, row.id)
            if found is not None:
                ring.delete(stream, [row.id])
                ring.insert(stream, row._replace(id=row_id(new, row.low)), found.payload)
