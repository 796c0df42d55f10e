"""``stonechat status``: what the agent of this device is doing, asked of its local endpoint."""

from __future__ import annotations

import argparse
import http.client
import json
import sys
from typing import Any

from stonechat.errors import StonechatError
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
    load = f"CPU {_share(recent['cpu_utilization'])}, memory {_share(recent['memory_utilization'])}"
    memory = _known(_mib(recent["agent_memory_bytes"]), "MiB")
    own = f"{memory}, CPU {_share(recent['agent_cpu_utilization'])} of a core"
    lines += [
        _row("exchanges", f"{recent['exchanges']} in {span}, {outcomes}"),
        _row("first token", _pair(recent["ttft_p50_seconds"], recent["ttft_p95_seconds"], "s")),
        _row("duration", _pair(recent["duration_p50_seconds"], recent["duration_p95_seconds"], "s")),
        _row("speed", _known(recent["tokens_per_second"], "tokens/s")),
        _row("device", f"{load}, {_known(recent['temperature_celsius'], 'C')}"),
        _row("uplink", status["uplink"]["sentence"]),
        _row("spool", f"{spool['records']} records wait, {spool['bytes'] / 1024:.0f} KiB in {spool['path']}"),
        _row("journal", _journal(status["journal"])),
        _row("agent", f"{status['version']}, up {_span(status['uptime_seconds'])}, {own}"),
    ]
    if status["untold"]:
        untold = ", ".join(f"{n} {reason}" for reason, n in sorted(status["untold"].items()))
        lines.append(_row("not sent on", f"{untold}: [exchanges] most_per_hour holds no more"))
    losses = {reason: n for reason, n in status["losses"].items() if n}
    if losses:
        lines.append(_row("lost", ", ".join(f"{n} {reason}" for reason, n in sorted(losses.items()))))
    lines += [
        _row(f"source {s['name']}", f"{s['state']}: {s['reason']}")
        for s in status["sources"]
        if s["state"] == "failed"
    ]
    return "\n".join(lines) + "\n"


def _journal(journal: dict[str, Any]) -> str:
    if journal["fault"]:
        return f"cannot be written in {journal['path']}: {journal['fault']}"
    return f"{journal['bytes'] / 1024:.0f} KiB in {journal['path']}"


def _row(name: str, text: str) -> str:
    return f"  {name:14} {text}"


def _known(number: float | None, unit: str) -> str:
    return "unknown" if number is None else f"{number:.3g} {unit}"


def _pair(p50: float | None, p95: float | None, unit: str) -> str:
    return "unknown" if p50 is None or p95 is None else f"{p50:.3g} {unit} median, {p95:.3g} {unit} p95"


def _share(share: float | None) -> str:
    return "unknown" if share is None else f"{100 * share:.3g} %"


def _mib(size: float | None) -> float | None:
    return None if size is None else size / 1048576


def _span(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.0f} s"
