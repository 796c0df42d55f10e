"""The way from the broker to ingest: an MQTT client that acknowledges a message only when it is in the store.

One thread does it all: it reads messages until a batch is full or has waited long enough, gives it to `Ingest.take`,
publishes the acks, and then acknowledges the messages to the broker. When the store is not available the batch stays
and is tried again; the broker holds back further messages once `RECEIVE_BATCHES` batches are unacknowledged, and keeps
them in the session while this process is away.
"""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from stonechat import topics
from stonechat_collector.ingest import Ingest
from stonechat_collector.messages import LEAVES, Message
from stonechat_collector.store import StoreUnavailable

log = logging.getLogger("stonechat.ingest")

KEEP_ALIVE_SECONDS = 30
CONNECT_TIMEOUT_SECONDS = 5.0
SESSION_EXPIRY_SECONDS = 86_400
RECEIVE_BATCHES = 4
MIN_BACKOFF_SECONDS = 0.5
MAX_BACKOFF_SECONDS = 15.0
QUIET_SECONDS = 0.002
"""A batch is taken when no further message comes for so long."""
BEAT_SECONDS = 5.0

_UNSUPPORTED_VERSION = "Unsupported protocol version"


@dataclass(frozen=True)
class Target:
    """A broker, and what to show it. Files are paths; ``password_file`` holds the password alone."""

    host: str
    port: int
    tls: bool = False
    username: str = ""
    password_file: str = ""
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    protocol: str = "5"
    share: str = ""

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class Link:
    """One client of a broker that feeds an `Ingest`.

    Args:
        batch: most messages in one commit.
        wait_ms: how long a batch waits for more after its first message.
        client_id: names the session at the broker; the same after a restart, another for each process.
    """

    def __init__(
        self, target: Target, ingest: Ingest, *, client_id: str, batch: int = 256, wait_ms: int = 20
    ) -> None:
        self._target = target
        self._ingest = ingest
        self._client_id = client_id
        self._batch = batch
        self._wait = wait_ms / 1000
        self._received: list[tuple[MQTTMessage, Client]] = []
        self._first = 0.0
        self._subscribed = False
        self._old_protocol = target.protocol != "5"
        self._client = self._make_client()
        self._connected = self._accepted = False
        self._connected_at = 0.0

    def run(self, stopping: Callable[[], bool], beat: Callable[[], None], ready: Callable[[], None]) -> None:
        """Work until ``stopping`` says so.

        ``ready`` is called once the subscriptions stand for the first time, or the broker could not be reached: that
        is no reason not to serve what is stored. ``beat`` is called every few seconds while all is well.
        """
        told = False
        next_beat = 0.0
        backoff = MIN_BACKOFF_SECONDS
        while not stopping():
            now = time.monotonic()
            if now >= next_beat:
                next_beat = now + BEAT_SECONDS
                self._idle_beat()
                beat()
            if not self._connected and not self._connect():
                if not told:
                    ready()
                    told = True
                _wait(backoff, stopping)
                backoff = min(MAX_BACKOFF_SECONDS, backoff * 2)
                continue
            before = len(self._received)
            code = self._client.loop(timeout=self._patience())
            if code is not MQTTErrorCode.MQTT_ERR_SUCCESS or not self._connected:
                self._lost(code)
                _wait(backoff, stopping)
                backoff = min(MAX_BACKOFF_SECONDS, backoff * 2)
                continue
            if not self._accepted and time.monotonic() - self._connected_at > CONNECT_TIMEOUT_SECONDS:
                self._give_up_connecting()
                continue
            if self._subscribed:
                backoff = MIN_BACKOFF_SECONDS
                if not told:
                    ready()
                    told = True
            if self._due(quiet=len(self._received) == before):
                self._flush(stopping, beat)
        if self._received:
            self._take_once()
        self._client.disconnect()
        self._drain()

    # Connecting

    def _make_client(self) -> Client:
        target = self._target
        protocol = MQTTProtocolVersion.MQTTv311 if self._old_protocol else MQTTProtocolVersion.MQTTv5
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._client_id,
            protocol=protocol,
            clean_session=False if self._old_protocol else None,
            manual_ack=True,
        )
        client.connect_timeout = CONNECT_TIMEOUT_SECONDS
        client.max_inflight_messages_set(1000)
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_disconnect = self._on_disconnect
        if target.username:
            password = Path(target.password_file).read_text("utf-8").strip() if target.password_file else None
            client.username_pw_set(target.username, password)
        if target.tls:
            client.tls_set(
                ca_certs=target.ca_file or None,
                certfile=target.cert_file or None,
                keyfile=target.key_file or None,
                tls_version=ssl.PROTOCOL_TLS_CLIENT,
            )
        return client

    def _connect(self) -> bool:
        self._subscribed = self._accepted = False
        try:
            if self._old_protocol:
                self._client.connect(self._target.host, self._target.port, KEEP_ALIVE_SECONDS)
            else:
                properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
                properties.SessionExpiryInterval = SESSION_EXPIRY_SECONDS
                properties.ReceiveMaximum = min(65535, RECEIVE_BATCHES * self._batch)
                self._client.connect(
                    self._target.host,
                    self._target.port,
                    KEEP_ALIVE_SECONDS,
                    clean_start=False,
                    properties=properties,
                )
        except (OSError, ValueError) as error:
            log.warning("broker unreachable", extra={"broker": str(self._target), "cause": str(error)})
            return False
        self._connected = True
        self._connected_at = time.monotonic()
        return True

    def _give_up_connecting(self) -> None:
        """The broker took the connection and says nothing: one that knows MQTT 3.1.1 alone may wait for more."""
        self._client.disconnect()
        self._connected = False
        log.warning("broker does not answer", extra={"broker": str(self._target)})
        self._change_protocol()

    def _change_protocol(self) -> None:
        """Try the other version of MQTT next, unless only one was asked for or can do what is needed."""
        if self._target.protocol == "5" and not self._target.share:
            self._old_protocol = not self._old_protocol
            self._client = self._make_client()

    def _lost(self, code: MQTTErrorCode) -> None:
        self._connected = False
        log.warning("broker lost", extra={"broker": str(self._target), "cause": code.name})

    def _on_connect(self, client: Client, _: Any, __: Any, reason: ReasonCode, ___: Any) -> None:
        if reason.is_failure:
            log.warning("broker refuses us", extra={"broker": str(self._target), "cause": str(reason)})
            if str(reason) == _UNSUPPORTED_VERSION:
                self._change_protocol()
                self._connected = False
            return
        self._accepted = True
        share = self._target.share
        if self._old_protocol:
            client.subscribe([(topics.up_filter(leaf), 1) for leaf in LEAVES])
        else:
            # What is retained comes with a new subscription only: after a restart the session has what changed.
            state = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_SEND_IF_NEW_SUB)
            plain = SubscribeOptions(qos=1)
            client.subscribe(
                [
                    (topics.up_filter("window", share), plain),
                    (topics.up_filter("event", share), plain),
                    (topics.up_filter("exchange", share), plain),
                    (topics.up_filter("state"), state),
                ]
            )

    def _on_subscribe(self, _: Client, __: Any, ___: int, reasons: list[ReasonCode], ____: Any) -> None:
        refused = [str(reason) for reason in reasons if reason.is_failure]
        if refused:
            log.error(
                "broker refuses our subscriptions", extra={"broker": str(self._target), "cause": refused[0]}
            )
            return
        self._subscribed = True
        log.info("subscribed", extra={"broker": str(self._target)})

    def _on_disconnect(self, _: Client, __: Any, ___: Any, ____: ReasonCode, _____: Any) -> None:
        self._connected = False

    # Messages

    def _on_message(self, client: Client, _: Any, message: MQTTMessage) -> None:
        if not self._received:
            self._first = time.monotonic()
        self._received.append((message, client))

    def _due(self, *, quiet: bool) -> bool:
        if not self._received:
            return False
        # A broker that sends one message only after it has the acknowledgement of the last must not wait for us.
        return quiet or len(self._received) >= self._batch or time.monotonic() - self._first >= self._wait

    def _patience(self) -> float:
        if not self._received:
            return 0.5
        return max(0.0, min(QUIET_SECONDS, self._first + self._wait - time.monotonic()))

    def _flush(self, stopping: Callable[[], bool], beat: Callable[[], None]) -> None:
        """Take what was received, however long the store needs to become available."""
        backoff = 0.2
        while not self._take_once():
            beat()
            until = time.monotonic() + backoff
            while time.monotonic() < until and not stopping():
                # Pings go on, and what the broker still sends is kept.
                if self._connected and self._client.loop(timeout=0.1) is not MQTTErrorCode.MQTT_ERR_SUCCESS:
                    self._connected = False
                if not self._connected:
                    time.sleep(0.1)
            if stopping():
                return
            backoff = min(MAX_BACKOFF_SECONDS, backoff * 2)

    def _take_once(self) -> bool:
        batch = self._received[: RECEIVE_BATCHES * self._batch]
        messages = [Message(message.topic, bytes(message.payload), message.retain) for message, _ in batch]
        try:
            acks = self._ingest.take(messages)
        except StoreUnavailable as error:
            log.error("store unavailable", extra={"cause": str(error), "messages": len(batch)})
            return False
        for ack in acks:
            self._client.publish(ack.topic, ack.payload, qos=1)
        for message, client in batch:
            # One that came over an earlier connection is delivered again over this one.
            if client is self._client and message.qos:
                client.ack(message.mid, message.qos)
        del self._received[: len(batch)]
        self._first = time.monotonic()
        return True

    def _idle_beat(self) -> None:
        try:
            self._ingest.beat()
        except StoreUnavailable as error:
            log.error("store unavailable", extra={"cause": str(error), "messages": 0})

    def _drain(self) -> None:
        """Let what is queued leave before the process does."""
        until = time.monotonic() + 1.0
        while time.monotonic() < until:
            if self._client.loop(timeout=0.05) is not MQTTErrorCode.MQTT_ERR_SUCCESS or not self._connected:
                return


def _wait(seconds: float, stopping: Callable[[], bool]) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until and not stopping():
        time.sleep(0.1)
