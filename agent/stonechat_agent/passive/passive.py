"""Asks the engines about themselves, in a thread of its own: one question at a time, each bounded (``get``).

What is asked is in ``asking``, when in ``schedule``. The rules behind both: never wake, load, block or keep awake an
engine, and never let questions pile up at one that does not answer.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from stonechat.catalog import metric_id
from stonechat_agent.sampling.reading import Reading

from . import parsers
from .asking import ask
from .facts import Facts, join
from .get import TIMEOUT_SECONDS, Hung, NoAnswer, Unreached, get
from .parsers import Answer
from .schedule import Schedule

log = logging.getLogger(__name__)

BUSY = metric_id("stonechat.engine.slots.busy")
TOTAL = metric_id("stonechat.engine.slots.total")

FRESH_SECONDS = 3.0
"""How long a number of busy slots may stand for now."""
UNREACHED_SECONDS = 20.0
SLOTS_SECONDS = 5.0
"""Until an engine that did not tell its slots is asked for them again; doubled each time."""
SLOTS_MOST_SECONDS = 300.0


class Watched(NamedTuple):
    """An engine to ask."""

    name: str
    host: str
    port: int
    key: str = ""
    """Its API key, where it wants one."""


class _State:
    """What is known of one engine. Guarded by ``Passive``'s lock; the schedule too."""

    def __init__(self, engine: Watched, now: float) -> None:
        self.engine = engine
        self.schedule = Schedule(now)
        self.facts: Facts | None = None
        self.renewed = True  # it came up since it was last asked: its kind may be another
        self.told: object = None
        self.slots_wanted = False
        self.busy = 0
        self.busy_at: float | None = None
        self.slots_rest = 0.0  # not asked for its slots before
        self.slots_wait = 0.0
        self.unheard = ""  # the reason that was logged last
        self.unreached: float | None = None  # since when nobody listens at its address


class Passive:
    """See the module's docstring. All methods may be called from any thread and never wait for an engine."""

    def __init__(
        self,
        engines: Iterable[Watched],
        on_facts: Callable[[str, Facts], None],
        in_flight: Callable[[str], int],
        *,
        on_unreached: Callable[[str], object] = lambda _: None,
        monotonic: Callable[[], float] = time.monotonic,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        """``on_facts`` is called by the thread with an engine's name and facts, when what ``Facts.describe`` gives, or
        ``Facts.names``, is new. ``in_flight`` tells the requests to an engine that are under way."""
        self._on_facts = on_facts
        self._in_flight = in_flight
        self._on_unreached = on_unreached
        self._monotonic = monotonic
        self._timeout_seconds = timeout_seconds
        now = monotonic()
        self._states = {engine.name: _State(engine, now) for engine in engines}
        self._changed = threading.Condition()
        self._stopping = False
        # A daemon: resolving a name may take longer than the agent's end may.
        self._thread = threading.Thread(target=self._run, name="passive", daemon=True)

    def start(self) -> None:
        """Begin: each engine is asked at once."""
        if self._states:
            self._thread.start()

    def stop(self, timeout_seconds: float = 2.0) -> None:
        """End. A question that is under way is waited for."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)

    def came_up(self, engine: str) -> None:
        """Tell that an engine was started, or was started anew."""
        with self._changed:
            state = self._states.get(engine)
            if state is not None:
                state.renewed = True
                state.busy_at = None
                state.schedule.came_up(self._monotonic())
                self._changed.notify_all()

    def used(self, engine: str) -> None:
        """Tell that an engine answered a request."""
        with self._changed:
            state = self._states.get(engine)
            if state is None or state.schedule.due is not None:
                return
            if state.facts is not None and state.facts.kind in {"mlx", "unknown"}:
                return  # it has told what it ever tells, and mlx_lm reads the disk for it
            state.schedule.used(self._monotonic())
            self._changed.notify_all()

    def facts(self, engine: str) -> Facts | None:
        """What is known of an engine; None while nothing is."""
        with self._changed:
            state = self._states.get(engine)
            return state.facts if state is not None else None

    def readings(self) -> list[Reading]:
        """What a sample tells of the engines' slots.

        Call it with each sample: where requests are under way it has the engine asked for its busy slots, and gives
        them with the next one. While there are none the engine is not asked, and how many are busy is unknown.
        """
        found: list[Reading] = []
        now = self._monotonic()
        with self._changed:
            for name, state in self._states.items():
                facts = state.facts
                if facts is None or facts.slots is None:
                    continue
                found.append(Reading(TOTAL, facts.slots, name))
                if not facts.slots_readable or self._in_flight(name) <= 0:
                    state.busy_at = None
                    continue
                if state.busy_at is not None and now - state.busy_at <= FRESH_SECONDS:
                    found.append(Reading(BUSY, state.busy, name))
                if not state.slots_wanted and now >= state.slots_rest:
                    state.slots_wanted = True
                    self._changed.notify_all()
        return found

    # The thread's own from here on

    def _run(self) -> None:
        while True:
            with self._changed:
                state = self._next()
                while state is None:
                    self._changed.wait(self._until_due())
                    state = self._next()
                if self._stopping:
                    return
                slots = state.slots_wanted
                state.slots_wanted = False
            try:
                if slots:
                    self._ask_slots(state)
                else:
                    self._ask(state)
            except Exception:
                # A fault of ours costs these facts, for a while, and nothing else.
                log.exception("engine not asked", extra={"engine": state.engine.name})
                with self._changed:
                    state.schedule.hung(self._monotonic())

    def _next(self) -> _State | None:
        """Which engine to ask now: for its slots first, which are of this moment."""
        states = list(self._states.values())
        if self._stopping:
            return states[0]
        now = self._monotonic()
        for state in states:
            if state.slots_wanted:
                return state
        due = [state for state in states if state.schedule.due is not None and state.schedule.due <= now]
        return min(due, key=lambda state: state.schedule.due or 0.0) if due else None

    def _until_due(self) -> float | None:
        due = [state.schedule.due for state in self._states.values() if state.schedule.due is not None]
        return max(0.0, min(due) - self._monotonic()) if due else None

    def _get(self, engine: Watched, path: str) -> Answer:
        return get(engine.host, engine.port, path, key=engine.key, timeout_seconds=self._timeout_seconds)

    def _ask(self, state: _State) -> None:
        engine = state.engine
        with self._changed:
            kind = state.facts.kind if state.facts is not None and not state.renewed else None
            renewed, state.renewed = state.renewed, False
        try:
            facts = ask(lambda path: self._get(engine, path), engine.port, kind)
        except NoAnswer as error:
            with self._changed:
                # Another engine may answer at this address by now.
                state.renewed = True
                if isinstance(error, Hung):
                    state.schedule.hung(self._monotonic())
                else:
                    state.schedule.not_ready(self._monotonic())
                now = self._monotonic()
                if not isinstance(error, Unreached):
                    state.unreached = None
                elif state.unreached is None:
                    state.unreached = now
                gone = state.unreached is not None and now - state.unreached >= UNREACHED_SECONDS
                told, state.unheard = state.unheard, str(error)
            if told != str(error):
                log.info("engine told nothing", extra={"engine": engine.name, "reason": str(error)})
            if gone:
                self._on_unreached(engine.name)
            return
        with self._changed:
            now = self._monotonic()
            state.unheard = ""
            state.unreached = None
            if facts.loading:
                state.schedule.not_ready(now)
                state.renewed = state.renewed or renewed
                if state.facts is not None:
                    return  # what it was is the best that is known until it can tell
            else:
                # What came up while this was asked has to be asked again.
                if not state.renewed:
                    state.schedule.answered(now)
                facts = join(None if renewed else state.facts, facts)
            state.facts = facts
            told_now = (facts.describe(), facts.names)
            if told_now == state.told:
                return
            state.told = told_now
        self._on_facts(engine.name, facts)

    def _ask_slots(self, state: _State) -> None:
        engine = state.engine
        # It may have come to its end since the sample, and reading an idle engine would keep it awake.
        if self._in_flight(engine.name) <= 0:
            return
        try:
            slots = parsers.llamacpp_slots(self._get(engine, "/slots"))
        except NoAnswer:
            slots = None
        with self._changed:
            now = self._monotonic()
            if slots is None:
                # It loads its model again, or answers nothing while it reads a prompt: questions would pile up there.
                state.busy_at = None
                state.slots_wait = min(SLOTS_MOST_SECONDS, state.slots_wait * 2 or SLOTS_SECONDS)
                state.slots_rest = now + state.slots_wait
            else:
                state.busy, _ = slots
                state.busy_at = now
                state.slots_wait = 0.0


def key_of(text: str) -> str:
    """Return the API key that the content of a file is.

    Raises:
        ValueError: it is empty, or has what cannot stand in a header.
    """
    key = text.strip()
    if not key or not key.isascii() or not key.isprintable():
        raise ValueError("an API key must be one line of visible ASCII characters")
    return key
