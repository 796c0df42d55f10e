"""``stonechat top``: engines, device and exchanges, drawn anew every second."""

from __future__ import annotations

import argparse
import contextlib
import os
import select
import signal
import sys
import threading
import time
from collections import Counter
from types import FrameType
from typing import Any

from stonechat.errors import StonechatError
from stonechat.exchange_row import Row
from stonechat_agent import status
from stonechat_agent.commands.arguments import WrongUsage
from stonechat_agent.commands.picture import View, picture
from stonechat_agent.commands.selection import now_ms
from stonechat_agent.commands.terminal import Terminal
from stonechat_agent.journal import JournalUnreadable, Reader
from stonechat_agent.settings import Settings, load

REFRESH_SECONDS = 1.0
LOOK_SECONDS = 0.25
"""How often the size of the terminal and the keys are looked at."""
LATEST = 200

_ENTER = "\x1b[?1049h\x1b[?25l"  # the other screen, without a cursor
_LEAVE = "\x1b[?25h\x1b[?1049l"
_HOME = "\x1b[H"
_REST_OF_LINE = "\x1b[K"
_REST_OF_SCREEN = "\x1b[J"

_MINUTE_MS = 60_000
_HOUR_MS = 3_600_000


def main(arguments: argparse.Namespace) -> int:
    """Draw until ``q``, or once."""
    terminal = Terminal()
    settings = load(arguments.config, as_service=False)
    if arguments.once:
        with Eyes(settings) as eyes:
            view = eyes.look()
        terminal.write("\n".join(picture(view, view.at_ms, None, terminal)) + "\n")
        return 0 if view.status is not None else 1
    if not terminal.is_tty or os.environ.get("TERM", "dumb") == "dumb":
        raise WrongUsage(
            "top: standard output is no terminal that can be drawn on\n  hint: --once prints one picture"
        )
    with Watching(settings) as watching, Screen(terminal) as screen:
        _draw_until_quit(watching, screen, terminal)
    return 0


class Eyes:
    """Looks at agent and journal. Used by one thread."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._reader: Reader | None = None
        self._second = -1
        self._version = ""
        self._latest: list[Row] | None = None
        self._now: dict[str, float] = {}

    def __enter__(self) -> Eyes:
        return self

    def __exit__(self, *_: object) -> None:
        if self._reader is not None:
            self._reader.close()

    def look(self) -> View:
        """What there is to see now. Raises nothing that agent or journal can cause."""
        faults = []
        found: dict[str, Any] | None = None
        try:
            found = status.fetch(self._settings)
            self._hear()
        except StonechatError as error:
            faults.append(str(error))
            self._latest, self._now, self._version, self._second = None, {}, "", -1
        at_ms = now_ms()
        rows: list[Row] = []
        rate: float | None = None
        findings: dict[str, int] = {}
        try:
            if self._reader is None:
                self._reader = Reader(self._settings.journal.path)
            rows = [entry.row for entry in self._reader.exchanges(limit=LATEST)]
            rate, findings = _generated(self._reader, at_ms), _findings(self._reader, at_ms)
        except JournalUnreadable as error:
            faults.append(str(error))
        if self._latest is not None:
            # The agent knows what the journal has not written yet, but not as many.
            told = {row["id"] for row in self._latest}
            rows = [*self._latest, *(row for row in rows if row["id"] not in told)]
        return View(at_ms, found, self._now, "\n".join(faults), rows, rate, findings)

    def _hear(self) -> None:
        """Take what is new of ``/v1/recent``. Raises NoAgent."""
        told = status.fetch(self._settings, f"/v1/recent?after={self._second}&seen={self._version}")
        self._latest = told.get("exchanges", self._latest)
        self._version = str(told.get("version", ""))
        series = told.get("series", {})
        if series.get("t"):
            self._second = series["t"][-1]
            latest = {name: values[-1] for name, values in series.items() if name != "t"}
            self._now = {name: value for name, value in latest.items() if value is not None}


def _generated(reader: Reader, at_ms: int) -> float:
    ((tokens,),) = reader.select(
        "SELECT sum(output_tokens) FROM exchanges WHERE start > ? AND start + duration / 1000 > ?",
        (at_ms - _HOUR_MS, at_ms - _MINUTE_MS),
    )
    return (tokens or 0) / (_MINUTE_MS / 1000)


def _findings(reader: Reader, at_ms: int) -> dict[str, int]:
    found = reader.select(
        "SELECT findings FROM exchanges WHERE start > ? AND findings IS NOT NULL", (at_ms - _HOUR_MS,)
    )
    return dict(Counter(name for (names,) in found for name in str(names).split()))


class Watching:
    """Looks every second, in a thread of its own, so that an agent that hangs holds up neither keys nor drawing."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="top.look", daemon=True)
        self.view: View | None = None
        self.failed: BaseException | None = None

    def __enter__(self) -> Watching:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()

    def _run(self) -> None:
        try:
            with Eyes(self._settings) as eyes:
                while not self._stopping.is_set():
                    self.view = eyes.look()
                    self._stopping.wait(REFRESH_SECONDS)
        except BaseException as error:
            self.failed = error  # told by the thread that draws, once the terminal is as it was


class Screen:
    """The terminal to draw on; whatever ends this, it is as it was afterwards."""

    def __init__(self, terminal: Terminal) -> None:
        import termios  # not there on Windows, where the other commands work

        self._terminal = terminal
        self._termios = termios
        self._pause_wanted = False
        self.keys = sys.stdin.fileno() if sys.stdin is not None and sys.stdin.isatty() else None
        """Descriptor of what is typed; None where nobody can type."""
        self._before = None if self.keys is None else termios.tcgetattr(self.keys)

    def __enter__(self) -> Screen:
        ending = (signal.SIGTERM, signal.SIGHUP)
        caught = (*ending, signal.SIGINT, signal.SIGTSTP)
        self._former = {number: signal.getsignal(number) for number in caught}
        try:
            signal.signal(signal.SIGTSTP, self._want_pause)
            for number in ending:
                signal.signal(number, self._end)
            self._take()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            for number in self._former:
                signal.signal(number, signal.SIG_IGN)  # a second one must not keep us from this
        finally:
            # A terminal that is gone takes nothing back.
            with contextlib.suppress(OSError, self._termios.error):
                self._give_back()
        for number, handler in self._former.items():
            signal.signal(number, handler)

    def pause_if_wanted(self) -> None:
        """Stop as Ctrl-Z asks, with the terminal as it was, and go on when we are continued."""
        if self._pause_wanted:
            self._pause_wanted = False
            self._give_back()
            os.kill(os.getpid(), signal.SIGSTOP)
            self._take()

    def _take(self) -> None:
        if self.keys is not None:
            import tty

            tty.setcbreak(self.keys)
        self._terminal.write(_ENTER)

    def _give_back(self) -> None:
        self._terminal.write(_LEAVE)
        if self.keys is not None and self._before is not None:
            self._termios.tcsetattr(self.keys, self._termios.TCSADRAIN, self._before)

    def _end(self, number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    def _want_pause(self, number: int, frame: FrameType | None) -> None:
        # Not here: what is written at this moment may be half written, and the stream takes nothing in between.
        self._pause_wanted = True


def _draw_until_quit(watching: Watching, screen: Screen, terminal: Terminal) -> None:
    shown: tuple[object, ...] = ()
    while True:
        screen.pause_if_wanted()
        if watching.failed is not None:
            raise watching.failed
        size = os.get_terminal_size(terminal.stream.fileno())
        view = watching.view
        wanted = (view, size, int(time.monotonic()))
        if wanted != shown and view is not None:
            shown = wanted
            lines = picture(view, now_ms(), size.lines, terminal)
            # Erased before it is written: behind a line as wide as the terminal, its last character would go.
            body = "\n".join(_REST_OF_LINE + line for line in lines)
            rest = f"\n{_REST_OF_SCREEN}" if len(lines) < size.lines else ""
            terminal.write(_HOME + body + rest)
        if screen.keys is None:
            time.sleep(LOOK_SECONDS)
        elif select.select([screen.keys], [], [], LOOK_SECONDS)[0] and _quits(os.read(screen.keys, 64)):
            return


def _quits(typed: bytes) -> bool:
    return not typed or typed[:1] in (b"q", b"Q")
