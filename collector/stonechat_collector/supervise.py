"""Keeps the collector's processes running, and ends them together.

A child that ends by itself, or whose main loop stands still, is started again after a pause that doubles with each
failure and is forgotten after a minute of health. Children end when this process does, however it does: the other end
of their standard input closes. On SIGTERM or SIGINT all end within `STOP_SECONDS`: first those that use the broker,
then the broker; what has not ended by then is killed.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

log = logging.getLogger("stonechat.supervisor")

STOP_SECONDS = 4.5
HANG_SECONDS = 60.0
"""A child that says nothing for so long after it was ready hangs, and is killed."""
START_SECONDS = 60.0
"""A child that is not ready after so long is killed as well."""
MIN_PAUSE_SECONDS = 0.5
MAX_PAUSE_SECONDS = 30.0
HEALTHY_SECONDS = 60.0


@dataclass(frozen=True)
class Role:
    """One process: its name in ``child.ROLES``, its settings, and the file descriptors that it inherits."""

    name: str
    arguments: Mapping[str, Any]
    fds: Sequence[int] = ()
    last_to_stop: bool = False


@dataclass
class _Child:
    role: Role
    process: subprocess.Popen[bytes] | None = None
    ready: bool = False
    started: float = 0.0
    heard: float = 0.0
    pause: float = MIN_PAUSE_SECONDS
    start_at: float = 0.0
    partial: bytes = b""
    once_ready: bool = False

    @property
    def failed(self) -> bool:
        """Whether it ended without ever having been ready: it cannot work, and says why itself."""
        return self.process is None and bool(self.started) and not self.once_ready


class Supervisor:
    """Runs roles. ``on_ready`` is called once, when all of them were ready for the first time."""

    def __init__(self, roles: Sequence[Role], on_ready: Callable[[], None]) -> None:
        self._children = [_Child(role) for role in roles]
        self._on_ready = on_ready
        self._told = False
        self._selector = selectors.DefaultSelector()
        self._stop = False
        self._notify = Notify()

    def run(self) -> int:
        """Run until a signal says stop: 0, or until a role that was never ready ends by itself: 1."""
        with self._signals():
            try:
                while not self._stop:
                    now = time.monotonic()
                    for child in self._children:
                        self._tend(child, now)
                    if any(child.failed for child in self._children):
                        return 1
                    self._listen(0.5)
                    self._report()
            finally:
                self._notify.send("STOPPING=1")
                self._end()
                self._selector.close()
        return 0

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Signals set a flag, and wake the selector."""
        inner, outer = socket.socketpair()
        inner.setblocking(False)
        outer.setblocking(False)
        numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)
        before = {number: signal.signal(number, self._signalled) for number in numbers}
        old = signal.set_wakeup_fd(outer.fileno())
        self._selector.register(inner, selectors.EVENT_READ, None)
        try:
            yield
        finally:
            signal.set_wakeup_fd(old)
            for number, handler in before.items():
                signal.signal(number, handler)
            inner.close()
            outer.close()

    def _signalled(self, number: int, _: object) -> None:
        if number != signal.SIGCHLD:
            self._stop = True

    def _tend(self, child: _Child, now: float) -> None:
        if child.process is None:
            if now >= child.start_at:
                self._start(child, now)
            return
        limit = HANG_SECONDS if child.ready else START_SECONDS
        if now - child.heard > limit:
            log.error("process hangs", extra={"role": child.role.name, "seconds": round(now - child.heard)})
            child.process.kill()
        code = child.process.poll()
        if code is None:
            return
        self._forget(child)
        if now - child.started > HEALTHY_SECONDS:
            child.pause = MIN_PAUSE_SECONDS
        child.start_at = now + child.pause
        if child.once_ready:
            log.error(
                "process ended",
                extra={"role": child.role.name, "code": code, "again_in_seconds": child.pause},
            )
        child.pause = min(MAX_PAUSE_SECONDS, child.pause * 2)

    def _start(self, child: _Child, now: float) -> None:
        process = subprocess.Popen(
            [sys.executable, "-m", "stonechat_collector.child", child.role.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=child.role.fds,
            # A terminal's Ctrl-C goes to its whole group; the children are ended in order instead.
            start_new_session=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        child.process, child.ready, child.partial = process, False, b""
        child.started = child.heard = now
        os.set_blocking(process.stdout.fileno(), False)
        self._selector.register(process.stdout, selectors.EVENT_READ, child)
        with contextlib.suppress(BrokenPipeError):  # it has ended already, and its exit code says so
            process.stdin.write(json.dumps(dict(child.role.arguments)).encode() + b"\n")
            process.stdin.flush()

    def _forget(self, child: _Child) -> None:
        process = child.process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(KeyError):
            self._selector.unregister(process.stdout)
        process.stdout.close()
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        child.process, child.ready = None, False

    def _listen(self, seconds: float) -> None:
        for key, _ in self._selector.select(seconds):
            child: _Child | None = key.data
            if child is None:
                with contextlib.suppress(BlockingIOError):
                    key.fileobj.recv(4096)  # type: ignore[union-attr]
                continue
            try:
                data = os.read(key.fd, 4096)
            except BlockingIOError:
                continue
            if not data:
                self._selector.unregister(key.fileobj)
                continue
            child.heard = time.monotonic()
            if b"ready\n" in child.partial + data:
                child.ready = child.once_ready = True
            child.partial = (child.partial + data)[-16:]

    def _report(self) -> None:
        if not self._told and all(child.once_ready for child in self._children):
            self._told = True
            self._notify.send("READY=1")
            self._on_ready()
        if self._told:
            self._notify.beat()

    def _end(self) -> None:
        deadline = time.monotonic() + STOP_SECONDS
        first = [child for child in self._children if not child.role.last_to_stop]
        last = [child for child in self._children if child.role.last_to_stop]
        for group, until in ((first, deadline - 1.0), (last, deadline)):
            running = [child.process for child in group if child.process is not None]
            for process in running:
                process.terminate()
            for process in running:
                try:
                    process.wait(max(0.0, until - time.monotonic()))
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        for child in self._children:
            if child.process is not None:
                self._forget(child)


class Notify:
    """What systemd is told: ready, stopping, alive. See sd_notify(3). Outside of systemd nothing happens."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        path = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + path[1:] if path.startswith("@") else path
        period = environ.get("WATCHDOG_USEC", "")
        mine = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self._period = int(period) / 2e6 if period.isdigit() and mine else None
        self._next = 0.0

    def send(self, state: str) -> None:
        """Send one state, such as ``READY=1``. A manager that does not listen is no reason to fail."""
        if not self._address:
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to:
            to.setblocking(False)
            to.sendto(state.encode(), self._address)

    def beat(self) -> None:
        """Send a sign of life when one is due."""
        if self._period is not None and time.monotonic() >= self._next:
            self._next = time.monotonic() + self._period
            self.send("WATCHDOG=1")
