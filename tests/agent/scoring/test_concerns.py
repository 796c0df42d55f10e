"""When verdicts become events."""

from __future__ import annotations

from typing import Any

from stonechat.event import EventKind, Severity
from stonechat_agent.scoring.concerns import QUIET_MS, Concern, Concerns
from stonechat_agent.scoring.verdict import GuidelineResult, Verdict


def verdict(*flags: str, id: str = "01", **changed: Any) -> Verdict:
    scores = dict.fromkeys(flags, 0.9)
    return Verdict(id, "box", "qwen", "chat", 2, 10_000, scores, {}, flags, (), ())._replace(**changed)


def named(concerns: list[Concern]) -> list[tuple[str, int]]:
    return [(concern.key, concern.attributes.get("answers", 1)) for concern in concerns]


def test_a_flag_tells_which_answer_of_which_model_and_its_score() -> None:
    assert Concerns().take(verdict("toxic"), 0) == [
        Concern(
            EventKind.FLAGGED,
            "toxic",
            Severity.WARNING,
            {"engine": "box", "model": "qwen", "exchange": "01", "score": 0.9},
        )
    ]


def test_a_poor_answer_is_less_than_a_harmful_one() -> None:
    found = {one.key: one.severity for one in Concerns().take(verdict("refusal", "threat", "relevance"), 0)}
    assert found == {"refusal": Severity.INFO, "threat": Severity.WARNING, "relevance": Severity.INFO}


def test_a_guideline_has_the_severity_that_its_owner_gave_it_and_says_what_broke_it() -> None:
    kept = GuidelineResult("no-prices", "warning", 0.1, broken=False, why="")
    broken = GuidelineResult("no-dosage", "critical", 0.8, broken=True, why="forbidden:2")
    (told,) = Concerns().take(verdict(guidelines=(kept, broken)), 0)
    assert (told.kind, told.key, told.severity) == (
        EventKind.GUIDELINE_BROKEN,
        "no-dosage",
        Severity.CRITICAL,
    )
    assert told.attributes["why"] == "forbidden:2"


def test_what_follows_within_a_minute_is_told_as_one_at_its_end() -> None:
    concerns = Concerns()
    assert named(concerns.take(verdict("toxic"), 0)) == [("toxic", 1)]
    for second in range(1, 41):
        assert concerns.take(verdict("toxic", id=f"{second:02}"), second * 1000) == []
    assert named(concerns.take(verdict("threat"), 41_000)) == [("threat", 1)]
    assert concerns.due(QUIET_MS - 1) == []
    told = concerns.due(QUIET_MS)
    assert named(told) == [("toxic", 40)]
    assert told[0].attributes["exchange"] == "40"
    assert concerns.take(verdict("toxic"), QUIET_MS + 1) == []
    assert concerns.due(2 * QUIET_MS - 1) == []
    assert named(concerns.due(2 * QUIET_MS)) == [("toxic", 1)]


def test_after_a_quiet_minute_the_next_is_told_at_once() -> None:
    concerns = Concerns()
    concerns.take(verdict("toxic"), 0)
    assert concerns.due(QUIET_MS) == []
    assert named(concerns.take(verdict("toxic"), QUIET_MS)) == [("toxic", 1)]


def test_at_the_end_all_that_waits_is_told() -> None:
    concerns = Concerns()
    concerns.take(verdict("toxic"), 0)
    concerns.take(verdict("toxic"), 1)
    assert named(concerns.due()) == [("toxic", 1)]
    assert concerns.due() == []
