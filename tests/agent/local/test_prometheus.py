"""Judgements in Prometheus' text: weights as so many answers, scores as summaries."""

from __future__ import annotations

from stonechat.catalog import metric_id
from stonechat.records import Series
from stonechat.values import HISTOGRAM_BINS, WEIGHT_ONE, bin_of, counter, histogram, tally
from stonechat_agent.local.prometheus import render

LABELS = 'engine="engine",model="m:3b",operation="chat"'


def test_weights_are_answers_and_scores_have_a_mean() -> None:
    weights = [0] * HISTOGRAM_BINS
    weights[bin_of(0.92)], weights[bin_of(0.01)] = WEIGHT_ONE, 3 * WEIGHT_ONE
    text = render(
        {
            Series("engine", "m:3b", "chat"): {
                metric_id("stonechat.answers.weight"): counter(4 * WEIGHT_ONE),
                metric_id("stonechat.flags"): tally({"any": WEIGHT_ONE, "toxic": WEIGHT_ONE // 2}),
                metric_id("stonechat.score.toxic"): histogram(2, weights),
            }
        }
    )
    assert f"stonechat_answers_weight_total{{{LABELS}}} 4\n" in text
    assert f'stonechat_flags_total{{{LABELS},value="toxic"}} 0.5\n' in text
    assert "# TYPE stonechat_score_toxic_ratio summary\n" in text
    assert f"stonechat_score_toxic_ratio_sum{{{LABELS}}} 1\n" in text
    assert f"stonechat_score_toxic_ratio_count{{{LABELS}}} 4\n" in text
