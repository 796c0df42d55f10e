"""``stonechat score``: answers as JSON lines in, what the judges say of them as JSON lines out, in the same order.

Lines are taken in batches as they come; within a batch, answers of similar length run together, on every core. A line
that cannot be scored gets an error in its place. What each key means is in docs/commands.md.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from stonechat.errors import StonechatError
from stonechat_agent import settings
from stonechat_agent.commands.score.answers import Answer, Bad, read
from stonechat_agent.commands.score.lines import Line, Lines
from stonechat_agent.commands.score.verdicts import Scorer
from stonechat_agent.commands.terminal import harmless
from stonechat_agent.scoring.folders import folders
from stonechat_agent.scoring.judging import Judges

_BATCH = 256
_BATCH_BYTES = 512 << 10
_TOGETHER = 16
"""Answers that one thread takes at a time."""
_PATIENCE = 0.1
"""Seconds to wait for more lines before those that are there are scored."""
_MOST_THREADS = 8


def main(arguments: argparse.Namespace) -> int:
    """Score what comes on the standard input. Returns 0, also where lines were bad.

    Raises:
        StonechatError: the input cannot be read.
    """
    if sys.stdin is None:
        raise StonechatError("the standard input cannot be read: it is closed")
    loaded = settings.load(arguments.config, as_service=False)
    judges = Judges(folders(loaded)) if arguments.tier != "0" else None
    scorer = Scorer(judges, arguments.tier, reasons=arguments.reasons)
    told = _tell(judges, 0)
    if judges is not None and not scorer.has_models:
        _say("no model can be used, so only the checks of tier 0 are made")
    show = _Progress()
    try:
        with ThreadPoolExecutor(_threads(), thread_name_prefix="score") as pool:
            lines = Lines(sys.stdin.fileno())
            while batch := lines.batch(_BATCH, _BATCH_BYTES, _PATIENCE):
                for plain in _scored(batch, scorer, pool):
                    sys.stdout.write(json.dumps(plain, allow_nan=False) + "\n")
                    show.done += 1
                sys.stdout.flush()
                show()
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        raise StonechatError(f"the standard input cannot be read: {error.strerror or error}") from error
    finally:
        show.end()
        _tell(judges, told)
    return 0


def _scored(batch: Sequence[Line], scorer: Scorer, pool: ThreadPoolExecutor) -> list[dict[str, Any]]:
    """What is written for each line of a batch, in its order."""
    found = [one for line in batch if (one := read(line)) is not None]
    plain = [one.plain if isinstance(one, Bad) else {} for one in found]
    answers = [(place, one) for place, one in enumerate(found) if isinstance(one, Answer)]
    # The longest first, so that no thread is left with them at the end.
    answers.sort(key=lambda pair: len(pair[1].response), reverse=True)
    together = max(1, min(_TOGETHER, -(-len(answers) // _threads())))
    parts = [answers[first : first + together] for first in range(0, len(answers), together)]
    chosen = [[answer for _, answer in part] for part in parts]
    for part, results in zip(parts, pool.map(scorer.score, chosen), strict=True):
        for (place, _), result in zip(part, results, strict=True):
            plain[place] = result
    return plain


def _threads() -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, _MOST_THREADS)


def _tell(judges: Judges | None, told: int) -> int:
    """Say what is wrong with models since the last time; returns how many faults have been told."""
    faults = judges.faults if judges is not None else ()
    for fault in faults[told:]:
        _say(fault)
    return len(faults)


def _say(text: str) -> None:
    print(f"stonechat score: {harmless(text)}", file=sys.stderr)


class _Progress:
    """A line on the terminal that says how far it is; nothing where there is none, or where results go there."""

    def __init__(self) -> None:
        self._shows = sys.stderr.isatty() and not sys.stdout.isatty()
        self._began = time.monotonic()
        self._next = self._began + 0.5
        self._shown = False
        self.done = 0

    def __call__(self) -> None:
        now = time.monotonic()
        if self._shows and now >= self._next:
            self._next = now + 0.5
            self._shown = True
            rate = self.done / (now - self._began)
            print(f"\r{self.done} scored, {rate:.0f}/s\x1b[K", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        """Clear the line."""
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
