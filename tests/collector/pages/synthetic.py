"""A fleet with characters, written into a store by the real ingest, roll-up and watch.

Each device has a birth with a description, windows of a minute and events, encoded as the agent encodes them; nothing
is written into the tables past ingest. Randomness is seeded by the device's name.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.collector.pages.told import told

from stonechat import description, sketch, topics, wire
from stonechat.catalog import Kind, metric_id
from stonechat.event import Event, Severity
from stonechat.records import DEVICE, Record, Series, Stamp
from stonechat.values import HISTOGRAM_BINS, WEIGHT_ONE, Value, bin_of, counter, gauge, histogram, tally
from stonechat_collector import rollup
from stonechat_collector.ingest import Ingest
from stonechat_collector.messages import Message
from stonechat_collector.store import Store
from stonechat_collector.watch import Watch

MINUTE = 60_000
BATCH = 60
ROUND = 5 * MINUTE

MODELS = {
    "qwen2.5-1.5b-instruct": (22.0, "Q4_K_M"),
    "llama-3.2-3b-instruct": (13.0, "Q4_K_M"),
    "phi-3.5-mini-instruct": (9.5, "Q4_0"),
}
BOARDS: Mapping[str, Mapping[str, Any]] = {
    "raspberry-pi-5": {
        "arch": "aarch64",
        "cpu": "Cortex-A76",
        "cores": 4,
        "memory_mib": 8064,
        "os": "debian",
    },
    "jetson-orin-nano": {
        "arch": "aarch64",
        "cpu": "Cortex-A78AE",
        "cores": 6,
        "memory_mib": 7620,
        "os": "ubuntu",
    },
    "x86_64-4c-16g": {
        "arch": "x86_64",
        "cpu": "Intel N100",
        "cores": 4,
        "memory_mib": 15_872,
        "os": "debian",
    },
}
SITES = ("berlin", "lyon", "turin", "porto")


@dataclass(frozen=True)
class Synthetic:
    """One device. ``character`` is the status that its figures should lead to; ``hours`` how long it has run."""

    name: str
    character: str = "well"
    hours: float = 0.2
    fleet: str = "shops"
    trouble_minutes: int = 25
    """How long ago its trouble began."""
    labels: Mapping[str, str] = field(default_factory=dict)
    judged: bool = True
    """Whether models judge its answers."""


def a_fleet(total: int, *, seed: int = 11, troubled: float = 0.03, hours: float = 0.2) -> list[Synthetic]:
    """So many devices, of which about that share is not well. The first one has a day behind it."""
    rng = random.Random(seed)
    characters = ("offline", "failing", "slow", "hot", "unknown", "down")
    return [
        Synthetic(
            f"{('kiosk', 'till', 'robot')[index % 3]}-{index:03d}",
            rng.choice(characters) if rng.random() < troubled else "well",
            hours=hours,
            trouble_minutes=rng.randrange(12, 90),
        )
        for index in range(1, total + 1)
    ]


def fill(store: Store, devices: Sequence[Synthetic], now: int) -> None:
    """Send what these devices would have sent until ``now`` (ms since 1970), then roll up and judge."""
    clock = [now]
    ingest = Ingest(store, lambda: clock[0], name="synthetic")
    messages: list[tuple[int, Message]] = []
    for device in devices:
        messages.extend(_messages(device, now))
    messages.sort(key=lambda pair: pair[0])
    watch = Watch(store)
    while messages:
        # Five minutes at a time, so that statuses begin about when the troubles did.
        until = min(now, messages[0][0] // ROUND * ROUND + ROUND)
        number = next((place for place, (at, _) in enumerate(messages) if at > until), len(messages))
        part, messages = messages[:number], messages[number:]
        for start in range(0, len(part), 500):
            clock[0] = until
            ingest.take([message for _, message in part[start : start + 500]])
        while rollup.advance(store, until):
            pass
        if until > now - 3 * 3_600_000:
            watch.round(until)
    watch.round(now)


def farewell(name: str, fleet: str = "shops") -> Message:
    """The will of a device that `fill` made: what the broker sends when its connection is lost."""
    epoch = _epoch(name)
    return Message(topics.up(fleet, name, "state"), wire.encode_state(wire.State(False, 3, 2, epoch)), True)


def _epoch(name: str) -> int:
    return random.Random(f"epoch of {name}").getrandbits(63)


def _messages(device: Synthetic, now: int) -> list[tuple[int, Message]]:
    """(collector's clock, message) of all that a device sends."""
    rng = random.Random(device.name)
    board = rng.choice(sorted(BOARDS))
    model = rng.choices(sorted(MODELS), (3, 1, 6))[0]
    about = _description(rng, device, board, model)
    epoch = _epoch(device.name)
    end = now - (device.trouble_minutes * MINUTE if device.character == "offline" else 0)
    minutes = max(3, round(device.hours * 60))
    begin = (end // MINUTE - minutes) * MINUTE
    boot = rng.randrange(1, 10**9)
    head = wire.Header(epoch, 3, end, boot + end - begin)

    def up(leaf: str, payload: bytes, retain: bool = False) -> Message:
        return Message(topics.up(device.fleet, device.name, leaf), payload, retain)

    birth = wire.State(True, 3, 1, epoch, begin, boot, about)
    sent = [(begin, up("state", wire.encode_state(birth), retain=True))]
    if device.character == "unknown":
        return [(end - 4000, sent[0][1])]
    trouble = now - device.trouble_minutes * MINUTE
    day = rng.random()
    records = [
        _window(rng, device, about, (epoch, index + 1, boot), begin + index * MINUTE, trouble, day)
        for index in range(minutes)
    ]
    # The past in large batches, the last hours as they would have come.
    recent = max(0, len(records) - 120)
    cuts = [*range(0, recent, BATCH), *range(recent, len(records), 5)]
    for low, high in zip(cuts, [*cuts[1:], len(records)], strict=True):
        part = records[low:high]
        arrival = min(end, (part[-1].start or 0) + MINUTE + 500)
        sent.append((arrival, up("window", wire.encode_windows(head, part))))
    sent += [(end, up("exchange", payload)) for payload in _exchanges(device, model, head, begin, end)]
    events = _events(device, epoch, boot, begin, end, trouble)
    if events:
        sent.append((end, up("event", wire.encode_events(head, events))))
    if device.character == "offline":
        will = wire.State(False, 3, 1, epoch)
        sent.append((end, up("state", wire.encode_state(will), retain=True)))
    else:
        sent.append(
            (
                end,
                up("state", wire.encode_state(wire.State(True, 3, 2, epoch, end, boot, about)), retain=True),
            )
        )
    return sent


def _description(rng: random.Random, device: Synthetic, board: str, model: str) -> dict[str, Any]:
    ring = "canary" if rng.random() < 0.1 else "main"
    return {
        "labels": {"site": rng.choice(SITES), "ring": ring, **device.labels},
        "hardware": {"class": board, **BOARDS[board]},
        "engines": {
            "llama": {
                "dialect": "llamacpp.completion",
                "build": "b6910",
                "model": model,
                "digest": f"{rng.getrandbits(64):016x}",
                "quantization": MODELS[model][1],
            }
        },
        "agent": {"version": "0.1.0", "catalogue": 1},
        "scorers": {},
    }


def _window(
    rng: random.Random,
    device: Synthetic,
    about: Mapping[str, Any],
    run: tuple[int, int, int],
    start: int,
    trouble: int,
    day: float,
) -> Record:
    """One minute of the device's life: its load follows the hours, its trouble begins when it begins."""
    epoch, seq, boot = run
    boottime = boot + seq * MINUTE
    ending = boottime + MINUTE
    now_troubled = start >= trouble
    character = device.character if now_troubled else "well"
    model = about["engines"]["llama"]["model"]
    rate = MODELS[model][0] * (1 + 0.1 * day)
    hour = start / 3_600_000
    load = 0.5 + 0.4 * math.sin(hour / 4 + day * 6) + 0.1 * math.sin(hour * 9)
    slow = {"slow": 3.6, "hot": 1.5}.get(character, 1.0)
    exchanges = 0 if character == "down" else max(0, round(rng.gauss(9 * load, 2)))
    failed = sum(rng.random() < (0.22 if character == "failing" else 0.001) for _ in range(exchanges))

    def reading(value: float, spread: float, scale: float = 1.0) -> Value:
        return gauge([max(0, round(rng.gauss(value, spread) * scale)) for _ in range(6)], 3, ending)

    def spread_of(value: float, sigma: float, scale: float, count: int) -> Value:
        return (
            Kind.SKETCH,
            *sketch.of(round(rng.lognormvariate(math.log(value), sigma) * scale) for _ in range(count)),
        )

    memory = int(about["hardware"]["memory_mib"])
    used = 0.975 if character == "slow" else 0.52 + 0.1 * day
    busy = min(0.99, 0.12 + 0.6 * load * (1.3 if slow > 1 else 1))
    heat = 86.5 if character == "hot" else 44 + 22 * busy
    host: dict[str, Value] = {
        "system.cpu.utilization": gauge(
            [min(10_000, max(0, round(rng.gauss(busy, 0.05) * 1e4))) for _ in range(6)], 3, ending
        ),
        "system.memory.usage": reading(used * memory, 20),
        "system.memory.limit": gauge([memory], 3, ending),
        "system.memory.utilization": gauge([min(10_000, round(used * 1e4))], 3, ending),
        "system.pressure.cpu.some": counter(round(MINUTE * 1000 * min(0.9, 0.06 * load * slow))),
        "system.pressure.memory.some": counter(
            round(MINUTE * 1000 * (0.31 if character == "slow" else 0.001))
        ),
        "system.pressure.io.some": counter(round(MINUTE * 1000 * 0.004 * slow)),
        "hw.temperature": reading(heat, 0.6, 10),
        "stonechat.throttled": gauge([2100 if character == "hot" else 0], 3, ending),
        "stonechat.agent.memory.rss": reading(30_500, 40),
        "stonechat.agent.cpu.utilization": reading(31, 4),
        "stonechat.agent.spool.records": gauge([1], 3, ending),
    }
    engine: dict[str, Value] = {
        "stonechat.engine.up": gauge([0 if character == "down" else 10_000], 3, ending)
    }
    values: dict[Series, dict[int, Value]] = {
        DEVICE: {metric_id(name): value for name, value in host.items()},
        Series("llama", "", ""): {metric_id(name): value for name, value in engine.items()},
    }
    if exchanges:
        answered = max(1, exchanges - failed)
        chat: dict[str, Value] = {
            "stonechat.exchanges": counter(exchanges),
            "stonechat.exchange.outcomes": tally(
                {word: n for word, n in (("ok", exchanges - failed), ("error", failed)) if n}
            ),
            "gen_ai.server.time_to_first_token": spread_of(0.34 * slow, 0.45, 1e6, answered),
            "gen_ai.server.request.duration": spread_of(5.2 * slow, 0.4, 1e6, answered),
            "stonechat.decode.rate": spread_of(rate / slow, 0.06, 1e3, answered),
            "gen_ai.usage.input_tokens": spread_of(320, 0.6, 1, answered),
            "gen_ai.usage.output_tokens": spread_of(110, 0.4, 1, answered),
        }
        if failed:
            chat["stonechat.exchanges.failed"] = counter(failed)
            chat["error.type"] = tally({"timeout": failed})
        if device.judged:
            chat |= _judged(rng, answered, rude=character == "slow")
        values[Series("llama", model, "chat")] = {metric_id(name): value for name, value in chat.items()}
    return Record(
        cover=((epoch, seq, seq),),
        description=description.hash_of(about),
        first=Stamp(3, boottime, boottime, start, True),
        last_order=3,
        last_boottime=ending,
        step=MINUTE,
        observed=MINUTE,
        samples=60,
        values=values,
        start=start,
    )


def _judged(rng: random.Random, answered: int, *, rude: bool) -> dict[str, Value]:
    """What a minute's answers give: the small model judges all, the large one the risky and a fifth of the rest."""
    found: dict[str, dict[str, int]] = {}
    bins = {name: [0] * HISTOGRAM_BINS for name in ("toxic", "insult", "relevance", "quality")}
    count = weights = 0

    def add(metric: str, key: str, n: int = 1) -> None:
        counts = found.setdefault(metric, {})
        counts[key] = counts.get(key, 0) + n

    for _ in range(answered):
        if rng.random() < 0.02:
            add("stonechat.scores.skipped", rng.choice(("language", "language", "failed")))
            continue
        add("stonechat.answers.judged", "glance")
        add("stonechat.guidelines.checked", "no-dosage")
        is_toxic = rng.random() < (0.05 if rude else 0.002)
        is_risky = is_toxic or rng.random() < 0.05
        if rng.random() < (0.02 if rude else 0.0005):
            add("stonechat.guidelines.broken", "no-dosage")
        if rng.random() < 0.01:
            add("stonechat.findings", "repetition")
        if not is_risky and rng.random() >= 0.2:
            continue
        weight = WEIGHT_ONE if is_risky else 5 * WEIGHT_ONE
        count, weights = count + 1, weights + weight
        add("stonechat.answers.judged", "judge")
        scores = {
            "toxic": rng.uniform(0.9, 1) if is_toxic else rng.betavariate(1, 20),
            "insult": rng.uniform(0.4, 1) if is_toxic else rng.betavariate(1, 30),
            "relevance": rng.betavariate(12, 2),
            "quality": rng.betavariate(6, 3),
        }
        for name, score in scores.items():
            bins[name][bin_of(score)] += weight
        flags = [name for name in ("toxic", "insult") if scores[name] > 0.85]
        flags += ["quality"] if scores["quality"] < 0.2 else []
        for flag in [*flags, *(["any"] if flags else [])]:
            add("stonechat.flags", flag, weight)
    judged: dict[str, Value] = {metric: tally(counts) for metric, counts in found.items()}
    judged["stonechat.answers.checked"] = counter(answered)
    if count:
        judged["stonechat.answers.weight"] = counter(weights)
        judged |= {f"stonechat.score.{name}": histogram(count, weights) for name, weights in bins.items()}
    return judged


def _exchanges(device: Synthetic, model: str, head: wire.Header, begin: int, end: int) -> list[bytes]:
    """The payloads by which a device tells of some of its exchanges: one in three minutes, sixty at most."""
    if device.character == "down":
        return []
    upload = "flagged" if device.character == "slow" else "none"
    slow = {"slow": 3.6, "hot": 1.5}.get(device.character, 1.0)
    starts = [end - number * 3 * MINUTE - 7_000 for number in range(60) if end - number * 3 * MINUTE > begin]
    told_of = [
        told(device.name, model, number, start, slow=slow, upload=upload)
        for number, start in enumerate(starts)
    ]
    privacy = wire.Privacy("flagged", upload)
    return [wire.encode_exchanges(head, told_of[at : at + 16], privacy) for at in range(0, len(told_of), 16)]


def _flagged_id(device: Synthetic, end: int) -> str:
    """The id of the first exchange of which `_exchanges` tells that is flagged."""
    item = told(device.name, "", 2, end - 2 * 3 * MINUTE - 7_000)
    return str(item.row["id"])


def _events(device: Synthetic, epoch: int, boot: int, begin: int, end: int, trouble: int) -> list[Event]:
    happened: list[tuple[int, str, str, Severity, dict[str, Any]]] = [
        (begin, "agent_started", "", Severity.INFO, {})
    ]
    if device.character == "down":
        happened.append((trouble, "engine_down", "llama", Severity.CRITICAL, {"error": "connection refused"}))
    elif device.character == "slow":
        about = {"model": "qwen2.5-1.5b-instruct", "score": 0.97, "exchange": _flagged_id(device, end)}
        happened.append((end - 5 * MINUTE, "flagged", "toxic", Severity.WARNING, about))
        happened.append((end - 5 * MINUTE, "guideline_broken", "no-dosage", Severity.CRITICAL, about))
    elif device.character == "failing":
        happened.append((trouble, "engine_restarted", "llama", Severity.WARNING, {"pid": 2214}))
    return [
        Event(
            cover=((epoch, seq, seq),),
            kind=kind,
            key=key,
            severity=severity,
            first=Stamp(3, at - begin + boot, at - begin + boot, at, True),
            last_order=3,
            last_boottime=at - begin + boot,
            attributes=attributes,
            start=at,
        )
        for seq, (at, kind, key, severity, attributes) in enumerate(happened, 1)
        if at >= begin
    ]
