"""What came of a replay: totals by model, out of the windows that were made."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any, cast

from stonechat.catalog import metric_id
from stonechat.records import OTHER, Values
from stonechat.summary import across_series, is_exchange_series, summarise
from stonechat.values import Value, tally_counts
from stonechat_agent.commands import figures
from stonechat_agent.commands.terminal import harmless

_FIGURES = (
    *(
        "exchanges",
        "errors",
        "aborted",
        "cut",
        "ttft_p50_seconds",
        "ttft_p95_seconds",
        "duration_p50_seconds",
    ),
    *("duration_p95_seconds", "queue_p95_seconds", "tokens_per_second", "prefill_tokens_per_second"),
    *("input_tokens", "output_tokens"),
)
_LAST_MS = 253_402_300_799_999
_ERROR_TYPES = metric_id("error.type")
_FINDINGS = metric_id("stonechat.findings")
_CHECKED = metric_id("stonechat.answers.checked")


def figures_of(totals: Values) -> dict[str, Any]:
    """Figures of all exchanges and of each model, most exchanges first; errors and findings by kind."""
    series = [one for one in totals if is_exchange_series(one) or one == OTHER]
    models = [
        {
            "engine": one.engine,
            "model": one.model or None,
            "operation": one.operation,
            **_figures({one: totals[one]}),
        }
        for one in series
    ]
    models.sort(key=lambda model: (-model["exchanges"], model["engine"], model["model"] or ""))
    across = across_series(totals, lambda one: one in series)
    return {
        **_figures(totals),
        "errors_by_type": _tally(across.get(_ERROR_TYPES)),
        "findings": _tally(across.get(_FINDINGS)),
        "checked": cast("int", across[_CHECKED][1]) if _CHECKED in across else 0,
        "models": models,
    }


def _figures(values: Values) -> dict[str, Any]:
    found = summarise(values)
    return {name: found[name] for name in _FIGURES}


def _tally(value: Value | None) -> dict[str, int]:
    counts = tally_counts(value) if value is not None else {}
    return dict(sorted(counts.items(), key=lambda count: (-count[1], count[0])))


def render(report: Mapping[str, Any]) -> str:
    """The report as text, the answer first."""
    number = report["exchanges"]
    lines = [f"{harmless(report['file'])}: {_several(number, 'exchange')}{_span(report)}"]
    if number:
        lines += ["", *_all(report)]
    for model in report["models"] if len(report["models"]) > 1 else ():
        lines += ["", f"  {model['engine']}, {model['model'] or 'unknown model'}, {model['operation']}"]
        lines += _rows(model)
    unread = report["bad_lines"]
    if unread:
        lines += ["", f"  {_several(unread, 'line')} could not be read:"]
        lines += [f"  line {bad['line']}: {harmless(bad['reason'])}" for bad in report["bad"]]
        if unread > len(report["bad"]):
            lines.append(f"  and {unread - len(report['bad'])} more")
    if report["directory"] is not None:
        lines += [
            "",
            f"  kept in {report['directory']}: see `stonechat requests --config {report['config']}`",
        ]
    return "\n".join(lines) + "\n"


def _all(report: Mapping[str, Any]) -> list[str]:
    models = report["models"]
    lines = []
    if len(models) == 1:
        lines.append(_row("model", f"{models[0]['model'] or 'unknown'} of {models[0]['engine']}"))
    lines += _rows(report)
    lines.append(
        _row("windows", f"{report['windows']} of {figures.duration(report['window_seconds'] * 1e6)}")
    )
    errors, findings = report["errors_by_type"], report["findings"]
    lines.append(_row("errors", _counts(errors) if errors else "none"))
    if report["checked"]:
        lines.append(_row("findings", _counts(findings) if findings else "none"))
    if report["out_of_order"]:
        lines.append(
            _row("order", "the lines were out of order; they were taken by the ends of the exchanges")
        )
    if report["losses"]:
        lines.append(_row("lost", _counts(report["losses"])))
    return lines


def _rows(found: Mapping[str, Any]) -> list[str]:
    outcomes = f"{found['errors']} failed, {found['aborted']} aborted"
    speed = found["tokens_per_second"]
    tokens = f"{figures.count(found['input_tokens'])} in, {figures.count(found['output_tokens'])} out"
    return [
        _row("exchanges", f"{found['exchanges']}, {outcomes}"),
        _row("first token", _pair(found["ttft_p50_seconds"], found["ttft_p95_seconds"])),
        _row("duration", _pair(found["duration_p50_seconds"], found["duration_p95_seconds"])),
        _row("speed", "unknown" if speed is None else f"{figures.rate(speed)} tokens/s"),
        _row("tokens", tokens),
    ]


def _row(name: str, text: str) -> str:
    return f"  {name:14} {text}"


def _pair(p50: float | None, p95: float | None) -> str:
    if p50 is None or p95 is None:
        return "unknown"
    return f"{figures.duration(p50 * 1e6)} median, {figures.duration(p95 * 1e6)} p95"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{n} {harmless(name)}" for name, n in counts.items())


def _several(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number != 1 else ''}"


def _span(report: Mapping[str, Any]) -> str:
    if report["from"] is None:
        return ""
    begin, end = report["from"], report["to"]
    same_day = begin[:10] == end[:10]
    return f", {_short(begin)} to {_short(end)[11:] if same_day else _short(end)} UTC"


def _short(moment: str) -> str:
    return moment[:19].replace("T", " ")


def iso(ms: int) -> str:
    """Ms since 1970 in ISO 8601, UTC; the end of the year 9999 for what is later."""
    ms = min(ms, _LAST_MS)
    return datetime.fromtimestamp(ms / 1000, timezone.utc).isoformat(timespec="milliseconds")
