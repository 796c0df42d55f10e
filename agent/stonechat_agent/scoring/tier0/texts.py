"""A text as the checks look at it: bounded, and cut into tokens once."""

from __future__ import annotations

import re

BOUND = 32_768
"""Characters of a text that are looked at: of a longer one the head and the tail, half each."""

# Words; and of scripts that are written without spaces, and of signs, each character.
_TOKEN = re.compile(r"[^\W\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uff66-\uff9f]+|[^\s]")


def bounded(text: str, bound: int = BOUND) -> str:
    """Return a text, or its head and tail where it is longer than ``bound`` characters."""
    return text if len(text) <= bound else text[: bound // 2] + "\n" + text[-bound // 2 :]


def tokens(text: str) -> list[str]:
    """Return the words and signs of a text in small letters."""
    return _TOKEN.findall(text.lower())
