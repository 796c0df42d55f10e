"""Every way in which an exchange can fail, induced through a real relay at a real HTTP server, and the type it gets."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import pytest
from tests.agent.relay.harness import PATIENCE, RunningRelay, wait_for

from stonechat.exchange import Exchange, Outcome
from stonechat_agent.capture import ERROR_TYPES

PROMPT = "What is a stonechat?"
ASK: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": PROMPT}]},
    "/v1/completions": {"prompt": PROMPT},
    "/v1/responses": {"input": PROMPT},
    "/v1/messages": {"messages": [{"role": "user", "content": PROMPT}], "max_tokens": 8},
    "/v1/embeddings": {"input": PROMPT},
    "/completion": {"prompt": PROMPT},
    "/api/v1/chat": {"input": PROMPT},
    "/api/chat": {"messages": [{"role": "user", "content": PROMPT}]},
    "/api/generate": {"prompt": PROMPT},
    "/api/embed": {"input": PROMPT},
}
SSE, JSON, LINES = "text/event-stream", "application/json", "application/x-ndjson"


class Engine(ThreadingHTTPServer):
    """A small HTTP server in an engine's place; ``behave`` answers each POST."""

    daemon_threads = True
    behave: Callable[[Handler], None]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Engine

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        with contextlib.suppress(ConnectionError):
            self.server.behave(self)

    def log_message(self, format: str, *args: object) -> None:
        pass

    def whole(self, status: int, body: bytes, kind: str = JSON) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def begin(self, kind: str = SSE) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
        self.wfile.flush()


@contextlib.contextmanager
def engine(
    behave: Callable[[Handler], None], **settings: Any
) -> Iterator[tuple[RunningRelay, http.client.HTTPConnection]]:
    """Give a relay towards an engine that behaves so, and a client of it."""
    server = Engine(("127.0.0.1", 0), Handler)
    server.behave = behave
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        with RunningRelay(f"http://127.0.0.1:{server.server_port}", **settings) as relay:
            client = client_of(relay)
            with contextlib.closing(client):
                yield relay, client
    finally:
        server.shutdown()
        server.server_close()
        thread.join(PATIENCE)


def client_of(relay: RunningRelay) -> http.client.HTTPConnection:
    host, port = relay.address[:2]
    return http.client.HTTPConnection(host, port, timeout=PATIENCE)


def ask(client: http.client.HTTPConnection, path: str, stream: bool = False) -> None:
    body = json.dumps({"model": "tiny", "stream": stream, **ASK[path]})
    client.request("POST", path, body, {"Content-Type": JSON})


def event(value: object) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def line(value: object) -> bytes:
    return json.dumps(value).encode() + b"\n"


class Refused(NamedTuple):
    """An answer with a status of failure."""

    error_type: str
    path: str
    status: int
    body: object
    message: str


def openai(message: str, kind: str = "server_error", code: object = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "code": code}}


def anthropic(message: str, kind: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message}}


OVERFLOW = "the request exceeds the available context size"
MEMORY = "CUDA error: out of memory"
REFUSED = [
    Refused(
        "context_overflow",
        "/v1/chat/completions",
        400,
        openai(OVERFLOW, "exceed_context_size_error"),
        OVERFLOW,
    ),
    Refused(
        "context_overflow",
        "/v1/completions",
        400,
        openai("too long", "x", "context_length_exceeded"),
        "too long",
    ),
    Refused("context_overflow", "/v1/responses", 400, openai(OVERFLOW), OVERFLOW),
    Refused("context_overflow", "/completion", 400, openai(OVERFLOW), OVERFLOW),
    Refused(
        "context_overflow",
        "/v1/messages",
        400,
        anthropic("prompt is too long: 9 > 8", "invalid_request_error"),
        "prompt is too long: 9 > 8",
    ),
    Refused(
        "context_overflow",
        "/api/embed",
        400,
        {"error": "the input length exceeds the context length"},
        "the input length exceeds the context length",
    ),
    Refused("out_of_memory", "/v1/chat/completions", 500, openai(MEMORY), MEMORY),
    Refused(
        "out_of_memory",
        "/api/chat",
        500,
        {"error": "model requires more system memory (5 GiB)"},
        "model requires more system memory (5 GiB)",
    ),
    Refused(
        "out_of_memory",
        "/api/v1/chat",
        500,
        openai("insufficient system resources", "internal_error"),
        "insufficient system resources",
    ),
    Refused(
        "out_of_memory",
        "/v1/embeddings",
        500,
        openai("failed to allocate buffer"),
        "failed to allocate buffer",
    ),
    Refused(
        "queue_full",
        "/api/generate",
        503,
        {"error": "server busy, please try again.  maximum pending requests exceeded"},
        "server busy, please try again.  maximum pending requests exceeded",
    ),
    Refused("queue_full", "/v1/messages", 529, anthropic("Overloaded", "overloaded_error"), "Overloaded"),
    Refused(
        "queue_full",
        "/v1/chat/completions",
        503,
        openai("no slot is available", "unavailable_error"),
        "no slot is available",
    ),
    Refused("rate_limited", "/v1/responses", 429, openai("slower"), "slower"),
    Refused("rate_limited", "/v1/messages", 429, anthropic("slower", "rate_limit_error"), "slower"),
    Refused("loading", "/completion", 503, openai("Loading model", "unavailable_error"), "Loading model"),
    Refused("timeout", "/v1/chat/completions", 504, b"upstream request timeout", "upstream request timeout"),
    Refused("timeout", "/v1/messages", 408, anthropic("too slow", "timeout_error"), "too slow"),
    Refused(
        "model_not_found", "/api/generate", 404, {"error": "model 'tiny' not found"}, "model 'tiny' not found"
    ),
    Refused(
        "model_not_found", "/api/v1/chat", 404, openai("no such thing", "model_not_found"), "no such thing"
    ),
    Refused(
        "unauthorized",
        "/v1/chat/completions",
        401,
        openai("Invalid API Key", "authentication_error"),
        "Invalid API Key",
    ),
    Refused("unauthorized", "/v1/messages", 403, anthropic("no", "permission_error"), "no"),
    Refused("not_supported", "/v1/embeddings", 501, openai("not here", "not_supported_error"), "not here"),
    Refused("invalid_request", "/v1/responses", 400, openai("'input' is required"), "'input' is required"),
    Refused(
        "invalid_request",
        "/v1/completions",
        422,
        {"detail": [{"loc": ["body"], "msg": "missing"}]},
        "missing",
    ),
    Refused("http_3xx", "/v1/chat/completions", 307, b"", ""),
    Refused("http_4xx", "/api/chat", 418, b"teapot", "teapot"),
    Refused("http_5xx", "/v1/completions", 500, openai("it broke"), "it broke"),
    Refused("http_5xx", "/api/embed", 502, b"<html>", "<html>"),
]


@pytest.mark.parametrize(
    "case", REFUSED, ids=lambda case: f"{case.error_type}{case.path.replace('/', '-')}-{case.status}"
)
def test_an_answer_of_failure_gets_its_type_and_passes_unchanged(case: Refused) -> None:
    body = case.body if isinstance(case.body, bytes) else json.dumps(case.body).encode()
    with engine(lambda handler: handler.whole(case.status, body)) as (relay, client):
        ask(client, case.path)
        answer = client.getresponse()
        assert (answer.status, answer.read()) == (case.status, body)
        exchange = relay.exchange()
    assert exchange.outcome is Outcome.ERROR
    assert exchange.error_type == case.error_type
    assert exchange.status == case.status
    assert exchange.transcript is not None
    assert exchange.transcript.prompt == PROMPT
    assert exchange.transcript.error == case.message


def delta(text: str) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}


class Streamed(NamedTuple):
    """How one API streams: its form, a piece that says "A bird", and its own error inside a stream, for a message."""

    kind: str
    piece: bytes
    error: Callable[[str], bytes]


STREAMED = {
    "/v1/chat/completions": Streamed(SSE, event(delta("A bird")), lambda text: event(openai(text))),
    "/v1/completions": Streamed(
        SSE, event({"choices": [{"index": 0, "text": "A bird"}]}), lambda text: event(openai(text))
    ),
    "/v1/responses": Streamed(
        SSE,
        event({"type": "response.output_text.delta", "delta": "A bird"}),
        lambda text: event({"type": "error", "code": "server_error", "message": text}),
    ),
    "/v1/messages": Streamed(
        SSE,
        event({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "A bird"}}),
        lambda text: event(anthropic(text, "api_error")),
    ),
    "/completion": Streamed(
        SSE, event({"content": "A bird", "stop": False}), lambda text: event(openai(text))
    ),
    "/api/v1/chat": Streamed(
        SSE,
        event({"type": "message.delta", "content": "A bird"}),
        lambda text: event({"type": "error", "error": {"type": "internal_error", "message": text}}),
    ),
    "/api/chat": Streamed(
        LINES,
        line({"message": {"role": "assistant", "content": "A bird"}, "done": False}),
        lambda text: line({"error": text}),
    ),
    "/api/generate": Streamed(
        LINES, line({"response": "A bird", "done": False}), lambda text: line({"error": text})
    ),
}
each_stream = pytest.mark.parametrize("path", STREAMED)


def check_begun(exchange: Exchange) -> None:
    assert exchange.status == 200
    assert exchange.chunks == 1
    assert exchange.first_token_ns is not None
    assert exchange.transcript is not None
    assert exchange.transcript.prompt == PROMPT
    assert exchange.transcript.answer == "A bird"


@each_stream
@pytest.mark.parametrize(
    ("message", "error_type"),
    [
        ("decode failed", "stream_error"),
        (MEMORY, "out_of_memory"),
        (OVERFLOW, "context_overflow"),
    ],
)
def test_an_error_inside_a_stream_gets_its_type(path: str, message: str, error_type: str) -> None:
    how = STREAMED[path]

    def behave(handler: Handler) -> None:
        handler.begin(how.kind)
        handler.chunk(how.piece)
        handler.chunk(how.error(message))
        handler.wfile.write(b"0\r\n\r\n")

    with engine(behave) as (relay, client):
        ask(client, path, stream=True)
        assert client.getresponse().read() == how.piece + how.error(message)
        exchange = relay.exchange()
    assert (exchange.outcome, exchange.error_type) == (Outcome.ERROR, error_type)
    check_begun(exchange)
    assert exchange.transcript is not None
    assert exchange.transcript.error == message


@each_stream
def test_a_stream_that_ends_without_its_last_piece_is_malformed(path: str) -> None:
    how = STREAMED[path]

    def behave(handler: Handler) -> None:
        handler.begin(how.kind)
        handler.chunk(how.piece)
        handler.wfile.write(b"0\r\n\r\n")

    with engine(behave) as (relay, client):
        ask(client, path, stream=True)
        assert client.getresponse().read() == how.piece
        exchange = relay.exchange()
    assert (exchange.outcome, exchange.error_type) == (Outcome.ERROR, "malformed_stream")
    check_begun(exchange)


@each_stream
def test_an_engine_that_dies_in_the_middle_of_a_stream_is_a_reset(path: str) -> None:
    how = STREAMED[path]

    def behave(handler: Handler) -> None:
        handler.begin(how.kind)
        handler.chunk(how.piece)
        handler.connection.shutdown(socket.SHUT_RDWR)
        handler.close_connection = True

    with engine(behave) as (relay, client):
        ask(client, path, stream=True)
        with pytest.raises(http.client.IncompleteRead):
            client.getresponse().read()
        exchange = relay.exchange()
    assert (exchange.outcome, exchange.error_type) == (Outcome.ERROR, "engine_reset")
    check_begun(exchange)


@each_stream
def test_a_client_that_goes_away_in_the_middle_of_a_stream_aborts_it(path: str) -> None:
    how = STREAMED[path]
    gone = threading.Event()

    def behave(handler: Handler) -> None:
        handler.begin(how.kind)
        handler.chunk(how.piece)
        assert gone.wait(10)
        with contextlib.suppress(OSError):
            while handler.connection.recv(100):
                pass

    with engine(behave) as (relay, client):
        ask(client, path, stream=True)
        answer = client.getresponse()
        assert answer.read1() == how.piece
        answer.close()
        client.close()
        gone.set()
        exchange = relay.exchange()
    assert (exchange.outcome, exchange.error_type) == (Outcome.ABORTED, None)
    assert exchange.closed_ns is not None
    check_begun(exchange)


@pytest.mark.parametrize("path", ASK)
def test_an_engine_that_never_answers_is_an_abort_once_its_client_gives_up(path: str) -> None:
    given_up = threading.Event()

    def behave(handler: Handler) -> None:
        given_up.wait(PATIENCE)

    with engine(behave) as (relay, client):
        client.timeout = 0.1
        ask(client, path)
        wait_for(lambda: relay.relay.stats.capture.in_flight == 1)
        with pytest.raises(TimeoutError):
            client.getresponse()
        assert not relay.exchanges, "the relay itself waits as long as the client does"
        client.close()
        given_up.set()
        exchange = relay.exchange()
    assert (exchange.outcome, exchange.error_type) == (Outcome.ABORTED, None)
    assert exchange.first_byte_ns is None
    assert exchange.closed_ns is not None
    assert exchange.closed_ns - exchange.accepted_ns > 50_000_000
    assert exchange.transcript is not None
    assert (exchange.transcript.prompt, exchange.transcript.answer) == (PROMPT, "")


@pytest.mark.parametrize("path", ASK)
def test_an_answer_that_is_not_the_dialects_is_malformed(path: str) -> None:
    with engine(lambda handler: handler.whole(200, b'{"something":"else"}')) as (relay, client):
        ask(client, path)
        assert client.getresponse().read() == b'{"something":"else"}'
        exchange = relay.exchange()
    assert (exchange.outcome, exchange.error_type) == (Outcome.ERROR, "malformed_body")


@pytest.mark.parametrize("path", ASK)
@pytest.mark.parametrize("kind", ["engine_refused", "timeout", "relay_full"])
def test_what_the_relay_refuses_itself_has_its_type_in_every_dialect(path: str, kind: str) -> None:
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        settings: dict[str, Any] = {}
        if kind == "timeout":
            # Connections that nobody accepts fill the queue; the kernel then lets further ones wait.
            listener.listen(0)
            settings["connect_timeout_seconds"] = 0.05
            for _ in range(3):
                waiting = stack.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex(listener.getsockname())
        elif kind == "relay_full":
            listener.listen(8)
            settings["max_connections"] = 1
        host, port = listener.getsockname()
        relay = stack.enter_context(RunningRelay(f"http://{host}:{port}", **settings))
        if kind == "relay_full":
            first = stack.enter_context(relay.connect())
            first.sendall(b"GET")
            wait_for(lambda: relay.relay.stats.connections_open >= 1)
        client = client_of(relay)
        stack.enter_context(contextlib.closing(client))
        began = time.monotonic()
        ask(client, path)
        answer = client.getresponse()
        assert time.monotonic() - began < PATIENCE / 2
        assert answer.status == (503 if kind == "relay_full" else 502)
        error = json.loads(answer.read())["error"]
        assert isinstance(error, str) == path.startswith(("/api/chat", "/api/generate", "/api/embed"))
        exchange = relay.exchange()
    assert (exchange.outcome, exchange.error_type) == (Outcome.ERROR, kind)
    assert exchange.status == answer.status


LIMIT = {
    "/v1/chat/completions": {
        "choices": [{"index": 0, "message": {"content": "A"}, "finish_reason": "length"}]
    },
    "/v1/completions": {"choices": [{"index": 0, "text": "A", "finish_reason": "length"}]},
    "/v1/responses": {
        "status": "incomplete",
        "incomplete_details": {"reason": "max_output_tokens"},
        "output": [{"type": "message", "content": [{"type": "output_text", "text": "A"}]}],
    },
    "/v1/messages": {
        "type": "message",
        "content": [{"type": "text", "text": "A"}],
        "stop_reason": "max_tokens",
    },
    "/completion": {"content": "A", "stop": True, "stop_type": "limit", "truncated": True},
    "/api/chat": {"message": {"content": "A"}, "done": True, "done_reason": "length"},
    "/api/generate": {"response": "A", "done": True, "done_reason": "length"},
}


@pytest.mark.parametrize("path", LIMIT)
def test_an_answer_cut_by_its_limit_is_good_and_says_so(path: str) -> None:
    with engine(lambda handler: handler.whole(200, json.dumps(LIMIT[path]).encode())) as (relay, client):
        ask(client, path)
        client.getresponse().read()
        exchange = relay.exchange()
    assert (exchange.outcome, exchange.error_type) == (Outcome.OK, None)
    assert exchange.cut_at_limit
    assert exchange.notes == ({"context_full"} if path == "/completion" else set())
    assert exchange.transcript is not None
    assert exchange.transcript.answer == "A"


def test_every_error_type_is_induced_here() -> None:
    inside = {"stream_error", "malformed_stream", "malformed_body", "engine_reset"}
    relays_own = {"engine_refused", "timeout", "relay_full"}
    assert {case.error_type for case in REFUSED} | inside | relays_own == set(ERROR_TYPES)
