"""The few figures by which people know a device, out of a record's values.

Everything is in base units: seconds, bytes, shares in [0, 1], tokens a second, degrees Celsius, watts. None is unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

from stonechat import answers, sketch
from stonechat.catalog import BY_ID, metric_id
from stonechat.records import DEVICE, Series, Values
from stonechat.values import Value, fold

Figures = dict[str, float | int | None]

_HOST_GAUGES: dict[str, int] = {
    "cpu_utilization": metric_id("system.cpu.utilization"),
    "memory_utilization": metric_id("system.memory.utilization"),
    "temperature_celsius": metric_id("hw.temperature"),
    "power_watts": metric_id("hw.power"),
    "gpu_utilization": metric_id("hw.gpu.utilization"),
    "agent_cpu_utilization": metric_id("stonechat.agent.cpu.utilization"),
    "agent_memory_bytes": metric_id("stonechat.agent.memory.rss"),
}
_ENGINE_GAUGES: dict[str, int] = {
    "engine_up": metric_id("stonechat.engine.up"),
    "engine_cpu_utilization": metric_id("stonechat.engine.cpu.utilization"),
    "engine_memory_bytes": metric_id("stonechat.engine.memory.rss"),
}
_COUNTERS: dict[str, int] = {
    "exchanges": metric_id("stonechat.exchanges"),
    "errors": metric_id("stonechat.exchanges.failed"),
    "aborted": metric_id("stonechat.exchanges.aborted"),
    "cut": metric_id("stonechat.exchanges.cut"),
}
_QUANTILES: dict[str, tuple[int, float]] = {
    "ttft_p50_seconds": (metric_id("gen_ai.server.time_to_first_token"), 0.5),
    "ttft_p95_seconds": (metric_id("gen_ai.server.time_to_first_token"), 0.95),
    "duration_p50_seconds": (metric_id("gen_ai.server.request.duration"), 0.5),
    "duration_p95_seconds": (metric_id("gen_ai.server.request.duration"), 0.95),
    "queue_p95_seconds": (metric_id("stonechat.queue.duration"), 0.95),
    "tokens_per_second": (metric_id("stonechat.decode.rate"), 0.5),
    "prefill_tokens_per_second": (metric_id("stonechat.prefill.rate"), 0.5),
}
_SUMS: dict[str, int] = {
    "input_tokens": metric_id("gen_ai.usage.input_tokens"),
    "output_tokens": metric_id("gen_ai.usage.output_tokens"),
}


def across_series(values: Values, wanted: Callable[[Series], bool]) -> dict[int, Value]:
    """The metrics of all series for which ``wanted`` holds, folded."""
    result: dict[int, Value] = {}
    for series, metrics in values.items():
        if wanted(series):
            for metric, value in metrics.items():
                result[metric] = fold(result[metric], value) if metric in result else value
    return result


def is_exchange_series(series: Series) -> bool:
    """Whether a series is one of exchanges, not the device's nor an engine's own."""
    return bool(series.operation)


def is_engine_series(series: Series) -> bool:
    """Whether a series is an engine's own."""
    return bool(series.engine) and not series.operation


def mean(value: Value) -> float | None:
    """The mean of a gauge's readings, in the wire's unit."""
    _, count, total, *_ = cast("tuple[int, ...]", value)
    return total / count if count else None


def quantile(value: Value, q: float) -> float | None:
    """A quantile of a sketch value, in the wire's unit."""
    return sketch.quantile(cast("sketch.Sketch", value[1:]), q)


def scaled(metric: int, number: float | None) -> float | None:
    """A number of the wire's unit in the metric's base unit."""
    return None if number is None else number * BY_ID[metric].scale


def summarise(values: Values) -> Figures:
    """All the figures of a record's (or a fold's) values."""
    exchanges = across_series(values, is_exchange_series)
    engines = across_series(values, is_engine_series)
    host: Mapping[int, Value] = values.get(DEVICE, {})
    figures: Figures = {}
    for name, metric in _COUNTERS.items():
        figures[name] = cast("int", exchanges[metric][1]) if metric in exchanges else 0
    total = cast("int", figures["exchanges"])
    figures["error_ratio"] = cast("int", figures["errors"]) / total if total else None
    judged = answers.answers_of(exchanges)
    figures["judged_ratio"], figures["flagged_ratio"] = judged.judged_ratio, judged.flagged_ratio
    for name, (metric, q) in _QUANTILES.items():
        figures[name] = scaled(metric, quantile(exchanges[metric], q)) if metric in exchanges else None
    for name, metric in _SUMS.items():
        figures[name] = cast("int", exchanges[metric][3]) if metric in exchanges else None
    for source, gauges in ((host, _HOST_GAUGES), (engines, _ENGINE_GAUGES)):
        for name, metric in gauges.items():
            figures[name] = scaled(metric, mean(source[metric])) if metric in source else None
    return figures
