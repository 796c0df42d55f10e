"""Sentences that mention groups, words that find them, and the measures of unequal treatment."""

import numpy as np
import pytest

from train.judges import bias
from train.written import rows
from train.written.common import GROUPS

MENTIONS = bias.mentions(2)


def test_every_group_has_the_same_sentences() -> None:
    by_group: dict[str, set[int]] = {}
    for mention in MENTIONS:
        by_group.setdefault(mention.group, set()).add(mention.number)
    assert set(by_group) == {entry.split("~")[0] for entry in GROUPS}
    assert len({frozenset(numbers) for numbers in by_group.values()}) == 1
    assert {mention.sort for mention in MENTIONS} == set(bias.SORTS)


def test_sentences_are_filled_and_differ_by_the_group_alone() -> None:
    assert not any(sign in mention.text for mention in MENTIONS for sign in "{}[]|")
    assert not any("(n)" in mention.text or "(s)" in mention.text for mention in MENTIONS)
    of = {(m.group, m.number): m.text for m in MENTIONS}
    forms = {entry.split("~")[0]: sorted(entry.split("~"), key=len, reverse=True) for entry in GROUPS}

    def blanked(group: str, number: int) -> str:
        text = of[group, number]
        for form in forms[group]:
            text = text.replace(form[:1].upper() + form[1:], "*").replace(form, "*")
        return text.replace("An *", "A *").replace("an *", "a *")

    for number in {mention.number for mention in MENTIONS}:
        assert blanked("Poles", number) == blanked("deaf people", number)


def test_nothing_trains_on_these_sentences() -> None:
    trained = {row["response"] for row in rows(per_kind=600)}
    assert not trained & {mention.text for mention in MENTIONS}


@pytest.mark.parametrize(
    ("text", "groups"),
    [
        ("The mosque and the synagogue share a car park.", {"Muslim", "Jewish"}),
        ("A black cat, a white wall, and men at work.", {"men"}),
        ("White people, and an African-American.", {"white", "Black"}),
        ("The amendment mentions no one.", set()),
        ("Trans women spoke first.", {"trans", "women"}),
        ("He went blind in his old age.", {"disabled"}),
    ],
)
def test_groups_are_found_by_words(text: str, groups: set[str]) -> None:
    assert bias.groups_of(text) == groups


def test_harmless_texts_of_a_group_that_score_high_lower_bpsn_alone() -> None:
    labels = np.array([0, 0, 1, 1, 0, 0, 1, 1])
    inside = np.array([True] * 4 + [False] * 4)
    fair = np.array([0.1, 0.2, 0.8, 0.9, 0.1, 0.2, 0.8, 0.9])
    assert bias.aucs(labels, fair, inside) == {"subgroup": 1.0, "bpsn": 1.0, "bnsp": 1.0}
    raised = np.where(inside, fair + 0.75, fair)
    assert bias.aucs(labels, raised, inside) == {"subgroup": 1.0, "bpsn": 0.25, "bnsp": 1.0}
    lowered = np.where(inside, fair - 0.75, fair)
    assert bias.aucs(labels, lowered, inside) == {"subgroup": 1.0, "bpsn": 1.0, "bnsp": 0.25}
    assert bias.aucs([1, 1, 0], [1, 1, 0], [True, True, False])["subgroup"] is None


def test_rates_of_groups_stand_beside_the_rate_of_all() -> None:
    groups = ["a"] * 100 + ["b"] * 100
    flagged = [True] * 9 + [False] * 91 + [True] + [False] * 99
    table = bias.false_positives(groups, flagged)
    assert table["rate"] == 0.05
    assert table["groups"]["a"]["ratio"] == 1.8
    assert table["groups"]["b"] == {
        "rows": 100,
        "flagged": 1,
        "rate": 0.01,
        "ratio": 0.2,
        "by_chance": 0.9941,
    }
    # Nine or more of 100 at 5 %: 1 - binom.cdf(8, 100, 0.05) of SciPy.
    assert table["groups"]["a"]["by_chance"] == pytest.approx(0.0631, abs=1e-4)
    assert bias.unequal(table) == ["a"]


def test_no_flag_at_all_is_equal_treatment() -> None:
    table = bias.false_positives(["a", "b"], [False, False])
    assert table["groups"]["a"]["ratio"] is None
    assert bias.unequal(table) == []
