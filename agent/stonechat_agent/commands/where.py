"""Conditions on exchanges as people type them, compiled to SQL.

::

    ttft > 2s and toxic > 0.5 and model = "qwen" and (outcome != ok or finding = repetition)

    condition  = all { "or" all }
    all        = one { "and" one }
    one        = "not" one | "(" condition ")" | flag | comparison
    comparison = field ( "=" | "!=" | "<" | "<=" | ">" | ">=" ) value
               | field [ "not" ] "in" "(" value { "," value } ")"
               | field ( "~" | "!~" ) pattern
               | field "is" [ "not" ] ( "known" | "unknown" )

A field is one of ``exchange_row.FIELDS``, a score's name (or ``score.NAME``), or one of ``DERIVED``. A value needs
quotes only where it holds spaces or other characters than identifiers do. Durations and sizes carry their units. A
pattern is found anywhere in the text, whatever its case; ``*`` and ``?`` in it stand for any characters and for one.

What is unknown never matches, not even under ``not``; the exception are findings and notes, where nothing noted means
none. Values become parameters, names are looked up, and every other part of the SQL stands in this module. The tables
are those of ``stonechat_agent.journal.layout``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timezone
from typing import NamedTuple

from stonechat import units
from stonechat.exchange import Operation, Outcome, Provenance, Source
from stonechat.exchange_row import BY_NAME, FIELDS, FieldKind
from stonechat_agent.commands.arguments import WrongUsage
from stonechat_agent.commands.fields import SCORES

MAX_CHARACTERS = 10_000
MAX_COMPARISONS = 200
MAX_DEPTH = 40
"""Bounds that SQLite's own (depth of an expression 1000, parameters 999) lie beyond."""

DERIVED = {
    "decode_rate": "Tokens a second after the first, as decode and output_tokens have it.",
    "age": "Time since the request was accepted.",
    "text": "All texts that the journal keeps of it: prompt, answer, reasoning, tool calls, error.",
}
ALIASES = {"finding": "findings", "note": "notes"}

DECODE_RATE = (
    'CASE WHEN exchanges."output_tokens" >= 2 AND exchanges."decode" > 0'
    ' THEN (exchanges."output_tokens" - 1) * 1e6 / exchanges."decode" END'
)
"""Tokens a second as a column: engines' decode time begins with the first token."""

_PAIRS = "EXISTS (SELECT 1 FROM json_each(t.{0}) AS pair WHERE json_extract(pair.value, '$[1]') LIKE ? ESCAPE '\\')"
_SAID = " OR ".join(
    [
        *(f"t.{name} LIKE ? ESCAPE '\\'" for name in ("answer", "reasoning", "error")),
        *(_PAIRS.format(name) for name in ("prompt", "tool_calls")),
    ]
)
_KEPT = """(exchanges."texts" = 'kept')"""
_TEXTS = f"(CASE WHEN {_KEPT} THEN exchanges.seq IN (SELECT t.seq FROM texts AS t WHERE {_SAID}) END)"  # noqa: S608

_CLOSED: dict[str, tuple[str, ...]] = {
    "outcome": tuple(outcome.value for outcome in Outcome),
    "operation": tuple(operation.value for operation in Operation),
    "source": tuple(source.value for source in Source),
}
_PROVENANCES = tuple(provenance.value for provenance in Provenance)
_ORDERS = {"=": "=", "==": "=", "!=": "<>", "<>": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_EQUALITIES = {"=", "==", "!=", "<>"}
_KEYWORDS = ("and", "or", "not", "in", "is")
_NUMBER = re.compile(r"[0-9]{1,15}(\.[0-9]{1,15})?", re.ASCII)
_SCORE = re.compile(r"scores?\.([A-Za-z0-9_-]{1,64})", re.ASCII)
_TOKEN = re.compile(
    r"""(?P<space>\s+)
    |(?P<quoted>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    |(?P<operator><=|>=|!=|<>|==|!~|[=<>~(),])
    |(?P<word>[A-Za-z0-9._:/@+*?-]+)""",
    re.VERBOSE | re.ASCII | re.DOTALL,
)


class WhereError(WrongUsage):
    """A condition that cannot be read. The text shows the place, what stands there and what may stand there."""

    def __init__(self, text: str, at: int, found: str, expected: str) -> None:
        self.at, self.found, self.expected = at, found, expected
        shown = "".join(c if c.isprintable() else " " for c in text)
        start = max(0, at - 60)
        lead = "..." if start else ""
        line = lead + shown[start : at + 40] + ("..." if len(shown) > at + 40 else "")
        place = " " * (len(lead) + at - start) + "^"
        super().__init__(f"--where: {found}: expected {expected}\n  {line}\n  {place}")


class Condition(NamedTuple):
    """SQL for a WHERE clause over the journal's table of exchanges, and its parameters in their order."""

    sql: str
    parameters: tuple[object, ...]


class _Token(NamedTuple):
    kind: str  # "word", "quoted", "operator" or "end"
    text: str
    at: int

    @property
    def shown(self) -> str:
        return "the end" if self.kind == "end" else repr(self.text[:40])

    def is_word(self, *words: str) -> bool:
        return self.kind == "word" and self.text.lower() in words


class _Field(NamedTuple):
    """A field as SQL, what it holds, and how a value for it is read."""

    name: str
    sql: str
    parameters: tuple[object, ...]
    holds: str  # "text", "number", "flag", "words" or "texts"
    read: Callable[[_Token], object]  # raises ValueError("what was expected")
    flipped: bool = False  # whether more of the field is less of the column


def compile_condition(
    text: str,
    *,
    now_ms: int,
    scores: Sequence[str] = SCORES,
) -> Condition:
    """Return the SQL of a condition.

    Args:
        text: as in the module's docstring; blank is wrong.
        now_ms: ms since 1970, for ``age``.
        scores: names that count as scores without ``score.`` before them.

    Raises:
        WhereError: it is not in the grammar, beyond a bound, or names what is not there.
    """
    return _Parser(text, now_ms, scores).parse()


def names(scores: Sequence[str] = SCORES) -> list[str]:
    """Every name that a condition may hold, in the order of the docs."""
    return [*(field.name for field in FIELDS if field.name != "scores"), *DERIVED, *ALIASES, *scores]


def like(pattern: str) -> str:
    r"""Return a pattern of this grammar as one of SQL's LIKE with ``ESCAPE '\'``."""
    escaped = re.sub(r"([\\%_])", r"\\\1", pattern)
    return "%" + escaped.replace("*", "%").replace("?", "_") + "%"


def read_time(text: str) -> int:
    """Return ms since 1970 for an ISO date, with time or without; without a zone it is local time.

    Raises:
        ValueError: it is none, or no clock of a device can show it.
    """
    if re.match(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text, re.ASCII) is None:
        raise ValueError
    # Python reads a final Z since 3.11 only.
    moment = datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", text))
    if not 1970 < moment.year < 2248:  # the zone's arithmetic may overflow outside
        raise ValueError
    return round((moment - _EPOCH if moment.tzinfo else moment.astimezone() - _EPOCH).total_seconds() * 1000)


_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class _Parser:
    """Reads by recursive descent and writes SQL as it goes."""

    def __init__(self, text: str, now_ms: int, scores: Sequence[str]) -> None:
        self._text = text
        self._now_ms = now_ms
        self._scores = scores
        if len(text) > MAX_CHARACTERS:
            raise WhereError(
                text, MAX_CHARACTERS, f"{len(text)} characters", f"at most {MAX_CHARACTERS} characters"
            )
        self._tokens = list(_tokens(text))
        self._next = 0
        self._depth = 0
        self._comparisons = 0
        self._parameters: list[object] = []

    def parse(self) -> Condition:
        sql = self._any()
        if self._peek.kind != "end":
            raise self._wrong(self._peek, "'and', 'or' or the end")
        return Condition(sql, tuple(self._parameters))

    @property
    def _peek(self) -> _Token:
        return self._tokens[self._next]

    def _take(self) -> _Token:
        token = self._tokens[self._next]
        if token.kind != "end":
            self._next += 1
        return token

    def _wrong(self, token: _Token, expected: str) -> WhereError:
        return WhereError(self._text, token.at, f"found {token.shown}", expected)

    def _expect(self, operator: str, expected: str) -> None:
        if self._peek != ("operator", operator, self._peek.at):
            raise self._wrong(self._peek, expected)
        self._take()

    def _any(self) -> str:
        parts = [self._all()]
        while self._peek.is_word("or"):
            self._take()
            parts.append(self._all())
        return parts[0] if len(parts) == 1 else "(" + " OR ".join(parts) + ")"

    def _all(self) -> str:
        parts = [self._one()]
        while self._peek.is_word("and"):
            self._take()
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else "(" + " AND ".join(parts) + ")"

    def _one(self) -> str:
        token = self._peek
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise WhereError(
                self._text, token.at, f"nested more than {MAX_DEPTH} deep", "fewer parentheses and 'not'"
            )
        try:
            if token.is_word("not"):
                self._take()
                return f"NOT {self._one()}"
            if token[:2] == ("operator", "("):
                self._take()
                inside = self._any()
                self._expect(")", "')', 'and' or 'or'")
                return inside
            return self._comparison()
        finally:
            self._depth -= 1

    def _comparison(self) -> str:
        token = self._take()
        if token.kind != "word" or token.text.lower() in _KEYWORDS:
            raise self._wrong(token, "a field such as ttft, model or outcome")
        field = self._field(token)
        self._comparisons += 1
        if self._comparisons > MAX_COMPARISONS:
            raise WhereError(
                self._text, token.at, "one comparison too many", f"at most {MAX_COMPARISONS} comparisons"
            )
        operator = self._peek
        if field.holds == "flag" and (
            operator.kind == "end" or operator.is_word("and", "or") or operator.text == ")"
        ):
            return f"({field.sql} = 1)"
        self._take()
        if operator.is_word("is"):
            return self._is(field)
        if operator.is_word("in"):
            return self._in(field)
        if operator.is_word("not") and self._peek.is_word("in"):
            self._take()
            return f"NOT {self._in(field)}"
        if operator.kind == "operator" and operator.text in ("~", "!~"):
            negation = "NOT " if operator.text == "!~" else ""
            return negation + self._like(field, operator)
        if operator.kind == "operator" and operator.text in _ORDERS:
            return self._compare(field, operator)
        raise self._wrong(operator, _operators(field))

    def _compare(self, field: _Field, operator: _Token) -> str:
        if field.holds == "texts" or (field.holds in ("words", "flag") and operator.text not in _EQUALITIES):
            raise self._wrong(operator, _operators(field))
        value = self._value(field)
        if field.holds == "words":
            negation = "NOT " if operator.text in ("!=", "<>") else ""
            self._parameters.append(f" {value} ")
            return f"({negation}instr(COALESCE({field.sql}, ''), ?) > 0)"
        order = _ORDERS[operator.text]
        if field.flipped:
            order = order.translate(str.maketrans("<>", "><")) if order != "<>" else order
        self._parameters += [*field.parameters, value]
        return f"({field.sql} {order} ?)"

    def _in(self, field: _Field) -> str:
        if field.holds in ("texts", "flag"):
            raise self._wrong(self._tokens[self._next - 1], _operators(field))
        self._expect("(", "'(' and a list of values")
        values = [self._value(field)]
        while self._peek[:2] == ("operator", ","):
            self._take()
            values.append(self._value(field))
            self._comparisons += 1
            if self._comparisons > MAX_COMPARISONS:
                raise self._wrong(self._peek, f"at most {MAX_COMPARISONS} values and comparisons")
        self._expect(")", "',' or ')'")
        if field.holds == "words":
            self._parameters += [f" {value} " for value in values]
            return "(" + " OR ".join([f"instr(COALESCE({field.sql}, ''), ?) > 0"] * len(values)) + ")"
        self._parameters += [*field.parameters, *values]
        return f"({field.sql} IN ({', '.join('?' * len(values))}))"

    def _like(self, field: _Field, operator: _Token) -> str:
        if field.holds not in ("text", "words", "texts"):
            raise self._wrong(operator, _operators(field))
        token = self._take()
        if token.kind not in ("word", "quoted"):
            raise self._wrong(token, "a pattern such as 'qwen*'")
        pattern = like(_unquoted(token))
        if field.holds == "texts":
            self._parameters += [pattern] * _TEXTS.count("?")
            return _TEXTS
        self._parameters.append(pattern)
        column = f"COALESCE({field.sql}, '')" if field.holds == "words" else field.sql
        return f"({column} LIKE ? ESCAPE '\\')"

    def _is(self, field: _Field) -> str:
        negated = self._peek.is_word("not")
        if negated:
            self._take()
        token = self._take()
        if not token.is_word("known", "unknown"):
            raise self._wrong(token, "'known' or 'unknown'")
        known = token.is_word("known") != negated
        if field.holds == "texts":
            return _KEPT if known else f"(NOT {_KEPT})"
        self._parameters += field.parameters
        return f"({field.sql} IS {'NOT ' if known else ''}NULL)"

    def _value(self, field: _Field) -> object:
        token = self._take()
        if token.kind not in ("word", "quoted"):
            raise self._wrong(token, f"a value for {field.name}")
        try:
            return field.read(token)
        except ValueError as error:
            raise self._wrong(token, str(error)) from None

    def _field(self, token: _Token) -> _Field:
        name = ALIASES.get(token.text, token.text)
        if name in self._scores or _SCORE.fullmatch(name):
            match = _SCORE.fullmatch(name)
            score = match[1] if match else name
            return _Field(name, 'json_extract(exchanges."scores", ?)', (f'$."{score}"',), "number", _score)
        if name == "age":
            return _Field(name, 'exchanges."start"', (), "number", self._age, flipped=True)
        if name == "decode_rate":
            return _Field(name, f"({DECODE_RATE})", (), "number", _plain_number)
        if name == "text":
            return _Field(name, "", (), "texts", _word)
        stored = BY_NAME.get(name)
        if stored is None or stored.kind is FieldKind.SCORES:
            raise WhereError(self._text, token.at, f"no field {token.shown}", self._nearest(token.text))
        return _stored(name, stored.kind)

    def _nearest(self, word: str) -> str:
        from stonechat.kinds import nearest  # only a mistyped name pays for it

        known = names(self._scores)
        meant = nearest(word.lower(), known)
        if meant is not None:
            return f"'{meant}'?"
        return "one of " + ", ".join(known)

    def _age(self, token: _Token) -> object:
        return self._now_ms - _duration(token) / 1000


def _stored(name: str, kind: FieldKind) -> _Field:
    column = f'exchanges."{name}"'
    if kind is FieldKind.FLAG:
        return _Field(name, column, (), "flag", _flag)
    if kind is FieldKind.TIME:
        return _Field(name, column, (), "number", _time)
    if kind in (FieldKind.DURATION, FieldKind.OFFSET):
        return _Field(name, column, (), "number", _duration)
    if kind is FieldKind.COUNT:
        read = _size if name.endswith("_bytes") else _plain_number
        return _Field(name, column, (), "number", read)
    if kind is FieldKind.WORDS:
        return _Field(name, column, (), "words", _word)
    closed = _PROVENANCES if name.endswith("_from") else _CLOSED.get(name)
    return _Field(name, column, (), "text", _word if closed is None else _one_of(closed))


def _operators(field: _Field) -> str:
    return {
        "texts": "'~' and a pattern, or 'is known'",
        "words": "'=', '!=', 'in', '~' or 'is'",
        "flag": "'= true', '= false' or 'is'",
        "text": "a comparison such as '=', 'in', '~' or 'is'",
    }.get(field.holds, "a comparison such as '>', '<=', 'in' or 'is'")


def _tokens(text: str) -> Iterator[_Token]:
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            if text[at] in "\"'":
                raise WhereError(text, at, "a quote that never ends", f"another {text[at]}")
            raise WhereError(
                text, at, f"found {text[at]!r}", "a field, an operator, or quotes around a value"
            )
        kind = match.lastgroup or ""
        if kind == "quoted" and not _is_storable(match[0]):
            raise WhereError(text, at, "a character that no text holds", "valid Unicode")
        if kind != "space":
            yield _Token(kind, match[0], at)
        at = match.end()
    yield _Token("end", "", len(text))


def _is_storable(text: str) -> bool:
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _unquoted(token: _Token) -> str:
    return (
        re.sub(r"\\(.)", r"\1", token.text[1:-1], flags=re.DOTALL) if token.kind == "quoted" else token.text
    )


def _word(token: _Token) -> object:
    return _unquoted(token)


def _one_of(closed: tuple[str, ...]) -> Callable[[_Token], object]:
    def read(token: _Token) -> object:
        word = _unquoted(token)
        if word not in closed:
            raise ValueError(", ".join(closed[:-1]) + f" or {closed[-1]}")
        return word

    return read


def _flag(token: _Token) -> object:
    word = _unquoted(token).lower()
    if word not in ("true", "false", "yes", "no"):
        raise ValueError("true or false")
    return int(word in ("true", "yes"))


def _plain_number(token: _Token) -> object:
    text = _unquoted(token)
    if _NUMBER.fullmatch(text) is None:
        raise ValueError("a number such as 100, below 1e15")
    return float(text) if "." in text else int(text)


def _score(token: _Token) -> object:
    text = _unquoted(token)
    if _NUMBER.fullmatch(text) is None:
        raise ValueError("a number from 0 to 1, such as 0.5")
    return float(text)


def _duration(token: _Token) -> float:
    """Microseconds."""
    text = _unquoted(token)
    try:
        return units.parse_duration(text) / 1000
    except ValueError:
        hint = f"; did you mean {text}s or {text}ms?" if _NUMBER.fullmatch(text) else ""
        raise ValueError(f"a duration with its unit, such as 250ms, 2s or 1h{hint}") from None


def _size(token: _Token) -> object:
    text = _unquoted(token)
    if _NUMBER.fullmatch(text):
        return _plain_number(token)
    try:
        return units.parse_size(text)
    except ValueError:
        raise ValueError("a size such as 500B, 10kB or 1MiB") from None


def _time(token: _Token) -> object:
    try:
        return read_time(_unquoted(token))
    except ValueError:
        raise ValueError(
            "a time such as 2026-05-01 or '2026-05-01 14:30'; or use age, as in age < 1h"
        ) from None
