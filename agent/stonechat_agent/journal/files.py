"""A damaged journal is put aside, and not kept for longer than what it holds might have been."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3

from stonechat_agent.journal.layout import FILE, Foreign

log = logging.getLogger(__name__)

ASIDE = f"{FILE}.bad"
_DAMAGE = ("no such", "malformed", "decode", "has no column", "unsupported", "no column named", "vtable")
_SUFFIXES = ("", "-wal", "-shm")


def is_damage(directory: str, error: BaseException) -> bool:
    """Whether the content of the file, not the disk or another process, is what is wrong."""
    if isinstance(error, sqlite3.OperationalError):
        if "readonly" in str(error):
            # A header that names a later version of the format makes SQLite refuse to write, whatever the disk does.
            return os.access(os.path.join(directory, FILE), os.W_OK) and os.access(directory, os.W_OK)
        return any(word in str(error) for word in _DAMAGE)
    return isinstance(error, (sqlite3.DatabaseError, Foreign))


def put_aside(directory: str, error: BaseException) -> None:
    """Rename a damaged journal, in place of one that was put aside before.

    Raises:
        OSError: the directory cannot be written.
    """
    path = os.path.join(directory, FILE)
    for suffix in _SUFFIXES:
        target = os.path.join(directory, ASIDE + suffix)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(target)
        with contextlib.suppress(FileNotFoundError):
            os.replace(path + suffix, target)
    # Only the kind of the error: SQLite may quote what it stumbled over.
    log.error("journal put aside", extra={"file": ASIDE, "reason": type(error).__name__})


def delete_aside(directory: str, written_before: float | None = None) -> None:
    """Delete a journal that was put aside, if it was written before an instant (seconds since 1970) or in any case."""
    for suffix in _SUFFIXES:
        path = os.path.join(directory, ASIDE + suffix)
        with contextlib.suppress(OSError):
            if written_before is None or os.stat(path).st_mtime < written_before:
                os.unlink(path)
