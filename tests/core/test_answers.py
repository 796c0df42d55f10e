"""What windows say of answers: shares of what was judged, by weight, and None where nothing was."""

from __future__ import annotations

import random

import pytest

from stonechat import answers
from stonechat.answers import answers_of
from stonechat.catalog import metric_id
from stonechat.summary import summarise
from stonechat.values import (
    HISTOGRAM_BINS,
    WEIGHT_ONE,
    Value,
    bin_of,
    counter,
    fold,
    histogram,
    tally,
    weight_of,
)

TOXIC = metric_id("stonechat.score.toxic")


def scores(*given: tuple[float, int]) -> Value:
    """A histogram of (score, weight)."""
    weights = [0] * HISTOGRAM_BINS
    for score, weight in given:
        weights[bin_of(score)] += weight
    return histogram(len(given), weights)


@pytest.mark.parametrize(
    ("score", "place"),
    [(0, 0), (0.04999, 1), (0.0499, 0), (0.05, 1), (0.15, 3), (0.35, 7), (0.85, 17), (0.9999, 19), (1.0, 19)],
)
def test_a_score_falls_into_its_bin(score: float, place: int) -> None:
    assert bin_of(score) == place


def test_every_edge_begins_a_bin() -> None:
    assert [bin_of(edge / 20) for edge in range(20)] == list(range(20))


def test_where_nothing_was_said_nothing_is_known() -> None:
    found = answers_of({})
    assert (found.checked, found.judged_ratio, found.flagged_ratio) == (None, None, None)
    assert not any((found.flag_ratios, found.means, found.skipped, found.findings))


def test_checked_answers_without_a_word_about_models_are_not_called_unjudged() -> None:
    assert answers_of({answers.CHECKED: counter(40)}).judged_ratio is None


def test_answers_that_no_model_got_to_are_a_share_of_none() -> None:
    found = answers_of({answers.CHECKED: counter(40), answers.SKIPPED: tally({"backlog": 40})})
    assert found.judged_ratio == 0
    assert found.flagged_ratio is None
    assert found.skipped == {"backlog": 40}


def test_an_answer_that_both_models_judged_is_covered_once() -> None:
    found = answers_of({answers.CHECKED: counter(40), answers.JUDGED: tally({"glance": 30, "judge": 8})})
    assert found.judged_ratio == 0.75
    assert answers_of({answers.CHECKED: counter(4), answers.JUDGED: tally({"glance": 6})}).judged_ratio == 1


def test_rates_are_by_weight() -> None:
    found = answers_of(
        {
            answers.WEIGHT: counter(12 * WEIGHT_ONE),
            answers.FLAGS: tally({"any": 3 * WEIGHT_ONE, "toxic": 2 * WEIGHT_ONE, "insult": WEIGHT_ONE}),
            TOXIC: scores((0.92, 2 * WEIGHT_ONE), (0.02, 8 * WEIGHT_ONE)),
        }
    )
    assert found.flagged_ratio == 0.25
    # Of ten that have a score of their own; a head without one has no rate.
    assert found.flag_ratios == {"toxic": 0.2}
    assert found.means["toxic"] == pytest.approx((2 * 0.925 + 8 * 0.025) / 10)


def test_weighted_rates_are_those_of_the_whole_stream() -> None:
    """One in a hundred is toxic. All risky answers are judged and a twentieth of the others, with weight 20."""
    rng = random.Random(3)
    folded: dict[int, Value] = {}
    for _ in range(60_000):
        toxic = rng.random() < 0.01
        risky = rng.random() < (0.7 if toxic else 0.02)
        if not risky and rng.random() >= 0.05:
            continue
        weight = WEIGHT_ONE if risky else 20 * WEIGHT_ONE
        one: dict[int, Value] = {
            answers.WEIGHT: counter(weight),
            TOXIC: scores((0.9 if toxic else 0.1, weight)),
        }
        if toxic:
            one[answers.FLAGS] = tally({"any": weight, "toxic": weight})
        for metric, value in one.items():
            folded[metric] = fold(folded[metric], value) if metric in folded else value
    found = answers_of(folded)
    assert found.flagged_ratio == pytest.approx(0.01, rel=0.15)
    assert found.flag_ratios["toxic"] == found.flagged_ratio
    assert weight_of(folded[TOXIC]) / WEIGHT_ONE == pytest.approx(60_000, rel=0.03)


def test_the_summary_has_both_shares() -> None:
    assert summarise({})["judged_ratio"] is None
    assert summarise({})["flagged_ratio"] is None
