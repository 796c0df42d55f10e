"""Rows and what they hold: from records and events to rows, and back where nothing is damaged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stonechat.errors import Refused
from stonechat.event import Event
from stonechat.ranges import Ranges, Standing, cover_union, standing
from stonechat.records import Record
from stonechat.wire import Stream
from stonechat_agent.spool import codec
from stonechat_agent.spool.store import Found, Row, State, make_row


def name_of(kind: str, key: str) -> bytes:
    """What an event's row is called."""
    return f"{kind}\0{key}".encode()


def window_row(run: int, records: Sequence[Record], state: State) -> Row:
    """The row of records of one run and one description."""
    return make_row(
        run,
        cover_union(*(record.cover for record in records)),
        state=state,
        n=len(records),
        step=min(record.step for record in records),
        ended=max(record.last_boottime for record in records),
        name=records[0].description,
    )


def event_row(run: int, event: Event, state: State) -> Row:
    """The row of an event."""
    return make_row(
        run, event.cover, state=state, ended=event.last_boottime, name=name_of(event.kind, event.key)
    )


def items_of(stream: Stream, found: Found) -> list[Any] | None:
    """The records, or the event, of a row; None where it is damaged."""
    if not found.whole:
        return None
    try:
        return (
            codec.decode_records(found.payload)
            if stream is Stream.WINDOW
            else [codec.decode_event(found.payload)]
        )
    except Refused:
        return None


def row_standing(taken: Ranges, row: Row) -> Standing:
    """How a row's cover stands to the receipts of its run."""
    standings = {standing(taken, low, high) for low, high in row.ranges()}
    return standings.pop() if len(standings) == 1 else Standing.PARTIAL
