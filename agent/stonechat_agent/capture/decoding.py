"""Content codings, undone with a bound on what they may inflate to (RFC 9110, section 8.4.1)."""

from __future__ import annotations

from .sse import OverBoundError

_PIECE = 64 * 1024


class UnknownCodingError(Exception):
    """A content coding that cannot be undone here, or bytes that are not in the coding they claim."""


class Inflater:
    """Undoes gzip (several members too) and deflate, with or without a zlib header."""

    __slots__ = ("_deflate", "_fresh", "_left", "_start", "_stream")

    def __init__(self, coding: bytes, limit: int) -> None:
        """Undo coding: one of gzip, x-gzip, deflate.

        Raises:
            UnknownCodingError: any other coding.
        """
        if coding not in {b"gzip", b"x-gzip", b"deflate"}:
            raise UnknownCodingError
        self._deflate = coding == b"deflate"
        self._start = bytearray()
        self._stream = None if self._deflate else _open(31)
        self._left = limit
        self._fresh = True

    @property
    def complete(self) -> bool:
        """Whether what was fed ends where a coded body may end; so does nothing at all."""
        return not self._start if self._stream is None else self._stream.eof or self._fresh

    def feed(self, data: bytes) -> bytes:
        """Return what data inflates to.

        Raises:
            UnknownCodingError: data is not in the coding.
            OverBoundError: all that came out is more than the limit.
        """
        import zlib  # few engines compress: loaded when one does

        if self._stream is None:
            self._start += data
            if len(self._start) < 2:
                return b""
            data = bytes(self._start)
            # "deflate" means zlib (RFC 1950), and many senders mean raw deflate by it; two bytes tell them apart.
            is_zlib = data[0] & 15 == 8 and (data[0] << 8 | data[1]) % 31 == 0
            self._stream = _open(15 if is_zlib else -15)
            self._start.clear()
        pieces = []
        self._fresh = self._fresh and not data
        try:
            while data:
                if self._stream.eof:
                    if self._deflate:
                        break
                    self._stream = _open(31)
                piece = self._stream.decompress(data, _PIECE)
                self._left -= len(piece)
                if self._left < 0:
                    raise OverBoundError
                pieces.append(piece)
                data = self._stream.unused_data if self._stream.eof else self._stream.unconsumed_tail
        except zlib.error as error:
            raise UnknownCodingError from error
        return b"".join(pieces)


def _open(window_bits: int):  # type: ignore[no-untyped-def]  # zlib gives its object's type no public name
    import zlib

    return zlib.decompressobj(window_bits)
