"""``openai.responses``: ``POST /v1/responses`` of llama.cpp, Ollama, LM Studio and vLLM.

A streamed answer is a row of server-sent events that each say their ``type``. The last is ``response.completed``,
``response.incomplete`` or ``response.failed``, and carries the whole answer with its ``usage``; there is no ``[DONE]``.
llama.cpp adds ``timings`` beside it, and calls an answer completed that was cut at the limit.
"""

from __future__ import annotations

from typing import Any

from stonechat.transcript import Turn

from ..asked import fewer, messages, role
from ..errors import error_message, error_type
from ..reading import Reading, count, name, section
from ..texts import called, objects, plain
from ._openai import read_timings

_CALLS = ("function_call", "custom_tool_call", "mcp_call")
_ENDS = ("response.completed", "response.incomplete", "response.failed", "response.cancelled")


def read_request(request: dict[str, Any]) -> list[Turn]:
    """Return the prompt's turns. See ``Dialect.read_request``."""
    turns = []
    if instructions := plain(request.get("instructions")):
        turns.append(Turn("system", instructions))
    given = request.get("input")
    if isinstance(given, str):
        turns.append(Turn("user", given))
    for item in objects(fewer(given)):
        kind = item.get("type", "message")
        if kind == "message":
            turns += messages([item])
        elif kind in _CALLS:
            turns.append(
                Turn("assistant", called(item.get("name"), item.get("arguments", item.get("input"))))
            )
        elif isinstance(kind, str) and kind.endswith("_output"):
            turns.append(Turn("tool", plain(item.get("output"))))
        elif kind != "reasoning":
            turns.append(Turn(role(item.get("role", "user")), plain(item)))
    return turns


def read_piece(piece: dict[str, Any], reading: Reading) -> int:
    """Take one event. See ``Dialect.read_piece``."""
    kind = piece.get("type")
    if (timings := piece.get("timings")) is not None:
        read_timings(timings, reading)
    if kind == "response.output_text.delta" or kind == "response.refusal.delta":
        return reading.say(piece.get("delta"))
    if not isinstance(kind, str):
        if piece.get("error"):
            reading.fail(error_type(None, piece), error_message(piece))
        return 0
    if kind.startswith("response.reasoning") and kind.endswith(".delta"):
        return reading.think(piece.get("delta"))
    if kind in ("response.output_item.added", "response.output_item.done"):
        item = section(piece.get("item"))
        return _read_call(item, _slot(item.get("id"), piece), reading, kind.endswith(".done"))
    if kind.endswith(("_call_arguments.delta", "_tool_call_input.delta")):
        return reading.call(_slot(piece.get("item_id"), piece), None, piece.get("delta"))
    if kind == "error":
        reading.fail(error_type(None, piece), error_message(piece))
    elif kind in _ENDS or kind == "response.created":
        _read_response(section(piece.get("response")), reading, kind in _ENDS)
    return 0


def read_whole(answer: dict[str, Any], reading: Reading) -> None:
    """Take an answer that was not streamed. See ``Dialect.read_whole``."""
    if "output" in answer:
        for item in objects(answer["output"]):
            kind = item.get("type")
            if kind == "message":
                reading.say(plain(item.get("content")))
            elif kind == "reasoning":
                reading.think(plain(item.get("content")) or plain(item.get("summary")))
            else:
                _read_call(item, None, reading, True)
    elif not answer.get("error"):
        return
    _read_response(answer, reading, True)


def _read_call(item: dict[str, Any], slot: object, reading: Reading, is_done: bool) -> int:
    if item.get("type") not in _CALLS:
        return 0
    arguments = item.get("arguments", item.get("input"))
    if is_done and slot is not None and reading.has_call(slot):
        return 0  # it came in pieces
    return reading.call(slot, item.get("name"), arguments if is_done or arguments else None)


def _slot(identity: object, piece: dict[str, Any]) -> object:
    return identity if isinstance(identity, str) else count(piece.get("output_index")) or 0


def _read_response(response: dict[str, Any], reading: Reading, ended: bool) -> None:
    reading.model = name(response.get("model")) or reading.model
    if not ended:
        return
    reading.ended = True
    usage = section(response.get("usage"))
    for figure, value in (
        ("input_tokens", usage.get("input_tokens")),
        ("output_tokens", usage.get("output_tokens")),
        ("cached_tokens", section(usage.get("input_tokens_details")).get("cached_tokens")),
        ("reasoning_tokens", section(usage.get("output_tokens_details")).get("reasoning_tokens")),
    ):
        if (tokens := count(value)) is not None:
            setattr(reading, figure, tokens)
    if response.get("error"):
        reading.fail(error_type(None, response), error_message(response))
        return
    status = response.get("status")
    reason = section(response.get("incomplete_details")).get("reason")
    if status == "failed":
        reading.fail("stream_error", "")
    elif status == "incomplete":
        reading.finish = (
            "content_filter"
            if reason == "content_filter"
            else "length"
            if reason == "max_output_tokens"
            else "other"
        )
    elif status == "completed" and _at_limit(reading):
        reading.finish = "length"
    elif status == "completed":
        reading.finish = "tool_calls" if reading.calls else "stop"
    else:
        reading.finish = "other"


def _at_limit(reading: Reading) -> bool:
    limit, tokens = reading.output_limit, reading.output_tokens
    return limit is not None and tokens is not None and 0 < limit <= tokens
