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
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeVar, cast

import msgpack

from stonechat import columns, ranges
from stonechat.description import Description, canonical, hash_of
from stonechat.errors import Refused
from stonechat.event import Event, EventKind, Severity, coalesce
from stonechat.ranges import Cover, Ranges, Standing, cover_union
from stonechat.record import Flag, Record
from stonechat.slots import Slots
from stonechat.wire import MAX_EPOCHS, Ack, Stream
from stonechat_agent.spool import codec
from stonechat_agent.spool.clock import Instant
from stonechat_agent.spool.ladder import PACK, RUNGS, Rung, climb
from stonechat_agent.spool.lock import Lock, SpoolInUse, last_order
from stonechat_agent.spool.store import (
    FILE,
    FROZEN,
    SEQ_BITS,
    Foreign,
    Row,
    Run,
    Source,
    State,
    Store,
    make_row,
    row_id,
)

T = TypeVar("T")

log = logging.getLogger(__name__)

RING_BYTES = 2 << 20
"""Bound of the tables in memory while the disk refuses: some days of folded windows."""

QUARANTINED_KEPT = 2
"""Damaged files that are kept for whoever wants to look."""

RETRY_MS = 10_000
"""Time between two attempts to write to a disk that refused."""

_EVENTS_SHARE = 8  # events may take an eighth of the bound
_LOSS_RANGES = 64  # ranges of lost numbers that one event names
_BEYOND = ((1 << SEQ_BITS, 1 << 63),)  # numbers that no row can have
_FOLDED_AT_ONCE = 1024  # records that one step of folding takes: a quarter of an hour of one-second windows
_ORDER_GAP = 16  # a run's order after a damaged file, above the last one that the lock's file names


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


@dataclass(slots=True)
class AckResult:
    """What an acknowledgement changed: row ids by stream, and how many records became wanted again."""

    let_go: dict[Stream, set[int]] = field(default_factory=lambda: {stream: set() for stream in Stream})
    dropped: dict[Stream, set[int]] = field(default_factory=lambda: {stream: set() for stream in Stream})
    wanted_again: int = 0
    descriptions: tuple[bytes, ...] = ()


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
        epoch: int,
        clock: Callable[[], Instant],
        max_size: int,
        min_free: int,
        window_step_ms: int,
        boot_id: str,
        free_bytes: Callable[[str], int],
    ) -> None:
        """For ``open``, which also brings the files up."""
        self.directory = directory
        self.epoch = epoch
        self.order = 0
        self.window_step_ms = window_step_ms
        self.losses: Counter[str] = Counter()
        """Windows and events lost since the start, by ``stream.reason``."""
        self._clock = clock
        self._max_size, self._min_free = max_size, min_free
        self._boot_id = boot_id
        self._free_bytes = free_bytes
        self._lock: Lock | None = None
        self._disk: Store | None = None
        self._ring: Store | None = None
        self._runs: dict[int, Run] = {}
        self._run = 0
        self._changed_runs: set[int] = set()
        self._seqs = {Stream.WINDOW: 0, Stream.EVENT: 0}
        self._lost: list[tuple[Stream, str, Cover, int]] = []
        self._slots: dict[bytes, Slots] = {}
        self._description: bytes | None = None
        self._store_id = b""
        self._ack_time = 0
        self._retry_at = 0
        self._notes: list[tuple[str, str, Severity, dict[str, Any]]] = []
        self._ring_since = 0
        self._written_before = 0

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
        free_bytes: Callable[[str], int] | None = None,
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

        Raises:
            SpoolInUse: another process has it open.
        """
        epoch = 0
        while not epoch:  # zero is no epoch on the wire
            epoch = int.from_bytes(rng_bytes(8), "big")
        spool = cls(
            os.fspath(directory),
            epoch=epoch,
            clock=clock,
            max_size=max_size,
            min_free=min_free,
            window_step_ms=window_step_ms,
            boot_id=boot_id,
            free_bytes=free_bytes or _free_bytes,
        )
        spool._bring_up()
        return spool

    def close(self) -> None:
        """Commit what waits for the next commit, and close. The lock is free afterwards."""
        for store in self._stores():
            try:
                store.commit()
            except sqlite3.Error:
                pass  # only acknowledgements wait there, and they come again
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
        row = make_row(
            self._run,
            record.cover,
            state=State.OFFERED if offered else State.HELD,
            step=record.step,
            ended=record.last_boottime,
            name=record.description,
        )
        self._description = record.description
        self._commit_new(Stream.WINDOW, row, codec.encode([record]))
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
        row = self._event_row(self._run, event, State.OFFERED if offered else State.HELD)
        self._commit_new(Stream.EVENT, row, codec.encode([event]))
        return Kept(row.low, row.id, offered)

    def _event(
        self, kind: str, key: str, severity: Severity, attributes: Mapping[str, Any], at: Instant
    ) -> Event:
        seq = self._next_seq(Stream.EVENT)
        stamp = at.stamp(self.order)
        cover = ((self.epoch, seq, seq),)
        return Event(cover, kind, key, severity, stamp, self.order, at.boottime, attributes=attributes)

    def _event_row(self, run: int, event: Event, state: State) -> Row:
        name = f"{event.kind}\0{event.key}".encode()
        return make_row(run, event.cover, state=state, ended=event.last_boottime, name=name)

    def _next_seq(self, stream: Stream) -> int:
        self._seqs[stream] += 1
        return self._seqs[stream]

    def _commit_new(self, stream: Stream, row: Row, payload: bytes) -> None:
        # Thrice: a damaged file makes way for a new one, a disk that refuses for memory.
        for _ in range(3):
            store = self._ring or cast("Store", self._disk)
            try:
                store.begin()
                self._make_room(store, len(payload) + 128)
                store.insert(stream, row, payload)
                if stream is Stream.WINDOW:
                    self._pack(store, row)
                self._commit(store)
                return
            except sqlite3.Error as error:
                if store is self._ring:
                    raise
                self._failed(error)

    def _commit(self, store: Store) -> None:
        """Commit, with the runs that changed, the slots that were taken, and the events that tell of losses."""
        store.begin()
        lost, notes = self._lost, self._notes
        self._lost = []
        for stream, reason, cover, count in lost:
            self._tell_loss(store, stream, reason, cover, count)
        for kind, key, severity, attributes in notes:
            event = self._event(kind, key, severity, attributes, self._clock())
            row = self._event_row(self._run, event, State.HELD)
            store.insert(Stream.EVENT, row, codec.encode([event]))
        for number in self._changed_runs:
            if number in self._runs:
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
        for stream, reason, _, count in lost:
            self.losses[f"{stream.name.lower()}.{reason}"] += count

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
                start = cast("int", following.anchor) + following.opened
                anchor, source = start - self._ended(run), Source.PACKED
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
        if run is None:
            return None
        start = item.first.boottime + cast("int", run.anchor)
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
                    found = self._offer_row(store, stream, key)
                    if found is not None:
                        (fresh if found[0] else offers).append(found[1])
                if fresh or self._lost:
                    self._commit(store)
                offers.extend(fresh)
            except sqlite3.Error as error:
                self._failed(error)
        return sorted(offers)

    def _offer_row(self, store: Store, stream: Stream, key: int) -> tuple[bool, Offer] | None:
        found = store.row(stream, key)
        if found is None or found[0].state == State.LET_GO:
            return None
        row = found[0]
        items = self._items(store, stream, found)
        if items is None:
            return None
        if row.state in FROZEN:
            return False, Offer(key, items)
        if self._ring is not None and store is self._disk:
            return None  # the disk refuses, so this row cannot be frozen now
        dated = [self._dated(item, row.run) for item in items]
        if None in dated:
            return None
        store.replace(stream, row._replace(state=int(State.OFFERED)), codec.encode(dated))
        return True, Offer(key, dated)

    def _items(self, store: Store, stream: Stream, found: tuple[Row, bytes, bool]) -> list[Any] | None:
        """The records or the event of a row; one that is damaged is deleted, and counted as lost."""
        row, payload, whole = found
        try:
            if whole:
                return (
                    codec.decode_records(payload)
                    if stream is Stream.WINDOW
                    else [codec.decode_event(payload)]
                )
        except Refused:
            pass
        self._lose(store, stream, row, "damaged")
        return None

    def split(self, stream: Stream, key: int) -> list[int]:
        """Put each record of a row into a row of its own, and return their ids."""
        for store in self._stores():
            try:
                found = store.row(stream, key)
                if found is not None:
                    return self._split(store, stream, found)
            except sqlite3.Error as error:
                self._failed(error)
        return []

    def _split(self, store: Store, stream: Stream, found: tuple[Row, bytes, bool]) -> list[int]:
        row = found[0]
        if row.n == 1:
            return [row.id]
        items = self._items(store, stream, found)
        if items is None:
            return []
        store.delete(stream, [row.id])
        ids = []
        for record in items:
            single = self._window_row(row.run, [record], State(row.state))
            store.insert(stream, single, codec.encode([record]))
            ids.append(single.id)
        return ids

    @staticmethod
    def _window_row(run: int, records: Sequence[Record], state: State) -> Row:
        return make_row(
            run,
            cover_union(*(record.cover for record in records)),
            state=state,
            n=len(records),
            step=min(record.step for record in records),
            ended=max(record.last_boottime for record in records),
            name=records[0].description,
        )

    # Acknowledgements

    def apply_ack(self, ack: Ack) -> AckResult:
        """Let go of what a collector has, drop what it refuses for good, and want again what it lacks.

        Nothing of it is synced before the next commit: see the module's docstring.
        """
        result = AckResult(descriptions=ack.wanted)
        changed_store = ack.store != self._store_id
        # Two workers of one collector may answer out of order. An older answer still says truly what was taken, but
        # not what is missing; one that is much older was sent by a clock that went back.
        stale = not changed_store and 0 < self._ack_time - ack.time < 600_000
        for store in self._stores():
            try:
                for run in list(self._runs.values()):
                    for stream in Stream:
                        taken = ack.taken.get((stream, run.epoch))
                        if taken is not None:
                            taken = ranges.difference(taken, _BEYOND)
                        if taken:
                            self._let_go(store, stream, run.run, taken, result)
                        if not stale and (taken is not None or changed_store):
                            self._want_again(store, stream, run.run, taken or (), result)
                for stream_id, epoch, low, high, reason in ack.refused:
                    self._drop_refused(store, stream_id, epoch, low, high, reason, result)
                if changed_store:
                    store.put_meta("store", ack.store)
            except sqlite3.Error as error:
                self._failed(error)
        self._store_id = ack.store
        if not stale:
            self._ack_time = ack.time
        return result

    def _let_go(self, store: Store, stream: Stream, run: int, taken: Ranges, result: AckResult) -> None:
        whole: list[int] = []
        for low, high in taken:
            for row in store.rows(stream, FROZEN, row_id(run, low), row_id(run, high)):
                standing = _standing(taken, row)
                if standing is Standing.TAKEN:
                    whole.append(row.id)
                elif row.n > 1:
                    for key in self._split(store, stream, cast("Any", store.row(stream, row.id))):
                        single = store.row(stream, key)
                        if single is not None and _standing(taken, single[0]) is Standing.TAKEN:
                            whole.append(key)
        if whole:
            store.set_state(stream, whole, State.LET_GO)
            result.let_go[stream].update(whole)

    def _want_again(self, store: Store, stream: Stream, run: int, taken: Ranges, result: AckResult) -> None:
        lacking = ranges.difference(((1, (1 << SEQ_BITS) - 1),), taken)
        again: list[int] = []
        for low, high in lacking:
            for row in store.rows(stream, (State.LET_GO,), row_id(run, low), row_id(run, high)):
                if row.id in result.let_go[stream]:
                    continue
                standing = _standing(taken, row)
                if standing is Standing.NEW:
                    again.append(row.id)
                    result.wanted_again += row.n
                elif standing is Standing.PARTIAL and row.n > 1:
                    for key in self._split(store, stream, cast("Any", store.row(stream, row.id))):
                        single = store.row(stream, key)
                        if single is not None and _standing(taken, single[0]) is Standing.NEW:
                            again.append(key)
                            result.wanted_again += 1
        if again:
            store.set_state(stream, again, State.WANTED)

    def _drop_refused(
        self, store: Store, stream_id: int, epoch: int, low: int, high: int, reason: str, result: AckResult
    ) -> None:
        run = next((run.run for run in self._runs.values() if run.epoch == epoch), None)
        if run is None or stream_id not in (Stream.WINDOW, Stream.EVENT):
            return
        stream = Stream(stream_id)
        high = min(high, (1 << SEQ_BITS) - 1)
        for row in store.rows(stream, FROZEN, row_id(run, 0), row_id(run, high)):
            if row.high < low or _standing(((low, high),), row) is Standing.NEW:
                continue
            for key in self._split(store, stream, cast("Any", store.row(stream, row.id))):
                single = store.row(stream, key)
                if single is not None and _standing(((low, high),), single[0]) is not Standing.NEW:
                    log.warning("record refused", extra={"stream": stream.name.lower(), "reason": reason})
                    self._lose(store, stream, single[0], "refused")
                    result.dropped[stream].add(key)

    def drop(self, stream: Stream, ids: Iterable[int], reason: str) -> None:
        """Give frozen rows up, with a counted loss: no collector will take them."""
        for store in self._stores():
            try:
                for key in ids:
                    found = store.row(stream, key)
                    if found is not None and found[0].state in FROZEN:
                        self._lose(store, stream, found[0], reason)
            except sqlite3.Error as error:
                self._failed(error)

    # Losses

    def _lose(self, store: Store, stream: Stream, row: Row, reason: str) -> None:
        store.delete(stream, [row.id])
        run = self._runs.get(row.run)
        if run is None:
            return
        cover = tuple((run.epoch, low, high) for low, high in row.ranges())
        self._lost.append((stream, reason, cover, ranges.cover_size(cover)))

    def _tell_loss(self, store: Store, stream: Stream, reason: str, cover: Cover, count: int) -> None:
        """Have an event that names the lost numbers, one for each stream and reason until it is offered."""
        stream_name = stream.name.lower()
        attributes = {"stream": stream_name, "reason": reason, "lost": count, "cover": _plain_cover(cover)}
        key = f"{stream_name}.{reason}"
        event = self._event(EventKind.LOSS, key, Severity.WARNING, attributes, self._clock())
        known = store.named(f"{EventKind.LOSS}\0{key}".encode())
        found = store.row(Stream.EVENT, known.id) if known else None
        items = self._items(store, Stream.EVENT, found) if found else None
        if known is not None and items and known.run == self._run:
            event = _merge(items[0], event)
            store.delete(Stream.EVENT, [known.id])
        row = self._event_row(self._run, event, State.HELD)
        store.insert(Stream.EVENT, row, codec.encode([event]))

    # Space

    def fold(self) -> bool:
        """Bring the oldest held windows that can climb a rung together, in the next commit; False when none can."""
        store = self._ring or self._disk
        if store is None:
            return False
        try:
            return any(self._climb(store, rung) for rung in RUNGS)
        except sqlite3.Error as error:
            self._failed(error)
            return False

    def _climb(self, store: Store, rung: Rung, before: int = (1 << 63) - 1) -> bool:
        """Let the oldest stretch of held windows that can climb the rung do so; False when none can.

        The rung that only packs looks at rows of a single record, and leaves those that stand alone in their stretch.
        """
        gathered: list[Row] = []
        records: list[Record] = []
        start = 0 if rung.step else store.packed_to
        for row in self._held_from(store, start, before):
            fits = row.step < rung.step if rung.step else row.n == 1
            if not fits and not gathered:
                continue
            items = (
                self._items(store, Stream.WINDOW, cast("Any", store.row(Stream.WINDOW, row.id)))
                if fits
                else []
            )
            if items is None:
                return True
            if gathered:
                joined = fits and self._belong(gathered[0], records[0], row, items[0], rung)
                full = len(records) + row.n > (_FOLDED_AT_ONCE if rung.step else columns.MAX_RECORDS)
                if not joined or full:
                    if rung.step or len(gathered) > 1:
                        break
                    gathered, records = [], []
                    store.packed_to = row.id
                    if not fits:
                        continue
            gathered.append(row)
            records.extend(items)
        if not gathered or (len(gathered) == 1 and not rung.step):
            return False
        number = gathered[0].run
        folded = climb(records, rung, lambda record: self._place(record, number))
        if any(len(record.cover) > columns.MAX_RANGES for record in folded):
            return False
        store.delete(Stream.WINDOW, [row.id for row in gathered])
        self._insert_windows(store, number, folded)
        return True

    def _insert_windows(self, store: Store, number: int, records: Sequence[Record]) -> None:
        for at in range(0, len(records), columns.MAX_RECORDS):
            some = records[at : at + columns.MAX_RECORDS]
            store.insert(Stream.WINDOW, self._window_row(number, some, State.HELD), codec.encode(some))

    def _held_from(self, store: Store, start: int, before: int) -> Iterable[Row]:
        while True:
            rows = store.rows(Stream.WINDOW, (State.HELD,), start, before - 1, limit=columns.MAX_RECORDS)
            yield from rows
            if len(rows) < columns.MAX_RECORDS:
                return
            start = rows[-1].id + 1

    def _belong(self, row: Row, record: Record, other_row: Row, other: Record, rung: Rung) -> bool:
        return (row.run, row.name, record.catalog) == (
            other_row.run,
            other_row.name,
            other.catalog,
        ) and self._place(record, row.run) // rung.span == self._place(other, row.run) // rung.span

    def _place(self, record: Record, number: int) -> int:
        """Where a record begins on the line that buckets are cut on: wall time where it is known, else boottime."""
        if record.first.synced:
            return record.first.wall
        anchor = self._runs[number].anchor if number in self._runs else None
        return record.first.boottime + (anchor or 0)

    def _pack(self, store: Store, newest: Row) -> None:
        """When a window begins another hour than the held one before it, put that hour's into one row."""
        if newest.state != State.HELD:
            return
        before = store.rows(Stream.WINDOW, (State.HELD,), 0, newest.id - 1, limit=1, newest=True)
        if before and before[0].n == 1 and before[0].ended // PACK.span != newest.ended // PACK.span:
            self._climb(store, PACK, newest.id)

    def _make_room(self, store: Store, incoming: int) -> None:
        grow = store is self._ring or self._free_bytes(self.directory) >= self._min_free
        bound = store.budget(grow=grow)
        while store.event_bytes() + incoming > bound // _EVENTS_SHARE:
            if not self._shed_event(store):
                break
        while store.used() + incoming > bound:
            oldest = store.rows(Stream.WINDOW, (State.LET_GO,), limit=16)
            if oldest:
                store.delete(Stream.WINDOW, [row.id for row in oldest])
            elif not any(self._climb(store, rung) for rung in RUNGS) and not self._shed_window(store):
                break

    def _shed_event(self, store: Store) -> bool:
        let_go = store.rows(Stream.EVENT, (State.LET_GO,), limit=16)
        if let_go:
            store.delete(Stream.EVENT, [row.id for row in let_go])
            return True
        if any([self._coalesce(store, name) for name in store.repeated()]):
            return True
        oldest = store.rows(Stream.EVENT, (State.HELD, *FROZEN), limit=1)
        if oldest:
            self._lose(store, Stream.EVENT, oldest[0], "space")
        return bool(oldest)

    def _coalesce(self, store: Store, name: bytes) -> bool:
        """Make one event of the held ones of that kind and key, a run at a time; False when nothing changed."""
        by_run: dict[int, list[int]] = {}
        for key in store.event_ids(name):
            by_run.setdefault(key >> SEQ_BITS, []).append(key)
        changed = False
        for run, keys in by_run.items():
            events: list[Event] = []
            for key in keys:
                items = self._items(store, Stream.EVENT, cast("Any", store.row(Stream.EVENT, key)))
                events.extend(items or ())
            if len(events) < 2:
                continue
            event = events[0]
            for other in events[1:]:
                event = _merge(event, other)
            if len(event.cover) > columns.MAX_RANGES:
                continue
            store.delete(Stream.EVENT, keys)
            store.insert(Stream.EVENT, self._event_row(run, event, State.HELD), codec.encode([event]))
            changed = True
        return changed

    def _shed_window(self, store: Store) -> bool:
        for states in ((State.HELD, State.WANTED), (State.OFFERED,)):
            oldest = store.rows(Stream.WINDOW, states, limit=1)
            if oldest:
                self._lose(store, Stream.WINDOW, oldest[0], "space")
                return True
        return False

    # Descriptions and slots

    def describe(self, description: Description) -> tuple[bytes, bool]:
        """Keep a description as the one in force; returns its hash and whether it is new here."""
        name = hash_of(description)
        self._description = name
        body = canonical(description)
        new = True
        for known in self._each(lambda store: store.description(name)):
            if known is not None and known[0] is not None:
                new = False
        if new:
            store = self._ring or cast("Store", self._disk)
            slots = msgpack.packb(self._slots[name].to_plain()) if name in self._slots else None
            try:
                store.put_description(name, body, slots)
            except sqlite3.Error as error:
                self._failed(error)
        return name, new

    def description(self, name: bytes) -> dict[str, Any] | None:
        """The body of a description, None where it is not known."""
        for known in self._each(lambda store: store.description(name)):
            if known is not None and known[0] is not None:
                return cast("dict[str, Any]", msgpack.unpackb(known[0]))
        return None

    def slots(self, name: bytes) -> Slots:
        """The slots of a description. What takes a slot is written with the next window."""
        if name not in self._slots:
            slots = Slots()
            for known in self._each(lambda store: store.description(name)):
                if known is not None and known[1] is not None:
                    slots = Slots.from_plain(msgpack.unpackb(known[1], strict_map_key=False))
            self._slots = {name: slots}  # of one description at a time: the one in force
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
            if number not in self._runs or len(held) >= MAX_EPOCHS:
                continue
            lows = [
                min((low for low in self._each(lambda store: store.lowest(stream, number)) if low), default=0)
                for stream in Stream
            ]
            if any(lows):
                held.append((self._runs[number].epoch, lows[0], lows[1]))
        return tuple(held)

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

    def _stores(self) -> list[Store]:
        return [store for store in (self._disk, self._ring) if store is not None]

    def _each(self, work: Callable[[Store], T]) -> list[T]:
        results: list[T] = []
        for store in self._stores():
            try:
                results.append(work(store))
            except sqlite3.Error as error:
                self._failed(error)
        return results

    def _bring_up(self) -> None:
        now = self._clock()
        # What holds until the file says otherwise, and all along where there is none.
        self.order = self._run = last_order(self.directory) + 1
        self._runs = {self._run: Run(self._run, self.epoch, self.order, self._boot_id, now.boottime)}
        try:
            self._open_disk(begun=False)
        except (OSError, sqlite3.Error) as error:
            self._to_memory(error)

    def _open_disk(self, *, begun: bool) -> None:
        """Open the file and enter this run into it; ``begun``: its order stands in records already."""
        os.makedirs(self.directory, mode=0o750, exist_ok=True)
        if self._lock is None:
            self._lock = Lock(self.directory)
        store = self._open_file()
        try:
            number = self._enter(store, begun=begun)
            store.commit()
        except BaseException:
            store.close()
            raise
        if store.fresh:
            _sync_directory(self.directory)
        self._disk, self._run = store, number
        self._store_id = store.meta("store") or b""
        self._lock.write(self.order)

    def _open_file(self) -> Store:
        path = os.path.join(self.directory, FILE)
        try:
            return Store(path, self._max_size)
        except (sqlite3.Error, Foreign) as error:
            if not (isinstance(error, Foreign) or _is_damage(error) or self._file_is_at_fault(error)):
                raise
            self._put_aside(path, error)
            return Store(path, self._max_size)

    def _enter(self, store: Store, *, begun: bool) -> int:
        """Enter this run into a file, with every run that still has a row there, and return its number."""
        here = self._runs[self._run]
        known = store.runs()
        latest = max((run.order for run in known), default=0)
        number = max((run.run for run in known), default=0) + 1
        if begun:
            number = max(number, self._run)
        else:
            hint = cast("Lock", self._lock).last_order
            # Above what the lock's file names where the database knows less: it is new, or an older copy.
            self.order = latest + 1 if latest >= hint else hint + _ORDER_GAP
        runs = {}
        for run in known:
            if any(store.lowest(stream, run.run) for stream in Stream):
                runs[run.run] = run
            else:
                store.delete_run(run.run)
        runs[number] = here._replace(run=number, order=self.order)
        store.put_run(runs[number])
        self._runs = runs
        return number

    def _file_is_at_fault(self, error: sqlite3.Error) -> bool:
        """Whether the directory takes a file, so that it is the database that does not open."""
        if any(word in str(error) for word in ("full", "readonly", "locked")):
            return False
        path = os.path.join(self.directory, "spool.probe")
        try:
            with open(path, "wb") as file:
                file.write(bytes(1 << 16))
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            return False
        finally:
            if os.path.exists(path):
                os.unlink(path)
        return True

    def _put_aside(self, path: str, error: Exception) -> None:
        """Rename a damaged file, keep the latest few of them, and have an event that says so. Raises OSError."""
        names = [name for name in os.listdir(self.directory) if name.startswith(f"{FILE}.bad-")]
        numbers = sorted(int(part) for part in {name.split("-")[1] for name in names} if part.isdecimal())
        number = numbers[-1] + 1 if numbers else 1
        for suffix in ("-wal", ""):
            if os.path.exists(path + suffix):
                os.replace(path + suffix, f"{path}.bad-{number}{suffix}")
        for old in numbers[: max(0, len(numbers) + 1 - QUARANTINED_KEPT)]:
            for suffix in ("-wal", ""):
                if os.path.exists(f"{path}.bad-{old}{suffix}"):
                    os.unlink(f"{path}.bad-{old}{suffix}")
        log.error("spool quarantined", extra={"file": f"{path}.bad-{number}", "reason": str(error)})
        attributes = {"file": f"{FILE}.bad-{number}", "reason": type(error).__name__}
        self._notes.append((EventKind.SPOOL_QUARANTINED, "spool", Severity.CRITICAL, attributes))

    def _failed(self, error: sqlite3.Error) -> None:
        """Go on after an error of the disk: with a new file where it is damaged, in memory where it refuses."""
        self._lost = []
        disk = self._disk
        if disk is None:
            raise error  # the tables in memory: nothing is left to fall back on
        damaged = _is_damage(error)
        try:
            disk.rollback()
        except sqlite3.Error as second:
            damaged = damaged or _is_damage(second)
        if not damaged:
            self._to_memory(error)
            return
        self._written_before += disk.written
        disk.close()
        self._disk = None
        try:
            self._put_aside(os.path.join(self.directory, FILE), error)
            self._open_disk(begun=True)
        except (OSError, sqlite3.Error) as second_error:
            self._to_memory(second_error)

    def _to_memory(self, error: Exception) -> None:
        self._retry_at = self._clock().monotonic + RETRY_MS
        if self._ring is not None:
            return
        log.error("spool unwritable", extra={"directory": self.directory, "reason": str(error)})
        self._ring = Store(None, RING_BYTES)
        self._ring.begin()
        attributes = {"reason": type(error).__name__}
        self._notes.append((EventKind.SPOOL_UNWRITABLE, "spool", Severity.CRITICAL, attributes))

    def _try_disk(self) -> None:
        """While in memory: write what is there back to the disk, if it takes it now."""
        if self._ring is None or self._clock().monotonic < self._retry_at:
            return
        self._retry_at = self._clock().monotonic + RETRY_MS
        ring = self._ring
        before = self._run
        try:
            if self._disk is None:
                self._open_disk(begun=True)
            self._write_back(ring, cast("Store", self._disk), before)
        except (OSError, sqlite3.Error, SpoolInUse) as error:
            if self._disk is not None and isinstance(error, sqlite3.Error):
                self._failed(error)
            return
        self._ring = None
        ring.close()
        log.warning("spool recovered", extra={"directory": self.directory})
        self._notes.append((EventKind.SPOOL_RECOVERED, "spool", Severity.INFO, {}))

    def _write_back(self, ring: Store, disk: Store, before: int) -> None:
        """Copy the rows in memory to the disk in one commit. Where the run has another number there, so have they:
        whoever holds their ids finds them gone, offers the rows once more, and the receipts drop what was taken."""
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
                    key = row_id(self._run, row.low) if row.run == before else row.id
                    disk.insert(stream, row._replace(id=key), found[1])
        disk.commit()


def _standing(taken: Ranges, row: Row) -> Standing:
    standings = {ranges.standing(taken, low, high) for low, high in row.ranges()}
    return standings.pop() if len(standings) == 1 else Standing.PARTIAL


def _plain_cover(cover: Cover) -> list[list[Any]]:
    return [[f"{epoch:016x}", low, high] for epoch, low, high in cover[:_LOSS_RANGES]]


def _merge(one: Event, other: Event) -> Event:
    """Two events of one kind and key as one; those that tell of losses add up what was lost."""
    merged = coalesce(one, other)
    if merged.kind != EventKind.LOSS:
        return merged
    by_epoch: dict[str, list[tuple[int, int]]] = {}
    for event in (one, other):
        for epoch, low, high in event.attributes["cover"]:
            by_epoch.setdefault(epoch, []).append((low, high))
    cover = [[epoch, low, high] for epoch, some in by_epoch.items() for low, high in ranges.union(some)]
    lost = one.attributes["lost"] + other.attributes["lost"]
    return replace(merged, attributes={**merged.attributes, "lost": lost, "cover": cover[:_LOSS_RANGES]})


def _is_damage(error: Exception) -> bool:
    """Whether SQLite says that the file's content, not the disk, is what is wrong."""
    if isinstance(error, sqlite3.OperationalError):
        text = str(error)
        return any(word in text for word in ("no such", "malformed", "decode", "has no column"))
    return isinstance(error, sqlite3.DatabaseError)


def _sync_directory(path: str) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _free_bytes(directory: str) -> int:
    try:
        found = os.statvfs(directory)
    except (OSError, AttributeError):  # not there yet, or a system that cannot say
        return 1 << 62
    return found.f_bavail * found.f_frsize
