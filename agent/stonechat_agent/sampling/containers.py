"""Engines in containers: which container answers at the relay's upstream, and which of its processes is the engine.

Everyone may read another process's control group, which holds the container's id (docker, podman, containerd, CRI-O),
and ``/proc/PID/net``: sockets and addresses of its network, whoever owns it. Whose socket it is nobody but root may
know, so the oldest process of the container that is a known engine by its name is taken, else the oldest.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import NamedTuple

from .files import read_file, read_text
from .processes import pids

# docker-ID.scope, libpod-ID.scope, cri-containerd-ID.scope, crio-ID.scope (systemd), /docker/ID, /kubepods/.../ID.
_ID = re.compile(r"^(.*[/-]([0-9a-f]{64})(?:\.scope)?)(?:/.*)?$", re.M)
_PROXY = "docker-proxy"
LISTEN = b"0A"


class Container(NamedTuple):
    """One container that runs."""

    id: str
    pids: tuple[int, ...]
    """Its processes, in no order."""


class Published(NamedTuple):
    """Where a port of the host leads to."""

    address: str
    port: int


def containers(proc: str) -> list[Container]:
    """Return the containers whose processes can be seen."""
    found: dict[str, list[int]] = {}
    for pid in pids(proc):
        match = _ID.search(read_text(f"{proc}/{pid}/cgroup") or "")
        if match:
            found.setdefault(match[2], []).append(pid)
    return [Container(name, tuple(members)) for name, members in found.items()]


def group(proc: str, sys: str, pid: int) -> str | None:
    """Return the directory of a container's whole version 2 group, by one of its processes; None without version 2."""
    for line in (read_text(f"{proc}/{pid}/cgroup") or "").splitlines():
        match = _ID.match(line[3:]) if line.startswith("0::/") else None
        if match and not match[1].startswith("/.."):
            for root in (f"{sys}/fs/cgroup", f"{sys}/fs/cgroup/unified"):
                if os.path.isdir(root + match[1]):
                    return root + match[1]
    return None


def published(proc: str, port: int) -> Published | None:
    """Return where docker's proxy leads a port of the host: its command line says so, and everyone may read that."""
    for pid in pids(proc):
        try:
            words = read_file(f"{proc}/{pid}/cmdline").decode("utf-8", "replace").split("\0")
        except OSError:
            continue
        if os.path.basename(words[0]) != _PROXY:
            continue
        options = dict(zip(words[1::2], words[2::2], strict=False))
        to = options.get("-container-port", "")
        if options.get("-host-port") == str(port) and options.get("-proto") == "tcp" and to.isdigit():
            return Published(options.get("-container-ip", ""), int(to))
    return None


def answering(proc: str, address: str, port: int) -> list[Container]:
    """Return the containers in whose network something listens at the port and, unless it is "", at the address."""
    return [one for one in containers(proc) if _answers(f"{proc}/{one.pids[0]}/net", address, port)]


def _answers(net: str, address: str, port: int) -> bool:
    """Tell by the tables of one network. Those of a container that shares the host's are the host's."""
    ending = b":%04X" % port
    listens = False
    for table in ("tcp", "tcp6"):
        try:
            lines = read_file(f"{net}/{table}", 0).splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            words = line.split(None, 4)
            listens = listens or (len(words) > 4 and words[3] == LISTEN and words[1].endswith(ending))
    if not listens or not address:
        return listens
    try:
        return (
            re.search(
                rb"-- %s\n\s*/32 host LOCAL" % re.escape(address.encode()), read_file(f"{net}/fib_trie", 0)
            )
            is not None
        )
    except OSError:
        return False


def main_process(
    container: Container,
    roots: Callable[[list[int]], list[tuple[int, int]]],
    is_engine: Callable[[int], bool],
) -> tuple[int, int] | None:
    """Return (pid, start) of the container's engine: the oldest known one, else the oldest process."""
    known = roots([pid for pid in container.pids if is_engine(pid)])
    found = known or roots(list(container.pids))
    return found[0] if found else None
