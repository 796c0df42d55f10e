"""Answers to a browser: security headers, and gzip where it is understood."""

from __future__ import annotations

import gzip
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response

SECURITY_HEADERS: Mapping[str, str] = {
    # Nothing but what this collector serves itself; no inline script or style, so a name that slipped through the
    # escaping could still run nothing.
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}

SMALLEST_PACKED = 1000
"""Bytes below which compression costs more than it saves."""


def takes_gzip(request: Request) -> bool:
    """Whether the browser's Accept-Encoding names gzip, and not with weight 0."""
    for part in request.headers.get("accept-encoding", "").lower().split(","):
        name, _, weight = part.partition(";")
        if name.strip() == "gzip":
            return weight.replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}
    return False


def page(
    request: Request, html: str, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """An HTML page. It is never kept without asking again: what it says is true for a moment."""
    body = html.encode()
    response = Response(
        body,
        status,
        {**SECURITY_HEADERS, "cache-control": "private, no-cache", **(headers or {})},
        "text/html",
    )
    response.headers["vary"] = "accept-encoding"
    if len(body) >= SMALLEST_PACKED and takes_gzip(request):
        response.body = gzip.compress(body, 5, mtime=0)
        response.headers["content-encoding"] = "gzip"
        response.headers["content-length"] = str(len(response.body))
    return response
