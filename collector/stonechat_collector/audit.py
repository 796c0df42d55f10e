"""The audit: recomputes the roll-ups from the windows, checks the windows against the receipts, and says what differs.

It reads the whole store in one transaction and holds one device's buckets and the fleets' in memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgpack
from sqlalchemy import Connection, select

from stonechat.ranges import Standing, cover_union
from stonechat.records import from_plain
from stonechat.wire import Stream
from stonechat_collector import retention, rollup, schema
from stonechat_collector.buckets import Bucket
from stonechat_collector.rollup import DEVICE, FLEET, Key
from stonechat_collector.store import Store
from stonechat_collector.taken import Taken, cover_standing


def audit(store: Store) -> list[str]:
    """Everything in the store that is not as it should be, in words; empty when all is well.

    Records that the roll-up has still to merge are not expected in its buckets. Buckets that begin before the oldest
    window that retention has kept cannot be recomputed and are not looked at.
    """
    with store.reading() as connection:
        return list(_audit(connection))


def _audit(connection: Connection) -> Iterator[str]:
    oldest = retention.pruned_to(connection)
    pending = {
        tuple(row)
        for row in connection.execute(
            select(
                schema.pending.c.device, schema.pending.c.start, schema.pending.c.epoch, schema.pending.c.seq
            )
        )
    }
    devices = schema.devices
    fleets: dict[Key, Bucket] = {}
    members: dict[Key, int] = {}
    unknown = set(connection.scalars(select(schema.windows.c.device).distinct()))
    for name, fleet in connection.execute(select(devices.c.id, devices.c.fleet).order_by(devices.c.id)).all():
        unknown.discard(name)
        rows = connection.execute(select(schema.windows).where(schema.windows.c.device == name)).all()
        yield from _check_receipts(connection, name, rows)
        done = [row for row in rows if (row.device, row.start, row.epoch, row.seq) not in pending]
        grouped = rollup.group(done, {name: fleet})
        own = {key: bucket for key, bucket in grouped.items() if key.scope == DEVICE}
        yield from _compare(connection, (DEVICE, name), own, oldest)
        for key, bucket in grouped.items():
            if key.scope == FLEET:
                fleets.setdefault(key, Bucket()).merge(bucket)
                members[key] = members.get(key, 0) + 1
    for name in sorted(unknown):
        yield f"windows of {name}, which is no device"
    names = {key.name for key in fleets} | set(
        connection.scalars(select(schema.rollups.c.name).where(schema.rollups.c.scope == FLEET).distinct())
    )
    for name in sorted(names):
        mine = {key: bucket for key, bucket in fleets.items() if key.name == name}
        yield from _compare(connection, (FLEET, name), mine, oldest, members)


def _compare(
    connection: Connection,
    of: tuple[str, str],
    expected: dict[Key, Bucket],
    oldest: int | None,
    members: dict[Key, int] | None = None,
) -> Iterator[str]:
    table = schema.rollups
    query = select(table).where(table.c.scope == of[0], table.c.name == of[1])
    for row in connection.execute(query):
        key = Key(row.scope, row.name, row.step, row.start)
        wanted = expected.pop(key, None)
        if oldest is not None and row.start < oldest:
            continue
        if wanted is None:
            yield f"{_named(key)}: is there, and no window is"
        elif wanted.pack() != row.payload or row.records != wanted.records:
            yield f"{_named(key)}: holds {row.records} records that differ from the {wanted.records} windows"
        elif members is not None and row.devices != members[key]:
            yield f"{_named(key)}: counts {row.devices} devices, there are {members[key]}"
    for key in expected:
        if oldest is None or key.start >= oldest:
            yield f"{_named(key)}: is missing"


def _check_receipts(connection: Connection, device: str, rows: Sequence[Any]) -> Iterator[str]:
    table = schema.receipts
    query = select(table.c.epoch, table.c.ranges).where(
        table.c.device == device, table.c.stream == int(Stream.WINDOW)
    )
    taken = {int(epoch, 16): Taken(blob) for epoch, blob in connection.execute(query)}
    covers = []
    for row in rows:
        cover = from_plain(msgpack.unpackb(row.payload, strict_map_key=False)).cover
        known = all(epoch in taken for epoch, _, _ in cover)
        if not known or cover_standing(taken, cover) is not Standing.TAKEN:
            yield f"{device}: the window of {row.start}, {row.epoch}/{row.seq} is in no receipt"
        covers.append(cover)
    try:
        cover_union(*covers)
    except ValueError as error:
        yield f"{device}: a window is stored twice: {error}"


def _named(key: Key) -> str:
    return f"{key.scope} {key.name}, step {key.step}, start {key.start}"
