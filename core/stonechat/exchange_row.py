"""An exchange as a flat row without texts: the one list of its fields for journal, wire, collector and commands.

A row is a dict by field name; what is unknown is absent. Durations are whole microseconds; those of ``OFFSET`` fields
count from accepting the request. On the wire a field is known by its id, which is never reused; a reader passes over
ids that it does not know.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, NamedTuple

from stonechat.errors import Refused
from stonechat.exchange import Exchange, Outcome, Quantity, Source
from stonechat.ids import identifier, is_exchange_id

Row = dict[str, Any]

MAX_LIST = 64
"""Findings, notes or scores of one exchange: the checks, the heads of the models, and room for somebody's own."""

_MOST = 1 << 53
_NS_PER_US = 1000


class FieldKind(Enum):
    """What a field holds."""

    ID = "id"  # the exchange's id
    WORD = "word"  # an identifier: see ``ids.identifier``
    COUNT = "count"  # a whole number of 0 or more
    FLAG = "flag"
    TIME = "time"  # ms since 1970
    DURATION = "duration"  # us
    OFFSET = "offset"  # us since the request was accepted
    WORDS = "words"  # a list of identifiers
    SCORES = "scores"  # numbers in [0, 1] by identifier


class Field(NamedTuple):
    """One field of a row. ``read`` takes it out of an exchange; None where it is unknown."""

    id: int
    name: str
    kind: FieldKind
    help: str
    read: Callable[[Exchange], Any]


def _offset(instant: str) -> Callable[[Exchange], int | None]:
    def read(exchange: Exchange) -> int | None:
        elapsed = exchange.elapsed(getattr(exchange, instant))
        return None if elapsed is None else elapsed // _NS_PER_US

    return read


def _quantity(name: str, scale: int = 1) -> Callable[[Exchange], int | None]:
    def read(exchange: Exchange) -> int | None:
        quantity: Quantity | None = getattr(exchange, name)
        return None if quantity is None else quantity.value // scale

    return read


def _provenance(name: str) -> Callable[[Exchange], str | None]:
    def read(exchange: Exchange) -> str | None:
        quantity: Quantity | None = getattr(exchange, name)
        return None if quantity is None else quantity.provenance.value

    return read


def _plain(name: str) -> Callable[[Exchange], Any]:
    return lambda exchange: getattr(exchange, name)


def _bytes(name: str) -> Callable[[Exchange], int | None]:
    """Only what passed the relay was counted: 0 of anything else is unknown."""

    def read(exchange: Exchange) -> int | None:
        size: int = getattr(exchange, name)
        return size if size or exchange.source is Source.RELAY else None

    return read


def _quantities(first: int, name: str, attribute: str, kind: FieldKind, help: str) -> tuple[Field, Field]:
    scale = _NS_PER_US if kind is FieldKind.DURATION else 1
    return (
        Field(first, name, kind, help, _quantity(attribute, scale)),
        Field(first + 1, f"{name}_from", FieldKind.WORD, f"Provenance of {name}.", _provenance(attribute)),
    )


_W, _N, _O, _D = FieldKind.WORD, FieldKind.COUNT, FieldKind.OFFSET, FieldKind.DURATION

FIELDS: tuple[Field, ...] = (
    Field(1, "id", FieldKind.ID, "The exchange's id.", _plain("id")),
    Field(
        2, "start", FieldKind.TIME, "When the request was accepted, by the device's clock.", _plain("wall_ms")
    ),
    Field(3, "engine", _W, "The engine's name in the configuration.", _plain("engine")),
    Field(
        4,
        "model",
        _W,
        "The model that answered, else the one that was asked for.",
        lambda e: e.response_model or e.request_model,
    ),
    Field(5, "request_model", _W, "The model that was asked for.", _plain("request_model")),
    Field(
        6, "operation", _W, "chat, completion, embeddings, evaluation or other.", lambda e: e.operation.value
    ),
    Field(7, "dialect", _W, "The API that it came by.", _plain("dialect")),
    Field(8, "source", _W, "relay, record or replay.", lambda e: e.source.value),
    Field(9, "streamed", FieldKind.FLAG, "Whether the answer was streamed.", _plain("streamed")),
    Field(10, "outcome", _W, "ok, error or aborted.", lambda e: e.outcome.value),
    Field(
        11,
        "error_type",
        _W,
        "What went wrong.",
        lambda e: (e.error_type or "other") if e.outcome is Outcome.ERROR else None,
    ),
    Field(12, "status", _N, "Status of HTTP.", _plain("status")),
    Field(13, "finish_reason", _W, "How the answer ended.", _plain("finish_reason")),
    Field(14, "conversation", _W, "Pseudonym of the conversation.", _plain("conversation")),
    Field(15, "user", _W, "Pseudonym of the user.", _plain("user")),
    Field(20, "request_complete", _O, "The request was read whole.", _offset("request_complete_ns")),
    Field(21, "connected", _O, "The connection to the engine stood.", _offset("connected_ns")),
    Field(22, "ttfb", _O, "First byte of the answer.", _offset("first_byte_ns")),
    Field(23, "ttft", _O, "First piece of text, reasoning or tool call.", _offset("first_token_ns")),
    Field(24, "ttfc", _O, "First piece of text, after the reasoning.", _offset("first_content_ns")),
    Field(25, "duration", _O, "Last byte of the answer.", _offset("last_byte_ns")),
    Field(26, "closed", _O, "The client was gone before the answer's end.", _offset("closed_ns")),
    *_quantities(30, "queue", "queue_duration", _D, "Waiting for the engine to begin."),
    *_quantities(32, "load", "load_duration", _D, "Loading the model."),
    *_quantities(34, "prefill", "prefill_duration", _D, "Processing the prompt."),
    *_quantities(36, "decode", "decode_duration", _D, "Generating the answer."),
    *_quantities(40, "input_tokens", "input_tokens", _N, "Prompt tokens, cached ones included."),
    *_quantities(42, "cached_tokens", "cached_tokens", _N, "Prompt tokens out of the engine's cache."),
    *_quantities(44, "output_tokens", "output_tokens", _N, "Generated tokens, reasoning included."),
    *_quantities(46, "reasoning_tokens", "reasoning_tokens", _N, "Generated tokens of reasoning."),
    Field(48, "context_tokens", _N, "Context in use at the answer's end.", _plain("context_tokens")),
    Field(49, "context_limit", _N, "Context that the engine has for it.", _plain("context_limit")),
    Field(50, "request_bytes", _N, "Bytes of the request.", _bytes("request_bytes")),
    Field(51, "response_bytes", _N, "Bytes of the answer.", _bytes("response_bytes")),
    Field(52, "chunks", _N, "Pieces of the streamed answer.", lambda e: e.chunks or None),
    Field(53, "tool_calls", _N, "Tools that the model called.", lambda e: e.tool_calls or None),
    Field(
        60,
        "findings",
        FieldKind.WORDS,
        "Judgements beyond their threshold.",
        lambda e: list(e.findings) or None,
    ),
    Field(
        61, "notes", FieldKind.WORDS, "What the capture has to say of it.", lambda e: sorted(e.notes) or None
    ),
    Field(62, "scores", FieldKind.SCORES, "Judgements in [0, 1].", lambda e: dict(e.scores) or None),
)

BY_NAME: dict[str, Field] = {field.name: field for field in FIELDS}
_BY_ID: dict[int, Field] = {field.id: field for field in FIELDS}


def to_row(exchange: Exchange) -> Row:
    """Return the row of an exchange."""
    return {
        field.name: value for field in FIELDS if (value := field.read(exchange)) is not None and value != ""
    }


def pack(row: Mapping[str, Any]) -> dict[int, Any]:
    """Return a row as it stands on the wire. Scores are whole ten-thousandths there."""
    plain = {BY_NAME[name].id: value for name, value in row.items() if name in BY_NAME}
    if (scores := row.get("scores")) is not None:
        plain[BY_NAME["scores"].id] = {name: round(score * 10_000) for name, score in scores.items()}
    return plain


def unpack(plain: object) -> Row:
    """Return the row of what stood on the wire.

    Raises:
        Refused: it is no row, or a field does not hold what its kind allows.
    """
    if not isinstance(plain, dict) or len(plain) > 4 * len(FIELDS):
        raise Refused("exchange", "not a map of its fields")
    row: Row = {}
    for number, value in plain.items():
        field = _BY_ID.get(number) if isinstance(number, int) else None
        if field is None:
            continue
        if not _fits(field.kind, value):
            raise Refused("exchange", f"field {field.name} does not hold a {field.kind.value}")
        row[field.name] = value
    if "id" not in row or "start" not in row:
        raise Refused("exchange", "no id or no start")
    if "scores" in row:
        row["scores"] = {name: score / 10_000 for name, score in row["scores"].items()}
    return row


def _fits(kind: FieldKind, value: object) -> bool:
    if kind is FieldKind.ID:
        return isinstance(value, str) and is_exchange_id(value)
    if kind is FieldKind.WORD:
        return _is_word(value)
    if kind is FieldKind.FLAG:
        return isinstance(value, bool)
    if kind is FieldKind.WORDS:
        return isinstance(value, list) and len(value) <= MAX_LIST and all(_is_word(word) for word in value)
    if kind is FieldKind.SCORES:
        return (
            isinstance(value, dict)
            and len(value) <= MAX_LIST
            and all(
                _is_word(name) and type(score) is int and 0 <= score <= 10_000
                for name, score in value.items()
            )
        )
    return type(value) is int and 0 <= value < _MOST


def _is_word(value: object) -> bool:
    return isinstance(value, str) and identifier(value) is not None
