"""From an engine's figures and the relay's clock to the phases and tokens of an exchange, each with its provenance.

The engine's own figure comes first where there is one. What arrival times mean differs by engine (docs/engines.md):
a llama.cpp server sends the head of a streamed answer when a slot takes the request, so there the wait for the head is
the queue, and from there to the first token is the prefill.
"""

from __future__ import annotations

from stonechat.exchange import Exchange, Provenance, Quantity

from .reading import PREFILL_BEGUN, PREFILL_ENDED, WORK_BEGUN, Reading, nanoseconds

_SLACK_NS = 50_000_000


class Engine:
    """What the arrival of an answer's pieces says of the engine's work. Instants are the relay's."""

    __slots__ = ("is_llamacpp", "last_token_ns", "prefill_ns", "prefilled_ns", "work_ns")

    def __init__(self) -> None:
        self.is_llamacpp = False  # as the answer's head says
        self.last_token_ns: int | None = None  # the last piece that carried text, reasoning or a tool call
        self.work_ns: int | None = None
        self.prefill_ns: int | None = None
        self.prefilled_ns: int | None = None

    def says(self, signs: int, now_ns: int) -> None:
        """Take what an engine says of where it is. The first of each counts: later ones are of another round."""
        if signs & WORK_BEGUN and self.work_ns is None:
            self.work_ns = now_ns
        if signs & PREFILL_BEGUN and self.prefill_ns is None:
            self.prefill_ns = now_ns
        if signs & PREFILL_ENDED and self.prefilled_ns is None:
            self.prefilled_ns = now_ns


def complete(exchange: Exchange, reading: Reading, engine: Engine) -> None:
    """Fill the exchange's model, tokens and phases from what was read of its answer and when its pieces came."""
    exchange.response_model = reading.model
    exchange.finish_reason = reading.finish
    exchange.tool_calls = len(reading.calls)
    if reading.truncated:
        exchange.notes.add("context_full")
    exchange.context_limit = reading.context_limit
    _tokens(exchange, reading)
    _phases(exchange, reading, engine)


def _tokens(exchange: Exchange, reading: Reading) -> None:
    exchange.input_tokens = _engine(reading.input_tokens)
    exchange.cached_tokens = _engine(reading.cached_tokens)
    exchange.reasoning_tokens = _engine(reading.reasoning_tokens)
    output = reading.output_tokens
    if output is None:
        # A piece is not always a token: text is held back until its UTF-8 is whole and no stop word can begin in it.
        exchange.output_tokens = Quantity(exchange.chunks, Provenance.ESTIMATED) if exchange.chunks else None
    elif reading.choices > 1 and reading.timings:
        # llama.cpp counts the tokens of one of the alternatives only.
        exchange.output_tokens = Quantity(output * reading.choices, Provenance.ESTIMATED)
    else:
        exchange.output_tokens = _engine(output)
    if reading.input_tokens is not None and output is not None:
        exchange.context_tokens = reading.input_tokens + output


def _phases(exchange: Exchange, reading: Reading, engine: Engine) -> None:
    is_llamacpp = engine.is_llamacpp or reading.timings
    last_token_ns = engine.last_token_ns
    sent_ns = _latest(exchange.request_complete_ns, exchange.connected_ns)
    first_ns, token_ns = exchange.first_byte_ns, exchange.first_token_ns
    exchange.load_duration = _engine(reading.load_ns)
    exchange.prefill_duration = _engine(reading.prefill_ns)
    exchange.decode_duration = _engine(reading.decode_ns)
    exchange.queue_duration = _engine(reading.queue_ns)

    if exchange.decode_duration is None and token_ns is not None and last_token_ns is not None:
        exchange.decode_duration = Quantity(last_token_ns - token_ns, Provenance.OBSERVED)
    speed, output = reading.tokens_per_second, reading.output_tokens
    if exchange.decode_duration is None and speed is not None and output is not None:
        decode_ns = nanoseconds(output / speed, 1_000_000_000)  # a speed of nearly nothing takes for ever
        exchange.decode_duration = None if decode_ns is None else Quantity(decode_ns, Provenance.ESTIMATED)
    _signs(exchange, engine, sent_ns)
    if is_llamacpp and token_ns is not None and first_ns is not None and sent_ns is not None:
        if exchange.prefill_duration is None:
            exchange.prefill_duration = Quantity(max(0, token_ns - first_ns), Provenance.OBSERVED)
        if exchange.queue_duration is None:
            exchange.queue_duration = _llamacpp_queue(
                to_head=max(0, first_ns - sent_ns),
                to_token=max(0, token_ns - sent_ns),
                prefill=reading.prefill_ns,
            )
    if exchange.queue_duration is None:
        whole = reading.total_ns
        if is_llamacpp and exchange.streamed is False and first_ns is not None and sent_ns is not None:
            whole = first_ns - sent_ns  # an answer in one piece comes when it is complete
        parts = [reading.prefill_ns, reading.decode_ns]
        if not is_llamacpp:
            parts.append(reading.load_ns)
        known = [part for part in parts if part is not None]
        if whole is not None and len(known) == len(parts):
            exchange.queue_duration = Quantity(max(0, whole - sum(known)), Provenance.ESTIMATED)


def _signs(exchange: Exchange, engine: Engine, sent_ns: int | None) -> None:
    """Take the phases whose edges the engine told of as they came."""
    if (
        exchange.prefill_duration is None
        and engine.prefill_ns is not None
        and engine.prefilled_ns is not None
    ):
        prefill = max(0, engine.prefilled_ns - engine.prefill_ns)
        exchange.prefill_duration = Quantity(prefill, Provenance.OBSERVED)
    if exchange.queue_duration is None and engine.work_ns is not None and sent_ns is not None:
        exchange.queue_duration = Quantity(max(0, engine.work_ns - sent_ns), Provenance.OBSERVED)


def _llamacpp_queue(*, to_head: int, to_token: int, prefill: int | None) -> Quantity:
    """Return the wait for a slot: until the head came. Builds that send the head at once show it by a time to the first
    token that neither that wait nor the prefill explains; there the wait is what the prefill leaves of it."""
    if prefill is not None:
        unexplained = to_token - to_head - prefill
        if unexplained > max(_SLACK_NS, to_token // 4):
            return Quantity(to_token - prefill, Provenance.ESTIMATED)
    return Quantity(to_head, Provenance.OBSERVED)


def _engine(value: int | None) -> Quantity | None:
    return None if value is None else Quantity(value, Provenance.ENGINE)


def _latest(request_complete_ns: int | None, connected_ns: int | None) -> int | None:
    """Return when the engine had the whole request."""
    if request_complete_ns is None:
        return None
    return request_complete_ns if connected_ns is None else max(request_complete_ns, connected_ns)
