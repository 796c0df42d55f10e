"""Events that the collector raises itself, about a device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, and_, select, update

from stonechat_collector import schema
from stonechat_collector.store import insert_all

EVENT_SPAN_MS = 3_600_000
"""Events about the same thing within this time are counted in one row."""


def raise_event(
    connection: Connection,
    now: int,
    about: tuple[str, str, str],
    *,
    fleet: str,
    severity: int,
    count: int,
    attributes: Mapping[str, Any],
    span_ms: int = EVENT_SPAN_MS,
) -> None:
    """Write an event of the collector's own about (device, kind, key).

    Where the same one was raised within ``span_ms`` it is counted in that row.
    """
    device, kind, key = about
    table = schema.events
    same = and_(
        table.c.device == device,
        table.c.start > now - span_ms,
        table.c.origin == "collector",
        table.c.kind == kind,
        table.c.key == key,
    )
    row = connection.execute(
        select(table.c.id, table.c["count"].label("n")).where(same).order_by(table.c.id.desc()).limit(1)
    ).first()
    if row is not None:
        values = {"count": row.n + count, "last": now, "received": now, "attributes": dict(attributes)}
        connection.execute(update(table).where(table.c.id == row.id).values(values))
        return
    insert_all(
        connection,
        table,
        [
            {
                "device": device,
                "fleet": fleet,
                "origin": "collector",
                "kind": kind,
                "key": key,
                "severity": int(severity),
                "start": now,
                "last": now,
                "count": count,
                "received": now,
                "attributes": dict(attributes),
            }
        ],
    )
