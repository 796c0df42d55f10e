"""The worker's process as the agent sees it: started, asked, weighed and ended.

It is started by ``posix_spawn``, so that nothing of the agent is copied and no module for subprocesses is loaded.
Its one file is a socket; its other standard files lead nowhere. One thread has a `Process`, the one that started it:
the kernel ends the worker with that thread (prctl(2), PR_SET_PDEATHSIG).
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from stonechat_agent.sampling.processes import PAGE_BYTES, TICKS_PER_S, stat_of
from stonechat_agent.scoring.worker import frames

COMMAND = ("-m", "stonechat_agent.scoring.worker")
_READ = 256 << 10
# What systemd gives to the agent alone.
_OURS_ALONE = ("NOTIFY_", "WATCHDOG_", "LISTEN_", "CREDENTIALS_DIRECTORY", "MAINPID")
# Against threads and heaps of numerical libraries, and against what onnxruntime tells its maker about each session.
_ENVIRONMENT = {
    "ORT_DISABLE_TELEMETRY": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONFAULTHANDLER": "",
}


class Ended(Exception):
    """The worker is gone, or said what it cannot have meant. The text is a short word for why."""


class Activity(NamedTuple):
    """What a process does."""

    ran: float
    """Seconds of processor time that it had so far."""
    is_ready: bool
    """Whether it runs or waits for a processor: at idle priority on a busy machine it does little else."""


class Process:
    """One worker. Everything raises `Ended` where it is gone; ``end`` must be called all the same."""

    def __init__(self, command: Sequence[str] = COMMAND) -> None:
        """Start it, by the arguments that Python gets. Raises OSError where that cannot be done."""
        ours, its = socket.socketpair()
        try:
            with its:
                ours.setblocking(False)
                environ = {
                    k: v for k, v in os.environ.items() if not k.startswith(_OURS_ALONE)
                } | _ENVIRONMENT
                actions = [
                    (os.POSIX_SPAWN_DUP2, its.fileno(), frames.FD),
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
                ]
                if its.fileno() == frames.FD:  # dup2 of a file onto itself would leave it to be closed
                    its.set_inheritable(True)
                words = [sys.executable, *command, str(os.getpid())]
                self.pid = os.posix_spawn(sys.executable, words, environ, file_actions=actions)
        except BaseException:
            ours.close()
            raise
        self._socket = ours
        self._decoder = frames.Decoder(frames.MAX_ANSWER)
        self._poll = select.poll()
        self.started = time.monotonic()
        self.status: int | None = None
        """How it ended: its exit code, or the negative number of the signal; None while it lives."""

    def ask(self, message: dict[str, Any], look: Callable[[], None], every: float) -> dict[str, Any]:
        """Send a message and return the answer to it.

        ``look`` is called every so many seconds meanwhile, and may raise. Raises Ended.
        """
        left = memoryview(frames.encode(message))
        while True:
            try:
                answer = self._decoder.next()
            except frames.FrameError:
                raise Ended("garbled") from None
            if answer is not None:
                return answer
            self._poll.register(self._socket, select.POLLIN | (select.POLLOUT if left else 0))
            events = self._poll.poll(every * 1000)
            if not events:
                look()
                continue
            try:
                if events[0][1] & select.POLLOUT and left:
                    left = left[self._socket.send(left) :]
                if events[0][1] & (select.POLLIN | select.POLLHUP | select.POLLERR):
                    data = self._socket.recv(_READ)
                    if not data:
                        raise Ended("ended")
                    self._decoder.feed(data)
            except BlockingIOError:
                pass
            except OSError:
                raise Ended("ended") from None

    def is_alive(self) -> bool:
        """Whether it runs."""
        if self.status is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:  # somebody else took the news
                self.status = 0
            else:
                if pid:
                    self.status = os.waitstatus_to_exitcode(status)
        return self.status is None

    def memory(self) -> int | None:
        """Bytes of memory that it holds: shared pages in shares where the kernel tells them; None where unknown."""
        try:
            with open(f"/proc/{self.pid}/smaps_rollup", "rb") as file:
                for line in file:
                    if line.startswith(b"Pss:"):
                        return int(line.split()[1]) << 10
        except OSError:
            pass
        try:
            with open(f"/proc/{self.pid}/statm", "rb") as file:
                return int(file.read().split()[1]) * PAGE_BYTES
        except (OSError, IndexError):
            return None

    def activity(self) -> Activity | None:
        """What it does now; None where this system does not tell."""
        stat = stat_of("/proc", self.pid)
        return Activity(stat.ticks / TICKS_PER_S, stat.state == b"R") if stat is not None else None

    def close(self) -> None:
        """Let it end by itself, which it does when it has nothing more to read."""
        self._socket.close()

    def end(self, patience: float) -> None:
        """End it: at once, or after it had some seconds to end by itself. Returns when it is gone."""
        self.close()
        until = time.monotonic() + patience
        while self.is_alive() and time.monotonic() < until:
            time.sleep(0.005)
        if self.is_alive():
            os.kill(self.pid, signal.SIGKILL)
        # What waits for a disk dies when the disk answers; then it is nobody's any more, and costs an entry in a table.
        until = time.monotonic() + 2.0
        while self.is_alive() and time.monotonic() < until:
            time.sleep(0.005)
