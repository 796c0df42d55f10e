"""The recorded connections of ``tests/fixtures/dialects``, and ways to play them to a capture."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from enum import Enum
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from stonechat.exchange import Exchange, Provenance, Quantity
from stonechat.transcript import Transcript
from stonechat_agent.capture import Bounds, Budget, Connection, Counts

FOLDER = Path(__file__).parents[2] / "fixtures" / "dialects"


class Piece(NamedTuple):
    """Bytes of one direction, and the instant of their last byte: its place in the order in which they come."""

    from_client: bool
    data: bytes
    now_ns: int


@dataclass(frozen=True, eq=False)
class Recorded:
    """One fixture: see ``write.py`` beside the files."""

    name: str
    turns: tuple[tuple[bytes, bytes], ...]
    end: str
    marks: dict[str, int]
    exchanges: list[dict[str, Any]]
    bounds: Bounds
    dropped: str | None
    opaque: int
    lost: int

    @property
    def request(self) -> bytes:
        return b"".join(sent for sent, _ in self.turns)

    @property
    def response(self) -> bytes:
        return b"".join(got for _, got in self.turns)

    def spans(self) -> list[tuple[bool, bytes]]:
        """Return what each side sends in turn."""
        return [span for sent, got in self.turns for span in ((True, sent), (False, got)) if span[1]]


def _load(path: Path) -> Recorded:
    about = json.loads(path.read_text())
    request = path.with_suffix(".request").read_bytes()
    response = path.with_suffix(".response").read_bytes()
    turns = []
    for sent, got in about["turns"]:
        turns.append((request[:sent], response[:got]))
        request, response = request[sent:], response[got:]
    assert not request
    assert not response
    return Recorded(
        name=path.stem,
        turns=tuple(turns),
        end=about["end"],
        marks=about["marks"],
        exchanges=about["exchanges"],
        bounds=Bounds(body_bytes=about.get("body_bytes", 1 << 20)),
        dropped=about.get("dropped"),
        opaque=about.get("opaque", 0),
        lost=about.get("lost", 0),
    )


CORPUS = [_load(path) for path in sorted(FOLDER.glob("*.json"))]


def timed(spans: Iterable[tuple[bool, bytes]]) -> list[Piece]:
    """Give each piece its instant."""
    pieces, position = [], 0
    for from_client, data in spans:
        position += len(data)
        pieces.append(Piece(from_client, data, position))
    return pieces


def cut(spans: Sequence[tuple[bool, bytes]], places: Iterable[int]) -> list[tuple[bool, bytes]]:
    """Cut spans at places counted over all their bytes."""
    result, start, wanted = [], 0, sorted(places)
    for from_client, data in spans:
        inner = [0, *(place - start for place in wanted if 0 < place - start < len(data)), len(data)]
        result += [(from_client, data[a:b]) for a, b in pairwise(inner) if a < b]
        start += len(data)
    return result


@dataclass
class Played:
    """What a capture made of a connection."""

    exchanges: list[Exchange]
    counts: Counts
    budget: Budget
    connection: Connection


def play(pieces: Sequence[Piece], end: str, bounds: Bounds) -> Played:
    """Feed a new capture, connected at instant 0, and end its connection one instant after the last byte."""
    counts, budget = Counts(), Budget()
    connection = Connection("engine", bounds=bounds, budget=budget, counts=counts)
    exchanges = list(connection.engine_connected(0))
    now_ns = 0
    for from_client, data, now_ns in pieces:
        exchanges += (connection.client_bytes if from_client else connection.engine_bytes)(data, now_ns)
    if end == "client_eof":
        exchanges += connection.client_eof(now_ns + 1)
        exchanges += connection.engine_closed(now_ns + 1)
    elif end == "engine_eof":
        exchanges += connection.engine_eof(now_ns + 1)
    elif end == "engine_closed":
        exchanges += connection.engine_closed(now_ns + 1)
    exchanges += connection.client_closed(now_ns + 1)
    return Played(exchanges, counts, budget, connection)


@cache
def play_bytewise(recorded: Recorded) -> Played:
    """Play a fixture byte by byte, so that its instants are exact."""
    spans = recorded.spans()
    return play(timed(cut(spans, range(sum(len(data) for _, data in spans)))), recorded.end, recorded.bounds)


def summary(exchange: Exchange) -> dict[str, Any]:
    """Return an exchange as a fixture writes it: without instants, and without what is unknown or empty."""
    found: dict[str, Any] = {}
    for field in fields(exchange):
        value = getattr(exchange, field.name)
        if (
            field.name.endswith("_ns")
            or field.name in ("engine", "source")
            or (not value and value is not False)
        ):
            continue
        if isinstance(value, Transcript):
            found[field.name] = said(value)
            continue
        if isinstance(value, Quantity):
            by_clock = field.name.endswith("_duration") and value.provenance is not Provenance.ENGINE
            found[field.name] = value.provenance.value if by_clock else [value.value, value.provenance.value]
        elif isinstance(value, Enum):
            found[field.name] = value.value
        else:
            found[field.name] = sorted(value) if isinstance(value, set) else value
    return found


def said(transcript: Transcript) -> dict[str, Any]:
    """Return a transcript as a fixture writes it: without what is empty."""
    whole = {field.name: getattr(transcript, field.name) for field in fields(transcript)}
    pairs = {"turns": list(map(list, transcript.turns)), "tool_calls": list(map(list, transcript.tool_calls))}
    return {
        name: value for name, value in (whole | pairs | {"tools": list(transcript.tools)}).items() if value
    }


def instants(exchange: Exchange) -> dict[str, int | None]:
    """Return an exchange's instants."""
    return {
        field.name: getattr(exchange, field.name) for field in fields(exchange) if field.name.endswith("_ns")
    }
