"""The roll-up: merges what ingest took into buckets, so that no page ever computes.

A row of ``rollups`` is the bucket (``buckets``) of every record of a device, or of a fleet, that begins in
``[start, start + step)`` and whose own step is no longer. `advance` takes pending records by the thousand, groups them
in memory, merges each group into its row and deletes the pending entries, in one transaction.

Reading and merging happen before that transaction, so that ingest waits only for the writing. Every roll-up takes the
oldest entries first, so where a pending entry has gone another one was there first, and nothing is written; nor where
a row is no longer what was read: its ``records`` grows with every merge and so serves as its version.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgpack
from sqlalchemy import Connection, and_, bindparam, delete, func, select, tuple_, update
from sqlalchemy.exc import IntegrityError

from stonechat_collector import figures, schema
from stonechat_collector.buckets import Bucket, uncertain
from stonechat_collector.store import Store, insert_all

STEPS: tuple[int, ...] = (600_000,)
"""Lengths of buckets in ms, finest first, each a multiple of the one before."""

RECENT_STEP = STEPS[0]
"""``devices.recent`` is of the bucket of this step in which the newest record begins, and of the one before it."""

BATCH = 2000
"""Most pending records in one transaction."""

DEVICE = "device"
FLEET = "fleet"

_COLUMN_LIMIT = (1 << 62) - 1
_IN_LIMIT = 200  # of four columns each: SQLite before 3.32 takes 999 parameters


class Key(NamedTuple):
    """What a bucket is of."""

    scope: str
    name: str
    step: int
    start: int


class Row(NamedTuple):
    """A bucket out of the store. ``version`` is the number of its records then, whatever is merged into it since."""

    bucket: Bucket
    devices: int
    version: int


class Lag(NamedTuple):
    """How far the roll-up is behind: records, and ms since the oldest of them was taken."""

    records: int
    age: int


class _Device(NamedTuple):
    fleet: str
    now: Mapping[str, Any] | None


class _Lost(Exception):
    """Another roll-up was there first."""


def advance(store: Store, now: int, *, batch: int = BATCH) -> int:
    """Merge up to ``batch`` pending records, and return how many. 0: there were none, or another roll-up took them.

    Args:
        now: the collector's clock in ms.

    Raises:
        StoreUnavailable: nothing was merged; ask again later.
    """
    with store.reading() as connection:
        rows = connection.execute(_PENDING, {"most": batch}).all()
        if not rows:
            return 0
        devices = _devices(connection, sorted({row.device for row in rows}))
        fleets = {name: device.fleet for name, device in devices.items()}
        increments = group(rows, fleets)
        held = load(connection, sorted(increments))
        recent_keys = {name: _recent_keys(name, device.now) for name, device in devices.items()}
        beside = load(
            connection, sorted({key for keys in recent_keys.values() for key in keys} - held.keys())
        )
    merged = {key: _merged(held.get(key), bucket) for key, bucket in increments.items()}
    known = {key: row.bucket for key, row in beside.items()} | merged
    recents = {name: _recent(keys, known) for name, keys in recent_keys.items() if keys}
    try:
        with store.writing() as connection:
            _forget(connection, [row.id for row in rows])
            _write(connection, merged, held, fleets)
            if recents:
                connection.execute(
                    _SET_RECENT,
                    [
                        {
                            "key": name,
                            "recent": recent,
                            "recent_until": recent_keys[name][0].start + RECENT_STEP,
                            "changed": now,
                        }
                        for name, recent in recents.items()
                    ],
                )
    except (_Lost, IntegrityError):
        return 0
    return len(rows)


def lag_of(connection: Connection, now: int) -> Lag:
    """How far the roll-up is behind."""
    table = schema.pending
    count = connection.scalar(select(func.count()).select_from(table)) or 0
    oldest = connection.scalar(select(table.c.at).order_by(table.c.id).limit(1))
    return Lag(count, 0 if oldest is None else max(0, now - oldest))


def group(rows: Iterable[Any], fleets: Mapping[str, str]) -> dict[Key, Bucket]:
    """Rows of ``windows`` as the buckets in which they count.

    A fleet's buckets are made of its devices', which are fewer than the records.
    """
    devices: dict[Key, Bucket] = {}
    for row in rows:
        plain = msgpack.unpackb(row.payload, strict_map_key=False)
        for step in STEPS:
            if row.step <= step:
                key = Key(DEVICE, row.device, step, row.start - row.start % step)
                if key not in devices:
                    devices[key] = Bucket()
                devices[key].add(plain, row.windows, uncertain=uncertain(row.flags, row.future))
    grouped = dict(devices)
    for key, bucket in devices.items():
        above = key._replace(scope=FLEET, name=fleets[key.name])
        grouped.setdefault(above, Bucket()).merge(bucket.folded())
    for bucket in grouped.values():
        bucket.folded()
    return grouped


def load(connection: Connection, keys: Sequence[Key]) -> dict[Key, Row]:
    """Buckets by key; those that are not there are missing."""
    table = schema.rollups
    found: dict[Key, Row] = {}
    for at in range(0, len(keys), _IN_LIMIT):
        wanted = tuple_(table.c.scope, table.c.name, table.c.step, table.c.start).in_(
            keys[at : at + _IN_LIMIT]
        )
        for row in connection.execute(select(table).where(wanted)):
            key = Key(row.scope, row.name, row.step, row.start)
            found[key] = Row(Bucket.unpack(row.payload), row.devices, row.records)
    return found


def _devices(connection: Connection, names: Sequence[str]) -> dict[str, _Device]:
    table = schema.devices
    found: dict[str, _Device] = {}
    for at in range(0, len(names), _IN_LIMIT):
        query = select(table.c.id, table.c.fleet, table.c.now).where(
            table.c.id.in_(names[at : at + _IN_LIMIT])
        )
        found.update((name, _Device(fleet, now)) for name, fleet, now in connection.execute(query))
    return found


def _recent_keys(device: str, now: Mapping[str, Any] | None) -> tuple[Key, ...]:
    """The buckets of a device's recent span, newest first."""
    if now is None:
        return ()
    start = now["start"] - now["start"] % RECENT_STEP
    return tuple(Key(DEVICE, device, RECENT_STEP, begin) for begin in (start, start - RECENT_STEP))


def _recent(keys: Sequence[Key], known: Mapping[Key, Bucket]) -> dict[str, Any]:
    span = Bucket()
    for key in keys:
        if key in known:
            span.merge(known[key])
    return figures.recent_of(list(span.values()), span.observed)


def _merged(held: Row | None, increment: Bucket) -> Bucket:
    if held is None:
        return increment
    held.bucket.merge(increment)
    return held.bucket.folded()


def _forget(connection: Connection, ids: Sequence[int]) -> None:
    gone = 0
    for at in range(0, len(ids), _IN_LIMIT):
        wanted = schema.pending.c.id.in_(ids[at : at + _IN_LIMIT])
        gone += connection.execute(delete(schema.pending).where(wanted)).rowcount
    if gone != len(ids):
        raise _Lost


def _write(
    connection: Connection, merged: Mapping[Key, Bucket], held: Mapping[Key, Row], fleets: Mapping[str, str]
) -> None:
    # A device appears in its fleet's bucket when its own one does: that is how distinct devices are counted.
    appeared = Counter(
        key._replace(scope=FLEET, name=fleets[key.name])
        for key in merged
        if key.scope == DEVICE and key not in held
    )
    new, old = [], []
    for key, bucket in merged.items():
        before = held.get(key)
        devices = 1 if key.scope == DEVICE else (before.devices if before else 0) + appeared[key]
        row = {
            "records": bucket.records,
            "windows": min(bucket.windows, _COLUMN_LIMIT),
            "observed": min(bucket.observed, _COLUMN_LIMIT),
            "devices": devices,
            "payload": bucket.pack(),
        }
        if before is None:
            new.append({**key._asdict(), **row})
        else:
            place = {f"key_{name}": part for name, part in key._asdict().items()}
            old.append({**row, **place, "version": before.version})
    insert_all(connection, schema.rollups, new)
    if old and connection.execute(_REPLACE, old).rowcount != len(old):
        raise _Lost


_PENDING = (
    select(
        schema.pending.c.id,
        schema.pending.c.device,
        schema.pending.c.start,
        schema.windows.c.step,
        schema.windows.c.windows,
        schema.windows.c.flags,
        schema.windows.c.future,
        schema.windows.c.payload,
    )
    .join(
        schema.windows,
        and_(
            schema.windows.c.device == schema.pending.c.device,
            schema.windows.c.start == schema.pending.c.start,
            schema.windows.c.epoch == schema.pending.c.epoch,
            schema.windows.c.seq == schema.pending.c.seq,
        ),
    )
    .order_by(schema.pending.c.id)
    .limit(bindparam("most"))
)

_REPLACE = (
    update(schema.rollups)
    .where(
        schema.rollups.c.scope == bindparam("key_scope"),
        schema.rollups.c.name == bindparam("key_name"),
        schema.rollups.c.step == bindparam("key_step"),
        schema.rollups.c.start == bindparam("key_start"),
        schema.rollups.c.records == bindparam("version"),
    )
    .values({name: bindparam(name) for name in ("records", "windows", "observed", "devices", "payload")})
)

_SET_RECENT = (
    update(schema.devices)
    .where(schema.devices.c.id == bindparam("key"))
    .values({name: bindparam(name) for name in ("recent", "recent_until", "changed")})
)
