"""What a dialect gathers from one answer, in units of the exchange: tokens and nanoseconds."""

from __future__ import annotations

import json
from typing import Any

from stonechat.ids import model_name

from .said import Call, Said
from .texts import as_json, plain

CONTENT = 1
REASONING = 2
TOOL_CALL = 4
ANY_TEXT = CONTENT | REASONING | TOOL_CALL
WORK_BEGUN = 8
"""The engine says that it begins with the request: it loads the model for it, or takes up its prompt."""
PREFILL_BEGUN = 16
PREFILL_ENDED = 32

MOST_CALLS = 128
"""Most calls of tools of one answer that are told apart."""

_MOST = 1 << 53
"""Larger numbers are nonsense: 2**53 ns are 104 days."""


class Reading:
    """Figures of one answer as the engine gave them, each None until it came."""

    __slots__ = (
        "_slots",
        "cached_tokens",
        "calls",
        "choices",
        "context_limit",
        "decode_ns",
        "ended",
        "error",
        "error_message",
        "finish",
        "input_tokens",
        "load_ns",
        "load_only",
        "model",
        "output_limit",
        "output_tokens",
        "prefill_ns",
        "prefilled_tokens",
        "queue_ns",
        "reasoning_tokens",
        "said",
        "timings",
        "tokens_per_second",
        "total_ns",
        "truncated",
    )

    def __init__(self, said: Said | None = None) -> None:
        self.said = said  # where texts go; None where none are gathered
        self.calls: list[Call] = []  # of tools, of all alternatives
        self._slots: dict[object, Call] = {}
        self.model: str | None = None
        self.finish: str | None = None
        self.ended = False  # the dialect's last piece came
        self.error: str | None = None  # an error type, from an error within a good answer
        self.error_message = ""  # as the engine wrote it
        self.choices = 1  # alternative answers to the one request
        self.input_tokens: int | None = None
        self.cached_tokens: int | None = None
        self.prefilled_tokens: int | None = None
        self.output_tokens: int | None = None
        self.output_limit: int | None = None  # tokens that the request allows
        self.reasoning_tokens: int | None = None
        self.queue_ns: int | None = None
        self.load_ns: int | None = None
        self.prefill_ns: int | None = None
        self.decode_ns: int | None = None
        self.total_ns: int | None = None
        self.tokens_per_second: float | None = None
        self.context_limit: int | None = None
        self.timings = False  # llama.cpp's own, so the engine is llama.cpp
        self.truncated = False  # the context was full
        self.load_only = False  # the request only loaded or unloaded the model

    def say(self, text: object) -> int:
        """Take a piece of the first alternative's answer; return CONTENT where it is one."""
        if not text:
            return 0
        piece = text if isinstance(text, str) else plain(text)
        if self.said is not None:
            self.said.say(piece)
        return CONTENT if piece else 0

    def think(self, text: object) -> int:
        """Take a piece of the first alternative's reasoning; return REASONING where it is one."""
        if not text:
            return 0
        piece = text if isinstance(text, str) else plain(text)
        if self.said is not None:
            self.said.think(piece)
        return REASONING if piece else 0

    def call(
        self,
        slot: object,
        name: object = None,
        arguments: object = None,
        *,
        identity: object = None,
        choice: int = 0,
    ) -> int:
        """Take a call of a tool, or a piece of one; return TOOL_CALL.

        Args:
            slot: what tells the calls of one alternative apart, a number or a text; None where only their order does.
            identity: the call's id. Another one in the same slot begins another call: some engines number every call 0.
            arguments: a text is a piece of them; anything else is all of them.
        """
        identity = identity[:64] if isinstance(identity, str) else ""
        key = (choice, slot[:64] if isinstance(slot, str) else count(slot))
        call = self._slots.get(key)
        begun = call is None or (identity != "" and call.identity not in ("", identity))
        if key[1] is None and name:
            begun = True
        if begun:
            if len(self.calls) >= MOST_CALLS:
                return TOOL_CALL
            call = self._slots[key] = Call(identity, choice == 0)
            self.calls.append(call)
        if self.said is not None and call is not None and call.first:
            self.said.call(call, name if isinstance(name, str) else "", as_json(arguments))
        return TOOL_CALL

    def has_call(self, slot: object) -> bool:
        """Tell whether a call of the first alternative has begun in slot."""
        return (0, slot[:64] if isinstance(slot, str) else count(slot)) in self._slots

    @property
    def last_call_has_arguments(self) -> bool:
        """Whether arguments of the call that began last have come."""
        return bool(self.calls) and self.calls[-1].arguments.tell() > 0

    def fail(self, error: str, message: str) -> None:
        """Take an error within a good answer: its type, and what the engine says of it."""
        self.error = error
        self.error_message = message


def load_object(data: bytes | bytearray) -> dict[str, Any] | None:
    """Return data's JSON object; None where it is not JSON, or JSON of another kind."""
    value = _load(data)
    return value if isinstance(value, dict) else None


def load_answer(data: bytes | bytearray) -> dict[str, Any] | None:
    """Return an answer's JSON object; a list, as llama.cpp answers to several prompts, as the ``data`` of one."""
    value = _load(data)
    if isinstance(value, list):
        return {"data": value}
    return value if isinstance(value, dict) else None


def _load(data: bytes | bytearray) -> object:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def name(value: object) -> str | None:
    """Return a model's name that traffic gave: None where there is none, ``other`` where it may not stand in a key."""
    return (model_name(value) or "other") if isinstance(value, str) and value else None


def count(value: object) -> int | None:
    """Return value where it is a whole number that can be a count, else None."""
    return value if type(value) is int and 0 <= value < _MOST else None


def nanoseconds(value: object, scale: int) -> int | None:
    """Return value x scale nanoseconds where value is a number that can be a duration, else None."""
    if type(value) is not int and type(value) is not float:
        return None
    # NaN fails both comparisons.
    return round(value * scale) if 0 <= value < _MOST / scale else None


def number(value: object) -> float | None:
    """Return value where it is a number above zero, else None."""
    if type(value) is not int and type(value) is not float:
        return None
    return float(value) if 0 < value < _MOST else None


def section(value: object) -> dict[str, Any]:
    """Return value where it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}
