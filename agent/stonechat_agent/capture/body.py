"""One body on its way through: its coding undone, and held or cut into pieces within the bounds."""

from __future__ import annotations

import re

from .bounds import Bounds, Budget
from .decoding import Inflater, UnknownCodingError
from .ndjson import LineStream
from .sse import EventStream, OverBoundError

_NUMBERS, _BASE64 = rb"-+0-9.eE, \t\r\n", rb"A-Za-z0-9+/="
_LONG = re.compile(rb'(\[)\0?[%b]{64,}|(")\0?[%b]{64,}' % (_NUMBERS, _BASE64))
_CLOSED = re.compile(rb'(\[)\0[%b]*(?=[^%b])|(")\0[%b]*(?=[^%b])' % (_NUMBERS, _NUMBERS, _BASE64, _BASE64))
_OPEN = re.compile(rb'\[\0?[%b]*\Z|"\0?[%b]*\Z' % (_NUMBERS, _BASE64))


class Body:
    """Reads a body as a whole, or as the pieces of a stream.

    ``note`` says why it is no longer read ("body_over_bound", "coding_unreadable"); None while it is. What it holds is
    taken from the budget, and given back by ``close``, which must be called.
    """

    __slots__ = (
        "_accounted",
        "_bounds",
        "_budget",
        "_inflater",
        "_open",
        "_stream",
        "_whole",
        "_without_vectors",
        "note",
    )

    def __init__(self, bounds: Bounds, budget: Budget, *, coding: bytes = b"", form: str = "whole") -> None:
        """Read a body in a content coding (b"" or b"identity" for none).

        Args:
            form: ``whole``; ``vectors``, a whole whose lists of numbers are left out as they come, because an answer
                with embeddings is little else; ``sse`` or ``lines`` for a stream's pieces.
        """
        self._bounds = bounds
        self._budget = budget
        self._accounted = 0
        self._whole = bytearray()
        self._without_vectors = form == "vectors"
        self._open = -1  # where a list or a text begins that has not ended; -1 where there is none
        self._stream: EventStream | LineStream | None = None
        if form == "sse":
            self._stream = EventStream(bounds.body_bytes)
        elif form == "lines":
            self._stream = LineStream(bounds.body_bytes)
        self._inflater: Inflater | None = None
        self.note: str | None = None
        coding = coding.strip().lower()
        if coding not in {b"", b"identity"}:
            try:
                self._inflater = Inflater(coding, bounds.inflated_bytes)
            except UnknownCodingError:
                self.note = "coding_unreadable"

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes; return the pieces of a stream that they complete (none for a whole)."""
        if self.note is not None:
            return []
        try:
            if self._inflater is not None:
                data = self._inflater.feed(data)
            if self._stream is None:
                self._whole += data
                if self._without_vectors:
                    self._leave_out_vectors(len(data))
                held, pieces = len(self._whole), []
                if held > self._bounds.body_bytes:
                    raise OverBoundError
            else:
                pieces = self._stream.feed(data)
                held = self._stream.held
        except OverBoundError:
            self._give_up("body_over_bound")
            return []
        except UnknownCodingError:
            self._give_up("coding_unreadable")
            return []
        if self._budget.take(held - self._accounted):
            self._accounted = held
        else:
            self._give_up("body_over_bound")
        return pieces

    def _leave_out_vectors(self, fresh: int) -> None:
        """Cut out of what is held the lists of 64 or more characters of numbers, and texts that may be such lists in
        base64: no name that may stand as one is as long. What is cut is the same however the fresh bytes come; a NUL,
        which no JSON holds, marks a list that was cut and is not at its end."""
        held = self._whole
        start = self._open if self._open >= 0 else len(held) - fresh
        tail = _CLOSED.sub(_shut, _LONG.sub(_cut, bytes(held[start:])))
        held[start:] = tail
        last = max(tail.rfind(b"["), tail.rfind(b'"'))
        self._open = start + last if last >= 0 and _OPEN.match(tail, last) else -1

    def finish(self) -> list[bytes]:
        """Take the body's end; return the piece of a stream that it completes."""
        if self._inflater is not None and not self._inflater.complete:
            self._give_up("coding_unreadable")
        if self.note is not None or self._stream is None:
            return []
        try:
            return self._stream.finish()
        except OverBoundError:
            self._give_up("body_over_bound")
            return []

    def whole(self) -> bytes | bytearray | None:
        """Return the whole body; None where it was a stream or could not be read."""
        return None if self.note is not None or self._stream is not None else self._whole

    def close(self) -> None:
        """Let go of all that is held."""
        self._budget.take(-self._accounted)
        self._accounted = 0
        self._whole = bytearray()

    def _give_up(self, note: str) -> None:
        self.note = note
        self._inflater = None
        self.close()


def _cut(match: re.Match[bytes]) -> bytes:
    return b"[\0" if match[1] else b'"\0'


def _shut(match: re.Match[bytes]) -> bytes:
    # A text becomes one that may not stand as a name either.
    return b"[" if match[1] else b'"?'
