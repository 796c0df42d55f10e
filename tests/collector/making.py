"""Windows, events and messages as a device would send them, in a few words each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stonechat import topics, wire
from stonechat.event import Event, Severity
from stonechat.exchange_row import Row
from stonechat.ids import exchange_id
from stonechat.records import DEVICE, Flag, Record, Series, Stamp, Values
from stonechat.values import counter, gauge
from stonechat_collector.messages import Message

NOW = 1_790_000_400_000
MINUTE = 60_000
DESCRIPTION = b"describe"
CHAT = Series("engine", "model", "chat")


def window(
    seq: int,
    *,
    epoch: int = 7,
    order: int = 1,
    high: int | None = None,
    start: int | None = None,
    weight: int = 1,
    step: int = MINUTE,
    flags: Flag = Flag(0),
    values: Values | None = None,
    description: bytes = DESCRIPTION,
) -> Record:
    """Window ``seq`` (to ``high``) of a run, beginning ``seq`` minutes after the run did."""
    boottime = seq * MINUTE
    begin = NOW - 3 * 60 * MINUTE + seq * MINUTE if start is None else start
    metrics: Values = {
        DEVICE: {60: gauge([2000, 4000], order, boottime + step), 90: counter(weight)},
        CHAT: {1: counter(10)},
    }
    return Record(
        cover=((epoch, seq, seq if high is None else high),),
        description=description,
        first=Stamp(order, boottime, boottime, begin, True),
        last_order=order,
        last_boottime=boottime + step,
        step=step,
        observed=step,
        samples=60,
        values=metrics if values is None else values,
        start=begin,
        flags=flags,
    )


def event(
    seq: int,
    *,
    epoch: int = 7,
    order: int = 1,
    kind: str = "engine_down",
    key: str = "engine",
    attributes: Mapping[str, object] | None = None,
    start: int | None = NOW,
) -> Event:
    """Event ``seq`` of a run."""
    return Event(
        cover=((epoch, seq, seq),),
        kind=kind,
        key=key,
        severity=Severity.WARNING,
        first=Stamp(order, seq, seq, NOW, True),
        last_order=order,
        last_boottime=seq,
        attributes=attributes or {},
        start=start,
    )


def header(
    epoch: int = 7, order: int = 1, *, sent: int = 1, wall: int = NOW, held: Sequence[int] = ()
) -> wire.Header:
    """The header of a batch sent at ``sent`` ms of the device's boottime."""
    return wire.Header(epoch, order, wall, sent, tuple((other, 1, 0) for other in held))


def windows_message(
    records: Sequence[Record],
    *,
    device: str = "kiosk-1",
    fleet: str = "shops",
    head: wire.Header | None = None,
) -> Message:
    """A batch of records on its topic."""
    sender = head or header(records[0].cover[0][0], records[0].last_order)
    return Message(topics.up(fleet, device, "window"), wire.encode_windows(sender, records))


def events_message(
    events: Sequence[Event], *, device: str = "kiosk-1", fleet: str = "shops", head: wire.Header | None = None
) -> Message:
    """A batch of events on its topic."""
    sender = head or header(events[0].cover[0][0], events[0].last_order)
    return Message(topics.up(fleet, device, "event"), wire.encode_events(sender, events))


def exchange_row(number: int = 1, **fields: object) -> Row:
    """The row of exchange ``number``, begun so many seconds before NOW; a field that is None is left out."""
    start = NOW - number * 1000
    known = {
        "id": exchange_id(start, number),
        "start": start,
        "engine": "engine",
        "model": "model",
        "operation": "chat",
        "outcome": "ok",
        "duration": 2_000_000,
        "ttft": 500_000,
        "output_tokens": 40,
        **fields,
    }
    return {name: value for name, value in known.items() if value is not None}


def exchanges_message(
    told: Sequence[wire.Told],
    *,
    device: str = "kiosk-1",
    fleet: str = "shops",
    journal: str = "flagged",
    upload: str = "none",
) -> Message:
    """A batch of exchanges on its topic."""
    payload = wire.encode_exchanges(header(), told, wire.Privacy(journal, upload))
    return Message(topics.up(fleet, device, "exchange"), payload)


def state_message(
    online: bool,
    order: int,
    connect: int,
    *,
    epoch: int = 7,
    device: str = "kiosk-1",
    fleet: str = "shops",
    description: Mapping[str, object] | None = None,
    sent: int = 1,
    wall: int = NOW,
    retain: bool = False,
) -> Message:
    """A birth or a will on its topic."""
    clocks = (wall, sent) if online else (0, 0)
    state = wire.State(online, order, connect, epoch, *clocks, description)
    return Message(topics.up(fleet, device, "state"), wire.encode_state(state), retain)


def ack_of(messages: Sequence[Message]) -> wire.Ack:
    """The one ack among messages to publish."""
    (message,) = messages
    ack = wire.decode(message.payload)
    assert isinstance(ack, wire.Ack)
    return ack
