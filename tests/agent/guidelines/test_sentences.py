"""Sentences of an answer."""

from __future__ import annotations

import pytest

from stonechat_agent.scoring.guidelines.sentences import MOST, sentences


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("Take one now. Then wait for a day!", ["Take one now.", "Then wait for a day!"]),
        ("Yes. Take one now.", ["Yes. Take one now."]),
        ("Take one now. Yes.", ["Take one now. Yes."]),
        (
            "1. Take one now\n2) Wait for a day\n- Sleep well tonight",
            ["Take one now", "Wait for a day", "Sleep well tonight"],
        ),
        ("| Adults here | two tablets daily |", ["Adults here two tablets daily"]),
        ("今日は休みです。明日は開いています。", ["今日は休みです。", "明日は開いています。"]),
        ('He said "take one now." Then he left us.', ['He said "take one now.', "Then he left us."]),
        ("Yes.", ["Yes."]),
        ("|", []),
        ("", []),
    ],
)
def test_a_text_in_sentences(text: str, cut: list[str]) -> None:
    assert sentences(text) == cut


def test_what_has_no_end_is_cut_and_what_has_too_many_loses_its_middle() -> None:
    assert [len(part) for part in sentences("x" * 900)] == [400, 400, 100]
    many = [f"This is number {number}." for number in range(1000)]
    found = sentences(" ".join(many))
    assert found == many[: MOST // 2] + many[-MOST // 2 :]
