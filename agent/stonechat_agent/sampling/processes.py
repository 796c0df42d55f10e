"""Processes by their files in ``/proc`` (proc_pid_stat(5), kernel documentation filesystems/proc.rst).

All that is read here may be read of any user's process, except ``io``. A process is its number and its start time: the
number alone is given again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from .files import File, labelled, read_file, whole

TICKS_PER_S = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096

PROCESSES = 64
"""Processes followed of one tree."""
THREADS = 32
"""Threads asked at one read; a tree with more is asked more seldom."""
PREEMPTIONS_EVERY = 5
"""Reads between two that ask for context switches."""


class Stat(NamedTuple):
    """``/proc/PID/stat``, as far as it is used."""

    comm: bytes
    state: bytes
    parent: int
    major_faults: int
    ticks: int
    """User and system time, in ticks of the clock."""
    threads: int
    start: int
    """Ticks from boot to the process's start."""
    resident_pages: int
    """The number that statm gives too: one file less to read."""


def parse_stat(data: bytes) -> Stat:
    """Read a stat line. Raises ValueError for another text."""
    # The name may hold spaces and parentheses, so the last one closes it.
    begin, end = data.find(b"("), data.rfind(b")")
    words = data[end + 2 :].split(None, 22)
    if begin < 0 or end < begin or len(words) < 22:
        raise ValueError("expected a line as in proc_pid_stat(5)")
    return Stat(
        comm=data[begin + 1 : end],
        state=words[0],
        parent=int(words[1]),
        major_faults=int(words[9]),
        ticks=int(words[11]) + int(words[12]),
        threads=int(words[17]),
        start=int(words[19]),
        resident_pages=int(words[21]),
    )


def stat_of(proc: str, pid: int) -> Stat | None:
    """Return a process's stat; None where it is gone, hidden or dead (a zombie holds nothing any more)."""
    try:
        stat = parse_stat(read_file(f"{proc}/{pid}/stat", 1024))
    except (OSError, ValueError):
        return None
    return None if stat.state in (b"Z", b"X", b"x") else stat


def pids(proc: str) -> list[int]:
    """Return the numbers of all processes that can be seen."""
    try:
        return [int(name) for name in os.listdir(proc) if name.isdigit()]
    except OSError:
        return []


def descendants(proc: str, root: int) -> list[int]:
    """Return the process and those that descend from it, at most ``PROCESSES``, parents first."""
    found = [root]
    if os.path.exists(f"{proc}/{root}/task/{root}/children"):
        for pid in found:
            if len(found) >= PROCESSES:
                break
            found += [child for child in _children(proc, pid) if child not in found]
        return found[:PROCESSES]
    # Built without CONFIG_PROC_CHILDREN: every process says who its parent is.
    children: dict[int, list[int]] = {}
    for pid in pids(proc):
        stat = stat_of(proc, pid)
        if stat is not None:
            children.setdefault(stat.parent, []).append(pid)
    for pid in found:
        found += [child for child in children.get(pid, ()) if child not in found]
    return found[:PROCESSES]


def _children(proc: str, pid: int) -> Iterator[int]:
    """Give a process's children. Each stands with the thread that made it."""
    try:
        threads = os.listdir(f"{proc}/{pid}/task")
    except OSError:
        return
    for thread in threads:
        try:
            data = read_file(f"{proc}/{pid}/task/{thread}/children")
        except OSError:
            continue
        yield from (int(word) for word in data.split() if word.isdigit())


class Usage(NamedTuple):
    """What a tree used between two reads. None: not known."""

    ticks: int | None
    """CPU time of the processes that were there at both reads, in ticks."""
    rss_bytes: int
    """Resident memory now. Pages that several processes share count for each."""
    threads: int
    major_faults: int | None
    read_bytes: int | None
    """Bytes read from storage; None where no process's ``io`` may be read."""
    write_bytes: int | None
    run_delay_ns: int | None
    """Time in which threads could have run but waited; None where the kernel does not count it."""
    preemptions: int | None
    """Involuntary context switches."""


class _Process:
    __slots__ = ("cpu", "io", "major_faults", "pid", "start", "stat", "threads", "transferred")

    def __init__(self, proc: str, pid: int, start: int) -> None:
        self.pid = pid
        self.start = start
        self.stat = File(f"{proc}/{pid}/stat", head=1024)
        self.io: File | None = File(f"{proc}/{pid}/io", head=512)
        self.cpu: int | None = None
        self.major_faults: int | None = None
        self.transferred: tuple[int, int] | None = None
        # What each thread's file said last, by file and thread; no entry: never asked, and not born since.
        self.threads: dict[str, dict[str, int]] = {}

    def close(self) -> None:
        self.stat.close()
        if self.io is not None:
            self.io.close()


class Tree:
    """Adds up what a set of processes use, from one read to the next.

    A process that started since the set was last renewed began at nought, so all that its counters show is an
    increment; one that was there before gives none at its first read.
    """

    def __init__(self, proc: str, boottime_ns: Callable[[], int], *, tasks: bool) -> None:
        self._proc = proc
        self._boottime_ns = boottime_ns
        self._with_tasks = tasks
        self._processes: dict[int, _Process] = {}
        self._renewed_ticks: int | None = None
        self._turn = 0

    @property
    def pids(self) -> frozenset[int]:
        return frozenset(self._processes)

    def renew(self, members: Iterable[int]) -> None:
        """Set the processes to follow, as they are now."""
        before = self._renewed_ticks
        self._renewed_ticks = self._boottime_ns() * TICKS_PER_S // 1_000_000_000
        wanted = set()
        for pid in members:
            stat = stat_of(self._proc, pid)
            if stat is None:
                continue
            wanted.add(pid)
            known = self._processes.get(pid)
            if known is not None and known.start == stat.start:
                continue
            if known is not None:
                known.close()
            process = self._processes[pid] = _Process(self._proc, pid, stat.start)
            if before is not None and stat.start > before:
                process.major_faults, process.transferred = 0, (0, 0)
                process.threads = {"schedstat": {}, "status": {}}
        for pid in self._processes.keys() - wanted:
            self._processes.pop(pid).close()

    def read(self) -> Usage:
        """Return what was used since the last read; processes that ended are dropped."""
        ticks: int | None = None
        rss = threads = 0
        faults: int | None = None
        moved: tuple[int, int] | None = None
        for pid, process in list(self._processes.items()):
            try:
                stat = parse_stat(process.stat.read())
            except (OSError, ValueError):
                stat = None
            if stat is None or stat.start != process.start or stat.state in (b"Z", b"X", b"x"):
                self._processes.pop(pid).close()
                continue
            if process.cpu is not None:
                ticks = (ticks or 0) + max(0, stat.ticks - process.cpu)
            process.cpu = stat.ticks
            rss += stat.resident_pages * PAGE_BYTES
            threads += stat.threads
            if process.major_faults is not None:
                faults = (faults or 0) + max(0, stat.major_faults - process.major_faults)
            process.major_faults = stat.major_faults
            transferred = _transferred(process)
            if transferred is not None:
                if process.transferred is not None:
                    read, written = moved or (0, 0)
                    moved = (
                        read + max(0, transferred[0] - process.transferred[0]),
                        written + max(0, transferred[1] - process.transferred[1]),
                    )
                process.transferred = transferred
        run_delay_ns = preemptions = None
        if self._with_tasks:
            self._turn += 1
            turns = -(-max(1, threads) // THREADS)
            if self._turn % turns == 0:
                run_delay_ns = self._of_threads("schedstat", _run_delay)
            # status is twice as dear as schedstat, and of less use at once.
            if self._turn % (PREEMPTIONS_EVERY * turns) == 1:
                preemptions = self._of_threads("status", _preemptions)
        return Usage(
            ticks=ticks,
            rss_bytes=rss,
            threads=threads,
            major_faults=faults,
            read_bytes=moved[0] if moved else None,
            write_bytes=moved[1] if moved else None,
            run_delay_ns=run_delay_ns,
            preemptions=preemptions,
        )

    def _of_threads(self, file: str, value_of: Callable[[bytes], int | None]) -> int | None:
        """Return what all threads' counters added since they were last asked; None where none of them tells.

        As these are counters, asking seldom loses nothing but the last moments of threads that end.
        """
        total: int | None = None
        for process in self._processes.values():
            place = f"{self._proc}/{process.pid}/task"
            now: dict[str, int] = {}
            try:
                for tid in os.listdir(place):
                    try:
                        value = value_of(read_file(f"{place}/{tid}/{file}"))
                    except OSError:
                        continue  # a thread that ended meanwhile
                    if value is not None:
                        now[tid] = value
            except OSError:
                continue
            last = process.threads.get(file)
            process.threads[file] = now
            if last is not None and now:
                # A thread born since began at nought.
                total = (total or 0) + sum(max(0, value - last.get(tid, 0)) for tid, value in now.items())
        return total

    def clear(self) -> None:
        """Let go of all processes, but not of when they were last looked for: what started since is new."""
        for process in self._processes.values():
            process.close()
        self._processes = {}

    def close(self) -> None:
        self.clear()
        self._renewed_ticks = None


def _run_delay(schedstat: bytes) -> int | None:
    """Time on the run queue, in nanoseconds, is the second number (kernel documentation, scheduler/sched-stats.rst)."""
    words = schedstat.split()
    return whole(words[1]) if len(words) > 1 else None


def _preemptions(status: bytes) -> int | None:
    return labelled(status, b"nonvoluntary_ctxt_switches:")


def _transferred(process: _Process) -> tuple[int, int] | None:
    """Return bytes read from and written to storage; another user's process is not asked twice."""
    if process.io is None:
        return None
    try:
        data = process.io.read()
    except OSError:
        process.io.close()
        process.io = None
        return None
    read, written = labelled(data, b"read_bytes:"), labelled(data, b"write_bytes:")
    return None if read is None or written is None else (read, written)
