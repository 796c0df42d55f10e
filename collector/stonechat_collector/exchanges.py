"""Taking exchanges that devices tell of, one by one and beside all totals, and keeping their number bounded.

An exchange that is there already is passed over: devices send again what a broker did not acknowledge. One that has
more judgements than what is there takes its place: a model's verdict may come after the exchange was told. As
judgements are only ever added, the order in which the two come does not matter.

What is kept of a device is bounded in number, and its texts in characters; the earliest taken go first, by the
collector's own clock, because a device may claim any time. Texts stand in a table of their own, so that they can go
before their exchange.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, delete, func, select, update

from stonechat import exchange_texts
from stonechat.exchange_texts import Texts
from stonechat.wire import ExchangeBatch, Told
from stonechat_collector import schema
from stonechat_collector.messages import plain
from stonechat_collector.store import insert_all

MAX_EXCHANGES = 10_000
"""Exchanges that are kept of one device: a week of them at the 60 an hour that an agent sends at most by default."""

MAX_TEXT = 16 * 1024 * 1024
"""Characters of texts that are kept of one device."""

_IN_LIMIT = 400


class Exchanges:
    """The exchanges of one transaction of ingest."""

    def __init__(self) -> None:
        self._batches: dict[str, list[ExchangeBatch]] = {}

    def take(self, device: str, batch: ExchangeBatch) -> None:
        """Take what a device told, to be written later."""
        self._batches.setdefault(device, []).append(batch)

    def write(self, connection: Connection, now: int) -> dict[str, int]:
        """Write what is new, and return what became of all: counts by ``exchanges``, ``exchanges_updated`` and
        ``exchanges_repeated``.

        The caller holds the devices' rows, so that nobody else writes theirs.
        """
        counts = {"exchanges": 0, "exchanges_updated": 0, "exchanges_repeated": 0}
        for device, batches in self._batches.items():
            told = [(item, batch) for batch in batches for item in batch.exchanges]
            known = _known(connection, device, [item.row["id"] for item, _ in told])
            taken: dict[str, tuple[Told, ExchangeBatch]] = {}
            most = dict(known)
            for item, batch in told:
                id, judgements = item.row["id"], judgements_of(item.row)
                if judgements <= most.get(id, -1):
                    counts["exchanges_repeated"] += 1
                    continue
                counts["exchanges_repeated"] += id in taken
                most[id], taken[id] = judgements, (item, batch)
            rows = {id: _row(device, item, batch, now) for id, (item, batch) in taken.items()}
            insert_all(connection, schema.exchanges, [row for id, row in rows.items() if id not in known])
            _update(connection, device, [row for id, row in rows.items() if id in known])
            texts = _new_texts(connection, device, taken, known, now)
            insert_all(connection, schema.exchange_texts, texts)
            updated = len(known.keys() & rows.keys())
            counts["exchanges_updated"] += updated
            counts["exchanges"] += len(rows) - updated
            if len(rows) > updated:
                _bound_number(connection, device)
            if texts:
                _bound_texts(connection, device)
        return counts


def judgements_of(row: Mapping[str, Any]) -> int:
    """How many judgements an exchange has. Verdicts only ever add some, so of two versions the later one has more."""
    return len(row.get("scores") or ()) + len(row.get("findings") or ())


def _known(connection: Connection, device: str, ids: Sequence[str]) -> dict[str, int]:
    """Those of the exchanges that are there, with the number of their judgements."""
    table = schema.exchanges
    found: dict[str, int] = {}
    for at in range(0, len(ids), _IN_LIMIT):
        wanted = table.c.id.in_(ids[at : at + _IN_LIMIT])
        query = select(table.c.id, table.c.fields).where(table.c.device == device, wanted)
        found.update((id, judgements_of(fields)) for id, fields in connection.execute(query))
    return found


def _update(connection: Connection, device: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write exchanges anew that were judged since they were taken. When that was, and that texts came, stays."""
    table = schema.exchanges
    for row in rows:
        values = {
            name: value for name, value in row.items() if name not in ("device", "id", "received", "texts")
        }
        if row["texts"]:
            values["texts"] = True
        connection.execute(
            update(table).where(table.c.device == device, table.c.id == row["id"]).values(values)
        )


def _new_texts(
    connection: Connection,
    device: str,
    taken: Mapping[str, tuple[Told, ExchangeBatch]],
    known: Mapping[str, int],
    now: int,
) -> list[dict[str, Any]]:
    """The texts that came with exchanges and are not there yet."""
    given = {id: (item.texts, batch) for id, (item, batch) in taken.items() if item.texts}
    table = schema.exchange_texts
    again = [id for id in given if id in known]
    there: set[str] = set()
    for at in range(0, len(again), _IN_LIMIT):
        wanted = table.c.id.in_(again[at : at + _IN_LIMIT])
        there.update(connection.scalars(select(table.c.id).where(table.c.device == device, wanted)))
    return [
        _texts(device, id, now, batch.privacy.upload, texts)
        for id, (texts, batch) in given.items()
        if id not in there and texts
    ]


def _row(device: str, item: Told, batch: ExchangeBatch, now: int) -> dict[str, Any]:
    row = item.row
    findings = row.get("findings")
    return {
        "device": device,
        "id": row["id"],
        "start": row["start"],
        "received": now,
        **{
            name: row.get(name)
            for name in ("model", "outcome", "error_type", "duration", "ttft", "output_tokens")
        },
        "findings": f" {' '.join(findings)} " if findings else None,
        "fields": dict(row),
        "chosen": item.chosen,
        "kept": item.kept,
        **batch.privacy._asdict(),
        "texts": bool(item.texts),
    }


def _texts(device: str, id: str, now: int, allowed: str, texts: Texts) -> dict[str, Any]:
    body = plain(texts)
    return {
        "device": device,
        "id": id,
        "received": now,
        "allowed": allowed,
        "size": exchange_texts.size_of(body),
        "body": body,
        "folded": folded(body),
    }


def folded(texts: Mapping[str, Any]) -> str:
    """All texts in one, as a search compares them: without case."""
    pairs = [*texts.get("prompt", ()), *texts.get("tool_calls", ())]
    parts = [texts.get(name, "") for name in exchange_texts.PLAIN]
    return "\n".join([*(f"{first} {second}" for first, second in pairs), *parts]).casefold()


def _bound_number(connection: Connection, device: str) -> None:
    table = schema.exchanges
    query = (
        select(table.c.id)
        .where(table.c.device == device)
        .order_by(table.c.received.desc(), table.c.id.desc())
        .offset(MAX_EXCHANGES)
    )
    forget(connection, [(device, id) for id in connection.scalars(query)])


def _bound_texts(connection: Connection, device: str) -> None:
    table = schema.exchange_texts
    held = connection.scalar(select(func.sum(table.c.size)).where(table.c.device == device)) or 0
    if held <= MAX_TEXT:
        return
    earliest = (
        select(table.c.id, table.c.size)
        .where(table.c.device == device)
        .order_by(table.c.received, table.c.id)
    )
    beyond = []
    with connection.execute(earliest) as rows:
        for id, size in rows:
            if held <= MAX_TEXT:
                break
            held -= size
            beyond.append((device, id))
    _delete(connection, table, beyond)


def forget(connection: Connection, keys: Sequence[tuple[str, str]]) -> None:
    """Delete exchanges, by (device, id), with their texts."""
    _delete(connection, schema.exchange_texts, keys)
    _delete(connection, schema.exchanges, keys)


def _delete(connection: Connection, table: Table, keys: Iterable[tuple[str, str]]) -> None:
    by_device: dict[str, list[str]] = {}
    for device, id in keys:
        by_device.setdefault(device, []).append(id)
    for device, ids in by_device.items():
        for at in range(0, len(ids), _IN_LIMIT):
            chosen = table.c.id.in_(ids[at : at + _IN_LIMIT])
            connection.execute(delete(table).where(table.c.device == device, chosen))
