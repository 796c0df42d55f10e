"""Bytes that no engine and no client would send: nothing is raised, nothing grows, and the rest is read on."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.agent.capture.corpus import CORPUS, Piece, Played, Recorded, cut, play, timed

from stonechat.transcript import ROLES, Transcript
from stonechat_agent.capture import (
    DROP_REASONS,
    ERROR_TYPES,
    FINISH_REASONS,
    ROUTES,
    Bounds,
    Budget,
    Connection,
    Counts,
)
from stonechat_agent.capture.reading import MOST_CALLS, load_object

NOTES = {
    "body_over_bound",
    "request_body_over_bound",
    "coding_unreadable",
    "request_coding_unreadable",
    "piece_malformed",
    "parser_failed",
    "context_full",
    "load_only",
}


def check_sane(played: Played) -> None:
    """What holds for any bytes: closed sets stay closed, and all is given back."""
    assert set(played.counts.dropped) <= set(DROP_REASONS)
    assert "internal" not in played.counts.dropped
    assert "body" not in played.counts.dropped
    assert played.counts.in_flight == 0
    assert played.budget.used == 0
    assert played.budget.texts.used == 0
    for exchange in played.exchanges:
        if exchange.transcript is not None:
            check_texts(exchange.transcript)
        assert exchange.tool_calls <= MOST_CALLS
        assert exchange.error_type is None or exchange.error_type in ERROR_TYPES
        assert exchange.finish_reason is None or exchange.finish_reason in FINISH_REASONS
        assert exchange.notes <= NOTES
        for name in ("queue_duration", "load_duration", "prefill_duration", "decode_duration"):
            quantity = getattr(exchange, name)
            assert quantity is None or quantity.value >= 0


def check_texts(transcript: Transcript) -> None:
    """What holds for the texts of any bytes: they can be stored, and are within their bounds."""
    bounds = Bounds()
    assert prompt_size(transcript) <= bounds.prompt_chars
    assert {turn.role for turn in transcript.turns} <= set(ROLES)
    assert len(transcript.answer) <= bounds.answer_chars
    assert len(transcript.reasoning) <= bounds.answer_chars
    assert sum(len(call.name) + len(call.arguments) for call in transcript.tool_calls) <= bounds.answer_chars
    assert len(transcript.error) <= 4096
    assert len(transcript.user) <= 256
    assert len(transcript.conversation) <= 256
    for text in every_text(transcript):
        text.encode()


def prompt_size(transcript: Transcript) -> int:
    return sum(len(turn.text) + 64 for turn in transcript.turns)


def every_text(transcript: Transcript) -> list[str]:
    return [
        transcript.answer,
        transcript.reasoning,
        transcript.error,
        transcript.user,
        transcript.conversation,
        *transcript.tools,
        *(part for call in transcript.tool_calls for part in call),
        *(turn.text for turn in transcript.turns),
    ]


def mutate(data: bytes, random: Random) -> bytes:
    changed = bytearray(data)
    for _ in range(random.randrange(1, 8)):
        place = random.randrange(len(changed) + 1)
        match random.randrange(4):
            case 0:
                changed[place:place] = random.randbytes(random.randrange(1, 9))
            case 1:
                del changed[place : place + random.randrange(1, 40)]
            case 2:
                changed[place:place] = changed[place : place + random.randrange(1, 80)]
            case _:
                changed[place : place + 1] = random.choice(
                    [b"\r", b"\n", b"\0", b'"', b"{", b"-", b"9", b":"]
                )
    return bytes(changed)


@settings(max_examples=settings().max_examples * 5)
@given(seed=st.randoms(use_true_random=False))
def test_mutated_connections_raise_nothing(seed: Random) -> None:
    recorded = seed.choice(CORPUS)
    spans = [(side, mutate(data, seed) if seed.random() < 0.7 else data) for side, data in recorded.spans()]
    size = sum(len(data) for _, data in spans)
    places = [seed.randrange(size + 1) for _ in range(seed.randrange(6))]
    check_sane(play(timed(cut(spans, places)), recorded.end, recorded.bounds))


@given(pieces=st.lists(st.tuples(st.booleans(), st.binary(min_size=1, max_size=200)), max_size=20))
def test_random_bytes_raise_nothing(pieces: Sequence[tuple[bool, bytes]]) -> None:
    check_sane(play(timed(pieces), "engine_closed", Bounds()))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FIELDS = [
    "choices",
    "delta",
    "message",
    "content",
    "model",
    "usage",
    "timings",
    "metrics",
    "error",
    "done",
    "done_reason",
    "stop",
    "stop_type",
    "response",
    "prompt_tokens",
    "completion_tokens",
    "prompt_ms",
    "predicted_ms",
    "prompt_n",
    "cache_n",
    "predicted_n",
    "queue_time_ms",
    "type",
    "code",
    "time_to_first_token_ms",
    "generation_time_ms",
    "eval_duration",
    "total_duration",
    "generation_settings",
    "n_ctx",
    "index",
    "prompt_tokens_details",
    "cached_tokens",
    "finish_reason",
    "tool_calls",
    "thinking",
    "reasoning",
    "tokens_predicted",
    "truncated",
    "messages",
    "role",
    "text",
    "input",
    "prompt",
    "system",
    "instructions",
    "system_prompt",
    "tools",
    "function",
    "name",
    "arguments",
    "format",
    "response_format",
    "user",
    "metadata",
    "conversation",
    "output",
    "item",
    "item_id",
    "output_index",
    "response",
    "status",
    "incomplete_details",
    "content_block",
    "partial_json",
    "stop_reason",
    "input_tokens",
    "cache_read_input_tokens",
    "stats",
    "tokens_per_second",
    "result",
    "tool",
    "embedding",
    "embeddings",
    "data",
    "images",
    "id",
]
KINDS = [
    "message_start",
    "content_block_start",
    "content_block_delta",
    "message_delta",
    "message_stop",
    "text_delta",
    "input_json_delta",
    "tool_use",
    "tool_result",
    "text",
    "image",
    "error",
    "response.output_text.delta",
    "response.output_item.added",
    "response.output_item.done",
    "response.function_call_arguments.delta",
    "response.completed",
    "response.incomplete",
    "function_call",
    "function_call_output",
    "message",
    "message.delta",
    "tool_call.start",
    "tool_call.arguments",
    "prompt_processing.start",
    "prompt_processing.end",
    "chat.end",
]
PATHS = [path for path, found in ROUTES.items() if found.dialect is not None]
typed = st.tuples(
    st.dictionaries(st.sampled_from(FIELDS), json_values, max_size=8), st.sampled_from(KINDS)
).map(lambda pair: {**pair[0], "type": pair[1]})
shaped = st.recursive(
    json_values | typed,
    lambda inner: (
        st.dictionaries(st.sampled_from(FIELDS), inner, max_size=8)
        | st.tuples(st.dictionaries(st.sampled_from(FIELDS), inner, max_size=8), st.sampled_from(KINDS)).map(
            lambda pair: {**pair[0], "type": pair[1]}
        )
        | st.lists(inner, max_size=3)
    ),
    max_leaves=12,
)


@given(
    path=st.sampled_from(PATHS),
    kind=st.sampled_from(["text/event-stream", "application/x-ndjson", "application/json"]),
    status=st.sampled_from([200, 400, 503]),
    values=st.lists(shaped, min_size=1, max_size=4),
)
def test_any_json_in_any_place_raises_nothing(
    path: str, kind: str, status: int, values: list[object]
) -> None:
    separator, prefix = ("\n\n", "data: ") if kind == "text/event-stream" else ("\n", "")
    body = "".join(prefix + json.dumps(value) + separator for value in values).encode()
    request = json.dumps(values[0]).encode()
    check_sane(
        play(
            timed(
                [
                    (
                        True,
                        b"POST %s HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (path.encode(), len(request))
                        + request,
                    ),
                    (
                        False,
                        b"HTTP/1.1 %d OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n"
                        % (status, kind.encode(), len(body))
                        + body,
                    ),
                ]
            ),
            "client_closed",
            Bounds(),
        )
    )


def bodies(recorded: Recorded) -> tuple[bytes, object, bytes, list[object]] | None:
    """Return a plain exchange's path, request, content type and pieces, or whole, of its answer; None for others."""
    if len(recorded.turns) != 1 or recorded.opaque or recorded.dropped:
        return None
    (sent, got), head = recorded.turns[0], recorded.response.partition(b"\r\n\r\n")[0]
    body = got.partition(b"\r\n\r\n")[2]
    if b"chunked" in head:
        pieces = []
        while body and (size := int(body.partition(b"\r\n")[0], 16)):
            start = body.index(b"\r\n") + 2
            pieces.append(body[start : start + size])
            body = body[start + size + 2 :]
        body = b"".join(pieces)
    kind = b"text/event-stream" if b"event-stream" in head else b"application/x-ndjson"
    try:
        request = json.loads(sent.partition(b"\r\n\r\n")[2])
        lines = [line.removeprefix(b"data:") for line in body.splitlines() if b"{" in line]
        return sent.split(b" ")[1], request, kind, [json.loads(line) for line in lines]
    except ValueError:
        return None


PLAIN = [found for recorded in CORPUS if (found := bodies(recorded)) is not None]


def damage(value: Any, random: Random) -> Any:
    """Return a copy of JSON in which something is of another kind than it was."""
    if isinstance(value, dict) and value and random.random() < 0.9:
        key = random.choice(list(value))
        return {**value, key: damage(value[key], random)}
    if isinstance(value, list) and value and random.random() < 0.9:
        at = random.randrange(len(value))
        return [*value[:at], damage(value[at], random), *value[at + 1 :]]
    wrong: list[Any] = [
        None,
        True,
        0,
        -1,
        2**53,
        1e308,
        0.5,
        "",
        "\ud800",
        "x" * 300,
        [],
        [None],
        [[]],
        {},
        {"a": {}},
    ]
    return random.choice([*wrong, [value] * 3, {"text": value}, {"content": value}, {"id": value}])


@settings(max_examples=settings().max_examples * 5)
@given(seed=st.randoms(use_true_random=False))
def test_values_of_any_kind_where_others_are_expected_raise_nothing(seed: Random) -> None:
    path, request, kind, values = seed.choice(PLAIN)
    for _ in range(seed.randrange(1, 4)):
        if seed.random() < 0.4:
            request = damage(request, seed)
        elif values:
            at = seed.randrange(len(values))
            values = [*values[:at], damage(values[at], seed), *values[at + 1 :]]
    if len(values) == 1:
        kind = b"application/json"
    form = b"data: %b\n\n" if kind == b"text/event-stream" else b"%b\n"
    check_sane(
        exchanged(path, request, kind, b"".join(form % json.dumps(value).encode() for value in values))
    )


def exchanged(path: bytes, request: object, kind: bytes, body: bytes, bounds: Bounds | None = None) -> Played:
    asked = request if isinstance(request, bytes) else json.dumps(request).encode()
    return play(
        timed(
            [
                (True, b"POST %b HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (path, len(asked), asked)),
                (
                    False,
                    b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b"
                    % (kind, len(body), body),
                ),
            ]
        ),
        "client_closed",
        bounds or Bounds(),
    )


ONE_PATH_EACH = list({found.dialect: path for path, found in ROUTES.items() if found.dialect}.values())


@pytest.mark.parametrize("path", ONE_PATH_EACH)
def test_a_line_of_a_mebibyte_is_read_or_left_and_never_raises(path: str) -> None:
    text = "x" * ((1 << 20) - 100)
    for key in ("content", "delta", "response", "text", "type", "model", "error", "embedding", "message"):
        for value in (text, [{"content": text}]):
            piece = json.dumps({key: value}).encode()
            for kind, form in ((b"text/event-stream", b"data: %b\n\n"), (b"application/json", b"%b")):
                check_sane(exchanged(path.encode(), {"messages": [{"role": text}]}, kind, form % piece))
    check_sane(exchanged(path.encode(), b"[" * (1 << 20), b"application/json", b"{" * (1 << 20)))
    nested = b'{"messages":' + b'[{"content":' * 400 + b"1" + b"}]" * 400 + b"}"
    check_sane(exchanged(path.encode(), nested, b"application/json", nested))


@pytest.mark.parametrize("reason", [{"a": 1}, ["stop"], None, 7])
def test_a_reason_of_any_kind_is_no_reason(reason: object) -> None:
    piece = json.dumps({"message": {"content": "a"}, "done": True, "done_reason": reason}).encode()
    played = exchanged(b"/api/chat", {"stream": True}, b"application/x-ndjson", piece)
    check_sane(played)
    assert played.exchanges[0].finish_reason is None


REQUEST = b'POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 15\r\n\r\n{"stream":true}'


def answered(head: bytes, body: bytes, bounds: Bounds | None = None) -> Played:
    whole = b"HTTP/1.1 200 OK\r\n" + head + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    return play(timed([(True, REQUEST), (False, whole)]), "client_closed", bounds or Bounds())


def test_a_decompression_bomb_is_left_unread_before_it_grows() -> None:
    bomb = gzip.compress(b":" * (4 << 20))
    bounds = Bounds(inflated_bytes=1 << 20, body_bytes=8 << 20)
    played = answered(b"Content-Type: text/event-stream\r\nContent-Encoding: gzip", bomb, bounds)
    assert played.exchanges[0].notes == {"body_over_bound"}
    check_sane(played)


def test_json_nested_beyond_reason_is_malformed() -> None:
    played = answered(b"Content-Type: application/json", b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}")
    assert played.exchanges[0].error_type == "malformed_body"


@pytest.mark.parametrize("figure", ["NaN", "Infinity", "-1", "1e400", '"7"', "true", "[]", "9" * 5000])
def test_nonsense_figures_are_unknown(figure: str) -> None:
    event = (
        '{"choices":[{"index":%s,"delta":{"content":"a"},"finish_reason":"stop"}],'
        '"usage":{"prompt_tokens":%s},"timings":{"prompt_ms":%s}}'
    ) % ((figure,) * 3)
    played = answered(b"Content-Type: text/event-stream", b"data: " + event.encode() + b"\n\n")
    exchange = played.exchanges[0]
    assert exchange.input_tokens is None
    assert exchange.prefill_duration is None or exchange.prefill_duration.provenance.value == "observed"


def test_the_budget_of_all_connections_bounds_what_they_hold_together() -> None:
    budget, counts = Budget(limit=100_000), Counts()
    connections = [Connection("e", bounds=Bounds(), budget=budget, counts=counts) for _ in range(3)]
    head = b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 90000\r\n\r\n"
    for connection in connections:
        connection.client_bytes(head + b" " * 60_000, 1)
        assert budget.used <= budget.limit
    assert budget.used == 60_000
    finished = [exchange for connection in connections for exchange in connection.client_closed(2)]
    assert budget.used == 0
    assert len(finished) == 3


def test_requests_without_answers_are_bounded() -> None:
    counts = Counts()
    connection = Connection("e", bounds=Bounds(outstanding=5), budget=Budget(), counts=counts)
    for now_ns in range(20):
        connection.client_bytes(REQUEST, now_ns)
    assert counts.dropped == {"outstanding_over_bound": 1}
    assert counts.lost == 5
    assert counts.in_flight == 0
    assert connection.outstanding == 0


def test_heads_without_an_end_are_bounded() -> None:
    for start in (b"GET /", b"GET / HTTP/1.1\r\nA: ", b"GET / HTTP/1.1\r\n"):
        counts = Counts()
        connection = Connection("e", bounds=Bounds(), budget=Budget(), counts=counts)
        connection.client_bytes(start, 0)
        for now_ns in range(40):
            connection.client_bytes(b"a" * 4096, now_ns)
        assert counts.dropped in ({"head_over_bound": 1}, {"http_request": 1})
        assert not connection.reading


def test_an_answer_in_front_of_a_head_request_is_read_byte_by_byte_only_so_far() -> None:
    head = b"HEAD / HTTP/1.1\r\n\r\n"
    big = b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + b"x" * 200_000
    played = play(timed([(True, REQUEST + head), (False, big)]), "client_closed", Bounds())
    assert played.counts.dropped == {"pipelined_head": 1}
    assert played.exchanges[0].notes == {"parser_failed"}


def test_a_capture_that_falls_behind_gives_what_it_knows() -> None:
    counts = Counts()
    connection = Connection("e", bounds=Bounds(), budget=Budget(), counts=counts)
    connection.client_bytes(REQUEST, 1)
    connection.engine_bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n1", 2)
    (exchange,) = connection.fall_behind(3)
    assert exchange.notes == {"parser_failed"}
    assert exchange.last_byte_ns is None
    assert counts.dropped == {"behind": 1}
    assert not connection.reading
    assert connection.engine_bytes(b"2345", 4) == ()


def test_a_failing_dialect_costs_one_body_not_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    event = b'data: {"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}]}\n\n'
    answer = (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n" % len(event)
        + event
    )

    failures = [ZeroDivisionError()]

    def fail_once(data: bytes | bytearray) -> dict[str, Any] | None:
        if failures and data.startswith(b'{"choices'):
            raise failures.pop()
        return load_object(data)

    monkeypatch.setattr("stonechat_agent.capture.connection.load_object", fail_once)
    pieces = [
        Piece(True, REQUEST, 1),
        Piece(False, answer, 2),
        Piece(True, REQUEST, 3),
        Piece(False, answer, 4),
    ]
    played = play(pieces, "client_closed", Bounds())
    assert [exchange.notes for exchange in played.exchanges] == [{"parser_failed"}, set()]
    assert played.counts.dropped == {"body": 1}
