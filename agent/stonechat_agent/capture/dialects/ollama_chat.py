"""``ollama.chat``: ``POST /api/chat`` of Ollama.

Streamed by default, as lines of JSON; the last has ``done: true`` and says all that an answer in one piece says.
Durations are nanoseconds. Every figure may be left out, and older builds leave out ``prompt_eval_count`` for a prompt
that was cached: absent is unknown, not zero.
"""

from __future__ import annotations

from typing import Any

from stonechat.transcript import Turn

from ..asked import messages
from ..errors import error_message, error_type, finish_reason
from ..reading import Reading, count, name, nanoseconds, section
from ..texts import objects


def read_request(request: dict[str, Any]) -> list[Turn]:
    """Return the prompt's turns. See ``Dialect.read_request``."""
    return messages(request.get("messages"))


def read_piece(piece: dict[str, Any], reading: Reading) -> int:
    """Take one line. See ``Dialect.read_piece``."""
    read_line(piece, reading)
    return _read_message(section(piece.get("message")), reading)


def read_whole(answer: dict[str, Any], reading: Reading) -> None:
    """Take an answer that was not streamed. See ``Dialect.read_whole``."""
    read_line(answer, reading)
    _read_message(section(answer.get("message")), reading)


def _read_message(message: dict[str, Any], reading: Reading) -> int:
    """Take a message, or a piece of one. Calls of tools are whole, and done_reason says "stop" after them too."""
    signs = reading.say(message.get("content")) | reading.think(message.get("thinking"))
    for call in objects(message.get("tool_calls")):
        function = section(call.get("function"))
        signs |= reading.call(None, function.get("name") or "?", function.get("arguments"))
    return signs


def read_line(line: dict[str, Any], reading: Reading) -> None:
    """Take what lines of ``/api/chat`` and ``/api/generate`` have in common."""
    if line.get("error"):
        reading.fail(error_type(None, line), error_message(line))
        return
    reading.model = name(line.get("model")) or reading.model
    if line.get("done") is not True:
        return
    reading.ended = True
    reason = line.get("done_reason")
    reading.load_only = reason in ("load", "unload")
    reading.finish = finish_reason(reason)
    reading.input_tokens = count(line.get("prompt_eval_count"))
    reading.cached_tokens = count(line.get("prompt_eval_cached_count"))
    reading.output_tokens = count(line.get("eval_count"))
    reading.total_ns = nanoseconds(line.get("total_duration"), 1)
    reading.load_ns = nanoseconds(line.get("load_duration"), 1)
    reading.prefill_ns = nanoseconds(line.get("prompt_eval_duration"), 1)
    reading.decode_ns = nanoseconds(line.get("eval_duration"), 1)
