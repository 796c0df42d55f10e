"""The file that keeps a second agent away from a spool.

It also holds the number of the spool's last run as text, written without sync: where the database itself can no longer
be read, its successor goes on counting from there, so that the fleet does not take a new run for an old one.
"""

from __future__ import annotations

import contextlib
import os
import re

from stonechat.errors import StonechatError

try:
    import fcntl
except ImportError:  # Windows has none; there, SQLite's own exclusive lock is what keeps the second one out
    fcntl = None  # type: ignore[assignment]


class SpoolInUse(StonechatError):
    """Another process has the spool open. Cure: stop it, or give this agent another directory."""


class Lock:
    """The lock on a spool's directory, held until ``release`` or the end of the process."""

    def __init__(self, directory: str) -> None:
        """Take the lock.

        Raises:
            SpoolInUse: another one has it.
            OSError: the file cannot be made or opened.
        """
        path = os.path.join(directory, "spool.lock")
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        text = os.read(self._file, 64).decode("ascii", "replace")
        try:
            if fcntl is not None:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._file)
            owner = text.split(" ")[0] or "unknown"
            raise SpoolInUse(
                f"{path}: held by process {owner}; one agent at a time may use a spool\n"
                "  hint: stop that agent, or set another directory: [spool] path"
            ) from None
        except OSError:
            os.close(self._file)
            raise
        self.last_order = _order(text)

    def write(self, order: int) -> None:
        """Note this process and the number of its run. A disk that refuses is the database's to report."""
        text = f"{os.getpid()} {order}\n".encode()
        with contextlib.suppress(OSError):
            os.pwrite(self._file, text, 0)
            os.ftruncate(self._file, len(text))

    def release(self) -> None:
        """Let the next one in."""
        os.close(self._file)


def last_order(directory: str) -> int:
    """The run that the lock's file names, 0 where it names none. Needs no right to write."""
    try:
        with open(os.path.join(directory, "spool.lock"), encoding="ascii", errors="replace") as file:
            return _order(file.read(64))
    except OSError:
        return 0


def _order(text: str) -> int:
    match = re.fullmatch(r"[0-9]+ ([0-9]{1,9})\n", text)
    return int(match[1]) if match else 0
