"""`sentences.json` was made with the `tokenizers` library from the shipped file, its special tokens taken out."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stonechat_agent.demo_engine.tokenizer import Tokenizer, TokenizerError
from stonechat_models import model_path

FILE = model_path("demo_lm") / "tokenizer.json"
TOKENIZER = Tokenizer.load(FILE)
SENTENCES = json.loads(Path(__file__).with_name("sentences.json").read_text())


@pytest.mark.parametrize(("text", "ids"), SENTENCES)
def test_ids_are_those_of_the_tokenizers_library(text: str, ids: list[int]) -> None:
    assert TOKENIZER.encode(text) == ids


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_decoding_gives_the_text_back(text: str) -> None:
    assert TOKENIZER.decode(TOKENIZER.encode(text)) == text


@given(st.text(st.sampled_from("ab \n\t.<|end|>'s0é")))
def test_text_never_yields_a_special_token(text: str) -> None:
    assert not set(TOKENIZER.encode(text)) & set(TOKENIZER.special.values())


def test_special_tokens_are_found_where_they_are_looked_for() -> None:
    end, user = TOKENIZER.special["<|end|>"], TOKENIZER.special["<|user|>"]
    assert TOKENIZER.encode("<|user|>Hi<|end|>", special=True) == [user, *TOKENIZER.encode("Hi"), end]


def test_a_lone_surrogate_is_a_question_mark() -> None:
    assert TOKENIZER.decode(TOKENIZER.encode("a\ud800b")) == "a?b"


def test_a_token_may_end_inside_a_character() -> None:
    assert TOKENIZER.decode(TOKENIZER.encode("🐦")[:1]) == "�"


@pytest.mark.parametrize("change", [{"normalizer": {"type": "NFC"}}, {"model": {}}, {"pre_tokenizer": None}])
def test_another_kind_of_tokenizer_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    (tmp_path / "tokenizer.json").write_text(json.dumps({**json.loads(FILE.read_text()), **change}))
    with pytest.raises(TokenizerError, match=r"tokenizer\.json: not a byte-level BPE tokenizer"):
        Tokenizer.load(tmp_path / "tokenizer.json")


def test_a_missing_file_is_an_error_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match=r"tokenizer\.json: .*No such file"):
        Tokenizer.load(tmp_path / "tokenizer.json")
