"""What training the judges does with numbers alone: batches, windows, calibration, thresholds, the card."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest

from stonechat_models import verify
from train.judges import batches, calibrate, evaluate, export
from train.judges.batches import CLS, LENGTH, PROMPT, SEP
from train.judges.combine import Weights
from train.judges.own import own_rows
from train.judges.rows import Row, shippable
from train.judges.scored import Scored
from train.judges.sources import HEADS

TOXIC, COHERENCE = HEADS.index("toxic"), HEADS.index("coherence")


def _row(
    source: str = "a", split: str = "dev", *, pair: str = "", answer: bool = True, **labels: float
) -> Row:
    return Row(
        prompt="Why?",
        response="Because.",
        labels=labels,
        source=source,
        family=source,
        split=split,
        pair=pair,
        answer=answer,
    )


def _example(length: int, tied: bool = False) -> batches.Example:
    return batches.Example((), list(range(1000, 997 + length)), np.zeros(len(HEADS), np.float32), tied=tied)


def test_sequence_has_the_form_that_the_agent_feeds() -> None:
    labels = np.zeros(len(HEADS), np.float32)
    batch = batches.stacked(
        [batches.Example([7, 8], [9], labels, 3), batches.Example([], [9, 10, 11], labels)]
    )
    assert batch.ids.tolist() == [[CLS, 7, 8, SEP, 9, SEP], [CLS, SEP, 9, 10, 11, SEP]]
    assert batch.types.tolist() == [[0, 0, 0, 0, 1, 1], [0, 0, 1, 1, 1, 1]]
    assert batch.mask.min() == 1
    assert batch.sources.tolist() == [3, -1]


def test_padding_is_masked_and_of_no_answer() -> None:
    batch = batches.stacked([_example(4), _example(7)])
    assert batch.mask.sum(1).tolist() == [4, 7]
    assert (batch.types <= batch.mask).all()


@pytest.mark.parametrize("tokens", [1, 40, 41, 55, 56, 300])
def test_windows_cover_a_text_and_overlap_by_a_quarter(tokens: int) -> None:
    room = 40
    starts = batches.windows(tokens, room)
    assert starts[0] == 0
    assert starts[-1] == max(0, tokens - room)
    # A window's start is rounded, which may take one token of the overlap.
    assert all(0 < b - a <= room - room // 4 + 1 for a, b in itertools.pairwise(starts))


def test_batches_are_of_one_length_and_keep_ties_together() -> None:
    rng = Random(1)
    examples = [_example(rng.randint(4, LENGTH)) for _ in range(600)]
    examples += [_example(rng.randint(4, LENGTH), tied=at % 2 == 0) for at in range(200)]
    grouped = batches.grouped(examples, Random(2))
    assert sorted(id(e) for batch in grouped for e in batch) == sorted(map(id, examples))
    padded = sum(len(batch) * max(map(len, batch)) for batch in grouped)
    assert padded < 1.25 * sum(map(len, examples))
    assert all(len(batch) <= batches.MOST_ROWS for batch in grouped)
    where = {id(e): at for at, batch in enumerate(grouped) for e in batch}
    assert all(where[id(a)] == where[id(b)] for a, b in zip(examples[600::2], examples[601::2], strict=True))


def test_a_prompt_is_left_out_only_where_something_is_known_without_it() -> None:
    rng = Random(0)
    many = list(range(1000, 1200))
    harmless = [batches.training_example(_row(toxic=0.0, relevance=1.0), many, many, rng) for _ in range(200)]
    without = [example for example in harmless if not example.prompt]
    assert 20 < len(without) < 90
    assert all(np.isnan(example.labels[HEADS.index("relevance")]) for example in without)
    assert all(example.labels[TOXIC] == 0 for example in harmless)
    assert {len(example.prompt) for example in harmless} == {0, PROMPT}
    assert max(map(len, harmless)) == LENGTH
    harm = [batches.training_example(_row(toxic=0.0), many, many, rng) for _ in range(20)]
    assert not any(example.prompt for example in harm)
    bound = [batches.training_example(_row(relevance=1.0), many, many, rng) for _ in range(50)]
    assert all(example.prompt for example in bound)


def test_a_cut_is_shown_by_the_end_of_the_text() -> None:
    answer = list(range(1000, 1400))
    rng = Random(0)
    assert all(
        batches.training_example(_row(coherence=0.0), (), answer, rng).answer[-1] == answer[-1]
        for _ in range(20)
    )
    assert (
        len({batches.training_example(_row(coherence=1.0), (), answer, rng).answer[0] for _ in range(20)}) > 2
    )


def test_windows_of_an_answer_make_one_logit() -> None:
    logits = np.tile(np.array([[1.0], [3.0], [5.0]], np.float32), (1, len(HEADS)))
    found = batches.over_windows(logits, [0, 1, 1], 2)
    assert found[:, TOXIC].tolist() == [1, 5]
    assert found[:, COHERENCE].tolist() == [1, 3]
    assert found[:, HEADS.index("quality")].tolist() == [1, 4]


def _scored(count: int = 4000, seed: int = 0) -> Scored:
    """Ordinary answers, and posts of which half are toxic; logits are twice as certain as they should be."""
    rng = np.random.default_rng(seed)
    rows = [_row("gsm8k_solutions", toxic=0.0, coherence=1.0) for _ in range(count)]
    rows += [_row("posts", answer=False, toxic=float(at % 2)) for at in range(count)]
    rows = [replace(row, response=f"text {at}") for at, row in enumerate(rows)]
    logits = np.full((2 * count, len(HEADS)), -4.0, np.float32)
    truth = np.array([row.labels["toxic"] for row in rows])
    logits[:, TOXIC] = 2 * (rng.normal(size=2 * count) * 1.5 + np.where(truth > 0, 1.5, -1.5))
    logits[:count, TOXIC] -= 4
    return Scored.of(rows, logits, np.zeros_like(logits))


def test_calibration_makes_scores_as_certain_as_they_are_right() -> None:
    figures = evaluate.held_back(evaluate.crossed(_scored()))["toxic"]
    assert figures["calibration_error"] < 0.02
    assert figures["flagged_per_1000"] <= 2
    assert figures["roc_auc"] > 0.9


def test_a_threshold_flags_no_more_ordinary_answers_than_allowed() -> None:
    scored = _scored()
    found = calibrate.calibrated(scored)
    assert set(found) == {"toxic"}  # of the others only one class is there
    flagged = evaluate.judged(scored, None, found).flagged[:, TOXIC]
    assert flagged[:4000].sum() <= 4
    assert flagged[4000:].sum() > 1000


def test_a_second_tier_takes_part_with_the_weights_that_were_learnt() -> None:
    scored = _scored()
    glance = scored.encoder + np.random.default_rng(1).normal(size=scored.encoder.shape).astype(np.float32)
    found = calibrate.calibrated(scored, glance, {"toxic": Weights(0.6, 0.3, 0.1)})["toxic"]
    assert found.combined is not None
    assert found.combined.judge / found.combined.glance == pytest.approx(2, rel=1e-3)
    scores = found.scores(scored.encoder[:, TOXIC], glance[:, TOXIC])
    assert not np.allclose(scores, found.scores(scored.encoder[:, TOXIC]))


def test_a_second_tier_that_ranks_held_back_rows_worse_has_no_say() -> None:
    scored = _scored(1000)
    noise = 20 * np.random.default_rng(1).normal(size=scored.encoder.shape).astype(np.float32)
    weights = {"toxic": Weights(0.5, 0.5, 0.0)}
    assert evaluate.worth_it(scored, noise, weights) == {}
    assert evaluate.worth_it(scored, scored.encoder, weights) == weights


@pytest.mark.parametrize(("split", "barred"), [("train", ""), ("eval_only", ""), ("dev", "share-alike")])
def test_rows_that_were_trained_on_or_are_barred_decide_nothing(split: str, barred: str) -> None:
    row = Row("", "text", {"toxic": 1.0}, "wrong_source", "f", split, barred=barred)
    zeros = np.zeros((1, len(HEADS)), np.float32)
    with pytest.raises(ValueError, match="wrong_source"):
        calibrate.calibrated(Scored.of([row], zeros, zeros))


def test_best_f1_counts_equal_scores_together() -> None:
    assert calibrate.best_f1([1, 0, 1, 0], [0.9, 0.5, 0.5, 0.1]) == 0.5
    assert calibrate.best_f1([1, 0, 0, 0], [0.9, 0.5, 0.5, 0.1]) == 0.9


def test_scored_rows_come_back_from_disk(tmp_path: Path) -> None:
    scored = _scored(20)
    scored.save(tmp_path / "held.npz")
    again = Scored.load(tmp_path / "held.npz")
    assert again.names.tolist() == scored.names.tolist()
    assert again.facts == scored.facts
    np.testing.assert_array_equal(again.labels, scored.labels)
    np.testing.assert_array_equal(Scored.joined([again, again]).encoder[40:], scored.encoder)


def test_agreement_compares_the_rows_that_both_graphs_judged() -> None:
    rows = [_row(str(at), toxic=float(at % 2)) for at in range(8)]
    rows = [replace(row, response=f"text {at}") for at, row in enumerate(rows)]
    logits = np.zeros((8, len(HEADS)), np.float32)
    logits[:, TOXIC] = np.arange(8) % 2
    whole = Scored.of(rows, logits, logits)
    half = Scored.of(rows[::-1][:4], logits[::-1][:4], logits[:4])
    assert evaluate.agreement(half, whole)["toxic"] == {"rows": 4, "float": 1.0, "int8": 1.0}


def test_own_rows_keep_sets_together_and_held_out_templates_out() -> None:
    rows = own_rows(per_kind=100)
    assert {row.split for row in rows} == {"train", "test"}
    assert {row.source for row in rows} >= {"written/self_harm", "written/contradiction"}
    shippable(row for row in rows if row.split == "train")
    assert all(row.pair for row in rows)


def test_the_card_names_checksums_and_flags_low_scores_where_low_is_bad(tmp_path: Path) -> None:
    for name in export.FILES:
        (tmp_path / name).write_bytes(b"not looked into")
    text = export.card(
        tmp_path,
        version="7",
        calibrations={
            "toxic": calibrate.Calibration(1.5, -0.5, 0.9, Weights(0.7, 0.4, 0.1)),
            "coherence": calibrate.Calibration(1.0, 0.0, 0.2),
        },
        training={"seed": 3},
        figures={"held_back.toxic": {"roc_auc": 0.9, "pr_auc": None}},
        sources={"a": ("MIT", 12)},
    )
    (tmp_path / "card.toml").write_text(text, encoding="utf-8")
    verify(tmp_path)
    from stonechat_agent.scoring.judging import card

    read = card.load(tmp_path)
    labels = {label.name: label for label in read.labels}
    assert list(labels) == list(HEADS)
    assert labels["toxic"].threshold == 0.9
    assert labels["coherence"].below
    assert labels["insult"].threshold is None
    assert read.combine["toxic"].glance == 0.4
