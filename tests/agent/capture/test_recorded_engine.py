"""What a real llama-server said, recorded by tests/engine/record.py: the exchanges have its own figures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.agent.capture.corpus import FOLDER, cut, play, timed
from tests.engine.truth import differences

from stonechat.exchange_row import to_row
from stonechat_agent.capture import Bounds

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
