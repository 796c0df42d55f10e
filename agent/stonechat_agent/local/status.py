"""What ``/v1/status`` says, out of the pipeline's snapshot: the answer first, then the figures."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from stonechat import __version__
from stonechat.summary import summarise
from stonechat_agent.journal import Stats
from stonechat_agent.pipeline import Snapshot
from stonechat_agent.sampling import SourceStatus
from stonechat_agent.scoring.worker.keeper import Stats as Scoring
from stonechat_agent.settings import Settings


def status_of(
    settings: Settings,
    snapshot: Snapshot,
    *,
    relaying: frozenset[str],
    sources: Sequence[SourceStatus],
    journal: Stats,
    scoring: Scoring,
    untold: Mapping[str, int],
    uplink_fault: str,
    uptime_seconds: float,
) -> dict[str, Any]:
    """The status of the agent.

    Args:
        untold: exchanges that a collector is not told of because an hour holds no more, by the reason to tell of them.
        uplink_fault: why there is no connection, "" where that is unknown.
    """
    engines = [
        {
            "name": engine.name,
            "upstream": str(engine.upstream),
            "listen": str(engine.listen),
            "relaying": engine.name in relaying,
            "up": snapshot.engines.get(engine.name),
            "state": _engine_state(snapshot.engines.get(engine.name), engine.name in relaying),
        }
        for engine in settings.engines
    ]
    recent = {**summarise(snapshot.recent), "span_seconds": snapshot.recent_ms / 1000}
    return {
        "device": settings.device.id,
        "fleet": settings.device.fleet,
        "version": __version__,
        "uptime_seconds": round(uptime_seconds, 1),
        "sentence": _sentence(snapshot, relaying, journal, settings),
        "engines": engines,
        "recent": recent,
        "uplink": _uplink(settings, snapshot, uplink_fault),
        "spool": {
            "path": settings.spool.path,
            "records": snapshot.spool_records,
            "bytes": snapshot.spool_bytes,
            "in_memory": snapshot.spool_in_memory,
        },
        "journal": {
            "path": settings.journal.path,
            "bytes": journal.size,
            "waiting": journal.waiting,
            "fault": journal.fault,
        },
        "scoring": {
            "enabled": settings.scoring.enabled,
            "judged": scoring.scored,
            "judged_deeply": scoring.deep,
            "waiting": scoring.waiting,
            "waiting_bytes": scoring.waiting_bytes,
            "paused": scoring.paused,
            "running": scoring.pid is not None,
            "memory_bytes": scoring.memory,
            "restarts": scoring.restarts,
            "models": dict(scoring.models),
            "faults": list(scoring.faults),
        },
        "untold": dict(untold),
        "losses": dict(snapshot.losses),
        "sources": [
            {"name": source.name, "state": source.state.value, "reason": source.reason} for source in sources
        ],
    }


def _engine_state(up: bool | None, relaying: bool) -> str:
    state = {True: "up", False: "down", None: "not seen yet"}[up]
    return state if relaying else f"{state}, not relayed"


def _sentence(snapshot: Snapshot, relaying: frozenset[str], journal: Stats, settings: Settings) -> str:
    faults = []
    not_relayed = [engine.name for engine in settings.engines if engine.name not in relaying]
    if not_relayed:
        faults.append(
            f"{', '.join(not_relayed)} cannot be relayed: the address of engine.listen cannot be had"
        )
    down = [name for name, up in snapshot.engines.items() if up is False]
    if down:
        faults.append(f"{', '.join(down)} is down")
    if journal.fault:
        faults.append(f"the journal cannot be written in {settings.journal.path}")
    if snapshot.spool_in_memory:
        faults.append(f"the spool cannot be written in {settings.spool.path}, windows are kept in memory")
    if faults:
        return "; ".join(faults)
    unseen = [name for name, up in snapshot.engines.items() if up is None]
    return f"nothing known to be wrong, {', '.join(unseen)} not seen yet" if unseen else "all well"


def _uplink(settings: Settings, snapshot: Snapshot, fault: str) -> dict[str, Any]:
    if settings.mqtt.url is None:
        return {
            "connected": False,
            "url": None,
            "sentence": "none configured: [mqtt] url is empty, windows stay here",
        }
    url = str(settings.mqtt.url)
    if snapshot.linked_since is not None:
        minutes = (time.time() - snapshot.linked_since) / 60
        return {"connected": True, "url": url, "sentence": f"connected to {url} for {minutes:.0f} min"}
    because = f": {fault.replace('_', ' ')}" if fault else ""
    return {"connected": False, "url": url, "sentence": f"not connected to {url}{because}"}
