"""``ollama.chat``: ``POST /api/chat`` of Ollama.

Streamed by default, as lines of JSON; the last has ``done: true`` and says all that an answer in one piece says.
Durations are nanoseconds. Every figure may be left out, and older builds leave out ``prompt_eval_count`` for a prompt
that was cached: absent is unknown, not zero.
"""

from __future__ import annotations

from typing import Any

from ..errors import error_type, finish_reason
from ..reading import CONTENT, REASONING, TOOL_CALL, Reading, count, name, nanoseconds, section


def read_piece(piece: dict[str, Any], reading: Reading) -> int:
    """Take one line. See ``Dialect.read_piece``."""
    read_line(piece, reading)
    message = section(piece.get("message"))
    signs = CONTENT if message.get("content") else 0
    if message.get("thinking"):
        signs |= REASONING
    if message.get("tool_calls"):
        # Ollama says done_reason "stop" for an answer that calls a tool.
        signs |= TOOL_CALL
    return signs


def read_whole(answer: dict[str, Any], reading: Reading) -> None:
    """Take an answer that was not streamed. See ``Dialect.read_whole``."""
    read_line(answer, reading)


def read_line(line: dict[str, Any], reading: Reading) -> None:
    """Take what lines of ``/api/chat`` and ``/api/generate`` have in common."""
    if line.get("error"):
        reading.error = error_type(None, line)
        return
    reading.model = name(line.get("model")) or reading.model
    if line.get("done") is not True:
        return
    reading.ended = True
    reason = line.get("done_reason")
    reading.load_only = reason in {"load", "unload"}
    reading.finish = finish_reason(reason)
    reading.input_tokens = count(line.get("prompt_eval_count"))
    reading.cached_tokens = count(line.get("prompt_eval_cached_count"))
    reading.output_tokens = count(line.get("eval_count"))
    reading.total_ns = nanoseconds(line.get("total_duration"), 1)
    reading.load_ns = nanoseconds(line.get("load_duration"), 1)
    reading.prefill_ns = nanoseconds(line.get("prompt_eval_duration"), 1)
    reading.decode_ns = nanoseconds(line.get("eval_duration"), 1)
