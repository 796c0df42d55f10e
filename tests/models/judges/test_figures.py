"""Figures of judges on labelled rows, and what is asked of them."""

from typing import Any

import numpy as np
import pytest

from train.judges import demands, figures
from train.judges.figures import Said
from train.judges.rows import Row
from train.judges.sources import HEADS

TOXIC, RELEVANCE = HEADS.index("toxic"), HEADS.index("relevance")


def _rows(head: str, labels: list[float], source: str = "s") -> list[Row]:
    return [Row("q", f"text {n}", {head: label}, source, source, "dev") for n, label in enumerate(labels)]


def _said(head: str, scores: list[float], threshold: float = 0.5) -> Said:
    values = np.full((len(scores), len(HEADS)), np.nan)
    values[:, HEADS.index(head)] = scores
    raised = values <= threshold if head in figures.BELOW else values >= threshold
    return Said(values, raised & ~np.isnan(values), np.ones(len(values), dtype=bool))


def test_a_head_that_raises_high_scores() -> None:
    labels = [1.0] * 10 + [0.0] * 30
    scores = [0.9] * 8 + [0.1] * 2 + [0.6] * 2 + [0.2] * 28
    found = figures.by_head(_rows("toxic", labels), _said("toxic", scores))
    assert list(found) == ["toxic"]
    toxic = found["toxic"]
    assert (toxic["rows"], toxic["raised"], toxic["withheld"]) == (40, 10, 0)
    assert toxic["recall"] == 0.8
    assert toxic["precision"] == 0.8
    assert toxic["f1"] == 0.8
    assert toxic["roc_auc"] == 0.8
    # 8 at 0.9 all positive, 2 at 0.6 none, 28 at 0.2 none, 2 at 0.1 all: shares of 40 times their gaps.
    assert toxic["ece"] == pytest.approx((8 * 0.1 + 2 * 0.6 + 28 * 0.2 + 2 * 0.9) / 40, abs=1e-4)


def test_a_head_that_raises_low_scores_is_turned_round() -> None:
    labels = [0.0] * 10 + [1.0] * 10
    scores = [0.1] * 9 + [0.8] + [0.9] * 10
    found = figures.by_head(_rows("relevance", labels), _said("relevance", scores))["relevance"]
    assert found["raised"] == 10
    assert found["recall"] == 0.9
    assert found["precision"] == 1.0
    assert found["roc_auc"] == 1.0


def test_what_is_withheld_counts_in_no_figure() -> None:
    labels = [1.0] * 12 + [0.0] * 12
    scores = [0.9] * 10 + [float("nan")] * 2 + [0.1] * 10 + [float("nan")] * 2
    found = figures.by_head(_rows("toxic", labels), _said("toxic", scores))["toxic"]
    assert (found["rows"], found["withheld"], found["recall"]) == (20, 4, 1.0)


def test_rows_that_set_the_threshold_count_in_the_ranking_alone() -> None:
    labels = [1.0] * 20 + [0.0] * 20
    said = _said("toxic", [0.9] * 10 + [0.1] * 10 + [0.2] * 20)
    old = figures.by_head(_rows("toxic", labels), said)["toxic"]
    assert (old["recall"], old["fresh"]) == (0.5, 40)
    said = Said(said.scores, said.flags, np.array([True] * 10 + [False] * 10 + [True] * 20))
    found = figures.by_head(_rows("toxic", labels), said)["toxic"]
    assert (found["recall"], found["fresh"], found["rows"]) == (1.0, 30, 40)
    assert found["roc_auc"] == old["roc_auc"] == 0.5
    contexts = figures.by_context(_rows("toxic", labels), ["attack"] * 40, said)
    assert contexts["attack"] == {"harmful": 10, "caught": 10, "harmless": 20, "flagged": 0}


def test_few_rows_of_a_class_give_no_figure() -> None:
    found = figures.by_head(_rows("toxic", [1.0] * 9 + [0.0] * 50), _said("toxic", [0.9] * 59))["toxic"]
    assert found["roc_auc"] is None
    assert found["f1"] is None


def test_macro_f1_is_the_mean_of_both_classes() -> None:
    # scikit-learn: f1_score([1,1,0,0,0], [1,0,0,0,1], average="macro") = (0.5 + 2/3) / 2
    assert figures.macro_f1(np.array([1, 1, 0, 0, 0]), np.array([1, 0, 0, 0, 1])) == pytest.approx(0.5833333)
    assert figures.macro_f1(np.array([1, 1]), np.array([1, 0])) is None


def test_a_kind_is_judged_by_the_heads_that_it_was_written_for() -> None:
    rows = [
        Row("q", f"t {n}", {"coherence": c, "relevance": r}, "written/bad_answers", "w", "test")
        for n, (c, r) in enumerate([(0.0, 1.0)] * 10 + [(1.0, 0.0)] * 10 + [(1.0, 1.0)] * 20)
    ]
    scores = np.full((40, len(HEADS)), np.nan)
    scores[:, HEADS.index("coherence")] = [0.1] * 10 + [0.9] * 30
    scores[:, RELEVANCE] = [0.9] * 10 + [0.1] * 10 + [0.9] * 20
    fresh = np.arange(40) != 0
    found = figures.of_kind("bad_answers", rows, Said(scores, scores <= 0.5, fresh))
    assert found == {
        "rows": 40,
        "positive": 20,
        "withheld": 0,
        "fresh": 39,
        "macro_f1": 1.0,
        "recall": 1.0,
        "false_rate": 0.0,
        "roc_auc": 1.0,
    }


def test_a_flag_of_a_head_that_the_row_does_not_know_says_nothing() -> None:
    rows = _rows("hate", [1.0] * 10 + [0.0] * 10, "written/settings")
    scores = np.full((20, len(HEADS)), 0.9)
    scores[10:, HEADS.index("hate")] = 0.1
    assert (
        figures.of_kind("settings", rows, Said(scores, scores >= 0.5, np.ones(20, dtype=bool)))["macro_f1"]
        == 1.0
    )


def test_contexts_count_caught_and_falsely_flagged() -> None:
    rows = _rows("toxic", [1.0, 1.0, 0.0, 0.0, 0.0])
    found = figures.by_context(
        rows, ["attack", "attack", "report", "report", "report"], _said("toxic", [0.9, 0.1, 0.9, 0.1, 0.1])
    )
    assert found["attack"] == {"harmful": 2, "caught": 1, "harmless": 0, "flagged": 0}
    assert found["report"] == {"harmful": 0, "caught": 0, "harmless": 3, "flagged": 1}


def test_false_alarms_are_per_thousand_and_count_an_answer_once() -> None:
    flags = np.zeros((500, len(HEADS)), dtype=bool)
    flags[0, TOXIC] = flags[0, HEADS.index("hate")] = flags[1, TOXIC] = True
    found = figures.false_alarms(flags)
    assert (found["toxic"], found["hate"], found["any harm"]) == (4.0, 2.0, 4.0)


def test_slices_hold_their_own_rows() -> None:
    rows = _rows("toxic", [1.0] * 10 + [0.0] * 10)
    said = _said("toxic", [0.9] * 10 + [0.1] * 10)
    found = figures.sliced(rows, said, "toxic", lambda row: "low" if int(row.response[5:]) < 5 else None)
    assert {name: row["rows"] for name, row in found.items()} == {"low": 5}
    assert figures.length_of(rows[0]) == "under   50 characters"


def test_rank_correlation_counts_ties_at_their_mean() -> None:
    one = np.array([1.0, 2, 3, 4, 5, 6, 7, 8, 9, 10])
    assert figures.spearman(one, one**3) == pytest.approx(1)
    assert figures.spearman(one, -one) == pytest.approx(-1)
    # scipy.stats.spearmanr
    tied = np.array([1.0, 1, 2, 2, 3, 3, 4, 4, 5, 5])
    assert figures.spearman(one, tied[::-1]) == pytest.approx(-0.98473193)
    assert figures.spearman(one, np.ones(10)) is None


def _results() -> dict[str, Any]:
    """A run that meets everything."""
    head = {"roc_auc": 0.99}
    table = {"rate": 0.001, "rows": 1000, "groups": {"a": {"ratio": 1.2, "by_chance": 0.4}}}
    mentions = {"toxic": table, "hate": table, "any harm": table}
    pooled = {"combined": 0.85, "encoder": 0.84, "floor": 0.80}
    return {
        "folds": {"heads": {"toxic": {"pooled": pooled, "pooled, both": pooled, "won": 27, "of": 30}}},
        "held": {"judge": dict.fromkeys(HEADS, head), "floor": dict.fromkeys(HEADS, head)},
        "parts": {name: {"judge": head, "floor": head} for name in ("degeneration", "relevance, hard negatives")},
        "contrast": {"judge": dict.fromkeys(HEADS, head)},
        "kinds": {kind: {"judge": {"macro_f1": 0.9}} for kind in figures.WRITTEN_FOR},
        "int8": {"toxic": {"float": 0.95, "int8": 0.948}},
        "ordinary": {"judge": {name: {"answers": 9, "toxic": 1.0} for name in ("seen sources", "sources never read")}},
        "bias": {"judge": {"false_positives": {"neutral and positive": mentions}}},
        "milliseconds": {"128 tokens": {"glance": {"p50": 0.1}, "judge": {"p50": 9.0}}},
        "memory_mib": {"both tiers": {"pss": 80.0}},
        "answers_a_second": 200.0,
        "disk_bytes": {"glance": 2_000_000, "judge": 22_000_000},
    }  # fmt: skip


def test_a_run_that_meets_everything() -> None:
    asked = demands.demands(_results())
    assert all(row.met is True for row in asked), [row for row in asked if row.met is not True]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (
            {"folds": {"heads": {"toxic": {**_results()["folds"]["heads"]["toxic"], "won": 26}}}},
            "sources won",
        ),
        ({"contrast": {"judge": {head: {"roc_auc": 0.89} for head in HEADS}}}, "self_harm on held-out"),
        ({"kinds": {"hate": {"judge": {"macro_f1": None}}}}, "macro-F1"),
        ({"int8": {"toxic": {"float": 0.95, "int8": 0.944}}}, "int8"),
        (
            {
                "ordinary": {
                    "judge": {
                        "seen sources": {"answers": 9, "toxic": 1.0},
                        "sources never read": {"answers": 9, "toxic": 2.1},
                    }
                }
            },
            "ordinary answers",
        ),
        ({"answers_a_second": 149.0}, "stonechat score"),
        ({"memory_mib": {"both tiers": {"pss": 90.5}}}, "memory"),
    ],
)
def test_what_falls_short_is_missed(change: dict[str, Any], what: str) -> None:
    (row,) = [row for row in demands.demands(_results() | change) if what in row.what]
    assert row.met is False


def test_a_gain_over_the_floor_that_is_too_small_is_missed() -> None:
    results = _results()
    results["folds"]["heads"]["toxic"]["pooled"] = {"combined": None, "encoder": 0.83, "floor": 0.80}
    rows = [row for row in demands.demands(results) if "ROC-AUC above the floor" in row.what]
    assert [row.met for row in rows] == [False, True]
    assert rows[0].found.startswith("+0.030 (0.830 against 0.800)")


def test_what_was_not_measured_is_neither_met_nor_missed() -> None:
    results = _results()
    for name in ("folds", "held", "parts", "int8", "ordinary"):
        del results[name]
    results["answers_a_second"] = None
    results["memory_mib"] = {"both tiers": None}
    unknown = [row.what for row in demands.demands(results) if row.met is None]
    assert len(unknown) == 10


def test_groups_beyond_the_bound_are_counted_and_chance_is_told() -> None:
    results = _results()
    groups = {"a": {"ratio": 3.0, "by_chance": 0.001}, "b": {"ratio": 1.6, "by_chance": 0.3}}
    table = {"rate": 0.002, "rows": 1000, "groups": groups}
    results["bias"]["judge"]["false_positives"]["neutral and positive"]["toxic"] = table
    (row,) = [row for row in demands.demands(results) if "of toxic on mentions" in row.what]
    assert row.met is False
    assert row.found == "2.0 per 1,000 over all; beyond: 2 of 2 groups, 1 of them not by chance"
