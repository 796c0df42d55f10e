"""Rows' payloads: a dictionary's id, then deflate of MessagePack. Records stand in columns, events as on the wire."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgpack

from stonechat import columns
from stonechat.envelope import DICTIONARY, compress, decompress, unpack
from stonechat.errors import Refused
from stonechat.event import Event
from stonechat.records import Record
from stonechat.wire import event_from_plain, event_to_plain

Item = Record | Event


def encode(items: Sequence[Item]) -> bytes:
    """The payload of 1 to ``columns.MAX_RECORDS`` records, or of one event."""
    first = items[0]
    if isinstance(first, Event):
        plain = event_to_plain(first)
    else:
        plain = columns.encode([item for item in items if isinstance(item, Record)])
    return bytes((DICTIONARY,)) + compress(msgpack.packb(plain))


def decode_records(payload: bytes) -> list[Record]:
    """The records of a payload. Raises Refused for what is damaged."""
    return columns.decode(_body(payload))


def decode_event(payload: bytes) -> Event:
    """The event of a payload. Raises Refused for what is damaged."""
    plain = _body(payload)
    try:
        return event_from_plain(plain)
    except (TypeError, ValueError) as error:
        raise Refused("event", type(error).__name__) from error


def _body(payload: bytes) -> Any:
    if not payload:
        raise Refused("truncated", "an empty row")
    return unpack(decompress(payload[1:], payload[0]))
