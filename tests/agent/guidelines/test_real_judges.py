"""Guidelines over the judges themselves: real graphs, embeddings and a classifier that was dropped in."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.agent.judging import making

from stonechat_agent.scoring.guidelines import Guidelines
from stonechat_agent.scoring.judging import Judges, judges
from stonechat_agent.settings import Guideline


@pytest.fixture(autouse=True)
def nothing_ships(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judges, "shipped", tuple)


def test_a_dropped_in_classifier_breaks_a_guideline(tmp_path: Path) -> None:
    card = {"name": "my-spam", "kind": "classifier", "languages": []}
    models = Judges([making.judge(tmp_path / "spam", {"spam": {"bad": 4.0}}, bias=-2.0, card=card)])
    for name in ("my-spam", "spam"):
        guidelines = Guidelines([Guideline("no-spam", model=name, label="spam", threshold=0.8)])
        (bad,) = guidelines.check("why?", "the answer is bad", models)
        (fine,) = guidelines.check("why?", "the answer is fine", models)
        assert (bad.broken, bad.why, fine.broken) == (True, "model", False)
        assert 0 < fine.score < 0.5 < bad.score < 1
        assert guidelines.faults == ()


def test_a_language_that_the_classifier_does_not_know_is_no_fault(tmp_path: Path) -> None:
    card = {"name": "my-spam", "kind": "classifier", "languages": ["en"]}
    models = Judges([making.judge(tmp_path, {"spam": {"bad": 4.0}}, card=card)])
    guidelines = Guidelines([Guideline("no-spam", model="my-spam", label="spam")])
    german = (
        "Das ist keine gute Antwort, und ich bin der Meinung, dass es so nicht geht und nicht gehen wird."
    )
    assert guidelines.check("", german, models) == []
    assert guidelines.faults == ()


def test_examples_by_the_embedding_of_a_glance(tmp_path: Path) -> None:
    models = Judges([making.glance(tmp_path)])
    guidelines = Guidelines([Guideline("rule", examples=("the answer is fine",), similarity=0.9)])
    (found,) = guidelines.check("", "Say what is good. The answer is fine", models)
    assert (found.broken, found.score, found.why) == (True, 1.0, "examples:1")


def test_without_any_model_patterns_go_on_and_the_fault_is_told(tmp_path: Path) -> None:
    guidelines = Guidelines(
        [Guideline("rule", forbidden=("fine",), examples=("It is bad.",), model="my-spam", label="spam")]
    )
    (found,) = guidelines.check("", "the answer is fine", Judges())
    assert found.why == "forbidden:1"
    assert guidelines.faults == (
        "examples of guidelines are not compared: NoModel",
        "model my-spam of guideline rule is not used: NoModel",
    )
