"""Where something was found in a text, and what."""

from __future__ import annotations

from typing import NamedTuple


class Span(NamedTuple):
    """``text[start:end]`` is of a kind."""

    start: int
    end: int
    kind: str
