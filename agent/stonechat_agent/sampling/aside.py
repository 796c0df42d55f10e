"""A source that may hang (a network file system, a GPU's driver), read in a thread of its own.

The sampler asks and waits a moment for the answer; a later answer is given at a later sample. While the source does
not answer, its gauges keep their last value for a short time and then there is none: unknown, not old.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable

from stonechat.catalog import BY_ID, Kind

from .reading import Hung, Pending, Reading, Source

log = logging.getLogger(__name__)

PATIENCE_S = 0.02
"""How long a sample waits for an answer: most come in time to belong to their own sample."""
FRESH_NS = 3_000_000_000
HANGS_NS = 10_000_000_000


class Aside:
    """A source around another one, which is opened, read and closed in one helper thread and nowhere else.

    While a helper is stuck in the source no second one is started, however often this is opened.
    """

    def __init__(
        self,
        source: Source,
        *,
        patience_s: float = PATIENCE_S,
        fresh_ns: int = FRESH_NS,
        hangs_ns: int = HANGS_NS,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.name = source.name
        self._source = source
        self._patience_s = patience_s
        self._fresh_ns = fresh_ns
        self._hangs_ns = hangs_ns
        self._clock_ns = clock_ns
        self._helper: _Helper | None = None
        self._gauges: tuple[Reading, ...] = ()
        self._answered_ns: int | None = None

    def open(self) -> None:
        """Start the helper. It opens the source before its first read, so that read tells what is absent."""
        if self._helper is not None and self._helper.is_alive():
            raise Hung(f"{self.name} still does not answer")
        self._gauges, self._answered_ns = (), None
        self._helper = _Helper(self._source, self._clock_ns)
        self._helper.start()

    def read(self, now_ns: int) -> Iterable[Reading]:
        helper = self._helper
        assert helper is not None, "read before open"
        helper.ask(now_ns)
        answer = helper.answer(self._patience_s)
        if answer is None:
            waited_ns = helper.waiting_ns()
            if waited_ns > self._hangs_ns:
                raise Hung(f"{self.name} has not answered for {waited_ns // 1_000_000_000} s")
            if self._answered_ns is None:
                raise Pending(f"{self.name} has not answered yet")
            return self._gauges if self._clock_ns() - self._answered_ns <= self._fresh_ns else ()
        if isinstance(answer, Exception):
            raise answer
        self._gauges = tuple(reading for reading in answer if BY_ID[reading.metric].kind is Kind.GAUGE)
        self._answered_ns = self._clock_ns()
        return answer

    def close(self) -> None:
        """Let the helper close the source and end. It is not waited for longer than for an answer."""
        if self._helper is not None:
            self._helper.stop()
            self._helper.join(self._patience_s)


class _Helper(threading.Thread):
    """Answers one question at a time. An answer stays until it is taken, so no increment is given twice or lost."""

    def __init__(self, source: Source, clock_ns: Callable[[], int]) -> None:
        # A daemon: a driver that never returns must not keep the agent from ending.
        super().__init__(name=f"sampling.{source.name}", daemon=True)
        self._source = source
        self._clock_ns = clock_ns
        self._changed = threading.Condition()
        self._question: int | None = None
        self._asked_ns = 0
        self._answer: list[Reading] | Exception | None = None
        self._stopping = False

    def ask(self, now_ns: int) -> None:
        with self._changed:
            if self._question is None and self._answer is None:
                self._question = now_ns
                self._asked_ns = self._clock_ns()
                self._changed.notify_all()

    def answer(self, patience_s: float) -> list[Reading] | Exception | None:
        with self._changed:
            self._changed.wait_for(lambda: self._answer is not None, patience_s)
            answer, self._answer = self._answer, None
            return answer

    def waiting_ns(self) -> int:
        with self._changed:
            return 0 if self._question is None else self._clock_ns() - self._asked_ns

    def stop(self) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def run(self) -> None:
        opened = False
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopping or self._question is not None)
                if self._stopping:
                    break
                question = self._question
            assert question is not None
            answer: list[Reading] | Exception
            try:
                if not opened:
                    self._source.open()
                    opened = True
                answer = list(self._source.read(question))
            except Exception as error:
                answer = error
            with self._changed:
                self._question = None
                self._answer = answer
                self._changed.notify_all()
        try:
            self._source.close()
        except Exception as error:
            log.warning("source not closed", extra={"source": self._source.name, "reason": repr(error)})
