"""Ports of loopback that a test names before anything listens at them.

The kernel gives port 0 and the near end of each outgoing connection from one range. A port that was had from there and
let go may be anybody's a moment later: another worker's server, or a connection on its way to that very port, which
then speaks to itself. So what is only named comes from below that range, and is one process's alone until it ends.
"""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path

_LOWEST = 10_240
_chosen = random.Random()
_given: set[int] = set()
# A byte for each port, locked while it is somebody's; the kernel lets go of the locks of a process that ends.
_claims = (Path(tempfile.gettempdir()) / f"stonechat-test-ports-{os.getuid()}").open("ab")


def _end() -> int:
    """Where the kernel's own range begins, or where it does as a rule if that leaves too little below it."""
    try:
        begins = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except OSError:
        begins = 32_768
    return begins if begins > _LOWEST + 4_096 else 32_768


def free_port() -> int:
    """A port at which nothing listens until the test lets something; no other test is given it meanwhile."""
    while True:
        port = _chosen.randrange(_LOWEST, _end())
        if port in _given:
            continue
        try:
            fcntl.lockf(_claims, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
        except OSError:
            continue
        _given.add(port)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
