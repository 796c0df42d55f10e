"""What leaves the device holds no text of anybody's: words planted everywhere in traffic, and looked for in each byte.

The agent runs as it comes, with its default privacy. Whatever it sends to the broker is recorded between the two and
read back: raw, and each message unpacked. Its log, metrics and status must not hold the words either, nor the
journal's files where nothing was flagged.
"""

from __future__ import annotations

import base64
import json
import socket
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.system.agents import Agent, Collector
from tests.system.test_uplink_mosquitto import Broker

from stonechat.envelope import unseal

pytestmark = pytest.mark.system

WORD = "zqcanary"
"""Every planted text holds it, and it could pass as a name: letters alone."""


LEAVES = {"state", "window", "event", "exchange"}
"""Of the topics that an agent publishes to."""
PATHS = (
    "/v1/chat/completions",
    "/v1/messages",
    "/v1/responses",
    "/v1/completions",
    "/v1/embeddings",
    "/api/chat",
    "/api/generate",
    "/completion",
)


def planted(where: str) -> str:
    return f"{WORD}-{where}"


def answers(path: str, stream: bool) -> tuple[int, str, bytes]:
    """(status, content type, body) of a made-up engine that repeats planted words wherever an answer can hold some."""
    model, said = planted("model"), f"so {planted('answer')} it is, and that is all there is to say."
    call = {"id": planted("id"), "type": "function",
            "function": {"name": planted("tool"), "arguments": json.dumps({"q": planted("argument")})}}  # fmt: skip
    usage = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}
    if path == "/v1/chat/completions" and stream:
        delta = {
            "content": said,
            "reasoning_content": planted("reasoning"),
            "tool_calls": [{"index": 0, **call}],
        }
        pieces = [
            {"model": model, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]},
            {"model": model, "choices": [{"index": 0, "delta": {}, "finish_reason": planted("finish")}]},
            {"model": model, "choices": [], "usage": usage},
        ]
        body = b"".join(b"data: " + json.dumps(piece).encode() + b"\n\n" for piece in pieces)
        return 200, "text/event-stream", body + b"data: [DONE]\n\n"
    if path == "/v1/chat/completions":
        message = {"role": "assistant", "content": said, "tool_calls": [call]}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return (
            200,
            "application/json",
            json.dumps({"model": model, "choices": [choice], "usage": usage}).encode(),
        )
    if path == "/v1/messages":
        content = [{"type": "text", "text": said}, {"type": "tool_use", "name": planted("tool"),
                    "input": {"q": planted("argument")}}]  # fmt: skip
        answer = {"model": model, "content": content, "stop_reason": "end_turn",
                  "usage": {"input_tokens": 5, "output_tokens": 7}}  # fmt: skip
        return 200, "application/json", json.dumps(answer).encode()
    if path == "/api/chat":
        line = {
            "model": model,
            "message": {"role": "assistant", "content": said},
            "done": True,
            "eval_count": 7,
        }
        return 200, "application/x-ndjson", json.dumps(line).encode() + b"\n"
    error = {"message": f"cannot do {planted('error')}", "type": planted("type"), "code": planted("code")}
    return 400, "application/json", json.dumps({"error": error}).encode()


class Engine(BaseHTTPRequestHandler):
    """Speaks as ``answers`` says; what it is asked for with GET it does not have."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status, kind, body = answers(self.path.partition("?")[0], bool(request.get("stream")))
        self.send_response(status, planted("reason"))
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Request-Id", planted("header"))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self.send_response(404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Tap:
    """Passes connections on to a broker, and keeps every byte that the agent sent."""

    def __init__(self, port: int) -> None:
        self.broker = port
        self.sent: list[bytearray] = []
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.server.accept()
            except OSError:
                return
            broker = socket.create_connection(("127.0.0.1", self.broker))
            kept = bytearray()
            self.sent.append(kept)
            threading.Thread(target=self._pass, args=(client, broker, kept), daemon=True).start()
            threading.Thread(target=self._pass, args=(broker, client, None), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, kept: bytearray | None) -> None:
        try:
            while data := source.recv(65536):
                if kept is not None:
                    kept += data
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def published(self) -> Iterator[tuple[str, bytes]]:
        """(Topic name, payload) of what was published, wills included, of MQTT 5 or 3.1.1."""
        for stream in self.sent:
            at, data, version = 0, bytes(stream), 4
            while at < len(data):
                kind, (length, begin) = data[at], _varint(data, at + 1)
                packet, at = data[begin : begin + length], begin + length
                if kind >> 4 == 1:
                    version = packet[6]
                if kind >> 4 != 3 or len(packet) < length:
                    continue
                size = int.from_bytes(packet[:2], "big")
                rest = packet[2 + size :]
                rest = rest[2:] if kind >> 1 & 3 else rest
                if version == 5:
                    properties, skip = _varint(rest, 0)
                    rest = rest[skip + properties :]
                yield packet[2 : 2 + size].decode(), rest


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data):
        value |= (data[at] & 127) << shift
        shift += 7
        at += 1
        if data[at - 1] < 128:
            break
    return value, at


def holds_word(data: bytes) -> bool:
    """Whether bytes hold the planted word as it is, in capitals, in hexadecimal or in base64."""
    lower, word = data.lower(), WORD.encode()
    forms = [word, word.hex().encode()]
    # Of base64, the part that does not depend on what stands in front.
    forms += [base64.b64encode(b"\0" * lead + word)[4:-4].lower() for lead in range(3)]
    return any(form in lower for form in forms)


def _around(data: bytes) -> bytes:
    at = data.lower().find(WORD.encode())
    return data[max(0, at - 60) : at + 60] if at >= 0 else data[:120]


def ask(port: int, path: str, body: dict[str, Any], headers: dict[str, str]) -> int:
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(
            "POST", path, json.dumps(body).encode(), {"Content-Type": "application/json", **headers}
        )
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


def drive(agent: Agent) -> int:
    """Ask for everything with planted words everywhere; returns how many exchanges that made."""
    headers = {
        "Authorization": f"Bearer {planted('key')}",
        "User-Agent": planted("agent"),
        "X-Conversation-Id": planted("conversation"),
        "Cookie": f"session={planted('cookie')}",
    }
    tools = [
        {"type": "function", "function": {"name": planted("offered"), "description": planted("description")}}
    ]
    chat = {
        "model": planted("asked"),
        "messages": [
            {"role": "system", "content": planted("system")},
            {"role": "user", "content": planted("prompt")},
        ],
        "tools": tools,
        "user": planted("user"),
        "metadata": {"user_id": planted("user")},
        "conversation_id": planted("conversation"),
        "instructions": planted("instructions"),
        "input": planted("input"),
        "prompt": planted("prompt"),
    }
    asked = 0
    for path in (*PATHS, f"/{planted('prefix')}/v1/chat/completions"):
        for stream in (False, True):
            ask(agent.relay, f"{path}?{planted('query')}=1", {**chat, "stream": stream}, headers)
            asked += 1
    # The model that an application names is its own word; all else may be a stranger's.
    told = {key: planted(key) for key in ("prompt", "response", "error", "user", "conversation", "reasoning")}
    told["finish_reason"], told["operation"] = planted("finish"), "chat"
    assert ask(agent.local, "/v1/exchanges", told, {"User-Agent": planted("agent")}) == 202
    return asked + 1


@pytest.fixture
def engine() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Engine)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def test_no_planted_word_leaves_the_device(tmp_path: Path, engine: int) -> None:
    broker = Broker(tmp_path, "allow_anonymous true")
    tap = Tap(broker.port)
    collector = Collector(tmp_path, broker.port)
    agent = Agent(tmp_path)
    agent.engine = engine
    # More than the default is sent of exchanges, and nothing of the privacy settings is changed.
    agent.configure(broker=tap.port, more="[exchanges]\nsample = 1.0\nmost_per_hour = 100000")
    agent.start()
    try:
        asked = drive(agent)
        agent.wait(lambda: agent.status()["recent"]["exchanges"] >= asked)
        sent: list[tuple[str, bytes]] = []

        def all_sent() -> bool:
            sent[:] = tap.published()
            told = [unseal(payload) for topic, payload in sent if topic.endswith("/up/exchange")]
            return sum(len(message[2]) for message in told) >= asked

        agent.wait(all_sent)
        agent.wait(lambda: {topic.rpartition("/")[2] for topic, _ in tap.published()} == LEAVES)
        assert agent.process is not None
        connections = psutil.Process(agent.process.pid).net_connections("tcp")
        # paho wakes its thread through a pair of sockets, both ends of which are the agent's own.
        own = {connection.laddr.port for connection in connections}
        remote = {
            connection.raddr.port
            for connection in connections
            if connection.raddr and connection.laddr.port not in (agent.relay, agent.local)
        } - own
        assert remote <= {engine, tap.port}, "the agent talks to its engine and its broker and to nobody else"
        shown = agent.get("/metrics")[1] + agent.get("/v1/status")[1] + agent.get("/")[1]
    finally:
        agent.stop()
        collector.stop()
        broker.stop()
    raw = b"".join(bytes(stream) for stream in tap.sent)
    messages = list(tap.published())
    unpacked = [(topic, repr(unseal(payload)).encode()) for topic, payload in messages]
    assert {topic.rpartition("/")[2] for topic, _ in messages} == LEAVES
    assert any(b"other" in text for _, text in unpacked), "names of strangers are told as other"
    for what, data in [("raw bytes", raw), *unpacked, ("log", agent.log().encode()), ("local pages", shown)]:
        assert not holds_word(data), f"{what} holds a planted word: {_around(data)!r}"


def test_the_search_finds_what_it_looks_for() -> None:
    for data in (WORD.encode(), WORD.upper().encode(), WORD.encode().hex().encode(),
                 *(base64.b64encode(b"x" * lead + WORD.encode() + b"tail") for lead in range(4))):  # fmt: skip
        assert holds_word(b"before" + data + b"after"), data
    assert not holds_word(b"zq canary")
