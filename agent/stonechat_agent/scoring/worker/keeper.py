"""The agent's side of the scoring worker: what waits for it, when it runs, and what became of it.

A thread of its own has the worker: it starts it when there is something to judge and the conditions permit, gives it
one answer at a time, weighs it, and lets it end when it has had nothing to do for a while. Whatever the worker does,
nobody waits for it: what is offered waits within bounds, and what is lost is counted by its reason:

    score.overflow         too much waited
    score.overflow_risky   likewise, and a check of tier 0 had found something in it
    score.poison           the worker ended twice while it had this answer
    score.failed           a model failed on it
    score.unable           there is neither a model nor a guideline to judge by
    score.stopped          it waited when the agent stopped, or read other settings

A worker that crashes, hangs or takes too much memory is ended and started again after a while, the longer the more
often it happens.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

from stonechat.event import EventKind, Severity
from stonechat.exchange import Exchange, is_flagged
from stonechat.records import Series
from stonechat.values import WEIGHT_ONE
from stonechat_agent.scoring.verdict import GuidelineResult, Verdict
from stonechat_agent.scoring.worker.job import Job, texts_of
from stonechat_agent.scoring.worker.policy import Backoff, Conditions, Gate
from stonechat_agent.scoring.worker.process import Ended, Process
from stonechat_agent.scoring.worker.waiting import Waiting
from stonechat_agent.settings import Guideline, Scoring

log = logging.getLogger(__name__)

STRIKES = 2
"""Workers that an answer may cost."""
BACKLOG_COUNT = 10_000
"""Answers that may wait, however short they are."""

_KEY = "scorer"
_PATIENCE = 2.0  # seconds that a worker has to end by itself
_MOST_FAULTS = 256

OnEvent = Callable[[str, str, Severity, Mapping[str, Any]], object]
"""Takes kind, key, severity and attributes of an event."""


class Limits(NamedTuple):
    """Times in seconds."""

    look: float = 0.5
    """Between two looks at a worker that works, and at an engine that decodes."""
    run: float = 300.0
    """Processor time that one answer may take: 262,144 characters in windows, on a slow board."""
    still: float = 120.0
    """How long a worker that has an answer may neither run nor wait for a processor: then it hangs."""
    wall: float = 900.0
    """Both in one, where the system does not tell what a process does."""
    stable: float = 300.0
    """A worker that lived for so long begins the back-off anew."""
    back_off: tuple[float, ...] = (1.0, 10.0, 60.0, 600.0, 3600.0)
    unable: float = 3600.0
    """How long nothing is tried where there was nothing to judge by."""


_LIMITS = Limits()


class Stats(NamedTuple):
    """What there is to say of the worker, for status and metrics."""

    waiting: int
    """Answers that wait, ..."""
    waiting_bytes: int
    """... and the bytes that they hold."""
    pid: int | None
    """Of the worker; None while there is none."""
    memory: int | None
    """Bytes that it held when it was last weighed."""
    paused: str
    """Why it does not score now: ``decoding``, ``heat``, ``battery``, ``back_off`` or ``unable``; "" where it may."""
    scored: int
    """Answers that were judged since the start, ..."""
    deep: int
    """... and those of them that tier 2 saw."""
    restarts: int
    """Workers that did not end by themselves."""
    models: Mapping[str, str]
    """Versions of the models that judge, by name; empty until a worker has run."""
    faults: tuple[str, ...]
    """What is wrong with models and guidelines, a sentence each."""


class Keeper:
    """See the module's docstring. Every public method may be called from any thread, and none but ``stop`` waits."""

    def __init__(
        self,
        settings: Scoring,
        guidelines: Sequence[Guideline] = (),
        *,
        on_verdict: Callable[[Verdict], object],
        on_event: OnEvent,
        in_flight: Callable[[], int],
        random: Callable[[], float],
        limits: Limits = _LIMITS,
        start: Callable[[], Process] = Process,
    ) -> None:
        """
        Args:
            on_verdict: takes what was found, on the keeper's thread; must not wait.
            on_event: takes what happened to the worker, likewise.
            in_flight: how many exchanges the engines are busy with at this moment; asked before each answer.
            random: a number in [0, 1).
            start: starts a worker, on the keeper's thread.
        """
        self._settings = settings
        self._first = {"models": list(settings.models), "guidelines": [asdict(one) for one in guidelines]}
        self._severities = {one.name: one.severity for one in guidelines}
        self._on_verdict = on_verdict
        self._on_event = on_event
        self._in_flight = in_flight
        self._limits = limits
        self._start = start
        # Windows has neither posix_spawn nor sockets that a child inherits.
        self._enabled = settings.enabled and hasattr(os, "posix_spawn")

        self._changed = threading.Condition()
        # Under the condition's lock, which nobody holds while waiting for anything else:
        self._waiting = Waiting(
            sample=settings.sample,
            max_bytes=settings.max_backlog_bytes,
            max_count=BACKLOG_COUNT,
            random=random,
        )
        self._gate = Gate(
            always=settings.when == "always",
            max_temperature=settings.max_temperature,
            min_battery=settings.min_battery,
        )
        self._unjudged: Counter[str] = Counter()  # of answers that were never let wait
        self._restarts = 0
        self._unable_until = 0.0
        self._stopping = not self._enabled

        # The keeper's thread's own; others read single values of it:
        self._worker: Process | None = None
        self._memory: int | None = None
        self._weighed = self._worked = 0.0  # when it was, and when it last had an answer to judge
        self._paused = ""
        self._models: Mapping[str, str] = {}
        self._faults: tuple[str, ...] = ()
        self._backoff = Backoff(limits.back_off, limits.stable)
        self._retry_at = 0.0
        self._gave_up = False
        self._thread = threading.Thread(target=self._run, name="scoring", daemon=True)

    def start(self) -> None:
        """Begin. The worker is started when there is something to judge."""
        if self._enabled:
            self._thread.start()

    def stop(self, timeout_seconds: float = 5.0) -> bool:
        """End the worker, let go of what waits, and return whether that was done in time."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread.ident is None:
            return True
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def offer(self, exchange: Exchange) -> bool:
        """Let an exchange's answer be judged, whose ``id``, model and findings are set; returns whether it will be.

        The texts are copied: what becomes of the exchange is the caller's to say. Never waits.
        """
        texts = texts_of(exchange) if self._enabled else None
        if texts is None:
            return False
        model = exchange.response_model or exchange.request_model or ""
        series = Series(exchange.engine, model, exchange.operation.value)
        with self._changed:
            if self._stopping:
                return False
            if time.monotonic() < self._unable_until:
                self._unjudged["score.unable"] += 1
                return False
            waits = self._waiting.add(exchange.id, series, texts, risky=is_flagged(exchange.findings))
            if len(self._waiting) == 1:  # with more, the thread is at work already, or looks again by itself
                self._changed.notify()
        return waits

    def conditions(
        self, temperature_c: float | None, battery_percent: float | None, on_battery: bool | None
    ) -> None:
        """Take what a sample tells of heat and battery; None where it tells nothing."""
        with self._changed:
            self._gate.tell(Conditions(temperature_c, battery_percent, on_battery), time.monotonic())

    def losses(self) -> Counter[str]:
        """What was lost since the start, by reason; see the module's docstring. Only grows."""
        with self._changed:
            return self._waiting.losses + self._unjudged

    def stats(self) -> Stats:
        """What waits, what was done, and how the worker is."""
        worker = self._worker
        with self._changed:
            return Stats(
                waiting=len(self._waiting),
                waiting_bytes=self._waiting.bytes,
                pid=worker.pid if worker is not None else None,
                memory=self._memory if worker is not None else None,
                paused=self._paused,
                scored=self._waiting.scored,
                deep=self._waiting.deep,
                restarts=self._restarts,
                models=self._models,
                faults=self._faults,
            )

    # The keeper's own thread from here on

    def _run(self) -> None:
        try:
            while (job := self._next()) is not None:
                try:
                    self._give(job)
                except Exception:
                    # A fault of ours costs this answer its verdict and begins with another worker.
                    log.exception("scoring failed")
                    self._lost(job, "failed")
                    self._failed("fault")
        finally:
            with self._changed:
                self._stopping = True
                self._waiting.lose(self._waiting.clear(), "stopped")
            self._end_worker(patience=0.0)

    def _next(self) -> Job | None:
        """Wait until an answer may be judged, and return it; None when it is time to stop."""
        while True:
            in_flight = self._in_flight()
            with self._changed:
                now = time.monotonic()
                if self._stopping:
                    return None
                self._paused = self._why_not(in_flight, now)
                if not self._paused and (job := self._waiting.take()) is not None:
                    return job
                pause = self._pause(now)
                if pause != 0:
                    self._changed.wait(pause)
                    continue
            # Whether nothing came or nothing may be judged: memory that is not used is given back.
            self._end_worker(patience=_PATIENCE)

    def _why_not(self, in_flight: int, now: float) -> str:
        if now < self._unable_until:
            return "unable"
        return "back_off" if now < self._retry_at else self._gate.why_not(in_flight, now)

    def _pause(self, now: float) -> float | None:
        """Seconds until there is something to look at; None where only what comes can change anything."""
        pauses = [self._limits.look] if len(self._waiting) else []
        if self._worker is not None:
            pauses.append(max(0.0, self._worked + self._settings.exit_after_ns / 1e9 - now))
        return min(pauses, default=None)

    def _give(self, job: Job) -> None:
        """Have an answer judged, and tell what came of it."""
        has_it = False
        verdict = None
        try:
            worker = self._ready()
            has_it = True
            found = self._ask(worker, job.request())
            if found.get("id") != job.seq:
                raise Ended("garbled")
            if "failed" not in found:
                self._hear(found)
                verdict = self._verdict(job, found)
        except Ended as error:
            if self._stopping:
                self._lost(job, "stopped")
                return
            self._failed(str(error))
            job.strikes += has_it
            self._again(job)
            return
        self._worked = time.monotonic()
        if verdict is None:
            # What went wrong is the worker's to say, by a word: it has the texts.
            log.warning("answer not scored", extra={"exchange": job.id, "error": str(found["failed"])[:64]})
            self._lost(job, "failed")
        elif not self._models and not self._severities:
            self._unable_to_judge(job)
        elif verdict.tier or verdict.guidelines:
            try:
                self._on_verdict(verdict)
            except Exception:
                log.exception("verdict not taken")
        if self._worked - self._weighed >= self._limits.look:
            try:
                self._weigh(worker)
            except Ended as error:
                self._failed(str(error))

    def _ready(self) -> Process:
        """The worker, started if there is none. Raises Ended."""
        if self._worker is not None:
            if not self._worker.is_alive():
                raise Ended("ended")
            return self._worker
        try:
            worker = self._worker = self._start()
        except OSError as error:
            raise Ended("not_started") from error
        self._worked = time.monotonic()
        hello = self._ask(worker, self._first)
        if not hello.get("ready"):
            raise Ended("garbled")
        self._hear(hello)
        return worker

    def _ask(self, worker: Process, message: dict[str, Any]) -> dict[str, Any]:
        """Return the worker's answer. Raises Ended also where it takes too long for it, or too much memory."""
        limits = self._limits
        begun = moved = time.monotonic()
        before = last = worker.activity()

        def look() -> None:
            nonlocal moved, last
            if self._stopping:
                raise Ended("stopping")
            self._weigh(worker)
            now, activity = time.monotonic(), worker.activity()
            if activity is None or before is None:
                if now - begun > limits.wall:
                    raise Ended("hung")
                return
            if activity.is_ready or activity != last:
                moved, last = now, activity
            if activity.ran - before.ran > limits.run or now - moved > limits.still:
                raise Ended("hung")

        return worker.ask(message, look, self._limits.look)

    def _weigh(self, worker: Process) -> None:
        self._weighed = time.monotonic()
        self._memory = worker.memory()
        if self._memory is not None and self._memory > self._settings.max_memory_bytes:
            raise Ended("memory")

    def _verdict(self, job: Job, found: Mapping[str, Any]) -> Verdict:
        """Read what a worker found. Raises Ended where it is not what a worker says."""
        try:
            deep = bool(found["deep"])
            tier = int(found["tier"])
            verdict = Verdict(
                id=job.id,
                engine=job.series.engine,
                model=job.series.model,
                operation=job.series.operation,
                tier=tier,
                weight=0,
                scores={str(head): float(score) for head, score in found.get("scores", {}).items()},
                withheld={str(head): str(why) for head, why in found.get("withheld", {}).items()},
                flags=tuple(map(str, found.get("flags", ()))),
                guidelines=tuple(
                    GuidelineResult(name, self._severities[name], float(score), bool(broken), str(why))
                    for name, score, broken, why in found.get("guidelines", ())
                ),
                embedding=tuple(map(int, found.get("embedding", ()))),
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            raise Ended("garbled") from None
        if self._gave_up:
            self._gave_up = False
            self._on_event(EventKind.SCORER_BACK, _KEY, Severity.INFO, {})
        with self._changed:
            weight = WEIGHT_ONE * self._waiting.weigh(job, tier, deep=deep)
        return verdict._replace(weight=weight)

    def _hear(self, said: Mapping[str, Any]) -> None:
        """Take what a worker says of models and faults; each fault is told once, however many workers say it."""
        models, faults = said.get("models", self._models), said.get("faults", ())
        if not isinstance(models, Mapping) or not isinstance(faults, Sequence):
            raise Ended("garbled")
        self._models = {str(name): str(version) for name, version in models.items()}
        new = [str(fault) for fault in faults if fault not in self._faults]
        self._faults = (*self._faults, *new)[:_MOST_FAULTS]
        for fault in new:
            log.error("scoring impaired", extra={"fault": fault})
        if new:
            attributes = {"faults": len(self._faults)}
            self._on_event(EventKind.SCORER_IMPAIRED, _KEY, Severity.WARNING, attributes)

    def _unable_to_judge(self, job: Job) -> None:
        """There is nothing to judge by: neither keep a worker nor let answers wait for it."""
        with self._changed:
            self._unable_until = time.monotonic() + self._limits.unable
            # Not lost as others are: what is judged hours later cannot stand for them.
            self._unjudged["score.unable"] += 1 + len(self._waiting.clear())
        self._end_worker(patience=_PATIENCE)

    def _failed(self, reason: str) -> None:
        """End a worker that is of no use any more, and say when the next one comes."""
        worker, memory = self._worker, self._memory
        lived = time.monotonic() - worker.started if worker is not None else 0.0
        self._end_worker(patience=0.0 if reason != "ended" else _PATIENCE)
        attributes: dict[str, Any] = {"reason": reason}
        if reason == "ended" and worker is not None and worker.status is not None:
            attributes["status"] = worker.status  # of a signal its negative number
            if worker.status < 0:
                attributes["reason"] = "killed" if worker.status == -signal.SIGKILL else "crashed"
        kind = EventKind.SCORER_RESTARTED
        if reason == "memory" and memory is not None:
            kind = EventKind.SCORER_OVER_MEMORY
            attributes = {"memory": memory, "max_memory": self._settings.max_memory_bytes}
        wait, rises, is_last = self._backoff.failed(lived)
        attributes["wait_seconds"] = wait
        severity = Severity.WARNING
        with self._changed:
            self._restarts += 1
            self._retry_at = time.monotonic() + wait
        if is_last:
            kind, severity, self._gave_up = EventKind.SCORER_GAVE_UP, Severity.CRITICAL, True
            attributes = {"reason": attributes.get("reason", reason), "wait_seconds": wait}
        if rises:
            log.warning(kind.replace("_", " "), extra=attributes)
            self._on_event(kind, _KEY, severity, attributes)

    def _again(self, job: Job) -> None:
        """Let an answer wait again that a worker left, unless it is what workers die of."""
        if job.strikes >= STRIKES:
            self._lost(job, "poison")
            return
        with self._changed:
            self._waiting.put_back(job)

    def _lost(self, job: Job, reason: str) -> None:
        with self._changed:
            self._waiting.lose([job], reason)

    def _end_worker(self, patience: float) -> None:
        worker, self._worker, self._memory = self._worker, None, None
        if worker is not None:
            worker.end(patience)
