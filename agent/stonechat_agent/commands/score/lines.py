"""Lines of an input as they come: in batches, without waiting for what is not there yet, and bounded.

A thread reads ahead, so that the next lines are here when the last ones are done.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

MOST_BYTES = 32 << 20
"""Bytes of a line beyond which it is not kept."""

_READ = 256 << 10
_AHEAD_BYTES = 4 << 20


class Line(NamedTuple):
    """A line without its end."""

    number: int
    """From 1; lines that are blank count."""
    content: bytes | None
    """None for one of more than `MOST_BYTES`."""


class Lines:
    """Reads lines of a file descriptor."""

    def __init__(self, descriptor: int, most_bytes: int = MOST_BYTES) -> None:
        self._descriptor = descriptor
        self._most = most_bytes
        self._waiting: deque[Line] = deque()
        self._bytes = 0
        self._has_ended = False
        self._error: OSError | None = None
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, name="score.lines", daemon=True)
        self._thread.start()

    def batch(self, most: int, most_bytes: int, patience: float) -> list[Line]:
        """Return the next lines: at least one, unless the input has ended; then, none.

        Args:
            most: lines.
            most_bytes: of the lines together; a longer one comes alone.
            patience: seconds to wait for more, once there is one.

        Raises:
            OSError: the input could not be read, after all lines that could.
        """
        found: list[Line] = []
        size = 0
        until = 0.0
        with self._changed:
            while len(found) < most:
                self._changed.wait_for(self._has_news, until - time.monotonic() if found else None)
                if not self._waiting or (found and size + _size(self._waiting[0]) > most_bytes):
                    break
                if not found:
                    until = time.monotonic() + patience
                line = self._waiting.popleft()
                found.append(line)
                size += _size(line)
                self._bytes -= _size(line)
                self._changed.notify_all()
            if not found and self._error is not None:
                raise self._error
        return found

    def _has_news(self) -> bool:
        return bool(self._waiting) or self._has_ended

    def _read(self) -> None:
        try:
            for line in self._lines():
                with self._changed:
                    self._changed.wait_for(lambda: self._bytes < _AHEAD_BYTES)
                    self._waiting.append(line)
                    self._bytes += _size(line)
                    self._changed.notify_all()
        except OSError as error:
            self._error = error
        finally:
            with self._changed:
                self._has_ended = True
                self._changed.notify_all()

    def _lines(self) -> Iterator[Line]:
        number = 1
        parts: list[bytes] = []
        size = 0
        while data := self._next():
            *whole, rest = data.split(b"\n")
            for piece in whole:
                size += len(piece)
                yield Line(number, None if size > self._most else b"".join([*parts, piece]))
                number, parts, size = number + 1, [], 0
            size += len(rest)
            if size > self._most:
                parts = []  # it goes on, and nobody will want it
            elif rest:
                parts.append(rest)
        if size:
            yield Line(number, None if size > self._most else b"".join(parts))

    def _next(self) -> bytes:
        while True:
            try:
                return os.read(self._descriptor, _READ)
            except BlockingIOError:
                # Whoever started us shares this input, and has it not block.
                select.select([self._descriptor], [], [])


def _size(line: Line) -> int:
    return len(line.content or b"") + 64
