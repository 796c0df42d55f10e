"""Texts of exchanges: taken out of the JSON of strangers, bounded while they grow, fit to be stored at the end.

Sizes are characters: a character of a Python string takes 1 to 4 bytes.
"""

from __future__ import annotations

import json
from typing import Any

from .bounds import Pool

_BLOCK = 4096
_MOST_PARTS = 2048  # of one message; what comes after them is passed over


class Room:
    """What may still be gathered of one kind of text. It is taken from the budget in blocks, as it is needed, and given
    back by ``close``, which must be called."""

    __slots__ = ("_budget", "_here", "_left", "_taken", "cut")

    def __init__(self, limit: int, budget: Pool) -> None:
        self._budget = budget
        self._left = limit
        self._here = 0
        self._taken = 0
        self.cut = False
        """Whether some text had no room. From then on none has."""

    def fit(self, text: str) -> str:
        """Return as much of text, from its beginning, as there is room for."""
        size = len(text)
        if size <= self._here:
            self._here -= size
            return text
        return text[: self.take(size)]

    def take(self, size: int) -> int:
        """Take room for size characters; return for how many there is some."""
        if self.cut:
            return 0
        more = min(max(_BLOCK, size - self._here), self._left) if size > self._here else 0
        if more and self._budget.take(more):
            self._left -= more
            self._taken += more
            self._here += more
        if size > self._here:
            self.cut = True
            size = self._here
        self._here -= size
        return size

    def close(self) -> None:
        """Give back what was taken."""
        self._budget.take(-self._taken)
        self._taken = self._here = self._left = 0
        self.cut = True


def plain(content: object) -> str:
    """Return the text of a message's content: of a text, a part, or a list of parts. Parts that are not text stand as
    ``[image]``, ``[audio]`` or ``[file]``."""
    if isinstance(content, str):
        return content
    if isinstance(content, dict):
        return _part(content)
    if isinstance(content, list):
        pieces = (part if isinstance(part, str) else _part(part) for part in content[:_MOST_PARTS] if part)
        return "\n".join(piece for piece in pieces if piece)
    return ""


_PLACES = {
    "image": "[image]",
    "image_url": "[image]",
    "input_image": "[image]",
    "audio": "[audio]",
    "input_audio": "[audio]",
    "audio_url": "[audio]",
    "thinking": "",
    "redacted_thinking": "",
    "reasoning": "",
}


def _part(part: object) -> str:
    if not isinstance(part, dict):
        return ""
    for field in ("text", "refusal"):
        if isinstance(text := part.get(field), str):
            return text
    kind = part.get("type")
    if kind in ("message", "text") and isinstance(text := part.get("content"), str):
        return text  # LM Studio's
    return _PLACES.get(kind, "[file]") if isinstance(kind, str) else ""


def as_json(value: object) -> str:
    """Return what came parsed as the text it may have been: a text as it is, anything else as JSON."""
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False) if value is not None else ""
    except (ValueError, RecursionError):
        return ""


def called(name: object, arguments: object) -> str:
    """Return how a call of a tool stands in the text of a turn."""
    return f"{name if isinstance(name, str) else '?'}({as_json(arguments)})"


def storable(text: str) -> str:
    """Return text as UTF-8 can hold it: JSON can name half a character (a surrogate), and two halves in two pieces."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def objects(value: object) -> list[dict[str, Any]]:
    """Return the objects of a list; none where value is none."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
