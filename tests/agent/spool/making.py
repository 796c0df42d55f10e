"""What the tests of spool and uplink are made of: a clock that is turned by hand, windows, and a small collector."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stonechat import ranges, wire
from stonechat.ranges import Ranges, Standing
from stonechat.records import DEVICE, Record
from stonechat.values import counter, gauge
from stonechat.wire import Ack, EventBatch, State, Stream, WindowBatch
from stonechat_agent.spool import Instant, Spool

WEIGHT = 90
"""The metric that carries a window's own random number, so that a loss and a double cannot cancel."""
DESCRIPTION = b"describe"
STORE = b"storeone"
MINUTE = 60_000
BEGIN = 1_700_000_000_000 - 1_700_000_000_000 % 3_600_000


class Clock:
    """The device's clocks, in ms. ``wall`` is off by ``error`` while not synced."""

    def __init__(self, *, synced: bool = True) -> None:
        self.boottime = 0
        self.true = BEGIN
        self.synced = synced
        self.error = 0

    def __call__(self) -> Instant:
        return Instant(
            self.boottime, self.boottime, self.true + (0 if self.synced else self.error), self.synced
        )

    def pass_ms(self, ms: int) -> None:
        self.boottime += ms
        self.true += ms

    def reboot(self, off_ms: int = 10_000) -> None:
        self.true += off_ms
        self.boottime = 0


@dataclass
class Device:
    """A spool's directory and what went into it."""

    directory: Path
    clock: Clock = field(default_factory=Clock)
    rng: random.Random = field(default_factory=lambda: random.Random(1))
    truth: int = 0
    options: dict[str, Any] = field(default_factory=dict)

    def open(self, **options: Any) -> Spool:
        return Spool.open(
            self.directory, rng_bytes=self.rng.randbytes, clock=self.clock, **{**self.options, **options}
        )

    def draft(
        self, spool: Spool, *, length: int = MINUTE, description: bytes = DESCRIPTION, bulk: int = 0
    ) -> Record:
        """The next window, which ends now. ``bulk`` adds metrics that do not compress."""
        first = self.clock().stamp(spool.order)
        self.clock.pass_ms(length)
        weight = self.rng.getrandbits(40)
        self.truth += weight
        metrics = {
            60: gauge([self.rng.randrange(10_000) for _ in range(3)], spool.order, self.clock.boottime),
            WEIGHT: counter(weight),
            **{1000 + index: counter(self.rng.getrandbits(45)) for index in range(bulk)},
        }
        return Record(
            (), description, first, spool.order, self.clock.boottime, length, length, 3, {DEVICE: metrics}
        )

    def windows(self, spool: Spool, n: int, **options: Any) -> list[int]:
        """Append so many held windows; their seqs."""
        return [spool.append(self.draft(spool, **options)).seq for _ in range(n)]


def weight(records: list[Record]) -> int:
    """The sum of the random numbers of all windows in the records."""
    return sum(record.values[DEVICE][WEIGHT][1] for record in records)  # type: ignore[misc]


def everything(spool: Spool) -> list[Record]:
    """All windows not yet let go, offered on the way."""
    ids = [
        candidate.id
        for frozen in (True, False)
        for candidate in spool.candidates(Stream.WINDOW, frozen=frozen, limit=1 << 30)
    ]
    return [
        item for offer in spool.offer(Stream.WINDOW, ids) for item in offer.items if isinstance(item, Record)
    ]


def events(spool: Spool) -> list[Any]:
    """All events not yet let go, offered on the way."""
    ids = [
        candidate.id
        for frozen in (True, False)
        for candidate in spool.candidates(Stream.EVENT, frozen=frozen, limit=1 << 30)
    ]
    return [item for offer in spool.offer(Stream.EVENT, ids) for item in offer.items]


def ack(
    spool: Spool, *seqs: tuple[int, int], stream: Stream = Stream.WINDOW, time: int = 1, **parts: Any
) -> Ack:
    """An acknowledgement that names those ranges of this run."""
    return Ack(parts.pop("store", STORE), {(int(stream), spool.epoch): seqs}, time=time, **parts)


class Collector:
    """Takes messages by the receipts, as rule 3 has it; in memory."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self.clock = clock
        self.receipts: dict[tuple[int, int], Ranges] = {}
        self.records: list[Record] = []
        self.events: list[Any] = []
        self.states: list[State] = []
        self.batches: list[WindowBatch | EventBatch] = []
        self.wanted: set[bytes] = set()
        self.overlaps = 0
        self.pace = 0

    @property
    def weight(self) -> int:
        return weight(self.records)

    def take(self, payload: bytes) -> bytes:
        """Take a message; the answer's payload."""
        message = wire.decode(payload)
        if isinstance(message, State):
            self.states.append(message)
            return self._answer({}, (), (message.epoch, message.boottime))
        assert isinstance(message, (WindowBatch, EventBatch))
        self.batches.append(message)
        stream = Stream.WINDOW if isinstance(message, WindowBatch) else Stream.EVENT
        items: list[Any] = list(message.records if isinstance(message, WindowBatch) else message.events)
        refused: list[tuple[int, int, int, int, str]] = []
        for item in items:
            assert item.start is not None
            standing = ranges.cover_standing(
                {epoch: self.receipts.get((stream, epoch), ()) for epoch, _, _ in item.cover}, item.cover
            )
            if standing is Standing.NEW:
                for epoch, low, high in item.cover:
                    known = self.receipts.get((stream, epoch), ())
                    self.receipts[stream, epoch] = ranges.union(known, [(low, high)])
                (self.records if stream is Stream.WINDOW else self.events).append(item)
            elif standing is Standing.PARTIAL:
                self.overlaps += 1
                refused.extend((int(stream), epoch, low, high, "overlap") for epoch, low, high in item.cover)
        named = {
            (int(each), epoch): self.receipts.get((each, epoch), ())
            for epoch, _, _ in message.header.held
            for each in Stream
        }
        return self._answer(named, tuple(refused), (message.header.epoch, message.header.boottime))

    def _answer(
        self,
        taken: dict[tuple[int, int], Ranges],
        refused: tuple[tuple[int, int, int, int, str], ...],
        echo: tuple[int, int],
    ) -> bytes:
        wanted = tuple(sorted(self.wanted))
        return wire.encode_ack(
            Ack(STORE, taken, refused, wanted=wanted, time=self.clock(), pace=self.pace, echo=echo)
        )
