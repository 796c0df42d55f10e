"""The last ten minutes by the second, for the page: a ring of fixed size, 10 KiB a column.

One thread writes (the pipeline's), another one reads (the event loop's): a second that is over does not change any
more, and only those are read.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable

from stonechat.catalog import metric_id
from stonechat.exchange import Exchange, Outcome
from stonechat_agent.sampling import Reading

SPAN_SECONDS = 600

COLUMNS = (
    "cpu",  # busy share of all cores
    "memory",  # share in use
    "gpu",  # busy share of the GPUs
    "temperature",  # degrees Celsius, of processors or GPUs, the hottest
    "power",  # watts
    "throttled",  # 1 while the device is
    "in_flight",  # exchanges under way
    "exchanges",  # ended in this second
    "failed",
    "speed",  # tokens a second, the mean of the exchanges that ended
    "ttft",  # seconds, the mean of the exchanges that ended
    "judged",  # answers of which models or guidelines said something in this second
    "flagged",  # of them those beyond a threshold, or that broke a guideline
)
"""Each is unknown (NaN here, null in JSON) where nothing was read, but for the counts of exchanges."""

_AT = {name: index for index, name in enumerate(COLUMNS)}
_UNKNOWN = math.nan
_NS = 1_000_000_000

# Metric: (column, factor to the column's unit). Two that share a column: the larger reading counts.
_GAUGES = {
    metric_id("system.cpu.utilization"): ("cpu", 1e-4),
    metric_id("system.memory.utilization"): ("memory", 1e-4),
    metric_id("hw.gpu.utilization"): ("gpu", 1e-4),
    metric_id("hw.temperature"): ("temperature", 0.1),
    metric_id("hw.gpu.temperature"): ("temperature", 0.1),
    metric_id("hw.power"): ("power", 1e-3),
    metric_id("hw.gpu.power"): ("power", 1e-3),
    metric_id("stonechat.throttled"): ("throttled", 1e-4),
}
_IN_FLIGHT = metric_id("stonechat.engine.requests.in_flight")


class Series:
    """See the module's docstring. Seconds are those of the monotonic clock."""

    def __init__(self) -> None:
        self._seconds = array("q", [-1]) * SPAN_SECONDS
        self._columns = tuple(array("d", [_UNKNOWN]) * SPAN_SECONDS for _ in COLUMNS)
        # How many exchanges the means of a second are of.
        self._speeds = self._ttfts = 0

    def sampled(self, now_ns: int, readings: Iterable[Reading]) -> None:
        """Take a sample of the device. Of several in a second the last one counts."""
        slot = self._slot(now_ns)
        found: dict[str, float] = {}
        in_flight = None
        for reading in readings:
            if reading.metric == _IN_FLIGHT:
                in_flight = (in_flight or 0) + reading.value
            elif reading.engine is None and (gauge := _GAUGES.get(reading.metric)) is not None:
                name, factor = gauge
                found[name] = max(found.get(name, -math.inf), reading.value * factor)
        if in_flight is not None:
            found["in_flight"] = in_flight
        for name, value in found.items():
            self._columns[_AT[name]][slot] = value

    def ended(self, now_ns: int, exchange: Exchange) -> None:
        """Take an exchange that ended just now."""
        slot = self._slot(now_ns)
        self._columns[_AT["exchanges"]][slot] += 1
        if exchange.outcome is Outcome.ERROR:
            self._columns[_AT["failed"]][slot] += 1
            return  # as in windows: a refusal is no fast answer
        tokens, decode = exchange.output_tokens, exchange.decode_duration
        if tokens is not None and decode is not None and tokens.value > 1 and decode.value > 0:
            self._speeds += 1
            self._mean("speed", slot, (tokens.value - 1) * _NS / decode.value, self._speeds)
        ttft = exchange.elapsed(exchange.first_token_ns)
        if ttft is not None:
            self._ttfts += 1
            self._mean("ttft", slot, ttft / _NS, self._ttfts)

    def judged(self, now_ns: int, *, flagged: bool) -> None:
        """Take what models and guidelines said just now of an answer, which ended some time before."""
        slot = self._slot(now_ns)
        for name, number in (("judged", 1), ("flagged", int(flagged))):
            column = self._columns[_AT[name]]
            # NaN is the number that differs from itself.
            column[slot] = number if column[slot] != column[slot] else column[slot] + number

    def since(self, after: int, now_ns: int) -> dict[str, list[float | int | None]]:
        """The seconds that are over and later than ``after``, as columns; ``t`` are the seconds.

        Columns of which nothing is known are left out.
        """
        now = now_ns // _NS
        first = max(after + 1, now - SPAN_SECONDS + 1)
        slots = [second % SPAN_SECONDS for second in range(first, now) if self._has(second)]
        told: dict[str, list[float | int | None]] = {"t": [self._seconds[slot] for slot in slots]}
        for name, column in zip(COLUMNS, self._columns, strict=True):
            # NaN is the number that differs from itself.
            values = [None if (value := column[slot]) != value else round(value, 4) for slot in slots]
            if values.count(None) < len(values):
                told[name] = values
        return told

    def _has(self, second: int) -> bool:
        return self._seconds[second % SPAN_SECONDS] == second

    def _slot(self, now_ns: int) -> int:
        second = now_ns // _NS
        slot = second % SPAN_SECONDS
        if self._seconds[slot] != second:
            self._seconds[slot] = -1  # not to be read while it is emptied
            for name, column in zip(COLUMNS, self._columns, strict=True):
                column[slot] = 0 if name in ("exchanges", "failed") else _UNKNOWN
            self._speeds = self._ttfts = 0
            self._seconds[slot] = second
        return slot

    def _mean(self, name: str, slot: int, value: float, n: int) -> None:
        column = self._columns[_AT[name]]
        column[slot] = value if n == 1 else column[slot] + (value - column[slot]) / n
