"""``lmstudio.chat``: ``POST /api/v1/chat`` of LM Studio.

A streamed answer is a row of server-sent events that each say their ``type``, from ``chat.start`` to ``chat.end``,
whose ``result`` is all that an answer in one piece is. LM Studio tells when it loads the model and takes up the prompt,
and may call tools itself, so that one answer is several rounds. Figures are seconds; the time of decoding is told as a
speed.
"""

from __future__ import annotations

from typing import Any

from stonechat.transcript import Turn

from ..asked import messages, prompts
from ..errors import error_message, error_type
from ..reading import (
    PREFILL_BEGUN,
    PREFILL_ENDED,
    WORK_BEGUN,
    Reading,
    count,
    name,
    nanoseconds,
    number,
    section,
)
from ..texts import objects, plain

_SECOND = 1_000_000_000


def read_request(request: dict[str, Any]) -> list[Turn]:
    """Return the prompt's turns. See ``Dialect.read_request``."""
    system = plain(request.get("system_prompt"))
    turns = [Turn("system", system)] if system else []
    given = request.get("input")
    if isinstance(given, list):
        asked = plain(given)
        return turns + (
            messages(given) if any(item.get("role") for item in objects(given)) else [Turn("user", asked)]
        )
    return turns + prompts(given)


def read_piece(piece: dict[str, Any], reading: Reading) -> int:
    """Take one event. See ``Dialect.read_piece``."""
    kind = piece.get("type")
    if kind == "message.delta":
        return reading.say(piece.get("content"))
    if kind == "reasoning.delta":
        return reading.think(piece.get("content"))
    if kind == "tool_call.start":
        return reading.call(None, piece.get("tool") or "?")
    if kind in ("tool_call.arguments", "tool_call.success"):
        if not reading.last_call_has_arguments:
            return reading.call(None, None, piece.get("arguments"))
    elif kind == "prompt_processing.start":
        return WORK_BEGUN | PREFILL_BEGUN
    elif kind == "prompt_processing.end":
        return PREFILL_ENDED
    elif kind == "model_load.start":
        return WORK_BEGUN
    elif kind == "model_load.end":
        reading.load_ns = nanoseconds(piece.get("load_time_seconds"), _SECOND)
    elif kind == "chat.start":
        reading.model = name(piece.get("model_instance_id")) or reading.model
    elif kind == "chat.end":
        _read_result(section(piece.get("result")), reading)
    elif kind == "error" or piece.get("error"):
        reading.fail(error_type(None, piece), error_message(piece))
    return 0


def read_whole(answer: dict[str, Any], reading: Reading) -> None:
    """Take an answer that was not streamed. See ``Dialect.read_whole``."""
    if answer.get("error"):
        reading.fail(error_type(None, answer), error_message(answer))
        return
    if not isinstance(answer.get("output"), list):
        return
    for item in objects(answer["output"]):
        kind = item.get("type")
        if kind == "message":
            reading.say(item.get("content"))
        elif kind == "reasoning":
            reading.think(item.get("content"))
        elif kind in ("tool_call", "mcp_call"):
            reading.call(None, item.get("tool") or "?", item.get("arguments"))
    _read_result(answer, reading)


def _read_result(result: dict[str, Any], reading: Reading) -> None:
    reading.ended = True
    reading.model = name(result.get("model_instance_id")) or reading.model
    stats = section(result.get("stats"))
    reading.input_tokens = count(stats.get("input_tokens"))
    reading.output_tokens = count(stats.get("total_output_tokens"))
    reading.reasoning_tokens = count(stats.get("reasoning_output_tokens"))
    reading.tokens_per_second = number(stats.get("tokens_per_second"))
    reading.prefill_ns = nanoseconds(stats.get("time_to_first_token_seconds"), _SECOND)
    loaded = nanoseconds(stats.get("model_load_time_seconds"), _SECOND)
    reading.load_ns = loaded if loaded is not None else reading.load_ns
