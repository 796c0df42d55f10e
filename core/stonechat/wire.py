"""The messages between agent and collector.

Each is a list in an ``envelope``; items after those named here are ignored, so that a later version may add some.

=======  ===============  ============================================================================
type     topic            list
=======  ===============  ============================================================================
1        up/window        ``[1, header, batch]``: ``columns`` holds the batch
2        up/event         ``[2, header, [event, ...]]``
3        up/state         ``[3, online, order, connect, epoch, wall, boottime, description, versions]``
4        down/ack         ``[4, store, taken, refused, rejected, wanted, time, pace, echo, versions]``
5        up/exchange      ``[5, header, [[row, texts, chosen, kept], ...], privacy]``
=======  ===============  ============================================================================

::

    header    [epoch, order, wall, boottime, [[epoch, lowest held window, lowest held event], ...]]
              the sender's run, its clocks in ms when it sent, and the epochs of which it holds anything;
              a lowest of 0: nothing of that stream
    event     [cover, kind, key, severity, first, last order, last boottime, count, start, attributes]
    cover     [[epoch, low, high], ...]        first    [order, monotonic, boottime, wall, synced]
    store     8 bytes that name the collector's store
    taken     [[stream, epoch, low, high, low, high, ...], ...]: all receipts of the epochs that the header named
    refused   [[stream, epoch, low, high, reason], ...]: never to be offered again
    rejected  [[digest, reason], ...]: payloads that could not be read at all, by ``digest``
    wanted    [hash, ...]: descriptions that the collector lacks
    pace      ms between two batches of backlog that the collector asks for
    echo      [epoch, boottime] out of the newest message that is answered
    versions  envelope versions understood
    row       an exchange without texts: ``exchange_row``
    texts     what was said in it, or nil: ``exchange_texts``
    chosen    why the device tells of it: flagged, failed, slow or sampled
    kept      what the device's journal has of its texts: "kept", or a word that says why there are none
    privacy   [journal, upload]: the words of the device's settings that decide about texts

An ``up/state`` of a device that is gone (the will) has ``online`` false and neither clocks nor description.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from hashlib import blake2b
from typing import Any, NamedTuple

from stonechat import columns, exchange_row, exchange_texts
from stonechat.description import HASH_BYTES, MAX_BYTES
from stonechat.envelope import VERSION, seal, unseal
from stonechat.errors import Refused
from stonechat.event import MAX_ATTRIBUTES, MAX_TEXT, Event, Severity
from stonechat.exchange_row import Row
from stonechat.exchange_texts import Texts
from stonechat.ids import identifier
from stonechat.ranges import Cover, Ranges
from stonechat.records import Record, Stamp

MAX_EVENTS = 256
MAX_EXCHANGES = 64
MAX_EPOCHS = 256
"""Epochs in a header: runs of the agent of which the spool still holds something."""


class Type(IntEnum):
    """What a message is."""

    WINDOWS = 1
    EVENTS = 2
    STATE = 3
    ACK = 4
    EXCHANGES = 5


class Stream(IntEnum):
    """The two streams of sequence numbers."""

    WINDOW = 0
    EVENT = 1


@dataclass(frozen=True, slots=True)
class Header:
    """Who sends a batch, when by its clocks, and what it still holds."""

    epoch: int
    order: int
    wall: int
    boottime: int
    held: tuple[tuple[int, int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class WindowBatch:
    """Records of one device."""

    header: Header
    records: Sequence[Record]


@dataclass(frozen=True, slots=True)
class EventBatch:
    """Events of one device."""

    header: Header
    events: Sequence[Event]


class Told(NamedTuple):
    """An exchange that a device tells of. ``chosen`` and ``kept`` are words, "" where the sender did not say."""

    row: Row
    texts: Texts | None = None
    """What was said in it; None where that stays on the device, or was never kept."""
    chosen: str = ""
    """Why it is told: ``flagged``, ``failed``, ``slow`` or ``sampled``."""
    kept: str = ""
    """What the device's journal has of the texts: ``kept``, or why there are none."""


class Privacy(NamedTuple):
    """The device's settings by which texts are kept and sent, as words: ``privacy.journal``, ``privacy.upload``."""

    journal: str
    upload: str


@dataclass(frozen=True, slots=True)
class ExchangeBatch:
    """Exchanges of one device, out of all that it had. They are no part of any total."""

    header: Header
    exchanges: Sequence[Told]
    privacy: Privacy


@dataclass(frozen=True, slots=True)
class State:
    """Birth or will. (``order``, ``connect``) orders the states of a device; a lower one is stale."""

    online: bool
    order: int
    connect: int
    epoch: int
    wall: int = 0
    boottime: int = 0
    description: Mapping[str, Any] | None = None
    versions: tuple[int, ...] = (VERSION,)


@dataclass(frozen=True, slots=True)
class Ack:
    """What is durable at the collector, and what it wants."""

    store: bytes
    taken: Mapping[tuple[int, int], Ranges] = field(default_factory=dict)
    """Ranges by (stream, epoch)."""
    refused: tuple[tuple[int, int, int, int, str], ...] = ()
    """(stream, epoch, low, high, reason)."""
    rejected: tuple[tuple[bytes, str], ...] = ()
    wanted: tuple[bytes, ...] = ()
    time: int = 0
    pace: int = 0
    echo: tuple[int, int] = (0, 0)
    """(epoch, boottime) out of the newest message that this answers: the sender tells the round trip by it."""
    versions: tuple[int, ...] = (VERSION,)


def digest(payload: bytes) -> bytes:
    """The name of a payload in ``Ack.rejected``."""
    return blake2b(payload, digest_size=8).digest()


def encode_windows(header: Header, records: Sequence[Record]) -> bytes:
    """Payload of ``up/window``. Raises ValueError when it exceeds the envelope's bound."""
    return seal([Type.WINDOWS, _header(header), columns.encode(records)])


def encode_events(header: Header, events: Sequence[Event]) -> bytes:
    """Payload of ``up/event``. Raises ValueError when it exceeds the envelope's bound."""
    return seal([Type.EVENTS, _header(header), [event_to_plain(event) for event in events]])


def encode_exchanges(header: Header, exchanges: Sequence[Told], privacy: Privacy) -> bytes:
    """Payload of ``up/exchange``. Raises ValueError when it exceeds the envelope's bound."""
    plain = [[exchange_row.pack(told.row), *told[1:]] for told in exchanges]
    return seal([Type.EXCHANGES, _header(header), plain, privacy])


def encode_state(state: State) -> bytes:
    """Payload of ``up/state``."""
    return seal(
        [
            Type.STATE,
            state.online,
            state.order,
            state.connect,
            state.epoch,
            state.wall,
            state.boottime,
            state.description,
            state.versions,
        ]
    )


def encode_ack(ack: Ack) -> bytes:
    """Payload of ``down/ack``."""
    taken = [
        [stream, epoch, *(n for pair in ranges for n in pair)]
        for (stream, epoch), ranges in ack.taken.items()
    ]
    answer = (ack.refused, ack.rejected, ack.wanted, ack.time, ack.pace, ack.echo, ack.versions)
    return seal([Type.ACK, ack.store, taken, *answer])


def decode(payload: bytes) -> WindowBatch | EventBatch | State | Ack | ExchangeBatch:
    """The message of a payload, every part checked.

    Raises:
        Refused: it is not a message of this protocol; the reason is a short word.
    """
    message = unseal(payload)
    reader = _READERS.get(message[0])
    if reader is None:
        raise Refused("type", f"type {message[0]}, 1 to {max(Type)} are known")
    try:
        return reader(message[1:])
    except (TypeError, ValueError, AttributeError, IndexError, KeyError) as error:
        raise Refused("message", f"{Type(message[0]).name.lower()}: {type(error).__name__}") from error


def event_to_plain(event: Event) -> list[Any]:
    """An event as lists, for the wire and for stores."""
    return [
        event.cover,
        event.kind,
        event.key,
        int(event.severity),
        event.first,
        event.last_order,
        event.last_boottime,
        event.count,
        event.start,
        dict(event.attributes),
    ]


def event_from_plain(plain: list[Any]) -> Event:
    """The event of ``event_to_plain``, checked. Raises Refused."""
    cover, kind, key, severity, first, last_order, last_boottime, count, start, attributes, *_ = plain
    if not (_short(kind) and kind and _short(key) and type(severity) is int and type(attributes) is dict):
        raise Refused("event", "kind, key, severity or attributes are not what they should be")
    if len(attributes) > MAX_ATTRIBUTES or _size(attributes) > MAX_BYTES:
        raise Refused("event", "too many attributes")
    _ints(last_order, last_boottime, count)
    if start is not None:
        _int(start, -(1 << 52), 1 << 52)
    return Event(
        cover=_cover(cover),
        kind=kind,
        key=key,
        severity=Severity(min(3, max(1, severity))),
        first=_stamp(first),
        last_order=last_order,
        last_boottime=last_boottime,
        count=count,
        attributes=attributes,
        start=start,
    )


def _header(header: Header) -> list[Any]:
    return [header.epoch, header.order, header.wall, header.boottime, header.held]


def _read_header(plain: Any) -> Header:
    epoch, order, wall, boottime, held, *_ = plain
    _ints(order, boottime)
    _int(epoch, 1, (1 << 64) - 1)
    _int(wall, -(1 << 52), 1 << 52)
    if type(held) is not list or len(held) > MAX_EPOCHS:
        raise Refused("header", f"not a list of at most {MAX_EPOCHS} epochs")
    for item in held:
        _int(item[0], 1, (1 << 64) - 1)
        _ints(*item[1:3])
    return Header(epoch, order, wall, boottime, tuple((e, w, v) for e, w, v, *_ in held))


def _read_windows(parts: list[Any]) -> WindowBatch:
    return WindowBatch(_read_header(parts[0]), columns.decode(parts[1]))


def _read_events(parts: list[Any]) -> EventBatch:
    header, events = _read_header(parts[0]), parts[1]
    if type(events) is not list or not 1 <= len(events) <= MAX_EVENTS:
        raise Refused("events", f"not a list of 1 to {MAX_EVENTS}")
    return EventBatch(header, [event_from_plain(event) for event in events])


def _read_state(parts: list[Any]) -> State:
    online, order, connect, epoch, wall, boottime, description, versions, *_ = parts
    _ints(order, connect, boottime)
    _int(epoch, 1, (1 << 64) - 1)
    _int(wall, -(1 << 52), 1 << 52)
    if type(online) is not bool or not (description is None or type(description) is dict):
        raise Refused("state", "online or description are not what they should be")
    if _size(description) > MAX_BYTES:
        raise Refused("state", f"description beyond {MAX_BYTES} bytes")
    return State(online, order, connect, epoch, wall, boottime, description, _versions(versions))


def _read_ack(parts: list[Any]) -> Ack:
    store, taken, refused, rejected, wanted, time, pace, echo, versions, *_ = parts
    if type(store) is not bytes or len(store) != 8:
        raise Refused("ack", "no store of 8 bytes")
    receipts: dict[tuple[int, int], Ranges] = {}
    for stream, epoch, *flat in taken:
        _int(stream, 0, 255)
        _int(epoch, 1, (1 << 64) - 1)
        _ints(*flat)
        receipts[stream, epoch] = tuple(zip(flat[::2], flat[1::2], strict=True))
    for stream, epoch, low, high, reason in refused:
        _ints(stream, low, high)
        _int(epoch, 1, (1 << 64) - 1)
        _text(reason)
    for name, reason in rejected:
        _bytes(name)
        _text(reason)
    for name in wanted:
        _bytes(name)
    _ints(time, pace)
    epoch, boottime = echo
    _int(epoch, 0, (1 << 64) - 1)
    _ints(boottime)
    return Ack(
        store,
        receipts,
        tuple((s, e, low, high, reason) for s, e, low, high, reason in refused),
        tuple((name, reason) for name, reason in rejected),
        tuple(wanted),
        time,
        pace,
        (epoch, boottime),
        _versions(versions),
    )


def _read_exchanges(parts: list[Any]) -> ExchangeBatch:
    header, exchanges, (journal, upload, *_) = _read_header(parts[0]), parts[1], parts[2]
    if type(exchanges) is not list or not 1 <= len(exchanges) <= MAX_EXCHANGES:
        raise Refused("exchanges", f"not a list of 1 to {MAX_EXCHANGES}")
    told = [
        Told(
            exchange_row.unpack(row),
            None if texts is None else exchange_texts.read(texts),
            _word(chosen),
            _word(kept),
        )
        for row, texts, chosen, kept, *_ in exchanges
    ]
    return ExchangeBatch(header, told, Privacy(_word(journal), _word(upload)))


_READERS: dict[int, Callable[[list[Any]], WindowBatch | EventBatch | State | Ack | ExchangeBatch]] = {
    Type.WINDOWS: _read_windows,
    Type.EVENTS: _read_events,
    Type.STATE: _read_state,
    Type.ACK: _read_ack,
    Type.EXCHANGES: _read_exchanges,
}


def _cover(plain: Any) -> Cover:
    if type(plain) is not list or not 1 <= len(plain) <= columns.MAX_RANGES:
        raise Refused("cover", f"not a list of 1 to {columns.MAX_RANGES} ranges")
    cover: list[tuple[int, int, int]] = []
    for epoch, low, high in plain:
        _int(epoch, 1, (1 << 64) - 1)
        _int(low, 1, (1 << 63) - 1)
        _int(high, low, (1 << 63) - 1)
        if cover and (cover[-1][0], cover[-1][2] + 1) >= (epoch, low):
            raise Refused("cover", "ranges are not sorted and apart")
        cover.append((epoch, low, high))
    return tuple(cover)


def _stamp(plain: Any) -> Stamp:
    order, monotonic, boottime, wall, synced = plain
    _ints(order, boottime)
    _int(monotonic, -(1 << 52), 1 << 62)
    _int(wall, -(1 << 52), 1 << 52)
    return Stamp(order, monotonic, boottime, wall, bool(synced))


def _versions(plain: Any) -> tuple[int, ...]:
    if type(plain) is not list or len(plain) > 64:
        raise Refused("versions", "not a short list")
    _ints(*plain)
    return tuple(plain)


def _int(number: Any, least: int, most: int) -> None:
    if type(number) is not int or not least <= number <= most:
        raise Refused("number", "missing or out of its range")


def _ints(*numbers: Any) -> None:
    for number in numbers:
        _int(number, 0, (1 << 63) - 1)


def _short(text: Any) -> bool:
    return type(text) is str and len(text) <= MAX_TEXT


def _text(text: Any) -> None:
    if not _short(text):
        raise Refused("text", f"not a text of at most {MAX_TEXT} characters")


def _word(text: Any) -> str:
    if type(text) is not str or (text and identifier(text) is None):
        raise Refused("word", "not an identifier")
    return text


def _bytes(name: Any) -> None:
    if type(name) is not bytes or len(name) != HASH_BYTES:
        raise Refused("hash", f"not {HASH_BYTES} bytes")


def _size(item: Any, depth: int = 0) -> int:
    """A bound on what an unpacked plain value holds: characters and items. Raises Refused below depth 6."""
    if depth > 6:
        raise Refused("nesting", "deeper than 6")
    if isinstance(item, (str, bytes)):
        return len(item) + 1
    if isinstance(item, dict):
        return 1 + sum(_size(k, depth + 1) + _size(v, depth + 1) for k, v in item.items())
    if isinstance(item, list):
        return 1 + sum(_size(part, depth + 1) for part in item)
    return 1
