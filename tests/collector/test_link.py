"""Messages on their way through real brokers: taken, acknowledged, waiting while the collector is away."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from sqlalchemy import func, select
from tests.collector.conftest import amqtt, wait_until
from tests.collector.making import (
    NOW,
    exchange_row,
    exchanges_message,
    state_message,
    window,
    windows_message,
)
from tests.ports import free_port

from stonechat import topics, wire
from stonechat_collector import exchange_views, schema
from stonechat_collector.ingest import Ingest
from stonechat_collector.link import Link, Target
from stonechat_collector.messages import Message
from stonechat_collector.store import Store, StoreUnavailable

pytestmark = pytest.mark.system


class Device:
    """A device's MQTT client, as the agent's is: QoS 1, a will, its acks kept."""

    def __init__(self, port: int, name: str = "kiosk-1", *, connect: int = 1) -> None:
        self.acks: list[wire.Ack] = []
        self.client = Client(
            CallbackAPIVersion.VERSION2, client_id=f"device-{name}", protocol=MQTTProtocolVersion.MQTTv311
        )
        will = state_message(False, 1, connect, device=name)
        self.client.will_set(will.topic, will.payload, qos=1, retain=True)
        self.client.on_message = self._on_message
        subscribed = threading.Event()
        self.client.on_connect = lambda client, *_: client.subscribe(topics.down("shops", name, "ack"), qos=1)
        self.client.on_subscribe = lambda *_: subscribed.set()
        self.client.connect("127.0.0.1", port, 30)
        self.client.loop_start()
        assert subscribed.wait(60)

    def _on_message(self, _: Client, __: Any, message: Any) -> None:
        ack = wire.decode(message.payload)
        assert isinstance(ack, wire.Ack)
        self.acks.append(ack)

    def send(self, message: Message, *, retain: bool = False) -> None:
        self.client.publish(message.topic, message.payload, qos=1, retain=retain).wait_for_publish(60)

    def taken(self) -> Any:
        return self.acks[-1].taken.get((0, 7)) if self.acks else None

    def die(self) -> None:
        """Vanish without a goodbye."""
        sock: Any = self.client.socket()
        sock.shutdown(2)
        self.client.loop_stop()

    def leave(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@contextlib.contextmanager
def linked(port: int, ingest: Ingest, protocol: str = "5") -> Iterator[None]:
    """A link in a thread of its own, subscribed."""
    stop, ready = threading.Event(), threading.Event()
    link = Link(Target("127.0.0.1", port, protocol=protocol), ingest, client_id="collector-test")
    thread = threading.Thread(target=link.run, args=(stop.is_set, lambda: None, ready.set), daemon=True)
    thread.start()
    assert ready.wait(60)
    try:
        yield
    finally:
        stop.set()
        thread.join(60)
        assert not thread.is_alive()


def windows_in(store: Store) -> int:
    with store.reading() as connection:
        return int(connection.scalar(select(func.count()).select_from(schema.windows)) or 0)


def online(store: Store, name: str = "kiosk-1") -> Any:
    with store.reading() as connection:
        return connection.scalar(select(schema.devices.c.online).where(schema.devices.c.id == name))


def test_what_is_published_is_stored_and_acknowledged(broker_port: int, store: Store) -> None:
    # Asked for MQTT 5, the link falls back to 3.1.1 where the broker knows no better.
    with linked(broker_port, Ingest(store, lambda: NOW)):
        device = Device(broker_port)
        device.send(state_message(True, 1, 1), retain=True)
        for seq in range(1, 41):
            device.send(windows_message([window(seq)]))
        wait_until(lambda: device.taken() == ((1, 40),))
        device.leave()
    assert windows_in(store) == 40


def test_exchanges_are_stored_and_answered_by_the_broker_alone(broker_port: int, store: Store) -> None:
    device = Device(broker_port)
    with linked(broker_port, Ingest(store, lambda: NOW)):
        device.send(exchanges_message([wire.Told(exchange_row(1)), wire.Told(exchange_row(2))]))
        wait_until(lambda: len(exchange_views.exchanges_page(store, "kiosk-1")["exchanges"]) == 2)
        device.send(windows_message([window(1)]))
        wait_until(device.taken)
    assert len(device.acks) == 1
    device.leave()


def test_a_device_that_vanishes_is_offline_at_once(broker_port: int, store: Store) -> None:
    with linked(broker_port, Ingest(store, lambda: NOW), protocol="3.1.1"):
        device = Device(broker_port)
        device.send(state_message(True, 1, 1), retain=True)
        wait_until(lambda: online(store) is True)
        device.die()
        wait_until(lambda: online(store) is False)


def test_messages_wait_while_the_collector_is_away(broker_port: int, store: Store) -> None:
    with linked(broker_port, Ingest(store, lambda: NOW), protocol="3.1.1"):
        pass
    device = Device(broker_port)
    device.send(windows_message([window(1), window(2)]))
    with linked(broker_port, Ingest(store, lambda: NOW), protocol="3.1.1"):
        wait_until(lambda: device.taken() == ((1, 2),))
    device.leave()


def test_a_birth_is_known_to_a_collector_that_comes_later(broker_port: int, store: Store) -> None:
    device = Device(broker_port)
    device.send(state_message(True, 1, 1), retain=True)
    with linked(broker_port, Ingest(store, lambda: NOW), protocol="3.1.1"):
        wait_until(lambda: online(store) is True)
        wait_until(lambda: device.acks)
    device.leave()


def test_nothing_is_acknowledged_while_the_store_is_gone_and_all_is_taken_after(
    broker_port: int, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest = Ingest(store, lambda: NOW)
    gone = threading.Event()
    gone.set()
    take = ingest.take

    def failing(messages: Any) -> Any:
        if gone.is_set():
            raise StoreUnavailable("disk full")
        return take(messages)

    monkeypatch.setattr(ingest, "take", failing)
    with linked(broker_port, ingest, protocol="3.1.1"):
        device = Device(broker_port)
        for seq in range(1, 4):
            device.send(windows_message([window(seq)]))
        threading.Event().wait(7)
        assert not device.acks
        gone.clear()
        wait_until(lambda: device.taken() == ((1, 3),))
        device.leave()


def test_a_packet_beyond_the_bound_costs_its_sender_the_connection_only(tmp_path: Any, store: Store) -> None:
    port = free_port()
    with amqtt(port), linked(port, Ingest(store, lambda: NOW), protocol="3.1.1"):
        hostile, good = Device(port, "hostile"), Device(port)
        hostile.client.publish(topics.up("shops", "hostile", "window"), b"x" * 1_000_000, qos=1)
        good.send(windows_message([window(1)]))
        wait_until(lambda: good.taken() == ((1, 1),))
        hostile.leave()
        good.leave()
