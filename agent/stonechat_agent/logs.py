"""Log lines: an event name and key-values, on standard error, repeats held back.

``log.warning("uplink lost", extra={"broker": ..., "attempt": 3})`` becomes
``warning uplink lost broker=127.0.0.1:1883 attempt=3``, with the time in front unless systemd's journal adds it.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable
from types import TracebackType

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_BURST = 5
_EVERY_S = 60.0
_MAX_KEYS = 512
_PRIORITY = {logging.CRITICAL: 2, logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6, logging.DEBUG: 7}


class KeyValues(logging.Formatter):
    """One line an event; values that hold spaces or quotes are quoted.

    Of an exception its place and its kind are shown, and not its message, which may quote what an exchange said.
    """

    def __init__(self, *, journal: bool) -> None:
        super().__init__()
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        extra = {key: value for key, value in vars(record).items() if key not in _STANDARD}
        words = [record.getMessage(), *(f"{key}={_shown(value)}" for key, value in extra.items())]
        if record.exc_info and record.exc_info[0] is not None:
            kind, _, trace = record.exc_info
            words.append(f"error={kind.__qualname__} trace={_shown(_places(trace))}")
        line = " ".join(words)
        if self._journal:
            return f"<{_PRIORITY.get(record.levelno, 6)}>{line}"
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        return f"{stamp}Z {record.levelname.lower()} {line}"


class Repeats(logging.Filter):
    """Lets ``_BURST`` events of one name through, then one a minute, which says how many were held back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._seen: dict[tuple[str, int], list[float]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        now = self._clock()
        key = (record.name + str(record.msg), record.levelno)
        if key not in self._seen and len(self._seen) >= _MAX_KEYS:
            self._seen.pop(next(iter(self._seen)))
        since, passed, held = self._seen.setdefault(key, [now, 0.0, 0.0])
        if now - since >= _EVERY_S:
            if held:
                record.held_back = int(held)
            self._seen[key] = [now, 1.0, 0.0]
            return True
        if passed < _BURST:
            self._seen[key][1] += 1
            return True
        self._seen[key][2] += 1
        return False


def set_up(level: int = logging.INFO) -> None:
    """Send the project's logs to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(KeyValues(journal="JOURNAL_STREAM" in os.environ))
    handler.addFilter(Repeats())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)


def _places(trace: TracebackType | None) -> str:
    """Where it happened, innermost last: ``run in pipeline.py:200``."""
    places = []
    while trace is not None:
        code = trace.tb_frame.f_code
        places.append(f"{code.co_name} in {os.path.basename(code.co_filename)}:{trace.tb_lineno}")
        trace = trace.tb_next
    return ", ".join(places)


def _shown(value: object) -> str:
    text = str(value)
    if text and not any(character in text for character in ' "=\n\r\t\\') and text.isprintable():
        return text
    return (
        '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r") + '"'
    )
