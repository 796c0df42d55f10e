"""What the writer does with the journal's file, on one connection."""

# ruff: noqa: S608 - the names of tables and columns that are put into statements stand in this project's code
from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from stonechat.exchange_row import Row
from stonechat_agent.journal import layout
from stonechat_agent.journal.layout import KEPT, PAGE
from stonechat_agent.journal.queries import delete_exchanges, merge_index, select_entries, select_events
from stonechat_agent.journal.rows import (
    TEXT_COLUMNS,
    Entry,
    JournalEvent,
    Texts,
    from_columns,
    spoken,
    texts_from_columns,
    texts_to_columns,
    to_columns,
)

MOST_EVENTS = 20_000
"""Events that the journal keeps at most."""

_BUSY_SECONDS = 1.0
_BATCH = 256
_FORGOTTEN_KEPT = 1000


class Forgotten(NamedTuple):
    """Something that was asked to be forgotten."""

    seq: int
    kind: str
    value: str
    texts_only: bool

    def matches(self, row: Row) -> bool:
        """Whether an exchange is meant."""
        if self.kind == "before":
            start = row.get("start")
            return start is not None and start < int(self.value)
        return row.get(self.kind) == self.value


class Store:
    """The tables, opened to be written. Every method may raise sqlite3.Error."""

    def __init__(self, path: str, max_size: int, forgotten: int | None = None) -> None:
        """Open the file, made where need be.

        Args:
            forgotten: number of the latest entry of ``forgotten`` that was read when the file was closed; None where
                nothing is in memory that an earlier one could be about.

        Raises:
            Foreign, sqlite3.Error, OSError: see ``layout.connect``.
        """
        self.path = path
        self._db = layout.connect(path, timeout_seconds=_BUSY_SECONDS)
        self._bound = max_size // PAGE
        # When this writes the log back is decided in `commit`, where what it wrote is counted.
        self._db.execute("PRAGMA wal_autocheckpoint=0")
        self._db.execute("PRAGMA cache_size=-512")
        self._wal_bound = max(64, min(1024, self._bound // 16)) * PAGE
        self._wal_size = self._size_of_wal()
        self.written = 0
        """Bytes that were written to the disk since this was opened."""
        try:
            self._columns = layout.columns(self._db)
            self._indexing = layout.has_words(self._db)
            self._version = 0
            self.changed()
            latest = self._db.execute("SELECT coalesce(max(seq), 0) FROM forgotten").fetchone()[0]
            self.forgotten = latest if forgotten is None else min(latest, forgotten)
            """Number of the latest entry of ``forgotten`` that was read."""
        except BaseException:
            self._db.close()
            raise

    def close(self) -> None:
        """Close the file; the log is folded into it."""
        self._db.close()

    def begin(self) -> None:
        """Begin to write. Raises sqlite3.OperationalError while another process writes for longer than a second."""
        self._db.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Make what was written since ``begin`` hold."""
        self._db.execute("COMMIT")
        self._count()

    def rollback(self) -> None:
        """Undo what was written since ``begin``."""
        if self._db.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")

    def changed(self) -> bool:
        """Whether another process has written since this was last asked."""
        before, self._version = self._version, self._db.execute("PRAGMA data_version").fetchone()[0]
        return bool(before != self._version)

    # Writing

    def insert(self, row: Row, texts: Texts | None, state: str, chosen: str | None) -> None:
        """Add an exchange. One whose id is there already is passed over."""
        columns = to_columns(row)
        names = ", ".join(f'"{name}"' for name in columns)
        marks = ", ".join("?" * (len(columns) + 2))
        cursor = self._db.execute(
            f"INSERT OR IGNORE INTO exchanges ({names}, texts, chosen) VALUES ({marks})",
            (*columns.values(), state, chosen),
        )
        if cursor.rowcount and texts is not None:
            self._put_texts(int(cursor.lastrowid or 0), row["id"], texts)

    def add_texts(self, id: str, texts: Texts) -> None:
        """Keep the texts of an exchange that was written without."""
        cursor = self._db.execute(
            f"UPDATE exchanges SET texts = '{KEPT}' WHERE id = ? AND texts <> '{KEPT}'", (id,)
        )
        if cursor.rowcount:
            seq = self._db.execute("SELECT seq FROM exchanges WHERE id = ?", (id,)).fetchone()[0]
            self._put_texts(seq, id, texts)

    def update(self, id: str, columns: Row, chosen: str | None, why: str | None) -> None:
        """Write fields of an exchange anew, choose it unless it is chosen, and say why it still has no texts.

        One that went to the collector goes again: there the version with more judgements takes the other's place.
        """
        for name, value in to_columns(columns).items():
            self._db.execute(f'UPDATE exchanges SET "{name}" = ? WHERE id = ?', (value, id))
        if chosen is not None:
            self._db.execute("UPDATE exchanges SET chosen = coalesce(chosen, ?) WHERE id = ?", (chosen, id))
        if columns:
            self._db.execute("UPDATE exchanges SET sent = 0 WHERE id = ? AND sent = 1", (id,))
        if why is not None:
            self._db.execute(f"UPDATE exchanges SET texts = ? WHERE id = ? AND texts <> '{KEPT}'", (why, id))

    def mark_sent(self, ids: Iterable[str]) -> None:
        """Note that exchanges went to the collector."""
        self._db.executemany("UPDATE exchanges SET sent = 1 WHERE id = ? AND sent = 0", [(id,) for id in ids])

    def insert_event(self, event: JournalEvent) -> None:
        """Add an event."""
        attributes = json.dumps(event.attributes, default=str, separators=(",", ":"))
        self._db.execute(
            "INSERT INTO events (wall, kind, key, severity, count, attributes) VALUES (?,?,?,?,?,?)",
            (event.wall, event.kind, event.key, event.severity, event.times, attributes),
        )

    def newly_forgotten(self) -> list[Forgotten]:
        """What was asked to be forgotten since this was last asked."""
        found = [
            Forgotten(seq, kind, value, bool(texts_only))
            for seq, kind, value, texts_only in self._db.execute(
                "SELECT seq, kind, value, texts_only FROM forgotten WHERE seq > ? ORDER BY seq",
                (self.forgotten,),
            )
        ]
        if found:
            self.forgotten = found[-1].seq
        return found

    # Reading

    def row(self, id: str) -> Row | None:
        """The fields of an exchange, None where there is none of that id."""
        names = ", ".join(f'"{name}"' for name in self._columns)
        found = self._db.execute(f"SELECT {names} FROM exchanges WHERE id = ?", (id,)).fetchone()
        return None if found is None else from_columns(self._columns, found)

    def unsent(self, limit: int) -> list[Entry]:
        """Exchanges that are chosen and did not go to the collector, oldest first, with their texts."""
        return select_entries(
            self._db,
            self._columns,
            "WHERE chosen IS NOT NULL AND sent = 0 ORDER BY seq LIMIT ?",
            (limit,),
            texts=True,
        )

    def latest(self, limit: int) -> tuple[list[Row], list[JournalEvent]]:
        """The latest exchanges and events, oldest first."""
        entries = select_entries(self._db, self._columns, "ORDER BY seq DESC LIMIT ?", (limit,), texts=False)
        events = select_events(self._db, "ORDER BY seq DESC LIMIT ?", (limit,))
        return [{**entry.row, "texts": entry.state} for entry in reversed(entries)], events[::-1]

    # Room and age

    def verify(self) -> None:
        """Read the whole file; raises sqlite3.DatabaseError where it is damaged."""
        # By a connection of its own: this one would look at the pages that it remembers.
        with contextlib.closing(sqlite3.connect(self.path)) as fresh:
            fresh.execute("PRAGMA cache_size=-256")
            found = fresh.execute("PRAGMA quick_check(1)").fetchone()
        if found is None or found[0] != "ok":
            raise sqlite3.DatabaseError("malformed: a page of the journal is damaged")

    def used(self) -> int:
        """Bytes of pages in use."""
        return (self._pages() - self._free_pages()) * PAGE

    def size(self) -> int:
        """Bytes on the disk."""
        return self._pages() * PAGE + self._wal_size

    def make_room(self, coming: int) -> bool:
        """Delete the oldest until ``coming`` bytes fit; returns whether there was anything to do.

        Up to 11/16 of the bound are used, and at least an eighth is freed at once, so that it happens seldom: to drop
        deleted words from the index, it is written anew beside the old one, and both must fit.
        """
        if self.used() + coming <= self._bound * PAGE * 11 // 16:
            return False
        while self.used() + coming > self._bound * PAGE * 9 // 16:
            if not self._delete_oldest():
                break
            self._tidy()
        return True

    def delete_before(self, start_ms: int, plausible_ms: int) -> int:
        """Delete what began before an instant; returns how many exchanges and events that were.

        A start before ``plausible_ms`` was told by a clock that had not been set: such an exchange goes with the
        exchanges that were written after it.
        """
        total = 0
        while True:
            last = self._db.execute(
                "SELECT max(seq) FROM (SELECT seq FROM exchanges WHERE start >= ? AND start < ? ORDER BY seq LIMIT ?)",
                (plausible_ms, start_ms, _BATCH),
            ).fetchone()[0]
            if last is None:
                break
            seqs = self._db.execute(
                "SELECT seq FROM exchanges WHERE seq <= ? AND (start IS NULL OR start < ?)", (last, start_ms)
            ).fetchall()
            with self._transaction():
                delete_exchanges(self._db, [seq for (seq,) in seqs], indexing=self._indexing)
            total += len(seqs)
        if self._db.execute(
            "SELECT 1 FROM events WHERE wall >= ? AND wall < ? LIMIT 1", (plausible_ms, start_ms)
        ).fetchone():
            with self._transaction():
                total += self._db.execute(
                    "DELETE FROM events WHERE wall < ?1 AND seq <="
                    " (SELECT max(seq) FROM events WHERE wall >= ?2 AND wall < ?1)",
                    (start_ms, plausible_ms),
                ).rowcount
        if total:
            self._tidy()
        return total

    def sweep(self) -> None:
        """Keep the tables that have a bound of their own within it."""
        for table, most in (("events", MOST_EVENTS), ("forgotten", _FORGOTTEN_KEPT)):
            low, high = self._db.execute(f"SELECT min(seq), max(seq) FROM {table}").fetchone()
            if low is not None and low <= high - most * 9 // 8:
                with self._transaction():
                    self._db.execute(f"DELETE FROM {table} WHERE seq <= ?", (high - most,))

    def index_missing(self) -> None:
        """Index the texts that were written while SQLite had no full-text search."""
        while self._indexing:
            found = self._db.execute(
                f"SELECT seq, {TEXT_COLUMNS} FROM texts WHERE indexed = 0 LIMIT ?", (_BATCH,)
            ).fetchall()
            if not found:
                return
            with self._transaction():
                for seq, *values in found:
                    self._index(seq, texts_from_columns(values))
                    self._db.execute("UPDATE texts SET indexed = 1 WHERE seq = ?", (seq,))

    def _put_texts(self, seq: int, id: str, texts: Texts) -> None:
        self._db.execute(
            f"INSERT INTO texts (seq, id, {TEXT_COLUMNS}, indexed) VALUES (?,?,?,?,?,?,?,?,?)",
            (seq, id, *texts_to_columns(texts), int(self._indexing)),
        )
        if self._indexing:
            self._index(seq, texts)

    def _index(self, seq: int, texts: Texts) -> None:
        self._db.execute("INSERT INTO words (rowid, spoken) VALUES (?, ?)", (seq, spoken(texts)))

    def _delete_oldest(self) -> bool:
        """Delete the older sixth of the exchanges, or of the events if there are none; False where nothing is left."""
        for table in ("exchanges", "events"):
            there = self._db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            left = there // 6 or there
            while left:
                seqs = self._db.execute(f"SELECT seq FROM {table} ORDER BY seq LIMIT ?", (min(left, _BATCH),))
                found = seqs.fetchall()
                with self._transaction():
                    if table == "exchanges":
                        delete_exchanges(self._db, [seq for (seq,) in found], indexing=self._indexing)
                    else:
                        self._db.executemany("DELETE FROM events WHERE seq = ?", found)
                left -= len(found)
            if there:
                return True
        return False

    def _tidy(self) -> None:
        """Drop from the index what was deleted, and give free pages back to the disk."""
        if self._indexing:
            merge_index(self._db, self._count)
        if (beyond := self._pages() - self._bound) > 0:
            self._db.execute(f"PRAGMA incremental_vacuum({beyond})").fetchall()
        self._count()

    def _count(self) -> None:
        """Count what a commit wrote, and write a log that is long enough back into the file."""
        size = self._size_of_wal()
        self.written += max(0, size - self._wal_size)
        self._wal_size = size
        if size >= self._wal_bound:
            pages = self._pages_in_wal()
            busy, _, _ = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            self.written += 0 if busy else pages * PAGE
            self._wal_size = self._size_of_wal()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self.begin()
        try:
            yield
            self.commit()
        except BaseException:
            self.rollback()
            raise

    def _pages(self) -> int:
        return int(self._db.execute("PRAGMA page_count").fetchone()[0])

    def _free_pages(self) -> int:
        return int(self._db.execute("PRAGMA freelist_count").fetchone()[0])

    def _pages_in_wal(self) -> int:
        """How many pages the log has something for, which are what a checkpoint writes."""
        # https://sqlite.org/fileformat2.html#the_write_ahead_log: after 32 bytes, frames of 24 bytes and a page each; a
        # frame begins with its page's number. The log is cut off at each checkpoint, so that none is an old one.
        with open(f"{self.path}-wal", "rb") as file:
            log = file.read(4 * self._wal_bound)
        return len({log[at : at + 4] for at in range(32, len(log), 24 + PAGE)})

    def _size_of_wal(self) -> int:
        try:
            return os.stat(f"{self.path}-wal").st_size
        except OSError:
            return 0
