"""The figures that stand for a device: of its newest record, and of its recent exchanges. Pure.

Both are plain dicts of base units (seconds, bytes, ratios of 0 to 1, degrees Celsius, watts); a figure that is not
known is missing. ``now_of`` is taken by ingest from the newest record, ``recent_of`` by the roll-up from the last
buckets; pages and API only read them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from stonechat import answers, sketch
from stonechat.catalog import BY_ID, Kind, metric_id
from stonechat.records import DEVICE, Record, Series
from stonechat.values import Value, fold, tally_counts

NOW_FIGURES = (
    "cpu_utilization",
    "cpu_frequency_ratio",
    "cpu_steal",
    "memory_utilization",
    "memory_used_bytes",
    "memory_total_bytes",
    "swap_used_bytes",
    "temperature_celsius",
    "throttled",
    "power_watts",
    "battery_charge",
    "filesystem_utilization",
    "gpu_utilization",
    "gpu_memory_used_bytes",
    "gpu_memory_total_bytes",
    "gpu_temperature_celsius",
    "gpu_power_watts",
    "cpu_pressure",
    "memory_pressure",
    "io_pressure",
    "engine_up",
    "engine_memory_bytes",
    "engine_cpu_cores",
    "engine_run_delay",
    "engine_major_faults",
    "slots_busy",
    "slots_total",
    "requests_in_flight",
    "agent_memory_bytes",
    "agent_cpu_utilization",
    "window_seconds",
)
"""Figures of the newest record."""

RECENT_FIGURES = (
    "exchanges",
    "errors",
    "error_ratio",
    "aborted",
    "cut",
    "tokens_per_second",
    "ttft_p50_seconds",
    "ttft_p95_seconds",
    "duration_p50_seconds",
    "duration_p95_seconds",
    "input_tokens",
    "output_tokens",
    "answers_checked",
    "judged_ratio",
    "flagged_ratio",
    "guidelines_broken",
    "span_seconds",
)
"""Figures of the exchanges of the recent span, ``span_seconds`` of which were observed."""

SERIES_FIGURES = tuple(name for name in RECENT_FIGURES if name != "span_seconds")
"""Figures of one series' exchanges."""

_MEAN = "mean"
_MAX = "max"
_LAST = "last"

_DEVICE_GAUGES: tuple[tuple[str, str, str], ...] = (
    ("cpu_utilization", "system.cpu.utilization", _MEAN),
    ("cpu_frequency_ratio", "system.cpu.frequency.ratio", _MEAN),
    ("cpu_steal", "system.cpu.steal", _MEAN),
    ("memory_utilization", "system.memory.utilization", _MEAN),
    ("memory_used_bytes", "system.memory.usage", _LAST),
    ("memory_total_bytes", "system.memory.limit", _LAST),
    ("swap_used_bytes", "system.paging.usage", _LAST),
    ("temperature_celsius", "hw.temperature", _MAX),
    ("throttled", "stonechat.throttled", _MEAN),
    ("power_watts", "hw.power", _MEAN),
    ("battery_charge", "hw.battery.charge", _LAST),
    ("filesystem_utilization", "system.filesystem.utilization", _LAST),
    ("gpu_utilization", "hw.gpu.utilization", _MEAN),
    ("gpu_memory_used_bytes", "hw.gpu.memory.usage", _LAST),
    ("gpu_memory_total_bytes", "hw.gpu.memory.limit", _LAST),
    ("gpu_temperature_celsius", "hw.gpu.temperature", _MAX),
    ("gpu_power_watts", "hw.gpu.power", _MEAN),
    ("agent_memory_bytes", "stonechat.agent.memory.rss", _LAST),
    ("agent_cpu_utilization", "stonechat.agent.cpu.utilization", _MEAN),
)
_DEVICE_SHARES: tuple[tuple[str, str], ...] = (
    ("cpu_pressure", "system.pressure.cpu.some"),
    ("memory_pressure", "system.pressure.memory.some"),
    ("io_pressure", "system.pressure.io.some"),
)
"""Counters of time, as shares of the time observed."""

_G = {name: (metric_id(metric), BY_ID[metric_id(metric)].scale, how) for name, metric, how in _DEVICE_GAUGES}
_S = {name: metric_id(metric) for name, metric in _DEVICE_SHARES}

_ENGINE_UP = metric_id("stonechat.engine.up")
_SLOTS_BUSY = metric_id("stonechat.engine.slots.busy")
_SLOTS_TOTAL = metric_id("stonechat.engine.slots.total")
_IN_FLIGHT = metric_id("stonechat.engine.requests.in_flight")
_ENGINE_CPU = metric_id("stonechat.engine.cpu.utilization")
_ENGINE_RSS = metric_id("stonechat.engine.memory.rss")
_ENGINE_FAULTS = metric_id("stonechat.engine.paging.faults")
_ENGINE_DELAY = metric_id("stonechat.engine.cpu.run_delay")

EXCHANGES = metric_id("stonechat.exchanges")
FAILED = metric_id("stonechat.exchanges.failed")
ABORTED = metric_id("stonechat.exchanges.aborted")
CUT = metric_id("stonechat.exchanges.cut")
TTFT = metric_id("gen_ai.server.time_to_first_token")
DURATION = metric_id("gen_ai.server.request.duration")
DECODE_RATE = metric_id("stonechat.decode.rate")
INPUT_TOKENS = metric_id("gen_ai.usage.input_tokens")
OUTPUT_TOKENS = metric_id("gen_ai.usage.output_tokens")
ERROR_TYPES = metric_id("error.type")
OUTCOMES = metric_id("stonechat.exchange.outcomes")


def now_of(record: Record) -> dict[str, Any]:
    """The figures of one record that tell how the device and its engines are now: `NOW_FIGURES`."""
    figures: dict[str, Any] = {}
    device = record.values.get(DEVICE, {})
    for name, (metric, scale, how) in _G.items():
        if _is(device, metric, Kind.GAUGE):
            figures[name] = _rounded(_reading(device[metric], how) * scale)
    for name, metric in _S.items():
        if record.observed and _is(device, metric, Kind.COUNTER):
            figures[name] = _rounded(min(1.0, _count(device[metric]) / 1000 / record.observed))
    engines = [metrics for series, metrics in record.values.items() if series.engine and not series.operation]
    if engines:
        figures.update(_engines(engines, record.observed))
    figures["window_seconds"] = _rounded(record.step / 1000)
    return figures


def recent_of(values: Iterable[tuple[Series, int, Value]], observed_ms: int) -> dict[str, Any]:
    """The figures of the exchanges in a span: `RECENT_FIGURES` of all of them together.

    ``series`` holds the same for each engine, model and operation, the busiest first; ``model`` and ``engine`` are the
    busiest one's; ``answers`` is what is known of the answers, as ``answers_figures`` has it. Only figures that are
    known are there.

    Args:
        values: (series, metric, value) of the roll-up's buckets, in any order.
        observed_ms: how much of the span was really observed.
    """
    everything: dict[int, Value] = {}
    by_series: dict[Series, dict[int, Value]] = {}
    for series, metric, value in values:
        if series.operation and metric in _RECENT:
            _add(everything, metric, value)
            _add(by_series.setdefault(series, {}), metric, value)
    figures = {"span_seconds": _rounded(observed_ms / 1000), **_exchanges(everything)}
    if answers.METRICS & everything.keys():
        figures["answers"] = answers_figures(answers.answers_of(everything))
    rows = [{**series._asdict(), **_exchanges(merged)} for series, merged in by_series.items()]
    rows.sort(key=lambda row: (-(row.get("exchanges") or 0), row["engine"], row["model"], row["operation"]))
    if rows:
        named = next((row for row in rows if row["model"]), rows[0])
        figures.update(series=rows, model=named["model"], engine=named["engine"])
    return figures


def answers_figures(found: answers.Answers) -> dict[str, Any]:
    """What is known of answers as a plain dict: each model's count, reasons, findings, rates and guidelines by name."""
    return {
        "checked": found.checked,
        "judged": dict(found.judged),
        "judged_ratio": None if found.judged_ratio is None else _rounded(found.judged_ratio),
        "skipped": dict(found.skipped),
        "findings": dict(found.findings),
        "flagged_ratio": None if found.flagged_ratio is None else _rounded(found.flagged_ratio),
        "heads": {
            name: {"flagged_ratio": _rounded(ratio), "mean": _rounded(found.means[name])}
            for name, ratio in found.flag_ratios.items()
        },
        "guidelines": {
            name: {"held": found.held.get(name), "broken": found.broken.get(name, 0)}
            for name in sorted({*found.held, *found.broken})
        },
    }


def _add(merged: dict[int, Value], metric: int, value: Value) -> None:
    mine = merged.get(metric)
    if mine is None:
        merged[metric] = value
    # Those that cannot be added stand beside the newest catalogue's in a bucket.
    elif mine[0] == value[0] and _alike(mine, value):
        merged[metric] = fold(mine, value)


def _alike(one: Value, other: Value) -> bool:
    """Whether two values of one kind can be added: sketches of one accuracy, histograms of as many bins."""
    if one[0] == Kind.SKETCH:
        return one[1] == other[1]
    return one[0] != Kind.HISTOGRAM or len(one) == len(other)


def _exchanges(merged: Mapping[int, Value]) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    if EXCHANGES in merged:
        total = _count(merged[EXCHANGES])
        failed = _count(merged[FAILED]) if FAILED in merged else 0
        figures.update(exchanges=total, errors=failed)
        for name, metric in (("aborted", ABORTED), ("cut", CUT)):
            figures[name] = _count(merged[metric]) if metric in merged else 0
        if total:
            figures["error_ratio"] = _rounded(min(1.0, failed / total))
    for name, metric, q, scale in _QUANTILES:
        if _is(merged, metric, Kind.SKETCH):
            quantile = sketch.quantile(merged[metric][1:], q)  # type: ignore[arg-type]
            if quantile is not None:
                figures[name] = _rounded(quantile * scale)
    for name, metric in (("input_tokens", INPUT_TOKENS), ("output_tokens", OUTPUT_TOKENS)):
        if _is(merged, metric, Kind.SKETCH):
            figures[name] = merged[metric][3]
    judged = answers.answers_of(merged)
    if judged.checked is not None:
        figures["answers_checked"] = judged.checked
    for name, ratio in (("judged_ratio", judged.judged_ratio), ("flagged_ratio", judged.flagged_ratio)):
        if ratio is not None:
            figures[name] = _rounded(ratio)
    if judged.held or judged.broken:
        figures["guidelines_broken"] = sum(judged.broken.values())
    return figures


_QUANTILES = (
    ("tokens_per_second", DECODE_RATE, 0.5, 1e-3),
    ("ttft_p50_seconds", TTFT, 0.5, 1e-6),
    ("ttft_p95_seconds", TTFT, 0.95, 1e-6),
    ("duration_p50_seconds", DURATION, 0.5, 1e-6),
    ("duration_p95_seconds", DURATION, 0.95, 1e-6),
)
_RECENT = (
    frozenset((EXCHANGES, FAILED, ABORTED, CUT, TTFT, DURATION, DECODE_RATE, INPUT_TOKENS, OUTPUT_TOKENS))
    | answers.METRICS
)


def _engines(engines: list[Mapping[int, Value]], observed: int) -> dict[str, Any]:
    """Summed over the engines; ``engine_up`` is the worst one's last reading."""
    figures: dict[str, Any] = {}
    up = [_reading(m[_ENGINE_UP], _LAST) for m in engines if _is(m, _ENGINE_UP, Kind.GAUGE)]
    if up:
        figures["engine_up"] = _rounded(min(up) * 1e-4)
    for name, metric, scale in (
        ("slots_busy", _SLOTS_BUSY, 1.0),
        ("slots_total", _SLOTS_TOTAL, 1.0),
        ("requests_in_flight", _IN_FLIGHT, 1.0),
        ("engine_cpu_cores", _ENGINE_CPU, 1e-4),
        ("engine_memory_bytes", _ENGINE_RSS, 1024.0),
    ):
        readings = [_reading(m[metric], _MEAN) for m in engines if _is(m, metric, Kind.GAUGE)]
        if readings:
            figures[name] = _rounded(sum(readings) * scale)
    delays = [_count(m[_ENGINE_DELAY]) for m in engines if _is(m, _ENGINE_DELAY, Kind.COUNTER)]
    if delays and observed:
        # Of one thread: a value above 1 means that several threads waited at once.
        figures["engine_run_delay"] = _rounded(sum(delays) / 1000 / observed)
    faults = [_count(m[_ENGINE_FAULTS]) for m in engines if _is(m, _ENGINE_FAULTS, Kind.COUNTER)]
    if faults:
        figures["engine_major_faults"] = sum(faults)
    return figures


def _is(metrics: Mapping[int, Value], metric: int, kind: Kind) -> bool:
    return metric in metrics and metrics[metric][0] == kind


def _reading(value: Value, how: str) -> float:
    _, count, total, _low, high, last, *_ = value
    if how == _MEAN:
        return total / count  # type: ignore[operator]
    return float(high if how == _MAX else last)


def _count(value: Value) -> int:
    if value[0] == Kind.COUNTER:
        return int(value[1])
    return sum(tally_counts(value).values()) if value[0] == Kind.TALLY else 0


def _rounded(number: float) -> float:
    """Six significant digits: more than any of these figures has, and short in JSON."""
    return float(f"{number:.6g}")
