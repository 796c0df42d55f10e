"""The embedded MQTT broker: amqtt on a listening socket that it is given, for one machine and for trying things.

It speaks MQTT 3.1.1, keeps sessions and retained messages in memory, and lets anybody in who reaches its address,
which is loopback unless configured otherwise. Hundreds of messages a second are what it is for; more want mosquitto.

The socket is the supervisor's, so that it stays open while the broker is restarted: clients that connect meanwhile
wait and are not refused.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from amqtt.adapters import StreamReaderAdapter, StreamWriterAdapter
from amqtt.broker import Broker
from amqtt.contexts import BrokerConfig, ListenerConfig, ListenerType
from amqtt.plugins.base import BaseAuthPlugin
from amqtt.session import Session

from stonechat.envelope import MAX_PAYLOAD

MAX_PACKET_BYTES = MAX_PAYLOAD + 1024
"""Of the largest payload, with its topic and header."""

MAX_CONNECTIONS = 1000

FIRST_PACKET_SECONDS = 10.0

_V311 = 4
_UNSUPPORTED_VERSION = bytes((0x20, 3, 0, 0x84, 0))  # CONNACK of MQTT 5, section 3.2

_LISTENER = "default"


class PacketTooLarge(ConnectionError):
    """A client announced a packet beyond `MAX_PACKET_BYTES`; its connection is closed."""


class _BoundedReader(StreamReaderAdapter):  # type: ignore[misc]
    """amqtt reads a packet's announced length at once, whatever it is: up to 256 MB of memory for five bytes."""

    def __init__(self, reader: asyncio.StreamReader, begun: bytes) -> None:
        """``begun`` was read already, and is given before the rest."""
        super().__init__(reader)
        self._begun = begun

    async def read(self, n: int = -1) -> bytes:
        if not 0 <= n <= MAX_PACKET_BYTES:
            self._reader.feed_eof()
            raise PacketTooLarge(f"a packet of {n} bytes, at most {MAX_PACKET_BYTES} are allowed")
        begun, self._begun = self._begun[:n], self._begun[n:]
        data: bytes = begun + await super().read(n - len(begun)) if n > len(begun) else begun
        return data


class LetIn(BaseAuthPlugin):  # type: ignore[misc]
    """Lets every client in. amqtt's own plugin for that also marks it so that its session keeps no messages."""

    async def authenticate(self, *, session: Session) -> bool:
        return True


async def _begin(reader: asyncio.StreamReader) -> bytes:
    """The first packet up to its protocol level: type, length in 1 to 4 bytes, name (MQTT 3.1.1, section 3.1)."""
    begun = await reader.readexactly(2)
    while begun[-1] & 0x80 and len(begun) < 5:
        begun += await reader.readexactly(1)
    return begun + await reader.readexactly(7)


async def serve(
    listener: socket.socket,
    stop: asyncio.Event,
    ready: Callable[[], None],
) -> None:
    """Serve clients until ``stop`` is set. ``ready`` is called when they are served."""
    config = BrokerConfig(
        listeners={_LISTENER: ListenerConfig(type=ListenerType.EXTERNAL)},
        plugins={f"{__name__}.LetIn": {}},
        session_expiry_interval=86_400,
    )
    broker = Broker(config)
    await broker.start()
    connections = 0

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        if connections >= MAX_CONNECTIONS:
            writer.close()
            return
        connections += 1
        try:
            begun = await asyncio.wait_for(_begin(reader), FIRST_PACKET_SECONDS)
            if begun[-1] > _V311:
                # amqtt would take a 5's properties for text and wait for more of it; so the client learns at once.
                writer.write(_UNSUPPORTED_VERSION)
            else:
                reading = _BoundedReader(reader, begun)
                await broker.external_connected(reading, StreamWriterAdapter(writer), _LISTENER)
        except (
            OSError,
            EOFError,
            asyncio.TimeoutError,
            TimeoutError,
        ):  # the last two are one since Python 3.11
            pass  # that client is gone or silent, and the broker has published its will
        finally:
            connections -= 1
            writer.close()

    server = await asyncio.start_server(connected, sock=listener)
    ready()
    await stop.wait()
    server.close()
    await broker.shutdown()
