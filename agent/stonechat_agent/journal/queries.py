"""Statements that writer, reader and eraser share."""

# ruff: noqa: S608 - the names of tables and columns that are put into statements stand in this project's code
from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from stonechat_agent.journal.layout import KEPT
from stonechat_agent.journal.rows import (
    TEXT_COLUMNS,
    Entry,
    JournalEvent,
    from_columns,
    from_json,
    spoken,
    texts_from_columns,
)

_MERGE_PAGES = 256


def select_entries(
    db: sqlite3.Connection, columns: Sequence[str], tail: str, params: Sequence[Any], *, texts: bool
) -> list[Entry]:
    """Exchanges by the rest of a SELECT that begins with WHERE or ORDER BY."""
    names = ", ".join(f'"{name}"' for name in columns)
    found = db.execute(f"SELECT seq, texts, chosen, sent, {names} FROM exchanges {tail}", params).fetchall()
    entries = []
    with _whole():
        for seq, state, chosen, sent, *values in found:
            kept = _texts(db, seq) if texts and state == KEPT else None
            entries.append(Entry(seq, from_columns(columns, values), state, kept, chosen, bool(sent)))
    return entries


def select_events(db: sqlite3.Connection, tail: str, params: Sequence[Any]) -> list[JournalEvent]:
    """Events by the rest of a SELECT that begins with WHERE or ORDER BY."""
    found = db.execute(
        f"SELECT seq, wall, kind, key, severity, count, attributes FROM events {tail}", params
    ).fetchall()
    return [
        JournalEvent(seq, wall, kind, key, severity, times, from_json(attributes, {}))
        for seq, wall, kind, key, severity, times, attributes in found
    ]


def delete_texts(db: sqlite3.Connection, seqs: Sequence[int], *, indexing: bool) -> None:
    """Delete the texts of exchanges, in the transaction that is open."""
    for seq in seqs:
        if indexing:
            found = db.execute(
                f"SELECT {TEXT_COLUMNS} FROM texts WHERE seq = ? AND indexed = 1", (seq,)
            ).fetchone()
            if found is not None:
                db.execute(
                    "INSERT INTO words (words, rowid, spoken) VALUES ('delete', ?, ?)",
                    (seq, spoken(texts_from_columns(found))),
                )
        db.execute("DELETE FROM texts WHERE seq = ?", (seq,))


def delete_exchanges(db: sqlite3.Connection, seqs: Sequence[int], *, indexing: bool) -> None:
    """Delete exchanges with their texts, in the transaction that is open."""
    delete_texts(db, seqs, indexing=indexing)
    db.executemany("DELETE FROM exchanges WHERE seq = ?", [(seq,) for seq in seqs])


def merge_index(db: sqlite3.Connection, between: Callable[[], object]) -> None:
    """Rewrite the index without what was deleted from it, in pieces, each a transaction of its own.

    An index keeps the words of what was deleted, marked so, until the segments that hold them are merged
    (https://sqlite.org/fts5.html#the_merge_command: a negative number begins what optimises in pieces).
    """
    db.execute("INSERT INTO words (words, rank) VALUES ('merge', ?)", (-_MERGE_PAGES,))
    between()
    while True:
        before = db.total_changes
        db.execute("INSERT INTO words (words, rank) VALUES ('merge', ?)", (_MERGE_PAGES,))
        between()
        if db.total_changes - before < 2:  # the command itself counts as one
            return


@contextlib.contextmanager
def _whole() -> Iterator[None]:
    """What follows takes values for what was written; of a damaged file they may be anything."""
    try:
        yield
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise sqlite3.DatabaseError(f"a value is damaged: {type(error).__name__}") from None


def _texts(db: sqlite3.Connection, seq: int) -> Any:
    found = db.execute(f"SELECT {TEXT_COLUMNS} FROM texts WHERE seq = ?", (seq,)).fetchone()
    return None if found is None else texts_from_columns(found)
