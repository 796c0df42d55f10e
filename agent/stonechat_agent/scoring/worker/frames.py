"""What agent and worker say to each other: MessagePack maps, each behind its length.

    frame   4 bytes, big-endian: length of the body, at most ``MAX_FRAME``, of a worker's ``MAX_ANSWER``
            body: one MessagePack map

    agent -> worker   {"models": [folder], "guidelines": [table]}                    once, at first
                      {"id": n, "prompt": bytes, "answer": bytes, "complete": bool, "deep": bool}
    worker -> agent   {"ready": true, "models": {name: version}, "faults": [sentence]}     to the first
                      {"id": n, ...}                                                       to a job: see `cascade`
                      {"id": n, "failed": kind of error}                                   where that broke

Texts are UTF-8 as bytes, so that what is not UTF-8 stops nobody. The worker ends at the end of the stream. Whoever gets
something else than this ends the other.
"""

from __future__ import annotations

from typing import Any

import msgpack

FD = 3
"""The worker's end of the socket."""
MAX_FRAME = 64 << 20
"""Bytes of a body: the owner's guidelines with their examples are the longest; a job has 1.2 MB at most."""
MAX_ANSWER = 1 << 20
"""Bytes of what a worker says."""
HEAD = 4


class FrameError(Exception):
    """What came is no frame. The text says what is wrong with it, and quotes nothing."""


def encode(message: dict[str, Any]) -> bytes:
    """Return a message as a frame. Raises FrameError where it is too long."""
    body: bytes = msgpack.packb(message)
    if len(body) > MAX_FRAME:
        raise FrameError(f"a frame of {len(body)} bytes, where {MAX_FRAME} are the bound")
    return len(body).to_bytes(HEAD, "big") + body


class Decoder:
    """Cuts what arrives into messages. Holds at most one frame and what came with it."""

    def __init__(self, bound: int = MAX_FRAME) -> None:
        """``bound``: bytes that a body may have."""
        self._bound = bound
        self._held = bytearray()

    def feed(self, data: bytes) -> None:
        """Take what arrived."""
        self._held += data

    def next(self) -> dict[str, Any] | None:
        """Return the next message, or None while it is not there in full. Raises FrameError."""
        if len(self._held) < HEAD:
            return None
        length = int.from_bytes(self._held[:HEAD], "big")
        if length > self._bound:
            raise FrameError(f"a frame of {length} bytes, where {self._bound} are the bound")
        if len(self._held) < HEAD + length:
            return None
        body = bytes(self._held[HEAD : HEAD + length])
        del self._held[: HEAD + length]
        try:
            message = msgpack.unpackb(body)
        except Exception as error:  # msgpack raises a dozen kinds, some of them plain ValueError
            raise FrameError(f"a frame that is not MessagePack ({type(error).__name__})") from None
        if not isinstance(message, dict):
            raise FrameError("a frame that is no map")
        return message
