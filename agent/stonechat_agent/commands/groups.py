"""Exchanges folded by what they have in common. Pure: rows in, figures and tables out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any

from stonechat.exchange_row import BY_NAME, FieldKind
from stonechat_agent.commands import figures
from stonechat_agent.commands.figures import NONE, UNKNOWN, quantile
from stonechat_agent.commands.listing import decode_rate
from stonechat_agent.commands.table import Column

NEEDED = ("outcome", "ttft", "input_tokens", "output_tokens", "decode", "findings")
"""Fields that the figures are made of."""

FIGURES = (
    Column("COUNT", right=True),
    Column("ERRORS", right=True),
    Column("TTFT P50", rank=4, right=True),
    Column("TTFT P95", rank=3, right=True),
    Column("TOK/S", rank=2, right=True),
    Column("IN", rank=6, right=True),
    Column("OUT", rank=5, right=True),
    Column("FINDINGS", rank=1, right=True),
)


_NONE_IS_KNOWN = ("error_type", "user", "conversation", "tool_calls")
"""Where nothing stands, nothing went wrong, nobody was named and nothing was called."""


class Group:
    """The figures of some exchanges. Durations are us, as in their rows."""

    def __init__(self) -> None:
        self.exchanges = 0
        self.errors = 0
        self.found = 0
        self._ttft: list[int] = []
        self._rates: list[float] = []
        self._tokens: dict[str, int | None] = {"input_tokens": None, "output_tokens": None}

    def add(self, row: Mapping[str, Any]) -> None:
        """Count one exchange."""
        self.exchanges += 1
        self.errors += row.get("outcome") == "error"
        self.found += bool(row.get("findings"))
        if (ttft := row.get("ttft")) is not None:
            self._ttft.append(ttft)
        if (rate := decode_rate(row)) is not None:
            self._rates.append(rate)
        for name, so_far in self._tokens.items():
            if (tokens := row.get(name)) is not None:
                self._tokens[name] = (so_far or 0) + tokens

    def figures(self) -> dict[str, Any]:
        """By name; what is unknown of all of them is None."""
        ttft, rates = sorted(self._ttft), sorted(self._rates)
        rate = quantile(rates, 0.5)
        return {
            "exchanges": self.exchanges,
            "errors": self.errors,
            "error_share": round(self.errors / self.exchanges, 6),
            "ttft_p50": quantile(ttft, 0.5),
            "ttft_p95": quantile(ttft, 0.95),
            "decode_rate_p50": None if rate is None else round(rate, 3),
            **self._tokens,
            "with_findings": self.found,
        }


def fold(rows: Iterable[Mapping[str, Any]], names: Sequence[str]) -> list[tuple[tuple[Any, ...], Group]]:
    """Return (key, group) by count, the largest first. An exchange counts under each of its findings or notes."""
    groups: dict[tuple[Any, ...], Group] = {}
    for row in rows:
        for key in product(*(_values(row, name) for name in names)):
            groups.setdefault(key, Group()).add(row)
    return sorted(groups.items(), key=lambda item: (-item[1].exchanges, str(item[0])))


def _values(row: Mapping[str, Any], name: str) -> Sequence[Any]:
    value = row.get(name)
    if BY_NAME[name].kind is FieldKind.WORDS:
        return value or (None,)
    return (value,)


def columns(names: Sequence[str]) -> list[Column]:
    """The columns of a table of groups."""
    return [*(Column(name.upper(), cut_to=10) for name in names), *FIGURES]


def cells(key: Sequence[Any], group: Group, names: Sequence[str]) -> list[str]:
    """One group as a row of that table."""
    known = group.figures()
    return [
        *(_shown(value, name) for value, name in zip(key, names, strict=True)),
        str(group.exchanges),
        figures.share(known["error_share"]),
        figures.duration(known["ttft_p50"]),
        figures.duration(known["ttft_p95"]),
        figures.rate(known["decode_rate_p50"]),
        figures.count(known["input_tokens"]),
        figures.count(known["output_tokens"]),
        str(group.found),
    ]


def _shown(value: Any, name: str) -> str:
    if value is None:
        return NONE if BY_NAME[name].kind is FieldKind.WORDS or name in _NONE_IS_KNOWN else UNKNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def as_json(key: Sequence[Any], group: Group, names: Sequence[str]) -> dict[str, Any]:
    """One group for programs: the fields that it is of, and its figures."""
    return {**dict(zip(names, key, strict=True)), **group.figures()}
