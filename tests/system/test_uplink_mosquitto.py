"""The MQTT connection against a real mosquitto: restarts, credentials, TLS, both versions of the protocol."""

from __future__ import annotations

import logging
import os
import queue
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.agent.spool.making import Clock, Collector, Device
from tests.ports import free_port

from stonechat import topics, wire
from stonechat.kinds import Url
from stonechat.link import Link
from stonechat.wire import State
from stonechat_agent.uplink import Publish, Uplink
from stonechat_agent.uplink.mqtt import MqttLink

pytestmark = pytest.mark.system

MOSQUITTO = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
WAIT_SECONDS = 60.0


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen in {WAIT_SECONDS:.0f} s"
        time.sleep(0.02)


class Broker:
    """A mosquitto with a configuration of its own, on a free port."""

    def __init__(self, directory: Path, *lines: str) -> None:
        if not os.access(MOSQUITTO, os.X_OK):
            pytest.skip("mosquitto is not installed: apt-get install mosquitto")
        self.port = free_port()
        self.file = directory / "mosquitto.conf"
        # mosquitto gives up root for a user who may not read the test's directory.
        user = "user root\n" if os.geteuid() == 0 else ""
        self.file.write_text(
            f"{user}listener {self.port} 127.0.0.1\n" + "\n".join(lines) + "\n", encoding="ascii"
        )
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [MOSQUITTO, "-c", str(self.file)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until(self._accepts, "the broker's start")

    def _accepts(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, "mosquitto refused its configuration"
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Callable[..., Broker]]:
    brokers: list[Broker] = []

    def make(*lines: str) -> Broker:
        brokers.append(Broker(tmp_path, *lines))
        return brokers[-1]

    yield make
    for each in brokers:
        each.stop()


class Agent:
    """A link whose callbacks go into a queue, as the pipeline's do."""

    def __init__(self, settings: Link, **options: Any) -> None:
        self.happened: queue.SimpleQueue[tuple[Any, ...]] = queue.SimpleQueue()
        self.log: list[tuple[Any, ...]] = []
        self.threads: set[str] = set()
        self.connects = 0
        self.link = MqttLink(
            settings,
            client_id="kiosk-1",
            keep_alive_seconds=5,
            subscriptions=(topics.down("shops", "kiosk-1", "ack"),),
            will=options.pop("will", self.will),
            linked=lambda: self.happened.put(("linked",)),
            unlinked=lambda: self.happened.put(("unlinked",)),
            received=lambda topic, payload: self.happened.put(("received", topic, payload)),
            random=lambda: 0.1,
            **options,
        )
        self.link.start()

    def will(self) -> Publish:
        self.connects += 1
        state = State(False, 1, self.connects, 1)
        return Publish(topics.up("shops", "kiosk-1", "state"), wire.encode_state(state), 1, retain=True)

    def next(self, kind: str) -> tuple[Any, ...]:
        while True:
            event = self.happened.get(timeout=WAIT_SECONDS)
            self.log.append(event)
            if event[0] == kind:
                return event


@pytest.fixture
def agent() -> Iterator[Callable[..., Agent]]:
    agents: list[Agent] = []

    def make(settings: Link, **options: Any) -> Agent:
        agents.append(Agent(settings, **options))
        return agents[-1]

    yield make
    for each in agents:
        each.link.stop()


class Watcher:
    """Another client of the broker, that sees what goes up and may answer."""

    def __init__(self, port: int, filters: str = "stonechat/1/+/+/up/#", **options: Any) -> None:
        from paho.mqtt import client as paho
        from paho.mqtt.enums import CallbackAPIVersion

        self.seen: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.client = paho.Client(CallbackAPIVersion.VERSION2)
        if "username" in options:
            self.client.username_pw_set(options["username"], options["password"])
        ready = threading.Event()
        self.client.on_connect = lambda client, *_: client.subscribe(filters, 1)
        self.client.on_subscribe = lambda *_: ready.set()
        self.client.on_message = lambda _client, _data, message: self.seen.put(message)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        assert ready.wait(WAIT_SECONDS)

    def next(self) -> Any:
        return self.seen.get(timeout=WAIT_SECONDS)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


def plain(port: int, **options: Any) -> Link:
    return Link(url=Url("mqtt", "127.0.0.1", port, ""), **options)


WINDOW = Publish(topics.up("shops", "kiosk-1", "window"), b"payload")


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_publish_receive_and_stop(
    protocol: str, broker: Callable[..., Broker], agent: Callable[..., Agent]
) -> None:
    server = broker("allow_anonymous true")
    watcher = Watcher(server.port)
    client = agent(plain(server.port, protocol=protocol))
    client.next("linked")
    assert client.link.publish(WINDOW)
    message = watcher.next()
    assert (message.topic, message.payload, message.qos) == (WINDOW.topic, b"payload", 1)
    watcher.client.publish(topics.down("shops", "kiosk-1", "ack"), b"answer", 1)
    assert client.next("received") == ("received", topics.down("shops", "kiosk-1", "ack"), b"answer")
    assert client.link.stop()
    assert client.next("unlinked")
    assert not client.link.publish(WINDOW)
    watcher.close()


def test_a_delivery_tells_when_the_broker_has_it_and_when_it_never_will(
    broker: Callable[..., Broker], agent: Callable[..., Agent]
) -> None:
    server = broker("allow_anonymous true")
    client = agent(plain(server.port))
    client.next("linked")
    delivery = client.link.deliver(WINDOW)
    assert delivery is not None
    until(lambda: delivery.done, "the broker's acknowledgement")
    assert not delivery.lost
    assert server.process is not None
    server.process.send_signal(signal.SIGSTOP)
    unanswered = client.link.deliver(WINDOW)
    assert unanswered is not None
    assert not unanswered.done
    server.stop()
    client.next("unlinked")
    assert unanswered.lost
    assert not unanswered.done
    assert delivery.done
    assert client.link.deliver(WINDOW) is None


def test_a_clean_stop_delivers_what_was_published_and_no_will(
    broker: Callable[..., Broker], agent: Callable[..., Agent]
) -> None:
    server = broker("allow_anonymous true")
    watcher = Watcher(server.port)
    client = agent(plain(server.port))
    client.next("linked")
    for _ in range(8):
        assert client.link.publish(WINDOW)
    assert client.link.stop()
    assert [watcher.next().topic for _ in range(8)] == [WINDOW.topic] * 8
    time.sleep(0.3)
    assert watcher.seen.empty()
    watcher.close()


def test_the_broker_stops_and_starts_again(
    broker: Callable[..., Broker], agent: Callable[..., Agent], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "stonechat_agent.uplink")
    server = broker("allow_anonymous true")
    client = agent(plain(server.port))
    client.next("linked")
    server.stop()
    client.next("unlinked")
    assert not client.link.publish(WINDOW), "nothing is given to paho without a connection"
    until(lambda: "uplink failed" in caplog.messages, "a failed try")
    time.sleep(0.5)  # for another one, which is not told
    server.start()
    client.next("linked")
    watcher = Watcher(server.port)
    assert client.link.publish(WINDOW)
    assert watcher.next().payload == b"payload"
    time.sleep(0.2)
    assert watcher.seen.empty(), "nothing was queued behind our back"
    names = [
        (record.message, getattr(record, "reason", "")) for record in caplog.records if record.levelno > 10
    ]
    assert names[0][0] == "uplink connected"
    assert names[1][0] == "uplink lost"
    assert names[2:-1] == [("uplink failed", "refused")], "one line for each change"
    assert names[-1][0] == "uplink connected"
    watcher.close()


def test_an_agent_that_dies_leaves_its_will(broker: Callable[..., Broker]) -> None:
    server = broker("allow_anonymous true")
    watcher = Watcher(server.port)
    script = (
        "import sys, time; from stonechat.kinds import Url; from stonechat.link import Link\n"
        "from stonechat_agent.uplink import Publish; from stonechat_agent.uplink.mqtt import MqttLink\n"
        "link = MqttLink(Link(url=Url('mqtt', '127.0.0.1', int(sys.argv[1]), '')), client_id='kiosk-1',\n"
        "    keep_alive_seconds=5, subscriptions=('a',), will=lambda: Publish(sys.argv[2], b'gone', 1, True),\n"
        "    linked=lambda: print('linked', flush=True), unlinked=lambda: None,\n"
        "    received=lambda *_: None, random=lambda: 0.1)\n"
        "link.start(); time.sleep(300)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(server.port), topics.up("shops", "kiosk-1", "state")],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"linked\n"
    process.kill()
    process.wait()
    message = watcher.next()
    assert (message.topic, message.payload) == (topics.up("shops", "kiosk-1", "state"), b"gone")
    watcher.close()


def test_a_wrong_password_is_said_once_and_a_right_one_is_found(
    tmp_path: Path,
    broker: Callable[..., Broker],
    agent: Callable[..., Agent],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "stonechat_agent.uplink")
    passwords, secret = tmp_path / "passwords", tmp_path / "secret"
    subprocess.run(["mosquitto_passwd", "-b", "-c", str(passwords), "kiosk-1", "right"], check=True)
    secret.write_text("wrong\n", encoding="ascii")
    server = broker("allow_anonymous false", f"password_file {passwords}")
    client = agent(plain(server.port, username="kiosk-1", password_file=str(secret)))
    until(lambda: len(caplog.records) > 0, "a log line")
    time.sleep(1.0)
    assert [getattr(record, "reason", "") for record in caplog.records] == ["credentials_refused"]
    assert client.happened.empty()
    secret.write_text("right\n", encoding="ascii")
    client.next("linked")
    assert "right" not in caplog.text
    assert "wrong" not in caplog.text


def test_a_subscription_that_is_refused_is_said(
    agent: Callable[..., Agent], caplog: pytest.LogCaptureFixture
) -> None:
    # mosquitto without plugins accepts every subscription, so this broker is a few bytes of MQTT 3.1.1.
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(WAIT_SECONDS)
        client = agent(plain(server.getsockname()[1], protocol="3.1.1"))
        peer, _ = server.accept()
        with peer:
            peer.settimeout(WAIT_SECONDS)
            peer.recv(1024)
            peer.sendall(b"\x20\x02\x00\x00")
            subscribe = peer.recv(1024)
            assert subscribe[0] == 0x82
            peer.sendall(b"\x90\x03" + subscribe[2:4] + b"\x80")
            until(lambda: len(caplog.records) > 0, "a log line")
    assert caplog.records[0].reason == "subscription_refused"  # type: ignore[attr-defined]
    assert client.happened.empty()


class Authority:
    """A certificate authority of the test's own."""

    def __init__(self, directory: Path) -> None:
        if shutil.which("openssl") is None:
            pytest.skip("openssl is not installed")
        self.directory = directory
        self.certificate, self.key = directory / "ca.pem", directory / "ca.key"
        self._openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-subj", "/CN=test authority", "-keyout", str(self.key), "-out", str(self.certificate),
        )  # fmt: skip

    def issue(
        self, name: str, *, valid: tuple[str, str] | None = None, address: str = "127.0.0.1"
    ) -> tuple[Path, Path]:
        """A certificate and its key; ``valid`` are the dates as YYYYMMDDHHMMSSZ."""
        certificate, key, request = (self.directory / f"{name}.{ending}" for ending in ("pem", "key", "csr"))
        self._openssl(
            "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-subj", f"/CN={name}", "-keyout", str(key), "-out", str(request),
        )  # fmt: skip
        extensions = self.directory / f"{name}.ext"
        extensions.write_text(f"subjectAltName=IP:{address}\n", encoding="ascii")
        if valid is None:
            self._openssl(
                "x509", "-req", "-in", str(request), "-CA", str(self.certificate), "-CAkey", str(self.key),
                "-CAcreateserial", "-days", "2", "-extfile", str(extensions), "-out", str(certificate),
            )  # fmt: skip
        else:
            self._issue_for(valid, request, extensions, certificate)
        return certificate, key

    def _issue_for(self, valid: tuple[str, str], request: Path, extensions: Path, certificate: Path) -> None:
        # Only `openssl ca` takes both dates in the versions that are around.
        (self.directory / "index.txt").write_text("", encoding="ascii")
        (self.directory / "index.txt.attr").write_text("unique_subject = no\n", encoding="ascii")
        (self.directory / "serial").write_text("1000\n", encoding="ascii")
        settings = self.directory / "ca.cnf"
        settings.write_text(
            f"[ca]\ndefault_ca=own\n[own]\ndir={self.directory}\ndatabase=$dir/index.txt\nserial=$dir/serial\n"
            "new_certs_dir=$dir\ndefault_md=sha256\npolicy=any\n[any]\ncommonName=supplied\n",
            encoding="ascii",
        )
        self._openssl(
            "ca", "-batch", "-config", str(settings), "-cert", str(self.certificate), "-keyfile", str(self.key),
            "-in", str(request), "-out", str(certificate), "-extfile", str(extensions), "-notext",
            "-startdate", valid[0], "-enddate", valid[1],
        )  # fmt: skip

    @staticmethod
    def _openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    directory = tmp_path / "authority"
    directory.mkdir()
    return Authority(directory)


def secured(port: int, authority: Authority, **options: Any) -> Link:
    return Link(url=Url("mqtts", "127.0.0.1", port, ""), ca_file=str(authority.certificate), **options)


def tls_lines(authority: Authority, certificate: Path, key: Path) -> tuple[str, ...]:
    return f"cafile {authority.certificate}", f"certfile {certificate}", f"keyfile {key}"


def test_tls_with_a_client_certificate_that_is_replaced_meanwhile(
    authority: Authority, broker: Callable[..., Broker], agent: Callable[..., Agent]
) -> None:
    server = broker(
        *tls_lines(authority, *authority.issue("broker")),
        "require_certificate true",
        "use_identity_as_username true",
    )
    certificate, key = authority.issue("kiosk-1")
    client = agent(
        secured(server.port, authority, cert_file=str(certificate), key_file=str(key)), check_seconds=0.2
    )
    client.next("linked")
    assert client.link.publish(WINDOW)
    new_certificate, new_key = authority.issue("kiosk-1-renewed")
    os.replace(new_certificate, certificate)
    time.sleep(0.7)
    assert client.happened.empty(), "a certificate without its key changes nothing yet"
    os.replace(new_key, key)
    client.next("unlinked")
    client.next("linked")
    assert client.link.publish(WINDOW)


@pytest.mark.parametrize(
    ("reason", "valid"),
    [
        ("tls_not_yet_valid", ("21000101000000Z", "21010101000000Z")),
        ("tls_expired", ("20200101000000Z", "20210101000000Z")),
        ("tls_untrusted", None),
    ],
)
def test_a_certificate_that_cannot_be_trusted_is_said_with_its_reason(
    reason: str,
    valid: tuple[str, str] | None,
    authority: Authority,
    broker: Callable[..., Broker],
    agent: Callable[..., Agent],
    caplog: pytest.LogCaptureFixture,
) -> None:
    address = "127.0.0.1" if valid else "127.0.0.9"  # the last one is another host's
    server = broker(
        "allow_anonymous true",
        *tls_lines(authority, *authority.issue("broker", valid=valid, address=address)),
    )
    client = agent(secured(server.port, authority))
    until(lambda: len(caplog.records) > 0, "a log line")
    assert caplog.records[0].reason == reason  # type: ignore[attr-defined]
    assert client.happened.empty()


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (Link(url=Url("mqtt", "no-such-host.invalid", 1883, "")), "name_not_resolved"),
        (Link(url=Url("mqtt", "127.0.0.1", 9, "")), "refused"),
        (
            Link(url=Url("mqtts", "127.0.0.1", 9, ""), ca_file="/nonexistent/ca.pem"),
            "files_unusable",
        ),
    ],
)
def test_what_keeps_a_connection_from_being_made_is_said(
    settings: Link, reason: str, agent: Callable[..., Agent], caplog: pytest.LogCaptureFixture
) -> None:
    client = agent(settings)
    until(lambda: len(caplog.records) > 0, "a log line")
    assert settings.ca_file in caplog.records[0].detail  # type: ignore[attr-defined]
    assert caplog.records[0].reason == reason  # type: ignore[attr-defined]
    assert client.link.stop()


def test_windows_through_a_real_broker_that_is_killed_now_and_then(
    tmp_path: Path, broker: Callable[..., Broker], agent: Callable[..., Agent]
) -> None:
    server = broker("allow_anonymous true")
    device = Device(tmp_path / "spool", clock=Clock(), rng=random.Random(1))
    spool = device.open()
    uplink = Uplink(spool, "shops", "kiosk-1", random=device.rng.random, spread_ms=0, pace_ms=50)
    client = agent(plain(server.port), will=uplink.will)
    collector = Collector(lambda: device.clock.true)

    def turn(watcher: Watcher | None) -> None:
        device.clock.pass_ms(1000)
        out = uplink.tick(device.clock())
        while not client.happened.empty():
            kind, *rest = client.happened.get()
            if kind == "linked":
                out += uplink.connected(device.clock())
            elif kind == "unlinked":
                uplink.disconnected(device.clock())
            else:
                out += uplink.message(rest[0], rest[1], device.clock())
        for message in out:
            client.link.publish(message)
        while watcher is not None and not watcher.seen.empty():
            answer = collector.take(watcher.seen.get().payload)
            watcher.client.publish(topics.down("shops", "kiosk-1", "ack"), answer, 1)
        time.sleep(0.01)

    for round_ in range(3):
        watcher = Watcher(server.port)
        for step in range(40):
            if step % 2 == 0:
                for message in uplink.window_closed(device.draft(spool), device.clock()):
                    client.link.publish(message)
            turn(watcher)
        watcher.close()
        if round_ < 2:
            server.stop()
            for _ in range(20):
                uplink.window_closed(device.draft(spool), device.clock())
                turn(None)
            server.start()
    watcher = Watcher(server.port)
    deadline = time.monotonic() + WAIT_SECONDS
    while collector.weight != device.truth and time.monotonic() < deadline:
        turn(watcher)
    assert collector.weight == device.truth
    assert collector.overlaps == 0
    watcher.close()
    spool.close()


def test_paho_is_imported_without_an_http_client() -> None:
    script = (
        "import sys; from stonechat_agent.uplink import mqtt\n"
        "with mqtt._without_url_opener(): import paho.mqtt.client\n"
        "print(sorted({'urllib.request', 'http.client', 'email'} & set(sys.modules)))\n"
        "import urllib.request; print(hasattr(urllib.request, 'urlopen'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        check=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.stdout == "[]\nTrue\n"
