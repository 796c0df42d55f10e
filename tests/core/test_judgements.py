"""Judgements in words, and in the order in which they concern."""

from __future__ import annotations

import pytest

from stonechat.catalog import SCORE_NAMES
from stonechat.exchange import FINDINGS
from stonechat.ids import identifier
from stonechat.judgements import (
    GUIDELINE,
    LOW,
    MEANINGS,
    Judgement,
    by_concern,
    concern,
    finding_words,
    guideline_of,
    meaning,
    said,
)


def test_every_check_and_every_head_has_a_meaning() -> None:
    assert set(MEANINGS) == {*FINDINGS, *SCORE_NAMES}
    assert set(SCORE_NAMES) > LOW


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("toxic", "toxic"),
        ("relevance", "off topic"),
        ("prompt_leak", "prompt leak"),
        ("somebodys_own", "somebodys own"),
        ("guideline:no-dosage", "guideline no-dosage"),
    ],
)
def test_a_finding_is_said_of_an_answer(name: str, words: str) -> None:
    assert finding_words(name) == words
    assert identifier(name) == name


def test_several_findings_are_one_part_of_a_sentence() -> None:
    assert said([]) == ""
    assert said(["toxic"]) == "toxic"
    assert said(["toxic", "insult", "relevance"]) == "toxic, insulting and off topic"


def test_a_guideline_is_known_by_what_its_finding_begins_with() -> None:
    assert guideline_of(GUIDELINE + "no-dosage") == "no-dosage"
    assert guideline_of("toxic") is None
    assert meaning("guideline:x") == "a rule of the device's owner"
    assert meaning("somebodys_own") == ""


def test_a_low_relevance_concerns_as_much_as_a_high_toxicity() -> None:
    assert concern("relevance", 0.2) == concern("toxic", 0.8) == 0.8


def test_what_was_found_comes_first_and_then_what_concerns_most() -> None:
    scores = {"toxic": 0.91, "quality": 0.05, "relevance": 0.99, "violence": 0.4, "guideline:dose": 0.7}
    found = by_concern(["toxic", "guideline:dose", "repetition"], scores)
    assert [item.name for item in found] == [
        "guideline:dose",
        "repetition",
        "toxic",
        "quality",
        "violence",
        "relevance",
    ]
    assert found[1] == Judgement("repetition", None, True)
    assert [item.found for item in found] == [True, True, True, False, False, False]
