"""The watch: keeps each device's status, with its reason and since when, in the store.

It remembers what it read, so that a round reads only what changed and judges the rest from memory: silence changes a
status without any message. It owns ``devices.status*``, and raises an event when a device goes or comes back.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, select, update

from stonechat.event import EventKind, Severity
from stonechat_collector import schema
from stonechat_collector.raised import raise_event
from stonechat_collector.status import MIN_EXCHANGES, Facts, Verdict, current_recent, judge
from stonechat_collector.store import Store

OVERLAP_MS = 10_000
"""How far back a round looks again: ``changed`` is set by the clocks of several processes, before they commit."""

FLAPPING_MS = 120_000
"""A device that goes again within this time is counted in the event that told of it first."""


class _Known(NamedTuple):
    fleet: str
    facts: Facts
    status: str | None
    reason: str | None


class Watch:
    """Judges every device of a store. One process runs one."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, _Known] = {}
        self._read_to = 0

    def round(self, now: int) -> int:
        """Judge all devices at ``now`` (ms), write what changed, and return how many did. Raises StoreUnavailable."""
        with self._store.reading() as connection:
            self._read(connection, now)
        peers = self._peers()
        changed: list[tuple[str, _Known, Verdict]] = []
        for name, known in self._known.items():
            verdict = judge(known.facts, now, peers.get(_model(known.facts) or None, ()))
            if (verdict.status, verdict.reason) != (known.status, known.reason):
                changed.append((name, known, verdict))
        if changed:
            with self._store.writing() as connection:
                self._write(connection, changed, now)
            for name, known, verdict in changed:
                self._known[name] = known._replace(status=verdict.status, reason=verdict.reason)
        return len(changed)

    def _read(self, connection: Connection, now: int) -> None:
        table = schema.devices
        since = self._read_to - OVERLAP_MS if self._read_to else -1
        for row in connection.execute(_FACTS.where(table.c.changed >= since)):
            facts = Facts(row.online, row.state_at, row.last_seen, row.now, row.recent, row.recent_until)
            self._known[row.id] = _Known(row.fleet, facts, row.status, row.status_reason)
        self._read_to = now

    def _peers(self) -> dict[str | None, list[float]]:
        """Decode rates by model, sorted, of the devices whose recent exchanges are enough to tell."""
        rates: dict[str | None, list[float]] = {}
        for known in self._known.values():
            recent, model = current_recent(known.facts), _model(known.facts)
            rate = recent.get("tokens_per_second")
            if model and rate is not None and (recent.get("exchanges") or 0) >= MIN_EXCHANGES:
                rates.setdefault(model, []).append(rate)
        for found in rates.values():
            found.sort()
        return rates

    def _write(self, connection: Connection, changed: list[tuple[str, _Known, Verdict]], now: int) -> None:
        rows: list[dict[str, Any]] = []
        for name, known, verdict in changed:
            row = {"key": name, "status": verdict.status, "reason": verdict.reason, "changed": now}
            if verdict.status == known.status:
                connection.execute(_SET_REASON, row)
                continue
            rows.append({**row, "since": now if verdict.since is None else verdict.since})
            if verdict.status == "offline":
                about, severity = (name, EventKind.DEVICE_OFFLINE, ""), Severity.WARNING
            elif known.status == "offline":
                about, severity = (name, EventKind.DEVICE_ONLINE, ""), Severity.INFO
            else:
                continue
            raise_event(
                connection,
                now,
                about,
                fleet=known.fleet,
                severity=severity,
                count=1,
                span_ms=FLAPPING_MS,
                attributes={"reason": verdict.reason} if verdict.reason else {},
            )
        if rows:
            connection.execute(_SET_STATUS, rows)


def _model(facts: Facts) -> str:
    return str((facts.recent or {}).get("model") or "")


_FACTS = select(
    schema.devices.c.id,
    schema.devices.c.fleet,
    schema.devices.c.online,
    schema.devices.c.state_at,
    schema.devices.c.last_seen,
    schema.devices.c.now,
    schema.devices.c.recent,
    schema.devices.c.recent_until,
    schema.devices.c.status,
    schema.devices.c.status_reason,
)
_ROW = update(schema.devices).where(schema.devices.c.id == bindparam("key"))
_SET_STATUS = _ROW.values(
    status=bindparam("status"),
    status_reason=bindparam("reason"),
    status_since=bindparam("since"),
    changed=bindparam("changed"),
)
_SET_REASON = _ROW.values(status_reason=bindparam("reason"), changed=bindparam("changed"))
