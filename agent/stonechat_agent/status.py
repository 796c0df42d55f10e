"""``stonechat status``: what the agent of this device is doing, asked of its local endpoint."""

from __future__ import annotations

import argparse
import http.client
import json
import sys
from typing import Any

from stonechat.errors import StonechatError
from stonechat_agent.commands import figures
from stonechat_agent.commands.figures import UNKNOWN
from stonechat_agent.settings import Settings, load

TIMEOUT_SECONDS = 5.0


class NoAgent(StonechatError):
    """No agent answers at the local endpoint. The text says where, and what to do."""


def main(arguments: argparse.Namespace) -> int:
    """Print the status of the agent that the configuration names."""
    settings = load(arguments.config, as_service=False)
    status = fetch(settings)
    if arguments.json:
        print(json.dumps(status, indent=2))
    else:
        sys.stdout.write(render(status))
    return 0


def fetch(settings: Settings, path: str = "/v1/status") -> dict[str, Any]:
    """The status of the agent, or what else its endpoint gives as JSON. Raises NoAgent."""
    host, port = settings.local.listen
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read(1 << 20)
        if answer.status != 200:
            raise NoAgent(
                f"local.listen = {settings.local.listen}: answered {answer.status}, which is no agent's status"
            )
        found = json.loads(body)
        if not isinstance(found, dict):
            raise NoAgent(f"local.listen = {settings.local.listen}: what answers there is no agent")
        return found
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise NoAgent(
            f"local.listen = {settings.local.listen}: no agent answers there ({error})\n"
            "  hint: start it (`systemctl start stonechat-agent`, `stonechat agent`), or name its file with --config"
        ) from error
    finally:
        connection.close()


def render(status: dict[str, Any]) -> str:
    """The status as text, the answer first."""
    lines = [f"{status['device']} ({status['fleet']}): {status['sentence']}", ""]
    for engine in status["engines"]:
        way = f"relayed from {engine['listen']} to {engine['upstream']}"
        lines.append(_row(f"engine {engine['name']}", f"{engine['state']}, {way}"))
    recent, spool = status["recent"], status["spool"]
    span = _span(recent["span_seconds"])
    outcomes = f"{recent['errors']} failed, {recent['aborted']} aborted"
    load = f"CPU {figures.share(recent['cpu_utilization'])}, memory {figures.share(recent['memory_utilization'])}"
    speed, celsius = recent["tokens_per_second"], recent["temperature_celsius"]
    heat = f"temperature {UNKNOWN}" if celsius is None else f"{celsius:.3g} C"
    waiting = "1 record waits" if spool["records"] == 1 else f"{spool['records']} records wait"
    memory = figures.size(recent["agent_memory_bytes"])
    own = f"{memory}, CPU {figures.share(recent['agent_cpu_utilization'])} of a core"
    lines += [
        _row("exchanges", f"{recent['exchanges']} in {span}, {outcomes}"),
        _row("first token", _pair(recent["ttft_p50_seconds"], recent["ttft_p95_seconds"])),
        _row("duration", _pair(recent["duration_p50_seconds"], recent["duration_p95_seconds"])),
        _row("speed", UNKNOWN if speed is None else f"{figures.rate(speed)} tokens/s"),
        _row("device", f"{load}, {heat}"),
        _row("uplink", status["uplink"]["sentence"]),
        _row("spool", f"{waiting}, {figures.size(spool['bytes'])} in {spool['path']}"),
        _row("journal", _journal(status["journal"])),
        _row("scoring", _scoring(status["scoring"])),
        _row("agent", f"{status['version']}, up {_span(status['uptime_seconds'])}, {own}"),
    ]
    if status["untold"]:
        untold = ", ".join(f"{n} {reason}" for reason, n in sorted(status["untold"].items()))
        lines.append(_row("not sent on", f"{untold}: [exchanges] most_per_hour holds no more"))
    losses = {reason: n for reason, n in status["losses"].items() if n}
    if losses:
        lines.append(_row("lost", ", ".join(f"{n} {reason}" for reason, n in sorted(losses.items()))))
    lines += [_row("not judging", fault) for fault in status["scoring"]["faults"]]
    lines += [
        _row(f"source {s['name']}", f"{s['state']}: {s['reason']}")
        for s in status["sources"]
        if s["state"] == "failed"
    ]
    return "\n".join(lines) + "\n"


def _journal(journal: dict[str, Any]) -> str:
    if journal["fault"]:
        return f"cannot be written in {journal['path']}: {journal['fault']}"
    return f"{figures.size(journal['bytes'])} in {journal['path']}"


_PAUSED = {
    "decoding": "while the engine answers",
    "heat": "until the device is cooler: [scoring] max_temperature",
    "battery": "until the battery is fuller: [scoring] min_battery",
    "back_off": "until the worker is started again after it failed",
    "unable": "for a model to judge by",
}


def _scoring(scoring: dict[str, Any]) -> str:
    if not scoring["enabled"]:
        return "off: [scoring] enabled"
    text = f"{scoring['judged']} answers judged, {scoring['judged_deeply']} of them by the large model"
    if n := scoring["waiting"]:
        why = _PAUSED.get(scoring["paused"], "for their turn")
        text += f"; {n} {'waits' if n == 1 else 'wait'} {why}"
    if scoring["restarts"]:
        times = "once" if scoring["restarts"] == 1 else f"{scoring['restarts']} times"
        text += f"; the worker failed {times}"
    return text


def _row(name: str, text: str) -> str:
    return f"  {name:14} {text}"


def _pair(p50: float | None, p95: float | None) -> str:
    """Of seconds."""
    if p50 is None or p95 is None:
        return UNKNOWN
    return f"{figures.duration(p50 * 1e6)} median, {figures.duration(p95 * 1e6)} p95"


def _span(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.0f} s"
