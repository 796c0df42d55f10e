"""What a device's status is, why, and since when. Pure: facts in, verdict out.

The words, worst first: ``offline``, ``failing``, ``slow``, ``hot``, ``well``, ``unknown``. The first that applies
holds; the reason says in words what the device's own figures show.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

STATUSES = ("offline", "failing", "slow", "hot", "well", "unknown")
"""Worst first."""

SILENT_WINDOWS = 3
"""A device that is not heard for so many of its windows is offline."""

SILENT_MIN_MS = 20_000
"""But no sooner than this: a device whose windows are short may be busy for a moment."""

MIN_EXCHANGES = 5
"""Fewer exchanges than this in the recent span say nothing about errors or speed."""

FAILING_ERROR_RATIO = 0.05
SLOW_PEER_RATIO = 0.5
"""Of the decode rate that half of the other devices with the same model reach."""
SLOW_TTFT_P95_SECONDS = 10.0
HOT_CELSIUS = 85.0
HOT_THROTTLED = 0.05
"""Of the samples of the newest window."""

STALE_RECENT_MS = 1_200_000
"""Figures of exchanges that ended longer ago than this before the newest window are of the past."""


class Cause(NamedTuple):
    """A figure of the device that explains slowness from its threshold on; the text takes the figure."""

    figure: str
    threshold: float
    text: str


CAUSES = (
    Cause("throttled", 0.05, "throttled {:.0%} of the time"),
    Cause("memory_pressure", 0.05, "memory pressure {:.0%} of the time"),
    Cause("engine_run_delay", 0.2, "the engine's threads wait for the CPU, {:.0%} of one core's time"),
    Cause("cpu_pressure", 0.25, "tasks wait for the CPU {:.0%} of the time"),
    Cause("io_pressure", 0.2, "tasks wait for storage {:.0%} of the time"),
    Cause("memory_utilization", 0.95, "memory {:.0%} full"),
    Cause("cpu_steal", 0.1, "the hypervisor takes {:.0%} of the CPU"),
)
"""Ordered by how surely they explain; of those over their threshold, the two furthest over are named."""


class Facts(NamedTuple):
    """What a verdict is made of. Times are ms of the collector's clock; None is unknown."""

    online: bool | None
    state_at: int
    last_seen: int
    now: Mapping[str, Any] | None
    """``figures.now_of`` the newest record, with its ``start`` and ``step`` in ms."""
    recent: Mapping[str, Any] | None
    """``figures.recent_of`` the recent span."""
    recent_until: int | None
    """Where that span ends, by the device's clock."""


class Verdict(NamedTuple):
    """A status, its reason in words ("" where there is none), and since when where the facts say so themselves."""

    status: str
    reason: str
    since: int | None = None


def judge(facts: Facts, now: int, peers: Sequence[float] = ()) -> Verdict:
    """The status of a device at ``now``. ``peers``: decode rates of the devices with its model, it included, sorted."""
    gone = absence(facts, now)
    if gone is not None:
        return gone
    if facts.now is None:
        return Verdict("unknown", "heard of, but no window came yet")
    recent = current_recent(facts)
    for verdict in (_failing(facts.now, recent), _slow(facts.now, recent, peers), _hot(facts.now)):
        if verdict is not None:
            return verdict
    return Verdict("well", "")


def absence(facts: Facts, now: int) -> Verdict | None:
    """Whether the device is gone: its will came, or nothing was heard for too long."""
    if facts.online is False:
        return Verdict("offline", "its connection ended", facts.state_at)
    limit = silence_limit(facts.now)
    if now - facts.last_seen > limit:
        return Verdict("offline", f"nothing heard for more than {_span(limit)}", facts.last_seen)
    return None


def silence_limit(figures: Mapping[str, Any] | None) -> int:
    """How long a device may be silent, in ms; one that never sent a window is measured by the usual minute."""
    step = 60_000 if figures is None else int(figures.get("step") or 60_000)
    # A folded record tells nothing about the length of a window.
    return max(SILENT_WINDOWS * min(step, 60_000), SILENT_MIN_MS)


def current_recent(facts: Facts) -> Mapping[str, Any]:
    """The figures of the recent span, unless the device has gone on long since."""
    if facts.recent is None or facts.recent_until is None or facts.now is None:
        return {}
    start = facts.now.get("start")
    if start is not None and start - facts.recent_until > STALE_RECENT_MS:
        return {}
    return facts.recent


def _failing(now: Mapping[str, Any], recent: Mapping[str, Any]) -> Verdict | None:
    up = now.get("engine_up")
    if up is not None and up < 0.5:
        return Verdict("failing", "the engine is down")
    exchanges, ratio = recent.get("exchanges") or 0, recent.get("error_ratio")
    if exchanges >= MIN_EXCHANGES and ratio is not None and ratio >= FAILING_ERROR_RATIO:
        return Verdict("failing", f"{ratio:.0%} of {exchanges:,} exchanges failed")
    return None


def _slow(now: Mapping[str, Any], recent: Mapping[str, Any], peers: Sequence[float]) -> Verdict | None:
    if (recent.get("exchanges") or 0) < MIN_EXCHANGES:
        return None
    found = ""
    rate, usual = recent.get("tokens_per_second"), None
    if rate is not None:
        usual = _median_of_others(peers, rate)
    if rate is not None and usual is not None and rate <= SLOW_PEER_RATIO * usual:
        found = f"{rate:.3g} tokens/s where its peers have {usual:.3g}"
    ttft = recent.get("ttft_p95_seconds")
    if not found and ttft is not None and ttft > SLOW_TTFT_P95_SECONDS:
        found = f"first token after {ttft:.3g} s (p95)"
    return Verdict("slow", "; ".join([found, *causes(now)])) if found else None


def _hot(now: Mapping[str, Any]) -> Verdict | None:
    throttled = now.get("throttled") or 0.0
    hottest = max((now.get("temperature_celsius") or 0.0, now.get("gpu_temperature_celsius") or 0.0))
    if throttled >= HOT_THROTTLED:
        at = f" at {hottest:.0f} °C" if hottest else ""
        return Verdict("hot", f"throttled {throttled:.0%} of the time{at}")
    return Verdict("hot", f"{hottest:.0f} °C") if hottest >= HOT_CELSIUS else None


def causes(now: Mapping[str, Any]) -> list[str]:
    """What the device's own figures say about why it is slow: the two furthest beyond their thresholds."""
    over = [
        (value / cause.threshold, -rank, cause.text.format(value))
        for rank, cause in enumerate(CAUSES)
        if (value := now.get(cause.figure)) is not None and value >= cause.threshold
    ]
    return [text for _, _, text in sorted(over, reverse=True)[:2]]


def _median_of_others(rates: Sequence[float], own: float) -> float | None:
    """The median of sorted rates without one's own; None where there are no others."""
    at = bisect_left(rates, own)
    if at < len(rates) and rates[at] == own:
        n = len(rates) - 1
        if n < 1:
            return None

        def other(index: int) -> float:
            return rates[index if index < at else index + 1]

        return (other((n - 1) // 2) + other(n // 2)) / 2
    return median(rates) if rates else None


def _span(ms: int) -> str:
    return f"{ms // 60_000} min" if ms >= 120_000 else f"{ms // 1000} s"
