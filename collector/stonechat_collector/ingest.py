"""Taking messages: decode, validate, take or drop by the receipts, commit, then acknowledge.

`Ingest.take` is the whole of it. It is stateless between calls but for counters and a cache of what can never change,
so several processes may share one subscription: a device's messages may reach any of them in any order, twice, or at
once, and the store ends the same (docs/wire.md, "Exactly once").

What happens to a message:

* It is no message of ours, or its sender's topic does not fit it: a row in ``rejected``, and an ack that names its
  digest where the topic says whom to tell.
* A record or event whose cover is new is stored; one that was taken before is dropped; one that is partly new can be
  neither without a count being wrong, so it is refused for good and an event says so.
* The acks that come back hold everything that is durable by then. They are to be published, and the messages to be
  acknowledged to the broker, only after `take` has returned: when it raises, nothing has happened.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from sqlalchemy import select

from stonechat import topics, wire
from stonechat.errors import Refused
from stonechat.ranges import Ranges
from stonechat.wire import Ack, Stream
from stonechat_collector import schema
from stonechat_collector.batch import Batch, Reply
from stonechat_collector.beat import write_beat
from stonechat_collector.messages import LEAVES, Item, Message, Rejection, read
from stonechat_collector.pace import Pace
from stonechat_collector.store import Store

BEAT_MS = 10_000
"""How often a process without messages says that it is alive."""


class Ingest:
    """Takes messages into a store.

    Args:
        clock_ms: the collector's clock, ms since 1970.
        retention_ms: age above which a window is only counted, not stored; None: none is too old.
        name: of this process in the table ``processes``.
    """

    def __init__(
        self,
        store: Store,
        clock_ms: Callable[[], int],
        *,
        retention_ms: int | None = None,
        name: str = "ingest",
    ) -> None:
        self._store = store
        self._clock_ms = clock_ms
        self._retention_ms = retention_ms
        self._name = name
        self._known: set[bytes] = set()  # descriptions that the store holds
        self._pace = Pace()
        self._last_beat = 0
        self.counts: dict[str, int] = self._restored()

    def take(self, messages: Sequence[Message]) -> list[Message]:
        """Take messages in one transaction, and return the acks to publish.

        Raises:
            StoreUnavailable: nothing was taken. The messages are to be kept, not acknowledged, and given again.
        """
        begun = time.perf_counter()
        now = self._clock_ms()
        items: list[Item] = []
        rejected: list[Rejection] = []
        for message in messages:
            topic = topics.parse(message.topic)
            try:
                if topic is None or topic.direction != "up" or topic.leaf not in LEAVES:
                    raise Refused("topic", "not one that devices publish to")
                if message.payload or topic.leaf != "state":  # an empty state clears a retained one
                    items.append(read(message, topic))
            except Refused as error:
                rejected.append(Rejection(message, topic, error.reason, str(error)))
        with self._store.writing() as connection:
            batch = Batch(self._store, connection, now, self._retention_ms, self._known)
            batch.take(items, rejected)
            counts = {name: self.counts.get(name, 0) + n for name, n in batch.counts.items()}
            counts = {**self.counts, **counts}
            counts["messages"] = counts.get("messages", 0) + len(messages)
            counts["commits"] = counts.get("commits", 0) + 1
            batch.write(self._name, counts)
        self.counts = counts
        self._last_beat = now
        self._known |= batch.stored_descriptions
        if len(self._known) > 10_000:
            self._known.clear()
        backlog = [item.topic.device for item in items if len(item.blobs) > 1]
        self._pace.took(time.perf_counter() - begun, len(messages), backlog, now)
        return [self._ack(to, reply, batch) for to, reply in batch.replies.items()]

    def beat(self) -> None:
        """Note in the store that this process is alive, unless it said so lately. Raises StoreUnavailable."""
        now = self._clock_ms()
        if now - self._last_beat < BEAT_MS:
            return
        with self._store.writing() as connection:
            write_beat(self._store, connection, self._name, now, self.counts)
        self._last_beat = now

    def _ack(self, to: tuple[str, str], reply: Reply, batch: Batch) -> Message:
        fleet, device = to
        taken: dict[tuple[int, int], Ranges] = {}
        for epoch in sorted(reply.named):
            for stream in Stream:
                taken[stream, epoch] = batch.receipts_of(device, stream)[epoch].frozen()
        ack = Ack(
            store=self._store.store_id,
            taken=taken,
            refused=tuple(reply.refused),
            rejected=tuple(reply.rejected),
            wanted=tuple(sorted(reply.wanted)[:16]),
            time=self._clock_ms(),
            pace=self._pace.ms(),
            echo=(reply.newest[2], reply.newest[1]),
        )
        return Message(topics.down(fleet, device, "ack"), _sealed(ack))

    def _restored(self) -> dict[str, int]:
        """The counters of this process before it was last restarted: a counter that falls is read as a reset."""
        with self._store.reading() as connection:
            row = connection.scalar(
                select(schema.processes.c.figures).where(schema.processes.c.name == self._name)
            )
        return {name: int(n) for name, n in (row or {}).items()}


def _sealed(ack: Ack) -> bytes:
    """The ack's payload. Where its receipts are too many for a message, those in most fragments are left out: a device
    offers again what an ack does not name, and is told then."""
    while True:
        try:
            return wire.encode_ack(ack)
        except ValueError:
            if not ack.taken:
                raise
            most = max(ack.taken, key=lambda key: len(ack.taken[key]))
            ack = replace(ack, taken={key: ranges for key, ranges in ack.taken.items() if key != most})
