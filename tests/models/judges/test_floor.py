"""The measures against known values, and a floor that learns what n-grams can tell."""

import random

import numpy as np
import pytest

from train.judges import floor, metrics
from train.judges.rows import Row
from train.judges.sources import HEADS


def test_measures_of_the_textbook_example() -> None:
    # scikit-learn's documentation of roc_auc_score and average_precision_score.
    labels, scores = [0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]
    assert metrics.roc_auc(labels, scores) == pytest.approx(0.75)
    assert metrics.pr_auc(labels, scores) == pytest.approx(0.8333333)


def test_ties_count_half_and_form_one_threshold() -> None:
    assert metrics.roc_auc([0, 1, 0, 1], [1, 1, 1, 1]) == 0.5
    assert metrics.pr_auc([0, 1, 0, 1], [1, 1, 1, 1]) == 0.5
    assert metrics.pr_auc([1, 0], [1, 1]) == 0.5
    assert metrics.roc_auc([0, 1, 1], [0, 0, 1]) == 0.75


def test_roc_auc_is_the_share_of_pairs_in_order() -> None:
    rng = np.random.default_rng(5)
    labels, scores = rng.integers(0, 2, 60), rng.integers(0, 9, 60)
    pairs = [(a > b) + (a == b) / 2 for a in scores[labels == 1] for b in scores[labels == 0]]
    assert metrics.roc_auc(labels, scores) == pytest.approx(np.mean(pairs))


def test_what_cannot_be_measured_is_none() -> None:
    assert metrics.roc_auc([1, 1], [0.1, 0.2]) is None
    assert metrics.pr_auc([0, 0], [0.1, 0.2]) is None
    assert metrics.f1([0], [1.0], 0.5) is None
    with pytest.raises(ValueError, match="NaN"):
        metrics.roc_auc([0, 1], [0.0, float("nan")])


def test_f1_calibration_and_thresholds() -> None:
    assert metrics.f1([1, 1, 0, 0], [0.9, 0.2, 0.8, 0.1], 0.5) == pytest.approx(0.5)
    assert metrics.calibration_error([0, 1, 1, 1], [0.75] * 4) == pytest.approx(0.0)
    assert metrics.calibration_error([0, 0], [0.9, 0.9]) == pytest.approx(0.9)
    scores = np.arange(1000) / 1000
    threshold = metrics.threshold_for(scores, 2)
    assert int((scores >= threshold).sum()) == 2


def _examples(count: int, seed: int) -> list[Row]:
    rng = random.Random(seed)
    calm, rude = ["walk", "garden", "bread", "river", "letter", "window"], ["fool", "idiot", "moron"]
    out = []
    for n in range(count):
        words = rng.sample(calm, 4)
        labels = {"toxic": float(n % 2)}
        if n % 2:
            words.insert(rng.randrange(4), rng.choice(rude))
        if n % 3 == 0:
            labels["refusal"] = float(n % 2)
        out.append(Row("", " ".join(words), labels, f"s{n % 4 // 2}", "s", "train"))
    return out


def test_the_floor_learns_words_and_leaves_unknown_heads_alone() -> None:
    train, held = _examples(400, 1), _examples(100, 2)
    model = floor.Floor().fit(floor.features(train), floor.targets(train))
    results = floor.by_source(held, model.logits(floor.features(held)))
    assert results["toxic"]["pooled"]["roc_auc"] > 0.99
    assert results["refusal"]["pooled"]["rows"] == 34
    assert set(results) == {"toxic", "refusal"}
    assert set(results["toxic"]) == {"pooled", "pooled, both", "s0", "s1"}
    silent = model.logits(floor.features(held))[:, HEADS.index("violence")]
    assert not silent.any()
    again = floor.Floor().fit(floor.features(train), floor.targets(train)).logits(floor.features(held))
    assert np.array_equal(again, model.logits(floor.features(held)))


def test_rows_are_taken_in_the_order_asked_for() -> None:
    counts = floor.features(_examples(5, 1))
    taken = counts.take([3, 0])
    assert len(taken) == 2
    for place, at in enumerate((3, 0)):
        whole = slice(counts.starts[at], counts.starts[at + 1])
        part = slice(taken.starts[place], taken.starts[place + 1])
        assert np.array_equal(counts.columns[whole], taken.columns[part])
        assert np.array_equal(counts.values[whole], taken.values[part])


def test_every_row_has_the_constant_and_words_in_common_count() -> None:
    alone, asked = Row("", "a b", {}, "s", "s", "train"), Row("a c", "a b", {}, "s", "s", "train")
    counts = floor.features([alone, asked])
    behind = counts.columns >= 1 << floor.BITS
    size = 1 << floor.BITS
    assert list(counts.columns[behind]) == [size, size, size + 1, size + 2]
    assert list(counts.values[behind]) == [1, 1, 0.5, 0.5]
