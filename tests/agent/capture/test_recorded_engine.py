"""What a real llama-server said, recorded by tests/engine/record.py: the exchanges have its own figures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.agent.capture.corpus import FOLDER, cut, play, timed
from tests.engine.truth import differences

from stonechat.exchange import Outcome
from stonechat.exchange_row import to_row
from stonechat_agent.capture import Bounds, Budget, Connection, Counts

RECORDED = sorted(FOLDER.glob("llama-server-*/*.json"))
each_recorded = pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)


def spans(path: Path) -> list[tuple[bool, bytes]]:
    both = ((True, path.with_suffix(".request")), (False, path.with_suffix(".response")))
    return [(from_client, data) for from_client, file in both if (data := file.read_bytes())]


def check(path: Path, pieces: list[tuple[bool, bytes]]) -> None:
    about = json.loads(path.read_text())
    played = play(timed(pieces), about["end"], Bounds())
    (exchange,) = played.exchanges
    assert differences(to_row(exchange), about["row"]) == {}
    assert played.counts.dropped == {}
    assert played.counts.in_flight == 0
    assert played.budget.used == 0


def test_the_recordings_are_there() -> None:
    assert len(RECORDED) >= 46


@each_recorded
def test_whole(path: Path) -> None:
    check(path, spans(path))


@each_recorded
def test_byte_by_byte(path: Path) -> None:
    pieces = spans(path)
    check(path, cut(pieces, range(sum(len(data) for _, data in pieces))))


@each_recorded
def test_two_pieces_cut_anywhere_in_the_answer(path: Path) -> None:
    pieces = spans(path)
    size = sum(len(data) for _, data in pieces)
    start = len(pieces[0][1])
    for place in range(start, size, max(1, (size - start) // 200)):
        check(path, cut(pieces, [place]))


@pytest.mark.parametrize("name", ["chat_left_whole", "chat_left_in_prefill"])
@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nServer: llama.cpp\r\nContent-Type: application/json; charset=utf-8\r\n"
        b"Connection: close\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nServer: llama.cpp\r\nContent-Type: text/event-stream\r\n"
        b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
    ],
    ids=["nothing in it", "never begun"],
)
def test_an_answer_that_the_engine_gives_up_since_its_client_sends_no_more(name: str, answer: bytes) -> None:
    # What llama-server b1-0c1e570 sends then, whole and streamed.
    (path,) = FOLDER.glob(f"llama-server-*/{name}.request")
    connection = Connection("engine", bounds=Bounds(), budget=Budget(), counts=Counts())
    connection.client_bytes(path.read_bytes(), 1)
    connection.client_eof(2)
    ended = [*connection.engine_bytes(answer, 3), *connection.engine_closed(4)]
    (exchange,) = [*ended, *connection.client_closed(5)]
    assert (exchange.outcome, exchange.error_type) == (Outcome.ABORTED, None)
    assert exchange.closed_ns is not None
