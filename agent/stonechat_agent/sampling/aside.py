"""A source that may hang (a network file system, a GPU's driver, a sensor behind a bus), read in another thread.

The sampler asks all of them, reads the rest, and then waits a moment for their answers; a later answer is given at a
later sample. While a source does not answer, its gauges keep their last value for a short time and then there is none:
unknown, not old. One thread serves them all: it is relieved by another one as soon as one of them hangs.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable

from stonechat.catalog import BY_ID, Kind

from .reading import Hung, Pending, Reading, Source

log = logging.getLogger(__name__)

PATIENCE_S = 0.02
"""How long a sample waits for an answer: most come in time to belong to their own sample."""
FRESH_NS = 3_000_000_000
HANGS_NS = 10_000_000_000


class Crew:
    """The threads that wait in the sampler's place: one at work, and those that are stuck in a source.

    Jobs are done in the order in which they were put, one at a time, unless one hangs: ``relieve`` leaves its thread
    to it and goes on with the next job in another. There are as many threads as stuck sources, and one more.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        """Held to look at what a job answers."""
        self._changed = threading.Condition(self.lock)
        self._jobs: deque[Callable[[], None]] = deque()
        self._members = 0
        self._shift = 0
        self._working = self._busy = False

    def enter(self) -> None:
        """Keep the thread, which ends when all have left."""
        with self.lock:
            self._members += 1

    def leave(self) -> None:
        with self.lock:
            self._members -= 1
            self._changed.notify_all()

    def put(self, job: Callable[[], None]) -> None:
        """Have a job done. It must raise nothing."""
        with self.lock:
            self._jobs.append(job)
            if self._working:
                self._changed.notify_all()
            else:
                self._start()

    def relieve(self) -> None:
        """Let another thread do the jobs that wait for one that hangs."""
        with self.lock:
            if self._busy and self._jobs:
                self._start()

    def _start(self) -> None:
        self._shift += 1
        self._working, self._busy = True, False
        # A daemon: a driver that never returns must not keep the agent from ending.
        threading.Thread(target=self._run, args=(self._shift,), name="sampling.aside", daemon=True).start()

    def _run(self, shift: int) -> None:
        while True:
            with self.lock:
                self._changed.wait_for(lambda: shift != self._shift or self._jobs or not self._members)
                if shift != self._shift:
                    return
                if not self._jobs:
                    self._working = False
                    return
                job = self._jobs.popleft()
                self._busy = True
            job()
            with self.lock:
                if shift != self._shift:
                    return
                self._busy = False


class Aside:
    """A source around another one, which is opened, read and closed by the crew and nowhere else.

    While the crew is stuck in the source it is asked nothing more, however often this is opened.
    """

    def __init__(
        self,
        source: Source,
        crew: Crew | None = None,
        *,
        patience_s: float = PATIENCE_S,
        fresh_ns: int = FRESH_NS,
        hangs_ns: int = HANGS_NS,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.name = source.name
        self._source = source
        self._crew = crew or Crew()
        self._lock = self._crew.lock
        # Of its own: who waits for one answer is not woken by the others'.
        self._answered = threading.Condition(self._lock)
        self._patience_s = patience_s
        self._fresh_ns = fresh_ns
        self._hangs_ns = hangs_ns
        self._clock_ns = clock_ns
        self._entered = False
        # Under the crew's lock: the question under way, whether somebody is at it, and the answer, which stays until
        # it is taken, so that no increment is given twice or lost.
        self._question: int | None = None
        self._asked_ns = 0
        self._begun = False
        self._answer: list[Reading] | Exception | None = None
        self._closing = False
        self._source_open = False
        self._gauges: tuple[Reading, ...] = ()
        self._answered_ns: int | None = None

    def open(self) -> None:
        """Get ready. The source itself is opened before its first read, so that read tells what is absent."""
        with self._lock:
            if self._question is not None:
                raise Hung(f"{self.name} still does not answer")
            self._answer, self._closing = None, False
        self._gauges, self._answered_ns = (), None
        if not self._entered:
            self._entered = True
            self._crew.enter()

    def ask(self, now_ns: int) -> None:
        """Have the source read, unless a question is under way or an answer waits to be taken."""
        with self._lock:
            if self._question is None and self._answer is None:
                self._question, self._begun = now_ns, False
                self._asked_ns = self._clock_ns()
                self._crew.put(self._work)

    def read(self, now_ns: int) -> Iterable[Reading]:
        self.ask(now_ns)
        with self._lock:
            # What was asked at an earlier sample has been waited for.
            patience_s = self._patience_s if self._question == now_ns else 0.0
            self._answered.wait_for(lambda: self._answer is not None, min(patience_s, PATIENCE_S))
            if self._answer is None and not self._begun:
                self._crew.relieve()
            self._answered.wait_for(lambda: self._answer is not None, patience_s)
            answer, self._answer = self._answer, None
            waited_ns = 0 if self._question is None else self._clock_ns() - self._asked_ns
        if answer is None:
            if waited_ns > self._hangs_ns:
                raise Hung(f"{self.name} has not answered for {waited_ns // 1_000_000_000} s")
            if self._answered_ns is None:
                raise Pending(f"{self.name} has not answered yet")
            return self._gauges if self._clock_ns() - self._answered_ns <= self._fresh_ns else ()
        if isinstance(answer, Exception):
            raise answer
        gauges = tuple(reading for reading in answer if BY_ID[reading.metric].kind is Kind.GAUGE)
        self._gauges = gauges
        self._answered_ns = self._clock_ns()
        return answer

    def close(self) -> None:
        """Have the source closed. It is not waited for longer than for an answer."""
        with self._lock:
            if self._question is not None:
                self._closing = True
            elif self._source_open:
                self._crew.put(self._close_source)
                self._answered.wait_for(lambda: not self._source_open, self._patience_s)
        if self._entered:
            self._entered = False
            self._crew.leave()

    def _work(self) -> None:
        with self._lock:
            self._begun = True
            question = self._question
            skip = self._closing and not self._source_open
        assert question is not None
        answer: list[Reading] | Exception = []
        if not skip:
            try:
                if not self._source_open:
                    self._source_open = True
                    self._source.open()
                answer = list(self._source.read(question))
            except Exception as error:
                answer = error
        with self._lock:
            closing = self._closing
        if closing:
            self._close_source()
        with self._lock:
            self._question = None
            self._answer = None if closing else answer
            self._answered.notify_all()

    def _close_source(self) -> None:
        if self._source_open:
            try:
                self._source.close()
            except Exception as error:
                log.warning("source not closed", extra={"source": self.name, "reason": repr(error)})
        with self._lock:
            self._source_open = False
            self._answered.notify_all()
