"""Single exchanges on their way to the collector: which are chosen, and how they leave.

They are told beside the windows and are no part of any total, so losing one costs an example, never a count. `Chooser`
decides in the pipeline's thread, as exchanges end. The journal keeps what was chosen, and `Outbox` sends it from there,
in a thread of its own: one message at a time, each after the broker has acknowledged the last, so that a window never
waits behind more than one of them.

What an hour may hold (``exchanges.most_per_hour``) is shared by the four reasons to be chosen. At the hour's beginning
each has a quarter for itself, and what a reason has not used melts as the hour goes by and becomes everybody's: a
device on which everything fails still tells of the first slow answer, and one on which nothing else happens may spend
nearly all of the hour on failures.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from stonechat import exchange_row, exchange_texts, wire
from stonechat.errors import Refused
from stonechat.exchange import Exchange, Outcome, is_flagged
from stonechat.exchange_row import Row
from stonechat.exchange_texts import Texts
from stonechat.wire import Header, Told
from stonechat_agent.settings import Exchanges, Privacy
from stonechat_agent.uplink.session import Publish

log = logging.getLogger(__name__)

FLAGGED, FAILED, SLOW, SAMPLED = "flagged", "failed", "slow", "sampled"
REASONS = (FLAGGED, FAILED, SLOW, SAMPLED)
"""Why an exchange is told; the first that applies."""

HOUR_SECONDS = 3600.0
MAX_ROWS = 16
MAX_BYTES = 32 * 1024
"""Of a message's payload: on a slow link, a window waits no longer than these take."""
SETTLE_SECONDS = 10.0
"""From a connection to the first exchanges: the birth and the newest windows go first."""
PACE_SECONDS = 5.0
"""Between two messages."""
LOOK_SECONDS = 1.0
"""Between two looks at whether the broker has acknowledged the last one."""
WRITTEN_SECONDS = 22.0
"""From the choice of an exchange to the look into the journal, which gathers what it writes for up to 20 seconds."""
IDLE_SECONDS = 60.0
"""Between two looks into the journal when nothing was chosen in between."""
PATIENCE_SECONDS = 60.0
"""How long the broker's acknowledgement is waited for before the same exchanges are sent again."""


class Chooser:
    """Decides which exchanges are told. Not for several threads."""

    def __init__(
        self, settings: Exchanges, *, random: Callable[[], float], clock: Callable[[], float]
    ) -> None:
        """
        Args:
            random: numbers in [0, 1).
            clock: seconds of a clock that only goes forward.
        """
        self._settings = settings
        self._random = random
        self._clock = clock
        self._began = clock()
        self._used: Counter[str] = Counter()
        self._left_out: Counter[str] = Counter()

    def choose(self, exchange: Exchange) -> str | None:
        """Return why an exchange is told, one of `REASONS`; None where it stays on the device alone."""
        return self._admitted(self._reason(exchange))

    def choose_late(self, findings: Iterable[str]) -> str | None:
        """Return why an exchange is told that had passed, now that these findings came."""
        return self._admitted(FLAGGED if is_flagged(findings) else None)

    def _admitted(self, reason: str | None) -> str | None:
        if reason is None:
            return None
        if not self._has_room(reason):
            self._left_out[reason] += 1
            return None
        self._used[reason] += 1
        return reason

    def left_out(self) -> Counter[str]:
        """Exchanges that would have been told, had the hour had room, by reason; only grows."""
        return Counter(self._left_out)

    def _reason(self, exchange: Exchange) -> str | None:
        if is_flagged(exchange.findings):
            return FLAGGED
        if exchange.outcome is Outcome.ERROR:
            return FAILED
        lasted = (
            exchange.duration_ns if exchange.duration_ns is not None else exchange.elapsed(exchange.closed_ns)
        )
        if lasted is not None and lasted >= self._settings.slow_ns:
            return SLOW
        return SAMPLED if self._random() < self._settings.sample else None

    def _has_room(self, reason: str) -> bool:
        elapsed = self._clock() - self._began
        if elapsed >= HOUR_SECONDS:
            self._began += elapsed // HOUR_SECONDS * HOUR_SECONDS
            elapsed %= HOUR_SECONDS
            self._used.clear()
        most = self._settings.most_per_hour
        share = most // len(REASONS) * (1 - elapsed / HOUR_SECONDS)
        kept = sum(max(0.0, share - self._used[other]) for other in REASONS if other != reason)
        return self._used.total() + 1 + kept <= most


class Sayable(Protocol):
    """Texts that the journal kept, redacted."""

    def plain(self) -> dict[str, Any]:
        """As ``exchange_texts`` has them."""


class Entry(Protocol):
    """An exchange as the journal has it."""

    @property
    def row(self) -> Row:
        """Its fields, without texts."""

    @property
    def texts(self) -> Sayable | None:
        """Its texts, None where none were kept."""

    @property
    def state(self) -> str:
        """``kept``, or why there are no texts."""

    @property
    def chosen(self) -> str | None:
        """Why it is told."""


class Journal(Protocol):
    """What the outbox needs of the journal."""

    def unsent(self, limit: int) -> Sequence[Entry]:
        """Exchanges that were chosen and not yet sent, oldest first, with their texts."""

    def mark_sent(self, ids: Sequence[str]) -> None:
        """They went to the collector."""


class Delivery(Protocol):
    """A message on its way to the broker."""

    @property
    def done(self) -> bool:
        """Whether the broker has acknowledged it."""

    @property
    def lost(self) -> bool:
        """Whether it never will be."""


class Parcel(NamedTuple):
    """One message, and which exchanges it settles."""

    payload: bytes
    """Empty where none of them can be sent."""
    ids: tuple[str, ...]
    unsendable: int


def allowed_texts(entry: Entry, upload: str) -> Texts | None:
    """The texts of an exchange that ``privacy.upload`` lets leave the device; None: none."""
    if (
        entry.texts is None
        or upload == "none"
        or (upload != "all" and not is_flagged(entry.row.get("findings", ())))
    ):
        return None
    return entry.texts.plain()


def pack(entries: Sequence[Entry], header: Header, privacy: Privacy) -> Parcel:
    """As many of the entries, of which there is at least one, as fit a message, from the first on.

    A single one that is too large loses texts. One that a collector would refuse is left out and settled all the same,
    because it would be refused for ever, and with it whatever came in the same message.
    """
    told: list[Told] = []
    ids: list[str] = []
    unsendable = 0
    for entry in entries[:MAX_ROWS]:
        ids.append(str(entry.row.get("id", "")))
        try:
            exchange_row.unpack(exchange_row.pack(entry.row))
        except (Refused, ValueError, TypeError, AttributeError):
            unsendable += 1
            continue
        texts = allowed_texts(entry, privacy.upload)
        fitted = None if texts is None else exchange_texts.fitted(texts)
        told.append(Told(entry.row, fitted, entry.chosen or "", entry.state))
    words = wire.Privacy(privacy.journal, privacy.upload)
    while told:
        payload = _encoded(header, told, words)
        if payload is not None:
            return Parcel(payload, tuple(ids), unsendable)
        if len(told) == 1:
            smaller = _smaller(told[0])
            told = [] if smaller is None else [smaller]
            unsendable += smaller is None
        else:
            told = told[: len(told) // 2]
            last = told[-1].row["id"]
            ids = ids[: ids.index(last) + 1]
            unsendable = len(ids) - len(told)
    return Parcel(b"", tuple(ids), unsendable)


def _encoded(header: Header, told: Sequence[Told], privacy: wire.Privacy) -> bytes | None:
    try:
        payload = wire.encode_exchanges(header, told, privacy)
    except ValueError:  # beyond the envelope's bound
        return None
    return payload if len(payload) <= MAX_BYTES else None


def _smaller(told: Told) -> Told | None:
    """A single exchange with half of its texts; None where it has none to lose."""
    if told.texts is None:
        return None
    half = exchange_texts.size_of(told.texts) // 2
    return told._replace(texts=exchange_texts.fitted(told.texts, half) if half else None)


class Outbox:
    """Sends what was chosen. ``linked``, ``unlinked`` and ``wake`` may be called from any thread and never wait."""

    def __init__(
        self,
        journal: Journal,
        privacy: Privacy,
        *,
        topic: str,
        header: Callable[[], Header],
        deliver: Callable[[Publish], Delivery | None],
    ) -> None:
        """
        Args:
            topic: the device's ``up/exchange``.
            header: the header of a message that leaves now.
            deliver: hands a message to the broker; None where there is no connection.
        """
        self._journal = journal
        self._privacy = privacy
        self._topic = topic
        self._header = header
        self._deliver = deliver
        self._under_way: tuple[Delivery, Parcel, float] | None = None
        self._unsendable = 0
        self._linked = False
        self._wakened = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)

    def start(self) -> None:
        """Begin to send, once there is a connection."""
        self._thread.start()

    def stop(self, timeout_seconds: float = 2.0) -> None:
        """Send nothing more. What the broker has not acknowledged is sent again after the next start."""
        self._stopped.set()
        self._wakened.set()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)

    def linked(self) -> None:
        """There is a connection to the broker."""
        self._linked = True
        self._wakened.set()

    def unlinked(self) -> None:
        """There is none any more."""
        self._linked = False

    def wake(self) -> None:
        """An exchange was chosen."""
        self._wakened.set()

    def losses(self) -> Mapping[str, int]:
        """Exchanges that could not be sent whatever was tried; only grows."""
        return {"exchange.unsendable": self._unsendable} if self._unsendable else {}

    def turn(self, now: float) -> float:
        """Do what is due while there is a connection, and return in how many seconds to look again.

        Args:
            now: seconds of a clock that only goes forward.
        """
        if self._under_way is not None:
            delivery, parcel, since = self._under_way
            if delivery.done:
                self._settle(parcel)
            elif not delivery.lost and now - since < PATIENCE_SECONDS:
                return LOOK_SECONDS
            self._under_way = None
        entries = self._journal.unsent(MAX_ROWS)
        if not entries:
            return IDLE_SECONDS
        parcel = pack(entries, self._header(), self._privacy)
        if not parcel.payload:
            self._settle(parcel)
            return PACE_SECONDS
        delivery_now = self._deliver(Publish(self._topic, parcel.payload))
        if delivery_now is not None:
            self._under_way = (delivery_now, parcel, now)
        return PACE_SECONDS

    def _settle(self, parcel: Parcel) -> None:
        self._journal.mark_sent(parcel.ids)
        if parcel.unsendable:
            self._unsendable += parcel.unsendable
            log.warning("exchanges cannot be sent", extra={"exchanges": parcel.unsendable})

    def _run(self) -> None:
        while not self._stopped.is_set():
            if not self._linked:
                self._wakened.wait()
                self._wakened.clear()
                if self._linked:
                    self._stopped.wait(SETTLE_SECONDS)
                continue
            wait = self._safe_turn()
            if wait >= IDLE_SECONDS:
                wait = WRITTEN_SECONDS if self._wakened.wait(wait) else 0.0
                self._wakened.clear()
            self._stopped.wait(wait)

    def _safe_turn(self) -> float:
        try:
            return self.turn(time.monotonic())
        except Exception as error:
            # A journal that cannot be read now may be later, and loses nothing by waiting.
            log.warning("exchanges not sent", extra={"reason": type(error).__name__})
            return IDLE_SECONDS
