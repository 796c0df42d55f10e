"""One picture of ``stonechat top``: what the agent says of itself and what the journal has, as lines. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from stonechat.exchange import MILD_FINDINGS, is_flagged
from stonechat.judgements import finding_words
from stonechat_agent.commands import figures, listing
from stonechat_agent.commands.figures import NONE, UNKNOWN
from stonechat_agent.commands.table import Layout
from stonechat_agent.commands.terminal import Terminal, harmless

STALE_MS = 4000
FEW = 20
"""Exchanges of a picture that has no bound."""
MOST_ENGINES = 4
_COVERED = 0.9
"""Share of the answers below which their judging stands out."""
_LABEL = 9
_ENDS = 3  # the lines below which the table has no room at all

_RECENT = {
    "cpu": "cpu_utilization",
    "memory": "memory_utilization",
    "gpu": "gpu_utilization",
    "temperature": "temperature_celsius",
    "power": "power_watts",
}

Row = Mapping[str, Any]
Line = list[tuple[str, str]]
"""Pieces of a line with their styles, "" for none."""


class View(NamedTuple):
    """Everything that a picture shows, as of an instant."""

    at_ms: int
    status: Mapping[str, Any] | None
    """What ``/v1/status`` says; None where no agent answers."""
    now: Mapping[str, float]
    """The latest of what ``/v1/recent`` says second by second, by its names, as far as it is known."""
    fault: str
    """Why no agent answers, and why there is no journal; "" where nothing is wrong."""
    rows: Sequence[Row]
    """The latest exchanges, the newest first."""
    tokens_per_second: float | None
    """Tokens that were generated in the last minute, a second; None without a journal."""
    findings: Mapping[str, int]
    """Exchanges of the last hour by finding."""


def picture(view: View, now_ms: int, height: int | None, terminal: Terminal) -> list[str]:
    """The lines of a picture, no more than ``height`` and none wider than the terminal."""
    lines = [_cut(line, terminal) for line in _head(view, now_ms)]
    room = None if height is None else height - len(lines) - _ENDS
    lines.append("")
    lines += _table(view, room, terminal)
    return lines[:height]


def _head(view: View, now_ms: int) -> Iterator[Line]:
    status = view.status
    clock = datetime.fromtimestamp(view.at_ms / 1000).strftime("%H:%M:%S")
    late = f", {figures.duration((now_ms - view.at_ms) * 1000)} ago" if now_ms - view.at_ms > STALE_MS else ""
    if status is None:
        yield [("stonechat", "bold"), (f"  {clock}{late}  ", ""), ("no agent answers", "red")]
    else:
        well = status["sentence"] == "all well"
        yield [
            (f"{status['device']} ({status['fleet']})", "bold"),
            (f"  {clock}{late}  ", ""),
            (status["sentence"], "green" if well else "red"),
        ]
    for line in view.fault.splitlines():
        yield [("  " + line.strip(), "yellow")]
    if status is not None:
        yield from _engines(status["engines"])
        yield _device(view.now, status["recent"])
        yield from _traffic(view, status)
        yield _answers(status)
        yield from _agent(status)
    # Mild ones last: of a hundred answers that were cut, one that insulted must not be the one left out.
    order = sorted(view.findings.items(), key=lambda item: (item[0] in MILD_FINDINGS, -item[1]))
    found = ", ".join(f"{finding_words(name)} {n}" for name, n in order)
    style = "yellow" if is_flagged(view.findings) else ""
    yield _labelled("findings", [(found or "none", style), (" in the last hour", "dim")])


def _engines(engines: Sequence[Mapping[str, Any]]) -> Iterator[Line]:
    for engine in engines[:MOST_ENGINES]:
        style = {True: "green", False: "red"}.get(engine["up"], "")
        name = f"{engine['name']} "
        way = f"  {engine['listen']} -> {engine['upstream']}"
        yield _labelled("engine", [(name, "bold"), (str(engine["state"]), style), (way, "dim")])
    if len(engines) > MOST_ENGINES:
        yield _labelled("", [(f"and {len(engines) - MOST_ENGINES} more: stonechat status", "dim")])


def _device(now: Mapping[str, float], recent: Mapping[str, Any]) -> Line:
    # Without figures of this second, those of the latest windows.
    known: Mapping[str, float | None] = now or {name: recent.get(key) for name, key in _RECENT.items()}
    parts = [f"CPU {_share(known.get('cpu'))}", f"memory {_share(known.get('memory'))}"]
    if (celsius := known.get("temperature")) is not None:
        parts.append(f"{celsius:.1f} C")
    if (gpu := known.get("gpu")) is not None:
        parts.append(f"GPU {_share(gpu)}")
    if (watts := known.get("power")) is not None:
        parts.append(f"{watts:.1f} W")
    pieces = [("  ".join(parts), "")]
    if (throttled := known.get("throttled")) is not None:
        pieces.append(("  throttled", "red") if throttled else ("  not throttled", ""))
    if not now:
        pieces.append((f"  mean of {_span(recent['span_seconds'])}", "dim"))
    return _labelled("device", pieces)


def _traffic(view: View, status: Mapping[str, Any]) -> Iterator[Line]:
    recent = status["recent"]
    rate = recent.get("tokens_per_second")
    each = f"{UNKNOWN} each" if rate is None else f"{figures.rate(rate)} tokens/s each"
    going = "" if "in_flight" not in view.now else f"{view.now['in_flight']:.0f} under way, "
    together = f"{figures.rate(view.tokens_per_second)} tokens/s in all (1 min)"
    yield _labelled("speed", [(going, "bold"), (f"{each}, {together}", "")])
    failed, p50, p95 = recent["errors"], recent["ttft_p50_seconds"], recent["ttft_p95_seconds"]
    first = f"first token {_seconds(p50)}" + (f" p50, {_seconds(p95)} p95" if p95 is not None else "")
    yield _labelled(
        "traffic",
        [
            (f"{recent['exchanges']} in {_span(recent['span_seconds'])}, ", ""),
            (f"{failed} failed", "red" if failed else ""),
            (f", {recent['aborted']} aborted, {first}", ""),
        ],
    )


def _answers(status: Mapping[str, Any]) -> Line:
    recent, scoring = status["recent"], status["scoring"]
    judged, flagged = recent["judged_ratio"], recent["flagged_ratio"]
    pieces = [(f"{_share(judged)} judged", "" if judged is None or judged >= _COVERED else "yellow")]
    if flagged is not None:
        pieces.append((f", {figures.rate(1000 * flagged)} of 1,000 flagged", "yellow" if flagged else ""))
    if scoring["waiting"]:
        why = f": {scoring['paused'].replace('_', ' ')}" if scoring["paused"] else ""
        pieces.append((f"  {scoring['waiting']} wait{why}", "dim"))
    if scoring["faults"]:
        pieces.append((f"  {len(scoring['faults'])} faults: stonechat status", "yellow"))
    return _labelled("answers", pieces if scoring["enabled"] else [("not judged: [scoring] enabled", "dim")])


def _agent(status: Mapping[str, Any]) -> Iterator[Line]:
    uplink, spool = status["uplink"], status["spool"]
    yield _labelled("uplink", [(uplink["sentence"], "" if uplink["connected"] else "dim")])
    waits = "record waits" if spool["records"] == 1 else "records wait"
    waiting = f"{spool['records']} {waits}, {figures.size(spool['bytes'])}"
    yield _labelled("spool", [(waiting, ""), (", in memory only" if spool["in_memory"] else "", "red")])
    losses = {reason: n for reason, n in status["losses"].items() if n}
    if losses:
        yield _labelled("lost", [(", ".join(f"{n} {reason}" for reason, n in sorted(losses.items())), "red")])
    failed = [source["name"] for source in status["sources"] if source["state"] == "failed"]
    if failed:
        yield _labelled("sources", [(f"failed: {', '.join(failed)}", "yellow")])


def _table(view: View, room: int | None, terminal: Terminal) -> list[str]:
    if room is not None and room < 1:
        return []
    shown = view.rows[: FEW if room is None else room]
    if not shown:
        return [terminal.styled("no exchanges yet", "dim")]
    today = datetime.fromtimestamp(view.at_ms / 1000)
    cells = [listing.cells(row, today) for row in shown]
    layout = Layout(listing.COLUMNS, cells, terminal)
    styled = [layout.line(cell, listing.styles(row)) for cell, row in zip(cells, shown, strict=True)]
    return [layout.heading, *styled]


def _labelled(label: str, pieces: Line) -> Line:
    return [(f"{label:{_LABEL}}", "dim"), *pieces]


def _cut(line: Line, terminal: Terminal) -> str:
    left = terminal.width
    found = []
    for text, style in line:
        shown = harmless(text)
        if left is not None:
            shown = shown[:left]
            left -= len(shown)
        found.append(terminal.styled(shown, style) if style else shown)
    return "".join(found)


def _share(share: float | None) -> str:
    return NONE if share is None else f"{100 * share:.0f}%"


def _seconds(seconds: float | None) -> str:
    return figures.duration(None if seconds is None else seconds * 1e6)


def _span(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"
