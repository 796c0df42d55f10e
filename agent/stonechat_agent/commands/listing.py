"""Exchanges as lines of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from stonechat.exchange import is_flagged
from stonechat.judgements import by_concern
from stonechat_agent.commands import figures
from stonechat_agent.commands.figures import NONE
from stonechat_agent.commands.table import Column

Row = Mapping[str, Any]

COLUMNS: tuple[Column, ...] = (
    Column("ID", least=13),
    Column("TIME", rank=2, right=True, least=8),
    Column("MODEL", least=16, cut_to=11),
    Column("OUTCOME", least=7, cut_to=7),
    Column("TTFT", rank=3, right=True, least=6),
    Column("DURATION", rank=4, right=True, least=6),
    Column("IN", rank=7, right=True, least=5),
    Column("OUT", rank=6, right=True, least=5),
    Column("TOK/S", rank=5, right=True, least=5),
    Column("FINDINGS", rank=1, least=8, cut_to=8),
)
_COLOUR = {"error": "red", "aborted": "yellow"}


def cells(row: Row, today: datetime) -> list[str]:
    """One exchange. ``today``: see ``figures.moment``."""
    return [
        row["id"],
        figures.moment(row["start"], today=today),
        row.get("model") or row.get("request_model") or NONE,
        outcome(row),
        figures.duration(row.get("ttft"), NONE),
        figures.duration(row.get("duration"), NONE),
        figures.count(row.get("input_tokens"), NONE),
        figures.count(row.get("output_tokens"), NONE),
        figures.rate(decode_rate(row), NONE),
        ",".join(findings(row)) or NONE,
    ]


def styles(row: Row) -> Sequence[str]:
    """A style for each of the cells: what went wrong stands out."""
    result = [""] * len(COLUMNS)
    result[0] = "cyan"
    result[3] = _COLOUR.get(row.get("outcome", ""), "")
    result[-1] = "yellow" if is_flagged(row.get("findings", ())) else ""
    return result


def findings(row: Row) -> list[str]:
    """What is beyond its threshold, broken guidelines first, then what concerns most; names as conditions take them."""
    return [one.name for one in by_concern(row.get("findings", ()), row.get("scores", {})) if one.found]


def outcome(row: Row) -> str:
    """How it ended, and what went wrong where something did."""
    if row.get("error_type"):
        return str(row["error_type"])
    return str(row.get("outcome", NONE))


def decode_rate(row: Row) -> float | None:
    """Tokens a second after the first; engines' decode time begins with the first token. None where unknown."""
    tokens, us = row.get("output_tokens"), row.get("decode")
    return (tokens - 1) * 1e6 / us if tokens is not None and tokens >= 2 and us else None
