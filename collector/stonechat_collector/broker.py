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

_LISTENER = "default"


class PacketTooLarge(ConnectionError):
    """A client announced a packet beyond `MAX_PACKET_BYTES`; its connection is closed."""


class _BoundedReader(StreamReaderAdapter):  # type: ignore[misc]
    """amqtt reads a packet's announced length at once, whatever it is: up to 256 MB of memory for five bytes."""

    async def read(self, n: int = -1) -> bytes:
        if not 0 <= n <= MAX_PACKET_BYTES:
            self._reader.feed_eof()
            raise PacketTooLarge(f"a packet of {n} bytes, at most {MAX_PACKET_BYTES} are allowed")
        data: bytes = await super().read(n)
        return data


class LetIn(BaseAuthPlugin):  # type: ignore[misc]
    """Lets every client in. amqtt's own plugin for that also marks it so that its session keeps no messages."""

    async def authenticate(self, *, session: Session) -> bool:
        return True


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
            await broker.external_connected(_BoundedReader(reader), StreamWriterAdapter(writer), _LISTENER)
        except OSError:
            pass  # that client is gone, and the broker has published its will
        finally:
            connections -= 1
            writer.close()

    server = await asyncio.start_server(connected, sock=listener)
    ready()
    await stop.wait()
    server.close()
    await broker.shutdown()
