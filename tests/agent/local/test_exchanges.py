"""``POST /v1/exchanges``: what is taken, what is refused before it is read, and that nobody waits meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stonechat.exchange import Exchange
from stonechat_agent.local import endpoint as serving
from stonechat_agent.local.endpoint import Endpoint, json_page
from stonechat_agent.local.exchanges import MAX_TOLD, ExchangeIntake


class Agent:
    """An endpoint with the intake behind it, and what came through."""

    def __init__(self, port: int, taken: list[Exchange]) -> None:
        self.port = port
        self.taken = taken

    async def send(self, raw: bytes, *, pause: float = 0.0) -> list[tuple[int, Any]]:
        """The answers to bytes, sent in two parts when there is a pause, up to the connection's end."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        half = len(raw) // 2 if pause else len(raw)
        writer.write(raw[:half])
        await writer.drain()
        if pause:
            await asyncio.sleep(pause)
            writer.write(raw[half:])
            await writer.drain()
        answers = []
        try:
            while True:
                head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 120)
                status = int(head.split(b" ")[1])
                if status == 100:
                    answers.append((100, None))
                    continue
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                answers.append((status, json.loads(await reader.readexactly(length))))
        except asyncio.IncompleteReadError:
            pass
        writer.close()
        return answers

    def post(self, body: bytes, *lines: str, kind: str = "application/json", close: bool = True) -> bytes:
        head = [
            "POST /v1/exchanges HTTP/1.1",
            f"Host: 127.0.0.1:{self.port}",
            f"Content-Type: {kind}",
            f"Content-Length: {len(body)}",
            *lines,
            *(["Connection: close"] if close else []),
        ]
        return "\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + body


def served(use: Callable[[Agent], Awaitable[None]]) -> list[Exchange]:
    """Run against an endpoint of its own; what it took."""
    taken: list[Exchange] = []
    faults: list[dict[str, Any]] = []

    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
        intake = ExchangeIntake(taken.append, lambda: ("llama", "ollama"))
        endpoint = Endpoint(
            {"/ok": lambda: json_page("fine")},
            lookups={"/asked": lambda query: json_page(dict(query))},
            takes={"/v1/exchanges": intake},
        )
        port = await endpoint.start("127.0.0.1", 0)
        try:
            await use(Agent(port, taken))
        finally:
            await endpoint.stop()
        assert endpoint.hold(serving.MAX_BODIES), "a body was not given back"

    asyncio.run(run())
    assert faults == []
    return taken


def answer_to(make: Callable[[Agent], bytes]) -> tuple[int, Any]:
    """The one answer to a request."""
    answers: list[tuple[int, Any]] = []

    async def use(agent: Agent) -> None:
        answers.extend(await agent.send(make(agent)))

    served(use)
    assert len(answers) == 1
    return answers[0]


RECORD = b'{"prompt": "Hello?", "response": "Hello!", "model": "m:1b"}'


def test_an_object_is_taken() -> None:
    async def use(agent: Agent) -> None:
        assert await agent.send(agent.post(RECORD)) == [(202, {"accepted": 1, "rejected": []})]

    (exchange,) = served(use)
    assert exchange.source.value == "record"
    assert exchange.engine == "llama"
    assert exchange.transcript is not None
    assert exchange.transcript.answer == "Hello!"
    assert exchange.wall_ms is not None
    assert abs(exchange.wall_ms - time.time() * 1000) < 60_000


def test_lines_are_taken_and_refused_each_by_itself() -> None:
    lines = b"\n".join([RECORD, b"", b"nonsense", b'{"respons": "x"}', RECORD.replace(b"m:1b", b"m:2b")])

    async def use(agent: Agent) -> None:
        ((status, answer),) = await agent.send(agent.post(lines, kind="application/x-ndjson; charset=utf-8"))
        assert status == 202
        assert answer["accepted"] == 2
        assert answer["rejected"] == [
            {"line": 3, "reason": "is not JSON"},
            {"line": 4, "reason": "no key 'respons' is known: did you mean 'response'?"},
        ]

    assert [exchange.response_model for exchange in served(use)] == ["m:1b", "m:2b"]


def test_a_body_in_chunks_and_pieces_is_taken() -> None:
    async def use(agent: Agent) -> None:
        head = agent.post(b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
        chunks = b"".join(b"1\r\n" + bytes([byte]) + b"\r\n" for byte in RECORD) + b"0\r\n\r\n"
        assert (await agent.send(head + chunks, pause=0.05))[0][1]["accepted"] == 1

    assert len(served(use)) == 1


def test_a_client_that_waits_for_leave_is_given_it() -> None:
    async def use(agent: Agent) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", agent.port)
        head, end, body = agent.post(RECORD, "Expect: 100-continue").partition(b"\r\n\r\n")
        writer.write(head + end)
        leave = await asyncio.wait_for(reader.readuntil(end), 60)
        assert leave.startswith(b"HTTP/1.1 100 ")
        writer.write(body)
        answer = await asyncio.wait_for(reader.read(), 60)
        assert answer.startswith(b"HTTP/1.1 202 ")
        writer.close()

    served(use)


@pytest.mark.parametrize(
    ("make", "status"),
    [
        (lambda agent: agent.post(b""), 400),
        (lambda agent: agent.post(b"[]"), 400),
        (lambda agent: agent.post(b"[" * 100_000), 400),
        (lambda agent: agent.post(b"\xff\xfe"), 400),
        (lambda agent: agent.post(RECORD, kind="text/plain"), 415),
        (lambda agent: agent.post(RECORD, kind="application/x-www-form-urlencoded"), 415),
        (lambda agent: agent.post(RECORD, kind="multipart/form-data; x=application/json"), 415),
        (lambda agent: agent.post(RECORD, "Content-Encoding: gzip"), 415),
        (lambda agent: agent.post(RECORD, "Origin: http://evil.example"), 403),
        (lambda agent: agent.post(RECORD, "Origin: null"), 403),
        (lambda agent: agent.post(RECORD, "Sec-Fetch-Site: cross-site"), 403),
        (lambda agent: agent.post(RECORD).replace(b"Host: 127.0.0.1", b"Host: evil.example"), 403),
        (lambda agent: agent.post(RECORD).replace(b"POST", b"PUT"), 405),
        (lambda agent: agent.post(RECORD).replace(b"POST /v1/exchanges", b"POST /ok"), 405),
        (lambda agent: agent.post(b" " * (serving.MAX_BODY + 1)), 413),
        (lambda agent: agent.post(b"x" * 8_000_000), 413),
        (lambda agent: agent.post(RECORD, "Transfer-Encoding: chunked"), 400),
    ],
)
def test_what_is_refused(make: Callable[[Agent], bytes], status: int) -> None:
    assert answer_to(make)[0] == status


def test_a_body_in_chunks_ends_at_the_bound_too() -> None:
    def make(agent: Agent) -> bytes:
        head = agent.post(b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
        return head + (b"8000\r\n" + b" " * 0x8000 + b"\r\n") * 64

    assert answer_to(make)[0] == 413


def test_a_link_from_elsewhere_is_followed_and_a_frame_is_not() -> None:
    def make(destination: str) -> Callable[[Agent], bytes]:
        lines = f"Sec-Fetch-Site: cross-site\r\nSec-Fetch-Dest: {destination}\r\nConnection: close"
        return lambda agent: f"GET /ok HTTP/1.1\r\nHost: 127.0.0.1:{agent.port}\r\n{lines}\r\n\r\n".encode()

    assert answer_to(make("document"))[0] == 200
    assert answer_to(make("iframe"))[0] == 403
    assert answer_to(make("script"))[0] == 403


def test_a_lookup_gets_the_query() -> None:
    def make(query: str) -> Callable[[Agent], bytes]:
        head = f"GET /asked?{query} HTTP/1.1\r\nHost: 127.0.0.1"
        return lambda agent: f"{head}:{agent.port}\r\nConnection: close\r\n\r\n".encode()

    assert answer_to(make("after=12&b=%20")) == (200, {"after": "12", "b": " "})
    assert answer_to(make("&".join(f"{key}=1" for key in "abcdefghijklmnopqrstuvw")))[0] == 400


def test_requests_behind_a_long_body_are_answered_in_their_order() -> None:
    lines = b"\n".join([RECORD] * 5_000)

    async def use(agent: Agent) -> None:
        get = f"GET /ok HTTP/1.1\r\nHost: 127.0.0.1:{agent.port}\r\n\r\n".encode()
        first = agent.post(lines, kind="application/x-ndjson", close=False)
        answers = await agent.send(first + get + agent.post(RECORD))
        assert [(status, body["accepted"] if body != "fine" else body) for status, body in answers] == [
            (202, 5_000),
            (200, "fine"),
            (202, 1),
        ]

    assert len(served(use)) == 5_001


@pytest.mark.parametrize("line", [RECORD, b"x", b"", b'{"x":1}'])
def test_the_relay_goes_on_while_a_megabyte_of_lines_is_taken(line: bytes) -> None:
    lines = (line + b"\n") * (serving.MAX_BODY // (len(line) + 1))

    async def use(agent: Agent) -> None:
        sending = asyncio.ensure_future(agent.send(agent.post(lines, kind="application/x-ndjson")))
        beats = 0
        while not sending.done():
            await asyncio.sleep(0)
            beats += 1
        ((status, answer),) = sending.result()
        assert status in (202, 400)
        assert len(answer["rejected"]) <= MAX_TOLD
        told = answer["accepted"] + len(answer["rejected"]) + answer.get("more_rejected", 0)
        assert told == (lines.count(b"\n") if line else 0)
        # Not timed, because this machine may be busy: the loop had its turn often while the lines were worked off.
        assert beats > 20

    served(use)


def test_bodies_that_come_at_once_share_a_bound() -> None:
    async def use(agent: Agent) -> None:
        half = serving.MAX_BODY // 2
        writers = []
        for _ in range(2 * serving.MAX_BODIES // serving.MAX_BODY):
            _, writer = await asyncio.open_connection("127.0.0.1", agent.port)
            writer.write(agent.post(b" " * serving.MAX_BODY)[: half - 500])
            await writer.drain()
            writers.append(writer)
        large = RECORD + b" " * 16_000

        async def answered(wanted: int) -> None:
            """Wait until what was sent, or that its sender left, has been read."""
            ends = time.monotonic() + 60
            while (await agent.send(agent.post(large)))[0][0] != wanted:
                assert time.monotonic() < ends
                await asyncio.sleep(0.05)

        await answered(503)
        for writer in writers:
            writer.close()
        await answered(202)

    served(use)


def test_a_client_that_leaves_in_the_middle_leaves_nothing_behind() -> None:
    async def use(agent: Agent) -> None:
        lines = (RECORD + b"\n") * 10_000
        for size in (10, 300, 1_000, 100_000):
            with socket.create_connection(("127.0.0.1", agent.port)) as client:
                client.sendall(agent.post(lines, kind="application/x-ndjson")[:size])
            await asyncio.sleep(0.01)
        ((status, _),) = await agent.send(agent.post(RECORD))
        assert status == 202

    assert len(served(use)) == 1


def test_a_client_that_only_stops_sending_is_answered() -> None:
    async def use(agent: Agent) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", agent.port)
        lines = (RECORD + b"\n") * 3_000
        writer.write(agent.post(lines, kind="application/x-ndjson", close=False))
        writer.write_eof()
        answer = await asyncio.wait_for(reader.read(), 60)
        assert b'{"accepted":3000,"rejected":[]}' in answer
        writer.close()

    served(use)


def test_a_request_may_be_cut_anywhere() -> None:
    async def use(agent: Agent) -> None:
        raw = agent.post(RECORD, "Origin: http://127.0.0.1:" + str(agent.port))
        for cut in range(1, len(raw)):
            reader, writer = await asyncio.open_connection("127.0.0.1", agent.port)
            writer.write(raw[:cut])
            await asyncio.sleep(0)
            writer.write(raw[cut:])
            assert (await asyncio.wait_for(reader.read(), 60)).startswith(b"HTTP/1.1 202 "), cut
            writer.close()

    served(use)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_spoilt_request_never_stops_the_endpoint(data: st.DataObject) -> None:
    spoil = data.draw(st.lists(st.tuples(st.integers(0, 400), st.binary(max_size=6)), min_size=1, max_size=4))

    async def use(agent: Agent) -> None:
        raw = bytearray(agent.post(RECORD, close=False) + agent.post(RECORD))
        for at, piece in spoil:
            raw[at : at + len(piece)] = piece
        reader, writer = await asyncio.open_connection("127.0.0.1", agent.port)
        writer.write(bytes(raw))
        writer.write_eof()
        with contextlib.suppress(ConnectionError):
            await asyncio.wait_for(reader.read(), 60)
        writer.close()
        ((status, _),) = await agent.send(agent.post(RECORD))
        assert status == 202

    served(use)
