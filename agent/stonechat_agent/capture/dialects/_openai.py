"""What the answers of ``/v1/chat/completions`` and ``/v1/completions`` have in common, whoever gives them.

``usage`` may be on any chunk: its own with no choices (OpenAI, mlx_lm), the last with a choice, or each. llama.cpp adds
``timings``, vLLM ``metrics``, LM Studio's ``/api/v0`` ``stats`` and ``model_info``; all may be on any chunk too, and
later ones are more complete.
"""

from __future__ import annotations

from typing import Any

from ..errors import error_message, error_type
from ..reading import Reading, count, name, nanoseconds, number, section


def read_common(answer: dict[str, Any], reading: Reading) -> None:
    """Take an answer's or a chunk's model, figures and error."""
    get = answer.get
    if (model := get("model")) != reading.model:
        reading.model = name(model) or reading.model
    if (usage := get("usage")) is not None:
        _read_usage(section(usage), reading)
    if (timings := get("timings")) is not None:
        read_timings(timings, reading)
    if (metrics := get("metrics")) is not None:
        _read_metrics(section(metrics), reading)
    if (stats := get("stats")) is not None:
        _read_stats(section(stats), section(get("model_info")), reading)
    if get("error"):
        reading.fail(error_type(None, answer), error_message(answer))


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


def _read_usage(usage: dict[str, Any], reading: Reading) -> None:
    for figure, value in (
        ("input_tokens", usage.get("prompt_tokens")),
        ("output_tokens", usage.get("completion_tokens")),
        ("cached_tokens", section(usage.get("prompt_tokens_details")).get("cached_tokens")),
        ("reasoning_tokens", section(usage.get("completion_tokens_details")).get("reasoning_tokens")),
    ):
        if (tokens := count(value)) is not None:
            setattr(reading, figure, tokens)


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


def _read_stats(stats: dict[str, Any], model_info: dict[str, Any], reading: Reading) -> None:
    """Take LM Studio's figures: seconds; ``generation_time`` is the decoding alone."""
    prefill = nanoseconds(stats.get("time_to_first_token"), 1_000_000_000)
    decode = nanoseconds(stats.get("generation_time"), 1_000_000_000)
    reading.prefill_ns = prefill if prefill is not None else reading.prefill_ns
    reading.decode_ns = decode if decode is not None else reading.decode_ns
    reading.tokens_per_second = number(stats.get("tokens_per_second")) or reading.tokens_per_second
    reading.context_limit = count(model_info.get("context_length")) or reading.context_limit
