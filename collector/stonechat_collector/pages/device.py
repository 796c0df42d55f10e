"""What the device page shows: the range that its address names, and the charts' columns on one grid of time.

Pure: windows are the plain mappings of ``views.device_windows``. A chart's figures are in UCUM base units; a step in
which nothing was measured is None, a gap.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import urlencode

from stonechat.answers import ANY
from stonechat.ids import is_exchange_id
from stonechat.sentences import sentence
from stonechat_collector.pages import answers
from stonechat_collector.pages.words import (
    PER_THOUSAND,
    duration,
    exact,
    plural,
    share,
    size,
    span_words,
    text_of,
)

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR

RANGES: Mapping[str, tuple[str, int]] = {
    "15m": ("15 minutes", 15 * MINUTE),
    "1h": ("1 hour", HOUR),
    "6h": ("6 hours", 6 * HOUR),
    "24h": ("24 hours", DAY),
    "7d": ("7 days", 7 * DAY),
    "30d": ("30 days", 30 * DAY),
}
DEFAULT_RANGE = "1h"

STEPS: Sequence[int] = (5000, 10_000, 30_000, MINUTE, 10 * MINUTE, HOUR, DAY)
"""Steps in ms. Those from ten minutes on are roll-ups, below them are windows."""

MAX_POINTS = 750
"""Steps in a chart: the step is the finest that keeps under it."""

TABLE_ROWS = 180
"""Rows of the charts' table, newest first; the API has them all."""


@dataclass(frozen=True)
class Range:
    """The span of time that the page shows, in ms since 1970, in whole steps.

    ``name`` is one of `RANGES`, and then the span ends now and moves on; "" for a fixed span.
    """

    name: str
    start: int
    end: int
    step: int

    @classmethod
    def read(cls, parameters: Mapping[str, str], now_ms: int, window_ms: int = MINUTE) -> Range:
        """From an address: ``range=6h``, or ``from`` and ``to`` in ms. What makes no sense is the default range.

        Args:
            window_ms: length of the device's windows: no step is shorter.
        """
        low, high = _number(parameters.get("from")), _number(parameters.get("to"))
        if (
            low is not None
            and high is not None
            and 0 <= low < high <= now_ms + DAY
            and high - low <= 390 * DAY
        ):
            return cls._of("", low, max(high, low + 5 * MINUTE), window_ms)
        name = parameters.get("range", DEFAULT_RANGE)
        if name not in RANGES:
            name = DEFAULT_RANGE
        return cls._of(name, now_ms - RANGES[name][1], now_ms, window_ms)

    @classmethod
    def _of(cls, name: str, start: int, end: int, window_ms: int) -> Range:
        fitting = (step for step in STEPS if step >= window_ms and (end - start) / step < MAX_POINTS)
        step = next(fitting, STEPS[-1])
        first = start // step * step
        return cls(name, first, -(-end // step) * step, step)

    @property
    def live(self) -> bool:
        """Whether the span moves with time."""
        return bool(self.name)

    def moved(self, way: int) -> str:
        """The query of the span one length earlier (-1) or later (1)."""
        length = self.end - self.start
        return "?" + urlencode({"from": self.start + way * length, "to": self.end + way * length})


class Series(NamedTuple):
    """One line of a chart: its word and a value for each step, None where unknown."""

    label: str
    values: list[float | None]


class Chart(NamedTuple):
    """One chart: figures of one unit over the page's time."""

    key: str
    title: str
    unit: str
    kind: str
    """``line``, ``band`` (p50 as the line, p95 as the band's edge) or ``bars``."""
    series: list[Series]
    help: str
    zero: bool = True
    """Whether the axis starts at zero: shares, rates and times do, a temperature does not."""
    top: float | None = None
    """The least upper end of the axis."""
    whole: bool = False
    """Whether only whole numbers stand on the axis."""
    alarm: bool = False
    """Whether anything above zero is bad."""

    def known(self) -> Chart:
        """The chart without the lines of which nothing is known at any step."""
        return self._replace(series=[line for line in self.series if any(v is not None for v in line.values)])


class DevicePage(NamedTuple):
    """All that the template needs beside the device itself."""

    span: Range
    ranges: list[tuple[str, str]]
    range_words: str
    step_words: str
    api: str
    """Address of the same figures as JSON, all of them."""
    headline: list[tuple[str, str, str]]
    """Label, key in ``metrics`` and unit of the figures at the top."""
    charts: list[Chart]
    """The charts that have something to show, in the order of the page."""
    has_ttft: bool
    """Whether the exchanges' bars stand below the time to first token, and so not by themselves."""
    data: dict[str, Any]
    """The charts as the page's script reads them."""
    columns: list[tuple[str, str]]
    """Header and unit of each column of the table."""
    rows: list[tuple[int, list[float | None]]]
    """The table, newest first: start of the step in ms, and a figure for each column."""
    steps: int
    """Steps in which anything was measured: the rows that there are, of which `rows` may be a part."""
    answers: answers.AnswersPart
    events: list[Mapping[str, Any]]
    series: Sequence[Mapping[str, Any]]
    series_columns: Sequence[tuple[str, str, str]]
    facts: list[tuple[str, list[tuple[str, str]]]]


HEADLINE: Sequence[tuple[str, str, str]] = (
    ("Failed exchanges", "error_ratio", "1"),
    ("First token p50", "ttft_p50_seconds", "s"),
    ("First token p95", "ttft_p95_seconds", "s"),
    ("Tokens a second", "tokens_per_second", "{token}/s"),
    ("CPU", "cpu_utilization", "1"),
    ("GPU", "gpu_utilization", "1"),
    ("Memory", "memory_utilization", "1"),
    ("Temperature", "temperature_celsius", "Cel"),
    ("Power", "power_watts", "W"),
    ("Flagged per 1,000", "flagged_ratio", PER_THOUSAND),
    ("Answers judged", "judged_ratio", "1"),
)
_ALWAYS = 7
"""The first of the headline that stand there even when unknown, the GPU's excepted."""

SERIES_COLUMNS: Sequence[tuple[str, str, str]] = (
    ("Exchanges", "exchanges", "{exchange}"),
    ("Errors", "error_ratio", "1"),
    ("First token p50", "ttft_p50_seconds", "s"),
    ("p95", "ttft_p95_seconds", "s"),
    ("Tokens/s", "tokens_per_second", "{token}/s"),
    ("Input tokens", "input_tokens", "{token}"),
    ("Output tokens", "output_tokens", "{token}"),
    ("Judged", "judged_ratio", "1"),
    ("Flagged per 1,000", "flagged_ratio", PER_THOUSAND),
)

Point = Mapping[str, Any]
Windows = Mapping[str, Any]


def build(
    found: Mapping[str, Any],
    windows: Windows,
    happened: Sequence[Mapping[str, Any]],
    span: Range,
    flagged: Sequence[Mapping[str, Any]] = (),
) -> DevicePage:
    """The page of a device with these windows and events in this range; ``flagged``: flagged exchanges."""
    step = int(windows.get("step") or span.step)
    times = list(range(span.start // step * step, span.end, step))
    charts = [known for chart in _charts(windows, times, step) if (known := chart.known()).series]
    columns = [
        (
            f"{chart.title}, {series.label}" if len(chart.series) > 1 else chart.title,
            chart.unit,
            series.values,
        )
        for chart in charts
        for series in chart.series
    ]
    grid = [(time, [values[index] for _, _, values in columns]) for index, time in enumerate(times)]
    rows = [(time, figures) for time, figures in grid if any(figure is not None for figure in figures)]
    data = {
        "start": span.start // 1000,
        "end": span.end // 1000,
        "step": step // 1000,
        "time": [time // 1000 for time in times],
        "uncertain": _uncertain(windows),
        "charts": [
            {
                "key": chart.key,
                "unit": chart.unit,
                "kind": chart.kind,
                "zero": chart.zero,
                "top": chart.top,
                "whole": chart.whole,
                "alarm": chart.alarm,
                "series": [
                    {"label": series.label, "values": list(map(_short, series.values))}
                    for series in chart.series
                ],
            }
            for chart in charts
        ],
        "events": [
            {"t": event["time"] // 1000, "severity": event["severity"], "text": event_words(event)}
            for event in happened
            if event.get("time") is not None
        ],
    }
    metrics = found.get("metrics") or {}
    return DevicePage(
        span=span,
        ranges=[(name, label) for name, (label, _) in RANGES.items()],
        range_words=describe(span),
        step_words=span_of(step),
        api=windows_address(str(found["id"]), span),
        headline=[
            entry
            for place, entry in enumerate(HEADLINE)
            if metrics.get(entry[1]) is not None or (place < _ALWAYS and entry[1] != "gpu_utilization")
        ],
        charts=charts,
        has_ttft=any(chart.key == "ttft" for chart in charts),
        data=data,
        columns=[(title, unit) for title, unit, _ in columns],
        rows=rows[::-1][:TABLE_ROWS],
        steps=len(rows),
        answers=answers.build(str(found["id"]), windows, times, step, flagged),
        events=[shown(event) for event in sorted(happened, key=lambda event: event["time"], reverse=True)],
        series=found.get("series") or (),
        series_columns=SERIES_COLUMNS,
        facts=facts_of(found, windows),
    )


def shown(event: Mapping[str, Any]) -> dict[str, Any]:
    """An event for a list: time in ms, the severity's word, what happened in words, its details, and the address of the
    exchange that it is about ("" where it is about none)."""
    words = event_words(event)
    details = (
        text if name == "reason" else f"{name.replace('_', ' ')} {text}"
        for name, value in (event.get("attributes") or {}).items()
        if name not in _SHOWN_OTHERWISE
        and (text := text_of(value))
        and text.replace("_", " ") not in words
        and text not in words
    )
    exchange = (event.get("attributes") or {}).get("exchange")
    is_known = isinstance(exchange, str) and is_exchange_id(exchange) and event.get("device")
    return {
        "time": event["time"],
        "device": event.get("device"),
        "severity": str(event.get("severity") or "info"),
        "words": words,
        "detail": ", ".join(details)[:300],
        "exchange": f"/devices/{event['device']}/exchanges/{exchange}" if is_known else "",
    }


_SHOWN_OTHERWISE = ("exchange", "score")


def facts_of(found: Mapping[str, Any], windows: Windows) -> list[tuple[str, list[tuple[str, str]]]]:
    """What is known of a device, in groups: (title, [(label, text)]). Unknown facts are left out, and empty groups."""
    about = found.get("description") or {}
    engines = about.get("engines") or {}
    first_seen = found.get("first_seen")
    groups: list[tuple[str, Mapping[str, Any]]] = [
        (
            "Device",
            {
                "fleet": found.get("fleet"),
                **(found.get("labels") or {}),
                "first heard": None if first_seen is None else exact(first_seen),
            },
        ),
        ("Hardware", found.get("hardware") or {}),
        *(
            (f"Engine {name}" if len(engines) > 1 else "Engine and model", facts)
            for name, facts in engines.items()
        ),
        ("Agent", {**_about_agent(about), **_agent(found.get("metrics") or {})}),
        ("Delivery", {**_delivery(found.get("counts") or {}), **_backlog(windows), "clock": _clock(windows)}),
    ]
    result = []
    for title, facts in groups:
        lines = [(_label(label), text) for label, item in facts.items() if (text := _fact(label, item))]
        if lines:
            result.append((title, lines))
    return result


def _about_agent(about: Mapping[str, Any]) -> dict[str, Any]:
    # The newest window says how long it is: the description's word for it would stand there twice.
    return {name: item for name, item in (about.get("agent") or {}).items() if name != "window_ms"}


def _agent(metrics: Mapping[str, Any]) -> dict[str, Any]:
    cpu, window = metrics.get("agent_cpu_utilization"), metrics.get("window_seconds")
    return {
        "memory_bytes": metrics.get("agent_memory_bytes"),
        "cpu": None if cpu is None else f"{share(cpu)} of one core",
        "window": None if window is None else str(duration(window)),
    }


def _delivery(counts: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "windows taken": counts.get("windows"),
        "too old to keep": counts.get("expired") or None,
        "windows refused": counts.get("refused") or None,
        "messages rejected": counts.get("rejected") or None,
    }


def _backlog(windows: Windows) -> dict[str, Any]:
    """What the device said last about what it still has to send."""

    def last(name: str) -> float | None:
        points = ((windows.get("metrics") or {}).get(name) or {}).get("points")
        return points[-1].get("last") if points else None

    records = last("stonechat.agent.spool.records")
    return {
        "not yet sent": None if records is None else round(records),
        "spool_bytes": last("stonechat.agent.spool.size"),
    }


def _clock(windows: Windows) -> str:
    spans = windows.get("spans") or ()
    doubtful = sum(1 for span in spans if span["uncertain"])
    if not spans:
        return ""
    return f"not certain in {doubtful} of {plural(len(spans), 'step')}" if doubtful else "certain"


_NAMED = {
    "cpu": "CPU",
    "gpus": "GPUs",
    "os": "OS",
    "os_version": "OS version",
    "catalog": "metric catalogue",
    "window": "window length",
}


def _label(key: str) -> str:
    for suffix in ("_mib", "_bytes", "_seconds"):
        key = key.removesuffix(suffix)
    return _NAMED.get(key) or key.replace("_", " ")


def _fact(label: str, item: Any) -> str:
    if label.endswith("_mib") and isinstance(item, (int, float)):
        return str(size(item * 1048576))
    if label.endswith("_bytes") and isinstance(item, (int, float)):
        return str(size(item))
    return text_of(item)


def span_of(step: int) -> str:
    """A step in words: ``1 min``, ``10 min``, ``1 h``, ``1 d``."""
    return span_words(step / 1000) if step < DAY else f"{step // DAY} d"


def event_words(event: Mapping[str, Any]) -> str:
    """What an event says to people: see ``sentences``."""
    return sentence(
        str(event.get("kind") or "event"),
        text_of(event.get("key")),
        event.get("attributes") or {},
        event.get("count") or 1,
    )


def _charts(windows: Windows, times: Sequence[int], step: int) -> Iterable[Chart]:
    def read(name: str, value: Callable[[Point], float | None]) -> list[float | None]:
        return _column(windows, name, times, step, value)

    ttft = "gen_ai.server.time_to_first_token"
    yield Chart(
        "ttft",
        "Time to first token",
        "s",
        "band",
        [Series("p50", read(ttft, _part("p50"))), Series("p95", read(ttft, _part("p95")))],
        "From accepting the request to the first generated piece: median, and 95th percentile as the band's edge.",
    )
    yield Chart(
        "count",
        "Exchanges",
        "{exchange}",
        "bars",
        [Series("exchanges", read("stonechat.exchanges", _total))],
        "Exchanges that ended in each step.",
        top=4,
        whole=True,
    )
    rate = "stonechat.decode.rate"
    yield Chart(
        "rate",
        "Tokens a second",
        "{token}/s",
        "line",
        [Series("p50", read(rate, _part("p50")))],
        "Tokens generated a second by one exchange, after its first: median.",
    )
    yield Chart(
        "cpu",
        "CPU, and waiting for it",
        "1",
        "line",
        [
            Series("busy", read("system.cpu.utilization", _part("mean"))),
            Series("tasks waiting for a core", read("system.pressure.cpu.some", _part("rate"))),
            Series("tasks waiting for memory", read("system.pressure.memory.some", _part("rate"))),
        ],
        "Busy share of all cores, and the share of time in which some task waited (pressure).",
        top=1,
    )
    yield Chart(
        "memory",
        "Memory",
        "By",
        "line",
        [
            Series("in use", read("system.memory.usage", _part("mean"))),
            Series("on the device", read("system.memory.limit", _part("max"))),
        ],
        "Memory in use, and what the device has.",
    )
    yield Chart(
        "gpu",
        "GPU",
        "1",
        "line",
        [Series("busy", read("hw.gpu.utilization", _part("mean")))],
        "Busy share of the GPUs.",
        top=1,
    )
    yield Chart(
        "heat",
        "Temperature",
        "Cel",
        "line",
        [
            Series("processor", read("hw.temperature", _part("max"))),
            Series("GPU", read("hw.gpu.temperature", _part("max"))),
        ],
        "The hottest sensor, highest reading of each step.",
        zero=False,
    )
    exchanges = read("stonechat.exchanges", _total)
    # Where exchanges were counted and no failure was, the failures are known to be none.
    failed = [
        0.0 if fault is None and total is not None else fault
        for fault, total in zip(read("stonechat.exchanges.failed", _total), exchanges, strict=True)
    ]
    yield Chart(
        "errors",
        "Failed exchanges",
        "{exchange}",
        "bars",
        [Series("failed", failed)],
        "Exchanges that ended in an error, in each step.",
        top=4,
        whole=True,
        alarm=True,
    )

    weight = read("stonechat.answers.weight", _total)
    # Likewise: where answers were judged and none was flagged.
    flagged = [
        0.0 if flags is None and judged is not None else flags
        for flags, judged in zip(read("stonechat.flags", _any_flag), weight, strict=True)
    ]
    yield Chart(
        "flagged",
        "Flagged answers",
        "{exchange}",
        "bars",
        [Series("flagged", flagged)],
        "Answers beyond a model's threshold, in each step; one out of a sample counts for those it stands for.",
        top=4,
        alarm=True,
    )


def _column(
    windows: Windows, name: str, times: Sequence[int], step: int, value: Callable[[Point], float | None]
) -> list[float | None]:
    """A figure for each step. A point that is longer than a step stands in each of its steps: as coarse as it is."""
    found: list[float | None] = [None] * len(times)
    metric = (windows.get("metrics") or {}).get(name)
    for point in metric["points"] if metric is not None and times else ():
        number = value(point)
        if number is None:
            continue
        first = (point["time"] - times[0]) // step
        steps = max(1, round(point.get("span", step) / step))
        # What was counted over several steps is spread over them.
        share = number / steps if value in (_total, _any_flag) else number
        for index in range(max(first, 0), min(first + steps, len(times))):
            if steps == 1 or found[index] is None:
                found[index] = share
    return found


def _part(key: str) -> Callable[[Point], float | None]:
    def part(point: Point) -> float | None:
        number = point.get(key)
        return None if number is None else float(number)

    return part


_total = _part("sum")


def _any_flag(point: Point) -> float | None:
    number = (point.get("counts") or {}).get(ANY)
    return None if number is None else float(number)


def _uncertain(windows: Windows) -> list[tuple[int, int]]:
    """Spans in seconds in which the device's clock was not certain, neighbours joined."""
    joined: list[tuple[int, int]] = []
    for span in windows.get("spans") or ():
        if span["uncertain"]:
            start, end = span["time"] // 1000, (span["time"] + span["span"]) // 1000
            if joined and joined[-1][1] >= start:
                before = joined.pop()
                start, end = before[0], max(end, before[1])
            joined.append((start, end))
    return joined


def window_of(found: Mapping[str, Any]) -> int:
    """The length in ms of the device's windows; a minute where it is not known, or where history was folded."""
    seconds = (found.get("metrics") or {}).get("window_seconds")
    return min(round(seconds * 1000), MINUTE) if seconds else MINUTE


def _short(value: float | None) -> float | None:
    """Five significant digits: more than a chart shows, and half the bytes."""
    return None if value is None else float(f"{value:.5g}")


def _number(text: str | None) -> int | None:
    return int(text) if text and len(text) <= 15 and text.isascii() and text.isdigit() else None


def windows_address(device_id: str, span: Range) -> str:
    """The API's address of the same figures, all of them."""
    query = urlencode({"from": span.start, "to": span.end, "step": span.step})
    return f"/api/v1/devices/{device_id}/windows?{query}"


def describe(span: Range) -> str:
    """``the last hour``; "" for a fixed span."""
    return f"the last {RANGES[span.name][0].removeprefix('1 ')}" if span.name else ""
