"""``ollama.generate``: ``POST /api/generate`` of Ollama: as ``ollama.chat``, with the text in ``response``."""

from __future__ import annotations

from typing import Any

from ..reading import CONTENT, REASONING, Reading
from .ollama_chat import read_line


def read_piece(piece: dict[str, Any], reading: Reading) -> int:
    """Take one line. See ``Dialect.read_piece``."""
    read_line(piece, reading)
    return (CONTENT if piece.get("response") else 0) | (REASONING if piece.get("thinking") else 0)


def read_whole(answer: dict[str, Any], reading: Reading) -> None:
    """Take an answer that was not streamed. See ``Dialect.read_whole``."""
    read_line(answer, reading)
