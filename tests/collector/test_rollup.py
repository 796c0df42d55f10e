"""Buckets fold as the core does, in any order; the audit finds every difference; retention leaves receipts alone."""

from __future__ import annotations

from functools import reduce

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, func, select, update
from tests.collector.making import CHAT, MINUTE, NOW, ack_of, event, events_message, window, windows_message
from tests.core import strategies

from stonechat import sketch
from stonechat.catalog import Kind
from stonechat.records import DEVICE, Record, Values, fold_values, to_plain
from stonechat.values import Value, counter, fold
from stonechat_collector import retention, rollup, schema, views
from stonechat_collector.audit import audit
from stonechat_collector.buckets import Bucket, fold_many
from stonechat_collector.ingest import Ingest
from stonechat_collector.store import Store


def merge_all(store: Store) -> None:
    while rollup.advance(store, NOW):
        pass


@given(
    st.sampled_from(sorted(strategies.METRICS)).flatmap(
        lambda metric: st.lists(strategies.METRICS[metric], min_size=1, max_size=6)
    )
)
def test_many_values_fold_at_once_as_two_by_two(values: list[Value]) -> None:
    assert fold_many(values) == reduce(fold, values)


@given(st.lists(strategies.gauges(1, 5), min_size=1, max_size=6))
def test_gauges_fold_at_once_as_two_by_two(values: list[Value]) -> None:
    assert fold_many(values) == reduce(fold, values)


@settings(max_examples=50)
@given(history=strategies.histories(), data=st.data())
def test_a_bucket_is_the_fold_of_its_records_in_any_order(history: list[Record], data: st.DataObject) -> None:
    one, other = Bucket(), Bucket()
    for record in data.draw(st.permutations(history)):
        target = data.draw(st.sampled_from([one, other]))
        target.add(msgpack.unpackb(msgpack.packb(to_plain(record)), strict_map_key=False), record.windows)
    one.merge(Bucket.unpack(other.pack()))
    truth: Values = {}
    for record in history:
        truth = fold_values(truth, record.values)
    found = {(series, metric): value for series, metric, value in one.values()}
    assert found == {(s, m): value for s, metrics in truth.items() for m, value in metrics.items()}
    assert (one.records, one.windows) == (len(history), len(history))


def test_values_that_do_not_add_stand_side_by_side() -> None:
    fine, coarse = (Kind.SKETCH, *sketch.of([5])), (Kind.SKETCH, 500, 0, 5, 3, 1)
    buckets = []
    for order in ((fine, coarse, fine), (coarse, fine, fine)):
        bucket = Bucket()
        for value in order:
            bucket.add(to_plain(window(1, values={CHAT: {11: value}})), 1)
        buckets.append(bucket.pack())
    assert buckets[0] == buckets[1]
    assert len(list(Bucket.unpack(buckets[0]).values())) == 2


def test_a_kind_of_a_later_version_stops_nothing(store: Store) -> None:
    values = {DEVICE: {9000: (9, 1, 2), 90: counter(3)}}
    assert (
        ack_of(Ingest(store, lambda: NOW).take([windows_message([window(1, values=values)])])).refused == ()
    )
    merge_all(store)
    assert audit(store) == []
    course = views.device_windows(store, "kiosk-1", NOW - 86_400_000, NOW)
    assert list(course["metrics"]) == ["system.disk.io.read"]


def test_a_record_counts_where_the_step_is_at_least_its_length(store: Store) -> None:
    start = NOW - 60 * MINUTE
    records = [
        window(1, start=start + 1),
        window(2, high=11, step=10 * MINUTE, start=start + 2),
        window(12, high=71, step=60 * MINUTE, start=start + 3),
    ]
    Ingest(store, lambda: NOW).take([windows_message(records)])
    merge_all(store)
    with store.reading() as connection:
        rows = connection.execute(select(schema.rollups.c.scope, schema.rollups.c.records)).all()
    assert sorted(tuple(row) for row in rows) == [("device", 2), ("fleet", 2)]
    course = views.device_windows(store, "kiosk-1", start, NOW, 10 * MINUTE)
    assert [(span["time"] - start, span["span"], span["windows"]) for span in course["spans"]] == [
        (0, 10 * MINUTE, 11),
        (3, 60 * MINUTE, 60),
    ]


def test_distinct_devices_are_counted_in_a_fleets_bucket(store: Store) -> None:
    ingest = Ingest(store, lambda: NOW)
    for name in ("kiosk-1", "kiosk-2", "kiosk-1"):
        ingest.take([windows_message([window(next(SEQ), start=NOW)], device=name)])
        merge_all(store)
    with store.reading() as connection:
        rows = connection.execute(select(schema.rollups).where(schema.rollups.c.scope == "fleet")).all()
    assert [(row.records, row.devices) for row in rows] == [(3, 2)]


SEQ = iter(range(1, 1000))


@pytest.mark.parametrize("scope", ["device", "fleet"])
@pytest.mark.parametrize("harm", ["changed", "deleted", "miscounted", "lost window", "lost receipt"])
def test_the_audit_finds_what_is_not_as_it_should_be(store: Store, scope: str, harm: str) -> None:
    Ingest(store, lambda: NOW).take([windows_message([window(seq) for seq in range(1, 40)])])
    rollup.advance(store, NOW, batch=30)
    assert audit(store) == []
    merge_all(store)
    table = schema.rollups
    mine = table.c.scope == scope
    with store.writing() as connection:
        if harm == "changed":
            payload = connection.scalar(select(table.c.payload).where(mine).order_by(table.c.start))
            assert payload is not None
            bucket = Bucket.unpack(payload)
            bucket.add(to_plain(window(99)), 1)
            first = connection.scalar(select(func.min(table.c.start)))
            connection.execute(
                update(table).where(mine, table.c.start == first).values(payload=bucket.pack())
            )
        elif harm == "deleted":
            connection.execute(delete(table).where(mine))
        elif harm == "miscounted":
            connection.execute(update(table).where(table.c.scope == "fleet").values(devices=7))
        elif harm == "lost window":
            connection.execute(delete(schema.windows).where(schema.windows.c.seq == 5))
        else:
            connection.execute(delete(schema.receipts))
    assert audit(store)


def test_retention_deletes_by_age_in_steps_and_leaves_receipts(store: Store) -> None:
    ingest = Ingest(store, lambda: NOW)
    message = windows_message([window(seq) for seq in range(1, 61)])
    ingest.take([message, events_message([event(1, start=NOW - 10 * MINUTE), event(2, start=NOW)])])
    ages = {
        "windows_ms": 150 * MINUTE,
        "rollups_ms": 140 * MINUTE,
        "events_ms": 5 * MINUTE,
        "exchanges_ms": 5 * MINUTE,
    }
    assert retention.prune(store, NOW, **ages, step=1000) == 1  # the windows are still to be merged
    merge_all(store)
    rounds = 0
    while retention.prune(store, NOW, **ages, step=10):
        rounds += 1
    assert rounds == 3
    with store.reading() as connection:
        oldest = connection.scalar(select(func.min(schema.windows.c.start)))
        left = connection.scalar(select(func.count()).select_from(schema.windows))
        buckets = connection.scalar(select(func.min(schema.rollups.c.start)))
    assert (oldest, left) == (NOW - 150 * MINUTE, 31)
    assert buckets == NOW - 150 * MINUTE
    assert audit(store) == []
    ack = ack_of(ingest.take([message]))
    assert ack.taken[0, 7] == ((1, 60),)
    with store.reading() as connection:
        assert connection.scalar(select(func.count()).select_from(schema.windows)) == 31


def test_a_bucket_that_changed_since_it_was_read_is_not_overwritten(store: Store) -> None:
    ingest = Ingest(store, lambda: NOW)
    ingest.take([windows_message([window(1, start=NOW)])])
    merge_all(store)
    keys = [rollup.Key("device", "kiosk-1", 600_000, NOW), rollup.Key("fleet", "shops", 600_000, NOW)]
    with store.reading() as connection:
        stale = rollup.load(connection, keys)
    ingest.take([windows_message([window(2, start=NOW)])])
    merge_all(store)
    with pytest.raises(rollup._Lost), store.writing() as connection:
        rollup._write(
            connection, {key: row.bucket for key, row in stale.items()}, stale, {"kiosk-1": "shops"}
        )
    assert audit(store) == []
