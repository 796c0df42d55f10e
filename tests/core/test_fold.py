"""Folding is associative and commutative to the last unit."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core import strategies

from stonechat import sketch
from stonechat.catalog import METRICS, Kind
from stonechat.errors import FoldError
from stonechat.event import coalesce
from stonechat.ranges import cover_size
from stonechat.records import MAX_SERIES, MAX_TALLY_KEYS, OTHER, Flag, Record, Series, fold_all, fold_records
from stonechat.slots import OTHER_KEY, Slots
from stonechat.values import counter, fold, gauge, tally, tally_counts


def test_metric_ids_and_names_are_unique() -> None:
    assert len({metric.id for metric in METRICS}) == len({metric.name for metric in METRICS}) == len(METRICS)


@given(strategies.histories(), st.randoms(use_true_random=False))
def test_records_fold_alike_in_any_order_and_grouping(history: list[Record], rng: random.Random) -> None:
    expected = fold_all(history, step=600_000)
    parts = list(history)
    rng.shuffle(parts)
    while len(parts) > 1:
        at = rng.randrange(len(parts) - 1)
        parts[at : at + 2] = [fold_records(parts[at], parts[at + 1], step=600_000)]
    assert replace(parts[0], start=None, step=600_000) == expected
    assert cover_size(expected.cover) == len(history)


@given(strategies.histories(descriptions=3), st.randoms(use_true_random=False))
def test_folds_across_descriptions_are_marked_and_keep_the_latest(
    history: list[Record], rng: random.Random
) -> None:
    latest = max(history, key=lambda record: record.newest)
    shuffled = list(history)
    rng.shuffle(shuffled)
    whole = fold_all(shuffled, mixed=True)
    assert whole == fold_all(history, mixed=True)
    assert whole.description == latest.description
    several = len({record.description for record in history}) > 1
    assert (Flag.MIXED in whole.flags) == several
    if several:
        with pytest.raises(FoldError, match="two descriptions"):
            fold_all(history)


@given(strategies.histories(most=2))
def test_records_that_share_a_window_never_fold(history: list[Record]) -> None:
    with pytest.raises(FoldError, match="overlap"):
        fold_records(fold_all(history), history[0])


@given(st.integers(0, 2**32), st.integers(1, 40))
def test_bounds_on_series_and_tallies_keep_folding_exact(seed: int, wanted: int) -> None:
    """Windows whose keys came from one table of slots fold alike in any order, and never exceed the bounds."""
    rng = random.Random(seed)
    slots = Slots()
    windows: list[Record] = []
    template = _window()
    for seq in range(1, 9):
        values: dict[Series, dict[int, tuple[int | str, ...]]] = {}
        for _ in range(wanted):
            series = slots.series(Series("engine", f"m{rng.randrange(wanted)}", "chat"))
            key = slots.key(2, f"k{rng.randrange(wanted)}")
            mine = values.setdefault(series, {})
            mine[1] = fold(mine.get(1, counter(0)), counter(1))
            mine[2] = fold(mine.get(2, tally({})), tally({key: 1}))
        windows.append(replace(template, cover=((7, seq, seq),), values=values))
        slots = Slots.from_plain(slots.to_plain())  # a restart in between changes nothing
    rng.shuffle(windows)
    one = fold_all(windows)
    assert fold_all(sorted(windows, key=lambda w: w.cover)) == one
    assert len([series for series in one.values if series != OTHER]) <= MAX_SERIES
    for metrics in one.values.values():
        assert len([key for key in tally_counts(metrics[2]) if key != OTHER_KEY]) <= MAX_TALLY_KEYS
    assert sum(metrics[1][1] for metrics in one.values.values()) == 8 * wanted  # type: ignore[misc]


def _window() -> Record:
    from stonechat.records import Stamp

    return Record(((7, 1, 1),), b"describe", Stamp(1, 0, 0, 0, True), 1, 60_000, 60_000, 60_000, 60)


def test_a_gauge_keeps_the_latest_reading_by_run_then_boottime_and_never_by_wall_clock() -> None:
    earlier_run = gauge([9], 1, 999_999)
    later_run = gauge([3, 5], 2, 10)
    folded = fold(later_run, earlier_run)
    assert folded == (Kind.GAUGE, 3, 17, 3, 9, 5, 2, 10) == fold(earlier_run, later_run)


@pytest.mark.parametrize(
    ("one", "other", "words"),
    [
        (counter(1), gauge([1], 1, 1), "kind"),
        ((99, 1), (99, 2), "not known"),
        ((Kind.SKETCH, 200, 0, 0), (Kind.SKETCH, 100, 0, 0), "accuracy"),
        ((Kind.VECTOR, 20, 1), (Kind.VECTOR, 20, 1, 1), "components"),
    ],
)
def test_values_that_cannot_be_added_say_why(
    one: tuple[int, ...], other: tuple[int, ...], words: str
) -> None:
    with pytest.raises(FoldError, match=words):
        fold(one, other)


@given(strategies.events("a", "b"), strategies.events("a", "b"), strategies.events("a", "b"))
def test_events_coalesce_alike_in_any_order(one, two, three) -> None:  # type: ignore[no-untyped-def]
    try:
        left = coalesce(coalesce(one, two), three)
    except FoldError:
        return  # the same event drawn twice
    assert left == coalesce(three, coalesce(two, one)) == coalesce(two, coalesce(one, three))
    assert left.count == 3


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=300), st.floats(0, 1))
def test_a_quantile_is_within_the_accuracy_of_the_true_one(values: list[int], q: float) -> None:
    true = sorted(values)[int(q * (len(values) - 1))]
    estimate = sketch.quantile(sketch.of(values), q)
    assert estimate is not None
    assert abs(estimate - true) <= 0.02 * true + 1e-6 or _collapsed(values)


def _collapsed(values: list[int]) -> bool:
    keys = [sketch.key_of(value) for value in values if value]
    return bool(keys) and max(keys) - min(keys) >= sketch.MAX_BINS


@given(st.lists(st.integers(0, 10**15), max_size=200), st.integers(0, 200))
def test_merging_sketches_equals_the_sketch_of_all(values: list[int], cut: int) -> None:
    merged = sketch.merge(sketch.of(values[:cut]), sketch.of(values[cut:]))
    assert merged == sketch.of(values)
    assert sketch.count(merged) == len(values)


def test_a_sketch_keeps_the_highest_bins() -> None:
    wide = sketch.of([1, 10**18])
    assert len(wide) == 3 + 4
    assert sketch.quantile(wide, 1) == pytest.approx(10**18, rel=0.02)
    assert sketch.bins_of(wide) == {sketch.key_of(10**18): 1, sketch.key_of(10**18) - sketch.MAX_BINS + 1: 1}


def test_quantiles_agree_with_the_reference_implementation() -> None:
    from ddsketch import DDSketch

    rng = random.Random(3)
    values = [int(rng.lognormvariate(12, 1)) + 1 for _ in range(5000)]
    peer = DDSketch(relative_accuracy=0.02)
    for value in values:
        peer.add(value)
    ours = sketch.of(values)
    for q in (0.01, 0.5, 0.9, 0.99, 1.0):
        assert sketch.quantile(ours, q) == pytest.approx(peer.get_quantile_value(q), rel=1e-9)


def test_an_empty_sketch_has_no_quantile() -> None:
    assert sketch.quantile(sketch.of([]), 0.5) is None
