"""``ollama.embed``: ``POST /api/embed`` of Ollama, and the older ``/api/embeddings``, which tells no figures.

Never streamed. Durations are nanoseconds; the prefill is not told apart from the wait for it.
"""

from __future__ import annotations

from typing import Any

from stonechat.transcript import Turn

from ..asked import prompts
from ..errors import error_message, error_type
from ..reading import Reading, count, name, nanoseconds


def read_request(request: dict[str, Any]) -> list[Turn]:
    """Return the inputs as turns. See ``Dialect.read_request``."""
    return prompts(request.get("input", request.get("prompt")))


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
    reading.input_tokens = count(answer.get("prompt_eval_count"))
    reading.load_ns = nanoseconds(answer.get("load_duration"), 1)
    reading.total_ns = nanoseconds(answer.get("total_duration"), 1)
    reading.ended = "embeddings" in answer or "embedding" in answer
