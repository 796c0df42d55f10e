"""Files of ``/proc`` and ``/sys``: small, made anew by the kernel at each read, and read again every second.

A descriptor is kept and read with ``pread`` at offset 0, which makes the kernel compose the text anew and saves the
path look-up (about half of the cost of a small file). A kept descriptor of ``/proc/PID`` stays with that process: when
its number is taken by another process, reading it fails with ESRCH rather than give the stranger's values.
"""

from __future__ import annotations

import os
import platform

LIMIT = 256 * 1024
"""Bytes read of any one file. The longest here, /proc/net/tcp and /proc/vmstat, are cut there, at a line's end."""

_FLAGS = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
_CHUNK = 16 * 1024

ULONG_WRAP = 0 if "64" in platform.machine() or platform.machine() == "s390x" else 1 << 32
"""Where the kernel's counters of type unsigned long begin again: at 2**32 on 32-bit kernels, else (0) never."""


class File:
    """One such file, opened at its first read and kept open.

    ``head`` is for files that give all that is wanted of them in one ``pread``: the attributes of ``/sys`` (one page
    at most) and the single-record files of ``/proc``. Others are read until they end, since the kernel gives a file
    of many records page by page.
    """

    __slots__ = ("_fd", "_head", "path")

    def __init__(self, path: str, head: int = 0) -> None:
        self.path = path
        self._head = head
        self._fd = -1

    def read(self) -> bytes:
        """Return what the file says now, at most ``LIMIT`` bytes. Raises OSError; the next read opens it anew."""
        if self._fd < 0:
            self._fd = os.open(self.path, _FLAGS)
        try:
            if self._head:
                return os.pread(self._fd, self._head, 0)
            return _read_all(self._fd)
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __del__(self) -> None:
        self.close()


def _read_all(fd: int) -> bytes:
    data = os.pread(fd, _CHUNK, 0)
    if not data:
        return data
    while len(data) < LIMIT:
        chunk = os.pread(fd, _CHUNK, len(data))
        if not chunk:
            return data
        data += chunk
    return data[: data.rfind(b"\n", 0, LIMIT) + 1]


def read_file(path: str, head: int = 4096) -> bytes:
    """Return the first ``head`` bytes of a file that is not worth a descriptor (0: as much as ``LIMIT``).

    Raises:
        OSError: it cannot be opened or read.
    """
    fd = os.open(path, _FLAGS)
    try:
        return os.pread(fd, head, 0) if head else _read_all(fd)
    finally:
        os.close(fd)


def read_text(path: str) -> str | None:
    """Return a short file's text without surrounding blanks and NULs; None where it cannot be read."""
    try:
        return read_file(path).decode("utf-8", "replace").strip(" \t\r\n\0")
    except OSError:
        return None


def read_int(path: str) -> int | None:
    """Return the whole number that a file holds; None where it cannot be read or holds another thing."""
    try:
        return whole(read_file(path, 64))
    except OSError:
        return None


def number(file: File) -> int | None:
    """Return the whole number that a file says now; None where it cannot be read or says another thing."""
    try:
        return whole(file.read())
    except OSError:
        return None


def whole(data: bytes) -> int | None:
    """Return the whole number that the bytes spell; None where they spell another thing."""
    text = data.strip()
    # int() takes any number of digits, at quadratic cost, and "1_000", which no kernel writes.
    if not text or len(text) > 20 or not text.lstrip(b"-").isdigit():
        return None
    try:
        value = int(text)
    except ValueError:
        return None
    return value if abs(value) < 1 << 64 else None


def labelled(data: bytes, label: bytes) -> int | None:
    """Return the number after ``label`` at a line's start (``MemTotal:   8000 kB``); None where there is none."""
    at = 0 if data.startswith(label) else data.find(b"\n" + label) + 1
    if at == 0 and not data.startswith(label):
        return None
    words = data[at + len(label) : at + len(label) + 64].split(None, 1)
    return whole(words[0]) if words else None


def names(path: str) -> list[str]:
    """Return a directory's entries, sorted; none where it cannot be listed."""
    try:
        return sorted(os.listdir(path))
    except OSError:
        return []


class Increments:
    """Turns readings of counters into what was added since the reading before, one counter a key."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last: dict[object, int] = {}

    def step(self, key: object, value: int, wraps_at: int = 0) -> int | None:
        """Return the increment (>= 0), or None at a counter's first reading and after a reset.

        A value below the last one is a wrap where the counter starts again at ``wraps_at`` and came within a quarter
        of it; otherwise the counter was reset, and what it had counted until then is unknown.
        """
        last = self._last.get(key)
        self._last[key] = value
        if last is None:
            return None
        if value >= last:
            return value - last
        wrapped = value + wraps_at - last
        if last < wraps_at and wrapped <= wraps_at // 4:
            return wrapped
        return None

    def keep(self, keys: set[object]) -> None:
        """Forget all counters but these: one that comes back is a new one."""
        for key in self._last.keys() - keys:
            del self._last[key]
