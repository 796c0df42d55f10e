"""A disk that loses power: files of a directory, and what a cut leaves of the writes that were not synced."""

from __future__ import annotations

import random
import shutil
import sqlite3
from pathlib import Path

SECTOR = 512
Files = dict[str, bytes]


def read(directory: Path) -> Files:
    """Every file of a directory."""
    return (
        {path.name: path.read_bytes() for path in sorted(directory.iterdir()) if path.is_file()}
        if directory.exists()
        else {}
    )


def write(directory: Path, files: Files) -> None:
    """Make a directory hold these files and no other."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    for name, content in files.items():
        (directory / name).write_bytes(content)


def cut(before: Files, after: Files, rng: random.Random) -> Files:
    """What a power cut leaves while ``before`` turns into ``after``: of the changed sectors any set, in any order.

    Only for changes that end in one sync. Where the write-ahead log shrank, a checkpoint with syncs of its own lies
    between, and the cut falls before or after it as a whole (``cut_in_checkpoint`` has the cuts inside).
    """
    if len(after.get("spool.db-wal", b"")) < len(before.get("spool.db-wal", b"")):
        return rng.choice([before, after])
    share = rng.choice([0.0, 0.1, 0.5, 0.9, 1.0])
    left: Files = {}
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if old is None or new is None:
            present = old if rng.random() > share else new  # a file that was made or removed: either way
            if present is not None:
                left[name] = present
            continue
        left[name] = _blend(old, new, share, rng)
    return left


def _blend(old: bytes, new: bytes, share: float, rng: random.Random) -> bytes:
    parts: list[bytes] = []
    for at in range(0, max(len(old), len(new)), SECTOR):
        mine, theirs = old[at : at + SECTOR], new[at : at + SECTOR]
        if mine != theirs and rng.random() < share:
            mine = theirs
        elif not mine and rng.random() < share:
            mine = bytes(len(theirs))  # the length was written, the sector was not
        if not mine:
            break
        parts.append(mine)
    return b"".join(parts)


def cut_in_checkpoint(files: Files, scratch: Path, rng: random.Random) -> Files:
    """What a cut leaves while the log's pages are moved into the database: the whole log, and any sectors moved."""
    write(scratch, files)
    connection = sqlite3.connect(scratch / "spool.db", isolation_level=None)
    try:
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        connection.execute("PRAGMA wal_autocheckpoint=0")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        # The log as it is after recovery: a tail that no commit ended counts for nothing, and stays where it is.
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        moved = (scratch / "spool.db").read_bytes()
    finally:
        connection.close()
        shutil.rmtree(scratch)
    return {**files, "spool.db": _blend(files["spool.db"], moved, rng.choice([0.1, 0.5, 0.9]), rng)}


def damage(files: Files, rng: random.Random) -> Files:
    """Files with rotten bytes in the database or its log, as a worn card gives them."""
    names = [name for name in files if name.startswith("spool.db") and files[name]]
    if not names:
        return files
    name = rng.choice(names)
    content = bytearray(files[name])
    for _ in range(rng.choice([1, 8, 200])):
        content[rng.randrange(len(content))] ^= rng.randrange(1, 256)
    return {**files, name: bytes(content)}
