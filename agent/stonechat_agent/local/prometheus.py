"""Prometheus' text format, out of a fold of windows.

Names are the catalogue's with underscores and the base unit (``gen_ai_server_request_duration_seconds``); counters
end in ``_total`` and count since the agent's start. Distributions are summaries; those of scores have no quantiles, and
their sums and counts are by sampling weight. Labels come from the bounded series.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import cast

from stonechat import sketch
from stonechat.catalog import METRICS, Kind, Metric
from stonechat.records import Series, Values
from stonechat.summary import quantile
from stonechat.values import WEIGHT_ONE, Value

_UNITS = {
    "s": "seconds",
    "By": "bytes",
    "1": "ratio",
    "Cel": "celsius",
    "W": "watts",
    "J": "joules",
    "Hz": "hertz",
}
_QUANTILES = (0.5, 0.95, 0.99)


def metric_name(metric: Metric) -> str:
    """The name of a metric in Prometheus."""
    name = metric.name.replace(".", "_")
    unit = "tokens_per_second" if metric.base_unit == "{token}/s" else _UNITS.get(metric.base_unit, "")
    if unit and not name.endswith(unit) and not (unit == "ratio" and name.endswith("utilization")):
        name = f"{name}_{unit}"
    return f"{name}_total" if metric.kind in (Kind.COUNTER, Kind.TALLY) else name


def render(totals: Values) -> str:
    """The exposition of a fold of all windows since the agent's start."""
    return "".join(line + "\n" for line in _lines(totals))


def _lines(totals: Values) -> Iterator[str]:
    for metric in METRICS:
        holders = {series: metrics[metric.id] for series, metrics in totals.items() if metric.id in metrics}
        if not holders or metric.kind is Kind.VECTOR:
            continue
        name = metric_name(metric)
        kind = {Kind.GAUGE: "gauge", Kind.SKETCH: "summary", Kind.HISTOGRAM: "summary"}.get(
            metric.kind, "counter"
        )
        yield f"# HELP {name} {metric.help}"
        yield f"# TYPE {name} {kind}"
        yield from _samples(metric, name, holders)


def _samples(metric: Metric, name: str, holders: Mapping[Series, Value]) -> Iterator[str]:
    for series, value in holders.items():
        labels = {key: part for key, part in zip(Series._fields, series, strict=True) if part}
        if metric.kind is Kind.COUNTER:
            yield f"{name}{_labels(labels)} {_number(cast('int', value[1]) * metric.scale)}"
        elif metric.kind is Kind.GAUGE:
            yield f"{name}{_labels(labels)} {_number(cast('int', value[5]) * metric.scale)}"
        elif metric.kind is Kind.TALLY:
            for key, n in zip(value[1::2], value[2::2], strict=True):
                yield f"{name}{_labels({**labels, 'value': str(key)})} {_number(cast('int', n) * metric.scale)}"
        elif metric.kind is Kind.HISTOGRAM:
            weights = cast("tuple[int, ...]", value[2:])
            total = sum((2 * place + 1) * weight for place, weight in enumerate(weights)) / (2 * len(weights))
            yield f"{name}_sum{_labels(labels)} {_number(total / WEIGHT_ONE)}"
            yield f"{name}_count{_labels(labels)} {_number(sum(weights) / WEIGHT_ONE)}"
        else:
            whole = cast("sketch.Sketch", value[1:])
            for q in _QUANTILES:
                point = quantile(value, q)
                if point is not None:
                    yield f"{name}{_labels({**labels, 'quantile': str(q)})} {_number(point * metric.scale)}"
            yield f"{name}_sum{_labels(labels)} {_number(whole[2] * metric.scale)}"
            yield f"{name}_count{_labels(labels)} {sketch.count(whole)}"


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    # Values are identifiers by the time they are here: none holds a quote, a backslash or a newline.
    return "{" + ",".join(f'{key}="{value}"' for key, value in labels.items()) + "}"


def _number(number: float) -> str:
    return f"{number:.10g}"
