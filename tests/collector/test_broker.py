"""The embedded broker tells a client at once that it does not speak MQTT 5, and takes its 3.1.1."""

from __future__ import annotations

import asyncio
import socket

from stonechat_collector import broker


def connect(level: int, client: bytes = b"abc", more: bytes = b"") -> bytes:
    """The first bytes of the answer to a CONNECT of a protocol level."""

    async def run() -> bytes:
        stop, ready = asyncio.Event(), asyncio.Event()
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            listener.setblocking(False)
            serving = asyncio.ensure_future(broker.serve(listener, stop, ready.set))
            await asyncio.wait_for(ready.wait(), 60)
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            body = b"\0\4MQTT" + bytes((level, 2, 0, 60)) + more + len(client).to_bytes(2, "big") + client
            packet = bytes((0x10, len(body))) + body
            writer.write(packet[:5])  # in two pieces, as a slow link delivers it
            await asyncio.sleep(0.05)
            writer.write(packet[5:])
            answer = await asyncio.wait_for(reader.read(16), 60)
            writer.close()
            stop.set()
            await asyncio.wait_for(serving, 60)
            return answer

    return asyncio.run(run())


def test_a_client_of_mqtt_5_is_told_at_once() -> None:
    assert connect(5, more=b"\0") == bytes((0x20, 3, 0, 0x84, 0))


def test_a_client_of_mqtt_3_1_1_is_taken() -> None:
    assert connect(4) == bytes((0x20, 2, 0, 0))
