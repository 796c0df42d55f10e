"""The owner's own regular expressions, each used until a text takes it too long.

``re`` backtracks: some patterns need a time that grows exponentially with a text. So each pattern has a quarter of a
second of processor time for a text, and is switched off when it needs more. In the main thread a search is interrupted
at that time, since ``re`` looks at signals; in another thread it cannot be, and the time is looked at after each piece.
"""

from __future__ import annotations

import re
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType

PATIENCE_SECONDS = 0.25
PIECE = 16_384
OVERLAP = 512


class _TooLong(Exception):
    """A pattern has used up its time."""


class Patterns:
    """Regular expressions by name. A text is searched in pieces of 16,384 characters that overlap by 512."""

    def __init__(self, patterns: Mapping[str, str]) -> None:
        """
        Raises:
            re.error: one of them is none.
        """
        self._patterns = {name: re.compile(pattern) for name, pattern in patterns.items()}
        self._switched_off: list[str] = []

    @property
    def names(self) -> tuple[str, ...]:
        """Those that are in use."""
        return tuple(self._patterns)

    @property
    def switched_off(self) -> tuple[str, ...]:
        """Names of those that took too long and are not used any more."""
        return tuple(self._switched_off)

    def found(self, name: str, text: str) -> bool | None:
        """Tell whether a pattern matches in a text; None where it is off, by now or since before."""
        pattern = self._patterns.get(name)
        if pattern is None:
            return None
        found = False

        def search(start: int, end: int) -> bool:
            nonlocal found
            found = pattern.search(text, start, end) is not None
            return found

        return found if self._each_piece(name, text, search) else None

    def spans(self, name: str, text: str) -> list[tuple[int, int]]:
        """Return start and end of what a pattern matches in a text, but for empty matches.

        A match may come twice where pieces overlap, and one that is longer than that may be missed. Of a pattern that
        took too long, what it had found by then.
        """
        pattern = self._patterns.get(name)
        spans: list[tuple[int, int]] = []
        if pattern is None:
            return spans

        def search(start: int, end: int) -> bool:
            spans.extend(
                match.span() for match in pattern.finditer(text, start, end) if match.end() > match.start()
            )
            return False

        self._each_piece(name, text, search)
        return spans

    def _each_piece(self, name: str, text: str, search: Callable[[int, int], bool]) -> bool:
        """Search piece by piece until one says that it is enough; False where the pattern was switched off for it."""
        deadline = time.thread_time() + PATIENCE_SECONDS
        try:
            with _interrupted_after(PATIENCE_SECONDS):
                for at in range(0, max(1, len(text) - OVERLAP), PIECE - OVERLAP):
                    enough = search(at, at + PIECE)
                    if time.thread_time() > deadline:
                        raise _TooLong
                    if enough:
                        break
        except _TooLong:
            del self._patterns[name]
            self._switched_off.append(name)
            return False
        return True


class _Alarm:
    """Raises `_TooLong` in the main thread; rung too late, after the search, it interrupts nothing."""

    def __init__(self) -> None:
        self.armed = True

    def ring(self, number: int, frame: FrameType | None) -> None:
        if self.armed:
            self.armed = False
            raise _TooLong


@contextmanager
def _interrupted_after(seconds: float) -> Iterator[None]:
    """Raise `_TooLong` in the block once this process has used so much processor time; only in the main thread."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return
    alarm = _Alarm()
    # Not ITIMER_REAL: a process at idle priority may wait for seconds, and that is not the pattern's fault.
    before = signal.signal(signal.SIGVTALRM, alarm.ring)
    try:
        signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
        yield
    finally:
        alarm.armed = False
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, signal.SIG_DFL if before is None else before)
