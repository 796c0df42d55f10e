"""Retention: deletes what is older than it is to be kept, in bounded steps, and never a receipt.

A device's receipts outlive its windows, so that a window that is offered again after it was deleted here is still
dropped and not counted twice.
"""

from __future__ import annotations

from sqlalchemy import Connection, Table, delete, func, select, tuple_

from stonechat_collector import exchanges, rollup, schema
from stonechat_collector.store import Store

STEP = 1000
"""Rows in one transaction: ingest waits for it no longer than a few ms."""

PRUNED_TO = "windows_pruned_to"


def prune(
    store: Store,
    now: int,
    *,
    windows_ms: int,
    rollups_ms: int,
    events_ms: int,
    exchanges_ms: int,
    step: int = STEP,
) -> int:
    """Delete up to ``step`` rows of each table that are older than their age, and return how many: 0, all is done.

    A window that the roll-up has still to merge stays until it has.

    Args:
        now: the collector's clock in ms; ages are by what devices said of their time, of exchanges by when they came.

    Raises:
        StoreUnavailable: nothing was deleted.
    """
    with store.writing() as connection:
        waiting = connection.scalar(select(func.min(schema.pending.c.start)))
        windows_to = now - windows_ms if waiting is None else min(now - windows_ms, waiting)
        gone = _delete(connection, schema.windows, windows_to, step)
        if gone:
            row = {"key": PRUNED_TO, "value": str(windows_to).encode()}
            connection.execute(store.upsert(schema.meta, ["value"]), row)
        # Coarse buckets begin before all that they hold; one goes when its end is old enough.
        gone += _delete(connection, schema.rollups, now - rollups_ms - rollup.STEPS[-1], step)
        gone += _delete(connection, schema.events, now - events_ms, step)
        gone += _delete_exchanges(connection, now - exchanges_ms, step)
    return gone


def pruned_to(connection: Connection) -> int | None:
    """Windows that began before this instant (ms) may have been deleted. None: none ever was."""
    value = connection.scalar(select(schema.meta.c.value).where(schema.meta.c.key == PRUNED_TO))
    return None if value is None else int(value)


def _delete(connection: Connection, table: Table, before: int, step: int) -> int:
    keys = list(table.primary_key.columns)
    old = select(*keys).where(table.c.start < before).limit(step)
    found = [tuple(row) for row in connection.execute(old)]
    for at in range(0, len(found), 200):
        connection.execute(delete(table).where(tuple_(*keys).in_(found[at : at + 200])))
    return len(found)


def _delete_exchanges(connection: Connection, before: int, step: int) -> int:
    table = schema.exchanges
    old = select(table.c.device, table.c.id).where(table.c.received < before).limit(step)
    found = [(device, id) for device, id in connection.execute(old)]
    exchanges.forget(connection, found)
    return len(found)
