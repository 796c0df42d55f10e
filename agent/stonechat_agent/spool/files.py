"""The spool's files: opened, probed, and put aside when they are damaged."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3

from stonechat_agent.spool.store import FILE, Foreign, Store

log = logging.getLogger(__name__)

QUARANTINED_KEPT = 2
"""Damaged files that are kept for whoever wants to look."""

_PROBE_BYTES = 1 << 16


def open_store(directory: str, max_size: int) -> tuple[Store, dict[str, str] | None]:
    """Open the database of a directory, in place of a damaged one if need be.

    Returns the store, its first transaction open, and what an event says about a file that was put aside.

    Raises:
        OSError, sqlite3.Error: the directory or the disk refuses.
    """
    path = os.path.join(directory, FILE)
    try:
        return Store(path, max_size), None
    except (sqlite3.Error, Foreign) as error:
        if not (
            isinstance(error, Foreign) or is_damage(directory, error) or _will_not_open(directory, error)
        ):
            raise
        attributes = put_aside(directory, error)
        return Store(path, max_size), attributes


def is_damage(directory: str, error: BaseException) -> bool:
    """Whether the content of a directory's database, not the disk, is what is wrong."""
    if isinstance(error, sqlite3.OperationalError):
        if "readonly" in str(error):
            # A header that names a later version of the format makes SQLite refuse to write, whatever the disk does.
            return os.access(os.path.join(directory, FILE), os.W_OK) and _takes_files(directory)
        return any(word in str(error) for word in ("no such", "malformed", "decode", "has no column"))
    return isinstance(error, sqlite3.DatabaseError)


def put_aside(directory: str, error: BaseException) -> dict[str, str]:
    """Rename a damaged database and keep the latest few of them; returns what an event says about it.

    Raises:
        OSError: the directory cannot be written.
    """
    path = os.path.join(directory, FILE)
    prefix = f"{FILE}.bad-"
    endings = [
        name[len(prefix) :].removesuffix("-wal") for name in os.listdir(directory) if name.startswith(prefix)
    ]
    numbers = sorted({int(ending) for ending in endings if ending.isdecimal()})
    number = numbers[-1] + 1 if numbers else 1
    # The database first: a log without its database is discarded, but a database without its log would be opened
    # as it was before, and hold rows for unpublished that were published.
    for suffix in ("", "-wal"):
        with contextlib.suppress(FileNotFoundError):
            os.replace(path + suffix, f"{path}.bad-{number}{suffix}")
    for old in numbers[: max(0, len(numbers) + 1 - QUARANTINED_KEPT)]:
        for suffix in ("", "-wal"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{path}.bad-{old}{suffix}")
    log.error("spool quarantined", extra={"file": f"{path}.bad-{number}", "reason": str(error)})
    return {"file": f"{prefix}{number}", "reason": type(error).__name__}


def sync_directory(path: str) -> None:
    """Make the names in a directory durable."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def free_bytes(directory: str) -> int:
    """Free bytes of the disk that a directory lies on; more than any disk has where that cannot be said."""
    try:
        found = os.statvfs(directory)
    except (OSError, AttributeError):
        return 1 << 62
    return found.f_bavail * found.f_frsize


def _will_not_open(directory: str, error: sqlite3.Error) -> bool:
    """Whether it is the database alone that does not open, for a reason that waiting does not cure."""
    return not any(word in str(error) for word in ("full", "readonly", "locked")) and _takes_files(directory)


def _takes_files(directory: str) -> bool:
    """Whether a directory takes a file of some size."""
    path = os.path.join(directory, "spool.probe")
    try:
        with open(path, "wb") as file:
            file.write(bytes(_PROBE_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        return False
    finally:
        with contextlib.suppress(OSError):
            os.unlink(path)
    return True
