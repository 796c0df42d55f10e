"""What the events page shows: the newest events of the fleet or of one device, older ones by a link."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import urlencode

from stonechat.ids import is_device_id
from stonechat_collector.pages.device import shown

ROWS = 100
SEVERITIES = ("info", "warning", "critical")


@dataclass(frozen=True)
class Query:
    """The state of the events page that its address carries."""

    device: str = ""
    severity: str = ""
    """The least one that is shown."""
    before: int | None = None
    """Only events before this instant, in ms since 1970."""

    @classmethod
    def read(cls, parameters: Mapping[str, str]) -> Query:
        """From an address; what makes no sense is as if it were not there."""
        device = parameters.get("device", "")
        severity = parameters.get("severity", "")
        before = parameters.get("before", "")
        return cls(
            device=device if is_device_id(device) else "",
            severity=severity if severity in SEVERITIES else "",
            before=int(before) if before.isascii() and before.isdigit() and len(before) <= 15 else None,
        )

    def address(self, before: int | None = None) -> str:
        """The address of this state, from another instant on."""
        parameters = {"device": self.device, "severity": self.severity, "before": before}
        text = urlencode({key: value for key, value in parameters.items() if value})
        return f"/events?{text}" if text else "/events"


class EventsPage(NamedTuple):
    """All that the template needs."""

    query: Query
    events: list[dict[str, Any]]
    older: str
    """Address of the next page; "" on the last."""


def build(found: Sequence[Mapping[str, Any]], query: Query) -> EventsPage:
    """The page of these events, of which there may be one more than `ROWS`: then there are older ones."""
    events = sorted(found, key=lambda event: -event["time"])
    page, rest = events[:ROWS], events[ROWS:]
    return EventsPage(
        query, [shown(event) for event in page], query.address(page[-1]["time"]) if rest else ""
    )
