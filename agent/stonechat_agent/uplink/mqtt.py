"""The MQTT connection: paho-mqtt, kept connected from a thread of its own.

paho is used for one connection at a time and nothing beyond it. Each attempt makes a new client, so that nothing is
queued or repeated behind the spool's back and certificates that were replaced are read again; the waiting between
attempts is ours (`Backoff`); and nothing is given to it while there is no connection. Its callbacks only hand over:
whoever receives them must not block.
"""

from __future__ import annotations

import logging
import os
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any

from stonechat.link import Link
from stonechat_agent.uplink.backoff import Backoff
from stonechat_agent.uplink.session import Publish

if TYPE_CHECKING:
    from paho.mqtt.client import Client, MQTTMessageInfo

log = logging.getLogger(__name__)

CONNECT_SECONDS = 10.0
HANDSHAKE_SECONDS = 15.0
"""From the TCP connection to the acknowledgement of the subscription."""
DRAIN_SECONDS = 1.0
"""How long a stop waits for the broker's word on what was published last."""
QUEUE_BOUND = 64
"""Messages that paho may hold; the uplink has 8 and a few births under way."""
CHECK_SECONDS = 30.0
"""Time between two looks at the files of certificates, keys and password."""

_NOT_YET_VALID, _EXPIRED = 9, 10  # X509_V_ERR_CERT_NOT_YET_VALID, X509_V_ERR_CERT_HAS_EXPIRED
_NOT_THE_PROTOCOL = frozenset({"credentials_refused", "subscription_refused"})
_CREDENTIALS = frozenset({"Bad user name or password", "Not authorized", "Bad authentication method"})


class MqttLink:
    """Keeps a connection to a broker. ``publish`` and ``stop`` may be called from any thread."""

    def __init__(
        self,
        settings: Link,
        *,
        client_id: str,
        keep_alive_seconds: int,
        subscriptions: tuple[str, ...],
        will: Callable[[], Publish],
        linked: Callable[[], None],
        unlinked: Callable[[], None],
        received: Callable[[str, bytes], None],
        random: Callable[[], float],
        check_seconds: float = CHECK_SECONDS,
    ) -> None:
        """
        Args:
            settings: address and credentials; ``url`` must be set.
            subscriptions: topics to subscribe to with QoS 1; ``linked`` comes after the broker has accepted them.
            will: what the broker is to publish when the next connection breaks; asked before each attempt.
            linked, unlinked, received: what happened. They come from other threads, in order, and must not block.
            random: numbers in [0, 1), for the backoff.
            check_seconds: time between two looks at the files that the settings name.

        Raises:
            ValueError: no url.
        """
        if settings.url is None:
            raise ValueError("a broker's url is needed")
        self._settings = settings
        self._url = settings.url
        self._client_id = client_id
        self._keep_alive = keep_alive_seconds
        self._subscriptions = subscriptions
        self._will = will
        self._linked, self._unlinked, self._received = linked, unlinked, received
        self._check_seconds = check_seconds
        self._backoff = Backoff(random)
        self._stopping = threading.Event()
        self._connection: _Connection | None = None
        self._reason = ""
        self._is_v5 = settings.protocol == "5"
        self._thread = threading.Thread(target=self._run, name="uplink.mqtt", daemon=True)

    def start(self) -> None:
        """Begin to connect."""
        self._thread.start()

    def publish(self, message: Publish) -> bool:
        """Hand a message to the connection; False when there is none, and then nothing is kept."""
        connection = self._connection
        return connection is not None and connection.publish(message)

    def deliver(self, message: Publish) -> Delivery | None:
        """As ``publish``, for a message whose fate matters; None when there is no connection."""
        connection = self._connection
        return None if connection is None else connection.deliver(message)

    def stop(self, timeout_seconds: float = 5.0) -> bool:
        """Disconnect, after what was published so far; returns whether that was done in time."""
        self._stopping.set()
        connection = self._connection
        if connection is not None:
            connection.ended.set()
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    @property
    def reason(self) -> str:
        """Why there is no connection, as a short word; "" while there is one, and before the first try."""
        return self._reason

    # The connecting thread from here on

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._connect()
            except OSError as error:  # ssl's and the resolver's errors are among them
                self._failed(_reason_of(error), str(error))
            except Exception as error:
                # paho raises what it likes for what a broker sends; the next attempt starts from nothing.
                self._failed("internal", f"{type(error).__name__}: {error}")
            self._stopping.wait(self._backoff.wait(time.monotonic()))

    def _connect(self) -> None:
        try:
            client = self._client()
        except (OSError, ValueError) as error:  # ssl's errors, and text that is none, are among them
            settings = self._settings
            names = [settings.password_file, settings.ca_file, settings.cert_file, settings.key_file]
            self._failed("files_unusable", f"{error} (of {', '.join(name for name in names if name)})")
            return
        connection = _Connection(client, self._subscriptions, self._received)
        try:
            connection.client.connect(self._url.host, self._url.port, self._keep_alive)
            connection.client.loop_start()
            deadline = time.monotonic() + HANDSHAKE_SECONDS
            while (
                not connection.handshake.wait(0.2) and not connection.dead() and time.monotonic() < deadline
            ):
                pass
            if connection.up:
                self._serve(connection)
                return
            reason = connection.reason or ("unreadable_answer" if connection.dead() else "timeout")
            if self._settings.protocol == "5" and reason not in _NOT_THE_PROTOCOL:
                # Brokers that speak 3.1.1 alone answer a 5 with an error of either version, or hang up, or say nothing.
                self._is_v5 = not self._is_v5
            self._failed(reason, "" if connection.reason else f"no answer in {HANDSHAKE_SECONDS:.0f} s")
        finally:
            connection.client.disconnect()
            connection.client.loop_stop()

    def _serve(self, connection: _Connection) -> None:
        self._connection = connection
        self._backoff.connected(time.monotonic())
        log.info(
            "uplink connected", extra={"broker": self._broker, "protocol": "5" if self._is_v5 else "3.1.1"}
        )
        self._reason = ""
        self._linked()
        files = self._files()
        try:
            while not connection.ended.wait(self._check_seconds) and not connection.dead():
                changed = self._files()
                if changed != files and self._usable():
                    files = changed
                    log.info("uplink reconnects", extra={"broker": self._broker, "reason": "files_changed"})
                    return
        finally:
            self._connection = None
            connection.ended.set()
            if self._stopping.is_set():
                connection.drain()
            self._unlinked()
        if not self._stopping.is_set():
            self._reason = connection.reason or "network"
            log.warning("uplink lost", extra={"broker": self._broker, "reason": self._reason})

    def _client(self) -> Client:
        with _without_url_opener():
            from paho.mqtt import client as paho
            from paho.mqtt.enums import CallbackAPIVersion
        settings = self._settings
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._client_id,
            # Clean in both protocols (5 begins a new client clean): the spool is the session, and a broker's own would
            # only repeat what it repeats anyway.
            clean_session=None if self._is_v5 else True,
            protocol=paho.MQTTv5 if self._is_v5 else paho.MQTTv311,
            reconnect_on_failure=False,
        )
        client.suppress_exceptions = True
        client.connect_timeout = CONNECT_SECONDS
        client.max_inflight_messages_set(QUEUE_BOUND)
        client.max_queued_messages_set(QUEUE_BOUND)
        if settings.username:
            client.username_pw_set(settings.username, self._password())
        if self._url.scheme == "mqtts":
            client.tls_set_context(self._tls())
        will = self._will()
        client.will_set(will.topic, will.payload, will.qos, will.retain)
        return client

    def _password(self) -> str | None:
        if not self._settings.password_file:
            return None
        with open(self._settings.password_file, encoding="utf-8") as file:
            return file.read().rstrip("\r\n")

    def _tls(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self._settings.ca_file:
            context.load_verify_locations(self._settings.ca_file)
        else:
            context.load_default_certs()
        if self._settings.cert_file:
            context.load_cert_chain(self._settings.cert_file, self._settings.key_file)
        return context

    def _files(self) -> list[tuple[int, int, int] | None]:
        """What tells whether the files that the settings name were replaced."""
        settings = self._settings
        found: list[tuple[int, int, int] | None] = []
        for name in (settings.password_file, settings.ca_file, settings.cert_file, settings.key_file):
            try:
                status = os.stat(name) if name else None
            except OSError:
                status = None
            found.append((status.st_mtime_ns, status.st_size, status.st_ino) if status else None)
        return found

    def _usable(self) -> bool:
        """Whether the files can be used as they are: they may be replaced one after the other."""
        try:
            self._password()
            if self._url.scheme == "mqtts":
                self._tls()
        except (OSError, ValueError):
            return False
        return True

    @property
    def _broker(self) -> str:
        return f"{self._url.host}:{self._url.port}"

    def _failed(self, reason: str, detail: str) -> None:
        """One line for each change of what is wrong."""
        level = logging.DEBUG if reason == self._reason else logging.WARNING
        self._reason = reason
        log.log(level, "uplink failed", extra={"broker": self._broker, "reason": reason, "detail": detail})


class Delivery:
    """A message on its way to the broker."""

    def __init__(self, info: MQTTMessageInfo, ended: threading.Event) -> None:
        self._info, self._ended = info, ended

    @property
    def done(self) -> bool:
        """Whether the broker has acknowledged it."""
        return self._info.is_published()

    @property
    def lost(self) -> bool:
        """Whether its connection ended before the broker had acknowledged it."""
        return self._ended.is_set() and not self.done


class _Connection:
    """One client, and what became of it."""

    def __init__(
        self, client: Client, subscriptions: tuple[str, ...], received: Callable[[str, bytes], None]
    ) -> None:
        self.client = client
        self.handshake = threading.Event()
        """Set when the connection is up, or has failed."""
        self.ended = threading.Event()
        self.up = False
        self.reason = ""
        self._subscriptions = subscriptions
        self._received = received
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        self._published = self._delivered = 0

    def publish(self, message: Publish) -> bool:
        return self.deliver(message) is not None

    def deliver(self, message: Publish) -> Delivery | None:
        self._published += 1
        info = self.client.publish(message.topic, message.payload, message.qos, message.retain)
        return Delivery(info, self.ended) if info.rc == 0 else None

    def drain(self) -> None:
        """Wait until the broker has what was published: a socket that is closed with its answers unread is reset, and
        what was under way to the broker is gone."""
        deadline = time.monotonic() + DRAIN_SECONDS
        while (
            self._delivered < self._published and time.monotonic() < deadline and self.client.is_connected()
        ):
            time.sleep(0.01)

    def dead(self) -> bool:
        """Whether paho's thread ended without a word, as it does when a packet makes it raise."""
        thread = getattr(self.client, "_thread", None)
        return thread is not None and not thread.is_alive()

    def _on_connect(self, client: Client, _userdata: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self._end("credentials_refused" if reason.getName() in _CREDENTIALS else _word(reason.getName()))
        else:
            client.subscribe([(topic, 1) for topic in self._subscriptions])

    def _on_subscribe(
        self, _client: Client, _userdata: Any, _mid: int, reasons: Any, _properties: Any
    ) -> None:
        if any(reason.is_failure for reason in reasons):
            self._end("subscription_refused")
        else:
            self.up = True
            self.handshake.set()

    def _on_disconnect(
        self, _client: Client, _userdata: Any, _flags: Any, reason: Any, _properties: Any
    ) -> None:
        self._end(_word(reason.getName()))

    def _on_publish(self, *_: Any) -> None:
        self._delivered += 1

    def _on_message(self, _client: Client, _userdata: Any, message: Any) -> None:
        self._received(message.topic, message.payload)

    def _end(self, reason: str) -> None:
        self.reason = self.reason or reason
        self.ended.set()
        self.handshake.set()


def _reason_of(error: OSError) -> str:
    """A short word for what keeps a connection from being made."""
    if isinstance(error, socket.gaierror):
        return "name_not_resolved"
    if isinstance(error, ssl.SSLCertVerificationError):
        # A device without a clock stands before the certificate's time: it keeps its windows until it knows better.
        known = {_NOT_YET_VALID: "tls_not_yet_valid", _EXPIRED: "tls_expired"}
        return known.get(error.verify_code, "tls_untrusted")
    if isinstance(error, ssl.SSLError):
        return "tls"
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    if isinstance(error, TimeoutError):
        return "timeout"
    return "unreachable"


def _word(name: str) -> str:
    return name.lower().replace(" ", "_")


@contextmanager
def _without_url_opener() -> Iterator[None]:
    """Keep paho from importing urllib.request, which brings an HTTP client and a mail parser: 2 MB.

    paho asks it for proxies, and only where PySocks is installed.
    """
    name = "urllib.request"
    if name in sys.modules or "paho.mqtt.client" in sys.modules or _installed("socks"):
        yield
        return
    sys.modules[name] = ModuleType(name)
    try:
        yield
    finally:
        del sys.modules[name]


def _installed(name: str) -> bool:
    from importlib.util import find_spec

    return find_spec(name) is not None
