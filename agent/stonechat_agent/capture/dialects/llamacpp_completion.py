"""``llamacpp.completion``: ``POST /completion`` and ``/infill`` of llama-server.

A streamed answer is a row of objects as server-sent events, one a token, with running counts; the last has
``stop: true`` and says all that an answer in one piece says. There is no ``[DONE]``.
"""

from __future__ import annotations

from typing import Any

from stonechat.transcript import Turn

from ..asked import prompts
from ..errors import error_message, error_type, finish_reason
from ..reading import CONTENT, Reading, count, name, section
from ..texts import objects, plain
from ._openai import read_timings


def read_request(request: dict[str, Any]) -> list[Turn]:
    """Return the prompt's turns; of ``/infill``, what stands before and after. See ``Dialect.read_request``."""
    turns = prompts(request.get("prompt"))
    around = [plain(request.get(field)) for field in ("input_prefix", "input_suffix")]
    return turns + [Turn("user", text) for text in around if text]


def read_piece(piece: dict[str, Any], reading: Reading) -> int:
    """Take one token's object, or the last one. See ``Dialect.read_piece``."""
    if piece.get("error"):
        reading.fail(error_type(None, piece), error_message(piece))
        return 0
    _read_counts(piece, reading)
    if piece.get("stop") is True:
        _read_end(piece, reading)
    elif piece.get("timings") is not None:
        read_timings(piece["timings"], reading)
    if piece.get("index"):  # of several prompts
        return CONTENT if piece.get("content") else 0
    return reading.say(piece.get("content"))


def read_whole(answer: dict[str, Any], reading: Reading) -> None:
    """Take an answer that was not streamed. See ``Dialect.read_whole``."""
    if answer.get("error"):
        reading.fail(error_type(None, answer), error_message(answer))
        return
    if answers := objects(answer.get("data")):
        _read_several(answers, reading)
    elif "content" in answer or "timings" in answer:
        _read_counts(answer, reading)
        _read_end(answer, reading)
        reading.say(answer.get("content"))


def _read_several(answers: list[dict[str, Any]], reading: Reading) -> None:
    """Take the answers to several prompts: the first one's texts, and all tokens together."""
    read_whole(answers[0], reading)
    # One answer's times say nothing of them all.
    reading.prefill_ns = reading.decode_ns = None
    for figure, field in (("input_tokens", "tokens_evaluated"), ("output_tokens", "tokens_predicted")):
        counts = [tokens for answer in answers if (tokens := count(answer.get(field))) is not None]
        setattr(reading, figure, sum(counts) if len(counts) == len(answers) else None)
    reading.cached_tokens = None


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
