"""Weights of the two tiers: what they are learned from, what they may be, and the table of sources left out."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from train.judges import combine, metrics
from train.judges.own import PREFIX
from train.judges.rows import Row
from train.judges.scored import Scored
from train.judges.sources import HEADS


def _sample(
    rng: np.random.Generator, rows: int, judge: float, glance: float, shift: float
) -> tuple[np.ndarray, ...]:
    a, b = rng.normal(0, 2, rows), rng.normal(0, 2, rows)
    labels = (rng.random(rows) < 1 / (1 + np.exp(-(judge * a + glance * b + shift)))).astype(float)
    return a, b, labels


def test_the_weights_that_made_the_labels_are_found() -> None:
    a, b, labels = _sample(np.random.default_rng(3), 40_000, 0.9, 0.4, -0.5)
    assert combine.fit(a, b, labels) == pytest.approx((0.9, 0.4, -0.5), abs=0.05)


def test_a_model_that_is_wrong_gets_no_weight_instead_of_a_negative_one() -> None:
    a, b, labels = _sample(np.random.default_rng(3), 5_000, 0.9, -0.6, 0.0)
    weights = combine.fit(a, b, labels)
    assert weights.glance == 0
    assert weights.judge > 0
    assert combine.fit(-a, -np.abs(b), labels)[0] == 0


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.floats(-2, 2), st.floats(-2, 2))
def test_weights_are_never_negative_and_no_neighbour_is_better(
    seed: int, judge: float, glance: float
) -> None:
    a, b, labels = _sample(np.random.default_rng(seed), 200, judge, glance, 0.3)
    if labels.min() == labels.max():
        return
    weights = combine.fit(a, b, labels)
    assert weights.judge >= 0
    assert weights.glance >= 0

    def loss(judge: float, glance: float, shift: float) -> float:
        z = judge * a + glance * b + shift
        pull = combine.RIDGE * (judge**2 + glance**2) / 2
        return float(np.mean(np.logaddexp(0, z) - labels * z)) + pull

    for step in ((0.01, 0, 0), (-0.01, 0, 0), (0, 0.01, 0), (0, -0.01, 0), (0, 0, 0.01), (0, 0, -0.01)):
        near = tuple(value + more for value, more in zip(weights, step, strict=True))
        if near[0] >= 0 and near[1] >= 0:
            assert loss(*near) >= loss(*weights) - 1e-9


def test_one_class_and_shapes_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="one class"):
        combine.fit([1.0, 2.0], [1.0, 2.0], [1.0, 1.0])
    with pytest.raises(ValueError, match="1 labels for 2 logits"):
        combine.fit([1.0, 2.0], [1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="one fold"):
        combine.cross_fitted(*(np.array([0.0, 1.0]),) * 3, np.array(["a", "b"]), np.array([0, 0]))


def test_every_source_counts_the_same() -> None:
    shares = combine.even(np.array(["large", "large", "large", "small"]))
    assert shares.tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3, 1])


def test_a_fold_has_no_part_in_its_own_weights() -> None:
    rng = np.random.default_rng(8)
    a, b, labels = _sample(rng, 3_000, 1.0, 0.5, 0.0)
    folds = np.repeat([0, 1, 2], 1_000)
    sources = folds.astype(str)
    before = combine.cross_fitted(a, b, labels, sources, folds)
    # Labels of fold 2 turned round: what fold 2 is combined by stays as it was, the other folds' weights change.
    turned = np.where(folds == 2, 1 - labels, labels)
    after = combine.cross_fitted(a, b, turned, sources, folds)
    assert np.array_equal(before[folds == 2], after[folds == 2])
    assert not np.allclose(before[folds == 0], after[folds == 0])


def _row(source: str, number: int, toxic: float) -> Row:
    return Row("", f"text {number} of {source}", {"toxic": toxic}, source, source, "train")


def _archives(folder: Path, sources: dict[str, int], rows: int, *, glance: bool = True) -> None:
    """Three models over the sources: the floor all but guesses, the other two each see half of what matters."""
    rng = np.random.default_rng(1)
    for fold in sorted(set(sources.values())):
        made = [
            _row(source, number, float(rng.integers(0, 2)))
            for source, at in sources.items()
            if at == fold
            for number in range(rows)
        ]
        truth = np.array([row.labels["toxic"] for row in made])
        seen = {}
        for model, noise in (("encoder", 1.5), ("glance", 2.0), ("floor", 4.0)):
            logits = np.zeros((len(made), len(HEADS)), dtype=np.float32)
            logits[:, 0] = 2 * truth - 1 + rng.normal(0, noise, len(made))
            seen[model] = logits
        Scored.of(made, seen["encoder"], seen["floor"]).save(folder / f"fold{fold}.npz")
        if glance:
            # Another order, and rows that the encoder did not judge.
            more = [*made[::-1], _row("elsewhere", fold, 1.0)]
            logits = np.concatenate([seen["glance"][::-1], np.zeros((1, len(HEADS)), np.float32)])
            combine.save_glance(folder / f"glance_fold{fold}.npz", more, logits)


SOURCES = {"one": 0, "two": 1, "three": 2, "four": 0, f"{PREFIX}hate": 1}


def test_the_table_counts_each_source_and_writes_weights(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _archives(tmp_path, SOURCES, 300)
    out = tmp_path / "folds.json"
    assert combine.main(["--work", str(tmp_path), "--out", str(out)]) == 0
    result = json.loads(out.read_text())
    toxic = result["heads"]["toxic"]
    assert toxic["pooled"]["rows"] == 1200
    assert toxic["own"]["rows"] == 300
    assert set(toxic["sources"]) == {"one", "two", "three", "four"}
    assert toxic["pooled"]["combined"] > max(toxic["pooled"]["encoder"], toxic["pooled"]["glance"])
    assert (toxic["won"], toxic["of"]) == (4, 4)
    assert set(result["weights"]["toxic"]) == {"judge", "glance", "shift"}
    assert list(result["heads"]) == ["toxic"]
    assert result["folds"]["0"] == ["four", "one"]
    assert "above the floor on 4 of 4 sources" in capsys.readouterr().out


def test_without_tier_1_the_encoder_stands_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _archives(tmp_path, SOURCES, 60, glance=False)
    assert combine.main(["--work", str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert "the encoder stands alone" in said.err
    assert "{}" in said.out
    toxic = combine.table(combine.fold_scores(tmp_path))["toxic"]
    assert toxic["pooled"]["combined"] is None
    assert toxic["won"] == sum(row["encoder"] > row["floor"] for row in toxic["sources"].values())


def test_own_examples_that_tier_1_did_not_judge_leave_the_rest_combined(tmp_path: Path) -> None:
    _archives(tmp_path, SOURCES, 200)
    scores = combine.fold_scores(tmp_path)
    scores.glance[np.char.startswith(scores.sources.astype(np.str_), PREFIX)] = np.nan
    found = combine.table(scores)["toxic"]
    assert found["own"]["combined"] is None
    assert found["own"]["encoder"] is not None
    assert found["pooled"]["combined"] > found["pooled"]["encoder"]


def test_a_head_that_tier_1_does_not_help_is_the_encoders_alone(tmp_path: Path) -> None:
    _archives(tmp_path, SOURCES, 300)
    scores = combine.fold_scores(tmp_path)
    assert set(combine.weights(scores, combine.table(scores))) == {"toxic"}
    # What tier 1 says holds in one fold and is turned round in the next: weights learned elsewhere only harm.
    scores.glance[:] *= np.where(scores.folds == 1, -3, 1)[:, None]
    found = combine.table(scores)
    assert found["toxic"]["pooled"]["combined"] is None
    assert found["toxic"]["won"] == sum(
        row["encoder"] > row["floor"] for row in found["toxic"]["sources"].values()
    )
    assert combine.weights(scores, found) == {}


def test_where_the_encoder_stands_alone_it_is_measured_on_all_rows(tmp_path: Path) -> None:
    _archives(tmp_path, SOURCES, 300)
    scores = combine.fold_scores(tmp_path)
    combined, learned = combine.shipped(scores)
    assert set(learned) == {"toxic"}
    assert combined["toxic"]["pooled"]["combined"] is not None
    scores.glance[:] *= np.where(scores.folds == 1, -3, 1)[:, None]
    every, learned = combine.shipped(scores)
    assert learned == {}
    assert every["toxic"]["pooled"]["rows"] == 1200
    assert every["toxic"]["pooled"]["glance"] is not None
    scores.glance[scores.sources == "one"] = np.nan
    fewer, _ = combine.shipped(scores)
    assert fewer["toxic"]["pooled"]["rows"] == 1200
    assert fewer["toxic"]["pooled"]["glance"] is None


def test_folds_of_other_size_and_shift_are_ranked_together() -> None:
    rng = np.random.default_rng(4)
    folds = np.repeat([0, 1], 2_000)
    a, b, labels = _sample(rng, 4_000, 1.0, 1.0, 0.0)
    # Fold 1 has many more positives: its own shift would lift all its rows above those of fold 0.
    labels[folds == 1] = np.maximum(labels[folds == 1], rng.random(2_000) < 0.5)
    mean = combine.cross_fitted(a, b, labels, folds.astype(str), folds)
    assert np.corrcoef(mean, a + b)[0, 1] > 0.99
    assert abs(mean[folds == 1].mean() - mean[folds == 0].mean()) < 0.15


def test_what_tier_1_makes_worse_is_left_to_the_encoder(tmp_path: Path) -> None:
    _archives(tmp_path, SOURCES, 200)
    scores = combine.fold_scores(tmp_path)
    assert set(combine.shipped(scores)[1]) == {"toxic"}
    # Tier 1 knows the truth on the folds 0 and 1 and says the opposite on the last.
    scores.glance[:] = np.where(scores.folds == 2, -1, 1)[:, None] * (2 * scores.labels - 1)
    found, learned = combine.shipped(scores)
    assert not learned
    assert found["toxic"]["pooled"]["combined"] is None
    assert found["toxic"]["pooled"]["encoder"] is not None


def test_logits_of_tier_1_meet_their_rows(tmp_path: Path) -> None:
    _archives(tmp_path, SOURCES, 50)
    scores = combine.fold_scores(tmp_path)
    assert len(scores.labels) == 250
    assert not np.isnan(scores.glance).any()
    toxic = scores.labels[:, 0] >= 0.5
    assert metrics.roc_auc(toxic, scores.glance[:, 0]) == pytest.approx(0.76, abs=0.06)


def test_no_fold_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert combine.main(["--work", str(tmp_path)]) == 1
    assert "no fold*.npz" in capsys.readouterr().err


def test_logits_of_another_shape_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected \(1, 11\)"):
        combine.save_glance(tmp_path / "a.npz", [_row("one", 1, 1.0)], np.zeros((1, 3)))


def test_the_measure_of_the_table_is_the_exact_one() -> None:
    labels, logits = np.array([0.0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8])
    found = combine._measured(labels, np.array(["s"] * 4), dict.fromkeys(combine.MODELS, logits))
    assert found["pooled"]["floor"] == metrics.roc_auc(labels, logits) == 0.75
    assert (found["won"], found["of"]) == (0, 0)
