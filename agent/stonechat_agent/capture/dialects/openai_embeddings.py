"""``openai.embeddings``: ``POST /v1/embeddings``, and llama.cpp's own ``/embedding``, which answers with a bare list.

Never streamed. Engines that do not count say 0 tokens (LM Studio), which no input has: unknown.
"""

from __future__ import annotations

from typing import Any

from stonechat.transcript import Turn

from ..asked import prompts
from ..errors import error_message, error_type
from ..reading import Reading, count, name, section


def read_request(request: dict[str, Any]) -> list[Turn]:
    """Return the inputs as turns. See ``Dialect.read_request``."""
    return prompts(request.get("input", request.get("content")))


def read_piece(piece: dict[str, Any], reading: Reading) -> int:
    """Take an answer for what it is, should one come as a stream. See ``Dialect.read_piece``."""
    read_whole(piece, reading)
    return 0


def read_whole(answer: dict[str, Any], reading: Reading) -> None:
    """Take an answer, without its vectors. See ``Dialect.read_whole``."""
    if answer.get("error"):
        reading.fail(error_type(None, answer), error_message(answer))
        return
    reading.model = name(answer.get("model")) or reading.model
    reading.input_tokens = count(section(answer.get("usage")).get("prompt_tokens")) or None
    reading.ended = isinstance(answer.get("data"), list) or "embedding" in answer
