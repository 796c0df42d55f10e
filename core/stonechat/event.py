"""Events: something that happened at an instant, or several times alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any

from stonechat.errors import FoldError
from stonechat.ranges import Cover, cover_union
from stonechat.records import Stamp


class Severity(IntEnum):
    """How much an event matters. The numbers stand on the wire."""

    INFO = 1
    WARNING = 2
    CRITICAL = 3


class EventKind:
    """The kinds that this version writes. A reader carries kinds that it does not know."""

    STARTED = "agent_started"
    STOPPED = "agent_stopped"
    DESCRIPTION = "description"
    LOSS = "loss"
    SPOOL_QUARANTINED = "spool_quarantined"
    SPOOL_UNWRITABLE = "spool_unwritable"
    SPOOL_RECOVERED = "spool_recovered"
    JOURNAL_PUT_ASIDE = "journal_put_aside"  # in the device's own log alone
    CLOCK_STEPPED = "clock_stepped"
    RESUMED = "resumed"
    ENGINE_DOWN = "engine_down"
    ENGINE_UP = "engine_up"
    ENGINE_RESTARTED = "engine_restarted"
    ENGINE_CHANGED = "engine_changed"  # its build, its model or how that is loaded
    FLAGGED = "flagged"  # answers beyond a head's threshold
    GUIDELINE_BROKEN = "guideline_broken"
    SCORER_RESTARTED = "scorer_restarted"  # it crashed or hung
    SCORER_OVER_MEMORY = "scorer_over_memory"
    SCORER_GAVE_UP = "scorer_gave_up"  # it fails whenever it is started, and is tried seldom
    SCORER_BACK = "scorer_back"  # after that
    SCORER_IMPAIRED = "scorer_impaired"  # by a model or a guideline that cannot be used
    # Raised by the collector
    DUPLICATE_IDENTITY = "duplicate_identity"
    PARTIAL_OVERLAP = "partial_overlap"
    REJECTED = "rejected"
    DEVICE_OFFLINE = "device_offline"
    DEVICE_ONLINE = "device_online"


MAX_ATTRIBUTES = 64
MAX_TEXT = 256


@dataclass(frozen=True, slots=True)
class Event:
    """One event, or several of one kind and key as one.

    ``key`` tells what it is about (an engine, a source, a description's hash); events of equal kind and key may be
    coalesced. ``first`` is the instant of the first, (``last_order``, ``last_boottime``) that of the last. ``start``
    is the wall time in ms of the first, fixed when it is first offered. ``attributes`` are numbers, booleans,
    identifiers and short closed texts, never what a user wrote.
    """

    cover: Cover
    kind: str
    key: str
    severity: Severity
    first: Stamp
    last_order: int
    last_boottime: int
    count: int = 1
    attributes: Mapping[str, Any] = field(default_factory=dict)
    start: int | None = None


def coalesce(one: Event, other: Event) -> Event:
    """Two events of equal kind and key as one: count, first and last; the later one's attributes stay."""
    if (one.kind, one.key) != (other.kind, other.key):
        raise FoldError(f"events {one.kind}/{one.key} and {other.kind}/{other.key} do not coalesce")
    try:
        cover = cover_union(one.cover, other.cover)
    except ValueError as error:
        raise FoldError(str(error)) from error
    later = max(one, other, key=lambda event: (event.last_order, event.last_boottime, event.cover))
    return replace(
        later,
        cover=cover,
        severity=max(one.severity, other.severity),
        first=min(one.first, other.first, key=lambda stamp: (stamp.order, stamp.boottime, stamp)),
        count=one.count + other.count,
        start=None,
    )
