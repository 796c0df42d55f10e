"""Where the relay listens and what it dials: parsed, opened, and kept apart.

Addresses are written ``127.0.0.1:8080``, ``[::1]:8080``, ``localhost:8080`` or ``unix:/run/engine.sock``; the
engine's also as ``http://127.0.0.1:8080``; the relay's own also ``systemd``, or ``systemd:NAME``, for the sockets that
systemd passes.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stonechat.errors import StonechatError

_FIRST_FD = 3  # sd_listen_fds(3)


class AddressError(StonechatError):
    """An address that cannot be used, with the setting that holds it and what to do about it."""

    def __init__(self, key: str, address: str, fault: str, hint: str) -> None:
        super().__init__(f"{key} = {address}: {fault}\n  hint: {hint}")
        self.key = key


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A host and port, or the path of a Unix socket (then ``host`` is "" and ``port`` 0)."""

    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_endpoint(text: str, key: str) -> Endpoint:
    """Return the endpoint that text names.

    Args:
        key: the setting that text stands in, for the error.

    Raises:
        AddressError: text is no address, or one of https: engines on the device speak plain HTTP.
    """
    rest = text.strip()
    if rest.startswith("unix:"):
        path = rest[len("unix:") :]
        path = "/" + path.lstrip("/") if path.startswith("//") else path
        if not path.startswith("/"):
            raise AddressError(key, text, "not the absolute path of a socket", "write unix:/run/engine.sock")
        return Endpoint(path=path)
    if rest.startswith("https://"):
        raise AddressError(
            key, text, "https is not relayed", "engines on the device speak plain HTTP: use http://HOST:PORT"
        )
    is_url = rest.startswith("http://")
    if is_url:
        rest, _, below = rest[len("http://") :].partition("/")
        if below:
            raise AddressError(
                key,
                text,
                "a path stands after the port",
                f"leave it out: http://{rest}; clients send the path",
            )
    host, colon, port = rest.rpartition(":")
    if is_url and (not colon or rest.endswith("]")):
        host, port = rest, "80"
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        host = ""
    if not host or not (port.isascii() and port.isdigit() and 0 <= int(port) <= 65535):
        raise AddressError(key, text, "must be HOST:PORT or unix:/PATH", "for example 127.0.0.1:8080")
    return Endpoint(host=host, port=int(port))


def listen_sockets(
    text: str, key: str = "engine.listen", environ: Mapping[str, str] | None = None
) -> list[socket.socket]:
    """Return listening sockets for text, non-blocking.

    Args:
        environ: where systemd's ``LISTEN_*`` variables are looked up; the process's environment by default.

    Raises:
        AddressError: the address is taken, not this machine's, not allowed or not an address; systemd passed no socket.
    """
    if text == "systemd" or text.startswith("systemd:"):
        return _passed_sockets(text, key, os.environ if environ is None else environ)
    endpoint = parse_endpoint(text, key)
    if endpoint.path:
        return [_listen_unix(endpoint.path, text, key)]
    try:
        found = socket.getaddrinfo(
            endpoint.host, endpoint.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError as error:
        raise AddressError(key, text, f"{endpoint.host} is not known", "use an IP address") from error
    sockets: list[socket.socket] = []
    try:
        # A name such as localhost may stand for several addresses: listen on each.
        for family, _, _, _, address in dict.fromkeys(found):
            listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
            sockets.append(listener)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind(address)
            listener.listen(512)
            listener.setblocking(False)
    except OSError as error:
        for listener in sockets:
            listener.close()
        raise _bind_error(error, key, text) from error
    return sockets


def refuse_own_address(
    upstream: Sequence[Address], listening: Sequence[socket.socket], text: str, key: str
) -> None:
    """Check that the engine's address is not one of the relay's own, which would relay to itself without end.

    Raises:
        AddressError: it is.
    """
    for listener in listening:
        own = listener.getsockname()
        for family, address in upstream:
            if listener.family != family:
                if not (listener.family == socket.AF_INET6 and family == socket.AF_INET):
                    continue
                if listener.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY):
                    continue
            if listener.family == socket.AF_UNIX:
                same = bool(own) and _same_file(os.fsdecode(own), str(address))
            else:
                same = own[1] == address[1] and (
                    own[0] == address[0] or (own[0] in {"0.0.0.0", "::"} and _is_local(family, address))
                )
            if same:
                raise AddressError(
                    key,
                    text,
                    "this is the address that the relay itself listens on",
                    "move the engine to another port and name that one here",
                )


Address = tuple[int, Any]
"""A socket family and an address in its form."""


async def resolve(endpoint: Endpoint) -> list[Address]:
    """Return the addresses of an endpoint, in the order in which to try them.

    Raises:
        OSError: the name is not known.
    """
    if endpoint.path:
        return [(int(socket.AF_UNIX), endpoint.path)]
    found = await asyncio.get_running_loop().getaddrinfo(
        endpoint.host, endpoint.port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
    )
    return list(dict.fromkeys((int(family), address) for family, _, _, _, address in found))


def _passed_sockets(text: str, key: str, environ: Mapping[str, str]) -> list[socket.socket]:
    hint = "start the agent by its socket unit, or name an address instead"
    if environ.get("LISTEN_PID") != str(os.getpid()):
        raise AddressError(key, text, "systemd passed no socket to this process", hint)
    amount = environ.get("LISTEN_FDS", "0")
    names = environ.get("LISTEN_FDNAMES", "").split(":")
    wanted = text.partition(":")[2]
    sockets = []
    for position in range(int(amount) if amount.isdigit() else 0):
        name = names[position] if position < len(names) else ""
        if wanted and name != wanted:
            continue
        passed = socket.socket(fileno=_FIRST_FD + position)
        passed.setblocking(False)
        os.set_inheritable(passed.fileno(), False)
        sockets.append(passed)
    if not sockets:
        raise AddressError(key, text, f"systemd passed {amount} sockets, none of this name", hint)
    return sockets


def _listen_unix(path: str, text: str, key: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_stale(path)
        listener.bind(path)
        listener.listen(512)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise _bind_error(error, key, text) from error
    return listener


def _remove_stale(path: str) -> None:
    """Remove the socket file of a process that is gone; one that somebody answers on stays, and so does a file."""
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with probe:
        if probe.connect_ex(path) == errno.ECONNREFUSED and os.path.exists(path):
            import stat

            if stat.S_ISSOCK(os.stat(path).st_mode):
                os.unlink(path)


def _bind_error(error: OSError, key: str, text: str) -> AddressError:
    faults = {
        errno.EADDRINUSE: (
            "the address is already in use",
            f"stop what listens there (ss -ltnp shows it), or set {key} to another port",
        ),
        errno.EADDRNOTAVAIL: (
            "this machine has no such address",
            "use 127.0.0.1, or 0.0.0.0 for every address",
        ),
        errno.EACCES: ("not allowed", "use a port above 1023, or a socket unit of systemd"),
        errno.ENOENT: ("the directory does not exist", "create it, or let systemd do so (RuntimeDirectory=)"),
    }
    fault, hint = faults.get(error.errno or 0, (os.strerror(error.errno or 0), "name another address"))
    return AddressError(key, text, fault, hint)


def _is_local(family: int, address: Any) -> bool:
    """Tell whether an address is one of this machine's: only then can a socket be bound to it."""
    probe = socket.socket(family, socket.SOCK_DGRAM)
    with probe:
        try:
            probe.bind((address[0], 0, *address[2:]))
        except OSError:
            return False
    return True


def _same_file(one: str, other: str) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return one == other
