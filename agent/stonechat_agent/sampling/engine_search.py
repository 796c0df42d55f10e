"""Finding an engine's main process: by unit, pid file, name, or the port that the relay dials.

Which process holds a listening socket can be told only of one's own processes, or by root (``/proc/PID/fd``). But
whose it is, its user, stands in ``/proc/net/tcp`` for everyone, and of that user's processes an engine can mostly be
told by its name or its ``--port``. The other ways need no privilege. Where the port leads into a container, the
engine is looked for there.
"""

from __future__ import annotations

import os
import re
import socket
import sys as platform
from typing import NamedTuple

from . import cgroups, containers
from .files import names, read_file, read_text, whole
from .processes import Stat, pids, stat_of

LISTEN = b"0A"
# Those that hold a port for another process.
_PROXIES = frozenset(
    (b"docker-proxy", b"rootlessport", b"systemd", b"systemd-socket-", b"conmon", b"pasta", b"slirp4netns")
)
_CONTAINER_PROXIES = frozenset((b"docker-proxy", b"rootlessport", b"pasta", b"pasta.avx2", b"slirp4netns"))

# Programs that serve language models, by the name of the program or of the script after its interpreter.
ENGINES = frozenset(
    (
        "llama-server",
        "llama-swap",
        "llamafile",
        "ollama",
        "vllm",
        "sglang",
        "koboldcpp",
        "lms",
        "llmster",
        "local-ai",
        "mistralrs-server",
        "mlc_llm",
        "ovms",
        "text-generation-launcher",
    )
)


class Listener(NamedTuple):
    """A socket that listens at the upstream's port."""

    inode: bytes
    uid: int
    """The user whose it is."""


class EngineMatch(NamedTuple):
    """How to know an engine's process. All but the name may be left out; unit, pid file, process and port are tried
    in this order, and the first that finds a process is taken."""

    name: str
    """The engine's name in readings."""
    host: str = ""
    """Host of the relay's upstream; a port is looked for only where it is an address of this machine."""
    port: int = 0
    unit: str = ""
    """systemd unit, such as ``ollama.service``; ``.service`` may be left out."""
    process: str = ""
    """Name of the program (``llama-server``), or, with a space or a slash in it, a part of its command line."""
    pid_file: str = ""


class Found(NamedTuple):
    """An engine's main process."""

    pid: int
    start: int
    unit_group: str | None
    """Directory of the unit's control group, which says who belongs to the engine; None where found otherwise."""


class Search:
    """Looks for one engine. Each call looks anew; what cannot be told is remembered, so that it is not tried again."""

    def __init__(self, match: EngineMatch, proc: str, sys: str) -> None:
        self._match = match
        self._proc = proc
        self._sys = sys
        self._addresses = _addresses(match.host) if match.port else frozenset()
        self._untold: frozenset[Listener] = frozenset()

    def find(self) -> Found | None:
        """Return the main process; None where no process can be told."""
        match = self._match
        if match.unit:
            typed = match.unit.endswith((".service", ".scope", ".slice"))
            group = cgroups.unit_group(self._sys, match.unit if typed else f"{match.unit}.service")
            if group is not None:
                found = self._oldest_root(cgroups.members(group))
                if found is not None:
                    return Found(*found, group)
        if match.pid_file:
            pid = whole((read_text(match.pid_file) or "").partition("\n")[0].encode())
            stat = stat_of(self._proc, pid) if pid is not None and pid > 0 else None
            if pid is not None and stat is not None:
                return Found(pid, stat.start, None)
        if match.process:
            found = self._oldest_root(self._at_port(self._named(match.process)))
            if found is not None:
                return Found(*found, None)
        listeners = self.listeners()
        if listeners and listeners != self._untold:
            holders = self._holders(listeners)
            self._untold = frozenset() if holders else listeners
            found = self._oldest_root(holders)
            if found is not None:
                return Found(*found, None)
        found_inside = self._in_container(listeners)
        if found_inside is not None:
            return found_inside
        likely = self._roots(self._likely({listener.uid for listener in listeners}))
        if len(likely) == 1:
            return Found(*likely[0], None)
        return None

    def _in_container(self, listeners: frozenset[Listener]) -> Found | None:
        """Return the engine of the one container to which the upstream leads; None where it leads to none, or to two.

        Docker's proxy tells which. Without it (podman, docker with ``userland-proxy`` off) nothing listens here, or
        what does tells nothing, and the container is known by the same port, and by its address if the upstream is
        that.
        """
        match = self._match
        if not match.port:
            return None
        # Not of this machine: a container's own address, or another machine, which no container here has.
        address = match.host.strip("[]") if not self._addresses else ""
        port = match.port
        if not address:
            to = containers.published(self._proc, port)
            if to is not None:
                address, port = to
            elif listeners and not self._is_proxied(listeners):
                return None
        answering = containers.answering(self._proc, address, port)
        if len(answering) > 1:
            answering = [one for one in answering if any(map(self._is_known, one.pids))]
        if len(answering) != 1:
            return None
        main = containers.main_process(answering[0], self._roots, self._is_known)
        return None if main is None else Found(*main, containers.group(self._proc, self._sys, main[0]))

    def _is_proxied(self, listeners: frozenset[Listener]) -> bool:
        """Tell whether a program that holds ports for containers runs as the user who listens."""
        uids = {listener.uid for listener in listeners}
        for pid in pids(self._proc):
            stat = stat_of(self._proc, pid)
            if stat is not None and stat.comm in _CONTAINER_PROXIES:
                try:
                    if os.stat(f"{self._proc}/{pid}").st_uid in uids:
                        return True
                except OSError:
                    continue
        return False

    def _is_known(self, pid: int) -> bool:
        return not ENGINES.isdisjoint(_programs(self._command_line(pid)))

    def listeners(self) -> frozenset[Listener]:
        """Return the sockets that listen on the upstream's port on this machine."""
        listeners: set[Listener] = set()
        if self._addresses:
            for table in ("tcp", "tcp6"):
                try:
                    data = read_file(f"{self._proc}/net/{table}", 0)
                except OSError:
                    continue
                listeners |= _listening(data, self._match.port, self._addresses)
        return frozenset(listeners)

    def _oldest_root(self, candidates: list[int]) -> tuple[int, int] | None:
        """Return (pid, start) of the oldest candidate whose parent is none."""
        return next(iter(self._roots(candidates)), None)

    def _roots(self, candidates: list[int]) -> list[tuple[int, int]]:
        """Return (pid, start) of the candidates whose parent is none, the oldest first."""
        stats: dict[int, Stat] = {}
        for pid in candidates:
            stat = stat_of(self._proc, pid)
            if stat is not None:
                stats[pid] = stat
        roots = sorted((stat.start, pid) for pid, stat in stats.items() if stat.parent not in stats)
        return [(pid, start) for start, pid in roots]

    def _named(self, name: str) -> list[int]:
        own = os.getpid()
        return [pid for pid in pids(self._proc) if pid != own and self._is_named(pid, name)]

    def _at_port(self, candidates: list[int]) -> list[int]:
        """Narrow several programs of one name to those at the upstream's port, where that can be told.

        By the socket, or, without the privilege for that, by the port's number on the command line.
        """
        if len(candidates) < 2 or not self._match.port:
            return candidates
        holders = set(self._holders(self.listeners()))
        number = re.compile(rb"(?<![0-9.])%d(?![0-9.])" % self._match.port)
        return (
            [pid for pid in candidates if pid in holders]
            or [pid for pid in candidates if number.search(self._command_line(pid))]
            or candidates
        )

    def _likely(self, uids: set[int]) -> list[int]:
        """Return a user's processes that are engines by their names, or by the port after ``--port``."""
        if not uids:
            return []
        port = re.compile(rb"port[\0= ]%d(?![0-9])" % self._match.port)
        known, at_port = [], []
        own = os.getpid()
        for pid in pids(self._proc):
            try:
                # A process's directory is its user's.
                if pid == own or os.stat(f"{self._proc}/{pid}").st_uid not in uids:
                    continue
            except OSError:
                continue
            command_line = self._command_line(pid)
            if not ENGINES.isdisjoint(_programs(command_line)):
                known.append(pid)
            elif port.search(command_line) and _PROXIES.isdisjoint(map(str.encode, _programs(command_line))):
                at_port.append(pid)
        return self._at_port(known) or at_port

    def _command_line(self, pid: int) -> bytes:
        try:
            return read_file(f"{self._proc}/{pid}/cmdline")
        except OSError:
            return b""

    def _is_named(self, pid: int, name: str) -> bool:
        command_line = self._command_line(pid)
        if " " in name or "/" in name:
            return name.encode() in command_line.replace(b"\0", b" ")
        if name in _programs(command_line):
            return True
        # The kernel keeps 15 bytes of a name, so it tells a longer one only where no argument says otherwise.
        return len(name) <= 15 and (read_text(f"{self._proc}/{pid}/comm") or "") == name

    def _holders(self, listeners: frozenset[Listener]) -> list[int]:
        """Return the processes that hold one of the sockets, of those whose descriptors may be listed."""
        if not listeners:
            return []
        links = {f"socket:[{listener.inode.decode()}]" for listener in listeners}
        own = os.getpid()
        holders = []
        for pid in pids(self._proc):
            place = f"{self._proc}/{pid}/fd"
            for fd in names(place):
                try:
                    held = os.readlink(f"{place}/{fd}") in links
                except OSError:
                    continue
                if held:
                    stat = stat_of(self._proc, pid)
                    if stat is not None and pid not in (1, own) and stat.comm not in _PROXIES:
                        holders.append(pid)
                    break
        return holders


def _addresses(host: str) -> frozenset[bytes]:
    """Return the addresses, as /proc/net writes them, at which a server for ``host`` may listen on this machine.

    None where the host is another machine: what listens here at the same port has nothing to do with it.
    """
    host = host.strip("[]")
    loopback = host in ("localhost", "", "0.0.0.0", "::", "::1") or host.startswith("127.")
    if not loopback and not _is_here(host):
        return frozenset()
    written = {_as_written(b"\0" * 4), _as_written(b"\0" * 16)}
    for address in ("127.0.0.1", "::1", host) if loopback else (host,):
        for family in (socket.AF_INET, socket.AF_INET6):
            try:
                packed = socket.inet_pton(family, address)
            except OSError:
                continue
            written.add(_as_written(packed))
            if family == socket.AF_INET:
                written.add(_as_written(b"\0" * 10 + b"\xff\xff" + packed))
    return frozenset(written)


def _is_here(address: str) -> bool:
    """Tell whether an address is this machine's own: only such a one can be bound to. Nothing is sent."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        socket.inet_pton(family, address)  # a name would be looked up
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True


def _as_written(packed: bytes) -> bytes:
    """Write an address as the kernel does: 32-bit words in the machine's order, in hexadecimal."""
    words = [packed[at : at + 4] for at in range(0, len(packed), 4)]
    return b"".join(
        (word[::-1] if platform.byteorder == "little" else word).hex().upper().encode() for word in words
    )


def _programs(command_line: bytes) -> list[str]:
    """Return the program's name, and that of the script or module which stands after an interpreter."""
    words = [os.path.basename(word).decode("utf-8", "replace") for word in command_line.split(b"\0", 3)[:3]]
    if len(words) > 2 and words[1] == "-m":
        # python3 -m vllm.entrypoints.openai.api_server
        return [words[0], words[2].partition(".")[0]]
    return words[:2]


def _listening(data: bytes, port: int, addresses: frozenset[bytes]) -> set[Listener]:
    ending = b":%04X" % port
    listeners = set()
    for line in data.splitlines()[1:]:
        words = line.split(None, 10)
        if len(words) < 10 or words[3] != LISTEN or not words[1].endswith(ending):
            continue
        if words[1][: -len(ending)] in addresses and words[7].isdigit():
            listeners.add(Listener(words[9], int(words[7])))
    return listeners
