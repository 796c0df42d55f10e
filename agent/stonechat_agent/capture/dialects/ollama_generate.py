"""``ollama.generate``: ``POST /api/generate`` of Ollama: as ``ollama.chat``, with the text in ``response``."""

from __future__ import annotations

from typing import Any

from stonechat.transcript import Turn

from ..asked import prompts
from ..reading import Reading
from ..texts import plain
from .ollama_chat import read_line


def read_request(request: dict[str, Any]) -> list[Turn]:
    """Return the prompt's turns. See ``Dialect.read_request``."""
    system = plain(request.get("system"))
    turns = [Turn("system", system)] if system else []
    for turn in prompts(request.get("prompt")):
        images = request.get("images")
        shown = ["[image]"] * min(len(images), 16) if isinstance(images, list) else []
        turns.append(Turn("user", "\n".join([turn.text, *shown])))
    if suffix := plain(request.get("suffix")):
        turns.append(Turn("user", suffix))
    return turns


def read_piece(piece: dict[str, Any], reading: Reading) -> int:
    """Take one line. See ``Dialect.read_piece``."""
    read_line(piece, reading)
    return reading.say(piece.get("response")) | reading.think(piece.get("thinking"))


def read_whole(answer: dict[str, Any], reading: Reading) -> None:
    """Take an answer that was not streamed. See ``Dialect.read_whole``."""
    read_line(answer, reading)
    reading.say(answer.get("response"))
    reading.think(answer.get("thinking"))
