"""The metrics that a window can hold: the one place that defines them.

A metric is known on the wire by its id, which is never reused and never changes its meaning, unit or kind; a new
meaning is a new id and raises ``VERSION``. Values are whole numbers of the metric's unit, so that folding is exact.
Names follow OpenTelemetry where it has one (``system.*``, ``hw.*``, ``gen_ai.*``) and are ours (``stonechat.*``)
where it has none. Units are UCUM; where a plain unit would carry noise over the wire, the unit is a scaled one:

``us``       microseconds
``1e-4``     a share, in ten-thousandths: 10000 is the whole
``1e-3 {token}/s``   thousandths of a token a second
``1e-4 {exchange}``   the weight of an exchange that stands for others too, in ten-thousandths: 10000 is one
``MiBy``, ``KiBy``, ``By``   binary megabytes, kilobytes, bytes
``dCel``     tenths of a degree Celsius
``mW``, ``mJ``, ``MHz``, ``{...}``   milliwatts, millijoules, megahertz, a count of the thing in braces
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

VERSION = 1
"""Records of two catalogue versions never fold together."""


class Kind(IntEnum):
    """How a metric's values fold. The numbers stand on the wire."""

    COUNTER = 1  # increments: sum
    GAUGE = 2  # readings: count, sum, min, max, last
    SKETCH = 3  # a distribution: DDSketch
    HISTOGRAM = 4  # a weighted distribution over fixed bins of [0, 1]
    TALLY = 5  # counts of short identifiers
    VECTOR = 6  # component-wise sum and count


class Scope(IntEnum):
    """What a metric belongs to, and so which series of a window holds it."""

    DEVICE = 0  # once in a window
    ENGINE = 1  # once an engine: series (engine, "", "")
    SERIES = 2  # once an (engine, model, operation)


class Metric(NamedTuple):
    """One metric of the catalogue."""

    id: int
    name: str
    unit: str
    kind: Kind
    scope: Scope
    help: str

    @property
    def scale(self) -> float:
        """Factor from the wire's unit to the base unit of ``base_unit``."""
        return _BASE.get(self.unit, (1.0, ""))[0]

    @property
    def base_unit(self) -> str:
        """UCUM base unit for people and other systems: s, By, 1, Cel, W, J, Hz, {token}/s or the unit itself."""
        return _BASE.get(self.unit, (1.0, self.unit))[1]


_BASE: dict[str, tuple[float, str]] = {
    "us": (1e-6, "s"),
    "1e-4": (1e-4, "1"),
    "1e-3 {token}/s": (1e-3, "{token}/s"),
    "1e-4 {exchange}": (1e-4, "{exchange}"),
    "MiBy": (1048576.0, "By"),
    "KiBy": (1024.0, "By"),
    "dCel": (0.1, "Cel"),
    "mW": (1e-3, "W"),
    "mJ": (1e-3, "J"),
    "MHz": (1e6, "Hz"),
}

SCORE_NAMES: tuple[str, ...] = (
    "toxic",
    "hate",
    "insult",
    "threat",
    "violence",
    "sexual",
    "self_harm",
    "refusal",
    "relevance",
    "coherence",
    "quality",
)

_C, _G, _S, _H, _T, _V = Kind.COUNTER, Kind.GAUGE, Kind.SKETCH, Kind.HISTOGRAM, Kind.TALLY, Kind.VECTOR
_D, _E, _X = Scope.DEVICE, Scope.ENGINE, Scope.SERIES

METRICS: tuple[Metric, ...] = (
    # Exchanges
    Metric(1, "stonechat.exchanges", "{exchange}", _C, _X, "Exchanges that ended in the window."),
    Metric(
        2, "stonechat.exchange.outcomes", "{exchange}", _T, _X, "Exchanges by outcome: ok, error, aborted."
    ),
    Metric(3, "stonechat.exchange.dialects", "{exchange}", _T, _X, "Exchanges by dialect."),
    Metric(4, "gen_ai.response.finish_reasons", "{exchange}", _T, _X, "Exchanges by finish reason."),
    Metric(5, "error.type", "{exchange}", _T, _X, "Failed exchanges by error type."),
    Metric(6, "stonechat.exchanges.cut", "{exchange}", _C, _X, "Answers that ended at the token limit."),
    Metric(
        7,
        "stonechat.exchanges.aborted",
        "{exchange}",
        _C,
        _X,
        "Exchanges whose client went away before the end.",
    ),
    Metric(8, "stonechat.exchanges.failed", "{exchange}", _C, _X, "Exchanges that ended in an error."),
    Metric(
        10,
        "stonechat.time_to_first_byte",
        "us",
        _S,
        _X,
        "From accepting the request to the answer's first byte.",
    ),
    Metric(
        11,
        "gen_ai.server.time_to_first_token",
        "us",
        _S,
        _X,
        "From accepting the request to the first generated piece.",
    ),
    Metric(
        12,
        "gen_ai.server.request.duration",
        "us",
        _S,
        _X,
        "From accepting the request to the answer's last byte.",
    ),
    Metric(13, "stonechat.queue.duration", "us", _S, _X, "Waiting for the engine to begin."),
    Metric(
        14, "stonechat.prefill.rate", "1e-3 {token}/s", _S, _X, "Uncached prompt tokens processed a second."
    ),
    Metric(
        15, "stonechat.decode.rate", "1e-3 {token}/s", _S, _X, "Tokens generated a second, after the first."
    ),
    Metric(16, "gen_ai.server.time_per_output_token", "us", _S, _X, "Time a token after the first."),
    Metric(
        17,
        "stonechat.load.duration",
        "us",
        _S,
        _X,
        "Loading the model for the exchange, where the engine says so.",
    ),
    Metric(20, "gen_ai.usage.input_tokens", "{token}", _S, _X, "Prompt tokens, cached ones included."),
    Metric(21, "gen_ai.usage.output_tokens", "{token}", _S, _X, "Generated tokens, reasoning included."),
    Metric(
        22,
        "gen_ai.usage.cache_read.input_tokens",
        "{token}",
        _C,
        _X,
        "Prompt tokens taken from the engine's cache.",
    ),
    Metric(23, "gen_ai.usage.reasoning.output_tokens", "{token}", _C, _X, "Generated tokens of reasoning."),
    Metric(
        24,
        "stonechat.tokens.provenance",
        "{exchange}",
        _T,
        _X,
        "Exchanges by where their token counts come from.",
    ),
    Metric(
        25,
        "stonechat.context.utilization",
        "1e-4",
        _G,
        _X,
        "Context in use at an answer's end, of its limit.",
    ),
    # The engine
    Metric(
        40, "stonechat.engine.up", "1e-4", _G, _E, "Whether the engine's process runs, or its socket accepts."
    ),
    Metric(41, "stonechat.engine.slots.busy", "{slot}", _G, _E, "Slots that are generating."),
    Metric(42, "stonechat.engine.slots.total", "{slot}", _G, _E, "Slots that the engine has."),
    Metric(
        43, "stonechat.engine.requests.in_flight", "{exchange}", _G, _E, "Exchanges under way at the relay."
    ),
    Metric(
        44, "stonechat.engine.restarts", "{restart}", _C, _E, "Times that the engine's process was seen anew."
    ),
    Metric(
        45,
        "stonechat.engine.cpu.utilization",
        "1e-4",
        _G,
        _E,
        "CPU of the engine's process tree, of one core.",
    ),
    Metric(
        46, "stonechat.engine.memory.rss", "KiBy", _G, _E, "Resident memory of the engine's process tree."
    ),
    Metric(47, "stonechat.engine.paging.faults", "{fault}", _C, _E, "Major page faults of the process tree."),
    Metric(
        48,
        "stonechat.engine.cpu.run_delay",
        "us",
        _C,
        _E,
        "Time the tree's threads were runnable but waited for a core.",
    ),
    Metric(
        49,
        "stonechat.engine.context_switches.involuntary",
        "{switch}",
        _C,
        _E,
        "Preemptions of the tree's threads.",
    ),
    Metric(50, "stonechat.engine.io.read", "By", _C, _E, "Bytes that the tree read from storage."),
    Metric(51, "stonechat.engine.threads", "{thread}", _G, _E, "Threads of the process tree."),
    Metric(52, "stonechat.engine.gpu.memory", "MiBy", _G, _E, "GPU memory that the process tree holds."),
    Metric(
        53,
        "stonechat.engine.memory.charged",
        "KiBy",
        _G,
        _E,
        "Memory of the engine's cgroup, page cache included.",
    ),
    # The host
    Metric(60, "system.cpu.utilization", "1e-4", _G, _D, "Busy share of all cores."),
    Metric(61, "system.cpu.steal", "1e-4", _G, _D, "Share of all cores' time taken by the hypervisor."),
    Metric(
        62, "system.cpu.frequency.ratio", "1e-4", _G, _D, "Mean frequency of the cores, of their maximum."
    ),
    Metric(63, "system.cpu.load_1m", "1e-4", _G, _D, "Load average over a minute, a core."),
    Metric(64, "system.cpu.core.utilization.max", "1e-4", _G, _D, "Busy share of the busiest core."),
    Metric(70, "system.memory.usage", "MiBy", _G, _D, "Memory in use: total less available."),
    Metric(71, "system.memory.limit", "MiBy", _G, _D, "Memory that the device has."),
    Metric(72, "system.memory.utilization", "1e-4", _G, _D, "Memory in use, of all."),
    Metric(73, "system.paging.usage", "MiBy", _G, _D, "Swap in use."),
    Metric(74, "system.paging.faults", "{fault}", _C, _D, "Major page faults of the device."),
    Metric(80, "system.pressure.cpu.some", "us", _C, _D, "Time in which some task waited for a core (PSI)."),
    Metric(
        81, "system.pressure.memory.some", "us", _C, _D, "Time in which some task waited for memory (PSI)."
    ),
    Metric(
        82, "system.pressure.memory.full", "us", _C, _D, "Time in which all tasks waited for memory (PSI)."
    ),
    Metric(83, "system.pressure.io.some", "us", _C, _D, "Time in which some task waited for storage (PSI)."),
    Metric(84, "system.pressure.io.full", "us", _C, _D, "Time in which all tasks waited for storage (PSI)."),
    Metric(90, "system.disk.io.read", "By", _C, _D, "Bytes read from storage devices."),
    Metric(91, "system.disk.io.write", "By", _C, _D, "Bytes written to storage devices."),
    Metric(92, "system.filesystem.utilization", "1e-4", _G, _D, "Used share of the spool's file system."),
    Metric(93, "system.filesystem.free", "MiBy", _G, _D, "Free bytes of the spool's file system."),
    Metric(100, "system.network.io.receive", "By", _C, _D, "Bytes received, loopback left out."),
    Metric(101, "system.network.io.transmit", "By", _C, _D, "Bytes sent, loopback left out."),
    Metric(102, "system.network.errors", "{error}", _C, _D, "Network errors and drops, loopback left out."),
    Metric(110, "hw.temperature", "dCel", _G, _D, "The hottest of the device's processor sensors."),
    Metric(
        111,
        "stonechat.throttled",
        "1e-4",
        _G,
        _D,
        "Whether the device was throttled: heat, power or current.",
    ),
    Metric(112, "stonechat.throttle.reasons", "{sample}", _T, _D, "Samples by reason of throttling."),
    Metric(113, "hw.power", "mW", _G, _D, "Power that the device draws, where a sensor says so."),
    Metric(114, "hw.energy", "mJ", _C, _D, "Energy that the device used, where a sensor says so."),
    Metric(115, "hw.battery.charge", "1e-4", _G, _D, "Charge of the battery."),
    Metric(116, "hw.fan_speed", "{rpm}", _G, _D, "Speed of the fastest fan."),
    Metric(
        117, "hw.battery.power", "mW", _G, _D, "Power that the battery gives; 0 while it is charged or full."
    ),
    # GPUs, summed or the worst over the device's GPUs as the help says
    Metric(120, "hw.gpu.utilization", "1e-4", _G, _D, "Busy share of the GPUs, mean."),
    Metric(121, "hw.gpu.memory.usage", "MiBy", _G, _D, "GPU memory in use, all GPUs."),
    Metric(122, "hw.gpu.memory.limit", "MiBy", _G, _D, "GPU memory, all GPUs."),
    Metric(123, "hw.gpu.temperature", "dCel", _G, _D, "Temperature of the hottest GPU."),
    Metric(124, "hw.gpu.power", "mW", _G, _D, "Power that the GPUs draw, all GPUs."),
    Metric(125, "hw.gpu.energy", "mJ", _C, _D, "Energy that the GPUs used."),
    Metric(126, "hw.gpu.clock.ratio", "1e-4", _G, _D, "Clock of the GPUs, of their maximum, mean."),
    Metric(127, "hw.gpu.throttle.reasons", "{sample}", _T, _D, "Samples by reason of GPU throttling."),
    Metric(128, "hw.gpu.errors", "{error}", _C, _D, "Uncorrected memory errors and link replays."),
    Metric(
        129, "hw.npu.utilization", "1e-4", _G, _D, "Busy share of the neural processor, mean of its cores."
    ),
    # The agent itself
    Metric(
        140, "stonechat.agent.cpu.utilization", "1e-4", _G, _D, "CPU of the agent's processes, of one core."
    ),
    Metric(141, "stonechat.agent.memory.rss", "KiBy", _G, _D, "Resident memory of the agent's processes."),
    Metric(142, "stonechat.agent.disk.write", "By", _C, _D, "Bytes that the agent wrote to storage."),
    Metric(143, "stonechat.agent.uplink.transmit", "By", _C, _D, "Payload bytes that the agent published."),
    Metric(
        144,
        "stonechat.agent.losses",
        "{record}",
        _T,
        _D,
        "What was lost, by reason: windows, events, exchanges.",
    ),
    Metric(
        145,
        "stonechat.agent.parsers.dropped",
        "{connection}",
        _T,
        _D,
        "Connections no longer parsed, by reason.",
    ),
    Metric(146, "stonechat.agent.spool.size", "KiBy", _G, _D, "Bytes of the spool on disk."),
    Metric(147, "stonechat.agent.spool.records", "{record}", _G, _D, "Records not yet acknowledged."),
    Metric(148, "stonechat.agent.sources.failed", "{source}", _G, _D, "Sampling sources that fail."),
    Metric(
        149,
        "stonechat.agent.relay.connections",
        "{connection}",
        _G,
        _D,
        "Client connections open at the relay.",
    ),
    Metric(150, "stonechat.agent.lag", "us", _S, _D, "How late the agent's event loop ran, sampled."),
    # Scores: weighted histograms of an exchange's judgements in [0, 1]
    *(
        Metric(
            200 + index,
            f"stonechat.score.{name}",
            "1",
            _H,
            _X,
            f"Scores of answers: {name.replace('_', ' ')}.",
        )
        for index, name in enumerate(SCORE_NAMES)
    ),
    Metric(240, "stonechat.scores.skipped", "{exchange}", _T, _X, "Exchanges not scored, by reason."),
    Metric(
        241,
        "stonechat.answer.embedding",
        "1e-4",
        _V,
        _X,
        "Sum of the answers' embeddings; only with 20 or more.",
    ),
    Metric(
        242, "stonechat.answers.checked", "{exchange}", _C, _X, "Answers that the checks of every answer saw."
    ),
    Metric(243, "stonechat.findings", "{exchange}", _T, _X, "Answers beyond a threshold, by what was found."),
    Metric(
        244,
        "stonechat.guidelines.broken",
        "{exchange}",
        _T,
        _X,
        "Answers that broke a guideline, by its name.",
    ),
    Metric(
        245,
        "stonechat.guidelines.checked",
        "{exchange}",
        _T,
        _X,
        "Answers that were held to a guideline, by its name.",
    ),
    Metric(
        246,
        "stonechat.answers.judged",
        "{exchange}",
        _T,
        _X,
        "Answers that a model judged, by model: glance, judge. One that both judged counts in both.",
    ),
    Metric(
        247,
        "stonechat.answers.weight",
        "1e-4 {exchange}",
        _C,
        _X,
        "What the answers of stonechat.flags stand for: the sum of their sampling weights.",
    ),
    Metric(
        248,
        "stonechat.flags",
        "1e-4 {exchange}",
        _T,
        _X,
        "Sampling weights of answers beyond a head's threshold, by head; any: beyond one or more.",
    ),
)

BY_ID: dict[int, Metric] = {metric.id: metric for metric in METRICS}
BY_NAME: dict[str, Metric] = {metric.name: metric for metric in METRICS}


def metric_id(name: str) -> int:
    """The wire id of a catalogue name. Raises KeyError for a name that the catalogue lacks."""
    return BY_NAME[name].id
