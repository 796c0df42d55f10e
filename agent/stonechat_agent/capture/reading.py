"""What a dialect gathers from one answer, in units of the exchange: tokens and nanoseconds."""

from __future__ import annotations

import json
from typing import Any

from stonechat.ids import identifier

CONTENT = 1
REASONING = 2
TOOL_CALL = 4

_MOST = 1 << 53
"""Larger numbers are nonsense: 2**53 ns are 104 days."""


class Reading:
    """Figures of one answer as the engine gave them, each None until it came."""

    __slots__ = (
        "cached_tokens",
        "choices",
        "context_limit",
        "decode_ns",
        "ended",
        "error",
        "finish",
        "input_tokens",
        "load_ns",
        "load_only",
        "model",
        "output_tokens",
        "prefill_ns",
        "prefilled_tokens",
        "queue_ns",
        "reasoning_tokens",
        "timings",
        "total_ns",
        "truncated",
    )

    def __init__(self) -> None:
        self.model: str | None = None
        self.finish: str | None = None
        self.ended = False  # the dialect's last piece came
        self.error: str | None = None  # an error type, from an error within a good answer
        self.choices = 1  # alternative answers to the one request
        self.input_tokens: int | None = None
        self.cached_tokens: int | None = None
        self.prefilled_tokens: int | None = None
        self.output_tokens: int | None = None
        self.reasoning_tokens: int | None = None
        self.queue_ns: int | None = None
        self.load_ns: int | None = None
        self.prefill_ns: int | None = None
        self.decode_ns: int | None = None
        self.total_ns: int | None = None
        self.context_limit: int | None = None
        self.timings = False  # llama.cpp's own, so the engine is llama.cpp
        self.truncated = False  # the context was full
        self.load_only = False  # the request only loaded or unloaded the model


def load_object(data: bytes | bytearray) -> dict[str, Any] | None:
    """Return data's JSON object; None where it is not JSON, or JSON of another kind."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def name(value: object) -> str | None:
    """Return a name that traffic gave: None where there is none, ``other`` where it may not stand in a key."""
    return (identifier(value) or "other") if isinstance(value, str) and value else None


def count(value: object) -> int | None:
    """Return value where it is a whole number that can be a count, else None."""
    return value if type(value) is int and 0 <= value < _MOST else None


def nanoseconds(value: object, scale: int) -> int | None:
    """Return value x scale nanoseconds where value is a number that can be a duration, else None."""
    if type(value) is not int and type(value) is not float:
        return None
    # NaN fails both comparisons.
    return round(value * scale) if 0 <= value < _MOST / scale else None


def section(value: object) -> dict[str, Any]:
    """Return value where it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}
