"""Tables in text, as wide as the terminal is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from stonechat_agent.commands.terminal import Terminal, harmless

GAP = 2


class Column(NamedTuple):
    """One column. Where not all fit, those of the highest ``rank`` go first, once what may be cut is cut."""

    title: str
    rank: int = 0
    """0: it stays."""
    right: bool = False
    least: int = 0
    """Width that it has at least, uncut: lists that grow cannot know their widest cell."""
    cut_to: int = 0
    """Width that it may be cut to; 0: it is not cut."""


class Layout:
    """Which columns fit, and how wide each is."""

    def __init__(self, columns: Sequence[Column], rows: Sequence[Sequence[str]], terminal: Terminal) -> None:
        self._columns = columns
        self._terminal = terminal
        self._widths = [
            max([column.least, len(column.title), *(len(row[n]) for row in rows)])
            for n, column in enumerate(columns)
        ]
        self._kept = list(range(len(columns)))
        self._fit(terminal.width)

    def _fit(self, width: int | None) -> None:
        if width is None:
            return
        while (over := self._whole() - width) > 0:
            room = {n: self._widths[n] - (self._columns[n].cut_to or self._widths[n]) for n in self._kept}
            loose = [n for n in self._kept if self._columns[n].rank]
            if sum(room.values()) >= over or not loose:
                self._cut(room, over)
                return
            self._kept.remove(max(loose, key=lambda n: self._columns[n].rank))

    def _cut(self, room: dict[int, int], over: int) -> None:
        while over > 0 and any(spare > 0 for spare in room.values()):
            widest = max((n for n in room if room[n] > 0), key=lambda n: self._widths[n])
            self._widths[widest] -= 1
            room[widest] -= 1
            over -= 1

    def _whole(self) -> int:
        return sum(self._widths[n] for n in self._kept) + GAP * (len(self._kept) - 1)

    @property
    def heading(self) -> str:
        """The line of titles."""
        return self._terminal.styled(self.line([column.title for column in self._columns]), "bold")

    def line(self, row: Sequence[str], styles: Sequence[str] = ()) -> str:
        """One row as a line without its end; ``styles`` has one style a column, "" for none."""
        cells = []
        for n in self._kept:
            width = self._widths[n]
            text = _cut(harmless(row[n]), width, self._terminal.has_unicode)
            padded = text.rjust(width) if self._columns[n].right else text.ljust(width)
            if n == self._kept[-1]:
                padded = padded.rstrip()
            style = styles[n] if styles else ""
            cells.append(self._terminal.styled(padded, style) if style else padded)
        return (" " * GAP).join(cells)


def render(columns: Sequence[Column], rows: Sequence[Sequence[str]], terminal: Terminal) -> str:
    """Return a whole table."""
    layout = Layout(columns, rows, terminal)
    return "\n".join([layout.heading, *(layout.line(row) for row in rows)]) + "\n"


def _cut(text: str, width: int, has_unicode: bool) -> str:
    if len(text) <= width:
        return text
    mark = "\N{HORIZONTAL ELLIPSIS}" if has_unicode else "~"
    return text[: max(0, width - 1)] + mark
