"""A recording: exchanges as JSON lines, in a file or from a pipe, compressed by gzip or not.

It is read twice, because lines may stand in any order: first to find out when each exchange ended and what is wrong
with which line, then in the order of the ends. What cannot be read twice is copied to a temporary file. Beside one
line at a time, 16 bytes a line are held, and 36 where the lines are out of order.
"""

from __future__ import annotations

import gzip
import io
import json
import sys
import tempfile
import zlib
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, BinaryIO, NamedTuple, cast

from stonechat.errors import StonechatError
from stonechat.exchange import Exchange, Source
from stonechat_agent.intake import Unfit, to_exchange

STDIN = "-"
MAX_LINE = 4 << 20
MOST_TOLD = 20
"""Lines that are named with what is wrong with them; the others are counted."""

_GZIP = b"\x1f\x8b"
_NS_PER_MS = 1_000_000
_FAR_NS = 1 << 62  # where instants are laid out: only their differences mean something
_STEP = 1000  # lines between two signs of progress

Progress = Callable[[str, int, int], object]
"""Told what is done, how much of it, and how much there is; 0 where that is not known."""


class RecordingError(StonechatError):
    """A recording that cannot be read at all. The text says why."""


class Bad(NamedTuple):
    """A line that is no exchange."""

    line: int
    reason: str


class Recording:
    """Exchanges of a file, in the order in which they ended. Use as a context manager."""

    def __init__(self, path: str) -> None:
        """Raises RecordingError where the file cannot be opened."""
        self.path = path
        self.name = "standard input" if path == STDIN else path
        self.bad: list[Bad] = []
        """The first of the lines that are no exchanges."""
        self.bad_lines = 0
        self._file = self._seekable(path)
        self._ends = array("q")
        self._offsets = array("q")
        self._ordered = True

    def __enter__(self) -> Recording:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def __len__(self) -> int:
        return len(self._ends)

    @property
    def out_of_order(self) -> bool:
        """Whether some exchange stands in front of one that ended before it."""
        return not self._ordered

    @property
    def span(self) -> tuple[int, int] | None:
        """When the first and the last of its exchanges ended, ms since 1970; None where there are none."""
        return (min(self._ends), max(self._ends)) if self._ends else None

    def scan(self, progress: Progress) -> None:
        """Read it for the first time: afterwards ``bad``, ``span`` and the length are known."""
        size = self._file.seek(0, io.SEEK_END)
        self._file.seek(0)
        offset = 0
        for number, line in enumerate(self._lines(), 1):
            if line.strip():
                self._scan_line(number, offset, line)
            offset = self._file.tell()
            if number % _STEP == 0:
                progress("reading", offset, size)

    def exchanges(self) -> Iterator[tuple[int, Exchange]]:
        """(End in ms since 1970, exchange) of each, in the order of the ends."""
        ends, offsets = self._ends, self._offsets
        order = range(len(ends)) if self._ordered else sorted(range(len(ends)), key=ends.__getitem__)
        for index in order:
            self._file.seek(offsets[index])
            yield ends[index], _exchange(self._file.readline())

    def _scan_line(self, number: int, offset: int, line: bytes) -> None:
        try:
            exchange = _exchange(line)
        except Unfit as error:
            self.bad_lines += 1
            if len(self.bad) < MOST_TOLD:
                self.bad.append(Bad(number, str(error)))
            return
        end = end_ms(exchange)
        self._ordered = self._ordered and (not self._ends or end >= self._ends[-1])
        self._ends.append(end)
        self._offsets.append(offset)

    def _lines(self) -> Iterator[bytes]:
        """The lines; of one beyond the bound only a beginning, which is no JSON."""
        while line := self._file.readline(MAX_LINE):
            if len(line) == MAX_LINE and not line.endswith(b"\n"):
                while (rest := self._file.readline(MAX_LINE)) and not rest.endswith(b"\n"):
                    pass
            yield line

    def _seekable(self, path: str) -> IO[bytes]:
        try:
            source: BinaryIO = sys.stdin.buffer if path == STDIN else Path(path).open("rb")  # noqa: SIM115
        except OSError as error:
            raise RecordingError(f"{path}: cannot be read: {error.strerror}") from None
        try:
            head = cast("io.BufferedReader", source).peek(2)[:2]
            if head != _GZIP and path != STDIN and source.seekable():
                return source
            copy = tempfile.TemporaryFile(prefix="stonechat-replay-")  # noqa: SIM115 - closed with the recording
            unpacked = cast("IO[bytes]", gzip.GzipFile(fileobj=source)) if head == _GZIP else source
            while piece := unpacked.read(1 << 20):
                copy.write(piece)
        except (OSError, EOFError, zlib.error) as error:
            raise RecordingError(f"{self.name}: cannot be read: {error}") from None
        copy.seek(0)
        if path != STDIN:
            source.close()
        return copy


def end_ms(exchange: Exchange) -> int:
    """When an exchange ended, ms since 1970."""
    instants = (exchange.last_byte_ns, exchange.closed_ns, exchange.first_token_ns, exchange.accepted_ns)
    last = max(instant for instant in instants if instant is not None)
    return (exchange.wall_ms or 0) + (last - exchange.accepted_ns) // _NS_PER_MS


def _exchange(line: bytes) -> Exchange:
    if len(line) >= MAX_LINE:
        raise Unfit(f"is longer than {MAX_LINE} bytes")
    try:
        told = json.loads(line)
    except (ValueError, RecursionError):
        raise Unfit("is not JSON") from None
    if isinstance(told, dict) and told.get("start") is None:
        raise Unfit("start: must be there, because a recording has its own clock")
    return to_exchange(told, source=Source.REPLAY, engines=(), now_ns=_FAR_NS, now_ms=0)
