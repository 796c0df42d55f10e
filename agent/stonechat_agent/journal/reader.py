"""The journal for commands: read-only, also while the agent writes, and as another user of the file's group."""

# ruff: noqa: S608 - the names of tables and columns that are put into statements stand in this project's code
from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from stonechat.errors import StonechatError
from stonechat_agent.journal import layout
from stonechat_agent.journal.layout import FILE
from stonechat_agent.journal.queries import select_entries, select_events
from stonechat_agent.journal.rows import TEXT_COLUMNS, Entry, JournalEvent, spoken, texts_from_columns
from stonechat_agent.journal.search import Term, expression, speaks_of, terms, unspaced

_BUSY_SECONDS = 5.0
_PAGE = 200


class JournalUnreadable(StonechatError):
    """There is no journal, or it cannot be read or written. Cure: as the message says."""


class NotFound(StonechatError):
    """No exchange, or more than one, has an id that begins so."""


class SearchError(StonechatError):
    """There is nothing in a query that could be searched for."""


class Reader:
    """A journal, opened to be read. No method leaves a transaction open, so that the writer's log can be folded."""

    def __init__(self, directory: str) -> None:
        """
        Args:
            directory: where ``journal.db`` lies: ``settings.journal.path``.

        Raises:
            JournalUnreadable: there is none, or it cannot be read.
        """
        self._path = os.path.join(directory, FILE)
        self._identity: tuple[int, int] | None = None
        self._immutable = False
        self._db: sqlite3.Connection | None = None
        self.columns: list[str] = []
        """Names of the fields that its exchanges have, as SQL knows them."""
        with self._reading():
            pass

    def __enter__(self) -> Reader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        if self._db is not None:
            self._db.close()
            self._db = None

    def exchanges(
        self,
        where: str = "",
        params: Sequence[Any] = (),
        *,
        order: str = "seq DESC",
        limit: int = 100,
        texts: bool = False,
    ) -> list[Entry]:
        """Exchanges that a condition in SQL over `columns`, ``seq``, ``texts``, ``chosen`` and ``sent`` holds for.

        ``findings`` and ``notes`` are words as `` a b ``, so ``findings LIKE '% NAME %'`` tells whether one is there;
        ``scores`` is JSON. A negative limit is none.
        """
        tail = f"{f'WHERE {where} ' if where else ''}ORDER BY {order} LIMIT ?"
        with self._reading() as db:
            return select_entries(db, self.columns, tail, (*params, limit), texts=texts)

    def select(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of any SELECT."""
        with self._reading() as db:
            return db.execute(sql, params).fetchall()

    def get(self, id: str) -> Entry:
        """The exchange whose id is, or begins with, ``id``; with its texts.

        Raises:
            NotFound: none begins so, or more than one.
        """
        beginning = id.strip().lower()
        found = self.exchanges("id >= ? AND id < ?", (beginning, beginning + "{"), limit=4, texts=True)
        if len(found) == 1 and beginning:
            return found[0]
        if len(found) > 1:
            some = ", ".join(entry.row["id"] for entry in found[:3])
            raise NotFound(
                f'"{id}" begins the ids of several exchanges\n  hint: write more of it: {some} ...'
            )
        raise NotFound(
            f'no exchange in the journal has an id that begins with "{id}"\n'
            "  hint: stonechat requests lists the exchanges; old ones are deleted by [journal] max_size and max_age"
        )

    def search(
        self, query: str, where: str = "", params: Sequence[Any] = (), *, limit: int = 100
    ) -> list[Entry]:
        """Exchanges whose texts have all words of a query, newest first, with the texts.

        ``"two words"`` are a phrase, ``begin*`` is the beginning of a word. Case and accents do not count.

        Raises:
            SearchError: the query has no word.
        """
        found = terms(query)
        if not found:
            raise SearchError(
                f'"{query}": there is no letter or digit to search for\n  hint: words, "a phrase", or begin*'
            )
        condition = f" AND ({where})" if where else ""
        with self._reading() as db:
            if layout.has_words(db) and not unspaced(found):
                matching = "seq IN (SELECT rowid FROM words WHERE words MATCH ?)"
                tail = f"WHERE {matching}{condition} ORDER BY seq DESC LIMIT ?"
                given = (expression(found), *params, limit)
                return select_entries(db, self.columns, tail, given, texts=True)
        seqs = self._read_through(found, limit, condition, params)
        entries: list[Entry] = []
        for at in range(0, len(seqs), _PAGE):
            some = seqs[at : at + _PAGE]
            entries += self.exchanges(f"seq IN ({','.join('?' * len(some))})", some, limit=-1, texts=True)
        return entries

    def events(
        self, where: str = "", params: Sequence[Any] = (), *, order: str = "seq DESC", limit: int = 100
    ) -> list[JournalEvent]:
        """Events that a condition in SQL over the columns of ``events`` holds for."""
        tail = f"{f'WHERE {where} ' if where else ''}ORDER BY {order} LIMIT ?"
        with self._reading() as db:
            return select_events(db, tail, (*params, limit))

    def last_seq(self, table: str = "exchanges") -> int:
        """The number of the latest of ``exchanges`` or ``events``, 0 where there is none: to follow from."""
        with self._reading() as db:
            return int(db.execute(f"SELECT coalesce(max(seq), 0) FROM {table}").fetchone()[0])

    def export(self, where: str = "", params: Sequence[Any] = (), *, texts: bool = True) -> Iterator[Entry]:
        """All exchanges that a condition holds for, oldest first, read page by page."""
        seq = 0
        condition = f" AND ({where})" if where else ""
        while True:
            page = self.exchanges(
                f"seq > ?{condition}", (seq, *params), order="seq", limit=_PAGE, texts=texts
            )
            yield from page
            if len(page) < _PAGE:
                return
            seq = page[-1].seq

    def _read_through(
        self, found: Sequence[Term], limit: int, condition: str, params: Sequence[Any]
    ) -> list[int]:
        """Numbers of exchanges whose texts have the terms, newest first, without the index."""
        below = 1 << 62
        seqs: list[int] = []
        while True:
            with self._reading() as db:
                page = db.execute(
                    f"SELECT seq, {TEXT_COLUMNS} FROM texts WHERE seq IN (SELECT seq FROM exchanges"
                    f" WHERE seq < ? AND texts = '{layout.KEPT}'{condition} ORDER BY seq DESC LIMIT ?)"
                    " ORDER BY seq DESC",
                    (below, *params, _PAGE),
                ).fetchall()
            for seq, *values in page:
                if speaks_of(found, spoken(texts_from_columns(values))):
                    seqs.append(seq)
                    if 0 <= limit <= len(seqs):
                        return seqs
            if len(page) < _PAGE:
                return seqs
            below = page[-1][0]

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """The open file; errors are told with what to do."""
        try:
            yield self._connection()
        except sqlite3.Error as error:
            raise JournalUnreadable(
                f"{self._path}: {error}\n"
                "  hint: try again; if it stays so, restart the agent, which puts a damaged journal aside"
            ) from error

    def _connection(self) -> sqlite3.Connection:
        try:
            found = os.stat(self._path)
            with open(self._path, "rb"):
                pass
        except OSError as error:
            self.close()
            raise unreadable(self._path, error) from None
        identity = (found.st_dev, found.st_ino)
        # A file that was taken for one that nobody changes may be the agent's again by now.
        if self._db is None or identity != self._identity or self._immutable:
            self.close()
            self._db, self._immutable = _open(self._path)
            self._identity = identity
            self.columns = layout.columns(self._db)
        return self._db


def unreadable(path: str, error: OSError) -> JournalUnreadable:
    """What to say of a journal that cannot be opened."""
    if isinstance(error, FileNotFoundError):
        return JournalUnreadable(
            f"{path}: there is no journal\n"
            "  hint: the agent makes it at its first start; where it is somewhere else, name it: [journal] path"
        )
    if isinstance(error, PermissionError):
        return JournalUnreadable(
            f"{path}: {os.strerror(error.errno or 0)}\n"
            "  hint: run this as root, or be of the file's group: sudo usermod -aG stonechat $USER, and log in anew"
        )
    return JournalUnreadable(f"{path}: {error.strerror or error}\n  hint: see that the disk is readable")


def _open(path: str) -> tuple[sqlite3.Connection, bool]:
    """A connection that only reads, and whether it takes the file for one that nobody changes.

    Without a right to write in the directory, SQLite cannot make the index of a log; it needs none where the agent
    has closed the file, and there is no log.
    """
    uri = Path(path).absolute().as_uri()
    try:
        return _opened(f"{uri}?mode=ro"), False
    except sqlite3.OperationalError:
        with contextlib.suppress(FileNotFoundError):
            if os.stat(f"{path}-wal").st_size:
                raise
        return _opened(f"{uri}?mode=ro&immutable=1"), True


def _opened(uri: str) -> sqlite3.Connection:
    db = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=_BUSY_SECONDS)
    try:
        layout.check_layout(db)
        db.execute("SELECT seq FROM exchanges LIMIT 1").fetchall()
    except layout.Foreign as error:
        db.close()
        raise JournalUnreadable(
            f"{uri}: {error}\n  hint: use the version of stonechat that wrote it"
        ) from None
    except BaseException:
        db.close()
        raise
    return db
