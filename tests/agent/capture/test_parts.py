"""The parts of the capture by themselves: event streams, codings, error types, paths, phases."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stonechat.exchange import Exchange, Operation, Provenance, Quantity
from stonechat_agent.capture import ERROR_TYPES, ROUTES, route
from stonechat_agent.capture.decoding import Inflater, UnknownCodingError
from stonechat_agent.capture.errors import error_message, error_type, finish_reason
from stonechat_agent.capture.ndjson import LineStream
from stonechat_agent.capture.phases import Engine, complete
from stonechat_agent.capture.reading import PREFILL_BEGUN, PREFILL_ENDED, WORK_BEGUN, Reading
from stonechat_agent.capture.sse import EventStream, OverBoundError

MS = 1_000_000


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: a\n\ndata: b\n\n", [b"a", b"b"]),
        (b"data:a\r\rdata:  b\r\n\r\n", [b"a", b" b"]),
        (b"data: a\ndata\ndata: b\n\n", [b"a\n\nb"]),
        (b": comment\n\n\n\n:\n\n", []),
        (b"event: x\nid: 7\nretry: 1\nnonsense\n\ndata: a\n\n", [b"a"]),
        (b"\xef\xbb\xbfdata: a\n\n", [b"a"]),
        (b"\xef\xbbdata: a\n\n", []),
        (b"data: a", [b"a"]),
        (b"data: a\n", [b"a"]),
        (b"\xef\xbb", []),
        (b"", []),
    ],
)
def test_event_stream(stream: bytes, events: list[bytes]) -> None:
    for size in (1, 2, 3, 1000):
        parser = EventStream(1000)
        found = [event for i in range(0, len(stream), size) for event in parser.feed(stream[i : i + size])]
        assert found + parser.finish() == events
        assert parser.held == 0


@pytest.mark.parametrize("stream", [EventStream, LineStream])
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_an_event_over_the_bound_is_refused_however_it_comes(
    stream: type[EventStream | LineStream], size: int
) -> None:
    data = b"data: " + b"x" * 200 + b"\n\n"
    parser = stream(100)
    with pytest.raises(OverBoundError):
        for i in range(0, len(data), size):
            parser.feed(data[i : i + size])


def test_lines_without_data_are_not_free() -> None:
    parser = EventStream(100)
    with pytest.raises(OverBoundError):
        for _ in range(200):
            parser.feed(b"data:\n")


def test_many_short_lines_of_one_event_are_bounded_too() -> None:
    parser = EventStream(100)
    with pytest.raises(OverBoundError):
        for _ in range(100):
            parser.feed(b"data: xx\n")


def test_lines() -> None:
    parser = LineStream(100)
    assert parser.feed(b"a\n\n \r\nb\r") == [b"a"]
    assert parser.held == 2
    assert parser.feed(b"\nc") == [b"b"]
    assert parser.finish() == [b"c"]
    assert parser.finish() == []


@given(st.binary(max_size=300), st.integers(1, 40), st.sampled_from(["gzip", "zlib", "raw", "two"]))
def test_inflating_undoes_each_coding_in_pieces(data: bytes, size: int, form: str) -> None:
    raw = zlib.compressobj(wbits=-15)
    packed = {
        "gzip": gzip.compress(data),
        "two": gzip.compress(data[:100]) + gzip.compress(data[100:]),
        "zlib": zlib.compress(data),
        "raw": raw.compress(data) + raw.flush(),
    }[form]
    inflater = Inflater(b"gzip" if form in {"gzip", "two"} else b"deflate", 1000)
    assert inflater.complete
    pieces = [packed[i : i + size] for i in range(0, len(packed), size)]
    assert b"".join(map(inflater.feed, pieces)) == data
    assert inflater.complete


def test_a_coding_cut_off_is_not_complete() -> None:
    inflater = Inflater(b"gzip", 1000)
    inflater.feed(gzip.compress(b"abc")[:-3])
    assert not inflater.complete


def test_unknown_codings_and_other_bytes_are_refused() -> None:
    with pytest.raises(UnknownCodingError):
        Inflater(b"br", 1000)
    with pytest.raises(UnknownCodingError):
        Inflater(b"gzip", 1000).feed(b"not gzip at all")


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, {"error": {"type": "exceed_context_size_error", "message": "x"}}, "context_overflow"),
        (400, {"error": {"code": "context_length_exceeded"}}, "context_overflow"),
        (
            400,
            {"object": "error", "message": "This model's maximum context length is 2048"},
            "context_overflow",
        ),
        (503, {"error": "server busy, please try again.  maximum pending requests exceeded"}, "queue_full"),
        (529, {"type": "error", "error": {"type": "overloaded_error", "message": "x"}}, "queue_full"),
        (503, {"error": {"message": "Loading model", "type": "unavailable_error"}}, "loading"),
        (500, {"error": "llama runner: CUDA error: out of memory"}, "out_of_memory"),
        (404, {"error": 'model "x" not found, try pulling it first'}, "model_not_found"),
        (404, {"error": {"message": "File Not Found", "type": "not_found_error"}}, "http_4xx"),
        (401, None, "unauthorized"),
        (403, {"detail": "no"}, "unauthorized"),
        (429, {}, "rate_limited"),
        (422, {"detail": [{"loc": ["body"], "msg": "x"}]}, "invalid_request"),
        (501, {"error": {"type": "not_supported_error"}}, "not_supported"),
        (500, {"error": {"type": "server_error", "message": 7}}, "http_5xx"),
        (502, "text", "http_5xx"),
        (418, [], "http_4xx"),
        (307, None, "http_3xx"),
        (None, {"error": {"message": "decode failed"}}, "stream_error"),
        (None, {"type": "error", "error": {"type": "rate_limit_error", "message": "x"}}, "rate_limited"),
        (None, {"type": "error", "code": "rate_limit_exceeded", "message": "x"}, "rate_limited"),
        (None, {"type": "error", "error": {"type": "timeout_error"}}, "timeout"),
        (504, None, "timeout"),
        (408, "text", "timeout"),
        (404, {"error": {"type": "model_not_found", "message": "x"}}, "model_not_found"),
        (500, {"error": {"type": "not_implemented", "message": "x"}}, "not_supported"),
        (None, {"error": {"type": "invalid_request", "message": "x"}}, "invalid_request"),
        (503, {"error": "Insufficient Memory (kIOGPUCommandBuffer)"}, "out_of_memory"),
        (500, "CUDA out of memory", "out_of_memory"),
        (503, {"error": {"message": "no slot is available"}}, "queue_full"),
        (None, {"error": {"type": "authentication_error"}}, "unauthorized"),
    ],
)
def test_error_types(status: int | None, body: object, expected: str) -> None:
    assert error_type(status, body) == expected
    assert expected in ERROR_TYPES


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"error": {"message": "a", "type": "b"}}, "a"),
        ({"error": "a"}, "a"),
        ({"detail": "a"}, "a"),
        ({"detail": [{"msg": "a"}, 7, {"msg": "b"}]}, "a; b"),
        ({"object": "error", "message": "a"}, "a"),
        ({"error": {"message": 7}}, ""),
        ({"error": {}}, ""),
        ("x" * 5000, "x" * 4096),
        ({"error": "x" * 5000}, "x" * 4096),
        (None, ""),
        ([], ""),
    ],
)
def test_what_an_engine_says_of_its_error(body: object, message: str) -> None:
    assert error_message(body) == message


def test_finish_reasons() -> None:
    said = [
        "stop",
        "eos",
        "word",
        "length",
        "limit",
        "tool_calls",
        "function_call",
        "content_filter",
        "weird",
    ]
    assert [finish_reason(word) for word in said] == [
        *("stop",) * 3,
        *("length",) * 2,
        *("tool_calls",) * 2,
        "content_filter",
        "other",
    ]
    nothing: list[object] = [None, "", 3, []]
    assert [finish_reason(value) for value in nothing] == [None] * 4


@pytest.mark.parametrize(
    ("method", "target", "found"),
    [
        ("POST", "/v1/chat/completions", "/v1/chat/completions"),
        ("POST", "/v1/chat/completions?x=/api/chat", "/v1/chat/completions"),
        ("POST", "/prefix/v1/chat/completions/", "/v1/chat/completions"),
        ("POST", "http://host:1/api/chat", "/api/chat"),
        ("POST", "/ollama/api/generate", "/api/generate"),
        ("POST", "/api/v1/chat", "/api/v1/chat"),
        ("POST", "/lm/api/v1/chat/", "/api/v1/chat"),
        ("POST", "/proxy/v1/responses", "/v1/responses"),
        ("POST", "/anthropic/v1/messages?beta=true", "/v1/messages"),
        ("POST", "/v1/messages/count_tokens", None),
        ("POST", "/v1/responses/input_tokens", None),
        ("GET", "/v1/responses/resp_1", None),
        ("GET", "/v1/chat/completions", None),
        ("OPTIONS", "/v1/chat/completions", None),
        ("GET", "/health", None),
        ("GET", "/metrics", None),
        ("GET", "/v1/models", None),
        ("GET", "/api/tags", None),
        ("POST", "/api/show", None),
        ("POST", "/tokenize", None),
        ("POST", "/v1/chat/completions/input_tokens", None),
        ("POST", "", None),
        ("POST", "*", None),
    ],
)
def test_routes(method: str, target: str, found: str | None) -> None:
    assert route(method, target) is (ROUTES[found] if found is not None else None)


def exchange(**fields: object) -> Exchange:
    """Return a streamed exchange: sent at 0, head at 5 ms, first token at 227 ms, as an idle llama-server gives it."""
    made = Exchange(
        engine="e",
        operation=Operation.CHAT,
        streamed=True,
        accepted_ns=0,
        request_complete_ns=0,
        connected_ns=0,
        first_byte_ns=5 * MS,
        first_token_ns=227 * MS,
        last_byte_ns=400 * MS,
        chunks=3,
    )
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def engine(**fields: object) -> Engine:
    made = Engine()
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def test_an_unknown_engine_shows_no_queue_and_no_prefill() -> None:
    made = exchange()
    complete(made, Reading(), engine(is_llamacpp=False, last_token_ns=390 * MS))
    assert made.queue_duration is None
    assert made.prefill_duration is None
    assert made.decode_duration == Quantity(163 * MS, Provenance.OBSERVED)
    assert made.output_tokens == Quantity(3, Provenance.ESTIMATED)
    assert made.input_tokens is None


def test_llamacpp_sends_the_head_when_a_slot_takes_the_request() -> None:
    made = exchange()
    complete(made, Reading(), engine(is_llamacpp=True, last_token_ns=390 * MS))
    assert made.queue_duration == Quantity(5 * MS, Provenance.OBSERVED)
    assert made.prefill_duration == Quantity(222 * MS, Provenance.OBSERVED)


def test_the_queue_counts_from_the_connection_where_that_came_after_the_request() -> None:
    made = exchange(connected_ns=3 * MS)
    complete(made, Reading(), engine(is_llamacpp=True, last_token_ns=None))
    assert made.queue_duration == Quantity(2 * MS, Provenance.OBSERVED)


def test_a_build_that_sends_the_head_at_once_has_its_queue_from_the_prefill() -> None:
    reading = Reading()
    reading.timings, reading.prefill_ns = True, 215 * MS
    made = exchange()
    complete(made, reading, engine(is_llamacpp=False, last_token_ns=None))
    assert made.queue_duration == Quantity(5 * MS, Provenance.OBSERVED)
    made = exchange(first_token_ns=20_227 * MS)
    complete(made, reading, engine(is_llamacpp=False, last_token_ns=None))
    assert made.queue_duration == Quantity(20_012 * MS, Provenance.ESTIMATED)


def test_an_engine_that_tells_its_phases_has_them_by_the_relays_clock() -> None:
    said = Engine()
    said.says(WORK_BEGUN, 40 * MS)  # loads the model
    said.says(WORK_BEGUN | PREFILL_BEGUN, 100 * MS)
    said.says(PREFILL_ENDED, 220 * MS)
    said.says(WORK_BEGUN | PREFILL_BEGUN, 300 * MS)  # another round, after a tool was called
    said.says(PREFILL_ENDED, 310 * MS)
    made = exchange()
    complete(made, Reading(), said)
    assert made.queue_duration == Quantity(40 * MS, Provenance.OBSERVED)
    assert made.prefill_duration == Quantity(120 * MS, Provenance.OBSERVED)


def test_a_speed_stands_for_the_time_of_decoding_where_nothing_else_tells_it() -> None:
    reading = Reading()
    reading.tokens_per_second, reading.output_tokens = 50.0, 100
    made = exchange(streamed=False, first_token_ns=None)
    complete(made, reading, Engine())
    assert made.decode_duration == Quantity(2_000 * MS, Provenance.ESTIMATED)


def test_what_ollama_leaves_of_the_total_is_the_queue() -> None:
    reading = Reading()
    reading.total_ns, reading.load_ns, reading.prefill_ns, reading.decode_ns = 100, 20, 30, 40
    made = exchange()
    complete(made, reading, engine(is_llamacpp=False, last_token_ns=None))
    assert made.queue_duration == Quantity(10, Provenance.ESTIMATED)
    reading.load_ns = None
    made = exchange()
    complete(made, reading, engine(is_llamacpp=False, last_token_ns=None))
    assert made.queue_duration is None, "an absent part is unknown, not zero"


@pytest.mark.parametrize("speed", [5e-324, 1e-300, 1e-9])
def test_a_speed_of_nearly_nothing_is_no_duration(speed: float) -> None:
    """As a duration it would be infinite, or beyond what anything that keeps it can hold."""
    reading = Reading()
    reading.output_tokens, reading.tokens_per_second = 40, speed
    exchange = Exchange("engine")
    complete(exchange, reading, Engine())
    assert exchange.decode_duration is None
