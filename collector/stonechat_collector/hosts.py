"""The check of the Host header: a page from elsewhere must not reach a collector on loopback through a name of its own
that it lets resolve to 127.0.0.1 (DNS rebinding)."""

from __future__ import annotations

import ipaddress
import json

from starlette.types import ASGIApp, Receive, Scope, Send

_NAMES = frozenset(("localhost", "ip6-localhost"))


def is_loopback(host: str) -> bool:
    """Whether an address or name, without a port, can only be this machine."""
    name = host.strip("[]").lower()
    if name in _NAMES:
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def host_of(header: str) -> str:
    """The host of a Host header, without its port."""
    if header.startswith("["):
        return header.partition("]")[0] + "]"
    return header.rpartition(":")[0] if ":" in header else header


class LoopbackHost:
    """ASGI middleware: answers 421 to requests whose Host is not this machine. Only for a loopback bind."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = [value for name, value in scope["headers"] if name == b"host"]
        if len(headers) == 1 and is_loopback(host_of(headers[0].decode("latin-1"))):
            await self._app(scope, receive, send)
            return
        error = {
            "code": "wrong_host",
            "message": "the Host header does not name this machine",
            "hint": "use http://127.0.0.1 or http://localhost; to serve other hosts, set web.listen",
        }
        body = json.dumps({"error": error}).encode()
        await send(
            {
                "type": "http.response.start",
                "status": 421,
                "headers": [
                    (b"content-type", b"application/json"),
                    (b"content-length", str(len(body)).encode()),
                ],
            }
        )
        await send({"type": "http.response.body", "body": body})
