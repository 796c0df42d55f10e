"""``openai.chat``: ``POST /v1/chat/completions`` of llama.cpp, Ollama, LM Studio, vLLM, MLX and others.

A streamed answer is a row of ``chat.completion.chunk`` objects as server-sent events, closed by ``[DONE]``.
"""

from __future__ import annotations

from typing import Any

from stonechat.transcript import Turn

from ..asked import messages
from ..errors import finish_reason
from ..reading import CONTENT, REASONING, Reading, count
from ..texts import objects
from ._openai import read_common


def read_request(request: dict[str, Any]) -> list[Turn]:
    """Return the prompt's turns. See ``Dialect.read_request``."""
    return messages(request.get("messages"))


def read_piece(piece: dict[str, Any], reading: Reading) -> int:
    """Take one chunk. See ``Dialect.read_piece``."""
    read_common(piece, reading)
    signs = 0
    choices = piece.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if not isinstance(choice, dict):
            continue
        index = choice.get("index")
        at = 0 if index == 0 else count(index) or 0
        if isinstance(delta := choice.get("delta"), dict):
            signs |= _read_message(delta, at, reading)
        if at >= reading.choices:
            reading.choices = at + 1
        if (reason := choice.get("finish_reason")) is not None:
            reading.finish = finish_reason(reason) or reading.finish
    return signs


def read_whole(answer: dict[str, Any], reading: Reading) -> None:
    """Take an answer that was not streamed. See ``Dialect.read_whole``."""
    read_common(answer, reading)
    choices = answer.get("choices")
    if not isinstance(choices, list):
        return
    reading.ended = True
    reading.choices = max(1, len(choices))
    for at, choice in enumerate(objects(choices)):
        if isinstance(message := choice.get("message"), dict):
            _read_message(message, at, reading)
        reading.finish = finish_reason(choice.get("finish_reason")) or reading.finish


def _read_message(message: dict[str, Any], choice: int, reading: Reading) -> int:
    """Take a delta, or a message. The first alternative's texts are gathered, of the others only the calls counted."""
    get = message.get
    content = get("content") or get("refusal")
    # llama.cpp and vLLM say reasoning_content; Ollama, LM Studio, mlx_lm and newer vLLM reasoning; some say both.
    reasoning = get("reasoning_content") or get("reasoning")
    if choice == 0:
        signs = reading.say(content) | reading.think(reasoning)
    else:
        signs = (CONTENT if content else 0) | (REASONING if reasoning else 0)
    if calls := get("tool_calls"):
        for call in objects(calls):
            function = call.get("function")
            if not isinstance(function, dict):
                continue
            signs |= reading.call(
                call.get("index"),
                function.get("name"),
                function.get("arguments"),
                identity=call.get("id"),
                choice=choice,
            )
    elif isinstance(function := get("function_call"), dict):
        signs |= reading.call(0, function.get("name"), function.get("arguments"), choice=choice)
    return signs
