"""What a terminal takes: its width, its colours, and text that cannot command it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import TextIO

NARROWEST = 20

_JOINERS = "\u200c\u200d"
_LINE_ENDS = "\x85\u2028\u2029"
_REPLACED = "\N{REPLACEMENT CHARACTER}"
_STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}


class Terminal:
    """Where a command writes. Without a terminal there are no colours, and lines are bounded only by COLUMNS."""

    def __init__(self, stream: TextIO | None = None, environ: Mapping[str, str] = os.environ) -> None:
        self.stream = sys.stdout if stream is None else stream
        self.is_tty = self.stream.isatty()
        self.has_colour = self.is_tty and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
        self._environ = environ
        encoding = (getattr(self.stream, "encoding", None) or "ascii").lower().replace("-", "")
        self.has_unicode = encoding.startswith("utf")

    @property
    def width(self) -> int | None:
        """Columns of a line now; None without a bound."""
        given = self._environ.get("COLUMNS", "")
        if given.isascii() and given.isdigit() and int(given[:6]) > 0:
            return max(NARROWEST, int(given[:6]))
        if not self.is_tty:
            return None
        try:
            columns = os.get_terminal_size(self.stream.fileno()).columns
        except (OSError, ValueError):
            return 80
        return max(NARROWEST, columns) if columns else 80  # a serial console says 0

    def styled(self, text: str, *styles: str) -> str:
        """Return the text in these styles, or as it is where there are no colours."""
        if not self.has_colour or not styles or not text:
            return text
        return f"\x1b[{';'.join(_STYLES[style] for style in styles)}m{text}\x1b[0m"

    def shown(self, text: str) -> str:
        """Return the text as this stream can write it."""
        if self.has_unicode:
            return text
        encoding = getattr(self.stream, "encoding", None) or "ascii"
        return text.encode(encoding, "replace").decode(encoding)

    def write(self, text: str) -> None:
        """Write, and hand over at once what a reader of a pipe waits for."""
        self.stream.write(self.shown(text))
        self.stream.flush()


def harmless(text: str, *, lines: bool = False) -> str:
    """Return text of strangers without what a terminal would obey; ``lines`` keeps the ends of lines and tabs.

    Users and models write what they like, and an escape sequence in an answer could retitle the window, hide what
    follows or type into it. So could the marks that turn the direction of writing. The joiners that some scripts and
    emoji need stay.
    """
    if text.isprintable():
        return text
    return "".join(_harmless(character, lines=lines) for character in text)


def _harmless(character: str, *, lines: bool) -> str:
    if character.isprintable() or character in _JOINERS or (lines and character in "\n\t"):
        return character
    return " " if character.isspace() and character > "\x7f" and character not in _LINE_ENDS else _REPLACED
