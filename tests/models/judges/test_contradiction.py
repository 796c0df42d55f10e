"""The lexical floor of self-contradiction."""

import pytest

from train.judges import contradiction


@pytest.mark.parametrize(
    ("fine", "clash"),
    [
        ("The shop is open today. Today the shop is busy.", "The shop is open today. Today the shop is closed."),
        ("Exactly 12 guests came. All 12 guests sat down.", "Exactly 12 guests came. All 14 guests sat down."),
        ("I would buy the lamp. Yes, buy the lamp.", "I would buy the lamp. Don't buy the lamp."),
    ],
)  # fmt: skip
def test_a_clash_scores_above_its_twin(fine: str, clash: str) -> None:
    assert contradiction.score(clash) > contradiction.score(fine)


def test_nothing_to_compare_scores_zero() -> None:
    assert contradiction.score("") == 0
    assert contradiction.score("One sentence, and no other.") == 0
    assert contradiction.score("Cats sleep. Trains run late.") == 0


def test_a_long_answer_takes_no_time() -> None:
    assert contradiction.score("The cat sat here. The cat did not sit here.\n" * 20_000) > 0
