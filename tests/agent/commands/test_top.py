"""``stonechat top``: on a pseudo terminal, where it can be quit, resized, ended and looked at."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.agent.commands.conftest import EVENTS, NOW_MS, Device, several

from stonechat_agent.commands.picture import View, picture
from stonechat_agent.commands.terminal import Terminal
from stonechat_agent.journal import Stats
from stonechat_agent.local.status import status_of
from stonechat_agent.pipeline import Snapshot
from stonechat_agent.scoring.worker.keeper import Stats as Scoring
from stonechat_agent.settings import load

ENTER, LEAVE = "\x1b[?1049h", "\x1b[?1049l"
RECENT: dict[str, Any] = {
    "version": "1",
    "series": {"t": [7], "cpu": [0.25], "memory": [None], "in_flight": [1]},
}
STYLE = re.compile(r"\x1b\[[0-9;]*m")


def status(device: Device, **more: Any) -> dict[str, Any]:
    """What an agent says that has just started, made by the agent's own code."""
    snapshot = Snapshot({}, {}, 60_000, {"engine": True}, 3, 4096, False, {"window.full": 2}, None)
    found = status_of(
        load(str(device.config), as_service=False),
        snapshot,
        relaying=frozenset({"engine"}),
        sources=[],
        journal=Stats(40_960, 0, 0, ""),
        scoring=Scoring(0, 0, None, None, "", 0, 0, 0, {}, ()),
        untold={},
        uplink_fault="",
        uptime_seconds=60.0,
    )
    return {**found, **more}


@contextlib.contextmanager
def agent(device: Device, answer: dict[str, Any], recent: dict[str, Any] = RECENT) -> Iterator[None]:
    """An endpoint of the device that answers as an agent's."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(recent if self.path.startswith("/v1/recent") else answer).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    text = device.config.read_text()
    device.config.write_text(re.sub(r'listen = ".*"', f'listen = "127.0.0.1:{server.server_port}"', text))
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def seen(tmp_path: Path) -> Iterator[Device]:
    """A device with several exchanges and an agent."""
    device = Device(tmp_path)
    device.write(several(), EVENTS)
    with agent(device, status(device)):
        yield device


class OnTerminal:
    """The command on a pseudo terminal of a size."""

    def __init__(self, device: Device, columns: int = 80, lines: int = 24, **environ: str) -> None:
        self.ours, self.theirs = pty.openpty()
        self.resize(columns, lines)
        self.before = termios.tcgetattr(self.theirs)
        self.written = ""
        self.process = subprocess.Popen(
            device.command("top"),
            stdin=self.theirs,
            stdout=self.theirs,
            stderr=subprocess.PIPE,
            env=device.environ(TERM="xterm-256color", **environ),
            start_new_session=True,
            text=True,
        )

    def resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def read_until(self, text: str, seconds: float = 60.0) -> str:
        """What is written until a text comes; that is not kept for the next call."""
        ends = time.monotonic() + seconds
        while text not in self.written:
            assert time.monotonic() < ends, f"{text!r} did not come: {self.written!r}"
            if select.select([self.ours], [], [], 0.1)[0]:
                self.written += os.read(self.ours, 65536).decode()
        before, _, self.written = self.written.partition(text)
        return before

    def frame(self) -> list[str]:
        """The next whole picture: what was drawn once nothing follows at once."""
        self.read_until("\x1b[H")
        while select.select([self.ours], [], [], 0.15)[0]:
            self.written += os.read(self.ours, 65536).decode()
        *_, body = self.written.split("\x1b[H")
        self.written = ""
        body = body.removesuffix("\x1b[J").removesuffix("\r\n")
        return [STYLE.sub("", line).replace("\x1b[K", "") for line in body.split("\r\n")]

    def ended(self) -> int:
        """The exit code; the terminal must be as it was."""
        self.read_until(LEAVE)
        code = self.process.wait(timeout=60)
        assert termios.tcgetattr(self.theirs) == self.before
        assert self.process.stderr is not None
        assert "Traceback" not in self.process.stderr.read()
        return code

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stderr is not None
        self.process.stderr.close()
        os.close(self.ours)
        os.close(self.theirs)


@pytest.fixture
def on_terminal(seen: Device) -> Iterator[OnTerminal]:
    one = OnTerminal(seen)
    yield one
    one.close()


def test_it_draws_engines_device_exchanges_and_losses(on_terminal: OnTerminal) -> None:
    on_terminal.read_until(ENTER)
    lines = on_terminal.frame()
    text = "\n".join(lines)
    assert lines[0].startswith("kiosk (default)  ")
    assert lines[0].endswith("all well")
    for part in (
        "engine   engine up",
        "CPU 25%  memory -",
        "1 under way, ",
        "lost     2 window.full",
        "findings repetition 1",
        "gemma3:1b",
        "timeout",
    ):
        assert part in text
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80


def test_q_quits_and_restores_the_terminal(on_terminal: OnTerminal) -> None:
    on_terminal.frame()
    os.write(on_terminal.ours, b"q")
    assert on_terminal.ended() == 0


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)]
)
def test_signals_restore_the_terminal(on_terminal: OnTerminal, number: int, code: int) -> None:
    on_terminal.frame()
    on_terminal.process.send_signal(number)
    assert on_terminal.ended() == code


def test_a_smaller_terminal_is_drawn_anew(on_terminal: OnTerminal) -> None:
    on_terminal.frame()
    for columns, height in ((50, 14), (34, 5), (120, 40)):
        on_terminal.resize(columns, height)
        ends = time.monotonic() + 60
        while True:
            lines = on_terminal.frame()
            fits = len(lines) <= height and max(map(len, lines)) <= columns
            if fits and ("TOK/S" in "\n".join(lines)) == (columns == 120):
                break
            assert time.monotonic() < ends


def test_stopping_and_continuing(on_terminal: OnTerminal) -> None:
    on_terminal.frame()
    on_terminal.process.send_signal(signal.SIGTSTP)
    on_terminal.read_until(LEAVE)
    ends = time.monotonic() + 60
    while Path(f"/proc/{on_terminal.process.pid}/stat").read_text().split(") ")[1][0] != "T":
        assert time.monotonic() < ends
        time.sleep(0.05)
    assert termios.tcgetattr(on_terminal.theirs) == on_terminal.before
    on_terminal.process.send_signal(signal.SIGCONT)
    on_terminal.read_until(ENTER)
    on_terminal.frame()
    os.write(on_terminal.ours, b"q")
    assert on_terminal.ended() == 0


@pytest.mark.parametrize("where", ["drawing", "looking"])
def test_a_fault_of_ours_restores_the_terminal(seen: Device, where: str) -> None:
    # Answers that are none of an agent's: the code that draws stumbles over one, that which looks over the other.
    answer = {"device": "kiosk"} if where == "drawing" else status(seen)
    with agent(seen, answer, RECENT if where == "drawing" else {"series": {"t": 5}}):
        one = OnTerminal(seen)
        try:
            one.read_until(LEAVE)
            assert one.process.wait(timeout=60) == 1
            assert termios.tcgetattr(one.theirs) == one.before
        finally:
            one.close()


def test_an_agent_that_goes_away_is_told(tmp_path: Path) -> None:
    device = Device(tmp_path)
    device.write(several())
    with agent(device, status(device)):
        one = OnTerminal(device)
        one.frame()
    try:
        ends = time.monotonic() + 60
        while "no agent answers" not in one.frame()[0]:
            assert time.monotonic() < ends
        assert "gemma3:1b" in "\n".join(one.frame())
        os.write(one.ours, b"q")
        assert one.ended() == 0
    finally:
        one.close()


def test_once_prints_one_picture_without_a_terminal(seen: Device) -> None:
    text = seen.out("top", "--once")
    assert "\x1b" not in text
    assert text.startswith("kiosk (default)  ")
    assert "qwen2.5:0.5b" in text


def test_once_without_an_agent_shows_the_journal_and_fails(device: Device) -> None:
    done = device.run("top", "--once")
    assert (done.returncode, done.stderr) == (1, "")
    assert "no agent answers" in done.stdout
    assert "gemma3:1b" in done.stdout


def test_without_a_terminal_it_says_what_to_do(seen: Device) -> None:
    done = seen.run("top", TERM="xterm")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith("is no terminal that can be drawn on\n  hint: --once prints one picture\n")


def test_what_is_known_of_this_second_comes_before_means(seen: Device) -> None:
    now = {"cpu": 0.5, "temperature": 71.25, "throttled": 1.0, "in_flight": 2.0}
    view = View(NOW_MS, status(seen), now, "", [], 12.5, {})
    text = "\n".join(picture(view, NOW_MS, 24, Terminal(environ={})))
    assert "CPU 50%  memory -  71.2 C  throttled" in text
    assert "mean of" not in text
    assert "traffic  0 in 60 s, 0 failed, 0 aborted, first token unknown" in text
    assert "2 under way, unknown each, 12.5 tokens/s in all (1 min)" in text
    assert "\x1b" not in text
    late = picture(view, NOW_MS + 10_000, 24, Terminal(environ={}))
    assert ", 10.0s ago" in late[0]
    assert "mean of 60 s" in "\n".join(picture(view._replace(now={}), NOW_MS, 24, Terminal(environ={})))
