"""Which exchanges a command is about, out of its arguments: a condition in SQL for the journal's reader."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from stonechat import units
from stonechat.exchange import MILD_FINDINGS
from stonechat.exchange_row import Row
from stonechat.judgements import LOW
from stonechat_agent.commands import where
from stonechat_agent.commands.arguments import WrongUsage
from stonechat_agent.commands.fields import SCORES
from stonechat_agent.commands.where import DECODE_RATE
from stonechat_agent.journal import Entry, Reader, SearchError
from stonechat_agent.journal.rows import from_columns


class Selection(NamedTuple):
    """A condition over the journal's exchanges, and words that their texts have."""

    sql: str
    parameters: tuple[object, ...]
    search: str

    def take(self, reader: Reader, *, order: str | None, limit: int, texts: bool) -> list[Entry]:
        """The first ``limit`` by an order as `order_of` gives it; by time the latest, the newest first.

        A negative limit is none.
        """
        if not self.search:
            return reader.exchanges(
                self.sql, self.parameters, order=order or "seq DESC", limit=limit, texts=texts
            )
        try:
            if order is None:
                return reader.search(self.search, self.sql, self.parameters, limit=limit)
            found = reader.search(self.search, self.sql, self.parameters, limit=-1)
        except SearchError as error:
            raise WrongUsage(f"--search {error}") from error
        # The index knows no other order than time: what it found is asked for once more, in pieces that SQLite takes.
        kept = {entry.seq: entry for entry in found}
        rows = reader.select(f"SELECT seq FROM exchanges ORDER BY {order}")  # noqa: S608 - see order_of
        sorted_entries = [kept[seq] for (seq,) in rows if seq in kept]
        return sorted_entries if limit < 0 else sorted_entries[:limit]

    def every(self, reader: Reader, *, texts: bool) -> Iterator[Entry]:
        """All of them, oldest first, page by page; those that are searched for at once."""
        if self.search:
            return reversed(self.take(reader, order=None, limit=-1, texts=texts))
        return reader.export(self.sql, self.parameters, texts=texts)

    def rows(self, reader: Reader, names: Sequence[str]) -> Iterable[Row]:
        """Some of the fields of all of them, in no order."""
        if self.search:
            return [entry.row for entry in self.every(reader, texts=False)]
        known = [name for name in dict.fromkeys(names) if name in reader.columns]
        columns = ", ".join(f'"{name}"' for name in known)
        condition = f" WHERE {self.sql}" if self.sql else ""
        found = reader.select(f"SELECT {columns} FROM exchanges{condition}", self.parameters)  # noqa: S608 - see above
        return (from_columns(known, values) for values in found)

    def after(self, reader: Reader, seq: int, limit: int, *, texts: bool) -> list[Entry]:
        """Those that were written after an entry, oldest first."""
        condition = f"seq > ? AND ({self.sql})" if self.sql else "seq > ?"
        return reader.exchanges(condition, (seq, *self.parameters), order="seq", limit=limit, texts=texts)


def selection_of(arguments: argparse.Namespace, now_ms: int) -> Selection:
    """The selection that ``--where``, ``--search`` and ``--last`` make.

    Raises:
        WrongUsage: one of them cannot be read.
    """
    conditions: list[str] = []
    parameters: list[object] = []
    if arguments.last is not None:
        conditions.append("exchanges.start >= ?")
        parameters.append(now_ms - span_ms(arguments.last, "--last"))
    if arguments.where is not None:
        condition = where.compile_condition(arguments.where, now_ms=now_ms)
        conditions.append(condition.sql)
        parameters += condition.parameters
    return Selection(" AND ".join(conditions), tuple(parameters), arguments.search or "")


_SCORE = """json_extract(exchanges."scores", '$."{}"')"""
_LOW = ", ".join(f"'{name}'" for name in sorted(LOW))
_MILD = ", ".join(f"'{name}'" for name in sorted(MILD_FINDINGS))
_MILD_ALONE = ", ".join(f"' {name} '" for name in sorted(MILD_FINDINGS))
_CONCERN = f"""CASE WHEN exchanges."findings" IS NOT NULL OR exchanges."scores" IS NOT NULL THEN
 coalesce(exchanges."findings" NOT IN ({_MILD_ALONE}), 0) +
 coalesce((SELECT max(CASE WHEN key IN ({_LOW}) THEN 1 - value ELSE value END) FROM json_each(exchanges."scores")
 WHERE key NOT IN ({_MILD})), 0) END"""  # noqa: S608 - names of this project's own
_COMPUTED = {"decode_rate": DECODE_RATE, "concern": _CONCERN}
"""What is sorted by and is no column: how much an exchange concerns is the most that a score of it does, and 1 more
where something was found that flags it."""


def order_of(text: str | None, known: tuple[str, ...]) -> str | None:
    """SQL for ORDER BY of ``FIELD`` or ``FIELD:asc``; what is unknown comes last. None for no order.

    Raises:
        WrongUsage: no such field.
    """
    if text is None:
        return None
    name, colon, direction = text.partition(":")
    check_field("--sort", name, known)
    if colon and direction not in ("asc", "desc"):
        raise WrongUsage(f"--sort {text}: must end in ':asc', ':desc' or the field's name")
    column = _COMPUTED.get(name) or (_SCORE.format(name) if name in SCORES else f'"{name}"')
    newest_first = "ASC" if direction == "asc" else "DESC"
    return f"({column}) IS NULL, ({column}) {newest_first}, seq DESC"


def check_field(option: str, name: str, known: tuple[str, ...]) -> None:
    """Raise WrongUsage with the nearest field where there is none of that name."""
    if name in known:
        return
    from stonechat.kinds import nearest

    meant = nearest(name, known)
    hint = f"did you mean '{meant}'?" if meant else "one of " + ", ".join(known)
    raise WrongUsage(f"{option}: no field '{name}'\n  hint: {hint}")


def span_ms(text: str, option: str) -> int:
    """Ms of a duration such as ``"1h"``. Raises WrongUsage."""
    try:
        return units.parse_duration(text) // 1_000_000
    except ValueError as error:
        raise WrongUsage(f"{option} {text}: {error}") from None


def instant_ms(text: str, option: str, now_ms: int) -> int:
    """Ms since 1970 of a time, or of so long ago. Raises WrongUsage."""
    try:
        return where.read_time(text)
    except ValueError:
        pass
    try:
        return now_ms - units.parse_duration(text) // 1_000_000
    except ValueError:
        expected = "must be a time such as 2026-05-01 or '2026-05-01 14:30', or how long ago, such as 30d"
        raise WrongUsage(f"{option} {text}: {expected}") from None


def now_ms() -> int:
    """The wall clock, ms since 1970."""
    return time.time_ns() // 1_000_000
