"""What the relay itself answers where it cannot pass a request on, in the shape that the request's client expects."""

from __future__ import annotations

import json

_REASONS = {502: "Bad Gateway", 503: "Service Unavailable"}


def refusal(method: str, shape: str, status: int, kind: str, message: str) -> bytes:
    """Return an answer of HTTP that closes the connection.

    Args:
        shape: ``openai``, ``ollama`` or ``anthropic``.
        kind: short word for programs, where the shape has a place for it.
    """
    content: dict[str, object]
    if shape == "ollama":
        content = {"error": message}
    elif shape == "anthropic":
        content = {"type": "error", "error": {"type": "api_error", "message": message}}
    else:
        content = {"error": {"message": message, "type": kind, "code": status}}
    body = json.dumps(content).encode()
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    ).encode("ascii")
    return head if method == "HEAD" else head + body
