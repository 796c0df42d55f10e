"""Rows of tokens: what of a prompt and an answer is in them, and where special tokens stand."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from tests.agent.judging import making

from stonechat_agent.scoring.judging import card as cards
from stonechat_agent.scoring.judging.tokens import MOST_WINDOWS, TokenizerError, Tokens, starts

NUMBER = {word: number for number, word in enumerate(making.VOCABULARY)}


def tokens(folder: Path, **options: Any) -> Tokens:
    return Tokens(cards.load(making.judge(folder, input=options)))


def words(found: Tokens, prompt: str, answer: str) -> list[list[str]]:
    """The rows of a pair, in words."""
    rows = [found.pack(window) for window in found.windows(prompt, answer)]
    return [[making.VOCABULARY[number] for number in row.ids[0]] for row in rows]


def test_a_row_is_prompt_and_answer(tmp_path: Path) -> None:
    found = tokens(tmp_path)
    assert words(found, "Why?", "the ANSWER") == [["[CLS]", "why", "?", "[SEP]", "the", "answer", "[SEP]"]]
    row = found.pack(found.windows("Why?", "the answer")[0])
    assert row.types.tolist() == [[0, 0, 0, 0, 1, 1, 1]]
    assert row.mask.tolist() == [[1] * 7]


def test_without_a_prompt_the_answer_still_has_type_1(tmp_path: Path) -> None:
    found = tokens(tmp_path)
    assert words(found, "", "good") == [["[CLS]", "[SEP]", "good", "[SEP]"]]
    assert found.pack(found.windows("", "good")[0]).types.tolist() == [[0, 0, 1, 1]]


def test_of_a_long_prompt_the_last_tokens_are_kept(tmp_path: Path) -> None:
    found = tokens(tmp_path)  # 4 of 16
    (row,) = words(found, "bad " * 100_000 + "why is the answer fine", "no")
    assert row == ["[CLS]", "is", "the", "answer", "fine", "[SEP]", "no", "[SEP]"]


def test_a_model_that_sees_the_answer_alone(tmp_path: Path) -> None:
    found = tokens(tmp_path, prompt_length=0)
    assert words(found, "why", "good") == [["[CLS]", "good", "[SEP]"]]
    assert found.pack(found.windows("why", "good")[0]).types.tolist() == [[0, 0, 0]]


def test_a_long_answer_is_read_in_windows_from_head_to_tail(tmp_path: Path) -> None:
    found = tokens(tmp_path)
    rows = words(found, "", " ".join(["good"] + ["fine"] * 28 + ["bad"]))
    assert [len(row) for row in rows] == [16] * len(rows)
    assert rows[0][2] == "good"
    assert rows[-1][-2] == "bad"
    assert len(rows) == 3


def test_an_answer_of_megabytes_takes_no_time(tmp_path: Path) -> None:
    found = tokens(tmp_path)
    began = time.process_time()
    # Words that it has not seen before: those of a whole answer would take seconds.
    words = " ".join(f"x{number:06}" for number in range(300_000))
    rows = found.windows("", f"good {words} bad")
    assert time.process_time() - began < 0.5
    assert len(rows) == MOST_WINDOWS
    assert (rows[0].answer[0], rows[-1].answer[-1]) == (NUMBER["good"], NUMBER["bad"])


def test_an_answer_without_a_token_has_no_window(tmp_path: Path) -> None:
    assert tokens(tmp_path).windows("why", "\ufffd\u200b \x00") == []


@given(length=st.integers(0, 400), room=st.integers(5, 40))
def test_windows_cover_what_they_can(length: int, room: int) -> None:
    found = starts(length, room)
    assert len(found) <= MOST_WINDOWS
    assert found == sorted(set(found))
    if length:
        assert found[0] == 0
        assert found[-1] == max(0, length - room)
    covered = {place for start in found for place in range(start, min(length, start + room))}
    stride = room - room // 4
    if length <= room + (MOST_WINDOWS - 1) * stride:
        assert len(covered) == length


# tokenizer.json


def hugging_face(folder: Path, template: dict[str, Any] | None = None) -> Path:
    """A folder whose words are cut by the package: by its WordPiece, with a template for special tokens."""
    made = tokenizers.Tokenizer(tokenizers.models.WordPiece(dict(NUMBER), unk_token="[UNK]"))
    made.normalizer = tokenizers.normalizers.BertNormalizer()
    made.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    template = template or {"single": "[CLS] $A [SEP]", "pair": "[CLS] $A [SEP] $B:1 [SEP]:1"}
    made.post_processor = tokenizers.processors.TemplateProcessing(
        **template, special_tokens=[(name, NUMBER[name]) for name in ("[CLS]", "[SEP]")]
    )
    # As such files often are: cut and padded for training.
    made.enable_truncation(8)
    made.enable_padding(length=8)
    made.add_special_tokens(["[SEP]"])
    making.judge(folder, input={"tokenizer": "tokenizer.json"}, card={"kind": "classifier"})
    (folder / "vocab.txt").unlink()
    made.save(str(folder / "tokenizer.json"))
    return reseal(folder)


def reseal(folder: Path) -> Path:
    import sys

    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    return making.sealed(folder, tomllib.loads((folder / "card.toml").read_text()))


def test_the_packages_tokenizer_makes_the_same_rows(tmp_path: Path) -> None:
    theirs = Tokens(cards.load(hugging_face(tmp_path / "theirs")))
    ours = tokens(tmp_path / "ours")
    for prompt, answer in (("Why?", "the ANSWER"), ("", "good"), ("why " * 9, "fine [SEP] " * 20), ("", "")):
        assert words(theirs, prompt, answer) == words(ours, prompt, answer)
        for window in theirs.windows(prompt, answer):
            assert theirs.pack(window).types.tolist() == ours.pack(window).types.tolist()


def test_halves_of_surrogate_pairs_reach_the_package_as_question_marks(tmp_path: Path) -> None:
    found = Tokens(cards.load(hugging_face(tmp_path)))
    assert words(found, "", "fine \ud83d") == [["[CLS]", "[SEP]", "fine", "?", "[SEP]"]]


def test_a_template_of_two_separators_is_kept(tmp_path: Path) -> None:
    template = {"single": "[CLS] $A [SEP]", "pair": "[CLS] $A [SEP] [SEP] $B [SEP]"}
    found = Tokens(cards.load(hugging_face(tmp_path, template)))
    assert words(found, "why", "no") == [["[CLS]", "why", "[SEP]", "[SEP]", "no", "[SEP]"]]


def test_without_the_package_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = hugging_face(tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "tokenizers", None)
    with pytest.raises(TokenizerError, match=r"not installed: pip install 'stonechat\[tokenizers\]'"):
        Tokens(cards.load(folder))


def test_a_broken_tokenizer_json_says_so(tmp_path: Path) -> None:
    folder = hugging_face(tmp_path)
    (folder / "tokenizer.json").write_text(json.dumps({"model": {}}))
    with pytest.raises(TokenizerError, match=r"tokenizer\.json is none that 'tokenizers' can read"):
        Tokens(cards.load(folder))
