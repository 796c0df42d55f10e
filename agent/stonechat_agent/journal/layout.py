"""The journal's file: its tables, and how a connection to it is opened.

``journal.db`` (SQLite, WAL, pages of 1 KiB, layout 1 in ``PRAGMA user_version``)::

    exchanges  seq        counts up in the order of writing and is never used again
               ...        one column per field of `stonechat.exchange_row.FIELDS`, NULL where it is unknown; lists of
                          words as " a b ", scores as JSON
               texts      `KEPT`, or why there are none: see `WHY`
               chosen     the reason for which it goes to the collector, NULL where it does not
               sent       1 once it went there
    texts      seq, id    those of the exchange; here only where texts is `KEPT`. All of it is redacted
               prompt     JSON [[role, text], ...]        tool_calls  JSON [[name, arguments], ...]
               answer, reasoning, error
               cut        1 where some text is missing
               indexed    1 where ``words`` has it
    words      FTS5 without content of its own, by seq: `rows.spoken` of the texts
    events     seq, wall (ms since 1970), kind, key, severity, count, attributes (JSON)
    forgotten  what was asked to be forgotten, so that a running agent lets go of what it has in memory:
               seq, kind (id, conversation, user, before), value, texts_only (1: the figures stay)

Invariants

- A row of texts has its exchange, and ``exchanges.texts`` says `KEPT` exactly then.
- A text is in ``words`` exactly as `rows.spoken` makes it of the row: whoever changes that function changes the layout
  and builds the index anew, because an entry is deleted by naming its text.
- Deleted bytes are overwritten (``secure_delete``); what may be left where pages split goes when somebody forgets.

Deletion: oldest first by the bound in bytes and by age; what is forgotten, at once. A commit is not synced by itself
(``synchronous=NORMAL``): a power cut may cost the latest ones, and never the file.

A field that joins ``FIELDS`` becomes a column when the file is next opened to be written.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from functools import lru_cache

from stonechat.errors import StonechatError
from stonechat.exchange_row import FIELDS, FieldKind

FILE = "journal.db"
LAYOUT = 1
APPLICATION_ID = 0x53746A31
PAGE = 1024
"""Bytes of a page. A commit writes each page that it touches, and of most a few dozen bytes change."""

KEPT = "kept"
WHY = {
    KEPT: "The journal has the texts, redacted.",
    "none": 'privacy.journal is "none": no texts are kept.',
    "not_flagged": "Nothing was found in it, and privacy.journal keeps the texts of flagged exchanges.",
    "not_sampled": "It was not drawn for the sample of which privacy.journal keeps the texts.",
    "no_texts": "No text was seen: the traffic is of no known dialect, or nothing was said.",
    "over_bound": "The texts were longer than what may be kept, or too many waited at once.",
    "failed": "The texts could not be redacted, so they were not kept.",
    "forgotten": "Somebody asked to forget them.",
}
"""Values of ``exchanges.texts`` and what they mean."""

FORGET_KINDS = ("id", "conversation", "user", "before")

_TYPES = {FieldKind.COUNT: "INTEGER", FieldKind.FLAG: "INTEGER", FieldKind.TIME: "INTEGER"}
_TYPES |= {FieldKind.DURATION: "INTEGER", FieldKind.OFFSET: "INTEGER"}
_COLUMNS = {field.name: _TYPES.get(field.kind, "TEXT") for field in FIELDS}

_SCHEMA = (
    "CREATE TABLE exchanges (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, "
    + ", ".join(f'"{name}" {kind}' for name, kind in _COLUMNS.items() if name != "id")
    + ", texts TEXT NOT NULL, chosen TEXT, sent INTEGER NOT NULL DEFAULT 0)",
    "CREATE INDEX exchanges_start ON exchanges (start)",
    "CREATE INDEX exchanges_conversation ON exchanges (conversation) WHERE conversation IS NOT NULL",
    'CREATE INDEX exchanges_user ON exchanges ("user") WHERE "user" IS NOT NULL',
    "CREATE INDEX exchanges_unsent ON exchanges (chosen, sent) WHERE chosen IS NOT NULL AND sent = 0",
    "CREATE TABLE texts (seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, prompt TEXT, answer TEXT, reasoning TEXT,"
    " tool_calls TEXT, error TEXT, cut INTEGER NOT NULL DEFAULT 0, indexed INTEGER NOT NULL DEFAULT 0)",
    "CREATE TABLE events (seq INTEGER PRIMARY KEY AUTOINCREMENT, wall INTEGER NOT NULL, kind TEXT NOT NULL,"
    " key TEXT NOT NULL, severity INTEGER NOT NULL, count INTEGER NOT NULL, attributes TEXT NOT NULL)",
    "CREATE TABLE forgotten (seq INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, value TEXT NOT NULL,"
    " texts_only INTEGER NOT NULL)",
    f"PRAGMA application_id={APPLICATION_ID}",
    f"PRAGMA user_version={LAYOUT}",
)
_WORDS = (
    "CREATE VIRTUAL TABLE words USING fts5(spoken, content='', tokenize=\"unicode61 remove_diacritics 2\")",
    "INSERT INTO words (words, rank) VALUES ('pgsz', 1000)",
    # Each merge writes again what it merges; with fewer and larger ones, a flash disk is spared.
    "INSERT INTO words (words, rank) VALUES ('automerge', 16)",
)
_MIGRATIONS: dict[int, tuple[str, ...]] = {}
"""Statements by the layout that they start from; each ends one layout later. None is needed so far."""


class Foreign(StonechatError):
    """The file is no journal, or one of a later version."""


@lru_cache(maxsize=1)
def has_full_text() -> bool:
    """Whether this SQLite has FTS5. Without it, a search reads all texts."""
    with contextlib.closing(sqlite3.connect(":memory:")) as db:
        try:
            db.execute("CREATE VIRTUAL TABLE probe USING fts5(spoken)")
        except sqlite3.OperationalError:
            return False
    return True


def connect(path: str, *, timeout_seconds: float) -> sqlite3.Connection:
    """Open a journal to write it, made or brought to this layout where need be.

    Raises:
        Foreign: the file is something else.
        sqlite3.Error: it cannot be opened, or is damaged.
        OSError: it cannot be made.
    """
    # Made here, because SQLite gives a new file the mode 0644, and log and index take after it.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640))
    db = sqlite3.connect(path, isolation_level=None, timeout=timeout_seconds, check_same_thread=False)
    try:
        db.execute(f"PRAGMA page_size={PAGE}")
        db.execute("PRAGMA auto_vacuum=INCREMENTAL")
        db.execute("PRAGMA secure_delete=ON")
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=NORMAL")
        db.execute("PRAGMA temp_store=MEMORY")
        _prepare(db)
    except BaseException:
        db.close()
        raise
    return db


def columns(db: sqlite3.Connection) -> list[str]:
    """Names of the fields that the file's exchanges have and this version knows."""
    found = {name for _, name, *_ in db.execute("PRAGMA table_info(exchanges)")}
    return [field.name for field in FIELDS if field.name in found]


def check_layout(db: sqlite3.Connection) -> None:
    """Raise Foreign for what this version cannot read. A file without tables passes: see `is_empty`."""
    application = db.execute("PRAGMA application_id").fetchone()[0]
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if application not in (0, APPLICATION_ID) or (application == 0 and not is_empty(db)):
        raise Foreign("the file is no journal")
    if not (1 <= version <= LAYOUT or (version == 0 and is_empty(db))):
        raise Foreign(f"the journal has layout {version}; this version knows layouts 1 to {LAYOUT}")


def is_empty(db: sqlite3.Connection) -> bool:
    """Whether a file has no table yet."""
    return bool(db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0)


def has_words(db: sqlite3.Connection) -> bool:
    """Whether texts are indexed in this file and this SQLite can use that."""
    return _has_table(db, "words") and has_full_text()


def _has_table(db: sqlite3.Connection, name: str) -> bool:
    found = db.execute("SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?", (name,))
    return bool(found.fetchone()[0])


def _prepare(db: sqlite3.Connection) -> None:
    check_layout(db)
    db.execute("BEGIN IMMEDIATE")
    try:
        if is_empty(db):
            for statement in _SCHEMA:
                db.execute(statement)
        version: int = db.execute("PRAGMA user_version").fetchone()[0]
        for start in range(version, LAYOUT):
            for statement in _MIGRATIONS[start]:
                db.execute(statement)
            db.execute(f"PRAGMA user_version={start + 1}")
        present = set(columns(db))
        for name, kind in _COLUMNS.items():
            if name not in present:
                db.execute(f'ALTER TABLE exchanges ADD COLUMN "{name}" {kind}')
        _prepare_words(db)
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _prepare_words(db: sqlite3.Connection) -> None:
    if has_full_text():
        if not _has_table(db, "words"):
            for statement in _WORDS:
                db.execute(statement)
    elif _has_table(db, "words"):
        # Another SQLite made the index, and this one could not even delete from it what is to be forgotten.
        db.execute("PRAGMA writable_schema=ON")
        db.execute("DELETE FROM sqlite_master WHERE name = 'words'")
        db.execute("PRAGMA writable_schema=RESET")
        for name in ("data", "idx", "docsize", "config"):
            db.execute(f"DROP TABLE IF EXISTS words_{name}")
        db.execute("UPDATE texts SET indexed = 0")
