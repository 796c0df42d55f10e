"""What the properties of the core are drawn from: values, records and events within the format's bounds."""

from __future__ import annotations

from hypothesis import strategies as st

from stonechat import sketch
from stonechat.catalog import Kind
from stonechat.event import Event, Severity
from stonechat.records import DEVICE, OTHER, Flag, Record, Series, Stamp
from stonechat.values import HISTOGRAM_BINS, Value, counter, gauge, tally

IDENTIFIERS = st.text("abcXYZ019._:/@+-", min_size=1, max_size=12)
EPOCHS = st.integers(1, (1 << 64) - 1)
NUMBERS = st.integers(0, 1 << 40)
SMALL = st.integers(0, 1000)
SIGNED = st.integers(-(1 << 20), 1 << 40)

SERIES = st.sampled_from(
    [DEVICE, OTHER, Series("engine"), Series("engine", "m", "chat"), Series("b", "m:3b", "completion")]
)

counters = NUMBERS.map(counter)
sketches = st.lists(NUMBERS, min_size=1, max_size=30).map(lambda values: (Kind.SKETCH, *sketch.of(values)))
histograms = st.lists(SMALL, min_size=HISTOGRAM_BINS, max_size=HISTOGRAM_BINS).map(
    lambda weights: (Kind.HISTOGRAM, sum(weights), *weights)
)
tallies = st.dictionaries(
    st.sampled_from(["ok", "error", "other", "stop", "a/b"]), st.integers(1, 1 << 30)
).map(tally)
vectors = st.lists(SIGNED.filter(lambda n: n >= 0), min_size=4, max_size=4).map(
    lambda parts: (Kind.VECTOR, 20, *parts)
)


def gauges(order: int, boottime: int) -> st.SearchStrategy[Value]:
    """Gauges of a window that ended at ``boottime`` of the run of that order."""
    readings = st.one_of(st.lists(SIGNED, min_size=1, max_size=8), SMALL.map(lambda value: [value] * 60))
    return readings.map(lambda values: gauge(values, order, boottime))


# A metric keeps its kind, as in the catalogue.
METRICS = {1: counters, 2: tallies, 11: sketches, 20: sketches, 200: histograms, 241: vectors, 91: counters}
GAUGES = (25, 60, 70)


@st.composite
def windows(
    draw: st.DrawFn, epoch: int, seq: int, order: int, boottime: int, description: bytes = b"describe"
) -> Record:
    """One window of a run."""
    length = 60_000
    end = boottime + length
    metrics = dict(METRICS.items()) | {g: gauges(order, end) for g in GAUGES}
    values = draw(
        st.dictionaries(
            SERIES,
            st.fixed_dictionaries({}, optional=metrics).filter(bool),
            max_size=4,
        )
    )
    wall = draw(st.integers(-(10**6), 2 * 10**12))
    return Record(
        cover=((epoch, seq, seq),),
        description=description,
        first=Stamp(order, boottime - draw(st.sampled_from([0, 5])), boottime, wall, draw(st.booleans())),
        last_order=order,
        last_boottime=end,
        step=length,
        observed=draw(st.integers(1, length)),
        samples=draw(st.integers(0, 60)),
        values=values,
        start=draw(st.one_of(st.none(), st.integers(0, 2 * 10**12))),
        flags=draw(st.sampled_from([Flag(0), Flag.UNSYNCED, Flag.CUT_CLOCK | Flag.CUT_STOP])),
    )


@st.composite
def histories(draw: st.DrawFn, most: int = 6, descriptions: int = 1) -> list[Record]:
    """Windows of one device: some runs, each with some windows in their order."""
    result: list[Record] = []
    epochs = draw(st.lists(EPOCHS, min_size=1, max_size=3, unique=True))
    for order, epoch in enumerate(epochs, 1):
        boottime = draw(st.integers(0, 10**9))
        for seq in range(1, draw(st.integers(1, most)) + 1):
            description = bytes([draw(st.integers(1, descriptions))]) * 8
            result.append(draw(windows(epoch, seq, order, boottime, description)))
            boottime += 60_000
    return result


@st.composite
def events(draw: st.DrawFn, kind: str | None = None, key: str | None = None) -> Event:
    """One event."""
    order, boottime, seq = draw(st.integers(1, 9)), draw(st.integers(0, 10**9)), draw(st.integers(1, 10**6))
    return Event(
        cover=((draw(EPOCHS), seq, seq),),
        kind=draw(IDENTIFIERS) if kind is None else kind,
        key=draw(IDENTIFIERS) if key is None else key,
        severity=draw(st.sampled_from(Severity)),
        first=Stamp(order, boottime, boottime, draw(st.integers(0, 10**12)), draw(st.booleans())),
        last_order=order,
        last_boottime=boottime,
        attributes=draw(
            st.dictionaries(IDENTIFIERS, st.one_of(st.integers(0, 99), st.booleans(), IDENTIFIERS))
        ),
        start=draw(st.one_of(st.none(), st.integers(0, 10**12))),
    )
