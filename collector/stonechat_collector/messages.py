"""Messages between devices and this collector as they come and go: read, checked against their topic, or rejected."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgpack

from stonechat import wire
from stonechat.errors import Refused
from stonechat.records import to_plain
from stonechat.topics import Topic
from stonechat.wire import Ack, EventBatch, ExchangeBatch, State, WindowBatch

LEAVES: Mapping[str, type] = {
    "window": WindowBatch,
    "event": EventBatch,
    "state": State,
    "exchange": ExchangeBatch,
}
"""The last parts of the topics that devices publish to, and what comes by them."""


class Message(NamedTuple):
    """One MQTT message, received or to be published."""

    topic: str
    payload: bytes
    retain: bool = False


Body = WindowBatch | EventBatch | State | ExchangeBatch


class Rejection(NamedTuple):
    """A message that cannot be taken; ``topic`` is None where it is none of ours."""

    message: Message
    topic: Topic | None
    reason: str
    detail: str


class Item(NamedTuple):
    """A message that could be read. ``blobs`` holds a row's payload for each record."""

    message: Message
    topic: Topic
    body: Body
    blobs: Sequence[bytes] = ()


def read(message: Message, topic: Topic) -> Item:
    """The content of a message. Raises Refused: it is not what belongs on its topic."""
    body = wire.decode(message.payload)
    if not isinstance(body, LEAVES[topic.leaf]):
        raise Refused("type", f"a {type(body).__name__} on up/{topic.leaf}")
    if isinstance(body, WindowBatch):
        try:
            return Item(message, topic, body, [msgpack.packb(to_plain(record)) for record in body.records])
        except OverflowError as error:
            raise Refused("number", "beyond 64 bits") from error
    assert not isinstance(body, Ack)
    return Item(message, topic, body)


def header_epochs(body: Body) -> set[int]:
    """The epochs of which the sender is told all receipts."""
    if isinstance(body, State):
        return {body.epoch} if body.online else set()
    if isinstance(body, ExchangeBatch):  # no part of what is acknowledged
        return set()
    return {body.header.epoch, *(epoch for epoch, _, _ in body.header.held)}


def epochs_of(body: Body) -> set[int]:
    """Every epoch that a message names: those of its header, and those of which it brings something."""
    epochs = header_epochs(body)
    if isinstance(body, WindowBatch):
        epochs.update(epoch for record in body.records for epoch, _, _ in record.cover)
    elif isinstance(body, EventBatch):
        epochs.update(epoch for event in body.events for epoch, _, _ in event.cover)
    return epochs


def plain(item: Any) -> Any:
    """What a device sent as JSON and any database can hold it: no bytes, no NaN, no NUL, and keys that are texts."""
    if isinstance(item, str):
        return item.replace("\0", "\ufffd")
    if isinstance(item, bytes):
        return item.hex()
    if isinstance(item, float) and not math.isfinite(item):
        return None
    if isinstance(item, Mapping):
        return {plain(key) if isinstance(key, str) else str(key): plain(value) for key, value in item.items()}
    if isinstance(item, list | tuple):
        return [plain(part) for part in item]
    return item
