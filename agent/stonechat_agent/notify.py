"""What systemd is told: ready, stopping, alive. See sd_notify(3); nothing happens outside of systemd."""

from __future__ import annotations

import os
import socket


class Notifier:
    """Sends states to the service manager's socket, when there is one."""

    def __init__(self, environ: os._Environ[str] | dict[str, str] = os.environ) -> None:
        path = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + path[1:] if path.startswith("@") else path
        watchdog = environ.get("WATCHDOG_USEC", "")
        mine = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self.watchdog_seconds = int(watchdog) / 1e6 if watchdog.isdigit() and mine else None
        """How often the manager wants a sign of life; None when it wants none."""

    def send(self, state: str) -> None:
        """Send one state, such as ``READY=1``. A manager that does not listen is no reason to fail."""
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as to:
                to.setblocking(False)
                to.sendto(state.encode(), self._address)
        except OSError:
            pass  # a full or vanished manager's socket; the next sign of life comes soon
