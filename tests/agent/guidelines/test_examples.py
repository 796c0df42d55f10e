"""The guidelines that are shipped as examples. What they find is measured by ``./dev bench guidelines``."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from stonechat import config
from stonechat_agent.scoring import guidelines as package
from stonechat_agent.scoring.guidelines import Guidelines
from stonechat_agent.settings import Guideline, Settings

EXAMPLES = Path(package.__file__).parent / "examples"
CASES = Path(__file__).parents[2] / "fixtures/guidelines"
NAMES = sorted(file.stem for file in EXAMPLES.glob("*.toml"))


def example(name: str) -> Guideline:
    settings, faults = config.read_text(Settings, (EXAMPLES / f"{name}.toml").read_bytes(), name)
    assert not faults, "\n".join(map(str, faults))
    (guideline,) = settings.guidelines
    return guideline


def cases(name: str, kind: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (CASES / f"{name}.{kind}.jsonl").read_text("utf-8").splitlines()]


def test_three_are_shipped() -> None:
    assert NAMES == ["competitor-mentions", "medical-dosage", "price-promises"]


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_named_as_its_file_and_says_what_it_asks_for(name: str) -> None:
    guideline = example(name)
    assert guideline.name == name
    assert guideline.description


@pytest.mark.parametrize("name", NAMES)
def test_cases_that_measure_are_many_and_none_was_tuned_with(name: str) -> None:
    test, tuning = cases(name, "test"), cases(name, "tuning")
    assert sum(case["breaks"] for case in test) >= 60
    assert sum(not case["breaks"] for case in test) >= 60
    assert not {case["response"] for case in test} & {case["response"] for case in tuning}


@pytest.mark.parametrize("kind", ["test", "tuning"])
@pytest.mark.parametrize("name", NAMES)
def test_nine_of_ten_are_caught_by_patterns_alone_and_what_comes_near_is_not(name: str, kind: str) -> None:
    guidelines = Guidelines([example(name)])
    wrong: dict[bool, list[str]] = {True: [], False: []}
    among = cases(name, kind)
    for case in among:
        (found,) = guidelines.check(case["prompt"], case["response"])
        if found.broken != case["breaks"]:
            wrong[case["breaks"]].append(case["response"])
    assert len(wrong[True]) <= 0.1 * sum(case["breaks"] for case in among)
    assert len(wrong[False]) <= 0.02 * len(among)
    assert not guidelines.faults


@pytest.mark.parametrize("name", NAMES)
def test_every_pattern_matches_some_case_alone(name: str) -> None:
    guideline = example(name)
    answers = [
        case["response"] for kind in ("test", "tuning") for case in cases(name, kind) if case["breaks"]
    ]
    for number, pattern in enumerate(guideline.forbidden, 1):
        alone = Guidelines([Guideline(name, forbidden=(pattern,))])
        assert any(alone.check("", answer)[0].broken for answer in answers), (
            f"forbidden:{number} finds nothing"
        )


@pytest.mark.parametrize(
    "text",
    [
        "a" * 33_000,
        "take 1 2 3 " * 3_000,
        "I will give you 5 " * 2_000,
        " " * 33_000,
        "Acorn, " * 5_000,
        "5 mg\u202f" * 6_000,
        "\n" * 33_000,
    ],
    ids=lambda text: repr(text[:12]),
)
def test_no_text_makes_a_pattern_slow(text: str) -> None:
    guidelines = Guidelines([example(name) for name in NAMES])
    guidelines.check("", text + ".")
    assert not guidelines.faults


def test_the_page_of_guidelines_shows_what_can_be_read() -> None:
    page = (Path(__file__).parents[3] / "docs/guidelines.md").read_text("utf-8")
    (block,) = re.findall(r"```toml\n# agent\.toml\n(.*?)```", page, re.DOTALL)
    settings, faults = config.read_text(Settings, block.encode(), "agent.toml")
    assert not faults, "\n".join(map(str, faults))
    assert [guideline.name for guideline in settings.guidelines] == ["no-legal-advice", "health-notice"]
