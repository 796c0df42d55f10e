"""What the fleet page shows: the address's state, and the devices filtered, sorted, grouped and cut to a page.

Pure: devices are the plain mappings of ``views.fleet_overview``, worst first; the page's state is a `Query` that can be
written back into an address.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple
from urllib.parse import urlencode

from stonechat_collector.pages.words import PER_THOUSAND, STATUS_RANK, STATUSES, plural, status_word, text_of

Device = Mapping[str, Any]

PAGE_ROWS = 100
"""Rows of the table on one page."""

STRIP_CELLS = 4000
"""Cells of the strip: beyond so many devices one cell stands for several of a cohort."""

ATTENTION_ROWS = 3
"""Devices named at the top for each status that needs somebody."""

MAX_COHORTS = 24
"""Groups of the strip; the smallest beyond them are shown together."""

ATTENTION = "attention"
"""The filter for all statuses that need somebody."""


class Column(NamedTuple):
    """A column of the table with a figure of ``metrics``."""

    key: str
    header: str
    unit: str
    help: str
    metric: str
    optional: bool = False
    """Left out when no device of the fleet knows it."""
    wide: bool = False
    """Left out where the page has little room."""


COLUMNS: tuple[Column, ...] = (
    Column("exchanges", "Exchanges", "{exchange}", "Exchanges that ended in the span", "exchanges"),
    Column("errors", "Errors", "1", "Share of exchanges that ended in an error", "error_ratio"),
    Column("ttft", "First token p50", "s", "Time to first token, median", "ttft_p50_seconds"),
    Column("ttft95", "p95", "s", "Time to first token, 95th percentile", "ttft_p95_seconds"),
    Column(
        "rate", "Tokens/s", "{token}/s", "Tokens generated a second, after the first", "tokens_per_second"
    ),
    Column(
        "flagged",
        "Flagged ‰",
        PER_THOUSAND,
        "Flagged answers of a thousand: beyond a model's threshold",
        "flagged_ratio",
        optional=True,
    ),
    Column(
        "judged",
        "Judged",
        "1",
        "Share of answers that a model judged",
        "judged_ratio",
        optional=True,
        wide=True,
    ),
    Column("cpu", "CPU", "1", "Busy share of all cores, mean", "cpu_utilization"),
    Column("gpu", "GPU", "1", "Busy share of the GPUs, mean", "gpu_utilization", optional=True),
    Column("memory", "Memory", "1", "Share of memory in use, mean", "memory_utilization"),
    Column("heat", "Temp.", "Cel", "Hottest processor sensor", "temperature_celsius", optional=True),
)
_BY_KEY = {column.key: column for column in COLUMNS}

SORTS: Mapping[str, str] = {
    "status": "worst first",
    "id": "device",
    "seen": "last seen",
    "model": "model",
    "hardware": "hardware",
    **{
        column.key: column.header.lower()
        if column.key not in {"ttft", "ttft95", "flagged"}
        else column.help.lower()
        for column in COLUMNS
    },
}


@dataclass(frozen=True)
class Query:
    """The state of the fleet page that its address carries. Defaults are left out of the address."""

    status: str = ""
    text: str = ""
    fleet: str = ""
    sort: str = "status"
    down: bool = False
    group: str = "model"
    cohort: str = ""
    page: int = 1

    @classmethod
    def read(cls, parameters: Mapping[str, str]) -> Query:
        """From an address. What makes no sense is as if it were not there: an old link still opens."""
        status = parameters.get("status", "")
        sort = parameters.get("sort", "status")
        page = parameters.get("page", "1")
        return cls(
            status=status if status in STATUS_RANK or status == ATTENTION else "",
            text=parameters.get("q", "").strip()[:100],
            fleet=parameters.get("fleet", "")[:63],
            sort=sort if sort in SORTS else "status",
            down=parameters.get("dir") == "down",
            group=parameters.get("group", "model")[:70] or "model",
            cohort=parameters.get("cohort", "")[:200],
            page=min(int(page), 10**6) if page.isascii() and page.isdigit() and page != "0" else 1,
        )

    def address(self, **changes: Any) -> str:
        """The address of this state with changes. A change of anything but the page leads to the first page."""
        if "page" not in changes:
            changes["page"] = 1
        state = replace(self, **changes)
        parameters = {
            "status": state.status,
            "q": state.text,
            "fleet": state.fleet,
            "sort": "" if state.sort == "status" else state.sort,
            "dir": "down" if state.down else "",
            "group": "" if state.group == "model" else state.group,
            "cohort": state.cohort,
            "page": "" if state.page == 1 else str(state.page),
        }
        text = urlencode({key: value for key, value in parameters.items() if value})
        return f"/?{text}" if text else "/"

    @property
    def filtered(self) -> bool:
        """Whether the table may hold less than the fleet."""
        return bool(self.status or self.text or self.cohort)


class Cell(NamedTuple):
    """One cell of the strip: a device, or several of a cohort when the fleet is larger than the strip."""

    address: str
    status: str
    label: str
    device: str


class Cohort(NamedTuple):
    """One group of the strip."""

    name: str
    total: int
    by_status: list[tuple[str, int]]
    cells: list[Cell]


class Attention(NamedTuple):
    """Devices of one status that needs somebody: the first few, and how many more there are."""

    status: str
    total: int
    devices: list[Device]
    more: int


class FleetPage(NamedTuple):
    """All that the template needs, in the order in which it needs it."""

    query: Query
    attention: list[Attention]
    legend: list[tuple[str, int]]
    groups: list[tuple[str, str]]
    cohorts: list[Cohort]
    per_cell: int
    columns: list[Column]
    rows: list[Device]
    matching: int
    first: int
    pages: int
    span_seconds: float | None
    fleets: list[str]


def model_of(device: Device) -> str:
    """The model's name, "" where unknown."""
    model = device.get("model")
    return text_of(model.get("name") or model.get("model")) if isinstance(model, Mapping) else text_of(model)


def hardware_of(device: Device) -> str:
    """The hardware's class or model name, "" where unknown."""
    hardware = device.get("hardware")
    if isinstance(hardware, Mapping):
        return next((text_of(hardware[key]) for key in ("class", "model", "board") if hardware.get(key)), "")
    return text_of(hardware)


def cohort_of(device: Device, group: str) -> str:
    """The group of the strip that a device stands in; "" where it has nothing of the kind."""
    if group.startswith("label:"):
        return text_of((device.get("labels") or {}).get(group[6:]))
    if group == "hardware":
        return hardware_of(device)
    if group == "fleet":
        return text_of(device.get("fleet"))
    if group == "none":
        return "all devices"
    return model_of(device)


def group_choices(devices: Iterable[Device]) -> list[tuple[str, str]]:
    """Ways to group the strip: (value, word). Labels that at least one device carries are among them."""
    labels: Counter[str] = Counter()
    for device in devices:
        labels.update((device.get("labels") or {}).keys())
    named = sorted(name for name, _ in labels.most_common(12))
    fixed = [("model", "model"), ("hardware", "hardware"), ("fleet", "fleet"), ("none", "nothing")]
    return [*fixed, *((f"label:{name}", f"label {name}") for name in named)]


def build(devices: Sequence[Device], query: Query) -> FleetPage:
    """The fleet page of these devices, worst first, in this state of the address."""
    counts = Counter(status_word(device.get("status")) for device in devices)
    groups = group_choices(devices)
    if query.group not in dict(groups):
        query = replace(query, group="model")
    matching = sort([device for device in devices if matches(device, query)], query)
    pages = max(1, -(-len(matching) // PAGE_ROWS))
    query = replace(query, page=min(query.page, pages))
    first = (query.page - 1) * PAGE_ROWS
    per_cell = max(1, -(-len(devices) // STRIP_CELLS))
    known = {key for device in devices for key, value in _metrics(device).items() if value is not None}
    spans = [span for device in devices if (span := _metrics(device).get("span_seconds"))]
    return FleetPage(
        query=query,
        attention=needs_somebody(devices),
        legend=[(status.word, counts[status.word]) for status in STATUSES],
        groups=groups,
        cohorts=cohorts(devices, query, per_cell),
        per_cell=per_cell,
        columns=[column for column in COLUMNS if not column.optional or column.metric in known],
        rows=matching[first : first + PAGE_ROWS],
        matching=len(matching),
        first=first,
        pages=pages,
        span_seconds=max(spans, default=None),
        fleets=sorted({text_of(device.get("fleet")) for device in devices} - {""}),
    )


def matches(device: Device, query: Query) -> bool:
    """Whether a device passes the filters. Text is looked for in id, fleet, reason, model, hardware and labels."""
    status = status_word(device.get("status"))
    if query.status == ATTENTION:
        if not STATUSES[STATUS_RANK[status]].needs_somebody:
            return False
    elif query.status and query.status != status:
        return False
    if query.cohort and cohort_of(device, query.group) != query.cohort:
        return False
    if not query.text:
        return True
    labels = " ".join(f"{key}={value}" for key, value in (device.get("labels") or {}).items())
    fields = (
        device["id"],
        device.get("fleet"),
        device.get("reason"),
        model_of(device),
        hardware_of(device),
        labels,
    )
    hay = " ".join(text_of(field) for field in fields).lower()
    return all(word in hay for word in query.text.lower().split())


def sort(devices: list[Device], query: Query) -> list[Device]:
    """Devices in the order of the query; unknown values come last in either direction, ties keep worst first."""
    if query.sort == "status":
        return devices[::-1] if query.down else devices

    def value(device: Device) -> Any:
        if query.sort == "id":
            return device["id"]
        if query.sort == "model":
            return model_of(device) or None
        if query.sort == "hardware":
            return hardware_of(device) or None
        if query.sort == "seen":
            return device.get("last_seen")
        return _metrics(device).get(_BY_KEY[query.sort].metric)

    known = [device for device in devices if value(device) is not None]
    unknown = [device for device in devices if value(device) is None]
    return sorted(known, key=value, reverse=query.down) + unknown


def needs_somebody(devices: Iterable[Device]) -> list[Attention]:
    """Devices that need somebody, by status, worst first; of each the first few, the longest-standing first."""
    found: dict[str, list[Device]] = {}
    for device in devices:
        status = status_word(device.get("status"))
        if STATUSES[STATUS_RANK[status]].needs_somebody:
            found.setdefault(status, []).append(device)
    return [
        Attention(
            status.word,
            len(group),
            sorted(group, key=lambda device: (device.get("since") or 0, device["id"]))[:ATTENTION_ROWS],
            max(0, len(group) - ATTENTION_ROWS),
        )
        for status in STATUSES
        if (group := found.get(status.word))
    ]


def cohorts(devices: Iterable[Device], query: Query, per_cell: int) -> list[Cohort]:
    """The strip: groups by size, and in each the devices by id, so that a device keeps its place when it changes."""
    members: dict[str, list[Device]] = {}
    for device in devices:
        members.setdefault(cohort_of(device, query.group), []).append(device)
    # By size, then by name: stable from one look to the next. Those without the property come last.
    order = sorted(members, key=lambda name: (not name, -len(members[name]), name))
    shown, rest = order[:MAX_COHORTS], order[MAX_COHORTS:]
    result = [_cohort(name or "not known", members[name], name, query, per_cell) for name in shown]
    if rest:
        others = [device for name in rest for device in members[name]]
        result.append(_cohort(plural(len(rest), "smaller group"), others, "", query, per_cell))
    return result


def _cohort(title: str, members: list[Device], value: str, query: Query, per_cell: int) -> Cohort:
    counts = Counter(status_word(device.get("status")) for device in members)
    members = sorted(members, key=lambda device: str(device["id"]))
    if per_cell == 1:
        cells = [_cell(device) for device in members]
    else:
        # Those of one status together, or a single bad device would colour a cell of dozens.
        members.sort(key=lambda device: STATUS_RANK[status_word(device.get("status"))])
        cells = []
        for status in STATUSES:
            number = counts[status.word]
            address = query.address(status=status.word, cohort=value) + "#devices"
            for start in range(0, number, per_cell):
                label = f"{title}: {plural(min(per_cell, number - start), 'device')} {status.word}"
                cells.append(Cell(address, status.word, label, ""))
    by_status = [(status.word, counts[status.word]) for status in STATUSES if counts[status.word]]
    return Cohort(title, len(members), by_status, cells)


def _cell(device: Device) -> Cell:
    status = status_word(device.get("status"))
    reason = text_of(device.get("reason")) if status != "well" else ""
    label = f"{device['id']}: {status}{', ' + reason if reason else ''}"
    return Cell(f"/devices/{device['id']}", status, label, device["id"])


def _metrics(device: Device) -> Mapping[str, Any]:
    return device.get("metrics") or {}
