"""Forgetting: deletes exchanges from a journal so that no text of them remains in it, also while the agent runs."""

# ruff: noqa: S608 - the names of tables and columns that are put into statements stand in this project's code
from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator
from typing import NamedTuple

from stonechat_agent.journal import files, layout
from stonechat_agent.journal.layout import FILE, FORGET_KINDS, KEPT
from stonechat_agent.journal.queries import delete_exchanges, delete_texts, merge_index
from stonechat_agent.journal.reader import JournalUnreadable, unreadable

_BUSY_SECONDS = 10.0
_BATCH = 256
_CONDITIONS = {
    "id": "id = ?",
    "conversation": "conversation = ?",
    "user": '"user" = ?',
    "before": "start < CAST(? AS INTEGER)",
}


class Erased(NamedTuple):
    """What was forgotten."""

    exchanges: int
    """Exchanges that were deleted, or whose texts were."""
    events: int
    left: str
    """Why deleted bytes may still stand in the file, or "" where none do."""


class Eraser:
    """Deletes from the journal of a directory.

    What a running agent has in memory goes too: it reads, before it writes, what is to be forgotten.
    """

    def __init__(self, directory: str) -> None:
        """
        Raises:
            JournalUnreadable: there is none, or it cannot be written.
        """
        self._directory = directory
        self._path = os.path.join(directory, FILE)
        try:
            with open(self._path, "r+b"):
                pass
        except PermissionError as error:
            reason = os.strerror(error.errno or 0)
            hint = "run this as root or as the agent's user: only those may change the journal"
            raise JournalUnreadable(f"{self._path}: {reason}\n  hint: {hint}") from None
        except OSError as error:
            raise unreadable(self._path, error) from None

    def forget(self, kind: str, value: str, *, texts_only: bool = False) -> Erased:
        """Delete exchanges with their texts and what the index knows of them.

        Args:
            kind: ``id``, ``conversation``, ``user`` (both by their pseudonyms) or ``before`` (ms since 1970, by the
                start; events of before go as well).
            texts_only: keep the figures.

        Raises:
            JournalUnreadable: the file cannot be written, or another process does for longer than 10 seconds.
            ValueError: an unknown kind, or a ``before`` that is no number.
        """
        if kind not in FORGET_KINDS:
            raise ValueError(f"kind must be one of {', '.join(FORGET_KINDS)}, not {kind!r}")
        if kind == "before":
            value = str(int(value))
        try:
            with contextlib.closing(layout.connect(self._path, timeout_seconds=_BUSY_SECONDS)) as db:
                exchanges, events = _delete(db, kind, value, texts_only)
                left = _clear(db, self._path)
        except (sqlite3.Error, layout.Foreign) as error:
            raise JournalUnreadable(
                f"{self._path}: {error}\n  hint: try again; what was deleted by now stays deleted"
            ) from error
        # Whatever a damaged file holds can be neither searched nor deleted one by one.
        files.delete_aside(self._directory)
        return Erased(exchanges, events, left)


def _delete(db: sqlite3.Connection, kind: str, value: str, texts_only: bool) -> tuple[int, int]:
    indexing = layout.has_words(db)
    condition = _CONDITIONS[kind] + (f" AND texts = '{KEPT}'" if texts_only else "")
    exchanges = events = 0
    with _transaction(db):
        # First of all: from here on a running agent adds nothing that it still has in memory.
        db.execute(
            "INSERT INTO forgotten (kind, value, texts_only) VALUES (?, ?, ?)", (kind, value, int(texts_only))
        )
        if kind == "before" and not texts_only:
            events = db.execute("DELETE FROM events WHERE wall < ?", (int(value),)).rowcount
    while True:
        with _transaction(db):
            found = db.execute(
                f"SELECT seq FROM exchanges WHERE {condition} LIMIT ?", (value, _BATCH)
            ).fetchall()
            seqs = [seq for (seq,) in found]
            if texts_only:
                delete_texts(db, seqs, indexing=indexing)
                db.executemany("UPDATE exchanges SET texts = 'forgotten' WHERE seq = ?", found)
            else:
                delete_exchanges(db, seqs, indexing=indexing)
        exchanges += len(seqs)
        if len(seqs) < _BATCH:
            return exchanges, events


def _clear(db: sqlite3.Connection, path: str) -> str:
    """Rewrite the file without what was deleted; returns why that could not be done, or ""."""
    try:
        if layout.has_words(db):
            merge_index(db, lambda: None)
        # secure_delete overwrites what is deleted, but not where it stood before it moved to another page.
        db.execute("VACUUM")
        until = time.monotonic() + _BUSY_SECONDS
        while db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
            if time.monotonic() > until:
                return (
                    "another process has been reading the journal all the time: try again when it has ended"
                )
            time.sleep(0.05)
    except sqlite3.OperationalError as error:
        return f"{path}: {error}"
    return ""


@contextlib.contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
