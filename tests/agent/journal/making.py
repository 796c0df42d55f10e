"""Exchanges and journals for the tests of the journal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from stonechat.exchange import Exchange, Operation
from stonechat.ids import exchange_id
from stonechat.transcript import ToolCall, Transcript, Turn
from stonechat_agent.journal import FILE, Journal

NOW_MS = 1_790_000_000_000
HOUR_MS = 3_600_000
_numbers = count()


def said(prompt: str = "What is the capital of France?", answer: str = "Paris.", **more: Any) -> Transcript:
    return Transcript([Turn("system", "Be brief."), Turn("user", prompt)], answer=answer, **more)


def exchange(transcript: Transcript | None = None, **fields: Any) -> Exchange:
    number = next(_numbers)
    wall_ms = fields.pop("wall_ms", NOW_MS + number)
    id = fields.pop("id", exchange_id(wall_ms, number))
    fields.setdefault("accepted_ns", time.monotonic_ns())
    return Exchange(
        "engine", id=id, wall_ms=wall_ms, operation=Operation.CHAT, transcript=transcript, **fields
    )


def everything(word: str) -> Transcript:
    """A transcript with a word in each of its texts."""
    return Transcript(
        [Turn("system", f"s {word}"), Turn("user", f"u {word}"), Turn("tool", f"t {word}")],
        answer=f"a {word}",
        reasoning=f"r {word}",
        tool_calls=[ToolCall(f"n_{word}", f'{{"x": "{word}"}}')],
        error=f"e {word}",
    )


def journal(directory: Path, **settings: Any) -> Journal:
    given: dict[str, Any] = {
        "max_size": 8 << 20,
        "max_age_ns": 30 * 86_400 * 10**9,
        "texts": "all",
        "sample": 0.0,
        "redact": lambda transcript: transcript,
        "random": lambda: 0.5,
        "wall_ms": lambda: NOW_MS,
    }
    return Journal(str(directory), **(given | settings))


@contextmanager
def running(directory: Path, **settings: Any) -> Iterator[Journal]:
    one = journal(directory, **settings)
    one.start()
    try:
        yield one
    finally:
        assert one.stop(60), "the journal did not stop in time"


def write(directory: Path, *exchanges: Exchange, **settings: Any) -> Journal:
    """A journal that has written exchanges, and has stopped."""
    with running(directory, **settings) as one:
        for each in exchanges:
            one.put(each)
    return one


def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about in time"
        time.sleep(0.02)


def bytes_of(directory: Path) -> bytes:
    """All that lies in a journal's directory."""
    return b"".join(path.read_bytes() for path in directory.iterdir() if path.name.startswith(FILE))
