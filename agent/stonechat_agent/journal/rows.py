"""Exchanges and texts as columns of the journal, and back. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from stonechat.exchange_row import BY_NAME, MAX_LIST, FieldKind, Row
from stonechat.ids import identifier, is_exchange_id
from stonechat.transcript import Transcript

_MOST = 1 << 53
_INVALID = "�"


class Texts(NamedTuple):
    """What was said in an exchange, redacted."""

    prompt: list[tuple[str, str]]
    """(role, text), oldest first; roles as ``stonechat.transcript.ROLES``."""
    answer: str
    reasoning: str
    tool_calls: list[tuple[str, str]]
    """(name, arguments)."""
    error: str
    cut: bool
    """Whether some text is missing."""

    def plain(self) -> dict[str, Any]:
        """As it stands in JSON; what is empty is absent."""
        found = {
            "prompt": [list(turn) for turn in self.prompt],
            "answer": self.answer,
            "reasoning": self.reasoning,
            "tool_calls": [list(call) for call in self.tool_calls],
            "error": self.error,
            "cut": self.cut,
        }
        return {name: value for name, value in found.items() if value}


class Entry(NamedTuple):
    """An exchange as the journal has it."""

    seq: int
    row: Row
    state: str
    """`layout.KEPT`, or why there are no texts: a key of `layout.WHY`."""
    texts: Texts | None
    """None where there are none, or where they were not asked for."""
    chosen: str | None
    """The reason for which it goes to the collector."""
    sent: bool

    def plain(self) -> dict[str, Any]:
        """The row as it stands in JSON, with ``texts`` telling why there are none, and the texts where they are."""
        return {**self.row, "texts": self.state, **(self.texts.plain() if self.texts is not None else {})}


class JournalEvent(NamedTuple):
    """Something that happened, as the journal has it."""

    seq: int
    wall: int
    """ms since 1970."""
    kind: str
    key: str
    severity: int
    """`stonechat.event.Severity`."""
    times: int
    """How many alike."""
    attributes: dict[str, Any]


def checked(row: Mapping[str, Any]) -> Row:
    """A row with nothing but what its fields allow: names that strangers chose and that are no identifiers read
    ``other``, other values that do not fit are left out."""
    found: Row = {}
    for name, value in row.items():
        field = BY_NAME.get(name)
        if field is not None and (fit := _fit(field.kind, value)) is not None:
            found[name] = fit
    return found


def to_columns(row: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of a row that `checked` has passed."""
    found: dict[str, Any] = {}
    for name, value in row.items():
        kind = BY_NAME[name].kind
        if kind is FieldKind.WORDS:
            found[name] = f" {' '.join(value)} "
        elif kind is FieldKind.SCORES:
            found[name] = json.dumps(value, separators=(",", ":"))
        else:
            found[name] = value
    return found


def from_columns(names: Iterable[str], values: Iterable[Any]) -> Row:
    """The row of columns. What was never written is left out: a damaged value is no reason to lose the rest."""
    row: Row = {}
    for name, value in zip(names, values, strict=True):
        kind = BY_NAME[name].kind
        if value is None:
            continue
        if kind is FieldKind.FLAG:
            row[name] = bool(value)
        elif kind is FieldKind.WORDS:
            row[name] = str(value).split()
        elif kind is FieldKind.SCORES:
            if isinstance(scores := from_json(value, {}), dict):
                row[name] = scores
        else:
            row[name] = value
    return row


def texts_of(transcript: Transcript) -> Texts:
    """The texts of a transcript, with what is no Unicode text (lone surrogates) and NUL replaced."""
    return Texts(
        [(turn.role, _clean(turn.text)) for turn in transcript.turns],
        _clean(transcript.answer),
        _clean(transcript.reasoning),
        [(_clean(call.name), _clean(call.arguments)) for call in transcript.tool_calls],
        _clean(transcript.error),
        transcript.cut,
    )


TEXT_COLUMNS = "prompt, answer, reasoning, tool_calls, error, cut"


def texts_to_columns(texts: Texts) -> tuple[Any, ...]:
    """The values of `TEXT_COLUMNS`; NULL for what is empty."""
    return (
        json.dumps(texts.prompt, ensure_ascii=False) if texts.prompt else None,
        texts.answer or None,
        texts.reasoning or None,
        json.dumps(texts.tool_calls, ensure_ascii=False) if texts.tool_calls else None,
        texts.error or None,
        int(texts.cut),
    )


def texts_from_columns(values: Sequence[Any]) -> Texts:
    """The texts of the values of `TEXT_COLUMNS`."""
    prompt, answer, reasoning, tool_calls, error, cut = values
    return Texts(_pairs(prompt), answer or "", reasoning or "", _pairs(tool_calls), error or "", bool(cut))


def spoken(texts: Texts) -> str:
    """All that was said as one text, for the index. See the invariants of `layout`."""
    parts = [text for _, text in texts.prompt]
    parts += [texts.reasoning, texts.answer, texts.error]
    for name, arguments in texts.tool_calls:
        parts += [name, arguments]
    return "\n".join(part for part in parts if part)


def from_json(text: Any, otherwise: Any) -> Any:
    """What JSON says, or something else where it is none."""
    try:
        return json.loads(text)
    except (TypeError, ValueError):
        return otherwise


def _pairs(text: Any) -> list[tuple[str, str]]:
    found = from_json(text, [])
    return [(str(pair[0]), str(pair[1])) for pair in found if isinstance(pair, list) and len(pair) == 2]


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", _INVALID)


def _fit(kind: FieldKind, value: Any) -> Any:
    if kind is FieldKind.ID:
        return value if isinstance(value, str) and is_exchange_id(value) else None
    if kind is FieldKind.WORD:
        return _word(value)
    if kind is FieldKind.FLAG:
        return bool(value)
    if kind is FieldKind.WORDS:
        return list(dict.fromkeys(map(_word, value)))[:MAX_LIST] or None
    if kind is FieldKind.SCORES:
        scores = {name: float(score) for name, score in value.items() if identifier(str(name)) is not None}
        sound = [(name, score) for name, score in scores.items() if math.isfinite(score)]
        return {name: min(1.0, max(0.0, score)) for name, score in sound[:MAX_LIST]} or None
    return value if isinstance(value, int) and 0 <= value < _MOST else None


def _word(value: object) -> str:
    return identifier(str(value)) or "other"
