"""What the events page shows: the newest events of the fleet or of one device, older ones by a link."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import urlencode

from stonechat.event import EventKind
from stonechat.ids import is_device_id
from stonechat_collector.pages.device import shown

ROWS = 100
SEVERITIES = ("info", "warning", "critical")
KINDS: Mapping[str, str] = {
    EventKind.FLAGGED: "flagged answers",
    EventKind.GUIDELINE_BROKEN: "broken guidelines",
    EventKind.ENGINE_DOWN: "engines that go down",
    EventKind.ENGINE_CHANGED: "changes of engine or model",
    EventKind.DEVICE_OFFLINE: "devices that fall silent",
    EventKind.LOSS: "losses",
}
"""What the list can be kept to, in words."""

_CURSOR = re.compile(r"[0-9]{1,16}\.[0-9]{1,16}", re.ASCII)


@dataclass(frozen=True)
class Query:
    """The state of the events page that its address carries."""

    device: str = ""
    severity: str = ""
    """The least one that is shown."""
    kind: str = ""
    cursor: str = ""
    """Where the page begins: ``views.cursor_of`` the last event of the page before."""

    @classmethod
    def read(cls, parameters: Mapping[str, str]) -> Query:
        """From an address; what makes no sense is as if it were not there."""
        device = parameters.get("device", "")
        severity = parameters.get("severity", "")
        kind = parameters.get("kind", "")
        cursor = parameters.get("cursor", "")
        return cls(
            device=device if is_device_id(device) else "",
            severity=severity if severity in SEVERITIES else "",
            kind=kind if kind in KINDS else "",
            cursor=cursor if _CURSOR.fullmatch(cursor) else "",
        )

    def address(self, cursor: str) -> str:
        """The address of this state, from another event on."""
        parameters = {"device": self.device, "severity": self.severity, "kind": self.kind, "cursor": cursor}
        return "/events?" + urlencode({key: value for key, value in parameters.items() if value})


class EventsPage(NamedTuple):
    """All that the template needs."""

    query: Query
    kinds: list[tuple[str, str]]
    events: list[dict[str, Any]]
    older: str
    """Address of the next page; "" on the last."""


def build(
    found: Sequence[Mapping[str, Any]], query: Query, cursor_of: Callable[[Mapping[str, Any]], str]
) -> EventsPage:
    """The page of these events, newest first; one more than `ROWS` of them says that there are older ones."""
    page, rest = found[:ROWS], found[ROWS:]
    older = query.address(cursor_of(page[-1])) if rest else ""
    return EventsPage(query, [*KINDS.items()], [shown(event) for event in page], older)
