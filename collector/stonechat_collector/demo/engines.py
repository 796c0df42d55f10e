"""Engines that are on this machine already, and what they serve."""

from __future__ import annotations

import http.client
import json
from typing import NamedTuple
from urllib.parse import urlsplit


class Found(NamedTuple):
    """An engine that answers."""

    kind: str
    url: str
    model: str


_USUAL = (
    ("Ollama", "http://127.0.0.1:11434"),
    ("llama-server", "http://127.0.0.1:8080"),
)


def look() -> Found | None:
    """The first engine that answers on its usual port with a model to ask, if any."""
    for kind, url in _USUAL:
        model = first_model(url)
        if model is not None:
            return Found(kind, url, model)
    return None


def first_model(url: str) -> str | None:
    """The first model that an engine lists under ``/v1/models``; None when it does not answer like one."""
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=1.0)
    try:
        connection.request("GET", "/v1/models", headers={"Connection": "close"})
        answer = connection.getresponse()
        models = json.loads(answer.read(1 << 20))["data"]
        return str(models[0]["id"])
    except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError):
        return None
    finally:
        connection.close()
