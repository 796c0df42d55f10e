"""Bytes on the wire: windows of this machine at 1 Hz, live and in catch-up batches, beside other encodings.

    ./dev bench wire [--minutes N]

Samples the machine with the agent's own sampler, once a second for N minutes (default 5), and folds each minute into a
window with the agent's own builder: once as it is (idle), once with ten exchanges of one series whose times are drawn
from a log-normal distribution (seeded). Then encodes them as the agent does, and the same figures as gzipped JSON and
Prometheus text. Run it on a machine that does nothing else: noise costs bytes.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

from stonechat import columns, envelope, sketch, wire
from stonechat.catalog import BY_ID, Kind, metric_id
from stonechat.exchange import Exchange, Operation, Provenance, Quantity
from stonechat.records import Record
from stonechat.slots import Slots
from stonechat.summary import quantile
from stonechat.values import Value
from stonechat_agent.clocks import Clocks, Instant
from stonechat_agent.local.prometheus import render
from stonechat_agent.sampling import EngineMatch, Sample, build
from stonechat_agent.window import WindowBuilder

EPOCH = 0x1234567890ABCDEF
DESCRIPTION = bytes.fromhex("8f3a52c1d07be694")
TARGETS = {"live, idle": 200, "live, 10 exchanges": 450, "catch-up batch, idle": 130}
MS = 1_000_000


def main() -> None:
    """Sample, encode, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--minutes", type=int, default=5)
    minutes: int = parser.parse_args().minutes
    samples = sample(minutes)
    busy_share = statistics.mean(
        reading.value / 1e4
        for _, minute in samples
        for one in minute
        for reading in one.readings
        if reading.metric == metric_id("system.cpu.utilization")
    )
    idle = [window(seq, at, minute, 0) for seq, (at, minute) in enumerate(samples, 1)]
    busy = [window(seq, at, minute, 10) for seq, (at, minute) in enumerate(samples, 1)]
    print(
        f"{minutes} windows of a minute, sampled at 1 Hz; the machine's CPU was {100 * busy_share:.1f} % busy\n"
    )
    print(f"{'bytes a window':34} {'median':>7} {'target':>7}")
    report("live, idle", [len(payload([record])) for record in idle])
    report("live, 10 exchanges", [len(payload([record])) for record in busy])
    report("catch-up batch, idle", [len(payload(part)) / len(part) for part in batches(idle)])
    report("catch-up batch, 10 exchanges", [len(payload(part)) / len(part) for part in batches(busy)])
    print(f"\nof a live idle window without the header: {statistics.median(body(r) for r in idle):.0f}")
    print(f"\n{'the same figures otherwise':34} {'idle':>7} {'busy':>7}")
    for name, encode in PEERS.items():
        row = [statistics.median(encode(record) for record in records) for records in (idle, busy)]
        print(f"{name:34} {row[0]:7.0f} {row[1]:7.0f}")


def sample(minutes: int) -> list[tuple[Instant, list[Sample]]]:
    """A minute's samples each, with the instant of the first."""
    sampler = build(engines=[EngineMatch("engine", "127.0.0.1", 8080)], spool_path="/")
    clocks = Clocks()
    taken: list[tuple[Instant, list[Sample]]] = []
    due = time.monotonic()
    for _ in range(minutes):
        at, minute = clocks.now(), []
        for _ in range(60):
            minute.append(sampler.sample())
            due += 1.0
            time.sleep(max(0.0, due - time.monotonic()))
        taken.append((at, minute))
    return taken


def window(seq: int, at: Instant, samples: Sequence[Sample], exchanges: int) -> Record:
    """The window of a minute, as the agent would offer it."""
    rng = random.Random(f"exchanges of window {seq}")  # others than those that the dictionary was made of
    pace = rng.uniform(0.4, 2.5)
    builder = WindowBuilder(at, order=7, description=DESCRIPTION, slots=Slots(), length_ms=60_000)
    for one in samples:
        builder.add_sample(one.readings)
    for _ in range(exchanges):
        builder.add_exchange(exchange(rng, pace))
    last = samples[-1]
    end = Instant(last.monotonic_ns // MS, last.boottime_ns // MS, at.wall + 60_000, at.synced)
    return replace(builder.build(end), cover=((EPOCH, seq, seq),), start=at.wall)


def exchange(rng: random.Random, pace: float) -> Exchange:
    """One exchange of a small model on a small board; ``pace`` is the board's."""

    def around(middle: float) -> int:
        return int(middle * rng.lognormvariate(0, 0.35))

    tokens, prompt = around(90), around(140)
    prefill, decode = around(0.45e9 * pace), around(0.05e9 * pace) * tokens
    one = Exchange(
        "engine",
        operation=Operation.CHAT,
        dialect="openai.chat",
        request_model="phi-4-mini:3.8b-q5_1",
        response_model="phi-4-mini:3.8b-q5_1",
        streamed=True,
    )
    one.first_byte_ns = prefill + around(3e6)
    one.first_token_ns = one.first_byte_ns + around(1e6)
    one.last_byte_ns = one.first_token_ns + decode
    one.finish_reason = rng.choice(["stop"] * 9 + ["length"])
    one.queue_duration = Quantity(around(2e6), Provenance.OBSERVED)
    one.prefill_duration, one.decode_duration = (Quantity(n, Provenance.ENGINE) for n in (prefill, decode))
    one.input_tokens, one.output_tokens = (Quantity(n, Provenance.ENGINE) for n in (prompt, tokens))
    one.cached_tokens = Quantity(prompt // 3, Provenance.ENGINE)
    one.context_tokens, one.context_limit = prompt + tokens, 4096
    return one


def payload(records: Sequence[Record]) -> bytes:
    """The payload of ``up/window``."""
    last = records[-1]
    header = wire.Header(EPOCH, 7, last.first.wall + 61_000, last.last_boottime + 900, ((EPOCH, 1, 0),))
    return wire.encode_windows(header, records)


def batches(records: Sequence[Record]) -> list[Sequence[Record]]:
    """Batches of an hour, or of what there is."""
    return [records[at : at + 60] for at in range(0, len(records), 60)]


def body(record: Record) -> int:
    """Bytes of a window's own part of the payload."""
    import msgpack

    return len(envelope.compress(msgpack.packb(columns.encode([record]))))


def report(name: str, sizes: Sequence[float]) -> None:
    """One row with its target, where there is one."""
    median = statistics.median(sizes)
    target = TARGETS.get(name)
    verdict = "" if target is None else f"{target:7} {'met' if median <= target else 'missed'}"
    print(f"{name:34} {median:7.0f} {verdict}")


def as_json(record: Record) -> int:
    """The record as JSON with names, gzipped."""
    plain = {
        "/".join(series) or "device": {BY_ID[m].name: plain_value(m, value) for m, value in metrics.items()}
        for series, metrics in record.values.items()
    }
    return len(gzip.compress(json.dumps(plain, separators=(",", ":")).encode()))


def plain_value(metric: int, value: Value) -> Any:
    """A value for people and other programs: a number, or a mapping of a distribution's or tally's parts."""
    kind, rest = value[0], value[1:]
    scale = BY_ID[metric].scale if metric in BY_ID else 1.0
    if kind == Kind.COUNTER:
        return cast("int", rest[0]) * scale
    if kind == Kind.GAUGE:
        count, total, least, most, last, *_ = cast("tuple[int, ...]", rest)
        return {
            "count": count,
            "mean": total / count * scale,
            "min": least * scale,
            "max": most * scale,
            "last": last * scale,
        }
    if kind == Kind.SKETCH:
        whole = cast("sketch.Sketch", rest)
        points = {f"p{round(q * 100)}": quantile(value, q) for q in (0.5, 0.95, 0.99)}
        return {
            "count": sketch.count(whole),
            "sum": whole[2] * scale,
            **{name: None if point is None else point * scale for name, point in points.items()},
        }
    if kind == Kind.TALLY:
        return dict(zip(rest[::2], rest[1::2], strict=True))
    return list(rest)


def as_prometheus(record: Record) -> int:
    """The record as Prometheus text (three quantiles for a distribution), gzipped."""
    return len(gzip.compress(render(record.values).encode()))


PEERS: dict[str, Callable[[Record], int]] = {
    "JSON, gzip (quantiles, no sketches)": as_json,
    "Prometheus text, gzip (likewise)": as_prometheus,
}

if __name__ == "__main__":
    main()
