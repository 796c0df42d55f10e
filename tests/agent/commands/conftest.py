"""A device with a configuration and a real journal, and the command as a process."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from stonechat.event import EventKind, Severity
from stonechat.exchange import Exchange, Operation, Outcome, Provenance, Quantity
from stonechat.ids import exchange_id
from stonechat.transcript import ToolCall, Transcript, Turn
from stonechat_agent.journal import Journal, Pseudonyms, load_key

MS = 1_000_000
NOW_MS = time.time_ns() // MS


class Device:
    """Its directory, its agent.toml, and what its journal was given."""

    def __init__(self, directory: Path, *, texts: str = "all", upload: str = "none") -> None:
        self.directory = directory
        self.config = directory / "agent.toml"
        self.config.write_text(
            f'[device]\nid = "kiosk"\n[journal]\npath = "{directory}"\n[spool]\npath = "{directory}"\n'
            f'[privacy]\njournal = "{texts}"\nupload = "{upload}"\n[local]\nlisten = "127.0.0.1:1"\n'
        )
        self.texts = texts
        self.pseudonyms = Pseudonyms(load_key(str(directory)))

    def write(self, exchanges: Sequence[Exchange], events: Sequence[tuple[Any, ...]] = ()) -> None:
        """Write into the journal as the agent does."""
        journal = Journal(
            str(self.directory),
            max_size=8 << 20,
            max_age_ns=30 * 86_400 * 10**9,
            texts=self.texts,
            sample=0.5,
            redact=lambda transcript: transcript,
            random=lambda: 0.9,
        )
        journal.start()
        for exchange in exchanges:
            journal.put(exchange, "slow" if exchange.engine == "sent" else None)
        for event in events:
            journal.put_event(*event)
        journal.mark_sent([exchange.id for exchange in exchanges if exchange.engine == "sent"])
        assert journal.stop(30)

    def environ(self, **more: str) -> dict[str, str]:
        return {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "TZ": "UTC", "LANG": "C.UTF-8", **more}

    def command(self, *arguments: str) -> list[str]:
        name, *rest = arguments
        return [sys.executable, "-m", "stonechat_agent", name, "--config", str(self.config), *rest]

    def run(self, *arguments: str, stdin: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            env=self.environ(**environ),
            check=False,
        )

    def out(self, *arguments: str, **environ: str) -> str:
        """What a command that succeeds prints."""
        done = self.run(*arguments, **environ)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        return done.stdout


def ident(number: int, wall_ms: int = NOW_MS) -> str:
    return exchange_id(wall_ms, number)


def make(number: int, *, ago_ms: int = 60_000, **fields: Any) -> Exchange:
    """An exchange of plausible figures. Fields of Exchange in ns of its own line; texts by ``transcript``."""
    wall_ms = NOW_MS - ago_ms
    given: dict[str, Any] = {
        "engine": "engine",
        "id": ident(number, wall_ms),
        "wall_ms": wall_ms,
        "operation": Operation.CHAT,
        "dialect": "openai.chat",
        "request_model": "qwen2.5:0.5b",
        "response_model": "qwen2.5:0.5b",
        "streamed": True,
        "status": 200,
        "finish_reason": "stop",
        "request_complete_ns": 2 * MS,
        "connected_ns": 3 * MS,
        "first_byte_ns": 400 * MS,
        "first_token_ns": 500 * MS,
        "last_byte_ns": 2500 * MS,
        "prefill_duration": Quantity(450 * MS, Provenance.ENGINE),
        "decode_duration": Quantity(2000 * MS, Provenance.ENGINE),
        "input_tokens": Quantity(120, Provenance.ENGINE),
        "output_tokens": Quantity(101, Provenance.ENGINE),
        "request_bytes": 700,
        "response_bytes": 2048,
    }
    return Exchange(**(given | fields))


def said(prompt: str, answer: str, **more: Any) -> Transcript:
    return Transcript([Turn("user", prompt)], answer=answer, **more)


EVENTS = (
    (NOW_MS - 120_000, EventKind.STARTED, "agent", Severity.INFO),
    (NOW_MS - 60_000, EventKind.ENGINE_DOWN, "engine", Severity.CRITICAL),
    (NOW_MS - 30_000, EventKind.CLOCK_STEPPED, "clock", Severity.WARNING, {"step_ms": -90_000}),
)


def several() -> list[Exchange]:
    """Five exchanges: three models, an error, an abort, findings, scores, users."""
    return [
        make(1, ago_ms=2 * 86_400_000, transcript=said("Is the shop open?", "Yes, until nine.")),
        make(
            2,
            ago_ms=300_000,
            first_token_ns=3000 * MS,
            last_byte_ns=5000 * MS,
            findings=("repetition",),
            scores={"toxic": 0.75, "quality": 0.5},
            transcript=said("Where is my refund?", "refund refund refund refund"),
        ),
        make(
            3,
            ago_ms=200_000,
            request_model="gemma3:1b",
            response_model=None,
            outcome=Outcome.ERROR,
            error_type="timeout",
            status=504,
            finish_reason=None,
            first_token_ns=None,
            first_byte_ns=None,
            prefill_duration=None,
            decode_duration=None,
            output_tokens=None,
            transcript=Transcript([Turn("user", "Hello?")], error="upstream timed out"),
        ),
        make(
            4,
            ago_ms=100_000,
            outcome=Outcome.ABORTED,
            closed_ns=900 * MS,
            last_byte_ns=None,
            finish_reason=None,
            conversation="c-0123456789ab",
        ),
        make(
            5,
            ago_ms=50_000,
            request_model=None,
            response_model=None,
            tool_calls=1,
            transcript=Transcript(
                [Turn("system", "Be brief."), Turn("user", "Order \x1b[31m42?")],
                answer="Looking.",
                tool_calls=[ToolCall("look_up", '{"order": 42}')],
            ),
        ),
    ]


@pytest.fixture
def empty(tmp_path: Path) -> Device:
    return Device(tmp_path)


@pytest.fixture(scope="session")
def device(tmp_path_factory: pytest.TempPathFactory) -> Device:
    """One that has seen `several` exchanges, and is not written to by tests."""
    one = Device(tmp_path_factory.mktemp("device"))
    one.write(several(), EVENTS)
    os.chmod(one.directory, 0o755)
    return one
