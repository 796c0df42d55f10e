"""The open window: adds up readings and exchanges until it is cut into a record."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from stonechat import sketch
from stonechat.catalog import BY_ID, Kind
from stonechat.exchange import Exchange
from stonechat.records import DEVICE, Flag, Record, Series, Stamp
from stonechat.slots import Slots
from stonechat.values import HISTOGRAM_BINS, Value, bin_of, counter, histogram, tally
from stonechat_agent.clocks import Instant
from stonechat_agent.sampling.reading import Reading
from stonechat_agent.scoring.verdict import Verdict
from stonechat_agent.window import judged, measure
from stonechat_agent.window.centroids import Centroids


class _Gauge:
    """Readings of a gauge, added up."""

    __slots__ = ("count", "last", "least", "most", "total")

    def __init__(self, reading: int) -> None:
        self.count, self.total, self.least, self.most, self.last = 1, reading, reading, reading, reading

    def add(self, reading: int) -> None:
        self.count += 1
        self.total += reading
        self.last = reading
        if reading < self.least:
            self.least = reading
        elif reading > self.most:
            self.most = reading

    def value(self, order: int, boottime: int) -> Value:
        return (Kind.GAUGE, self.count, self.total, self.least, self.most, self.last, order, boottime)


class WindowBuilder:
    """One open window.

    Memory is bounded by the catalogue and the slots: distributions are kept as bins, never as values.
    """

    def __init__(
        self,
        opened: Instant,
        *,
        order: int,
        description: bytes,
        slots: Slots,
        length_ms: int,
        centroids: Centroids | None = None,
    ) -> None:
        """
        Args:
            centroids: embeddings that windows before had too few of; none where no answer is judged.
        """
        self._opened = opened
        self._order = order
        self._description = description
        self._slots = slots
        self._length = length_ms
        self._samples = 0
        self._counters: dict[tuple[Series, int], int] = defaultdict(int)
        self._gauges: dict[tuple[Series, int], _Gauge] = {}
        self._tallies: dict[tuple[Series, int], dict[str, int]] = defaultdict(dict)
        self._sketches: dict[tuple[Series, int], _Bins] = {}
        self._histograms: dict[tuple[Series, int], tuple[list[int], list[int]]] = {}
        self._centroids = centroids if centroids is not None else Centroids()

    def add_sample(self, readings: Iterable[Reading]) -> None:
        """Add one sample of the device and its engines."""
        self._samples += 1
        for reading in readings:
            self.add_reading(reading)

    def add_reading(self, reading: Reading) -> None:
        """Add one reading, of the catalogue's kind."""
        series = DEVICE if reading.engine is None else Series(reading.engine)
        kind = BY_ID[reading.metric].kind
        if kind is Kind.GAUGE:
            self._gauge(series, reading.metric, reading.value)
        elif kind is Kind.COUNTER:
            self._counters[series, reading.metric] += reading.value
        elif kind is Kind.TALLY:
            self._tally(series, reading.metric, reading.key, reading.value)
        elif kind is Kind.SKETCH:
            self._observe(series, reading.metric, reading.value)
        else:
            raise ValueError(f"metric {reading.metric} is a {kind.name.lower()}, which no source reads")

    def add_exchange(self, exchange: Exchange) -> None:
        """Add one exchange that ended."""
        series = self._slots.series(measure.series_of(exchange))
        for metric, increment in measure.counters(exchange):
            self._counters[series, metric] += increment
        for metric, key in measure.tallies(exchange):
            self._tally(series, metric, key, 1)
        for metric, reading in measure.gauges(exchange):
            self._gauge(series, metric, reading)
        for metric, observation in measure.observations(exchange):
            self._observe(series, metric, observation)

    def add_verdict(self, verdict: Verdict) -> None:
        """Add what the worker found in an answer, whichever window its exchange was counted in."""
        series = self._slots.series(judged.series_of(verdict))
        for metric, increment in judged.counters(verdict):
            self._counters[series, metric] += increment
        for metric, key, increment in judged.tallies(verdict):
            self._tally(series, metric, key, increment)
        for metric, score, weight in judged.scores(verdict):
            count, weights = self._histograms.setdefault((series, metric), ([0], [0] * HISTOGRAM_BINS))
            count[0] += 1
            weights[bin_of(score)] += weight
        if verdict.embedding:
            self._centroids.add(series, verdict.embedding)

    def build(self, now: Instant, flags: Flag = Flag(0)) -> Record:
        """The record of the window that ends now, without a cover: the spool gives it its number."""
        if not self._opened.synced or not now.synced:
            flags |= Flag.UNSYNCED
        values: dict[Series, dict[int, Value]] = {}
        for (series, metric), increments in self._counters.items():
            if increments:
                values.setdefault(series, {})[metric] = counter(increments)
        for (series, metric), readings in self._gauges.items():
            values.setdefault(series, {})[metric] = readings.value(self._order, now.boottime)
        for (series, metric), counts in self._tallies.items():
            values.setdefault(series, {})[metric] = tally(counts)
        for (series, metric), bins in self._sketches.items():
            values.setdefault(series, {})[metric] = bins.value()
        for (series, metric), (count, weights) in self._histograms.items():
            values.setdefault(series, {})[metric] = histogram(count[0], weights)
        for series, centroid in self._centroids.ripe():
            values.setdefault(series, {})[judged.EMBEDDING] = centroid
        opened = self._opened
        return Record(
            cover=(),
            description=self._description,
            first=Stamp(self._order, opened.monotonic, opened.boottime, opened.wall, opened.synced),
            last_order=self._order,
            last_boottime=now.boottime,
            step=self._length,
            observed=max(0, now.monotonic - opened.monotonic),
            samples=self._samples,
            values=_ordered(values),
            flags=flags,
        )

    def _gauge(self, series: Series, metric: int, reading: int) -> None:
        known = self._gauges.get((series, metric))
        if known is None:
            self._gauges[series, metric] = _Gauge(reading)
        else:
            known.add(reading)

    def _tally(self, series: Series, metric: int, key: str | None, n: int) -> None:
        counts = self._tallies[series, metric]
        slot = self._slots.key(metric, key)
        counts[slot] = counts.get(slot, 0) + n

    def _observe(self, series: Series, metric: int, observation: int) -> None:
        bins = self._sketches.get((series, metric))
        if bins is None:
            bins = self._sketches[series, metric] = _Bins()
        bins.add(observation)


class _Bins:
    """A distribution as it grows."""

    __slots__ = ("bins", "total", "zeros")

    def __init__(self) -> None:
        self.zeros = self.total = 0
        self.bins: dict[int, int] = {}

    def add(self, observation: int) -> None:
        if observation < 1:
            self.zeros += 1
            return
        self.total += observation
        key = sketch.key_of(observation)
        self.bins[key] = self.bins.get(key, 0) + 1
        if len(self.bins) > 2 * sketch.MAX_BINS:
            sketch.collapse(self.bins)

    def value(self) -> Value:
        return (Kind.SKETCH, *sketch.build(sketch.ACCURACY, self.zeros, self.total, self.bins))


def _ordered(values: Mapping[Series, Mapping[int, Value]]) -> dict[Series, dict[int, Value]]:
    """The device first, then engines and series by name: equal windows have equal bytes."""
    return {series: dict(sorted(values[series].items())) for series in sorted(values)}
