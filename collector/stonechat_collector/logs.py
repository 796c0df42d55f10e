"""Log lines: an event name and key-values on standard error, repeats held back.

``log.warning("broker lost", extra={"broker": ...})`` becomes ``warning broker lost broker=127.0.0.1:1883``, with the
time in front unless systemd's journal adds it.
"""

from __future__ import annotations

import logging
import os
import sys
import time

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
_PRIORITY = {logging.CRITICAL: 2, logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6, logging.DEBUG: 7}

REPEAT_SECONDS = 60.0
"""The same event is logged at most once in this time; what was held back is counted in the next line."""


class KeyValues(logging.Formatter):
    """One line an event. Values that hold spaces or quotes are quoted; a trace follows as one value."""

    def format(self, record: logging.LogRecord) -> str:
        extra = {key: value for key, value in vars(record).items() if key not in _STANDARD}
        words = [record.getMessage(), *(f"{key}={_shown(value)}" for key, value in extra.items())]
        if record.exc_info:
            words.append(f"trace={_shown(self.formatException(record.exc_info))}")
        line = " ".join(words)
        if "JOURNAL_STREAM" in os.environ:
            return f"<{_PRIORITY.get(record.levelno, 6)}>{line}"
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))
        return f"{stamp} {record.levelname.lower()} {line}"


class Repeats(logging.Filter):
    """Lets one warning or error of a name through in `REPEAT_SECONDS`; what is below always passes."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[str, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        name = f"{record.name} {record.msg}"[:200]
        since, held = self._seen.get(name, (-REPEAT_SECONDS, 0))
        now = time.monotonic()
        if now - since < REPEAT_SECONDS:
            self._seen[name] = (since, held + 1)
            return False
        if len(self._seen) > 1000:
            self._seen.clear()
        self._seen[name] = (now, 0)
        if held:
            record.held_back = held
        return True


def set_up() -> None:
    """Log to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(KeyValues())
    handler.addFilter(Repeats())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    # What these tell of a client's doings is no event of ours, and of uvicorn's only trouble is.
    for name, level in (
        ("amqtt", logging.CRITICAL),
        ("transitions", logging.ERROR),
        ("uvicorn", logging.WARNING),
    ):
        logging.getLogger(name).setLevel(level)


def _shown(value: object) -> str:
    text = str(value)
    if text and text.isprintable() and not any(character in text for character in ' "=\\'):
        return text
    return (
        '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r") + '"'
    )
