"""``/metrics``: the collector and its fleets in the Prometheus text format, with a bounded number of series."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sqlalchemy import Connection, func, select

from stonechat import __version__
from stonechat_collector import figures, rollup, schema
from stonechat_collector.buckets import Bucket
from stonechat_collector.rollup import FLEET, RECENT_STEP, Key
from stonechat_collector.status import STATUSES
from stonechat_collector.store import Store

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

MAX_FLEETS = 50
"""Fleets with series of their own, the largest ones; the rest are counted as ``other``."""

OTHER = "other"

_COUNTERS: tuple[tuple[str, str, str], ...] = (
    ("messages", "stonechat_collector_messages_total", "MQTT messages taken or rejected."),
    ("commits", "stonechat_collector_commits_total", "Transactions of ingest."),
    ("records", "stonechat_collector_records_total", "Records of windows stored."),
    ("events", "stonechat_collector_events_total", "Events of devices stored."),
    ("exchanges", "stonechat_collector_exchanges_total", "Single exchanges stored."),
    ("exchanges_updated", "stonechat_collector_exchanges_updated_total", "Single exchanges judged anew."),
    (
        "exchanges_repeated",
        "stonechat_collector_exchanges_repeated_total",
        "Single exchanges dropped: told before.",
    ),
    ("states", "stonechat_collector_states_total", "Births and wills taken."),
    ("repeated", "stonechat_collector_repeated_total", "Records and events dropped: taken before."),
    ("expired", "stonechat_collector_expired_windows_total", "Windows older than retention when they came."),
    ("refused", "stonechat_collector_refused_total", "Records and events refused for good."),
)
_FLEET: tuple[tuple[str, str, str], ...] = (
    ("exchanges", "stonechat_fleet_recent_exchanges", "Exchanges of the recent span."),
    ("error_ratio", "stonechat_fleet_recent_error_ratio", "Share of them that failed."),
    ("ttft_p50_seconds", "stonechat_fleet_recent_ttft_p50_seconds", "Time to first token, median."),
    ("ttft_p95_seconds", "stonechat_fleet_recent_ttft_p95_seconds", "Time to first token, 95th percentile."),
    ("tokens_per_second", "stonechat_fleet_recent_tokens_per_second", "Tokens generated a second, median."),
    ("judged_ratio", "stonechat_fleet_recent_judged_ratio", "Share of answers that a model judged."),
    ("flagged_ratio", "stonechat_fleet_recent_flagged_ratio", "Share of answers beyond a model's threshold."),
    ("guidelines_broken", "stonechat_fleet_recent_guidelines_broken", "Guidelines that answers broke."),
    ("span_seconds", "stonechat_fleet_recent_observed_seconds", "Time observed in the span, of all devices."),
)


def exposition(store: Store, now: int) -> str:
    """The whole text. ``now``: the collector's clock in ms."""
    with store.reading() as connection:
        lines = list(_lines(connection, now))
    return "\n".join(lines) + "\n"


def _lines(connection: Connection, now: int) -> Iterator[str]:
    yield from _family(
        "stonechat_collector_build_info", "gauge", "The running version.", [({"version": __version__}, 1)]
    )
    table = schema.devices
    rows = connection.execute(
        select(table.c.fleet, table.c.status, func.count()).group_by(table.c.fleet, table.c.status)
    )
    counts: dict[str, dict[str, int]] = {}
    for fleet, status, n in rows:
        words = counts.setdefault(fleet, dict.fromkeys(STATUSES, 0))
        words[status if status in words else "unknown"] += n
    named = sorted(counts, key=lambda fleet: (-sum(counts[fleet].values()), fleet))[:MAX_FLEETS]
    shown = {fleet: counts[fleet] for fleet in sorted(named)}
    for fleet in counts.keys() - shown.keys():
        other = shown.setdefault(OTHER, dict.fromkeys(STATUSES, 0))
        for word, n in counts[fleet].items():
            other[word] += n
    yield from _family(
        "stonechat_collector_devices",
        "gauge",
        "Devices by fleet and status.",
        (
            ({"fleet": fleet, "status": word}, n)
            for fleet, words in shown.items()
            for word, n in words.items()
        ),
    )
    processes = connection.execute(select(schema.processes)).all()
    for name, metric, text in _COUNTERS:
        values = [({"process": row.name}, row.figures[name]) for row in processes if name in row.figures]
        yield from _family(metric, "counter", text, values)
    yield from _family(
        "stonechat_collector_heartbeat_seconds",
        "gauge",
        "Seconds since a process last worked.",
        (({"process": row.name}, max(0, now - row.at) / 1000) for row in processes),
    )
    rejections = connection.execute(select(schema.rejections).order_by(schema.rejections.c.reason))
    yield from _family(
        "stonechat_collector_rejected_total",
        "counter",
        "Messages that could not be read, by reason.",
        (({"reason": reason}, n) for reason, n in rejections),
    )
    behind = rollup.lag_of(connection, now)
    yield from _family(
        "stonechat_collector_rollup_pending_records",
        "gauge",
        "Records that the roll-up has still to merge.",
        [({}, behind.records)],
    )
    yield from _family(
        "stonechat_collector_rollup_lag_seconds",
        "gauge",
        "Time since the oldest of them was taken.",
        [({}, behind.age / 1000)],
    )
    recent = {fleet: _recent(connection, fleet, now) for fleet in named}
    for name, metric, text in _FLEET:
        values = [({"fleet": fleet}, found[name]) for fleet, found in sorted(recent.items()) if name in found]
        yield from _family(metric, "gauge", text, values)


def _recent(connection: Connection, fleet: str, now: int) -> Mapping[str, Any]:
    """The figures of the bucket that is being filled and the one before it, by the collector's clock."""
    start = now - now % RECENT_STEP
    keys = [Key(FLEET, fleet, RECENT_STEP, begin) for begin in (start, start - RECENT_STEP)]
    span = Bucket()
    for row in rollup.load(connection, keys).values():
        span.merge(row.bucket)
    return figures.recent_of(list(span.values()), span.observed)


def _family(
    name: str, kind: str, text: str, values: Iterable[tuple[Mapping[str, str], float]]
) -> Iterator[str]:
    lines = [f"{name}{_labels(labels)} {value:.15g}" for labels, value in values]
    if lines:
        yield f"# HELP {name} {text}"
        yield f"# TYPE {name} {kind}"
        yield from lines


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{key}="{_escaped(value)}"' for key, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
