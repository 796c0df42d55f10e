"""Single exchanges as the API answers them and the pages show them: plain dicts, one device at a time.

An exchange is a dict with every name of ``stonechat.exchange_row.FIELDS`` (None: unknown; durations are whole
microseconds, as on the device), and with

* ``received``: when the collector took it, ms since 1970
* ``chosen``: why the device told of it: ``flagged``, ``failed``, ``slow`` or ``sampled``; "" where it did not say
* ``has_texts``: whether its texts are here
* ``no_texts``: why they are not, a word of `WHY_NOT`; None where they are
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, exists, func, or_, select

from stonechat.exchange import MILD_FINDINGS, is_flagged
from stonechat.exchange_row import FIELDS
from stonechat_collector import schema
from stonechat_collector.exchanges import MAX_TEXT
from stonechat_collector.store import Store
from stonechat_collector.views import BadRequest

MAX_ROWS = 500
"""Exchanges in one answer."""

RECENT = 1000
"""The latest exchanges of a device, out of which a list's choices are made."""

CURSOR = re.compile(r"(-1|[0-9]{1,18})\.([0-9a-z]{13})", re.ASCII)
"""The form of a cursor: the figure by which the list is in order, and the id, of a page's last exchange."""

SORTS = ("start", "duration", "ttft", "output_tokens")
OUTCOMES = ("ok", "error", "aborted")

WHY_NOT: Mapping[str, str] = {
    "upload_none": 'The texts stay on the device: privacy.upload is "none" there.',
    "upload_flagged": (
        'The texts stay on the device: privacy.upload is "flagged" there, and nothing was found in this exchange.'
    ),
    "none": 'The device kept no texts: privacy.journal was "none" there.',
    "not_flagged": (
        'The device kept no texts of it: privacy.journal was "flagged" there, and nothing was found in this exchange.'
    ),
    "not_sampled": (
        'The device kept no texts of it: privacy.journal was "sampled" there, and this exchange was not drawn.'
    ),
    "no_texts": "The device saw no text in it: an API that it does not know, or nothing was said.",
    "over_bound": "The device kept no texts of it: they were longer than what it may keep.",
    "failed": "The device could not redact its texts, so it kept none.",
    "forgotten": "Somebody asked the device to forget the texts.",
    "expired": f"The texts came and are gone: the latest {MAX_TEXT >> 20} Mi characters of each device are kept here.",
    "unknown": "The device did not say why it sent no texts.",
}
"""Why texts are not here, in sentences that name the key of agent.toml that changes it."""

_NOR_SENT = 'Nor would they have been sent: privacy.upload is "none" there.'

_KEYS = {
    "upload_none": "privacy.upload",
    "upload_flagged": "privacy.upload",
    "none": "privacy.journal",
    "not_flagged": "privacy.journal",
    "not_sampled": "privacy.journal",
}


@dataclass(frozen=True)
class Filter:
    """Which exchanges of a device are wanted. None: all; times are ms since 1970, durations microseconds."""

    model: str | None = None
    outcome: str | None = None
    error_type: str | None = None
    finding: str | None = None
    """A judgement beyond its threshold; "any": any; "flagged": any that flags, which `MILD_FINDINGS` do not."""
    min_duration: int | None = None
    min_ttft: int | None = None
    from_ms: int | None = None
    to_ms: int | None = None
    text: str | None = None
    """Looked for in the texts that are here, whatever its case."""


def exchanges_page(
    store: Store,
    device: str,
    wanted: Filter = Filter(),
    *,
    sort: str = "start",
    up: bool = False,
    cursor: str | None = None,
    limit: int = 100,
) -> dict[str, Any]:
    """A page of a device's exchanges: ``exchanges``, and ``next``, the cursor of the page after it (None: the last).

    Args:
        sort: one of `SORTS`; the greatest first, or the least where ``up``. What is unknown comes as the least.
        cursor: ``next`` of the page before, in the same order.

    Raises:
        BadRequest: a filter, an order or a cursor that cannot be.
    """
    if sort not in SORTS:
        raise BadRequest(f"no order {sort[:64]!r}", f"there are {', '.join(SORTS)}")
    table = schema.exchanges
    key = table.c.start if sort == "start" else func.coalesce(table.c[sort], -1)
    query = select(table, _has_texts(), key.label("key")).where(
        table.c.device == device, *_conditions(wanted)
    )
    if cursor is not None:
        value, id = _read_cursor(cursor)
        ahead = key > value if up else key < value
        beyond = table.c.id > id if up else table.c.id < id
        query = query.where(or_(ahead, and_(key == value, beyond)))
    limit = max(1, min(limit, MAX_ROWS))
    order = (key.asc(), table.c.id.asc()) if up else (key.desc(), table.c.id.desc())
    with store.reading() as connection:
        rows = connection.execute(query.order_by(*order).limit(limit + 1)).all()
    page = rows[:limit]
    following = f"{page[-1].key}.{page[-1].id}" if len(rows) > limit else None
    return {"exchanges": [_exchange(row) for row in page], "next": following}


def exchange(store: Store, device: str, id: str) -> dict[str, Any] | None:
    """One exchange with its ``texts`` (None: not here); None where this collector has no such exchange.

    ``no_texts_because`` is the sentence of `WHY_NOT`, and ``no_texts_key`` the key of the device's configuration that
    changes it, both None where they do not apply. ``texts_received`` and ``texts_allowed`` say when the texts came and
    by which word of the device's ``privacy.upload``.
    """
    table, texts = schema.exchanges, schema.exchange_texts
    with store.reading() as connection:
        row = connection.execute(
            select(table, _has_texts()).where(table.c.device == device, table.c.id == id)
        ).first()
        if row is None:
            return None
        said = connection.execute(
            select(texts.c.body, texts.c.received, texts.c.allowed).where(
                texts.c.device == device, texts.c.id == id
            )
        ).first()
    found = _exchange(row)
    why = found["no_texts"]
    return {
        **found,
        "texts": None if said is None else said.body,
        "texts_received": None if said is None else said.received,
        "texts_allowed": None if said is None else said.allowed,
        "no_texts_because": None if why is None else _because(why, row.upload),
        "no_texts_key": None if why is None else _KEYS.get(why),
    }


def choices(store: Store, device: str) -> dict[str, Any]:
    """What a list of this device's exchanges can be filtered by, from the latest `RECENT` of them: ``models``,
    ``error_types``, ``findings``, and whether any ``texts`` are here at all."""
    table, texts = schema.exchanges, schema.exchange_texts
    query = (
        select(table.c.model, table.c.error_type, table.c.findings)
        .where(table.c.device == device)
        .order_by(table.c.start.desc(), table.c.id.desc())
        .limit(RECENT)
    )
    with store.reading() as connection:
        rows = connection.execute(query).all()
        has_texts = connection.scalar(select(exists().where(texts.c.device == device)))
    return {
        "models": sorted({row.model for row in rows if row.model}),
        "error_types": sorted({row.error_type for row in rows if row.error_type}),
        "findings": sorted({word for row in rows if row.findings for word in row.findings.split()}),
        "texts": bool(has_texts),
    }


def _conditions(wanted: Filter) -> list[ColumnElement[bool]]:
    table = schema.exchanges
    found: list[ColumnElement[bool]] = []
    for name in ("model", "outcome", "error_type"):
        if (value := getattr(wanted, name)) is not None:
            found.append(table.c[name] == value)
    if wanted.finding == "any":
        found.append(table.c.findings.is_not(None))
    elif wanted.finding == "flagged":
        alone = [f" {name} " for name in MILD_FINDINGS]
        found.append(and_(table.c.findings.is_not(None), table.c.findings.not_in(alone)))
    elif wanted.finding is not None:
        found.append(table.c.findings.contains(f" {wanted.finding} ", autoescape=True))
    for name, least in (("duration", wanted.min_duration), ("ttft", wanted.min_ttft)):
        if least is not None:
            found.append(table.c[name] >= least)
    if wanted.from_ms is not None:
        found.append(table.c.start >= wanted.from_ms)
    if wanted.to_ms is not None:
        found.append(table.c.start < wanted.to_ms)
    if wanted.text is not None:
        found.append(_says(wanted.text))
    return found


def _says(text: str) -> ColumnElement[bool]:
    table, texts = schema.exchanges, schema.exchange_texts
    # NUL is in no text that was stored, and no database takes it in a question.
    looked_for = text.replace("\0", "\ufffd").casefold()
    return exists().where(
        texts.c.device == table.c.device,
        texts.c.id == table.c.id,
        texts.c.folded.contains(looked_for, autoescape=True),
    )


def _has_texts() -> ColumnElement[bool]:
    table, texts = schema.exchanges, schema.exchange_texts
    there: Select[Any] = select(texts.c.id).where(texts.c.device == table.c.device, texts.c.id == table.c.id)
    return there.exists().label("here")


def _read_cursor(text: str) -> tuple[int, str]:
    found = CURSOR.fullmatch(text)
    if found is None:
        raise BadRequest(f"{text[:64]!r} is no cursor", "take it from the field next of the page before")
    return int(found[1]), found[2]


def _exchange(row: Row[Any]) -> dict[str, Any]:
    return {
        **{field.name: row.fields.get(field.name) for field in FIELDS},
        "received": row.received,
        "chosen": row.chosen,
        "has_texts": bool(row.here),
        "no_texts": None if row.here else _why_not(row),
    }


def _because(why: str, upload: str) -> str:
    kept_none = _KEYS.get(why) == "privacy.journal"
    return f"{WHY_NOT[why]} {_NOR_SENT}" if kept_none and upload == "none" else WHY_NOT[why]


def _why_not(row: Row[Any]) -> str:
    if row.texts:
        return "expired"
    if row.kept != "kept":
        return row.kept if row.kept in WHY_NOT else "unknown"
    if row.upload == "none":
        return "upload_none"
    is_held = row.upload == "flagged" and not is_flagged((row.findings or "").split())
    return "upload_flagged" if is_held else "unknown"
