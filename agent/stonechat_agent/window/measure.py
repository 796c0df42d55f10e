"""What an exchange adds to a window."""

from __future__ import annotations

from collections.abc import Iterator

from stonechat.catalog import metric_id
from stonechat.exchange import Exchange, Outcome, Quantity
from stonechat.records import Series

_NS_PER_US = 1000
_NS_PER_S = 1_000_000_000
_RATE = 1000  # thousandths of a token a second

LARGEST = 1 << 40
"""In any metric's unit: 13 days, a billion tokens a second. What an engine or an application says beyond it is
nonsense, and the sums of windows, which have 63 bits, must hold millions of the largest."""

EXCHANGES = metric_id("stonechat.exchanges")
OUTCOMES = metric_id("stonechat.exchange.outcomes")
DIALECTS = metric_id("stonechat.exchange.dialects")
FINISH_REASONS = metric_id("gen_ai.response.finish_reasons")
ERROR_TYPES = metric_id("error.type")
CUT = metric_id("stonechat.exchanges.cut")
ABORTED = metric_id("stonechat.exchanges.aborted")
FAILED = metric_id("stonechat.exchanges.failed")
TTFB = metric_id("stonechat.time_to_first_byte")
TTFT = metric_id("gen_ai.server.time_to_first_token")
DURATION = metric_id("gen_ai.server.request.duration")
QUEUE = metric_id("stonechat.queue.duration")
LOAD = metric_id("stonechat.load.duration")
PREFILL_RATE = metric_id("stonechat.prefill.rate")
DECODE_RATE = metric_id("stonechat.decode.rate")
TPOT = metric_id("gen_ai.server.time_per_output_token")
INPUT = metric_id("gen_ai.usage.input_tokens")
OUTPUT = metric_id("gen_ai.usage.output_tokens")
CACHED = metric_id("gen_ai.usage.cache_read.input_tokens")
REASONING = metric_id("gen_ai.usage.reasoning.output_tokens")
PROVENANCE = metric_id("stonechat.tokens.provenance")
CONTEXT = metric_id("stonechat.context.utilization")
CHECKED = metric_id("stonechat.answers.checked")
FINDINGS = metric_id("stonechat.findings")


def series_of(exchange: Exchange) -> Series:
    """The series that the exchange belongs to, by the model that answered, else by the one that was asked for."""
    return Series(
        exchange.engine, exchange.response_model or exchange.request_model or "", exchange.operation.value
    )


def counters(exchange: Exchange) -> Iterator[tuple[int, int]]:
    """Increments of counters: (metric, increment)."""
    yield EXCHANGES, 1
    if exchange.outcome is Outcome.ERROR:
        yield FAILED, 1
    elif exchange.outcome is Outcome.ABORTED:
        yield ABORTED, 1
    if exchange.cut_at_limit:
        yield CUT, 1
    if exchange.scores:
        yield CHECKED, 1
    for metric, tokens in ((CACHED, exchange.cached_tokens), (REASONING, exchange.reasoning_tokens)):
        if tokens is not None and 0 < tokens.value <= LARGEST:
            yield metric, tokens.value


def tallies(exchange: Exchange) -> Iterator[tuple[int, str]]:
    """Keys of tallies that grow by one: (metric, key)."""
    yield OUTCOMES, exchange.outcome.value
    if exchange.dialect is not None:
        yield DIALECTS, exchange.dialect
    if exchange.finish_reason is not None:
        yield FINISH_REASONS, exchange.finish_reason
    if exchange.outcome is Outcome.ERROR:
        yield ERROR_TYPES, exchange.error_type or "other"
    if exchange.output_tokens is not None:
        yield PROVENANCE, exchange.output_tokens.provenance.value
    for finding in exchange.findings:
        yield FINDINGS, finding


def gauges(exchange: Exchange) -> Iterator[tuple[int, int]]:
    """Readings of gauges: (metric, reading)."""
    if exchange.context_tokens is not None and exchange.context_limit:
        yield CONTEXT, min(10_000, exchange.context_tokens * 10_000 // exchange.context_limit)


def observations(exchange: Exchange) -> Iterator[tuple[int, int]]:
    """Values of distributions: (metric, value). Times of failed exchanges are left out: a refusal is no fast answer."""
    return (found for found in _observed(exchange) if found[1] <= LARGEST)


def _observed(exchange: Exchange) -> Iterator[tuple[int, int]]:
    if exchange.outcome is Outcome.ERROR:
        return
    for metric, instant in ((TTFB, exchange.first_byte_ns), (TTFT, exchange.first_token_ns)):
        elapsed = exchange.elapsed(instant)
        if elapsed is not None:
            yield metric, elapsed // _NS_PER_US
    if exchange.outcome is Outcome.OK and exchange.duration_ns is not None:
        yield DURATION, exchange.duration_ns // _NS_PER_US
    for metric, duration in ((QUEUE, exchange.queue_duration), (LOAD, exchange.load_duration)):
        if duration is not None:
            yield metric, duration.value // _NS_PER_US
    for metric, tokens in ((INPUT, exchange.input_tokens), (OUTPUT, exchange.output_tokens)):
        if tokens is not None:
            yield metric, tokens.value
    prefilled, prefill = exchange.prefilled_tokens, exchange.prefill_duration
    if prefilled and prefill is not None and prefill.value > 0:
        yield PREFILL_RATE, prefilled * _RATE * _NS_PER_S // prefill.value
    pace = _decode_pace(exchange.output_tokens, exchange.decode_duration)
    if pace is not None:
        tokens_after_first, decode_ns = pace
        yield DECODE_RATE, tokens_after_first * _RATE * _NS_PER_S // decode_ns
        yield TPOT, decode_ns // tokens_after_first // _NS_PER_US


def _decode_pace(tokens: Quantity | None, decode: Quantity | None) -> tuple[int, int] | None:
    """(Tokens after the first, ns that they took): engines' decode time begins with the first token."""
    if tokens is None or decode is None or tokens.value < 2 or decode.value <= 0:
        return None
    return tokens.value - 1, decode.value
