"""Which tier judges an answer, and what is said of it where one of them is missing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from tests.agent.worker import stand_in

from stonechat_agent.scoring.guidelines import Guidelines
from stonechat_agent.scoring.judging import Judges
from stonechat_agent.scoring.worker.cascade import Cascade
from stonechat_agent.settings import Guideline


class Missing(stand_in.Judges):
    """Judges of whom some tiers are not there; they withhold everything, as the real ones do."""

    def __init__(self, *tiers: int) -> None:
        super().__init__()
        self._missing = tiers
        self.asked: list[int] = []

    def _judged(self, answer: str, tier: int) -> stand_in.Judged:
        self.asked.append(tier)
        if tier in self._missing:
            return stand_in.Judged({}, {"toxic": "failed", "relevance": "failed"}, (), tier)
        return super()._judged(answer, tier)


def judge(
    judges: Any, answer: str, *, wanted: bool = False, rules: Sequence[Guideline] = ()
) -> dict[str, Any]:
    cascade = Cascade(cast("Judges", judges), Guidelines(rules) if rules else None)
    return cascade.judge("why", answer, complete=True, wanted=wanted)


def test_tier_two_is_asked_where_it_is_worth_it() -> None:
    for answer, wanted, asked in (
        ("fine", False, [1]),
        ("fine", True, [1, 2]),
        ("odd", False, [1, 2]),
        ("awful", False, [1, 2]),
    ):
        judges = Missing()
        found = judge(judges, answer, wanted=wanted)
        assert (judges.asked, found["tier"]) == (asked, len(asked)), answer


def test_without_tier_two_the_word_of_tier_one_stands() -> None:
    found = judge(Missing(2), "awful")
    assert (found["tier"], found["deep"], found["flags"]) == (1, True, ["toxic"])


def test_without_tier_one_nothing_is_known_of_what_tier_two_does_not_see() -> None:
    found = judge(Missing(1), "awful")
    assert (found["tier"], found["deep"], found["scores"]) == (0, False, {})
    assert "embedding" not in found
    assert judge(Missing(1), "awful", wanted=True)["tier"] == 2


def test_guidelines_are_held_whatever_models_there_are() -> None:
    rules = [Guideline(name="no-price", forbidden=("euros",))]
    for judges in (None, Missing(1, 2), Missing()):
        assert judge(judges, "3 euros", rules=rules)["guidelines"] == [["no-price", 1.0, True, "forbidden:1"]]


def test_the_models_get_head_and_tail_of_a_long_answer() -> None:
    found = judge(Missing(), "x" * 200_000)
    assert found["scores"] == {"toxic": round(32_769 / 1e7, 4)}


def test_models_and_faults_are_said_when_they_change() -> None:
    judges = stand_in.Judges()
    cascade = Cascade(cast("Judges", judges), None, ["one is missing"])
    assert cascade.news() == {"models": {"small": "1", "large": "1"}, "faults": ["one is missing"]}
    assert cascade.news() == {}
    judges.faults = ("large failed",)
    del judges.models["large"]
    assert cascade.news() == {"models": {"small": "1"}, "faults": ["one is missing", "large failed"]}
