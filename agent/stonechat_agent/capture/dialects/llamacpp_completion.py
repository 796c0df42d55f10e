"""``llamacpp.completion``: ``POST /completion`` and ``/infill`` of llama-server.

A streamed answer is a row of objects as server-sent events, one a token, with running counts; the last has
``stop: true`` and says all that an answer in one piece says. There is no ``[DONE]``.
"""

from __future__ import annotations

from typing import Any

from ..errors import error_type, finish_reason
from ..reading import CONTENT, Reading, count, name, section
from .openai_chat import read_timings


def read_piece(piece: dict[str, Any], reading: Reading) -> int:
    """Take one token's object, or the last one. See ``Dialect.read_piece``."""
    if piece.get("error"):
        reading.error = error_type(None, piece)
        return 0
    _read_counts(piece, reading)
    if piece.get("stop") is True:
        _read_end(piece, reading)
    elif piece.get("timings") is not None:
        read_timings(piece["timings"], reading)
    return CONTENT if piece.get("content") else 0


def read_whole(answer: dict[str, Any], reading: Reading) -> None:
    """Take an answer that was not streamed. See ``Dialect.read_whole``."""
    if answer.get("error"):
        reading.error = error_type(None, answer)
        return
    if "content" not in answer and "timings" not in answer:
        return
    _read_counts(answer, reading)
    _read_end(answer, reading)


def _read_counts(answer: dict[str, Any], reading: Reading) -> None:
    if (evaluated := count(answer.get("tokens_evaluated"))) is not None:
        reading.input_tokens = evaluated
    if (predicted := count(answer.get("tokens_predicted"))) is not None:
        reading.output_tokens = predicted


def _read_end(answer: dict[str, Any], reading: Reading) -> None:
    reading.ended = True
    reading.model = name(answer.get("model")) or reading.model
    stop_type = answer.get("stop_type")
    if stop_type is None:  # builds before stop_type said it in three booleans
        stop_type = next(
            (word for word in ("eos", "word", "limit") if answer.get(f"stopped_{word}") is True), None
        )
    if stop_type != "none":
        reading.finish = finish_reason(stop_type)
    reading.truncated = answer.get("truncated") is True
    reading.context_limit = count(section(answer.get("generation_settings")).get("n_ctx"))
    read_timings(answer.get("timings"), reading)
