"""Whatever order, however often and through whichever process messages come: the store ends the same."""

from __future__ import annotations

import multiprocessing
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgpack
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from tests.collector.making import MINUTE, NOW, event, events_message, window, windows_message

from stonechat.records import DEVICE, from_plain
from stonechat_collector import rollup, schema
from stonechat_collector.audit import audit
from stonechat_collector.ingest import Ingest
from stonechat_collector.messages import Message
from stonechat_collector.store import Store

WEIGHT = 90


def history() -> list[Message]:
    """Two devices, two runs each, batches of uneven size, one folded record: every window with its own weight."""
    rng = random.Random(5)
    messages = []
    for device in ("kiosk-1", "kiosk-2"):
        for order, epoch in ((1, 7), (2, 9)):
            seq = 1
            while seq < 30:
                size = rng.choice((1, 1, 2, 5))
                records = [
                    window(n, epoch=epoch, order=order, weight=rng.getrandbits(40))
                    for n in range(seq, seq + size)
                ]
                messages.append(windows_message(records, device=device))
                seq += size
            folded = window(
                seq, high=seq + 59, epoch=epoch, order=order, step=60 * MINUTE, weight=rng.getrandbits(40)
            )
            messages.append(windows_message([folded], device=device))
            messages.append(
                events_message([event(n, epoch=epoch, order=order) for n in (1, 2)], device=device)
            )
    return messages


def outcome(store: Store) -> dict[str, Any]:
    """What must not depend on how the messages came."""
    while rollup.advance(store, NOW):
        pass
    assert audit(store) == []
    tables = (schema.receipts, schema.windows, schema.rollups)
    with store.reading() as connection:
        found: dict[str, Any] = {
            table.name: sorted(tuple(row) for row in connection.execute(select(table))) for table in tables
        }
        columns = schema.events.c
        found["events"] = sorted(
            tuple(row) for row in connection.execute(select(columns.device, columns.kind, columns.start))
        )
        columns = schema.devices.c
        now = select(columns.id, columns.now_order, columns.now_boottime, columns.windows)
        found["devices"] = sorted(tuple(row) for row in connection.execute(now))
        found["now"] = list(connection.scalars(select(columns.now).order_by(columns.id)))
        found["recent"] = list(connection.scalars(select(columns.recent).order_by(columns.id)))
    return found


def weights(store: Store) -> int:
    """The sum of every stored window's weight."""
    with store.reading() as connection:
        rows = connection.scalars(select(schema.windows.c.payload)).all()
    records = [from_plain(msgpack.unpackb(row, strict_map_key=False)) for row in rows]
    return sum(int(record.values[DEVICE][WEIGHT][1]) for record in records)


def run(
    directory: str, plan: Sequence[tuple[int, list[Message]]], *, merge_between: bool = False
) -> dict[str, Any]:
    """Give batches to two ingests over one store, in this order."""
    store = Store(f"sqlite:///{directory}/fleet.db")
    workers = [Ingest(store, lambda: NOW, name=f"ingest-{n}") for n in range(2)]
    for worker, batch in plan:
        workers[worker].take(batch)
        if merge_between:
            rollup.advance(store, NOW, batch=7)
    found = outcome(store)
    store.close()
    return found


MESSAGES = history()
with tempfile.TemporaryDirectory() as _directory:
    EXPECTED = run(_directory, [(0, MESSAGES)])


@settings(max_examples=40)
@given(data=st.data())
def test_the_store_ends_the_same_in_any_order_with_repeats_over_two_ingests(data: st.DataObject) -> None:
    repeats = data.draw(st.lists(st.integers(0, len(MESSAGES) - 1), max_size=20))
    order = data.draw(st.permutations([*range(len(MESSAGES)), *repeats]))
    plan, rest = [], list(order)
    while rest:
        size = data.draw(st.integers(1, 9))
        plan.append((data.draw(st.integers(0, 1)), [MESSAGES[index] for index in rest[:size]]))
        rest = rest[size:]
    with tempfile.TemporaryDirectory() as directory:
        assert run(directory, plan, merge_between=data.draw(st.booleans())) == EXPECTED


def _work(url: str, seed: int) -> None:
    store = Store(url, busy_timeout_ms=120_000)
    ingest = Ingest(store, lambda: NOW, name=f"ingest-{seed}")
    rng = random.Random(seed)
    messages = [*MESSAGES, *rng.sample(MESSAGES, 10)]
    rng.shuffle(messages)
    for at in range(0, len(messages), 3):
        ingest.take(messages[at : at + 3])
        rollup.advance(store, NOW, batch=5)


def test_processes_at_once_end_the_same(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/fleet.db"
    Store(url).close()
    # Forked before this process opens the database: SQLite must not be carried across.
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_work, args=(url, seed)) for seed in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(300)
        assert process.exitcode == 0
    store = Store(url)
    assert outcome(store) == EXPECTED
    store.close()


def test_totals_are_the_sum_of_all_that_was_ever_sent(store: Store) -> None:
    Ingest(store, lambda: NOW).take(MESSAGES)
    from stonechat import wire

    truth = 0
    for message in MESSAGES:
        batch = wire.decode(message.payload)
        if isinstance(batch, wire.WindowBatch):
            truth += sum(int(record.values[DEVICE][WEIGHT][1]) for record in batch.records)
    assert weights(store) == truth
