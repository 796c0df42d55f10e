"""The pipeline: samples and exchanges in, windows out, kept in the spool and sent when there is a way.

One thread has the open window, the spool and the uplink's rules, so that none of them needs a lock and the relay's
event loop never waits for a disk. Everything reaches it through one inbox. What must not wait for anything else (the
sockets of relay and broker, the reading of sensors) runs elsewhere.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from stonechat.catalog import metric_id
from stonechat.description import hash_of
from stonechat.event import EventKind, Severity
from stonechat.exchange import Exchange
from stonechat.records import Flag, Record, Values, fold_values
from stonechat_agent.clocks import Clocks
from stonechat_agent.desk import Desk
from stonechat_agent.health import EngineHealth
from stonechat_agent.local.series import Series
from stonechat_agent.passive import Facts, changes, event_attributes
from stonechat_agent.sampling import Reading, Sample
from stonechat_agent.scoring.concerns import Concern, Concerns
from stonechat_agent.scoring.verdict import Verdict
from stonechat_agent.spool import Instant, Spool
from stonechat_agent.uplink import Publish, Uplink
from stonechat_agent.window import Centroids, Cutter, WindowBuilder

log = logging.getLogger(__name__)

INBOX_BOUND = 10_000
"""Exchanges and samples that may wait; what comes while as many do is lost and counted."""
TEXTS_BOUND = 8 << 20
"""Characters of texts that may wait with their exchanges; what comes while as many do waits without its texts."""
DEFERRED_MS = 1000
"""How long an exchange waits for its engine to say whether it has a model of that name."""
DEFERRED_BOUND = 64
TICK_SECONDS = 0.25
RECENT_SECONDS = 600
"""The span that status speaks of."""

LOSSES = metric_id("stonechat.agent.losses")
PARSERS_DROPPED = metric_id("stonechat.agent.parsers.dropped")
CONNECTIONS = metric_id("stonechat.agent.relay.connections")
IN_FLIGHT = metric_id("stonechat.engine.requests.in_flight")
SPOOL_SIZE = metric_id("stonechat.agent.spool.size")
SPOOL_RECORDS = metric_id("stonechat.agent.spool.records")
TRANSMIT = metric_id("stonechat.agent.uplink.transmit")
LAG = metric_id("stonechat.agent.lag")


class Linked(NamedTuple):
    """The broker accepted the connection."""


class Unlinked(NamedTuple):
    """The connection to the broker is gone."""


class Received(NamedTuple):
    """A message came from the broker."""

    topic: str
    payload: bytes


class Lagged(NamedTuple):
    """The event loop ran late, by microseconds."""

    microseconds: int


class Learned(NamedTuple):
    """An engine's own account of itself has changed."""

    engine: str
    facts: Facts


class Unreached(NamedTuple):
    """Nobody listens at an engine's address."""

    engine: str


class Relayed(NamedTuple):
    """What an engine's relay counts, read when a sample is taken. All but the first two only grow."""

    connections: int
    in_flight: int
    exchanges_lost: int
    parsers_dropped: Mapping[str, int]


class Told(NamedTuple):
    """Something happened to another part of the agent that calls for an event."""

    kind: str
    key: str
    severity: Severity
    attributes: Mapping[str, Any]


Item = Sample | Exchange | Verdict | Told | Linked | Unlinked | Received | Lagged | Learned | Unreached


@dataclass(frozen=True)
class Snapshot:
    """What the pipeline shows to others; replaced as a whole, so that reading it needs no lock."""

    totals: Values
    """Everything since the start, folded."""
    recent: Values
    """The latest windows, folded."""
    recent_ms: int
    engines: Mapping[str, bool | None]
    spool_records: int
    spool_bytes: int
    spool_in_memory: bool
    losses: Mapping[str, int]
    linked_since: float | None
    """time.time() of the connection to the broker, None while there is none."""


class Pipeline:
    """See the module's docstring. ``put`` may be called from any thread, everything else from the pipeline's own."""

    def __init__(
        self,
        *,
        open_spool: Callable[[], Spool],
        make_uplink: Callable[[Spool], Uplink] | None,
        description: Mapping[str, Any],
        engines: tuple[str, ...],
        window_ms: int,
        relayed: Callable[[], Mapping[str, Relayed]],
        readings: Callable[[], Iterable[Reading]],
        came_up: Callable[[str], object],
        desk: Desk,
        series: Series,
        losses: Callable[[], Counter[str]],
        publish: Callable[[Publish], object],
        clocks: Clocks,
    ) -> None:
        """
        Args:
            make_uplink: None where no broker is configured: windows then stay on the device.
            relayed: what the relays count, by engine.
            readings: what else a sample holds.
            came_up: told of each engine that is there again.
            series: takes what the local page draws.
            losses: what others lost, by reason; only grows.
            publish: hands a message to the broker; must not wait.
        """
        self._open_spool = open_spool
        self._make_uplink = make_uplink
        self._description = dict(description)
        self._readings = readings
        self._came_up = came_up
        self._desk = desk
        self._series = series
        self._other_losses = losses
        self._deferred: deque[tuple[int, Exchange]] = deque()
        self._concerns = Concerns()
        self._centroids = Centroids()
        self._window_ms = window_ms
        self._relayed = relayed
        self._clocks = clocks
        self._inbox: queue.SimpleQueue[Item | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="pipeline", daemon=True)
        self._publish = publish
        self._health = EngineHealth(engines)
        self._lost: Counter[str] = Counter()
        # Characters of texts that came and went; each is written by one thread, the event loop's and the pipeline's.
        self._texts_in = self._texts_out = 0
        self._told_lost: Counter[str] = Counter()
        self._told_relayed: dict[str, Relayed] = {}
        self._told_sent = 0
        self._recent: deque[Record] = deque()
        self._totals: Values = {}
        self._linked_since: float | None = None
        self.progress = time.monotonic()
        """When the pipeline last got through everything that waited; the watchdog's sign of life."""
        self.snapshot = Snapshot({}, {}, 0, self._health.states, 0, 0, False, {}, None)
        self.failed: BaseException | None = None
        """What ended the pipeline before its time."""

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def put(self, item: Item) -> None:
        """Hand something over. Never waits; samples and exchanges beyond the bound are lost and counted."""
        if isinstance(item, (Sample, Exchange)) and self._inbox.qsize() >= INBOX_BOUND:
            self._lost["exchange.overflow" if isinstance(item, Exchange) else "sample.overflow"] += 1
            return
        if isinstance(item, Exchange) and item.transcript is not None:
            if self._texts_in - self._texts_out + item.transcript.size > TEXTS_BOUND:
                item.transcript = None
                item.notes.add("texts_over_bound")
            else:
                self._texts_in += item.transcript.size
        self._inbox.put(item)

    def stop(self, timeout_seconds: float = 10.0) -> bool:
        """Close the last window and the spool; returns whether that was done in time."""
        self._inbox.put(None)
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def left(self) -> list[Exchange]:
        """The exchanges that came after ``stop``, which nobody took: another pipeline may."""
        found: list[Exchange] = []
        while True:
            try:
                item = self._inbox.get_nowait()
            except queue.Empty:
                return found
            if item is None:  # where it did not stop in time it shall still be told to
                self._inbox.put(None)
                return found
            if isinstance(item, Exchange):
                found.append(item)

    # The pipeline's own thread from here on

    def _run(self) -> None:
        try:
            self._spool = self._open_spool()
        except Exception as error:
            self.failed = error
            return
        try:
            self._loop()
        except Exception as error:
            # A fault of ours must not go unseen: without progress the watchdog has the agent restarted.
            log.exception("pipeline failed")
            self.failed = error
        finally:
            self._spool.close()

    def _loop(self) -> None:
        self._uplink = self._make_uplink(self._spool) if self._make_uplink is not None else None
        now = self._clocks.now()
        self._name = hash_of(self._description)
        if self._uplink is not None:
            self._uplink.describe(self._description, now)
        else:
            self._spool.describe(self._description)
        self._cutter = Cutter(self._window_ms)
        self._begin_window(now)
        self._event(EventKind.STARTED, "agent", Severity.INFO, now)
        self._show()
        while True:
            due = self._cutter.due(now) / 1000
            try:
                item = self._inbox.get(timeout=max(0.0, min(TICK_SECONDS, due)))
            except queue.Empty:
                pass
            else:
                if item is None:
                    break
                self._take(item)
                for _ in range(
                    self._inbox.qsize()
                ):  # what waits already, before the clock is looked at again
                    waiting = self._inbox.get()
                    if waiting is None:
                        self._finish()
                        return
                    self._take(waiting)
            now = self._clocks.now()
            self._take_deferred(now.monotonic)
            self._tell(self._concerns.due(now.boottime), now)
            cut = self._cutter.look(now)
            if cut is not None:
                self._close_window(now, cut.flags)
                if cut.step_ms:
                    attributes = {"step_ms": cut.step_ms}
                    self._event(EventKind.CLOCK_STEPPED, "clock", Severity.WARNING, now, attributes)
                if cut.suspended_ms:
                    attributes = {"suspended_ms": cut.suspended_ms}
                    self._event(EventKind.RESUMED, "device", Severity.INFO, now, attributes)
            if self._uplink is not None:
                self._send(self._uplink.tick(now))
            self.progress = time.monotonic()
        self._finish()

    def _finish(self) -> None:
        self._take_deferred()
        now = self._clocks.now()
        self._tell(self._concerns.due(), now)
        self._event(EventKind.STOPPED, "agent", Severity.INFO, now)
        self._close_window(now, Flag.CUT_STOP)
        if self._uplink is not None:
            self._send(self._uplink.stopping(now))

    def _take(self, item: Item) -> None:
        if isinstance(item, Sample):
            self._take_sample(item)
        elif isinstance(item, Exchange):
            if len(self._deferred) < DEFERRED_BOUND and self._desk.defers(item):
                self._deferred.append((self._clocks.now().monotonic + DEFERRED_MS, item))
            else:
                self._take_exchange(item)
        elif isinstance(item, Verdict):
            self._take_verdict(item)
        elif isinstance(item, Told):
            self._event(item.kind, item.key, item.severity, self._clocks.now(), item.attributes)
        elif isinstance(item, Learned):
            self._health.heard(item.engine, up=True)
            self._learn(item)
        elif isinstance(item, Unreached):
            self._health.heard(item.engine, up=False)
        elif isinstance(item, Lagged):
            self._builder.add_reading(Reading(LAG, item.microseconds))
        elif self._uplink is not None:
            now = self._clocks.now()
            if isinstance(item, Linked):
                self._linked_since = time.time()
                self._show_state()
                self._send(self._uplink.connected(now))
            elif isinstance(item, Unlinked):
                self._linked_since = None
                self._show_state()
                self._send(self._uplink.disconnected(now))
            else:
                self._send(self._uplink.message(item.topic, item.payload, now))

    def _take_exchange(self, exchange: Exchange) -> None:
        size = exchange.transcript.size if exchange.transcript is not None else 0
        self._health.met(exchange)
        now = self._clocks.now()
        try:
            self._desk.take(exchange, now)
        except Exception:
            # A fault in a check or in the journal must cost that exchange its texts, not the device its windows.
            log.exception("exchange not judged", extra={"engine": exchange.engine})
            self._lost["exchange.unjudged"] += 1
        exchange.transcript = None
        self._texts_out += size
        self._series.ended(now.monotonic * 1_000_000, exchange)
        self._builder.add_exchange(exchange)

    def _take_verdict(self, verdict: Verdict) -> None:
        """Count what came of an answer's judging, in the window that is open now, and tell of what concerns."""
        self._builder.add_verdict(verdict)
        now = self._clocks.now()
        if verdict.scores or verdict.guidelines:
            flagged = bool(verdict.flags) or any(one.broken for one in verdict.guidelines)
            self._series.judged(now.monotonic * 1_000_000, flagged=flagged)
        try:
            self._desk.judged(verdict)
        except Exception:
            log.exception("verdict not kept", extra={"engine": verdict.engine})
            self._lost["exchange.unjudged"] += 1
        self._tell(self._concerns.take(verdict, now.boottime), now)

    def _tell(self, concerns: Iterable[Concern], now: Instant) -> None:
        for kind, key, severity, attributes in concerns:
            log.warning(kind.replace("_", " "), extra={"key": key, **attributes})
            self._event(kind, key, severity, now, attributes)

    def _take_deferred(self, until: int | None = None) -> None:
        """Take the exchanges that waited until then, in ms of the monotonic clock; all of them where that is None."""
        while self._deferred and (until is None or self._deferred[0][0] <= until):
            self._take_exchange(self._deferred.popleft()[1])

    def _learn(self, item: Learned) -> None:
        """Put what an engine says of itself into the description, which cuts the window."""
        self._desk.listed(item.engine, item.facts.names)
        self._take_deferred()
        before, entry = self._description.get("engines", {}), item.facts.describe()
        engines = {**before, item.engine: entry}
        description = {**self._description, "engines": engines}
        name = hash_of(description)
        if name == self._name:
            return
        now = self._clocks.now()
        self._description, after = description, name
        self._close_window(now, Flag.CUT_DESCRIPTION, after)
        if self._uplink is not None:
            self._send(self._uplink.describe(description, now))
        else:
            self._spool.describe(description)
        if changed := changes(before.get(item.engine, {}), entry):
            attributes = event_attributes(changed)
            log.warning("engine changed", extra={"engine": item.engine, **attributes})
            self._event(EventKind.ENGINE_CHANGED, item.engine, Severity.WARNING, now, attributes)

    def _take_sample(self, sample: Sample) -> None:
        added, changes = self._health.sampled(sample.readings)
        readings = [*sample.readings, *added, *self._readings(), *self._own_readings()]
        self._builder.add_sample(readings)
        self._series.sampled(self._clocks.now().monotonic * 1_000_000, readings)
        if changes:
            now = self._clocks.now()
            for change in changes:
                log.warning(change.kind.replace("_", " "), extra={"engine": change.engine})
                self._event(change.kind, change.engine, change.severity, now)
                if change.kind != EventKind.ENGINE_DOWN:
                    self._came_up(change.engine)
        if self._is_young:
            self._show()
        else:
            self._show_state()

    def _own_readings(self) -> list[Reading]:
        stats = self._spool.stats()
        readings = [
            Reading(SPOOL_SIZE, stats.size // 1024),
            Reading(SPOOL_RECORDS, stats.records),
        ]
        if self._uplink is not None:
            readings.append(Reading(TRANSMIT, self._uplink.sent_bytes - self._told_sent))
            self._told_sent = self._uplink.sent_bytes
        connections = 0
        for engine, now in self._relayed().items():
            before = self._told_relayed.get(engine, Relayed(0, 0, 0, {}))
            self._told_relayed[engine] = now
            connections += now.connections
            readings.append(Reading(IN_FLIGHT, now.in_flight, engine))
            for reason, n in now.parsers_dropped.items():
                if n > before.parsers_dropped.get(reason, 0):
                    added = n - before.parsers_dropped.get(reason, 0)
                    readings.append(Reading(PARSERS_DROPPED, added, key=reason))
            self._lost["exchange.unparsed"] += max(0, now.exchanges_lost - before.exchanges_lost)
        readings.append(Reading(CONNECTIONS, connections))
        losses = self._losses()
        for reason, n in losses.items():
            if n > self._told_lost[reason]:
                readings.append(Reading(LOSSES, n - self._told_lost[reason], key=reason))
        self._told_lost = losses
        return readings

    def _losses(self) -> Counter[str]:
        return self._lost + self._spool.losses + self._other_losses()

    def _begin_window(self, now: Instant) -> None:
        self._cutter.opened(now)
        self._builder = WindowBuilder(
            now,
            order=self._spool.order,
            description=self._name,
            slots=self._spool.slots(self._name),
            length_ms=self._window_ms,
            centroids=self._centroids,
        )

    def _close_window(self, now: Instant, flags: Flag, description: bytes | None = None) -> None:
        """Close the open window and begin the next one, from here on under another description if one is given."""
        record = self._builder.build(now, flags)
        self._centroids.told()
        if self._uplink is not None:
            self._send(self._uplink.window_closed(record, now))
        else:
            self._spool.append(record)
        self._name = description or self._name
        self._begin_window(now)
        self._totals = fold_values(self._totals, record.values)
        self._recent.append(record)
        while self._recent and self._recent[0].last_boottime < now.boottime - RECENT_SECONDS * 1000:
            self._recent.popleft()
        self._show()

    def _event(
        self,
        kind: str,
        key: str,
        severity: Severity,
        now: Instant,
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        if self._uplink is not None:
            self._send(self._uplink.event(kind, key, severity, attributes or {}, now))
        else:
            self._spool.append_event(kind, key, severity, attributes, at=now)

    def _send(self, messages: list[Publish]) -> None:
        for message in messages:
            self._publish(message)

    @property
    def _is_young(self) -> bool:
        """Whether the windows that closed are less than one: what there is to show is in the open one then."""
        return sum(record.observed for record in self._recent) < min(self._window_ms, RECENT_SECONDS * 500)

    def _show_state(self) -> None:
        """Show what is true of this moment; figures follow at the window's end."""
        engines, linked = dict(self._health.states), self._linked_since
        self.snapshot = replace(self.snapshot, engines=engines, linked_since=linked)

    def _show(self) -> None:
        stats = self._spool.stats()
        records, totals = list(self._recent), self._totals
        if self._is_young:
            is_open = self._builder.build(self._clocks.now())
            records.append(is_open)
            totals = fold_values(totals, is_open.values)
        recent: Values = {}
        for record in records:
            recent = fold_values(recent, record.values)
        self.snapshot = Snapshot(
            totals=totals,
            recent=recent,
            recent_ms=sum(record.observed for record in records),
            engines=dict(self._health.states),
            spool_records=stats.records + stats.events,
            spool_bytes=stats.size,
            spool_in_memory=stats.in_memory,
            losses=dict(self._losses()),
            linked_since=self._linked_since,
        )
