"""The spool's tables on one SQLite connection: on disk, or in memory while the disk refuses.

Layout 1 (``PRAGMA user_version``)::

    run          run        number of the run: counts up, orders the runs of this file
                 epoch      8 bytes, drawn at its start          boot    the kernel's boot id, "" unknown
                 ord        the order that stands in its records and births
                 opened     boottime in ms when it began         anchor  wall - boottime in ms, NULL unknown
                 source     how the anchor was found: `Source`
    windows      id         run << 40 | first seq of the cover: age order is key order
    events       state      `State`
                 high       last seq of the cover                n       records in the payload
                 step       finest step among them, ms; events 0
                 ended      boottime in ms at the end of the latest
                 name       description's hash; of an event its kind, NUL, key
                 cover      MessagePack of the cover, NULL where it is low..high without a gap
                 crc        CRC-32 of cover and payload
                 payload    see `codec`
    description  hash, body (MessagePack), slots (MessagePack, NULL none)
    meta         key, value: `store`, the id of the collector's store that acknowledged last

Invariants

- A number (run, seq) of a stream stands in at most one row's cover: rows come into being with a new number, a fold
  takes its rows' covers and deletes them in the same transaction, and splitting is its reverse.
- State goes HELD -> OFFERED -> LET_GO <-> WANTED and never back to HELD. From OFFERED on, the records, covers and
  starts of a row never change; a split row's records are the same ones.
- Every commit is synced (WAL, synchronous=FULL) and leaves the tables whole. A power cut costs what was not committed.

Deletion: LET_GO rows, oldest first, when space is needed; what the collector refused or what cannot be read, with a
counted loss; as the last resort the oldest of the others, with a counted loss. Runs and descriptions go when no row
needs them. The file never shrinks; freed pages are used again.
"""

# ruff: noqa: S608 - the names of tables and columns that are put into statements stand in this file
from __future__ import annotations

import os
import sqlite3
import zlib
from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import Any, NamedTuple

import msgpack

from stonechat.ranges import Cover
from stonechat.wire import Stream

LAYOUT = 1
APPLICATION_ID = 0x53746331
FILE = "spool.db"
SEQ_BITS = 40
_MOST_RUNS = 1 << 62 - SEQ_BITS  # a row's id has 63 bits
PAGE = 4096
_ROW = 64  # bytes that a row takes beside its payload, roughly

_TABLE = """CREATE TABLE {name} (
    id INTEGER PRIMARY KEY, state INTEGER NOT NULL, high INTEGER NOT NULL, n INTEGER NOT NULL, step INTEGER NOT NULL,
    ended INTEGER NOT NULL, name BLOB NOT NULL, cover BLOB, crc INTEGER NOT NULL, payload BLOB NOT NULL)"""
_SCHEMA = (
    "CREATE TABLE run (run INTEGER PRIMARY KEY, epoch BLOB NOT NULL UNIQUE, ord INTEGER NOT NULL,"
    " boot TEXT NOT NULL, opened INTEGER NOT NULL, anchor INTEGER, source INTEGER NOT NULL)",
    _TABLE.format(name="windows"),
    "CREATE INDEX windows_state ON windows (state)",
    _TABLE.format(name="events"),
    "CREATE INDEX events_state ON events (state)",
    "CREATE TABLE description (hash BLOB PRIMARY KEY, body BLOB, slots BLOB) WITHOUT ROWID",
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID",
    f"PRAGMA user_version={LAYOUT}",
    f"PRAGMA application_id={APPLICATION_ID}",
)
_TEXTS = {statement for statement in _SCHEMA if statement.startswith("CREATE")}
_COLUMNS = "id, state, high, n, step, ended, name, cover"


class State(IntEnum):
    """Where a row stands on its way to the collector. The numbers stand in the file."""

    HELD = 0  # never published; may fold
    OFFERED = 1  # may have been published; frozen
    LET_GO = 2  # a collector has it; kept until the space is needed
    WANTED = 3  # was let go, and then missed by a collector that was restored: frozen, to be published again


FROZEN = (State.OFFERED, State.WANTED)


class Source(IntEnum):
    """How a run's anchor was found, a better one with a higher number. The numbers stand in the file."""

    NONE = 0
    PACKED = 1  # counted back from the start of the next run
    LATE = 2  # the collector's time, or the anchor of another run since the same boot
    CLOCK = 3  # the synchronised clock


class Run(NamedTuple):
    """One run of the agent, as the table ``run`` has it."""

    run: int
    epoch: int
    order: int
    boot: str
    opened: int
    anchor: int | None = None
    source: Source = Source.NONE


class Row(NamedTuple):
    """A row of ``windows`` or ``events`` without its payload."""

    id: int
    state: int
    high: int
    n: int
    step: int
    ended: int
    name: bytes
    cover: bytes | None

    @property
    def run(self) -> int:
        """The run that it belongs to."""
        return self.id >> SEQ_BITS

    @property
    def low(self) -> int:
        """The first seq of its cover."""
        return self.id & ((1 << SEQ_BITS) - 1)

    def ranges(self) -> tuple[tuple[int, int], ...]:
        """Its cover as ranges of seqs."""
        if self.cover is None:
            return ((self.low, self.high),)
        try:
            return tuple((low, high) for low, high in msgpack.unpackb(self.cover))
        except (ValueError, TypeError) as error:
            raise sqlite3.DatabaseError("a cover is damaged") from error


def row_id(run: int, seq: int) -> int:
    """The key of the row whose cover begins at that number."""
    return run << SEQ_BITS | seq


def make_row(
    run: int, cover: Cover, *, state: State, n: int = 1, step: int = 0, ended: int, name: bytes
) -> Row:
    """The row of a cover within one run."""
    ranges = [(low, high) for _, low, high in cover]
    packed = msgpack.packb(ranges) if len(ranges) > 1 else None
    return Row(row_id(run, ranges[0][0]), state, ranges[-1][1], n, step, ended, name, packed)


class Found(NamedTuple):
    """A row with its payload; ``whole`` tells whether both are as they were written."""

    row: Row
    payload: bytes
    whole: bool


def _row(columns: Sequence[Any]) -> Row:
    """A row as SQLite gave it. Raises sqlite3.DatabaseError for types that were never written."""
    row = Row(*columns)
    if (
        {*map(type, row[:6])} != {int}
        or type(row.name) is not bytes
        or type(row.cover) not in (bytes, type(None))
    ):
        raise sqlite3.DatabaseError("a row is damaged")
    return row


def _checked(values: Sequence[Any], *kinds: type) -> None:
    """Raise sqlite3.DatabaseError for types that were never written."""
    if not set(map(type, values)) <= set(kinds):
        raise sqlite3.DatabaseError("a value is damaged")


def _crc(row: Row, payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(row.cover or b""))


class Foreign(Exception):
    """The file is not a spool of a layout that this version reads."""


TABLES = {Stream.WINDOW: "windows", Stream.EVENT: "events"}


class _Connection(sqlite3.Connection):
    """Says that a file is damaged also where its own words about it are: the driver cannot decode those."""

    def execute(self, *arguments: Any) -> sqlite3.Cursor:
        try:
            return super().execute(*arguments)
        except UnicodeDecodeError as error:
            raise sqlite3.DatabaseError("malformed database, with a name that is no text") from error


class Store:
    """The tables, and nothing of the rules. Every method may raise sqlite3.Error; the caller decides what follows.

    A transaction begins with the first change and ends with ``commit``, the one thing that syncs.
    """

    def __init__(self, path: str | None, max_bytes: int) -> None:
        """Open or make the file, or tables in memory where path is None.

        Raises:
            Foreign: another application's file, or a layout of another version.
            sqlite3.Error: it cannot be opened, or is damaged.
        """
        self.path = path
        self._wal_bound = min(1 << 20, max_bytes // 8)
        self._budget = max_bytes - self._wal_bound if path else max_bytes
        self._wal_size = 0
        self.written = 0
        """Bytes written to the disk: WAL frames, and pages that checkpoints moved."""
        self.fresh = False
        """Whether the tables were made just now."""
        self.climbed_to: dict[object, int] = {}
        """For each rung of the ladder the id below which no held window can climb it."""
        self._event_bytes: int | None = None
        self._db = sqlite3.connect(path or ":memory:", isolation_level=None, timeout=0.1, factory=_Connection)
        try:
            self._prepare()
        except BaseException:
            self._db.close()
            raise

    def _prepare(self) -> None:
        run = self._db.execute
        # Exclusive: no shared-memory file, which some file systems of devices cannot map, and no second writer.
        run("PRAGMA locking_mode=EXCLUSIVE")
        run("PRAGMA cache_size=-256")
        if self.path:
            run("PRAGMA journal_mode=WAL")
            run("PRAGMA synchronous=FULL")
            run("PRAGMA wal_autocheckpoint=0")
            run("PRAGMA cell_size_check=ON")
        self.begin()
        version = run("PRAGMA user_version").fetchone()[0]
        application = run("PRAGMA application_id").fetchone()[0]
        if version == 0 and not run("SELECT 1 FROM sqlite_master LIMIT 1").fetchone():
            for statement in _SCHEMA:
                run(statement)
            self.fresh = True
        elif (version, application) != (LAYOUT, APPLICATION_ID):
            raise Foreign(f"layout {version} of application {application:#x}, this version reads {LAYOUT}")
        elif {text for (text,) in run("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")} != _TEXTS:
            raise Foreign("the tables are not those of this layout")

    def close(self) -> None:
        """Close without committing what is open."""
        self._db.close()

    # Transactions

    def begin(self) -> None:
        """Begin a transaction unless one is open."""
        if not self._db.in_transaction:
            self._db.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Make everything since ``begin`` durable."""
        if not self._db.in_transaction:
            return
        self._db.execute("COMMIT")
        if self.path:
            self._count_written()

    @property
    def checkpoint_due(self) -> bool:
        """Whether the log has reached its bound."""
        return self._wal_size >= self._wal_bound

    def rollback(self) -> None:
        """Forget everything since ``begin``."""
        self._event_bytes = None
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    def _count_written(self) -> None:
        try:
            size = os.stat(f"{self.path}-wal").st_size
        except OSError:
            return
        self.written += max(0, size - self._wal_size)
        self._wal_size = size

    def checkpoint(self) -> None:
        """Move the WAL's pages into the file and empty it."""
        _, frames, _ = self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        self.written += max(0, frames) * PAGE
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._wal_size = 0

    # Space

    def used(self) -> int:
        """Bytes of pages in use."""
        pages: int = self._db.execute("PRAGMA page_count").fetchone()[0]
        free: int = self._db.execute("PRAGMA freelist_count").fetchone()[0]
        return (pages - free) * PAGE

    def size(self) -> int:
        """Bytes on disk, or in memory."""
        return self._db.execute("PRAGMA page_count").fetchone()[0] * PAGE + self._wal_size  # type: ignore[no-any-return]

    def budget(self, *, grow: bool) -> int:
        """Bytes that pages in use may take: the bound, and the file as it is when it must not grow."""
        if grow:
            return self._budget
        pages: int = self._db.execute("PRAGMA page_count").fetchone()[0]
        return min(self._budget, max(pages * PAGE, 64 * PAGE))

    def event_bytes(self) -> int:
        """Bytes of all events' rows, roughly."""
        if self._event_bytes is None:
            total = self._db.execute(f"SELECT sum(length(payload) + {_ROW}) FROM events").fetchone()[0]
            self._event_bytes = total or 0
        return self._event_bytes

    # Runs, descriptions, meta

    def runs(self) -> list[Run]:
        """All runs, oldest first."""
        found = self._db.execute("SELECT run, epoch, ord, boot, opened, anchor, source FROM run ORDER BY run")
        runs = []
        for run, epoch, order, boot, opened, anchor, source in found:
            _checked((run, order, opened, source), int)
            _checked((epoch, anchor), bytes, int, type(None))
            _checked((boot,), str)
            sound = type(epoch) is bytes and len(epoch) == 8 and any(epoch) and type(anchor) is not bytes
            if (
                not sound
                or not 0 < run < _MOST_RUNS
                or not 0 <= order < 1 << 31
                or source not in tuple(Source)
            ):
                raise sqlite3.DatabaseError("a run is damaged")
            runs.append(Run(run, int.from_bytes(epoch, "big"), order, boot, opened, anchor, Source(source)))
        return runs

    def put_run(self, run: Run) -> None:
        """Write a run, new or changed."""
        self.begin()
        self._db.execute(
            "INSERT OR REPLACE INTO run (run, epoch, ord, boot, opened, anchor, source) VALUES (?,?,?,?,?,?,?)",
            (run.run, run.epoch.to_bytes(8, "big"), *run[2:6], int(run.source)),
        )

    def delete_run(self, run: int) -> None:
        """Forget a run."""
        self.begin()
        self._db.execute("DELETE FROM run WHERE run = ?", (run,))

    def meta(self, key: str) -> bytes | None:
        """A value of ``meta``."""
        found = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return found[0] if found else None

    def put_meta(self, key: str, value: bytes) -> None:
        """Write a value of ``meta``."""
        self.begin()
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def description(self, name: bytes) -> tuple[bytes | None, bytes | None] | None:
        """Body and slots of a description, both MessagePack."""
        found: tuple[bytes | None, bytes | None] | None = self._db.execute(
            "SELECT body, slots FROM description WHERE hash = ?", (name,)
        ).fetchone()
        if found is not None:
            _checked(found, bytes, type(None))
        return found

    def put_description(self, name: bytes, body: bytes | None, slots: bytes | None) -> None:
        """Write a description's body and slots."""
        self.begin()
        self._db.execute("INSERT OR REPLACE INTO description VALUES (?, ?, ?)", (name, body, slots))

    def descriptions(self) -> list[tuple[bytes, bytes | None, bytes | None]]:
        """All descriptions."""
        found = self._db.execute("SELECT hash, body, slots FROM description").fetchall()
        for row in found:
            _checked(row, bytes, type(None))
        return found

    def prune_descriptions(self, most: int) -> None:
        """Forget the descriptions that no window names, when there are more than ``most``."""
        if self._db.execute("SELECT count(*) FROM description").fetchone()[0] > most:
            self.begin()
            self._db.execute("DELETE FROM description WHERE hash NOT IN (SELECT DISTINCT name FROM windows)")

    # Rows

    def insert(self, stream: Stream, row: Row, payload: bytes) -> None:
        """Add a row. Raises sqlite3.IntegrityError when its number is there already."""
        self.begin()
        self._db.execute(
            f"INSERT INTO {TABLES[stream]} ({_COLUMNS}, crc, payload) VALUES (?,?,?,?,?,?,?,?,?,?)",
            (*row, _crc(row, payload), payload),
        )
        self._event_growth(stream, len(payload) + _ROW)

    def replace(self, stream: Stream, row: Row, payload: bytes) -> None:
        """Write a row in place of the one of its id."""
        self.delete(stream, [row.id])
        self.insert(stream, row, payload)

    def delete(self, stream: Stream, ids: Iterable[int]) -> None:
        """Delete rows."""
        self.begin()
        for key in ids:
            if stream is Stream.EVENT:
                found = self._db.execute("SELECT length(payload) FROM events WHERE id = ?", (key,)).fetchone()
                self._event_growth(stream, -found[0] - _ROW if found else 0)
            self._db.execute(f"DELETE FROM {TABLES[stream]} WHERE id = ?", (key,))

    def set_state(self, stream: Stream, ids: Iterable[int], state: State) -> None:
        """Set the state of rows."""
        self.begin()
        self._db.executemany(
            f"UPDATE {TABLES[stream]} SET state = ? WHERE id = ?", [(int(state), item) for item in ids]
        )

    def row(self, stream: Stream, key: int) -> Found | None:
        """A row with its payload."""
        found = self._db.execute(
            f"SELECT {_COLUMNS}, crc, payload FROM {TABLES[stream]} WHERE id = ?", (key,)
        ).fetchone()
        if found is None:
            return None
        *columns, crc, payload = found
        row = _row(columns)
        whole = type(payload) is bytes and _crc(row, payload) == crc
        return Found(row, payload, whole)

    def rows(
        self,
        stream: Stream,
        states: Sequence[int],
        low: int = 0,
        high: int = (1 << 63) - 1,
        *,
        limit: int = -1,
        newest: bool = False,
    ) -> list[Row]:
        """Rows in any of the states with an id in low..high, in the order of age."""
        found: list[Row] = []
        direction = "DESC" if newest else "ASC"
        for state in states:
            cursor = self._db.execute(
                f"SELECT {_COLUMNS} FROM {TABLES[stream]} INDEXED BY {TABLES[stream]}_state"
                f" WHERE state = ? AND id BETWEEN ? AND ? ORDER BY id {direction} LIMIT ?",
                (int(state), low, high, limit),
            )
            found.extend(map(_row, cursor))
        if len(states) > 1:
            found.sort(reverse=newest)
        return found if limit < 0 else found[:limit]

    def sizes(
        self, stream: Stream, states: Sequence[int], after: int, limit: int, *, newest: bool = False
    ) -> list[tuple[int, int, int]]:
        """(id, records, bytes) of rows in the states with a greater id, in the order of age."""
        found: list[tuple[int, int, int]] = []
        direction = "DESC" if newest else "ASC"
        for state in states:
            found.extend(
                self._db.execute(
                    f"SELECT id, n, length(payload) FROM {TABLES[stream]} INDEXED BY {TABLES[stream]}_state"
                    f" WHERE state = ? AND id > ? ORDER BY id {direction} LIMIT ?",
                    (int(state), after, limit),
                )
            )
        for item in found:
            _checked(item, int)
        found.sort(reverse=newest)
        return found[:limit]

    def lowest(self, stream: Stream, run: int) -> int:
        """The lowest seq of a run that any row has, 0 where none has."""
        low, high = row_id(run, 0), row_id(run + 1, 0) - 1
        found = self._db.execute(
            f"SELECT min(id) FROM {TABLES[stream]} WHERE id BETWEEN ? AND ?", (low, high)
        ).fetchone()[0]
        return found & ((1 << SEQ_BITS) - 1) if found else 0

    def ended(self, run: int) -> int | None:
        """The boottime in ms at the end of the latest window or event of a run."""
        low, high = row_id(run, 0), row_id(run + 1, 0) - 1
        ends = [
            self._db.execute(
                f"SELECT max(ended) FROM {table} WHERE id BETWEEN ? AND ?", (low, high)
            ).fetchone()[0]
            for table in TABLES.values()
        ]
        _checked(ends, int, type(None))
        return max((end for end in ends if end is not None), default=None)

    def waiting(self, name: bytes) -> bool:
        """Whether an event of that kind and key has not been let go."""
        found = self._db.execute(
            "SELECT 1 FROM events WHERE name = ? AND state <> ? LIMIT 1", (name, int(State.LET_GO))
        )
        return found.fetchone() is not None

    def repeated(self) -> list[bytes]:
        """Names that more than one held event has."""
        found = self._db.execute("SELECT name FROM events WHERE state = 0 GROUP BY name HAVING count(*) > 1")
        return [name for (name,) in found]

    def held_events(self, name: bytes) -> list[Row]:
        """Held events of that kind and key, oldest first."""
        found = self._db.execute(
            f"SELECT {_COLUMNS} FROM events WHERE state = 0 AND name = ? ORDER BY id", (name,)
        )
        return list(map(_row, found))

    def records(self, stream: Stream, states: Sequence[int]) -> int:
        """How many records (or events) stand in rows of those states."""
        total = 0
        for state in states:
            found: Any = self._db.execute(
                f"SELECT sum(n) FROM {TABLES[stream]} WHERE state = ?", (int(state),)
            ).fetchone()[0]
            total += found or 0
        return total

    def _event_growth(self, stream: Stream, size: int) -> None:
        if stream is Stream.EVENT and self._event_bytes is not None:
            self._event_bytes += size
