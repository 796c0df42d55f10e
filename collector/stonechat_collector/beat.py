"""The sign of life of a process of the collector, and its counters: a row of ``processes``."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection

from stonechat_collector import schema
from stonechat_collector.store import Store


def write_beat(
    store: Store, connection: Connection, process: str, now: int, figures: Mapping[str, int]
) -> None:
    """Write that a process of the collector worked at ``now``, and its counters."""
    row = {"name": process, "at": now, "figures": dict(figures)}
    connection.execute(store.upsert(schema.processes, ["at", "figures"]), row)
