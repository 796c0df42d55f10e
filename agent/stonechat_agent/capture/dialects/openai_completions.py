"""``openai.completions``: ``POST /v1/completions``: a prompt that is continued.

A streamed answer is a row of objects as server-sent events with a piece of ``text`` in each choice, closed by
``[DONE]``. llama.cpp has ``usage`` and ``timings`` on the last choice's chunk, others ``usage`` on one of its own.
"""

from __future__ import annotations

from typing import Any

from stonechat.transcript import Turn

from ..asked import prompts
from ..errors import finish_reason
from ..reading import CONTENT, Reading, count
from ..texts import objects
from ._openai import read_common


def read_request(request: dict[str, Any]) -> list[Turn]:
    """Return the prompt's turns. See ``Dialect.read_request``."""
    return prompts(request.get("prompt"))


def read_piece(piece: dict[str, Any], reading: Reading) -> int:
    """Take one chunk. See ``Dialect.read_piece``."""
    read_common(piece, reading)
    return _read_choices(piece.get("choices"), reading)


def read_whole(answer: dict[str, Any], reading: Reading) -> None:
    """Take an answer that was not streamed. See ``Dialect.read_whole``."""
    read_common(answer, reading)
    choices = answer.get("choices")
    if isinstance(choices, list):
        reading.ended = True
        _read_choices(choices, reading)


def _read_choices(choices: object, reading: Reading) -> int:
    signs = 0
    for choice in objects(choices):
        at = count(choice.get("index")) or 0
        text = choice.get("text")
        signs |= reading.say(text) if at == 0 else CONTENT if text else 0
        reading.choices = max(reading.choices, at + 1)
        reading.finish = finish_reason(choice.get("finish_reason")) or reading.finish
    return signs
