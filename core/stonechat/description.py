"""Descriptions: what changes seldom about a device, named by its hash."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import msgpack

HASH_BYTES = 8
MAX_BYTES = 8 * 1024

Description = Mapping[str, Any]
"""``labels`` (text to text), ``hardware`` (facts and ``class``), ``engines`` (name to dialect, build, model, digest,
quantization), ``agent`` (version, catalogue), ``scorers`` (name to version). Plain values only."""


def canonical(description: Description) -> bytes:
    """The bytes that are hashed: MessagePack with keys sorted at every depth.

    Raises ValueError when they exceed ``MAX_BYTES``.
    """
    body: bytes = msgpack.packb(_sorted(description))
    if len(body) > MAX_BYTES:
        raise ValueError(f"description of {len(body)} bytes, at most {MAX_BYTES} are allowed")
    return body


def hash_of(description: Description) -> bytes:
    """The name of a description: the first 8 bytes of BLAKE2b of its canonical form."""
    return blake2b(canonical(description), digest_size=HASH_BYTES).digest()


def _sorted(item: Any) -> Any:
    if isinstance(item, Mapping):
        return {key: _sorted(item[key]) for key in sorted(item)}
    if isinstance(item, (list, tuple)):
        return [_sorted(part) for part in item]
    return item
