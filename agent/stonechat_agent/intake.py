"""From what an application or a file tells of an exchange to an `Exchange`. Pure: dicts in, exchanges out.

Two shapes are read, told apart by the key ``id``:

- A *record*, as applications write it (docs/record.md): durations are seconds, texts are ``prompt`` or ``messages``,
  ``response``, ``reasoning``, ``tool_calls`` and ``error``.
- A *row*, as ``stonechat export`` writes it: the fields of ``stonechat.exchange_row`` in their own units (whole
  microseconds), users and conversations as pseudonyms, and the texts that the journal had, under the keys of a record.

Both are read strictly: a key that is not known, or a value of another kind, refuses the whole object, and the reason
names the key and never holds a text. A key that is absent or null is unknown.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from stonechat.errors import StonechatError
from stonechat.exchange import Exchange, Operation, Outcome, Provenance, Quantity, Source
from stonechat.exchange_row import BY_NAME, MAX_LIST
from stonechat.ids import identifier, is_exchange_id, is_pseudonym
from stonechat.transcript import ROLES, ToolCall, Transcript, Turn
from stonechat_agent.capture.errors import ERROR_TYPES, error_type, finish_reason

ANSWER_CHARACTERS = 65_536
PROMPT_CHARACTERS = 65_536
OTHER_CHARACTERS = 16_384
"""Most that is kept of an answer, of a prompt (its latest turns), and of reasoning, of tool calls and of an error."""
MAX_TOOLS = 64
MAX_TURNS = 2048
"""Turns of a prompt, the latest, and parts of one of them, the first, that are looked at."""
MAX_NAME = 256

_MOST = 1 << 53  # as a count, and as nanoseconds: 104 days
_MOST_MS = 253_402_300_799_999  # the end of the year 9999
_NS = 1_000_000_000
_ISO = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:[.,](\d{1,9}))?(Z|z|[+-]\d\d:?\d\d)?", re.ASCII)

_PHASES = {
    "queue": "queue_duration",
    "load": "load_duration",
    "prefill": "prefill_duration",
    "decode": "decode_duration",
}
_TOKENS = ("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens")
_PLAIN_COUNTS = ("context_tokens", "context_limit", "request_bytes", "response_bytes", "chunks")
_RECORD_OFFSETS = {"duration": "last_byte_ns", "time_to_first_token": "first_token_ns"}
_ROW_OFFSETS = {
    "request_complete": "request_complete_ns",
    "connected": "connected_ns",
    "ttfb": "first_byte_ns",
    "ttft": "first_token_ns",
    "ttfc": "first_content_ns",
    "duration": "last_byte_ns",
    "closed": "closed_ns",
}
_TEXTS = frozenset(
    {"prompt", "messages", "response", "reasoning", "tool_calls", "error", "tools", "wants_json", "cut"}
)
_SHARED = frozenset(
    {
        *("start", "engine", "model", "request_model", "operation", "dialect", "streamed", "outcome"),
        *(
            "error_type",
            "status",
            "finish_reason",
            "conversation",
            "user",
            *_PLAIN_COUNTS,
            *_TOKENS,
            *_PHASES,
        ),
        *(f"{name}_from" for name in (*_TOKENS, *_PHASES)),
    }
)
RECORD_KEYS = _SHARED | _TEXTS | frozenset({*_RECORD_OFFSETS, "provenance"})
"""Every key of a record."""
ROW_KEYS = frozenset(BY_NAME) | _TEXTS
"""Every key of a row."""

_MEANT = {
    "answer": "response",
    "completion": "response",
    "output": "response",
    "text": "response",
    "input": "prompt",
    "latency": "duration",
    "elapsed": "duration",
    "ttft": "time_to_first_token",
    "timestamp": "start",
    "time": "start",
    "session": "conversation",
    "session_id": "conversation",
    "conversation_id": "conversation",
    "user_id": "user",
    "prompt_tokens": "input_tokens",
    "completion_tokens": "output_tokens",
    "stream": "streamed",
    "status_code": "status",
}


class Unfit(StonechatError):
    """An object that cannot be taken as an exchange. The text says which key, and what it must be."""


def to_exchange(
    told: object,
    *,
    source: Source,
    engines: Sequence[str],
    now_ns: int,
    now_ms: int,
) -> Exchange:
    """Return the exchange that an application or a file tells of.

    Its instants are laid out on a line of their own that ends at ``now_ns``: only their differences mean something.

    Args:
        told: a record or a row, as JSON gave it.
        engines: the names that ``engine`` may have; the first is the default. Empty: any identifier, ``engine`` where
            there is none.
        now_ns: where the exchange's end is put on the monotonic clock.
        now_ms: the wall clock, ms since 1970, at which the exchange ended unless it says when it began.

    Raises:
        Unfit: see there.
    """
    if not isinstance(told, dict):
        raise Unfit('must be an object, such as {"prompt": "...", "response": "..."}')
    is_row = "id" in told
    keys = ROW_KEYS if is_row else RECORD_KEYS
    for key in told:
        if key not in keys:
            raise Unfit(_unknown(key, keys))
    given = {key: value for key, value in told.items() if value is not None}
    if not given:
        raise Unfit('is empty: say at least what came of it, such as {"model": "...", "response": "..."}')
    exchange = Exchange(engine=_engine(given, engines), source=source)
    if is_row:
        _row_only(given, exchange)
    _identifiers(given, exchange)
    _end(given, exchange)
    _figures(given, exchange, is_row)
    _instants(given, exchange, is_row, now_ns, now_ms)
    _texts(given, exchange, is_row)
    return exchange


def _unknown(key: object, keys: frozenset[str]) -> str:
    from stonechat.kinds import nearest

    word = key if isinstance(key, str) else ""
    shown = identifier(word) or "that"
    meant = _MEANT.get(word.lower())
    if meant is None or meant not in keys:
        meant = nearest(word[:MAX_NAME], sorted(keys))
    return f"no key '{shown}' is known" + (f": did you mean '{meant}'?" if meant else "")


def _row_only(given: Mapping[str, Any], exchange: Exchange) -> None:
    value = given.get("id")
    if not isinstance(value, str) or not is_exchange_id(value):
        raise Unfit("id: must be the id of an exchange, as the journal gave it; leave it out in a new record")
    findings, notes = _words(given, "findings"), _words(given, "notes")
    scores = given.get("scores", {})
    if not isinstance(scores, dict) or len(scores) > MAX_LIST:
        raise Unfit("scores: must be an object of numbers from 0 to 1")
    for name, score in scores.items():
        if identifier(name) is None or type(score) not in (int, float) or not 0 <= score <= 1:
            raise Unfit("scores: must be numbers from 0 to 1 by identifiers")
    if exchange.source is Source.REPLAY:
        # What an application sends gets an id and judgements of its own: it must not stand in for another's.
        exchange.id, exchange.findings, exchange.notes = value, findings, set(notes)
        exchange.scores = {name: float(score) for name, score in scores.items()}


def _words(given: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = given.get(key, [])
    fits = isinstance(value, list) and len(value) <= MAX_LIST
    if not fits or not all(isinstance(word, str) and identifier(word) for word in value):
        raise Unfit(f"{key}: must be a list of identifiers, {MAX_LIST} at most")
    return tuple(value)


def _engine(given: Mapping[str, Any], engines: Sequence[str]) -> str:
    value = given.get("engine")
    if value is None:
        return engines[0] if engines else "engine"
    if isinstance(value, str):
        if engines and value in engines:
            return value
        if not engines and (name := identifier(value)) is not None:
            return name
    expected = f"one of the agent's engines: {', '.join(engines)}" if engines else "an identifier"
    raise Unfit(f"engine: must be {expected}")


def _identifiers(given: Mapping[str, Any], exchange: Exchange) -> None:
    exchange.response_model = _name(given, "model")
    exchange.request_model = _name(given, "request_model")
    exchange.dialect = _name(given, "dialect")
    exchange.operation = _one_of(given, "operation", Operation, Operation.CHAT)
    streamed = given.get("streamed")
    if streamed is not None and not isinstance(streamed, bool):
        raise Unfit("streamed: must be true or false")
    exchange.streamed = streamed


def _name(given: Mapping[str, Any], key: str) -> str | None:
    value = given.get(key)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise Unfit(f"{key}: must be text")
    return identifier(value) or "other"


def _one_of(given: Mapping[str, Any], key: str, kind: Any, default: Any) -> Any:
    value = given.get(key)
    if value is None:
        return default
    try:
        return kind(value)
    except ValueError:
        raise Unfit(f"{key}: must be one of {', '.join(member.value for member in kind)}") from None


def _end(given: Mapping[str, Any], exchange: Exchange) -> None:
    """How it ended: outcome, status, error type, finish reason."""
    status = given.get("status")
    if status is not None and (type(status) is not int or not 100 <= status <= 599):
        raise Unfit("status: must be a status of HTTP, 100 to 599")
    exchange.status = status
    named = given.get("error_type")
    message = given.get("error")
    for key, value in (
        ("error_type", named),
        ("error", message),
        ("finish_reason", given.get("finish_reason")),
    ):
        if value is not None and not isinstance(value, str):
            raise Unfit(f"{key}: must be text")
    failed = named is not None or message is not None or (status is not None and status >= 400)
    exchange.outcome = _one_of(given, "outcome", Outcome, Outcome.ERROR if failed else Outcome.OK)
    if exchange.outcome is Outcome.ERROR:
        if named is not None:
            exchange.error_type = named if named in ERROR_TYPES else None
        else:
            found = error_type(status, {"error": message or ""})
            # Without a status nothing says that a stream broke: the type is then unknown.
            exchange.error_type = None if status is None and found == "stream_error" else found
    exchange.finish_reason = finish_reason(given.get("finish_reason"))


def _figures(given: Mapping[str, Any], exchange: Exchange, is_row: bool) -> None:
    general = _one_of(given, "provenance", Provenance, Provenance.OBSERVED)

    def provenance(key: str) -> Provenance:
        found: Provenance = _one_of(given, f"{key}_from", Provenance, general)
        return found

    for key in _TOKENS:
        if (number := _count(given, key)) is not None:
            setattr(exchange, key, Quantity(number, provenance(key)))
    for key, attribute in _PHASES.items():
        if (span := _span(given, key, is_row)) is not None:
            setattr(exchange, attribute, Quantity(span, provenance(key)))
    for key in _PLAIN_COUNTS:
        if (number := _count(given, key)) is not None:
            setattr(exchange, key, number)
    if exchange.context_tokens is None and exchange.input_tokens and exchange.output_tokens:
        exchange.context_tokens = exchange.input_tokens.value + exchange.output_tokens.value


def _count(given: Mapping[str, Any], key: str) -> int | None:
    value = given.get(key)
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST:
        return value
    raise Unfit(f"{key}: must be a whole number, 0 or more")


def _span(given: Mapping[str, Any], key: str, is_row: bool) -> int | None:
    """A duration in nanoseconds."""
    value = given.get(key)
    if value is None:
        return None
    if is_row:
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST // 1000:
            return value * 1000
        raise Unfit(f"{key}: must be whole microseconds, 0 or more, in an object that has an id")
    # NaN fails the comparison.
    if type(value) not in (int, float) or not 0 <= value < _MOST / _NS:
        raise Unfit(f"{key}: must be seconds, 0 or more")
    seconds: float = value
    return round(seconds * _NS)


def _instants(given: Mapping[str, Any], exchange: Exchange, is_row: bool, now_ns: int, now_ms: int) -> None:
    offsets: dict[str, int] = {}
    for key, attribute in (_ROW_OFFSETS if is_row else _RECORD_OFFSETS).items():
        if (span := _span(given, key, is_row)) is not None:
            offsets[attribute] = span
    end, first = offsets.get("last_byte_ns"), offsets.get("first_token_ns")
    if not is_row and end is not None and first is not None and first > end:
        raise Unfit("time_to_first_token: must not be beyond duration")
    whole = max(offsets.values(), default=0)
    exchange.accepted_ns = now_ns - whole
    for attribute, span in offsets.items():
        setattr(exchange, attribute, exchange.accepted_ns + span)
    start = given.get("start")
    exchange.wall_ms = now_ms - whole // 1_000_000 if start is None else _start(start)
    if (
        not is_row
        and exchange.decode_duration is None
        and end is not None
        and first is not None
        and end > first
    ):
        # As the relay has it from the first token to the last, but the last byte may have come after that.
        exchange.decode_duration = Quantity(end - first, Provenance.ESTIMATED)


def _start(value: object) -> int:
    if isinstance(value, str):
        value = _iso(value)
    if (type(value) is int or type(value) is float) and 0 <= value <= _MOST_MS:
        return int(value)
    raise Unfit("start: must be ISO 8601, such as 2026-01-31T12:00:00Z, or milliseconds since 1970")


def _iso(text: str) -> int | None:
    """Ms since 1970; None for what is no date and time. Python before 3.11 knows but a part of the forms."""
    match = _ISO.fullmatch(text)
    if match is None:
        return None
    day, time, fraction, zone = match.groups()
    if zone is None:
        raise Unfit("start: must name its time zone, such as 2026-01-31T12:00:00Z")
    offset = "+00:00" if zone in "Zz" else f"{zone[:3]}:{zone[-2:]}"
    try:
        told = datetime.fromisoformat(f"{day}T{time}.{(fraction or '')[:6]:0<6}{offset}")
    except ValueError:
        return None
    return round(told.timestamp() * 1000)


def _texts(given: Mapping[str, Any], exchange: Exchange, is_row: bool) -> None:
    transcript = Transcript()
    if "prompt" in given and "messages" in given:
        raise Unfit("prompt: must not be given together with messages")
    if "prompt" in given:
        transcript.turns = _bounded_turns([Turn("user", _text(given["prompt"], "prompt"))], transcript)
    elif "messages" in given:
        transcript.turns = _bounded_turns(_turns(given["messages"], transcript), transcript)
    for key, attribute, bound in (
        ("response", "answer", ANSWER_CHARACTERS),
        ("reasoning", "reasoning", OTHER_CHARACTERS),
        ("error", "error", OTHER_CHARACTERS),
    ):
        if key in given:
            setattr(transcript, attribute, _bounded(_text(given[key], key), bound, transcript))
    if "response" not in given and not given.get("tool_calls") and exchange.outcome is Outcome.OK:
        transcript.cut = True  # an answer that was not told of is not an empty one
    calls = given.get("tool_calls")
    if type(calls) is int and 0 <= calls < _MOST:
        exchange.tool_calls = calls
    elif calls is not None:
        transcript.tool_calls = _tool_calls(calls, transcript)
        exchange.tool_calls = len(calls)
    tools = given.get("tools", [])
    if not isinstance(tools, list) or not all(isinstance(tool, str) for tool in tools):
        raise Unfit("tools: must be a list of the names of the tools that were offered")
    transcript.tools = tuple(identifier(tool) or "other" for tool in tools[:MAX_TOOLS])
    for key in ("wants_json", "cut"):
        value = given.get(key, False)
        if not isinstance(value, bool):
            raise Unfit(f"{key}: must be true or false")
        if value:
            setattr(transcript, key, True)
    for key in ("user", "conversation"):
        value = given.get(key)
        if value is None or value == "":
            continue
        if not isinstance(value, str) or len(value) > MAX_NAME:
            raise Unfit(f"{key}: must be text of {MAX_NAME} characters at most")
        if is_row and is_pseudonym(value):  # never made into another
            setattr(exchange, key, value)
        else:
            setattr(transcript, key, _whole(value))
    said = (
        transcript.user,
        transcript.conversation,
        transcript.turns,
        transcript.answer,
        transcript.reasoning,
        transcript.tool_calls,
        transcript.error,
    )
    if not is_row or any(said):
        exchange.transcript = transcript


def _text(value: object, key: str) -> str:
    if not isinstance(value, str):
        raise Unfit(f"{key}: must be text")
    return _whole(value)


def _whole(text: str) -> str:
    """The text without lone surrogates, which no file and no wire takes."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _bounded(text: str, bound: int, transcript: Transcript) -> str:
    if len(text) > bound:
        transcript.cut = True
    return text[:bound]


def _bounded_turns(turns: list[Turn], transcript: Transcript) -> list[Turn]:
    """The latest turns that fit: what was asked last matters most."""
    kept: list[Turn] = []
    room = PROMPT_CHARACTERS
    for turn in reversed(turns):
        if room <= 0:
            transcript.cut = True
            break
        kept.append(Turn(turn.role, _bounded(turn.text, room, transcript)))
        room -= len(turn.text) + 64
    return kept[::-1]


def _turns(messages: object, transcript: Transcript) -> list[Turn]:
    expected = 'messages: must be a list of {"role": "user", "content": "..."}'
    if not isinstance(messages, list):
        raise Unfit(expected)
    turns = []
    transcript.cut |= len(messages) > MAX_TURNS
    for message in messages[-MAX_TURNS:]:  # a megabyte holds 340,000, and this runs on the relay's loop
        if not isinstance(message, dict) or not isinstance(message.get("role", "user"), str):
            raise Unfit(expected)
        role = {"developer": "system", "function": "tool"}.get(
            message.get("role", "user"), message.get("role")
        )
        content = _content(message.get("content"), expected, transcript)
        turns.append(Turn(role if role in ROLES else "other", content))
    return turns


def _content(content: object, expected: str, transcript: Transcript) -> str:
    if content is None:  # a turn of the model that only called tools
        return ""
    if isinstance(content, str):
        return _whole(content)
    if not isinstance(content, list) or not all(isinstance(part, dict) for part in content):
        raise Unfit(expected)
    pieces = []
    transcript.cut |= len(content) > MAX_TURNS
    for part in content[:MAX_TURNS]:
        text, kind = part.get("text"), str(part.get("type", ""))
        if isinstance(text, str):
            pieces.append(_whole(text))
        else:
            pieces.append("[image]" if "image" in kind else "[audio]" if "audio" in kind else "[file]")
    return "\n".join(pieces)


def _tool_calls(calls: object, transcript: Transcript) -> list[ToolCall]:
    expected = 'tool_calls: must be a list of {"name": "...", "arguments": "..."}'
    if not isinstance(calls, list):
        raise Unfit(expected)
    found: list[ToolCall] = []
    room = OTHER_CHARACTERS
    for call in calls:
        function = call.get("function", call) if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise Unfit(expected)
        arguments = function.get("arguments", "")
        if not isinstance(arguments, str):
            arguments = _as_json(arguments)
        if room <= 0 or len(found) >= MAX_TOOLS:
            transcript.cut = True
            continue
        text = _bounded(_whole(arguments), room, transcript)
        found.append(ToolCall(identifier(function["name"]) or "other", text))
        room -= len(text) + 64
    return found


def _as_json(value: object) -> str:
    import json

    return json.dumps(value, ensure_ascii=False)


Accept = Callable[[Exchange], object]
"""What takes an exchange on, such as ``Pipeline.put``. It must not wait."""
