"""The texts of an exchange as plain values, for what keeps or sends them: the one form of journal, wire and collector.

Texts are a dict by name; what is empty is absent::

    prompt      [[role, text], ...], oldest first     answer     text
    tool_calls  [[name, arguments], ...]              reasoning  text
    error       text                                  cut        True where some text is missing

Nothing here redacts: what makes such a dict of a transcript has to do that itself, first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from stonechat.errors import Refused
from stonechat.transcript import ROLES

Texts = dict[str, Any]

PLAIN = ("answer", "reasoning", "error")
"""The names of single texts."""

MAX_SIZE = 64 * 1024
"""Characters of all texts of an exchange together, each turn and call counted as `OVERHEAD` more."""

MAX_PAIRS = 256
"""Turns of a prompt, and calls of tools."""

MAX_NAME = 64
OVERHEAD = 64

_LONE = re.compile("[\ud800-\udfff]")


def size_of(texts: Mapping[str, Any]) -> int:
    """Characters that the texts hold, with what their pairs cost."""
    size = sum(len(texts.get(name, "")) for name in PLAIN)
    pairs = [*texts.get("prompt", ()), *texts.get("tool_calls", ())]
    return size + sum(OVERHEAD + len(first) + len(second) for first, second in pairs)


def fitted(texts: Mapping[str, Any], most: int = MAX_SIZE) -> Texts:
    """Return the texts cut to ``most`` characters and to what can be sent at all, with ``cut`` where any is missing.

    What was answered comes first, then the error, the calls, the newest turns and the reasoning: a long history goes
    before the question that ended it. Halves of surrogate pairs, which JSON can smuggle into a text, become U+FFFD.
    """
    result: Texts = {}
    left = most
    missing = bool(texts.get("cut"))

    def part(text: str, limit: int = most) -> str:
        nonlocal left, missing
        room = max(0, min(left, limit))
        missing = missing or len(text) > room
        left -= min(len(text), room)
        return _sendable(text[:room])

    def pairs(found: list[list[str]], *, newest_first: bool = False) -> list[list[str]]:
        nonlocal left, missing
        kept: list[list[str]] = []
        for first, second in reversed(found) if newest_first else found:
            if len(kept) >= MAX_PAIRS or left < OVERHEAD + min(len(first), MAX_NAME):
                missing = True
                break
            left -= OVERHEAD
            kept.append([part(first, MAX_NAME), part(second)])
        return kept[::-1] if newest_first else kept

    for name in ("answer", "error"):
        if text := part(texts.get(name, "")):
            result[name] = text
    if calls := pairs(texts.get("tool_calls", [])):
        result["tool_calls"] = calls
    if turns := pairs(texts.get("prompt", []), newest_first=True):
        result["prompt"] = turns
    if text := part(texts.get("reasoning", "")):
        result["reasoning"] = text
    if missing:
        result["cut"] = True
    return result


def read(plain: object) -> Texts:
    """Return texts that came from elsewhere, without names that are not known.

    Raises:
        Refused: they are not of this form, or larger than `MAX_SIZE`.
    """
    if type(plain) is not dict or len(plain) > 32:
        raise Refused("texts", "not a map of texts")
    texts: Texts = {}
    for name in PLAIN:
        if name in plain:
            texts[name] = _text(plain[name])
    if "prompt" in plain:
        texts["prompt"] = _pairs(plain["prompt"])
        if any(role not in ROLES for role, _ in texts["prompt"]):
            raise Refused("texts", f"a turn of the prompt is none of {', '.join(ROLES)}")
    if "tool_calls" in plain:
        texts["tool_calls"] = _pairs(plain["tool_calls"])
        if any(len(name) > MAX_NAME for name, _ in texts["tool_calls"]):
            raise Refused("texts", f"a tool's name of more than {MAX_NAME} characters")
    if size_of(texts) > MAX_SIZE:
        raise Refused("texts", f"more than {MAX_SIZE} characters")
    if plain.get("cut"):
        texts["cut"] = True
    return texts


def _pairs(plain: object) -> list[list[str]]:
    if type(plain) is not list or len(plain) > MAX_PAIRS:
        raise Refused("texts", f"not a list of at most {MAX_PAIRS} pairs")
    pairs: list[list[str]] = []
    for pair in plain:
        if type(pair) is not list or len(pair) < 2:
            raise Refused("texts", "a turn or a call is not a pair")
        pairs.append([_text(pair[0]), _text(pair[1])])
    return pairs


def _text(plain: object) -> str:
    if type(plain) is not str:
        raise Refused("texts", "a text is not one")
    return plain


def _sendable(text: str) -> str:
    return text if text.isascii() else _LONE.sub("\ufffd", text)
