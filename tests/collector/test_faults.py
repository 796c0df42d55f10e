"""The store locked, full, gone, or its process killed: nothing acknowledged is lost, and it recovers by itself."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import func, select
from tests.collector.making import NOW, ack_of, window, windows_message

from stonechat_collector import rollup, schema
from stonechat_collector.audit import audit
from stonechat_collector.ingest import Ingest
from stonechat_collector.store import Store, StoreError, StoreUnavailable


def windows_in(store: Store) -> int:
    with store.reading() as connection:
        return int(connection.scalar(select(func.count()).select_from(schema.windows)) or 0)


def test_a_locked_database_takes_nothing_and_everything_afterwards(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path}/fleet.db", busy_timeout_ms=50)
    ingest = Ingest(store, lambda: NOW)
    message = windows_message([window(1)])
    other = sqlite3.connect(tmp_path / "fleet.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="locked"):
        ingest.take([message])
    assert "records" not in ingest.counts
    other.execute("ROLLBACK")
    other.close()
    assert ack_of(ingest.take([message])).taken[0, 7] == ((1, 1),)
    assert windows_in(store) == 1
    store.close()


def test_a_full_disk_takes_nothing_and_everything_afterwards(store: Store) -> None:
    ingest = Ingest(store, lambda: NOW)

    def limit(pages: int) -> None:
        # The pool hands out the one connection that there is.
        with store.reading() as connection:
            connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")

    with store.reading() as connection:
        used = int(connection.exec_driver_sql("PRAGMA page_count").scalar() or 0)
    limit(used + 4)
    messages = [windows_message([window(n) for n in range(at, at + 30)]) for at in range(1, 300, 30)]
    taken = 0
    with pytest.raises(StoreUnavailable, match="full"):
        for message in messages:
            ingest.take([message])
            taken += 30
    assert windows_in(store) == taken
    limit(1 << 30)
    ack = ack_of(ingest.take(messages))
    assert ack.taken[0, 7] == ((1, 300),)
    assert windows_in(store) == 300
    while rollup.advance(store, NOW):
        pass
    assert audit(store) == []


def test_a_commit_whose_acknowledgement_is_lost_is_not_counted_twice(store: Store) -> None:
    message = windows_message([window(1), window(2)])
    Ingest(store, lambda: NOW).take([message])  # and the process dies before it publishes anything
    ack = ack_of(Ingest(store, lambda: NOW).take([message]))
    assert ack.taken[0, 7] == ((1, 2),)
    assert windows_in(store) == 2


_TAKER = """
import sys
from tests.collector.making import NOW, window, windows_message
from stonechat_collector.ingest import Ingest
from stonechat_collector.store import Store
ingest = Ingest(Store(sys.argv[1]), lambda: NOW)
for seq in range(1, 100000):
    ingest.take([windows_message([window(seq)])])
    print(seq, flush=True)
"""


@pytest.mark.system
def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/fleet.db"
    root = Path(__file__).parents[2]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), *filter(None, sys.path)])}
    for enough in (3, 40, 11):
        process = subprocess.Popen(
            [sys.executable, "-c", _TAKER, url], stdout=subprocess.PIPE, env=environ, text=True
        )
        assert process.stdout is not None
        acknowledged = 0
        for line in process.stdout:
            acknowledged = int(line)
            if acknowledged >= enough:
                break
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read().split()
        acknowledged = int(rest[-1]) if rest else acknowledged
        process.wait()
        store = Store(url)
        with store.reading() as connection:
            seqs = list(connection.scalars(select(schema.windows.c.seq).order_by(schema.windows.c.seq)))
        assert seqs[:acknowledged] == list(range(1, acknowledged + 1))
        assert len(seqs) == len(set(seqs))
        rollup.advance(store, NOW)
        assert audit(store) == []
        store.close()


def test_an_unwritable_directory_is_one_clear_error(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(StoreError, match=r"cannot make .*\n  hint: set store.url"):
        Store(f"sqlite:///{blocked}/sub/fleet.db")


def test_a_file_that_is_no_database_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "fleet.db").write_bytes(b"not a database" * 1000)
    with pytest.raises(StoreError, match="not a database"):
        Store(f"sqlite:///{tmp_path}/fleet.db")


def test_a_store_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/fleet.db"
    store = Store(url)
    with store.writing() as connection:
        connection.exec_driver_sql(
            "UPDATE meta SET value = ? WHERE key = 'migrations'", (b'["0001_tables", "0002_x"]',)
        )
    store.close()
    with pytest.raises(StoreError, match="or a later one"):
        Store(url)


def test_a_store_keeps_its_name(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/fleet.db"
    first = Store(url)
    name = first.store_id
    first.close()
    again = Store(url)
    assert again.store_id == name
    again.close()
