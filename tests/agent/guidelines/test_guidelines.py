"""Guidelines: what breaks them, why, and what happens where a way cannot be tried."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pytest

from stonechat import ids
from stonechat_agent.scoring.guidelines import Checked, Guidelines
from stonechat_agent.settings import Guideline


class Judged(NamedTuple):
    scores: dict[str, float]
    withheld: dict[str, str]


class Judges:
    """Embeds by words: the cosine of two texts is that of their counts of words. Classifies as it is told."""

    def __init__(self, classify: Callable[[str, str], Judged] | None = None) -> None:
        self.embedded: list[str] = []
        self.classified: list[str] = []
        self._classify = classify
        self._columns: dict[str, int] = {}

    def embed(self, texts: Sequence[str]) -> Any:
        self.embedded.extend(texts)
        rows = np.zeros((len(texts), 4096), np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in re.findall(r"\w+", text.lower()):
                row[self._columns.setdefault(word, len(self._columns))] += 1
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def classify(self, folder_name: str, pairs: Sequence[tuple[str, str]]) -> list[Judged]:
        if self._classify is None:
            raise FileNotFoundError(folder_name)
        self.classified.append(folder_name)
        return [self._classify(*pair) for pair in pairs]


def one(answer: str, prompt: str = "", judges: Judges | None = None, **guideline: Any) -> Checked | None:
    """Return how an answer does by one guideline, or None where that is not checked."""
    checked = Guidelines([Guideline("rule", **guideline)]).check(prompt, answer, judges)
    assert all(item.name == "rule" and ids.identifier(item.why or "-") for item in checked)
    return checked[0] if checked else None


def broken(answer: str, **guideline: Any) -> bool:
    checked = one(answer, **guideline)
    assert checked is not None
    return checked.broken


def test_a_forbidden_pattern_by_its_number() -> None:
    rule: dict[str, Any] = {"forbidden": (r"\bfree\b", r"(?i)\brefund")}
    assert one("It is free.", **rule) == Checked("rule", 1.0, True, "forbidden:1")
    assert one("A Refund.", **rule) == Checked("rule", 1.0, True, "forbidden:2")
    assert one("Freedom.", **rule) == Checked("rule", 0.0, False, "")


def test_every_required_pattern_must_be_there() -> None:
    rule: dict[str, Any] = {"required": (r"(?i)\bnot advice\b", r"(?i)\bdoctor\b")}
    assert one("This is not advice. Ask a doctor.", **rule) == Checked("rule", 0.0, False, "")
    assert one("This is not advice.", **rule) == Checked("rule", 1.0, True, "required:2")
    assert one("No.", **rule) == Checked("rule", 1.0, True, "required:1")


def test_an_answer_that_is_cut_or_blank_misses_nothing() -> None:
    guidelines = Guidelines([Guideline("rule", required=("doctor",))])
    assert guidelines.check("", "Ask a", complete=False) == []
    assert guidelines.check("", " \n") == []
    assert guidelines.check("", "Ask a")[0].broken


@pytest.mark.parametrize(
    ("prompt", "checked"), [("my headache", True), ("the weather", False), ("", False), ("A HEADACHE", False)]
)
def test_only_answers_to_prompts_that_it_applies_to(prompt: str, checked: bool) -> None:
    assert (one("Take two.", prompt, required=("doctor",), applies_to="headache") is not None) == checked


@pytest.mark.parametrize(
    "answer", ["10\u202f% off", "10\u00a0% off", "１０ % off", "1\u200b0 % off", "10 % off"]
)
def test_spaces_digits_and_what_is_invisible_do_not_hide(answer: str) -> None:
    assert broken(answer, forbidden=(r"\b\d+ % off",))


def test_curly_quotes_match_straight_ones_and_themselves() -> None:
    for answer in ("we won’t ask", "we won't ask"):
        assert broken(answer, forbidden=("won't",))
    assert broken("“no”", forbidden=("“no”",))


def test_a_sentence_among_many_that_is_like_an_example() -> None:
    rule: dict[str, Any] = {
        "examples": ("take two tablets every six hours", "we are closed on sunday"),
        "similarity": 0.5,
    }
    filler = "Rest is good for you and so is water.\n\nSleep early, and open a window when you can. " * 3
    answer = f"{filler}\n- Take two tablets every eight hours.\n\n{filler}"
    found = one(answer, judges=Judges(), **rule)
    assert found is not None
    assert (found.broken, found.why) == (True, "examples:1")
    assert 0.5 <= found.score < 1
    found = one(filler, judges=Judges(), **rule)
    assert found is not None
    assert not found.broken
    assert 0 <= found.score < 0.5


def test_the_same_sentence_scores_1() -> None:
    assert one("We are closed.", judges=Judges(), examples=("We are closed.",)) == Checked(
        "rule", 1.0, True, "examples:1"
    )


def test_examples_are_embedded_once_and_each_guideline_has_its_own() -> None:
    guidelines = Guidelines(
        [
            Guideline("no-news", examples=("the news is bad today", "read the paper")),
            Guideline("plain", forbidden=("x",)),
            Guideline("no-rain", examples=("it rains all day long",)),
        ]
    )
    judges = Judges()
    for _ in range(2):
        news, plain, rain = guidelines.check("", "It rains all day long.", judges)
        assert (news.broken, plain.broken, rain) == (False, False, ("no-rain", 1.0, True, "examples:1"))
    assert judges.embedded.count("it rains all day long") == 1
    other = Judges()
    guidelines.check("", "It rains.", other)
    assert other.embedded.count("it rains all day long") == 1


def test_without_judges_only_patterns_are_tried() -> None:
    assert one("Closed.", examples=("Closed.",)) is None
    assert one("Closed.", model="shop", label="x") is None
    assert one("Closed.", examples=("Closed.",), forbidden=("x",)) == Checked("rule", 0.0, False, "")


@pytest.mark.parametrize(
    ("score", "threshold", "expected"),
    [
        (0.0, 0.8, 0.0),
        (0.4, 0.8, 0.25),
        (0.79999, 0.8, 0.499),
        (0.8, 0.8, 0.5),
        (0.9, 0.8, 0.75),
        (1.0, 1.0, 1.0),
    ],
)
def test_a_models_score_with_its_threshold_at_a_half(score: float, threshold: float, expected: float) -> None:
    judges = Judges(lambda prompt, answer: Judged({"spam": score}, {}))
    found = one("Buy now.", judges=judges, model="shop", label="spam", threshold=threshold)
    assert found == Checked("rule", expected, score >= threshold, "model" if score >= threshold else "")


def test_a_model_is_asked_once_an_answer_and_sees_the_prompt() -> None:
    judges = Judges(lambda prompt, answer: Judged({"spam": 0.9, "ham": float(prompt == "hi")}, {}))
    guidelines = Guidelines(
        [Guideline("no-spam", model="shop", label="spam"), Guideline("no-ham", model="shop", label="ham")]
    )
    assert [item.broken for item in guidelines.check("hi", "Buy now.", judges)] == [True, True]
    assert judges.classified == ["shop"]


def test_a_model_that_withholds_or_lacks_a_label() -> None:
    guidelines = Guidelines(
        [Guideline("no-spam", model="shop", label="spam"), Guideline("no-ham", model="shop", label="ham")]
    )
    judges = Judges(lambda prompt, answer: Judged({}, {"spam": "language"}))
    for _ in range(2):
        assert guidelines.check("", "Kaufen Sie.", judges) == []
    assert guidelines.faults == ("model shop of guideline no-ham has no label ham",)


def test_the_worst_of_several_ways_counts_and_patterns_come_first() -> None:
    judges = Judges(lambda prompt, answer: Judged({"spam": 1.0}, {}))
    rule: dict[str, Any] = {
        "forbidden": ("now",),
        "examples": ("Buy now.",),
        "model": "shop",
        "label": "spam",
    }
    assert one("Buy now.", judges=judges, **rule) == Checked("rule", 1.0, True, "forbidden:1")
    assert one("Buy it", judges=judges, **rule) == Checked("rule", 1.0, True, "model")


def test_models_that_fail_are_reported_once_and_patterns_go_on() -> None:
    class Broken(Judges):
        def embed(self, texts: Sequence[str]) -> Any:
            raise RuntimeError("secret text")

    guidelines = Guidelines(
        [Guideline("rule", forbidden=("now",), examples=("Buy.",), model="shop", label="spam")]
    )
    for _ in range(2):
        assert guidelines.check("", "Buy now.", Broken()) == [Checked("rule", 1.0, True, "forbidden:1")]
    assert guidelines.faults == (
        "examples of guidelines are not compared: RuntimeError",
        "model shop of guideline rule is not used: FileNotFoundError",
    )


def test_a_slow_pattern_is_off_and_reported_and_the_others_go_on() -> None:
    guidelines = Guidelines(
        [
            Guideline("slow", forbidden=(r"(?:a|a)*c",)),
            Guideline("half", forbidden=(r"(?:a|a)*d", "now")),
            Guideline("other", required=("now",)),
        ]
    )
    answer = "a" * 40 + "b now"
    for _ in range(2):
        assert guidelines.check("", answer) == [
            Checked("half", 1.0, True, "forbidden:2"),
            Checked("other", 0.0, False, ""),
        ]
    assert guidelines.faults == (
        "guideline slow: forbidden:1 is off: it took too long for a text",
        "guideline half: forbidden:1 is off: it took too long for a text",
    )


def test_a_long_answer_is_looked_at_in_head_and_tail() -> None:
    rule: dict[str, Any] = {"forbidden": ("now",)}
    for answer in ("now" + "x" * 2_000_000, "x" * 2_000_000 + "now", "x" * 10_000 + "now" + "x" * 10_000):
        assert broken(answer, **rule)
    assert not broken("x" * 1_000_000 + "now" + "x" * 1_000_000, **rule)


def test_without_guidelines_nothing_is_asked() -> None:
    judges = Judges()
    assert Guidelines([]).check("hi", "Buy now.", judges) == []
    assert judges.embedded == []


def test_similarity_is_measured_from_ordinary_sentences_to_the_same_one() -> None:
    ordinary = "The next train leaves at ten past eight from platform four."
    assert one(ordinary, judges=Judges(), examples=("The train leaves at nine.",)) == Checked(
        "rule", 0.0, False, ""
    )
    # An example that is an ordinary sentence is still met by itself, and by nothing else.
    found = one("The next train leaves at ten.", judges=Judges(), examples=(ordinary,))
    assert found == Checked("rule", 0.0, False, "")
    found = one(ordinary, judges=Judges(), examples=(ordinary,))
    assert found == Checked("rule", 1.0, True, "examples:1")
