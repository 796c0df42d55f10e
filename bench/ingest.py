"""The collector's speed: decode to commit, live windows through mosquitto with their acks, roll-up and its lag.

    ./dev bench ingest

Everything is real: SQLite with synchronous=FULL in a directory of TMPDIR (or /var/tmp, which is a disk where /tmp may
be memory), the collector's own processes, mosquitto and paho on loopback. The windows are made up, but are what the
sampler gives on a device without a GPU: 40 figures of device and engine, and the exchanges that are named. It takes
about a minute; each figure stands beside its target, and beside what the same road costs without us.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import random
import shutil
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from stonechat import sketch, topics, wire
from stonechat.catalog import BY_NAME, Kind
from stonechat.records import DEVICE, Record, Series, Stamp
from stonechat.values import Value, counter, gauge, tally
from stonechat_collector import rollup
from stonechat_collector.child import collect_by_hand
from stonechat_collector.ingest import Ingest
from stonechat_collector.messages import Message
from stonechat_collector.store import Store

BATCH = 60
CATCH_UP_DEVICES = 200
LIVE_MESSAGES = 6000
LIVE_DEVICES = 500
LAG_RATE = 2000
LAG_SECONDS = 12
MINUTE = 60_000
EPOCH = 0x1234567890ABCDEF
DESCRIPTION = bytes.fromhex("8f3a52c1d07be694")
CHAT = Series("engine", "qwen2.5-1.5b-instruct", "chat")

# Name: a usual reading, and how far two neighbouring ones differ.
DEVICE_GAUGES = {
    "system.cpu.utilization": (1500, 300),
    "system.cpu.frequency.ratio": (9000, 200),
    "system.cpu.load_1m": (2000, 50),
    "system.cpu.core.utilization.max": (3000, 500),
    "system.memory.usage": (3100, 3),
    "system.memory.limit": (8000, 0),
    "system.memory.utilization": (3875, 3),
    "system.paging.usage": (0, 0),
    "system.filesystem.utilization": (4200, 0),
    "system.filesystem.free": (51000, 1),
    "hw.temperature": (550, 5),
    "stonechat.throttled": (0, 0),
    "stonechat.agent.cpu.utilization": (40, 10),
    "stonechat.agent.memory.rss": (31000, 20),
    "stonechat.agent.spool.size": (900, 0),
    "stonechat.agent.spool.records": (1, 0),
}
DEVICE_COUNTERS = (
    "system.paging.faults",
    "system.pressure.cpu.some",
    "system.pressure.memory.some",
    "system.pressure.memory.full",
    "system.pressure.io.some",
    "system.pressure.io.full",
    "system.disk.io.read",
    "system.disk.io.write",
    "system.network.io.receive",
    "system.network.io.transmit",
    "stonechat.agent.disk.write",
    "stonechat.agent.uplink.transmit",
)
ENGINE_GAUGES = {
    "stonechat.engine.up": (10000, 0),
    "stonechat.engine.slots.busy": (0, 0),
    "stonechat.engine.slots.total": (4, 0),
    "stonechat.engine.requests.in_flight": (0, 0),
    "stonechat.engine.cpu.utilization": (20, 5),
    "stonechat.engine.memory.rss": (2_100_000, 0),
    "stonechat.engine.threads": (9, 0),
}
# Name: mu and sigma of a log-normal distribution, in the metric's unit.
SKETCHES = {
    "stonechat.time_to_first_byte": (12.5, 0.3),
    "gen_ai.server.time_to_first_token": (12.6, 0.3),
    "gen_ai.server.request.duration": (15.0, 0.5),
    "stonechat.prefill.rate": (12.5, 0.2),
    "stonechat.decode.rate": (9.9, 0.1),
    "gen_ai.server.time_per_output_token": (10.8, 0.1),
    "gen_ai.usage.input_tokens": (6.0, 0.6),
    "gen_ai.usage.output_tokens": (5.0, 0.6),
}


def main() -> None:
    """Measure, and print each figure beside its target."""
    collect_by_hand()  # as the collector's own processes do
    # Where /tmp is memory a commit would cost nothing.
    base = os.environ.get("TMPDIR") or "/var/tmp"
    with tempfile.TemporaryDirectory(prefix="stonechat-bench-", dir=base) as name:
        directory = Path(name)
        print(f"in {base}: a commit of one row takes {commit_ms(directory):.1f} ms\n")
        print(f"{'':52} {'measured':>9} {'target':>9}")
        for exchanges in (0, 2, 10):
            catch_up(directory, exchanges)
        live(directory)
        roll_up(directory)
        lag(directory)


def report(what: str, measured: float, target: float | None, unit: str, *, least: bool = True) -> None:
    """One line."""
    if target is None:
        print(f"{what:52} {measured:9,.0f} {'':9} {unit}")
        return
    met = measured >= target if least else measured <= target
    print(f"{what:52} {measured:9,.0f} {target:9,.0f} {unit}: {'met' if met else 'MISSED'}")


def commit_ms(directory: Path) -> float:
    """What the disk takes for the smallest durable commit, median."""
    connection = sqlite3.connect(directory / "commit.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE t (x)")
    times = []
    for n in range(20):
        begun = time.perf_counter()
        connection.execute("INSERT INTO t VALUES (?)", (n,))
        times.append(time.perf_counter() - begun)
    connection.close()
    return statistics.median(times) * 1000


def catch_up(directory: Path, exchanges: int) -> None:
    """Batches of an hour of minutes, from many devices: decode to commit in one process."""
    now = wall_ms()
    rng = random.Random(exchanges)
    records = [window(rng, seq, now - (BATCH - seq + 1) * MINUTE, exchanges) for seq in range(1, BATCH + 1)]
    payload = wire.encode_windows(wire.Header(EPOCH, 1, now, 10**7, ((EPOCH, 1, 0),)), records)
    messages = [Message(topics.up("bench", f"d{n}", "window"), payload) for n in range(CATCH_UP_DEVICES)]
    store = Store(f"sqlite:///{directory}/catch-up-{exchanges}.db")
    ingest = Ingest(store, wall_ms)
    begun, used = time.perf_counter(), time.process_time()
    for at in range(0, len(messages), 50):
        ingest.take(messages[at : at + 50])
    seconds, used = time.perf_counter() - begun, time.process_time() - used
    store.close()
    count = BATCH * CATCH_UP_DEVICES
    title = f"decode to commit, {exchanges} exchanges, {len(payload) // BATCH} B a window"
    report(title, count / seconds, 10_000, "windows/s")
    report("    by the process's own CPU time", count / used, None, "windows/s")
    report(
        "    the same rows, written by sqlite3 alone",
        plain_rows(directory, exchanges, count),
        None,
        "windows/s",
    )


def plain_rows(directory: Path, exchanges: int, count: int) -> float:
    """Rows a second when nothing but their bytes is written, in as many transactions."""
    source = sqlite3.connect(directory / f"catch-up-{exchanges}.db")
    rows = source.execute("SELECT device, start, epoch, seq, payload FROM windows").fetchall()
    source.close()
    target = sqlite3.connect(directory / f"plain-{exchanges}.db", isolation_level=None)
    target.execute("PRAGMA journal_mode=WAL")
    target.execute("PRAGMA synchronous=FULL")
    target.execute(
        "CREATE TABLE windows (device, start, epoch, seq, payload, PRIMARY KEY (device, start, epoch, seq))"
    )
    begun = time.perf_counter()
    for at in range(0, count, 50 * BATCH):
        target.execute("BEGIN IMMEDIATE")
        target.executemany("INSERT INTO windows VALUES (?, ?, ?, ?, ?)", rows[at : at + 50 * BATCH])
        target.execute("COMMIT")
    seconds = time.perf_counter() - begun
    target.close()
    return count / seconds


def live(directory: Path) -> None:
    """One window a message through mosquitto and the collector's ingest process, until all are acknowledged."""
    program = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin")
    if program is None:
        print("live windows: not measured, mosquitto is not installed (apt-get install mosquitto)")
        return
    port = free_port()
    config = directory / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n")
    with running([program, "-c", str(config)]):
        wait_for(port)
        url = f"sqlite:///{directory}/live.db"
        Store(url).close()
        arguments = {
            "store": url,
            "name": "ingest",
            "target": {"host": "127.0.0.1", "port": port},
            "batch": 256,
            "wait_ms": 20,
            "retention_ms": 30 * 86_400_000,
        }
        with child("ingest", arguments):
            report("live through mosquitto, acks included", through(port, store=True), 3000, "windows/s")
        with running([sys.executable, __file__, "--echo", str(port)]):
            time.sleep(1.0)
            report("    paho that answers at once, no store", through(port, store=False), None, "windows/s")


def through(port: int, *, store: bool) -> float:
    """Windows a second from the first publish to the last ack."""
    now, rng = wall_ms(), random.Random(1)
    rounds = LIVE_MESSAGES // LIVE_DEVICES
    payloads = []
    for seq in range(1, rounds + 1):
        record = window(rng, seq, now - (rounds - seq) * MINUTE, 2)
        payloads.append(wire.encode_windows(wire.Header(EPOCH, 1, now, seq, ((EPOCH, seq, 0),)), [record]))
    latest: dict[str, bytes] = {}
    answers = 0

    def on_message(_: Client, __: Any, message: MQTTMessage) -> None:
        nonlocal answers
        answers += 1
        latest[message.topic] = bytes(message.payload)

    def done() -> bool:
        if not store:
            return answers >= LIVE_MESSAGES
        # An ack may answer several messages; the last one of each device says that all were taken.
        return len(latest) == LIVE_DEVICES and all(map(complete, latest.values()))

    def complete(payload: bytes) -> bool:
        ack = wire.decode(payload)
        return isinstance(ack, wire.Ack) and ack.taken[0, EPOCH] == ((1, rounds),)

    client = connected(port, "bench-devices")
    client.on_message = on_message
    client.subscribe("stonechat/1/bench/+/down/ack", qos=1)
    client.loop_start()
    time.sleep(0.5)
    begun = time.perf_counter()
    for payload in payloads:
        for device in range(LIVE_DEVICES):
            client.publish(topics.up("bench", f"d{device}", "window"), payload, qos=1)
    while not done():
        assert time.perf_counter() - begun < 60, "not all were acknowledged"
        time.sleep(0.02)
    seconds = time.perf_counter() - begun
    client.disconnect()
    client.loop_stop()
    return LIVE_MESSAGES / seconds


def echo(port: int) -> None:
    """Answer each window with as many bytes as an ack has, and do nothing else."""
    client = connected(port, "bench-echo")
    answer = bytes(60)

    def on_message(_: Client, __: Any, message: MQTTMessage) -> None:
        client.publish(message.topic.replace("/up/window", "/down/ack"), answer, qos=1)

    client.on_message = on_message
    client.subscribe("stonechat/1/+/+/up/window", qos=1)
    client.loop_forever()


def roll_up(directory: Path) -> None:
    """What `catch_up` left to merge: ten records a bucket, then one record for each of many devices."""
    store = Store(f"sqlite:///{directory}/catch-up-2.db")
    report("roll-up, catch-up of many devices", drained(store), LAG_RATE, "windows/s")
    store.close()
    store = Store(f"sqlite:///{directory}/single.db")
    ingest, rng, now = Ingest(store, wall_ms), random.Random(1), wall_ms()
    for seq, title in (
        (1, "roll-up, new buckets, one window each"),
        (2, "roll-up, one window into each bucket"),
    ):
        payload = wire.encode_windows(
            wire.Header(EPOCH, 1, now, seq, ((EPOCH, seq, 0),)),
            [window(rng, seq, now - now % 600_000 + seq, 2)],
        )
        ingest.take([Message(topics.up("bench", f"d{n}", "window"), payload) for n in range(4000)])
        report(title, drained(store), LAG_RATE, "windows/s")
    store.close()


def drained(store: Store) -> float:
    """Records a second until none is pending."""
    begun, total = time.perf_counter(), 0
    while merged := rollup.advance(store, wall_ms()):
        total += merged
    return total / (time.perf_counter() - begun)


def lag(directory: Path) -> None:
    """The roll-up beside ingest, which takes an hour of windows of another device with each message."""
    url = f"sqlite:///{directory}/lag.db"
    store = Store(url)
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    process = context.Process(target=keep_rolling, args=(url, stop))
    rng, start = random.Random(1), wall_ms()
    payloads = []
    for hours in range(1, 73, 6):
        records = [
            window(rng, seq, start - hours * 60 * MINUTE + seq * MINUTE, 2) for seq in range(1, BATCH + 1)
        ]
        payloads.append(wire.encode_windows(wire.Header(EPOCH, 1, start, 1, ((EPOCH, 1, 0),)), records))
    process.start()
    ingest = Ingest(store, wall_ms)
    begun, sent, worst = time.monotonic(), 0, 0
    while (elapsed := time.monotonic() - begun) < LAG_SECONDS:
        due = (int(elapsed * LAG_RATE) - sent) // BATCH
        if due < 4:
            time.sleep(0.01)
            continue
        first = sent // BATCH
        topic_names = [topics.up("bench", f"d{n}", "window") for n in range(first, first + min(due, 30))]
        ingest.take([Message(name, rng.choice(payloads)) for name in topic_names])
        sent += BATCH * len(topic_names)
        with store.reading() as connection:
            worst = max(worst, rollup.lag_of(connection, wall_ms()).age)
    rate = sent / (time.monotonic() - begun)
    stop.set()
    process.join(30)
    store.close()
    print(f"roll-up beside ingest, {sent // BATCH:,} devices, history of 3 days, {LAG_SECONDS} s")
    report("    rate", rate, LAG_RATE * 0.95, "windows/s")
    report("    the worst lag at it", worst / 1000, 120, "s", least=False)


def keep_rolling(url: str, stop: Any) -> None:
    """The roll-up's loop, in a process of its own."""
    collect_by_hand()
    store = Store(url)
    while not stop.is_set():
        if not rollup.advance(store, wall_ms()):
            time.sleep(0.1)
    store.close()


def window(rng: random.Random, seq: int, start: int, exchanges: int) -> Record:
    """One window of a minute."""
    end = seq * MINUTE

    def gauges(of: dict[str, tuple[int, int]]) -> dict[int, Value]:
        return {BY_NAME[name].id: gauge(walk(rng, *how), 1, end) for name, how in of.items()}

    device = gauges(DEVICE_GAUGES)
    device.update((BY_NAME[name].id, counter(rng.randrange(5000))) for name in DEVICE_COUNTERS)
    values: dict[Series, dict[int, Value]] = {DEVICE: device, Series("engine"): gauges(ENGINE_GAUGES)}
    if exchanges:
        values[CHAT] = {
            BY_NAME["stonechat.exchanges"].id: counter(exchanges),
            BY_NAME["stonechat.exchange.outcomes"].id: tally({"ok": exchanges}),
            BY_NAME["stonechat.exchange.dialects"].id: tally({"openai.chat": exchanges}),
            BY_NAME["gen_ai.response.finish_reasons"].id: tally({"stop": exchanges}),
        }
        for name, (mu, sigma) in SKETCHES.items():
            drawn = sketch.of(int(rng.lognormvariate(mu, sigma)) for _ in range(exchanges))
            values[CHAT][BY_NAME[name].id] = (Kind.SKETCH, *drawn)
    return Record(
        cover=((EPOCH, seq, seq),),
        description=DESCRIPTION,
        first=Stamp(1, end - MINUTE, end - MINUTE, start, True),
        last_order=1,
        last_boottime=end,
        step=MINUTE,
        observed=MINUTE,
        samples=60,
        values=values,
        start=start,
    )


def walk(rng: random.Random, base: int, step: int) -> Sequence[int]:
    """Sixty readings, each near the one before."""
    readings = [base]
    for _ in range(59):
        readings.append(max(0, readings[-1] + rng.randint(-step, step)))
    return readings


def connected(port: int, name: str) -> Client:
    """A client of the broker."""
    client = Client(CallbackAPIVersion.VERSION2, client_id=name, protocol=MQTTProtocolVersion.MQTTv5)
    client.max_inflight_messages_set(5000)
    client.connect("127.0.0.1", port)
    return client


@contextlib.contextmanager
def running(command: Sequence[str]) -> Iterator[None]:
    """A program, ended afterwards."""
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait(10)


@contextlib.contextmanager
def child(role: str, arguments: dict[str, Any]) -> Iterator[None]:
    """A process of the collector, ready."""
    process = subprocess.Popen(
        [sys.executable, "-m", "stonechat_collector.child", role],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(arguments).encode() + b"\n")
    process.stdin.flush()
    while process.stdout.readline() not in (b"ready\n", b""):
        pass
    try:
        yield
    finally:
        process.terminate()
        process.wait(10)


def free_port() -> int:
    """A port of loopback that nobody has."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def wait_for(port: int) -> None:
    """Wait until something listens."""
    for _ in range(200):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise SystemExit(f"nothing listens on port {port}")


def wall_ms() -> int:
    """Now, in ms since 1970."""
    return time.time_ns() // 1_000_000


if __name__ == "__main__":
    if sys.argv[1:2] == ["--echo"]:
        echo(int(sys.argv[2]))
    else:
        main()
