"""``anthropic.messages``: ``POST /v1/messages`` of llama.cpp, Ollama, LM Studio and vLLM.

A streamed answer is a row of server-sent events that each say their ``type``, from ``message_start`` to
``message_stop``. ``input_tokens`` leaves out what came from the cache or went into it; ``message_delta`` counts from
the answer's beginning, so its figures replace earlier ones.
"""

from __future__ import annotations

from typing import Any

from stonechat.transcript import Turn

from ..asked import messages
from ..errors import error_message, error_type, finish_reason
from ..reading import Reading, count, name, section
from ..texts import objects, plain
from ._openai import read_timings

_CALLS = ("tool_use", "server_tool_use", "mcp_tool_use")


def read_request(request: dict[str, Any]) -> list[Turn]:
    """Return the prompt's turns. See ``Dialect.read_request``."""
    system = plain(request.get("system"))
    turns = [Turn("system", system)] if system else []
    return turns + messages(request.get("messages"))


def read_piece(piece: dict[str, Any], reading: Reading) -> int:
    """Take one event. See ``Dialect.read_piece``."""
    kind = piece.get("type")
    if kind == "content_block_delta":
        delta = section(piece.get("delta"))
        form = delta.get("type")
        if form == "text_delta":
            return reading.say(delta.get("text"))
        if form == "thinking_delta":
            return reading.think(delta.get("thinking"))
        if form == "input_json_delta":
            return reading.call(count(piece.get("index")) or 0, None, delta.get("partial_json"))
        return 0
    if kind == "content_block_start":
        return _read_block(section(piece.get("content_block")), count(piece.get("index")) or 0, reading)
    if kind == "message_start":
        message = section(piece.get("message"))
        reading.model = name(message.get("model")) or reading.model
        # Its output tokens are those so far, 0 or 1: no figure of the answer.
        _read_input(section(message.get("usage")), reading)
    elif kind == "message_delta":
        usage = section(piece.get("usage"))
        _read_input(usage, reading)
        reading.output_tokens = count(usage.get("output_tokens"))
        _read_stop(section(piece.get("delta")).get("stop_reason"), reading)
    elif kind == "message_stop":
        reading.ended = True
    elif kind == "error" or piece.get("error"):
        reading.fail(error_type(None, piece), error_message(piece))
    if (timings := piece.get("timings")) is not None:
        read_timings(timings, reading)
    return 0


def read_whole(answer: dict[str, Any], reading: Reading) -> None:
    """Take an answer that was not streamed. See ``Dialect.read_whole``."""
    if answer.get("type") == "error" or answer.get("error"):
        reading.fail(error_type(None, answer), error_message(answer))
        return
    content = answer.get("content")
    if not isinstance(content, list):
        return
    reading.ended = True
    reading.model = name(answer.get("model")) or reading.model
    for at, block in enumerate(objects(content)):
        _read_block(block, at, reading)
    usage = section(answer.get("usage"))
    _read_input(usage, reading)
    reading.output_tokens = count(usage.get("output_tokens"))
    _read_stop(answer.get("stop_reason"), reading)
    if (timings := answer.get("timings")) is not None:
        read_timings(timings, reading)


def _read_block(block: dict[str, Any], index: int, reading: Reading) -> int:
    kind = block.get("type")
    if kind == "text":
        return reading.say(block.get("text"))
    if kind == "thinking":
        return reading.think(block.get("thinking"))
    if kind in _CALLS:
        # At a stream's beginning of a call its input is absent, or empty and to be filled in pieces.
        return reading.call(index, block.get("name"), block.get("input") or None, identity=block.get("id"))
    return 0


def _read_input(usage: dict[str, Any], reading: Reading) -> None:
    plain_tokens = count(usage.get("input_tokens"))
    if plain_tokens is None:
        return
    read, written = (
        count(usage.get("cache_read_input_tokens")),
        count(usage.get("cache_creation_input_tokens")),
    )
    if read is not None:
        reading.cached_tokens = read
    reading.input_tokens = plain_tokens + (reading.cached_tokens or 0) + (written or 0)


def _read_stop(reason: object, reading: Reading) -> None:
    reading.finish = finish_reason(reason) or reading.finish
    reading.truncated = reason == "model_context_window_exceeded"
