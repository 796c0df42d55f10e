"""Network: bytes, errors and drops of the interfaces that lead out (``/proc/net/dev``, proc_pid_net(5)).

A packet of a container passes a veth, a bridge and the card: only interfaces with hardware behind them
(``/sys/class/net/NAME/device``, and modems' ``ppp``) count. Where none has (inside a container), all but loopback and
the usual virtual ones do.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from stonechat.catalog import metric_id

from .files import ULONG_WRAP, File, Increments, read_file
from .reading import Absent, Reading

RECEIVE = metric_id("system.network.io.receive")
TRANSMIT = metric_id("system.network.io.transmit")
ERRORS = metric_id("system.network.errors")

_VIRTUAL = re.compile(
    r"lo$|veth|docker|br-|bridge|virbr|vmbr|vnet|cni|flannel|cali|cilium|ifb|dummy|tun|tap|wg|tailscale|bond|team|vlan"
    r"|sit|gre|ip6tnl|.*[.@]"
)


class Network:
    name = "network"

    def __init__(self, proc: str, sys: str, wraps_at: int = ULONG_WRAP) -> None:
        self._wraps_at = wraps_at
        self._proc = proc
        self._sys = sys
        self._file = File(f"{proc}/net/dev")
        self._counters = Increments()
        self._interfaces: frozenset[str] = frozenset()
        self._counted: frozenset[str] = frozenset()

    def open(self) -> None:
        self._counters = Increments()
        self._interfaces = self._counted = frozenset()
        try:
            self._file.read()
        except FileNotFoundError as error:
            raise Absent(f"{self._file.path} does not exist") from error

    def read(self, now_ns: int) -> Iterator[Reading]:
        table: dict[str, list[bytes]] = {}
        for line in self._file.read().splitlines():
            # An alias has a colon of its own (eth0:1), so the last one parts; the heading's lines have none.
            name, colon, figures = line.rpartition(b":")
            words = figures.split()
            if colon and len(words) >= 16 and all(word.isdigit() and len(word) <= 20 for word in words[:16]):
                table[name.strip().decode("ascii", "replace")] = words
        if table.keys() != self._interfaces:
            self._interfaces = frozenset(table)
            self._counted = self._choose()
        seen: set[object] = set()
        sums: dict[int, int] = {}
        for interface in self._counted:
            words = table[interface]
            for metric, columns in ((RECEIVE, (0,)), (TRANSMIT, (8,)), (ERRORS, (2, 3, 10, 11))):
                for column in columns:
                    seen.add((interface, column))
                    # Some drivers of 32-bit kernels keep these in an unsigned long.
                    added = self._counters.step(
                        (interface, column), int(words[column]), wraps_at=self._wraps_at
                    )
                    if added is not None:
                        sums[metric] = sums.get(metric, 0) + added
        self._counters.keep(seen)
        for metric, value in sums.items():
            yield Reading(metric, value)

    def _choose(self) -> frozenset[str]:
        real = {name for name in self._interfaces if self._is_real(name)}
        return frozenset(real or {name for name in self._interfaces if not _VIRTUAL.match(name)})

    def _is_real(self, name: str) -> bool:
        if name.startswith("ppp"):
            # A modem at a serial line, which is no interface itself; over Ethernet the card counts its bytes.
            try:
                return read_file(f"{self._proc}/net/pppoe").count(b"\n") < 2
            except OSError:
                return True
        return os.path.exists(f"{self._sys}/class/net/{name}/device")

    def close(self) -> None:
        self._file.close()
