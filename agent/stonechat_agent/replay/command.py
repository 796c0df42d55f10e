"""The command ``stonechat replay``: reads its arguments, fills a directory, and says what came of it."""

from __future__ import annotations

import argparse
import json
import secrets
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stonechat.errors import StonechatError
from stonechat.kinds import toml_text
from stonechat_agent.desk import Desk
from stonechat_agent.journal import FILE as JOURNAL_FILE
from stonechat_agent.journal import Journal, Pseudonyms, load_key
from stonechat_agent.models import KnownModels
from stonechat_agent.outbox import Chooser
from stonechat_agent.privacy import Redactor
from stonechat_agent.replay.recording import Recording
from stonechat_agent.replay.report import figures_of, iso, render
from stonechat_agent.replay.run import Clock, Keeper, Replay
from stonechat_agent.scoring.tier0 import Tier0
from stonechat_agent.settings import Settings, load
from stonechat_agent.spool import Spool
from stonechat_agent.spool.store import FILE as SPOOL_FILE

CONFIG_FILE = "agent.toml"
FAILED = 1

_CENTURY_NS = 36_500 * 86_400 * 1_000_000_000
_UNBOUNDED = 1 << 40
_SHOW_SECONDS = 0.2
_STOP_SECONDS = 60.0


def main(arguments: argparse.Namespace) -> int:
    """Replay a file. Returns 1 where a line of it could not be read.

    Raises:
        StonechatError: the file cannot be read, or the directory not be filled.
    """
    settings = load(arguments.config, as_service=False)
    into = None if arguments.into is None else Path(arguments.into).absolute()
    if into is not None:
        _check(into)
    show = _Progress()
    with Recording(arguments.file) as recording:
        recording.scan(show)
        with _directory(into) as directory:
            report = _replay(recording, directory, settings, show)
            if into is not None:
                report |= {"directory": str(into), "config": _write_config(into)}
    show.end()
    sys.stdout.write(json.dumps(report, indent=2) + "\n" if arguments.json else render(report))
    return FAILED if recording.bad_lines else 0


def _replay(recording: Recording, directory: str, settings: Settings, show: _Progress) -> dict[str, Any]:
    span = recording.span
    window_ms = settings.window.length_ns // 1_000_000
    clock = Clock(span[0] if span is not None else 0)
    journal = Journal(
        directory,
        max_size=_UNBOUNDED,
        max_age_ns=_CENTURY_NS,
        texts=settings.privacy.journal,
        sample=settings.privacy.sample,
        redact=Redactor(settings.privacy.patterns).transcript,
        random=_random,
        wall_ms=lambda: clock.ms,
    )
    spool = Spool.open(
        directory,
        rng_bytes=secrets.token_bytes,
        clock=clock.now,
        max_size=settings.spool.max_size_bytes,
        min_free=settings.spool.min_free_bytes,
        window_step_ms=window_ms,
    )
    replay = Replay(_desk(directory, settings, journal), spool, clock, window_ms)
    journal.start()
    try:
        for done, (end_ms, exchange) in enumerate(recording.exchanges(), 1):
            replay.take(end_ms, exchange)
            if done % 100 == 0:
                show("replaying", done, len(recording))
        replay.finish()
    finally:
        spool.close()
        written = journal.stop(_STOP_SECONDS)
    if not written or journal.losses:
        lost = ", ".join(f"{n} {reason}" for reason, n in journal.losses.items()) or "the disk is too slow"
        raise StonechatError(f"{directory}: the journal was not written whole: {lost}")
    return {
        "file": recording.name,
        "from": None if span is None else iso(span[0]),
        "to": None if span is None else iso(span[1]),
        "windows": replay.windows,
        "window_seconds": window_ms / 1000,
        "out_of_order": recording.out_of_order,
        **figures_of(replay.totals),
        "losses": dict(replay.unjudged + spool.losses),
        "bad_lines": recording.bad_lines,
        "bad": [bad._asdict() for bad in recording.bad],
        "directory": None,
        "config": None,
    }


def _desk(directory: str, settings: Settings, journal: Journal) -> Desk:
    key = load_key(directory)
    return Desk(
        random_bits=secrets.randbits,
        models=KnownModels(
            {}
        ),  # asked of what a relay met alone: a recording's models are called as it calls them
        ask=lambda _: False,
        used=lambda _: None,
        pseudonyms=Pseudonyms(key),
        checks=Tier0(key),
        chooser=Chooser(settings.exchanges, random=_random, clock=time.monotonic),
        keep=Keeper(journal),
        judge=lambda _: False,  # a recording is judged by `stonechat score`
        amend=lambda *_: None,
    )


def _check(into: Path) -> None:
    """Refuse a directory that an agent uses or is configured by, or an earlier replay filled."""
    for name in (JOURNAL_FILE, SPOOL_FILE, CONFIG_FILE):
        if (into / name).exists():
            raise StonechatError(f"{into / name}: is there already\n  hint: name a directory that is new")
    try:
        into.mkdir(mode=0o750, parents=True, exist_ok=True)
    except OSError as error:
        raise StonechatError(f"{into}: cannot be made: {error.strerror}") from None


@contextmanager
def _directory(into: Path | None) -> Iterator[str]:
    """Where journal and spool are made: a directory that is gone at the end, where none was named."""
    if into is not None:
        yield str(into)
        return
    with tempfile.TemporaryDirectory(prefix="stonechat-replay-") as name:
        yield name


def _write_config(into: Path) -> str:
    """A configuration by which other commands look at the directory."""
    file = into / CONFIG_FILE
    place = toml_text(str(into))
    try:
        file.write_text(f"[journal]\npath = {place}\n\n[spool]\npath = {place}\n", encoding="utf-8")
    except OSError as error:
        raise StonechatError(f"{file}: cannot be written: {error.strerror}") from None
    return str(file)


class _Progress:
    """A line on the terminal that says how far it is; nothing where there is none."""

    def __init__(self) -> None:
        self._shows = sys.stderr.isatty()
        self._next = time.monotonic() + _SHOW_SECONDS
        self._shown = False

    def __call__(self, what: str, done: int, whole: int) -> None:
        now = time.monotonic()
        if self._shows and now >= self._next:
            self._next = now + _SHOW_SECONDS
            self._shown = True
            share = f"{100 * done // whole} %" if whole else str(done)
            print(f"\r{what}: {share}\x1b[K", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        """Clear the line."""
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _random() -> float:
    return secrets.randbelow(1 << 53) / (1 << 53)
