"""The journal's writer: takes exchanges and events from the pipeline and writes them from a thread of its own.

What is handed over waits in memory, within bounds, until it is written: in batches, each one commit, at the latest
`BATCH_SECONDS` after it came (`SLOW_BATCH_SECONDS` where more was written than `PACE_BYTES` a second), so that a flash
disk is spared. A disk that refuses costs what does not fit into memory meanwhile; it is counted, and tried again.

Texts are redacted before they are written. Which are kept is the policy's to say:

    none     no texts
    flagged  those of exchanges with a finding or an error
    sampled  those, and a share of all, drawn at random
    all      all

Where a policy does not keep the texts of an exchange they wait in memory for a while all the same, in case that a
later verdict flags it.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple, Protocol

from stonechat.event import EventKind, Severity
from stonechat.exchange import Exchange, Outcome, Source, is_flagged
from stonechat.exchange_row import Row, to_row
from stonechat.transcript import Transcript
from stonechat_agent.journal import files, rows
from stonechat_agent.journal.ages import PLAUSIBLE_MS, SettledClock
from stonechat_agent.journal.layout import FILE, KEPT, Foreign
from stonechat_agent.journal.rows import Entry, JournalEvent, Texts
from stonechat_agent.journal.store import Forgotten, Store

log = logging.getLogger(__name__)

BATCH_SECONDS = 2.0
SLOW_BATCH_SECONDS = 20.0
BATCH_ENTRIES = 64
PACE_BYTES = 768
"""Bytes a second that are written, on average, before batches become longer."""
PENDING_BOUND = 1000
"""What may wait to be written: exchanges, events and changes, ..."""
PENDING_TEXT = 4 << 20
"""... and characters of their texts."""
WAITING_BOUND = 256
"""Exchanges whose texts wait for a later verdict, ..."""
WAITING_TEXT = 2 << 20
"""... and characters of these."""
WAITING_SECONDS = 900
RECENT = 256
"""Exchanges, and as many events, that `Journal.recent` knows."""

VERIFY_SECONDS = 6 * 3600
"""Between two times that the whole file is read for damage, besides at each start: a command would meet it first."""

_PACE_BURST = 256 << 10
_BATCH_TEXT = 256 << 10
_RETRY_SECONDS = (2.0, 60.0)
_SWEEP_SECONDS = 60.0
_LOOK_SECONDS = 1.0
_ASK_SECONDS = 5.0
_ASIDE_SECONDS = 5.0  # a disk that damages whatever is written is not given one file after the other
_FORGOTTEN_SECONDS = 3600
_ROW_BYTES = 2048  # what an exchange takes in the file beside its texts, roughly


class Redact(Protocol):
    """Makes of a transcript one that may be kept."""

    def __call__(self, transcript: Transcript, /) -> Transcript: ...


class Recent(NamedTuple):
    """The latest of the journal, newest first and without texts."""

    exchanges: list[Row]
    """Rows; ``texts`` in each tells whether its texts are kept, or why not (`layout.WHY`), once that is known."""
    events: list[JournalEvent]
    """Those that are not written yet have the seq 0."""


class Stats(NamedTuple):
    """What the journal is, for status and metrics."""

    size: int
    """Bytes on the disk, as of the latest commit."""
    written: int
    """Bytes that were written to the disk since the start."""
    waiting: int
    """Exchanges, events and changes that are not written yet."""
    fault: str
    """Why the file cannot be written at present; "" where it can."""


@dataclass(eq=False, slots=True)
class _Put:
    row: Row
    transcript: Transcript | None
    chosen: str | None
    accepted_ns: int | None  # of this process's monotonic clock; None where another clock told it
    cost: int
    state: str = ""  # "" until it is decided
    texts: Texts | None = None
    size: int = 0  # bytes of the texts
    gone: bool = False


@dataclass(eq=False, slots=True)
class _PutEvent:
    event: JournalEvent
    taken: bool = False  # into a batch: what comes now can no longer join it
    size: int = 0


@dataclass(eq=False, slots=True)
class _Update:
    id: str
    scores: Mapping[str, float]
    findings: Sequence[str]
    chosen: str | None
    ready: bool = False
    row: Row | None = None  # of the exchange, where its texts waited
    texts: Texts | None = None
    state: str | None = None
    size: int = 0


@dataclass(eq=False, slots=True)
class _Sent:
    ids: tuple[str, ...]
    size: int = 0


@dataclass(eq=False, slots=True)
class _Ask:
    limit: int
    answered: threading.Event = field(default_factory=threading.Event)
    answer: list[Entry] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class _Waiting:
    row: Row
    transcript: Transcript
    size: int
    since: float


_Item = _Put | _PutEvent | _Update | _Sent


class Journal:
    """See the module's docstring. Every public method may be called from any thread; none but `unsent` waits."""

    def __init__(
        self,
        directory: str,
        *,
        max_size: int,
        max_age_ns: int,
        texts: str,
        sample: float,
        redact: Redact,
        random: Callable[[], float],
        wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """
        Args:
            directory: where ``journal.db`` lies or is made.
            max_size: bytes that the file may have.
            max_age_ns: ns after which an entry is deleted.
            texts: the policy: ``none``, ``flagged``, ``sampled`` or ``all``.
            sample: share of all exchanges whose texts ``sampled`` keeps.
            redact: called on the journal's thread for each transcript that is to be kept.
            random: a number in [0, 1), called on the journal's thread.
            wall_ms: ms since 1970.
            monotonic_ns: the clock that the relay's exchanges were timed by.
        """
        self._directory = directory
        self._max_size = max_size
        self._max_age_ms = max_age_ns // 1_000_000
        self._policy = texts
        self._sample = sample
        self._redact = redact
        self._random = random
        self._wall_ms = wall_ms
        self._monotonic_ns = monotonic_ns

        self._changed = threading.Condition()
        # Under the condition's lock, which nobody holds while waiting for anything else:
        self._pending: deque[_Item] = deque()
        self._pending_text = 0
        self._asks: deque[_Ask] = deque()
        self._recent: OrderedDict[str, Row] = OrderedDict()
        self._recent_events: deque[JournalEvent] = deque(maxlen=RECENT)
        self._losses: Counter[str] = Counter()
        self._stopping = False
        self._oldest: float | None = None  # time.monotonic() of the first item that waits

        # The journal's thread's own:
        self._store: Store | None = None
        self._waiting: OrderedDict[str, _Waiting] = OrderedDict()
        self._waiting_text = 0
        self._sending: dict[str, int] = {}  # judgements of the exchanges that are on their way, by id
        self._forgotten: deque[tuple[Forgotten, int]] = deque(maxlen=1024)
        self._forgotten_to: int | None = None  # where reading them went on when the file was closed
        self._clock = SettledClock()
        self._retry_at = 0.0
        self._verified = 0.0
        self._aside_at = -_ASIDE_SECONDS
        self._retry_seconds = _RETRY_SECONDS[0]
        self._allowance = float(_PACE_BURST)
        self._allowed_at = time.monotonic()
        self._written = 0
        self._stats = Stats(0, 0, 0, "")
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)

    def start(self) -> None:
        """Begin. The file is opened on the journal's thread."""
        self._thread.start()

    def stop(self, timeout_seconds: float = 5.0) -> bool:
        """Write what waits and close the file; returns whether that was done in time."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def put(self, exchange: Exchange, chosen: str | None = None) -> None:
        """Keep an exchange, whose ``id`` and ``wall_ms`` are set. Its transcript is the journal's from then on.

        Args:
            chosen: the reason for which it goes to the collector, None where it does not.
        """
        row = rows.checked(to_row(exchange))
        transcript = exchange.transcript if self._policy != "none" else None
        cost = transcript.size if transcript is not None else 0
        accepted_ns = exchange.accepted_ns if exchange.source is Source.RELAY else None
        item = _Put(row, transcript, chosen, accepted_ns, cost)
        if self._policy == "none":
            item.state = "none"
        elif transcript is None or not _says_anything(transcript):
            item.state, item.transcript, item.cost = "no_texts", None, 0
        with self._changed:
            if "id" not in row:
                self._losses["journal.failed"] += 1
            else:
                if self._pending_text + item.cost > PENDING_TEXT:
                    self._losses["journal.texts"] += 1
                    item.state, item.transcript, item.cost = "over_bound", None, 0
                if not self._add(item):
                    return
                self._recent[row["id"]] = row
                while len(self._recent) > RECENT:
                    self._recent.popitem(last=False)

    def put_event(
        self, wall_ms: int, kind: str, key: str, severity: int, attributes: Mapping[str, Any] | None = None
    ) -> None:
        """Keep an event; equal ones that come while the last one still waits become one with a count."""
        event = JournalEvent(0, wall_ms, kind, key, int(severity), 1, dict(attributes or {}))
        with self._changed:
            last = self._pending[-1] if self._pending else None
            if isinstance(last, _PutEvent) and not last.taken and _alike(last.event, event):
                last.event = last.event._replace(times=last.event.times + 1)
                self._recent_events[-1] = last.event
            elif self._add(_PutEvent(event)):
                self._recent_events.append(event)

    def update(
        self,
        id: str,
        scores: Mapping[str, float],
        findings: Sequence[str] = (),
        chosen: str | None = None,
    ) -> None:
        """Add a later verdict to an exchange: scores and findings join those that it has.

        A finding keeps the texts of an exchange where they still wait. ``chosen`` chooses it for the collector, unless
        it was chosen before.
        """
        with self._changed:
            if self._add(_Update(id, dict(scores), tuple(findings), chosen)) and id in self._recent:
                row = self._recent[id]
                self._recent[id] = {**row, **_verdict(row, scores, findings)}

    def unsent(self, limit: int) -> list[Entry]:
        """Chosen exchanges that did not go to the collector, oldest first, with the texts that are kept of them.

        Waits for the journal's thread, 5 seconds at most; an empty list where the file cannot be read.
        """
        ask = _Ask(limit)
        with self._changed:
            if self._stopping:
                return []
            self._asks.append(ask)
            self._changed.notify()
        ask.answered.wait(_ASK_SECONDS)
        return ask.answer

    def mark_sent(self, ids: Iterable[str]) -> None:
        """Note that exchanges went to the collector: `unsent` gives them no more."""
        with self._changed:
            self._add(_Sent(tuple(ids)))

    def recent(self, limit: int = RECENT) -> Recent:
        """The latest exchanges and events, from memory."""
        with self._changed:
            exchanges = list(islice(reversed(self._recent.values()), limit))
            events = list(islice(reversed(self._recent_events), limit))
        return Recent(exchanges, events)

    @property
    def losses(self) -> Counter[str]:
        """What was lost since the start, by reason.

        ``journal.overflow``: too much waited at once. ``journal.texts``: texts of an exchange alone, for the same
        reason. ``journal.unwritable``: the disk refused for too long. ``journal.failed``: an entry that could not be
        written, or texts that could not be redacted.
        """
        with self._changed:
            return Counter(self._losses)

    def stats(self) -> Stats:
        """Size, bytes written, what waits, and the fault of the file."""
        return self._stats._replace(waiting=len(self._pending))

    def _add(self, item: _Item) -> bool:
        """Let an item wait; False where too much does. The lock is held."""
        if len(self._pending) >= PENDING_BOUND or self._stopping:
            self._losses["journal.overflow"] += 1
            return False
        self._pending.append(item)
        if isinstance(item, _Put):
            self._pending_text += item.cost
        if self._oldest is None:
            self._oldest = time.monotonic()
        if len(self._pending) == 1 or self._full():
            self._changed.notify()
        return True

    # The journal's own thread from here on

    def _run(self) -> None:
        swept = looked = -_SWEEP_SECONDS
        while True:
            with self._changed:
                if not (self._stopping or self._asks):
                    self._changed.wait(self._pause())
                stopping = self._stopping
                asks = [self._asks.popleft() for _ in range(len(self._asks))]
            now = time.monotonic()
            again = False
            try:
                if self._opened(now, stopping):
                    if now - looked >= _LOOK_SECONDS:
                        looked = now
                        self._look()
                    if stopping or self._due(now):
                        self._flush()
                    for ask in asks:
                        ask.answer = self._unsent(ask.limit)
                    if now - swept >= _SWEEP_SECONDS:
                        swept = now
                        self._sweep(now)
                    if self._store is not None and now - self._verified >= VERIFY_SECONDS:
                        self._verified = now
                        self._store.verify()
            except (sqlite3.Error, OSError, Foreign) as error:
                again = self._failed(error)
            except Exception as error:
                # A fault of ours. Its message may quote what was to be written.
                log.error("journal failed", extra={"reason": type(error).__name__})
                self._drop(len(self._batch()), "journal.failed")
            for ask in asks:
                ask.answered.set()
            if stopping and not again and (self._store is None or not self._pending):
                break
        self._end()

    def _pause(self) -> float:
        """Seconds to wait for something to do. The lock is held."""
        if self._oldest is None or self._store is None:
            return _LOOK_SECONDS
        if self._full():
            return 0.0
        wait = BATCH_SECONDS if self._allowance > 0 else SLOW_BATCH_SECONDS
        return max(0.01, min(_LOOK_SECONDS, self._oldest + wait - time.monotonic()))

    def _due(self, now: float) -> bool:
        """Whether what waits is to be written now."""
        self._allowance = min(_PACE_BURST, self._allowance + (now - self._allowed_at) * PACE_BYTES)
        self._allowed_at = now
        oldest = self._oldest
        if oldest is None:
            return False
        wait = BATCH_SECONDS if self._allowance > 0 else SLOW_BATCH_SECONDS
        return self._full() or now - oldest >= wait

    def _full(self) -> bool:
        """Whether enough waits for a batch, however soon it comes after the last one."""
        return len(self._pending) >= BATCH_ENTRIES or self._pending_text >= _BATCH_TEXT

    def _opened(self, now: float, stopping: bool) -> bool:
        """Whether the file is open, opened if it is time to try."""
        if self._store is None and (now >= self._retry_at or stopping):
            os.makedirs(self._directory, mode=0o750, exist_ok=True)
            store = Store(os.path.join(self._directory, FILE), self._max_size, self._forgotten_to)
            self._store = store
            try:
                store.verify()
                self._verified = now
                store.index_missing()
                self._forget(store)
                self._reload()
            except BaseException:
                self._close()
                raise
            # That it opens does not say that it can be written: a full disk can be read.
            fault = self._stats.fault if self._pending else ""
            self._told(Stats(store.size(), self._written, 0, fault))
        return self._store is not None

    def _told(self, stats: Stats) -> None:
        """Show what the journal is from now on."""
        if not stats.fault:
            self._retry_seconds = _RETRY_SECONDS[0]
            if self._stats.fault:
                log.info("journal written again")
        self._stats = stats

    def _failed(self, error: sqlite3.Error | OSError | Foreign) -> bool:
        """Go on without the file. Returns whether to try again at once, because a damaged one was put aside."""
        self._close()
        now = time.monotonic()
        if files.is_damage(self._directory, error) and now >= self._aside_at + _ASIDE_SECONDS:
            self._aside_at = now
            try:
                files.put_aside(self._directory, error)
            except OSError as refusal:
                error = refusal
            else:
                self._note_put_aside()
                self._retry_at = now
                return True
        reason = error.strerror or "" if isinstance(error, OSError) else str(error)
        if not self._stats.fault:
            log.error("journal not written", extra={"path": self._directory, "reason": reason})
        self._stats = self._stats._replace(fault=reason or type(error).__name__)
        self._retry_at = now + self._retry_seconds
        self._retry_seconds = min(_RETRY_SECONDS[1], 2 * self._retry_seconds)
        # The present matters most: the oldest go while the disk refuses.
        self._drop(len(self._pending) - PENDING_BOUND // 2, "journal.unwritable")
        return False

    def _note_put_aside(self) -> None:
        event = JournalEvent(
            0,
            self._wall_ms(),
            EventKind.JOURNAL_PUT_ASIDE,
            "journal",
            int(Severity.WARNING),
            1,
            {"file": files.ASIDE},
        )
        with self._changed:
            self._pending.append(_PutEvent(event))  # beyond the bound, and also while it stops
            self._recent_events.append(event)
            self._oldest = self._oldest or time.monotonic()

    def _close(self) -> None:
        if self._store is not None:
            store, self._store = self._store, None
            self._written += store.written
            self._forgotten_to = store.forgotten
            store.rollback()
            store.close()

    def _end(self) -> None:
        with self._changed:
            left = len(self._pending)
        self._drop(left, "journal.unwritable")
        try:
            self._close()
        except sqlite3.Error as error:
            log.error("journal not closed", extra={"reason": type(error).__name__})
        with self._changed:
            for ask in self._asks:
                ask.answered.set()

    def _batch(self) -> list[_Item]:
        """What is to be written next."""
        with self._changed:
            batch: list[_Item] = []
            text = 0
            for item in self._pending:
                text += item.cost if isinstance(item, _Put) else 0
                if batch and (len(batch) >= BATCH_ENTRIES or text > min(_BATCH_TEXT, self._max_size // 16)):
                    break
                batch.append(item)
                if isinstance(item, _PutEvent):
                    item.taken = True
            return batch

    def _drop(self, count: int, reason: str | None) -> None:
        """Let go of the oldest that wait; counted as lost if there is a reason."""
        with self._changed:
            for _ in range(max(0, count)):
                item = self._pending.popleft()
                if isinstance(item, _Put):
                    self._pending_text -= item.cost
                if reason is not None:
                    self._losses[reason] += 1
            if not self._pending:
                self._oldest = None
            elif count > 0:
                self._oldest = time.monotonic()

    def _flush(self) -> None:
        """Write what waits, batch by batch."""
        while batch := self._batch():
            for item in batch:
                self._prepare(item)
            store = self._store
            assert store is not None
            before = store.written
            if store.make_room(sum(3 * item.size + _ROW_BYTES for item in batch)):
                self._reload()
            store.begin()
            try:
                self._forget(store)
                for item in batch:
                    self._write(store, item)
                store.commit()
            except BaseException:
                store.rollback()
                raise
            self._drop(len(batch), None)
            self._allowance -= store.written - before
            self._told(Stats(store.size(), self._written + store.written, 0, ""))
            if not (self._stopping or self._full()):
                break

    def _prepare(self, item: _Item) -> None:
        """Decide about an item's texts and redact them. Done once, however often it is tried to be written."""
        if isinstance(item, _Put) and not item.state:
            transcript = item.transcript
            assert transcript is not None
            why = self._why_not(item.row)
            if why is None:
                item.texts, item.size, item.state = self._redacted(transcript)
            else:
                item.state = why
                self._wait(item.row, transcript)
            with self._changed:
                self._pending_text -= item.cost
            item.transcript, item.cost = None, 0
        elif isinstance(item, _Update) and not item.ready:
            item.ready = True
            if is_flagged(item.findings) and (waiting := self._waits_no_more(item.id)) is not None:
                item.row = waiting.row
                item.texts, item.size, state = self._redacted(waiting.transcript)
                item.state = state if state != KEPT else None

    def _why_not(self, row: Row) -> str | None:
        """Why the policy does not keep the texts of an exchange; None where it does."""
        flagged = is_flagged(row.get("findings", ())) or row.get("outcome") == Outcome.ERROR.value
        if self._policy == "all" or flagged:
            return None
        if self._policy == "sampled":
            return None if self._random() < self._sample else "not_sampled"
        return "not_flagged"

    def _redacted(self, transcript: Transcript) -> tuple[Texts | None, int, str]:
        """The texts to keep, their bytes, and the state that the exchange has with them."""
        try:
            texts = rows.texts_of(self._redact(transcript))
        except Exception as error:
            log.error("redaction failed, texts not kept", extra={"reason": type(error).__name__})
            with self._changed:
                self._losses["journal.failed"] += 1
            return None, 0, "failed"
        size = len(rows.spoken(texts).encode("utf-8", "replace"))
        if size > self._max_size // 16:
            return None, 0, "over_bound"
        return texts, size, KEPT

    def _wait(self, row: Row, transcript: Transcript) -> None:
        size = transcript.size
        self._waiting[row["id"]] = _Waiting(row, transcript, size, time.monotonic())
        self._waiting_text += size
        while len(self._waiting) > WAITING_BOUND or self._waiting_text > WAITING_TEXT:
            self._waiting_text -= self._waiting.popitem(last=False)[1].size

    def _waits_no_more(self, id: str) -> _Waiting | None:
        waiting = self._waiting.pop(id, None)
        if waiting is not None:
            self._waiting_text -= waiting.size
        return waiting

    def _write(self, store: Store, item: _Item) -> None:
        """Write an item in the transaction that is open."""
        if isinstance(item, _Put):
            for forgotten, seen_ns in self._forgotten:
                # It was under way when somebody asked to forget what it belongs to.
                if item.accepted_ns is not None and item.accepted_ns <= seen_ns:
                    _strike(item, forgotten)
            if item.state == "forgotten":
                self._waits_no_more(item.row["id"])
            if not item.gone:
                store.insert(item.row, item.texts, item.state, item.chosen)
                with self._changed:
                    if (row := self._recent.get(item.row["id"])) is not None:
                        self._recent[item.row["id"]] = {**row, "texts": item.state}
        elif isinstance(item, _PutEvent):
            store.insert_event(item.event)
        elif isinstance(item, _Update):
            row = store.row(item.id)
            if row is not None:
                verdict = _verdict(row, item.scores, item.findings)
                store.update(item.id, verdict, item.chosen, item.state)
                if item.texts is not None:
                    store.add_texts(item.id, item.texts)
        else:
            # What was judged while it was on its way goes again.
            store.mark_sent(
                id for id in item.ids if self._sending.pop(id, None) in (None, _judgements(store.row(id)))
            )

    def _unsent(self, limit: int) -> list[Entry]:
        with self._changed:
            marked = {id for item in self._pending if isinstance(item, _Sent) for id in item.ids}
        assert self._store is not None
        found = self._store.unsent(limit + len(marked))
        unsent = [entry for entry in found if entry.row.get("id") not in marked][:limit]
        self._sending.update(
            {entry.row["id"]: _judgements(entry.row) for entry in unsent if "id" in entry.row}
        )
        return unsent

    # What another process did to the file

    def _look(self) -> None:
        """Learn what another process changed."""
        assert self._store is not None
        if self._store.changed():
            self._forget(self._store)
            self._reload()

    def _forget(self, store: Store) -> None:
        """Let go of what was asked to be forgotten and is in memory."""
        found = store.newly_forgotten()
        if not found:
            return
        seen_ns = self._monotonic_ns()
        with self._changed:
            pending = list(self._pending)
        for forgotten in found:
            self._forgotten.append((forgotten, seen_ns))
            for item in pending:
                if isinstance(item, _Put):
                    _strike(item, forgotten)
                elif isinstance(item, _Update) and item.row is not None and forgotten.matches(item.row):
                    item.texts, item.size, item.state = None, 0, "forgotten"
            for id in [id for id, one in self._waiting.items() if forgotten.matches(one.row)]:
                self._waits_no_more(id)
            with self._changed:
                for id in [id for id, row in self._recent.items() if forgotten.matches(row)]:
                    if forgotten.texts_only:
                        self._recent[id] = {**self._recent[id], "texts": "forgotten"}
                    else:
                        del self._recent[id]

    def _reload(self) -> None:
        """Read anew what `recent` knows."""
        assert self._store is not None
        exchanges, events = self._store.latest(RECENT)
        with self._changed:
            self._recent = OrderedDict((row["id"], row) for row in exchanges if "id" in row)
            self._recent_events.clear()
            self._recent_events.extend(events)
            for item in self._pending:
                if isinstance(item, _Put) and not item.gone:
                    self._recent[item.row["id"]] = item.row
                elif isinstance(item, _PutEvent):
                    self._recent_events.append(item.event)
            while len(self._recent) > RECENT:
                self._recent.popitem(last=False)

    def _sweep(self, now: float) -> None:
        """Delete what is too old, in the file and in memory."""
        assert self._store is not None
        while self._waiting and now - next(iter(self._waiting.values())).since > WAITING_SECONDS:
            self._waiting_text -= self._waiting.popitem(last=False)[1].size
        horizon_ns = self._monotonic_ns() - _FORGOTTEN_SECONDS * 1_000_000_000
        while self._forgotten and self._forgotten[0][1] < horizon_ns:
            self._forgotten.popleft()
        before = self._store.written
        self._store.sweep()
        settled_ms = self._clock.look(self._wall_ms(), self._monotonic_ns() // 1_000_000)
        if settled_ms is not None:
            oldest_ms = settled_ms - self._max_age_ms
            files.delete_aside(self._directory, oldest_ms / 1000)
            if self._store.delete_before(oldest_ms, PLAUSIBLE_MS):
                self._reload()
        self._allowance -= self._store.written - before


def _verdict(row: Row, scores: Mapping[str, float], findings: Sequence[str]) -> Row:
    """The fields of a row that a later verdict changes."""
    joined = {
        "scores": {**row.get("scores", {}), **scores},
        "findings": [*row.get("findings", []), *findings],
    }
    return rows.checked({name: value for name, value in joined.items() if value})


def _judgements(row: Row | None) -> int:
    """How many an exchange has; a later verdict only adds some."""
    return len(row.get("scores", ())) + len(row.get("findings", ())) if row is not None else 0


def _strike(item: _Put, forgotten: Forgotten) -> None:
    if forgotten.matches(item.row):
        item.texts, item.transcript, item.size, item.state = None, None, 0, "forgotten"
        item.gone = item.gone or not forgotten.texts_only


def _alike(one: JournalEvent, other: JournalEvent) -> bool:
    return (one.kind, one.key, one.severity, one.attributes) == (
        other.kind,
        other.key,
        other.severity,
        other.attributes,
    )


def _says_anything(transcript: Transcript) -> bool:
    return bool(
        transcript.turns
        or transcript.answer
        or transcript.reasoning
        or transcript.tool_calls
        or transcript.error
    )
