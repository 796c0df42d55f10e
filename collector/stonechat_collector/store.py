"""The store: one database, reached through transactions that read or write.

Everything that depends on the database's dialect is in this module: how a connection is prepared, how a writer takes
its lock, how a row is inserted unless it is there, and which errors mean "not now". The tables are in ``schema``.

SQLite runs in WAL mode with ``synchronous=FULL``: a commit that returned has reached the disk, because the
acknowledgement that follows lets a device delete what it sent. A writer begins with ``BEGIN IMMEDIATE``, so that what
it reads cannot change before it writes; on other databases it locks the rows of its devices (``locked``).
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Connection,
    Engine,
    Select,
    Table,
    bindparam,
    create_engine,
    event,
    insert,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from stonechat.errors import StonechatError
from stonechat_collector import schema

BUSY_TIMEOUT_MS = 10_000
"""How long a writer waits for another process's transaction before it gives up and is asked again later."""

_STORE_ID = "store_id"
_MIGRATIONS = "migrations"


class StoreError(StonechatError):
    """The database cannot be used at all: what its URL names is missing, foreign or not writable."""


class StoreUnavailable(StonechatError):
    """The database cannot do it now (locked, disk full, gone): keep what was to be written, and ask again later."""


def _tables(*names: str) -> Callable[[Connection], None]:
    """A step that makes tables with their indexes. A table that another step made is none of them."""
    return lambda connection: schema.metadata.create_all(
        connection, tables=[schema.metadata.tables[name] for name in names]
    )


MIGRATIONS: tuple[tuple[str, Callable[[Connection], None]], ...] = (
    (
        "0001_tables",
        _tables(
            "meta",
            "devices",
            "receipts",
            "windows",
            "pending",
            "rollups",
            "events",
            "descriptions",
            "rejected",
            "rejections",
            "processes",
        ),
    ),
    ("0002_exchanges", _tables("exchanges", "exchange_texts")),
)
"""Steps that bring a database from empty to this version, in order. Each runs once, in a transaction of its own."""


class Store:
    """An open database. Safe to use from several threads; one process each makes its own.

    Raises:
        StoreError: it cannot be opened, or it was written by a later version.
    """

    def __init__(self, url: str, *, busy_timeout_ms: int = BUSY_TIMEOUT_MS) -> None:
        self.url = url
        self._engine = _engine(url, busy_timeout_ms)
        self._writer = self._engine.execution_options(stonechat_write=True)
        self.dialect = self._engine.dialect.name
        try:
            self.store_id = self._migrate()
        except (SQLAlchemyError, sqlite3.Error) as error:
            self._engine.dispose()
            raise StoreError(
                f"{_shown(url)}: cannot be opened: {_cause(error)}\n  hint: {_hint(url)}"
            ) from error

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state of the database and changes nothing. Raises StoreUnavailable."""
        with _translated(), self._engine.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that is committed, durably, when the block ends without an error. Raises StoreUnavailable."""
        with _translated(), self._writer.begin() as connection:
            yield connection

    def upsert(self, table: Table, columns: Sequence[str] = ()) -> Any:
        """An INSERT that, where the primary key is there already, sets the named columns (none: does nothing)."""
        keys = [column.name for column in table.primary_key]
        if self.dialect == "sqlite":
            lite = sqlite.insert(table)
            if not columns:
                return lite.on_conflict_do_nothing(index_elements=keys)
            return lite.on_conflict_do_update(
                index_elements=keys, set_={name: lite.excluded[name] for name in columns}
            )
        other = postgresql.insert(table)
        if not columns:
            return other.on_conflict_do_nothing(index_elements=keys)
        return other.on_conflict_do_update(
            index_elements=keys, set_={name: other.excluded[name] for name in columns}
        )

    def add_to(self, table: Table, column: str) -> Any:
        """An INSERT that, where the primary key is there already, adds to one column instead."""
        keys = [item.name for item in table.primary_key]
        if self.dialect == "sqlite":
            lite = sqlite.insert(table)
            return lite.on_conflict_do_update(
                index_elements=keys, set_={column: table.c[column] + lite.excluded[column]}
            )
        other = postgresql.insert(table)
        return other.on_conflict_do_update(
            index_elements=keys, set_={column: table.c[column] + other.excluded[column]}
        )

    def locked(self, query: Select[Any]) -> Select[Any]:
        """The query, holding its rows until the transaction ends. SQLite's writer holds the whole database already."""
        return query if self.dialect == "sqlite" else query.with_for_update()

    def _migrate(self) -> bytes:
        with self._writer.begin() as connection:
            schema.meta.create(connection, checkfirst=True)
            found = self._meta(connection, _MIGRATIONS)
            applied: list[str] = json.loads(found) if found else []
            known = [name for name, _ in MIGRATIONS]
            if applied != known[: len(applied)]:
                raise StoreError(
                    f"{_shown(self.url)}: holds migrations {applied}, this version knows {known}\n"
                    "  hint: run the version that wrote it, or a later one"
                )
            for name, apply in MIGRATIONS[len(applied) :]:
                apply(connection)
                applied.append(name)
            if found is None or json.loads(found) != applied:
                connection.execute(
                    self.upsert(schema.meta, ["value"]),
                    {"key": _MIGRATIONS, "value": json.dumps(applied).encode()},
                )
            connection.execute(self.upsert(schema.meta), {"key": _STORE_ID, "value": os.urandom(8)})
            store_id = self._meta(connection, _STORE_ID)
        assert store_id is not None
        return store_id

    def _meta(self, connection: Connection, key: str) -> bytes | None:
        value: bytes | None = connection.scalar(
            select(schema.meta.c.value).where(schema.meta.c.key == bindparam("key")), {"key": key}
        )
        return value


def insert_all(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert rows of equal columns, of which there may be none."""
    if rows:
        connection.execute(insert(table), rows)


def insert_tuples(
    connection: Connection, table: Table, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]
) -> None:
    """Insert rows of plain values, given as tuples of these columns: half the work of dicts, where rows are many."""
    if not rows:
        return
    if connection.dialect.paramstyle != "qmark":
        insert_all(connection, table, [dict(zip(columns, row, strict=True)) for row in rows])
        return
    quote = connection.dialect.identifier_preparer.quote
    names, marks = ", ".join(map(quote, columns)), ", ".join("?" * len(columns))
    connection.exec_driver_sql(f"INSERT INTO {quote(table.name)} ({names}) VALUES ({marks})", list(rows))  # noqa: S608


def _engine(url: str, busy_timeout_ms: int) -> Engine:
    try:
        parsed = make_url(url)
        options: dict[str, Any] = {"json_serializer": _dumps, "future": True}
        if parsed.get_backend_name() == "sqlite":
            if not parsed.database:
                raise StoreError(
                    f"{_shown(url)}: names no file\n  hint: sqlite:////var/lib/stonechat/fleet.db"
                )
            _make_directory(Path(parsed.database), url)
            options["connect_args"] = {"timeout": busy_timeout_ms / 1000, "check_same_thread": False}
        engine = create_engine(parsed, **options)
    except (ArgumentError, NoSuchModuleError, ImportError) as error:
        raise StoreError(f"{_shown(url)}: not a database that can be used: {error}") from error
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    elif engine.dialect.name != "postgresql":
        raise StoreError(f"{_shown(url)}: only sqlite and postgresql are supported")
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # The driver would begin transactions by itself, too late and without the lock; ``_begin_sqlite`` does.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "cache_size=-65536", "temp_store=MEMORY"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    write = connection.get_execution_options().get("stonechat_write")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (DBAPIError, sqlite3.Error, OSError) as error:
        raise StoreUnavailable(_cause(error)) from error


def _make_directory(file: Path, url: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"{_shown(url)}: cannot make {file.parent}: {error.strerror}\n  hint: {_hint(url)}"
        ) from error


def _hint(url: str) -> str:
    if url.startswith("sqlite"):
        return "set store.url to a file in a directory that this user may write"
    return "check that the database runs and that store.url names it"


def _shown(url: str) -> str:
    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return "store.url"


def _cause(error: BaseException) -> str:
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    return " ".join(str(cause).split()) or type(cause).__name__


def _dumps(item: Any) -> str:
    return json.dumps(item, separators=(",", ":"))
