"""Newline-delimited JSON, as Ollama streams it: the lines, from pieces of any size."""

from __future__ import annotations

from .sse import OverBoundError


class LineStream:
    """Turns bytes into lines without their ends; empty lines are left out."""

    __slots__ = ("_limit", "_tail")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._tail = bytearray()

    @property
    def held(self) -> int:
        """Bytes held of an unfinished line."""
        return len(self._tail)

    def feed(self, data: bytes) -> list[bytes]:
        """Return the lines that data completes.

        Raises:
            OverBoundError: a line is larger than the limit, whatever the pieces it came in.
        """
        if b"\n" not in data:
            self._tail += data
            self._check(len(self._tail))
            return []
        lines = data.split(b"\n")
        lines[0] = bytes(self._tail) + lines[0]
        self._tail[:] = lines.pop()
        for line in lines:
            self._check(len(line))
        self._check(len(self._tail))
        return [text for line in lines if (text := line.strip())]

    def finish(self) -> list[bytes]:
        """Return the last line, where the stream ended without a line end."""
        line = bytes(self._tail).strip()
        self._tail.clear()
        return [line] if line else []

    def _check(self, size: int) -> None:
        if size > self._limit:
            raise OverBoundError
