"""What is published when: the agent's half of the protocol, as a state machine without sockets, threads and clocks.

Every input returns the messages to publish now, in that order. The rules, beyond those of the spool:

- On every connect the birth goes first, then the newest window, then history at a paced rate, oldest first.
- At most ``MAX_UNACKED`` messages are unacknowledged. History takes at most ``MAX_BACKLOG`` of them and events leave
  ``LIVE_ROOM``, so that live windows find room. Beyond the bound new windows stay held, where they can fold, and only a
  jittered probe goes out.
- What is unacknowledged is published again after a reconnect, when an acknowledgement shows that something later
  arrived, and by the probe. The collector's receipts make repeating harmless.
- A batch that a collector could not read goes once more record by record; a record that it cannot read is dropped.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple, cast

from stonechat import topics, wire
from stonechat.columns import MAX_RECORDS
from stonechat.description import Description
from stonechat.errors import Refused
from stonechat.event import EventKind, Severity
from stonechat.records import Record
from stonechat.wire import Ack, Header, State, Stream
from stonechat_agent.spool import Instant, Offer, Source, Spool

log = logging.getLogger(__name__)

MAX_UNACKED = 8
MAX_BACKLOG = 5
LIVE_ROOM = 2
"""Messages of `MAX_UNACKED` that only live windows may take."""
MAX_BATCH_BYTES = 64 * 1024
PACE_MS = 1000
"""Time between two batches of history where the collector asks for nothing else."""
MAX_PACE_MS = 600_000
SPREAD_MS = 15_000
"""A fleet's windows all end at the same instant; each device publishes at its own within this time after it."""
GRACE_MS = 5_000
"""How long a message is under way before an acknowledgement of a later one means that it was lost."""
PROBE_MS = 30_000
MAX_PROBE_MS = 900_000
DESCRIBE_AGAIN_MS = 60_000
"""Time between two answers to a collector that wants a description again and again."""
MAX_ROUND_TRIP_MS = 60_000
"""An answer that took longer says too little of the time."""

_LEAVES = {Stream.WINDOW: "window", Stream.EVENT: "event"}


class Publish(NamedTuple):
    """A message for the broker."""

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False


class _Message:
    """A batch that is unacknowledged: its rows, when it was sent (None: not yet), and what its payloads are called."""

    __slots__ = ("backlog", "digests", "due", "ids", "records", "sent", "single", "stream")

    def __init__(
        self, stream: Stream, ids: Iterable[int], due: int, *, backlog: bool, single: bool = False
    ) -> None:
        self.stream = stream
        self.ids = set(ids)
        self.records = len(self.ids)
        self.due = due
        self.backlog = backlog
        self.single = single
        self.sent: int | None = None
        self.digests: list[bytes] = []


class Uplink:
    """The agent's half of the protocol. All times are ms."""

    def __init__(
        self,
        spool: Spool,
        fleet: str,
        device: str,
        *,
        random: Callable[[], float],
        spread_ms: int | None = None,
        pace_ms: int = PACE_MS,
    ) -> None:
        """``random`` gives numbers in [0, 1).

        Args:
            spread_ms: the device publishes a window up to this long after its end, at an instant that its id fixes;
                default: `SPREAD_MS`, a quarter of a window at most.
            pace_ms: time between two batches of history until a collector asks for another.
        """
        self.spool = spool
        self.sent_bytes = 0
        """Payload bytes published since the start."""
        self._fleet, self._device = fleet, device
        self._random = random
        spread = min(SPREAD_MS, spool.window_step_ms // 4) if spread_ms is None else spread_ms
        hashed = int.from_bytes(blake2b(device.encode(), digest_size=8).digest(), "big")
        self._phase = hashed % (spread + 1)
        self._own_pace = self._pace = pace_ms
        self._connects = itertools.count(1)
        self._connect = 0
        self._will_issued = False
        self._connected = False
        self._description: Mapping[str, Any] | None = None
        self._messages: list[_Message] = []
        self._singles: dict[Stream, set[int]] = {stream: set() for stream in Stream}
        self._cursor = dict.fromkeys(Stream, 0)
        self._nothing_held = dict.fromkeys(Stream, False)
        self._next_backlog = 0
        self._probe_at = 0
        self._probe_wait = PROBE_MS
        self._birth_again = 0
        self._described: dict[bytes, int] = {}
        self._setbacks = spool.setbacks

    # Inputs

    def will(self) -> Publish:
        """What the broker is to publish when the connection that is about to be made breaks. Any thread may ask."""
        self._connect = next(self._connects)
        self._will_issued = True
        return self._state(State(False, self.spool.order, self._connect, self.spool.epoch))

    def connected(self, now: Instant) -> list[Publish]:
        """The broker accepted us, and the topics that we listen to are subscribed."""
        if not self._will_issued:
            self._connect = next(self._connects)
        self._will_issued = False
        self._connected = True
        self._start_over(now)
        out = [self._birth(now)]
        if self._may_offer(now):
            out += self._send_newest(now)
        return out + self.tick(now)

    def disconnected(self, now: Instant) -> list[Publish]:
        """The connection is gone. What is unacknowledged is published again on the next one."""
        self._connected = False
        self._start_over(now)
        return []

    def stopping(self, now: Instant) -> list[Publish]:
        """The agent is about to disconnect on purpose."""
        if not self._connected:
            return []
        gone = State(False, self.spool.order, self._connect, self.spool.epoch, now.wall, now.boottime)
        return [self._state(gone)]

    def describe(self, description: Description, now: Instant) -> list[Publish]:
        """Another description is in force. A new one is sent as an event, and the birth tells of it too."""
        changed = self._description is not None and self._description != description
        self._description = description
        name, new = self.spool.describe(description)
        if new:
            self._send_description(name, description)
        if not self._connected:
            return []
        return ([self._birth(now)] if changed else []) + self.tick(now)

    def window_closed(self, draft: Record, now: Instant) -> list[Publish]:
        """Keep a window, and publish it when its turn within the spread has come."""
        self._note_clock(now)
        offer_now = self._may_offer(now) and self._unacked() < MAX_UNACKED
        kept = self.spool.append(draft, offer_now=offer_now)
        if kept.offered:
            self._messages.append(
                _Message(Stream.WINDOW, [kept.id], now.monotonic + self._phase, backlog=False)
            )
        else:
            self._nothing_held[Stream.WINDOW] = False
        return self.tick(now)

    def event(
        self, kind: str, key: str, severity: Severity, attributes: Mapping[str, Any] | None, now: Instant
    ) -> list[Publish]:
        """Keep an event, and publish it at once when there is room."""
        self._note_clock(now)
        offer_now = self._may_offer(now) and self._unacked() < MAX_UNACKED - LIVE_ROOM
        kept = self.spool.append_event(kind, key, severity, attributes, at=now, offer_now=offer_now)
        if kept.offered:
            self._messages.append(_Message(Stream.EVENT, [kept.id], now.monotonic, backlog=False))
        else:
            self._nothing_held[Stream.EVENT] = False
        return self.tick(now)

    def message(self, topic: str, payload: bytes, now: Instant) -> list[Publish]:
        """A message of a topic that we listen to. What is not an acknowledgement for this device is ignored."""
        if topic != self.ack_topic:
            return []
        try:
            ack = wire.decode(payload)
        except Refused as error:
            log.warning("acknowledgement refused", extra={"reason": error.reason})
            return []
        if not isinstance(ack, Ack):
            log.warning("acknowledgement refused", extra={"reason": "type"})
            return []
        return self._acknowledged(ack, now)

    def tick(self, now: Instant) -> list[Publish]:
        """Whatever is due. To be called every second or so."""
        if not self._connected:
            return []
        self._note_clock(now)
        if not self.spool.anchored:
            return self._ask_for_time(now)
        if self._setbacks != self.spool.setbacks:
            self._setbacks = self.spool.setbacks
            self._look_again()
        out: list[Publish] = []
        for message in [m for m in self._messages if m.sent is None and m.due <= now.monotonic]:
            out += self._publish(message, now)
        out += self._send_events(now)
        out += self._send_backlog(now)
        out += self._probe(now)
        return out

    @property
    def unacknowledged(self) -> int:
        """Messages that are under way and unacknowledged."""
        return len(self._messages)

    @property
    def ack_topic(self) -> str:
        """The topic of acknowledgements for this device."""
        return topics.down(self._fleet, self._device, "ack")

    @property
    def subscriptions(self) -> tuple[str, ...]:
        """The topics to subscribe to, with QoS 1, before ``connected``."""
        return (self.ack_topic,)

    # Birth and time

    def _state(self, state: State) -> Publish:
        return Publish(
            topics.up(self._fleet, self._device, "state"), wire.encode_state(state), 1, retain=True
        )

    def _birth(self, now: Instant) -> Publish:
        self._birth_again = now.monotonic + self._jittered(PROBE_MS)
        return self._state(
            State(
                True,
                self.spool.order,
                self._connect,
                self.spool.epoch,
                now.wall,
                now.boottime,
                self._description,
            )
        )

    def _ask_for_time(self, now: Instant) -> list[Publish]:
        # The answer to a birth carries the collector's time, without which nothing of this run may be offered.
        return [self._birth(now)] if now.monotonic >= self._birth_again else []

    def _note_clock(self, now: Instant) -> None:
        if now.synced:
            self.spool.anchor(now.wall - now.boottime, Source.CLOCK)

    def _take_time(self, ack: Ack, now: Instant) -> None:
        # An answer may come late and out of its order, so it says itself when what it answers was sent.
        epoch, sent = ack.echo
        if self.spool.anchored or epoch != self.spool.epoch or not ack.time:
            return
        round_trip = now.boottime - sent
        if 0 <= round_trip <= MAX_ROUND_TRIP_MS:
            self.spool.anchor(ack.time + round_trip // 2 - now.boottime, Source.LATE)

    # What may go out

    def _may_offer(self, now: Instant) -> bool:
        self._note_clock(now)
        return self._connected and self.spool.anchored

    def _in_flight(self, stream: Stream) -> set[int]:
        return {key for message in self._messages if message.stream is stream for key in message.ids}

    def _unacked(self) -> int:
        """Messages that are unacknowledged: those under way, and what the next ones will repeat."""
        waiting = 0
        for stream in Stream:
            mine = sum(m.records for m in self._messages if m.stream is stream)
            idle = max(0, self.spool.offered(stream) - mine)
            waiting += -(-idle // MAX_RECORDS)
        return len(self._messages) + waiting

    def _start_over(self, now: Instant) -> None:
        self._messages.clear()
        self._look_again()
        self._next_backlog = now.monotonic + self._jittered(self._pace)
        self._probe_wait = PROBE_MS
        self._probe_at = now.monotonic + self._jittered(PROBE_MS)

    def _look_again(self) -> None:
        """Rows may have come to be offered that were passed over."""
        self._cursor = dict.fromkeys(Stream, 0)
        self._nothing_held = dict.fromkeys(Stream, False)

    def _send_newest(self, now: Instant) -> list[Publish]:
        """The newest window, so that what the fleet page shows as now is."""
        found = [
            candidate
            for frozen in (True, False)
            for candidate in self.spool.candidates(Stream.WINDOW, frozen=frozen, limit=1, newest=True)
            if frozen or self._unacked() < MAX_UNACKED
        ]
        newest = max(found, default=None)
        return self._offer(Stream.WINDOW, [newest.id], now, backlog=False) if newest else []

    def _send_events(self, now: Instant) -> list[Publish]:
        out: list[Publish] = []
        if len(self._messages) < MAX_UNACKED - LIVE_ROOM:
            ids = self._next_ids(Stream.EVENT)
            if ids:
                out = self._offer(Stream.EVENT, ids, now, backlog=False)
        return out

    def _send_backlog(self, now: Instant) -> list[Publish]:
        under_way = sum(1 for message in self._messages if message.backlog)
        if (
            now.monotonic < self._next_backlog
            or under_way >= MAX_BACKLOG
            or len(self._messages) >= MAX_UNACKED
        ):
            return []
        ids = self._next_ids(Stream.WINDOW)
        if not ids:
            return []
        self._next_backlog = now.monotonic + self._pace // 2 + self._jittered(self._pace // 2)
        return self._offer(Stream.WINDOW, ids, now, backlog=True)

    def _next_ids(self, stream: Stream) -> list[int]:
        """The rows of the next batch: what is frozen and not under way first, then what is held; oldest first."""
        under_way = self._in_flight(stream)
        while True:
            found = self.spool.candidates(stream, frozen=True, after=self._cursor[stream], limit=MAX_RECORDS)
            if not found:
                break
            fresh = [candidate for candidate in found if candidate.id not in under_way]
            if fresh:
                return self._fill(stream, fresh)
            self._cursor[stream] = found[-1].id
        if self._nothing_held[stream]:
            return []
        found = self.spool.candidates(stream, frozen=False, limit=MAX_RECORDS)
        self._nothing_held[stream] = not found
        return self._fill(stream, found)

    def _fill(self, stream: Stream, candidates: Sequence[Any]) -> list[int]:
        """As many of the candidates as make one batch; one that is to go alone goes alone."""
        ids: list[int] = []
        records = size = 0
        for candidate in candidates:
            alone = candidate.id in self._singles[stream]
            records += candidate.n
            size += candidate.size
            if ids and (alone or records > MAX_RECORDS or size > MAX_BATCH_BYTES):
                break
            ids.append(candidate.id)
            if alone:
                break
        return ids

    def _offer(self, stream: Stream, ids: Sequence[int], now: Instant, *, backlog: bool) -> list[Publish]:
        offers = self.spool.offer(stream, ids)
        if not offers:
            self._nothing_held[stream] = True  # until the next window, event or acknowledgement
            return []
        alone = len(offers) == 1 and offers[0].id in self._singles[stream]
        message = _Message(stream, [o.id for o in offers], now.monotonic, backlog=backlog, single=alone)
        self._messages.append(message)
        return self._publish(message, now, offers)

    def _publish(self, message: _Message, now: Instant, offers: list[Offer] | None = None) -> list[Publish]:
        """Publish a message, in halves where it is too large for one payload."""
        if offers is None:
            offers = self.spool.offer(message.stream, message.ids)
        if not offers:
            self._messages.remove(message)
            return []
        message.ids = {offer.id for offer in offers}
        items = [item for offer in offers for item in offer.items]
        message.records = len(items)
        payload = self._encode(message.stream, offers, items, now)
        if payload is None:
            self._messages.remove(message)
            return self._publish_halves(message, offers, now)
        if not any(m.sent is not None for m in self._messages):
            self._probe_at = now.monotonic + self._jittered(self._probe_wait)
        message.sent = now.monotonic
        message.digests = [*message.digests[-3:], wire.digest(payload)]
        self.sent_bytes += len(payload)
        return [Publish(topics.up(self._fleet, self._device, _LEAVES[message.stream]), payload)]

    def _encode(self, stream: Stream, offers: list[Offer], items: list[Any], now: Instant) -> bytes | None:
        held = self.spool.held_epochs(offer.id for offer in offers)
        header = Header(self.spool.epoch, self.spool.order, now.wall, now.boottime, held)
        try:
            encode: Callable[..., bytes] = (
                wire.encode_windows if stream is Stream.WINDOW else wire.encode_events
            )
            payload = encode(header, items)
        except ValueError:
            return None
        return payload if len(payload) <= MAX_BATCH_BYTES or len(offers) == 1 else None

    def _publish_halves(self, message: _Message, offers: list[Offer], now: Instant) -> list[Publish]:
        if len(offers) == 1:
            ids = self.spool.split(offers[0].id) if message.stream is Stream.WINDOW else [offers[0].id]
            if len(ids) <= 1:
                self.spool.drop(message.stream, ids, "oversized")
                return []
        else:
            ids = [offer.id for offer in offers]
        half = len(ids) // 2
        out: list[Publish] = []
        for part in (ids[:half], ids[half:]):
            smaller = _Message(message.stream, part, now.monotonic, backlog=message.backlog)
            self._messages.append(smaller)
            out += self._publish(smaller, now)
        return out

    def _probe(self, now: Instant) -> list[Publish]:
        """The message that waits longest, once more, when nothing was acknowledged for a while."""
        waiting = [message for message in self._messages if message.sent is not None]
        if not waiting or now.monotonic < self._probe_at:
            return []
        self._probe_wait = min(MAX_PROBE_MS, self._probe_wait * 2)
        self._probe_at = now.monotonic + self._jittered(self._probe_wait)
        return self._publish(min(waiting, key=lambda message: cast("int", message.sent)), now)

    def _jittered(self, wait: int) -> int:
        return int(wait * (0.5 + self._random()))

    # Acknowledgements

    def _acknowledged(self, ack: Ack, now: Instant) -> list[Publish]:
        self._take_time(ack, now)
        result = self.spool.apply_ack(ack)
        self._pace = min(ack.pace or self._own_pace, MAX_PACE_MS)
        arrived = 0
        for message in list(self._messages):
            gone = message.ids & (result.let_go[message.stream] | result.dropped[message.stream])
            if gone and message.sent is not None:
                arrived = max(arrived, message.sent)
            message.ids -= gone
            self._singles[message.stream] -= gone
            if not message.ids:
                self._messages.remove(message)
        overdue = [m for m in self._messages if m.sent is not None and m.sent < now.monotonic - GRACE_MS]
        if arrived:
            self._probe_wait = PROBE_MS
            self._probe_at = now.monotonic + self._jittered(PROBE_MS)
            for message in overdue:
                # A later message arrived and this one did not.
                if message.sent is not None and message.sent < arrived:
                    message.sent, message.due = None, now.monotonic + self._jittered(1000)
        elif overdue:
            # A collector is there again: it answered the birth that the broker kept for it.
            self._probe_wait = PROBE_MS
            self._probe_at = min(self._probe_at, now.monotonic + self._jittered(GRACE_MS))
        self._rejected(ack)
        if result.wanted_again:
            log.warning(
                "records offered again", extra={"records": result.wanted_again, "store": ack.store.hex()}
            )
        self._look_again()
        for name in ack.wanted:
            self._answer_wanted(name, now)
        return self.tick(now)

    def _rejected(self, ack: Ack) -> None:
        reasons = dict(ack.rejected)
        for message in list(self._messages):
            reason = next((reasons[digest] for digest in message.digests if digest in reasons), None)
            if reason is None:
                continue
            self._messages.remove(message)
            log.warning("batch rejected", extra={"stream": message.stream.name.lower(), "reason": reason})
            if message.single or (message.stream is Stream.EVENT and len(message.ids) == 1):
                self.spool.drop(message.stream, message.ids, "rejected")
                self._singles[message.stream] -= message.ids
                continue
            for key in message.ids:
                alone = self.spool.split(key) if message.stream is Stream.WINDOW else [key]
                self._singles[message.stream].update(alone)
            self._cursor[message.stream] = 0

    def _answer_wanted(self, name: bytes, now: Instant) -> None:
        """Send a description that a collector lacks, now and then: it may be one that will never take it."""
        self._described = {
            key: sent for key, sent in self._described.items() if now.monotonic - sent < DESCRIBE_AGAIN_MS
        }
        body = self.spool.description(name) if name not in self._described else None
        if body is not None:
            self._described[name] = now.monotonic
            self._send_description(name, body)

    def _send_description(self, name: bytes, body: Mapping[str, Any]) -> None:
        """Have an event that carries a description, unless one is on its way."""
        if self.spool.waiting_event(EventKind.DESCRIPTION, name.hex()):
            return
        self.spool.append_event(EventKind.DESCRIPTION, name.hex(), Severity.INFO, dict(body))
        self._nothing_held[Stream.EVENT] = False
