"""``openai.chat``: ``POST /v1/chat/completions`` of llama.cpp, Ollama, LM Studio, vLLM, MLX and others.

A streamed answer is a row of ``chat.completion.chunk`` objects as server-sent events, closed by ``[DONE]``. ``usage``
may be on any chunk: its own with no choices (OpenAI), the last with a choice, or each. llama.cpp adds ``timings``, vLLM
``metrics``; both may be on any chunk too, and later ones are more complete.
"""

from __future__ import annotations

from typing import Any

from ..errors import error_type, finish_reason
from ..reading import CONTENT, REASONING, TOOL_CALL, Reading, count, name, nanoseconds, section

_REASONING_FIELDS = ("reasoning_content", "reasoning")  # llama.cpp and vLLM; Ollama, LM Studio and newer vLLM


def read_piece(piece: dict[str, Any], reading: Reading) -> int:
    """Take one chunk. See ``Dialect.read_piece``."""
    _read_common(piece, reading)
    signs = 0
    choices = piece.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if not isinstance(choice, dict):
            continue
        signs |= _signs(section(choice.get("delta")))
        reading.choices = max(reading.choices, (count(choice.get("index")) or 0) + 1)
        reading.finish = finish_reason(choice.get("finish_reason")) or reading.finish
    return signs


def read_whole(answer: dict[str, Any], reading: Reading) -> None:
    """Take an answer that was not streamed. See ``Dialect.read_whole``."""
    _read_common(answer, reading)
    choices = answer.get("choices")
    if not isinstance(choices, list):
        return
    reading.ended = True
    reading.choices = max(1, len(choices))
    for choice in choices:
        reading.finish = finish_reason(section(choice).get("finish_reason")) or reading.finish


def read_timings(value: object, reading: Reading) -> None:
    """Take llama.cpp's ``timings``: milliseconds, and token counts where ``prompt_n`` leaves out cached tokens."""
    if not isinstance(value, dict):
        return
    reading.timings = True
    reading.prefill_ns = nanoseconds(value.get("prompt_ms"), 1_000_000)
    reading.decode_ns = nanoseconds(value.get("predicted_ms"), 1_000_000)
    reading.prefilled_tokens = count(value.get("prompt_n"))
    cached = count(value.get("cache_n"))
    if cached is not None:
        reading.cached_tokens = cached
        if reading.prefilled_tokens is not None:
            reading.input_tokens = reading.prefilled_tokens + cached
    predicted = count(value.get("predicted_n"))
    if predicted is not None:
        reading.output_tokens = predicted


def _read_common(answer: dict[str, Any], reading: Reading) -> None:
    reading.model = name(answer.get("model")) or reading.model
    if (usage := answer.get("usage")) is not None:
        _read_usage(section(usage), reading)
    if (timings := answer.get("timings")) is not None:
        read_timings(timings, reading)
    if (metrics := answer.get("metrics")) is not None:
        _read_metrics(section(metrics), reading)
    if answer.get("error"):
        reading.error = error_type(None, answer)


def _read_usage(usage: dict[str, Any], reading: Reading) -> None:
    for figure, value in (
        ("input_tokens", usage.get("prompt_tokens")),
        ("output_tokens", usage.get("completion_tokens")),
        ("cached_tokens", section(usage.get("prompt_tokens_details")).get("cached_tokens")),
        ("reasoning_tokens", section(usage.get("completion_tokens_details")).get("reasoning_tokens")),
    ):
        if (number := count(value)) is not None:
            setattr(reading, figure, number)


def _read_metrics(metrics: dict[str, Any], reading: Reading) -> None:
    """Take vLLM's per-request figures. Its times count from scheduling, so ``time_to_first_token_ms`` is the prefill,
    and ``generation_time_ms``, which ends at the last token, holds it too."""
    queue = nanoseconds(metrics.get("queue_time_ms"), 1_000_000)
    prefill = nanoseconds(metrics.get("time_to_first_token_ms"), 1_000_000)
    both = nanoseconds(metrics.get("generation_time_ms"), 1_000_000)
    reading.queue_ns = queue if queue is not None else reading.queue_ns
    reading.prefill_ns = prefill if prefill is not None else reading.prefill_ns
    if prefill is not None and both is not None and both >= prefill:
        reading.decode_ns = both - prefill


def _signs(delta: dict[str, Any]) -> int:
    signs = CONTENT if delta.get("content") else 0
    for field in _REASONING_FIELDS:
        if delta.get(field):
            signs |= REASONING
    if delta.get("tool_calls") or delta.get("function_call"):
        signs |= TOOL_CALL
    return signs
