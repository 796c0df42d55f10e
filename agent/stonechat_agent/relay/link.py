"""One relayed connection: two sockets, each one's bytes written to the other as they come.

Bytes are written first and read after (``Feeder``). What one side does happens to the other: a half-close is passed
on, a reset becomes a reset, and a side that does not read makes the other side wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from stonechat.exchange import Exchange

from .refusals import refusal

if TYPE_CHECKING:
    from .relay import Relay

WRITE_BUFFER = 64 * 1024
"""Bytes that wait for a side that does not read, before the other side is not read either."""
EARLY_BYTES = 64 * 1024
"""Bytes of the client that wait for the connection to the engine, before the client is not read."""
LINGER_SECONDS = 2.0
"""How long what a client still sends is thrown away after a refusal, so that a reset does not overtake the answer."""
REFUSAL_WAIT_SECONDS = 10.0
"""How long a client may take over the head of a request that will be refused."""
HALF_CLOSED_SECONDS = 60.0
"""How long a client may keep its side open, without a byte passing, after the engine has closed its own."""
_LAST_READ = 1 << 20
_RESET = struct.pack("ii", 1, 0)

_CONNECTING = "connecting"
_WAITING = "waiting"  # the engine could not be reached, and the client has asked for nothing yet
_REFUSING = "refusing"  # the next request is answered by the relay itself
_LINGERING = "lingering"  # that answer was sent
_OPEN = "open"
_CLOSING = "closing"
_CLOSED = "closed"


class Link:
    """Both sides of one relayed connection, and the capture that reads it."""

    __slots__ = (
        "_bytes_seen",
        "_client",
        "_client_eof",
        "_early",
        "_early_size",
        "_engine",
        "_engine_eof",
        "_refusal",
        "_relay",
        "_state",
        "_task",
        "_timer",
        "backlog",
        "behind",
        "bytes_passed",
        "capture",
    )

    def __init__(self, relay: Relay, client: asyncio.Transport) -> None:
        self._relay = relay
        self._client = client
        self._engine: asyncio.Transport | None = None
        self._state = _CONNECTING
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._early: list[bytes] = []
        self._early_size = 0
        self._client_eof = False
        self._engine_eof = False
        self._refusal = ("engine_refused", 502, "")
        self._bytes_seen = 0
        self.bytes_passed = 0
        self.capture = relay.new_capture()
        self.backlog = 0
        self.behind = False

    @property
    def idle(self) -> bool:
        """Whether nothing is under way; False where the protocol is not known."""
        return self.capture.reading and not self.capture.outstanding and not self.backlog and not self._early

    def dial(self) -> None:
        """Connect to the engine. At once, without waiting for a request: a protocol may let the engine speak first."""
        self._state = _CONNECTING
        self._task = self._relay.loop.create_task(self._dial(), name="relay.dial")

    def refuse(self, error_type: str, status: int, message: str) -> None:
        """Answer the next request without the engine, and close."""
        self._state = _REFUSING
        self._refusal = (error_type, status, message)
        self._early.clear()
        self._client.resume_reading()
        self._arm(REFUSAL_WAIT_SECONDS, self._close)
        self._relay.feeder.put(self, self._answer, self._relay.clock_ns())

    def close_when_idle(self) -> None:
        """Close both sides, unless an exchange is under way."""
        if self._state in {_OPEN, _CONNECTING, _WAITING} and self.idle:
            self._close()

    def abort(self) -> None:
        """Reset both sides now."""
        _reset(self._client)
        if self._engine is not None:
            _reset(self._engine)

    # The client's side

    def client_bytes(self, data: bytes) -> None:
        """Pass on what the client sent."""
        relay = self._relay
        now_ns = relay.clock_ns()
        engine = self._engine
        if engine is not None:
            engine.write(data)
            self.bytes_passed += len(data)
            relay.stats.bytes_to_engine += len(data)
        elif self._state in {_LINGERING, _CLOSING}:
            return
        elif self._state != _REFUSING:
            self._early.append(data)
            self._early_size += len(data)
            if self._early_size > EARLY_BYTES and self._state == _CONNECTING:
                self._client.pause_reading()
        relay.feeder.put_bytes(self, self.capture.client_bytes, data, now_ns)
        if self._state == _WAITING:
            self.dial()
        elif self._state == _REFUSING:
            relay.feeder.put(self, self._answer, now_ns)

    def client_eof(self) -> None:
        """Pass on that the client sends no more. (A transport says it again when reading is resumed.)"""
        if self._client_eof:
            return
        self._client_eof = True
        self._relay.feeder.put(self, self.capture.client_eof, self._relay.clock_ns())
        if self._state == _OPEN and self._engine is not None:
            if self._engine_eof:
                self._close()
            else:
                self._engine.write_eof()
        elif self._state == _REFUSING:
            self._relay.feeder.put(self, self._answer, self._relay.clock_ns())
        elif self._state in {_WAITING, _LINGERING}:
            self._close()

    def client_lost(self) -> None:
        """The client's socket is gone: the engine should stop."""
        relay = self._relay
        was_closing = self._state == _CLOSING
        self._state = _CLOSED
        self._disarm()
        if self._task is not None:
            self._task.cancel()
        relay.feeder.put(self, self.capture.client_closed, relay.clock_ns())
        if self._engine is not None and not was_closing:
            _reset(self._engine)
        relay.link_closed(self)

    # The engine's side

    def engine_bytes(self, data: bytes) -> None:
        """Pass on what the engine sent."""
        relay = self._relay
        now_ns = relay.clock_ns()
        self._client.write(data)
        self.bytes_passed += len(data)
        relay.stats.bytes_to_client += len(data)
        relay.feeder.put_bytes(self, self.capture.engine_bytes, data, now_ns)

    def engine_eof(self) -> None:
        """Pass on that the engine sends no more."""
        if self._engine_eof:
            return
        self._engine_eof = True
        self._relay.feeder.put(self, self.capture.engine_eof, self._relay.clock_ns())
        if self._client_eof:
            self._close()
        elif self._state == _OPEN:
            self._client.write_eof()
            self._arm(HALF_CLOSED_SECONDS, self._close_if_quiet)

    def engine_lost(self, sock: socket.socket) -> None:
        """The engine's socket is broken: so is the client's then. What a slow client has not taken by now is lost, as
        it would be from a broken connection of its own."""
        if self._state == _OPEN:
            # A write that failed hides what the engine said before it closed, such as why it refused a body.
            self._engine_broke(b"" if self._engine_eof else _drain(sock))

    def _engine_broke(self, last: bytes) -> None:
        if last:
            self.engine_bytes(last)
        self._state = _CLOSING
        self._engine = None
        self._relay.feeder.put(self, self.capture.engine_closed, self._relay.clock_ns())
        _reset(self._client)

    # Back-pressure

    def pause(self, side: asyncio.Transport) -> None:
        """A side's write buffer is full: stop reading the other."""
        other = self._engine if side is self._client else self._client
        if other is not None:
            other.pause_reading()

    def resume(self, side: asyncio.Transport) -> None:
        """A side's write buffer has room again."""
        other = self._engine if side is self._client else self._client
        if other is not None:
            other.resume_reading()

    async def _dial(self) -> None:
        relay = self._relay
        error_type, fault = "engine_refused", "its name is not known"
        for family, address in await relay.engine_addresses():
            try:
                with contextlib.ExitStack() as opened:
                    sock = opened.enter_context(socket.socket(family, socket.SOCK_STREAM))
                    try:
                        await self._connect(sock, family, address)
                    except (
                        ConnectionResetError
                    ):  # it was made, and the engine broke it before this was heard of
                        self._engine_broke(_drain(sock))
                        return
                    side = EngineSide(self, relay.buffer, sock)
                    await relay.loop.create_connection(lambda side=side: side, sock=sock)  # type: ignore[misc]
                    opened.pop_all()  # it is the transport's now
                    return
            except TimeoutError:
                error_type, fault = "timeout", f"no answer within {relay.connect_timeout:g} s"
            except OSError as error:
                error_type, fault = "engine_refused", os.strerror(error.errno) if error.errno else str(error)
        self._unreachable(error_type, fault)

    async def _connect(self, sock: socket.socket, family: int, address: Any) -> None:
        loop = self._relay.loop
        sock.setblocking(False)
        try:
            sock.connect(address)
        except BlockingIOError:
            if family == socket.AF_UNIX:
                raise  # EAGAIN: its queue of connections is full
            writable = loop.create_future()
            loop.add_writer(sock, _settle, writable, None)
            timer = loop.call_later(self._relay.connect_timeout, _settle, writable, TimeoutError())
            try:
                await writable
            finally:
                timer.cancel()
                loop.remove_writer(sock)
            if code := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise OSError(code, os.strerror(code)) from None
        prepare(sock)

    def engine_connected(self, engine: asyncio.Transport) -> None:
        """The connection to the engine stands: pass on what the client sent meanwhile."""
        relay = self._relay
        if self._state != _CONNECTING:
            engine.abort()
            return
        relay.engine_unreachable = False
        self._state = _OPEN
        self._engine = engine
        engine.set_write_buffer_limits(high=WRITE_BUFFER)
        for data in self._early:
            engine.write(data)
        self.bytes_passed += self._early_size
        relay.stats.bytes_to_engine += self._early_size
        paused = self._early_size > EARLY_BYTES
        self._early.clear()
        if paused and engine.get_write_buffer_size() <= WRITE_BUFFER:
            self._client.resume_reading()
        if self._client_eof:
            engine.write_eof()
        relay.feeder.put(self, self.capture.engine_connected, relay.clock_ns())

    def _unreachable(self, error_type: str, fault: str) -> None:
        relay = self._relay
        if self._state != _CONNECTING:
            return
        relay.engine_unreachable = True
        relay.stats.count_connect_failure(error_type)
        if not self._early and not self._client_eof:
            # A client that connects ahead of its need finds the engine again if it is back by then.
            self._state = _WAITING
            return
        self.refuse(error_type, 502, f"stonechat: the engine at {relay.upstream} cannot be reached ({fault})")

    def _answer(self, now_ns: int) -> Sequence[Exchange]:
        """Refuse the request that has come, if one has."""
        expected = self.capture.expects_error
        if self._state != _REFUSING:
            return ()
        if expected is None:
            if not self.capture.reading or self._client_eof:
                self._close()
            return ()
        error_type, status, message = self._refusal
        method, shape = expected
        self._state = _LINGERING
        self._client.write(refusal(method, shape, status, error_type, message))
        self._client.write_eof()
        if self._client_eof:
            self._close()
        else:
            self._arm(LINGER_SECONDS, self._close)
        return self.capture.engine_refused(error_type, status, now_ns)

    def _close(self) -> None:
        """Close both sides once what was written to them is sent."""
        if self._state == _CLOSED:
            return
        self._state = _CLOSING
        self._client.close()
        if self._engine is not None:
            self._engine.close()
        self._arm(HALF_CLOSED_SECONDS, self.abort)

    def _close_if_quiet(self) -> None:
        if self._bytes_seen == self.bytes_passed and not self._client.get_write_buffer_size():
            self._close()
        else:
            self._bytes_seen = self.bytes_passed
            self._arm(HALF_CLOSED_SECONDS, self._close_if_quiet)

    def _arm(self, seconds: float, act: object) -> None:
        self._disarm()
        self._timer = self._relay.loop.call_later(seconds, act)  # type: ignore[arg-type]

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class ClientSide(asyncio.BufferedProtocol):
    """The accepted socket."""

    __slots__ = ("_link", "_relay", "_transport")

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._link: Link | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=WRITE_BUFFER)
        prepare(self._transport.get_extra_info("socket"))
        self._link = self._relay.accepted(self._transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._relay.buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._link is not None:
            self._link.client_bytes(bytes(self._relay.buffer[:nbytes]))

    def eof_received(self) -> bool:
        if self._link is not None:
            self._link.client_eof()
        return True

    def pause_writing(self) -> None:
        if self._link is not None:
            self._link.pause(self._transport)

    def resume_writing(self) -> None:
        if self._link is not None:
            self._link.resume(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._link is not None:
            self._link.client_lost()


class EngineSide(asyncio.BufferedProtocol):
    """The dialled socket."""

    __slots__ = ("_buffer", "_link", "_sock", "_transport")

    def __init__(self, link: Link, buffer: memoryview, sock: socket.socket) -> None:
        self._link = link
        self._buffer = buffer
        self._sock = sock

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._link.engine_connected(self._transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._link.engine_bytes(bytes(self._buffer[:nbytes]))

    def eof_received(self) -> bool:
        self._link.engine_eof()
        return True

    def pause_writing(self) -> None:
        self._link.pause(self._transport)

    def resume_writing(self) -> None:
        self._link.resume(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._link.engine_lost(self._sock)


def prepare(sock: socket.socket) -> None:
    """Set what every relayed socket needs: tokens are sent at once, and peers that vanished are noticed."""
    if sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def _reset(transport: asyncio.Transport) -> None:
    """Close a transport so that its peer sees a reset, as the other side's peer did to us."""
    sock = transport.get_extra_info("socket")
    with contextlib.suppress(OSError):  # closed already
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()


def _drain(sock: socket.socket) -> bytes:
    """Return what a broken socket still holds of what its peer sent."""
    pieces: list[bytes] = []
    left = _LAST_READ
    with contextlib.suppress(OSError):  # nothing more to be had
        while left > 0 and (piece := sock.recv(65536)):
            pieces.append(piece)
            left -= len(piece)
    return b"".join(pieces)


def _settle(future: asyncio.Future[None], error: Exception | None) -> None:
    if not future.done():
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
