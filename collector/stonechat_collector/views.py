"""What the API answers and the pages show: plain dicts, read from the store in one transaction each.

Every time is ms since 1970, every figure is in its base unit (seconds, bytes, ratios of 0 to 1, degrees Celsius,
watts), and what is not known is None. Nothing is computed here that grows with the fleet's history: the figures of a
device stand in its row, courses over time are read from windows or from the roll-up, whichever is coarse enough.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgpack
from sqlalchemy import Connection, Row, Select, and_, func, or_, select

from stonechat import sketch
from stonechat.catalog import BY_ID, Kind, Metric
from stonechat.errors import StonechatError
from stonechat.event import Severity
from stonechat.records import DEVICE, Series
from stonechat.values import HISTOGRAM_BINS, WEIGHT_ONE, Value, tally_counts
from stonechat_collector import rollup, schema, status
from stonechat_collector.buckets import Bucket, uncertain
from stonechat_collector.figures import NOW_FIGURES, RECENT_FIGURES, SERIES_FIGURES
from stonechat_collector.status import STATUSES
from stonechat_collector.store import Store

MAX_POINTS = 1000
"""Steps in one answer."""

MAX_WINDOWS = 20_000
"""Windows read for one answer; a span that holds more is answered from the roll-up."""

MAX_SPAN_MS = 400 * 86_400_000
MAX_EVENTS = 1000

_CURSOR = re.compile(r"(-?[0-9]{1,18})\.([0-9]{1,18})", re.ASCII)

WINDOW = "window"
"""The step that leaves windows as they are."""

AUTO = "auto"

_WINDOW_GRID = 1000
_RANK = {word: rank for rank, word in enumerate(STATUSES)}
_SEVERITIES = {severity: severity.name.lower() for severity in Severity}


class BadRequest(StonechatError):
    """A question that cannot be answered. ``hint`` says what can."""

    def __init__(self, message: str, hint: str = "") -> None:
        self.hint = hint
        super().__init__(message)


# Devices


def fleet_overview(store: Store, now_ms: int, *, fleet: str | None = None) -> dict[str, Any]:
    """All devices, worst first, and their number in each status."""
    query = select(schema.devices)
    if fleet is not None:
        query = query.where(schema.devices.c.fleet == fleet)
    with store.reading() as connection:
        rows = connection.execute(query).mappings().all()
        described = _descriptions(connection, {row["description"] for row in rows})
    devices = [_device(row, now_ms, described) for row in rows]
    devices.sort(key=lambda device: (_RANK[device["status"]], device["id"]))
    counts = Counter(device["status"] for device in devices)
    by_status = {word: counts[word] for word in STATUSES}
    return {
        "time": now_ms,
        "summary": {"total": len(devices), "by_status": by_status, "sentence": sentence(by_status)},
        "devices": devices,
    }


def device(store: Store, device_id: str, now_ms: int) -> dict[str, Any] | None:
    """One device with all that is known of it; None where there is none of that name."""
    with store.reading() as connection:
        row = (
            connection.execute(select(schema.devices).where(schema.devices.c.id == device_id))
            .mappings()
            .first()
        )
        if row is None:
            return None
        described = _descriptions(connection, {row["description"]})
    found = _device(row, now_ms, described)
    return {
        **found,
        "first_seen": row["first_seen"],
        "online": row["online"],
        "series": [
            _figures(entry, SERIES_FIGURES, _NAMES) for entry in (row["recent"] or {}).get("series", ())
        ],
        "answers": status.current_recent(_facts(row)).get("answers"),
        "counts": {name: row[name] for name in ("windows", "expired", "refused", "rejected")},
        "description": described.get(row["description"]),
    }


def sentence(by_status: Mapping[str, int]) -> str:
    """The fleet in one sentence: ``409 of 412 devices are well. 2 offline, 1 slow.``"""
    total, well = sum(by_status.values()), by_status.get("well", 0)
    if not total:
        return "No device has reported yet."
    others = {word: n for word, n in by_status.items() if n and word != "well"}
    if total == 1:
        return f"The only device is {next(iter(others), 'well')}."
    if not others:
        return f"All {total:,} devices are well."
    rest = ", ".join(f"{n:,} {word}" for word, n in others.items())
    return f"{well:,} of {total:,} devices {'is' if well == 1 else 'are'} well. {rest}."


_NAMES = ("engine", "model", "operation")


def _device(row: Any, now_ms: int, described: Mapping[bytes, Mapping[str, Any]]) -> dict[str, Any]:
    facts = _facts(row)
    recent = status.current_recent(facts)
    body = described.get(row["description"], {})
    word, reason, since = row["status"], row["status_reason"] or "", row["status_since"]
    if word is None:
        verdict = status.judge(facts, now_ms)
        word, reason, since = verdict.status, verdict.reason, verdict.since
    elif word != "offline":
        # The watch looks every few seconds, and it may itself be gone.
        gone = status.absence(facts, now_ms)
        if gone is not None:
            word, reason, since = gone
    engines = _mapping(body.get("engines"))
    engine = recent.get("engine") or next(iter(engines), "")
    of_engine = _mapping(engines.get(engine))
    return {
        "id": row["id"],
        "fleet": row["fleet"],
        "status": word if word in _RANK else "unknown",
        "reason": reason,
        "since": since,
        "last_seen": row["last_seen"],
        "labels": _mapping(body.get("labels")),
        "hardware": _mapping(body.get("hardware")) or None,
        "engine": {"name": engine, **of_engine} if engine else None,
        "model": recent.get("model") or of_engine.get("model") or None,
        "agent_version": _mapping(body.get("agent")).get("version"),
        "metrics": {
            **_figures(recent, RECENT_FIGURES),
            **_figures(row["now"] or {}, NOW_FIGURES),
        },
    }


def _facts(row: Any) -> status.Facts:
    return status.Facts(
        row["online"], row["state_at"], row["last_seen"], row["now"], row["recent"], row["recent_until"]
    )


def _figures(found: Mapping[str, Any], names: Iterable[str], kept: Iterable[str] = ()) -> dict[str, Any]:
    return {name: found.get(name) for name in (*kept, *names)}


def _mapping(item: Any) -> dict[str, Any]:
    return dict(item) if isinstance(item, Mapping) else {}


def _descriptions(connection: Connection, hashes: set[bytes | None]) -> dict[bytes, dict[str, Any]]:
    wanted = sorted(name for name in hashes if name is not None)
    table = schema.descriptions
    found: dict[bytes, dict[str, Any]] = {}
    for at in range(0, len(wanted), 500):
        for name, body in connection.execute(select(table).where(table.c.hash.in_(wanted[at : at + 500]))):
            found[name] = msgpack.unpackb(body, strict_map_key=False)
    return found


# Courses over time


def device_windows(
    store: Store, device_id: str, from_ms: int, to_ms: int, step: int | str = AUTO
) -> dict[str, Any]:
    """The course of every metric of a device between two instants of its own clock, in points of ``step`` ms.

    A point is of everything that begins in ``[time, time + step)``. A step in which nothing begins has no point: it is
    a gap. A record that is itself longer than the step is a point of its own with its length as ``span``; a point
    whose time is not certain has ``uncertain`` true.

    Args:
        step: ms, at least one second; ``"auto"``: as fine as `MAX_POINTS` allow; ``"window"``: each window by itself.

    Raises:
        BadRequest: the span is empty or too long, or the step gives too many points.
    """
    length = _step(from_ms, to_ms, step)
    with store.reading() as connection:
        table = schema.windows
        inside = and_(table.c.device == device_id, table.c.start >= from_ms, table.c.start < to_ms)
        if length < rollup.STEPS[0]:
            number = connection.scalar(select(func.count()).select_from(table).where(inside)) or 0
            if number <= MAX_WINDOWS:
                rows = connection.execute(select(table).where(inside))
                return _course(_by_window(rows, from_ms, length), from_ms, to_ms, length, "windows")
            length = rollup.STEPS[0]
        slots = _from_rollups(connection, rollup.DEVICE, [device_id], (from_ms, to_ms), length)
        # What was folded beyond a bucket's length on the device is in no bucket; it is drawn as long as it is.
        longer = connection.execute(
            select(table).where(inside, table.c.step > rollup.STEPS[-1]).limit(MAX_POINTS)
        )
        slots.extend(_by_window(longer, from_ms, length))
        return _course(slots, from_ms, to_ms, length, "rollups")


def fleet_windows(
    store: Store, from_ms: int, to_ms: int, step: int | str = AUTO, *, fleet: str | None = None
) -> dict[str, Any]:
    """The course of every metric over all devices of a fleet, or of all fleets: merged sketches, so real quantiles.

    Each point also says of how many ``devices`` it is; else as `device_windows`, from the roll-up alone.
    """
    length = max(_step(from_ms, to_ms, step), rollup.STEPS[0])
    with store.reading() as connection:
        query = select(schema.devices.c.fleet).distinct()
        names = [fleet] if fleet is not None else list(connection.scalars(query))
        slots = _from_rollups(connection, rollup.FLEET, names, (from_ms, to_ms), length)
    return _course(slots, from_ms, to_ms, length, "rollups")


class _Slot:
    """What becomes one point of each metric."""

    __slots__ = ("bucket", "devices", "span", "time")

    def __init__(self, time: int, span: int) -> None:
        self.time = time
        self.span = span
        self.bucket = Bucket()
        self.devices: int | None = None


def _step(from_ms: int, to_ms: int, step: int | str) -> int:
    span = to_ms - from_ms
    if not 0 < span <= MAX_SPAN_MS:
        raise BadRequest(
            "the span must be longer than nothing and at most 400 days", "from and to are ms since 1970"
        )
    if step == WINDOW:
        return _WINDOW_GRID if span <= MAX_POINTS * _WINDOW_GRID else -(-span // MAX_POINTS)
    if step == AUTO:
        steps = (60_000, *rollup.STEPS, 3_600_000, 86_400_000)
        return next((length for length in steps if span <= length * MAX_POINTS // 2), steps[-1])
    if not isinstance(step, int) or step < _WINDOW_GRID:
        raise BadRequest("the step must be at least 1000 ms", 'use "auto", "window", or a number of ms')
    if span > step * MAX_POINTS:
        raise BadRequest(
            f"{-(-span // step):,} points, at most {MAX_POINTS:,} are allowed",
            "use a longer step or a shorter span",
        )
    return step


def _by_window(rows: Iterable[Row[Any]], from_ms: int, step: int) -> list[_Slot]:
    slots: dict[tuple[int, int], _Slot] = {}
    for row in rows:
        if row.step > step:
            time, span = row.start, row.step
        else:
            time, span = row.start - row.start % step, step
        slot = slots.get((time, span)) or slots.setdefault((time, span), _Slot(time, span))
        plain = msgpack.unpackb(row.payload, strict_map_key=False)
        slot.bucket.add(plain, row.windows, uncertain=uncertain(row.flags, row.future))
    return list(slots.values())


def _from_rollups(
    connection: Connection, scope: str, names: Sequence[str], span: tuple[int, int], step: int
) -> list[_Slot]:
    # The coarsest roll-up of which the step is a whole number.
    finest = next((length for length in reversed(rollup.STEPS) if step % length == 0), rollup.STEPS[0])
    table = schema.rollups
    first = span[0] - span[0] % finest
    slots: dict[int, _Slot] = {}
    for name in names:
        wanted = and_(
            table.c.scope == scope,
            table.c.name == name,
            table.c.step == finest,
            table.c.start >= first,
            table.c.start < span[1],
        )
        for row in connection.execute(select(table).where(wanted)):
            time = row.start - row.start % step
            slot = slots.get(time) or slots.setdefault(time, _Slot(time, step))
            slot.bucket.merge(Bucket.unpack(row.payload))
            if scope == rollup.FLEET:
                # A device stays in its fleet, so fleets add up; of neighbouring buckets the fullest is the floor.
                slot.devices = max(slot.devices or 0, row.devices)
    return list(slots.values())


def _course(slots: Iterable[_Slot], from_ms: int, to_ms: int, step: int, source: str) -> dict[str, Any]:
    metrics: dict[str, dict[str, Any]] = {}
    spans: list[dict[str, Any]] = []
    for slot in sorted(slots, key=lambda slot: (slot.time, slot.span)):
        marks: dict[str, Any] = {"time": slot.time}
        if slot.span != step:
            marks["span"] = slot.span
        if slot.bucket.uncertain:
            marks["uncertain"] = True
        spans.append(
            {
                "time": slot.time,
                "span": slot.span,
                "windows": slot.bucket.windows,
                "observed": slot.bucket.observed,
                "uncertain": slot.bucket.uncertain > 0,
                "devices": slot.devices,
            }
        )
        _add_points(metrics, slot, marks)
    return {"from": from_ms, "to": to_ms, "step": step, "source": source, "spans": spans, "metrics": metrics}


def _add_points(metrics: dict[str, dict[str, Any]], slot: _Slot, marks: dict[str, Any]) -> None:
    for number, value in slot.bucket.totals():
        found = _figures_of(number, value, slot.bucket.observed)
        if found is not None:
            metric = BY_ID[number]
            entry = {"unit": metric.base_unit, "kind": metric.kind.name.lower(), "points": [], "series": []}
            metrics.setdefault(metric.name, entry)["points"].append({**marks, **found})
    for series, number, value in slot.bucket.values():
        if series != DEVICE and number in BY_ID and BY_ID[number].name in metrics:
            found = _figures_of(number, value, slot.bucket.observed)
            course = _course_of(metrics[BY_ID[number].name], series)
            # Values of an older catalogue come after those of the newest, and do not add up with them.
            if found is not None and (not course or course[-1]["time"] < slot.time or "span" in marks):
                course.append({**marks, **found})


def _figures_of(number: int, value: Value, observed: int) -> dict[str, Any] | None:
    metric = BY_ID.get(number)
    if metric is None or value[0] != metric.kind:
        return None  # of a later catalogue: this version knows neither its name nor its unit
    return _point(metric, value, observed)


def _course_of(entry: dict[str, Any], series: Series) -> list[dict[str, Any]]:
    for known in entry["series"]:
        if (known["engine"], known["model"], known["operation"]) == series:
            points: list[dict[str, Any]] = known["points"]
            return points
    entry["series"].append({**series._asdict(), "points": []})
    return entry["series"][-1]["points"]  # type: ignore[no-any-return]


def _point(metric: Metric, value: Value, observed: int) -> dict[str, Any] | None:
    """A value as a point's figures, None for kinds that have none. Sums and bounds are in the base unit."""
    scale, kind = metric.scale, value[0]
    numbers: Any = value
    if kind == Kind.COUNTER:
        total = numbers[1] * scale
        return {"sum": _short(total), "rate": _short(total / observed * 1000) if observed else None}
    if kind == Kind.GAUGE:
        _, count, total, low, high, last, *_ = numbers
        return {
            "count": count,
            "sum": _short(total * scale),
            "mean": _short(total * scale / count),
            "min": _short(low * scale),
            "max": _short(high * scale),
            "last": _short(last * scale),
        }
    if kind == Kind.SKETCH:
        parts = numbers[1:]
        count = sketch.count(parts)
        if not count:
            return None
        quantiles = {f"p{round(q * 100)}": sketch.quantile(parts, q) for q in (0.5, 0.95, 0.99)}
        return {
            "count": count,
            "sum": _short(numbers[3] * scale),
            "mean": _short(numbers[3] * scale / count),
            **{name: None if found is None else _short(found * scale) for name, found in quantiles.items()},
        }
    if kind == Kind.HISTOGRAM:
        count, *weights = numbers[1:]
        whole = sum(weights)
        middle = sum((index + 0.5) * weight for index, weight in enumerate(weights)) / HISTOGRAM_BINS
        return {
            "count": count,
            "mean": _short(middle / whole) if whole else None,
            "weight": _short(whole / WEIGHT_ONE),
            "bins": [_short(weight / WEIGHT_ONE) for weight in weights],
        }
    if kind == Kind.TALLY:
        counts = tally_counts(value)
        return {"counts": counts if scale == 1 else {key: _short(n * scale) for key, n in counts.items()}}
    return None


def _short(number: float) -> float:
    return float(f"{number:.6g}")


# Events


def events(
    store: Store,
    *,
    device: str | None = None,
    fleet: str | None = None,
    kind: str | None = None,
    severity: str | None = None,
    from_ms: int | None = None,
    to_ms: int | None = None,
    before: int | None = None,
    cursor: str | None = None,
    limit: int = 100,
) -> list[dict[str, Any]]:
    """Events, newest first.

    Args:
        severity: the least one: ``info``, ``warning`` or ``critical``.
        from_ms: the earliest instant, included; ``to_ms`` and ``before`` the latest, not included.
        cursor: of the last event of the page before: `cursor_of`.

    Raises:
        BadRequest: a filter that cannot be.
    """
    table = schema.events
    query: Select[Any] = select(table)
    for column, wanted in ((table.c.device, device), (table.c.fleet, fleet), (table.c.kind, kind)):
        if wanted is not None:
            query = query.where(column == wanted)
    if severity is not None:
        least = next((number for number, word in _SEVERITIES.items() if word == severity), None)
        if least is None:
            raise BadRequest(f"no severity {severity!r}", "there are info, warning and critical")
        query = query.where(table.c.severity >= int(least))
    if from_ms is not None:
        query = query.where(table.c.start >= from_ms)
    for latest in (to_ms, before):
        if latest is not None:
            query = query.where(table.c.start < latest)
    if cursor is not None:
        start, number = _cursor(cursor)
        query = query.where(or_(table.c.start < start, and_(table.c.start == start, table.c.id < number)))
    query = query.order_by(table.c.start.desc(), table.c.id.desc()).limit(max(1, min(limit, MAX_EVENTS)))
    with store.reading() as connection:
        return [_event(row) for row in connection.execute(query).mappings()]


def events_page(store: Store, *, limit: int = 100, **filters: Any) -> dict[str, Any]:
    """A page of `events`, and the cursor of the next one: None on the last."""
    limit = max(1, min(limit, MAX_EVENTS - 1))
    found = events(store, limit=limit + 1, **filters)
    page = found[:limit]
    return {"events": page, "next": cursor_of(page[-1]) if len(found) > limit else None}


def cursor_of(event: Mapping[str, Any]) -> str:
    """Where the page after this event begins."""
    return f"{event['time']}.{event['id']}"


def _cursor(text: str) -> tuple[int, int]:
    found = _CURSOR.fullmatch(text)
    if found is None:
        raise BadRequest(f"{text[:64]!r} is no cursor", "take it from the field next of the page before")
    return int(found[1]), int(found[2])


def _event(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {
        "id": row["id"],
        "time": row["start"],
        "last": row["last"],
        "device": row["device"],
        "fleet": row["fleet"],
        "origin": row["origin"],
        "kind": row["kind"],
        "key": row["key"],
        "severity": _SEVERITIES.get(row["severity"], "critical"),
        "count": row["count"],
        "received": row["received"],
        "attributes": row["attributes"],
    }


# Changes, for live updates


def changes(store: Store, since: int) -> tuple[int, list[tuple[str, int]]]:
    """The newest change of any device (ms), and (id, change) of the devices that changed at ``since`` or later."""
    table = schema.devices
    with store.reading() as connection:
        newest = connection.scalar(select(func.max(table.c.changed))) or 0
        if newest < since:
            return newest, []
        query = select(table.c.id, table.c.changed).where(table.c.changed >= since)
        return newest, [(name, changed) for name, changed in connection.execute(query)]


def new_events(store: Store, after: int) -> Iterator[dict[str, Any]]:
    """The events with a higher id, oldest first, at most `MAX_EVENTS`."""
    table = schema.events
    query = select(table).where(table.c.id > after).order_by(table.c.id).limit(MAX_EVENTS)
    with store.reading() as connection:
        rows = connection.execute(query).mappings().all()
    return (_event(row) for row in rows)


def newest_event(store: Store) -> int:
    """The highest id of an event, 0 where there is none."""
    with store.reading() as connection:
        return connection.scalar(select(func.max(schema.events.c.id))) or 0
