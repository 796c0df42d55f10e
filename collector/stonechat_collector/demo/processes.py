"""The demo's processes: started with their output in files, watched, and all stopped in the end."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

STOP_SECONDS = 8.0


class Died(Exception):
    """A process of the demo ended by itself. The text has the end of what it said."""


class Processes:
    """Child processes by name."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(
        self,
        name: str,
        arguments: Sequence[str],
        *,
        cores: Sequence[int] = (),
    ) -> int:
        """Start ``python ARGUMENTS`` on the given cores, and return its process id."""
        where = ",".join(map(str, cores)) or "-"
        with self._log(name).open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "stonechat_collector.demo.confine", where, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the demo alone: it stops the others in their order
            )
        self._running[name] = process
        return process.pid

    def pid(self, name: str) -> int:
        """The process id of a process that was started."""
        return self._running[name].pid

    def kill(self, name: str) -> None:
        """End a process at once, as a crash would."""
        process = self._running.pop(name)
        process.kill()
        process.wait()

    def check(self, *names: str) -> None:
        """Raise ``Died`` for the first of these that has ended."""
        for name in names:
            process = self._running.get(name)
            if process is not None and process.poll() is not None:
                raise Died(f"{name} ended with {process.returncode}:\n{self.said(name)}")

    def ended(self, name: str) -> bool:
        """Whether a process has ended, or was never started."""
        process = self._running.get(name)
        return process is None or process.poll() is not None

    def said(self, name: str, lines: int = 12) -> str:
        """The end of a process's output."""
        try:
            text = self._log(name).read_text(errors="replace")
        except OSError:
            return ""
        return "\n".join("  " + line for line in text.splitlines()[-lines:])

    def stop(self) -> None:
        """Ask all to end, and end those that do not within ``STOP_SECONDS``."""
        for process in self._running.values():
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        for process in self._running.values():
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._running.clear()

    def _log(self, name: str) -> Path:
        return self._logs / f"{name}.log"
