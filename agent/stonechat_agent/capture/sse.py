"""Server-sent events, as the WHATWG HTML standard (section 9.2.6) reads them, from pieces of any size."""

from __future__ import annotations

_BOM = b"\xef\xbb\xbf"


class OverBoundError(Exception):
    """One event or line is larger than may be held."""


class EventStream:
    """Turns bytes into the data of events. Lines end in LF, CR or CRLF; lines that start with a colon are comments.

    Event names are passed over: every API read here says an event's type within its data as well.

    It departs from the standard in one point: an event that the stream's end cut off before its blank line is not
    thrown away but given by ``finish``, because some engines end their last event so.
    """

    __slots__ = ("_data", "_limit", "_size", "_skip_lf", "_started", "_tail", "held")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._tail = bytearray()
        self._data: list[bytes] = []
        self._size = 0  # of the data, with a line end each: lines without any are not free
        self._skip_lf = False
        self._started = False
        self.held = 0
        """Bytes held of an unfinished event."""

    def feed(self, data: bytes) -> list[bytes]:
        """Return the data of the events that data completes.

        Raises:
            OverBoundError: an event is larger than the limit, whatever the pieces it came in.
        """
        if not self._started:
            self._tail += data
            if len(self._tail) < len(_BOM) and _BOM.startswith(self._tail):
                return []
            data = bytes(self._tail).removeprefix(_BOM)
            self._tail.clear()
            self._started = True
        if self._skip_lf and data:
            data = data.removeprefix(b"\n")
            self._skip_lf = False
        if b"\r" in data:
            # The LF of a CRLF may be the next piece's first byte: the line ends here all the same.
            self._skip_lf = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if b"\n" not in data:
            self._tail += data
            self._hold(len(data))
            return []
        lines = data.split(b"\n")
        lines[0] = bytes(self._tail) + lines[0]
        self._tail[:] = lines.pop()
        events = [event for line in lines if (event := self._line(line)) is not None]
        self.held = self._size
        self._hold(len(self._tail))
        return events

    def finish(self) -> list[bytes]:
        """Return what the end of the stream completes: at most one event."""
        line = bytes(self._tail)
        self._tail.clear()
        events = [event for event in (self._line(line), self._line(b"")) if event is not None]
        self.held = 0
        return events

    def _line(self, line: bytes) -> bytes | None:
        if len(line) > self._limit:
            raise OverBoundError
        if not line:
            data = self._data
            if not data:
                return None
            self._data, self._size = [], 0
            return data[0] if len(data) == 1 else b"\n".join(data)
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            if self._size + len(value) > self._limit:
                raise OverBoundError
            self._data.append(value)
            self._size += len(value) + 1
        return None

    def _hold(self, more: int) -> None:
        self.held += more
        if self.held > self._limit:
            raise OverBoundError
