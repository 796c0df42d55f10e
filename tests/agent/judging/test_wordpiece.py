"""Our WordPiece gives the tokens of the `tokenizers` package; where it does not, on purpose, a test says so."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import BertWordPieceTokenizer

from stonechat_agent.scoring.judging.wordpiece import LONGEST_WORD, VocabularyError, WordPiece

LETTERS = "abcdefghijklmnopqrstuvwxyzßøıœæджийкαλοσςφωкאבגعابहनक가나가中文日本あア0123456789"
SIGNS = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~“”’—…。、€😀👩"
WORDS = [
    *[
        "the",
        "in",
        "un",
        "hello",
        "world",
        "cafe",
        "naive",
        "istanbul",
        "i",
        "re",
        "中文",
        "がくせい",
        "στο",
        "σ",
    ],
    "##ing",
    "##able",
    "##ed",
    "##ly",
    "##re",
]


def vocabulary() -> list[str]:
    found = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *LETTERS,
        *SIGNS,
        *(f"##{x}" for x in LETTERS),
        *WORDS,
    ]
    return list(dict.fromkeys(found))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("vocabulary") / "vocab.txt"
    path.write_text("\n".join(vocabulary()) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def ours(file: Path) -> WordPiece:
    return WordPiece.load(file)


@pytest.fixture(scope="module")
def theirs(file: Path) -> BertWordPieceTokenizer:
    tokenizer = BertWordPieceTokenizer(str(file))
    tokenizer._tokenizer.encode_special_tokens = True
    return tokenizer


ANY = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
NEAR = st.text(
    st.sampled_from(
        [*LETTERS, *SIGNS, *" \t\n\r\v\f\x00\x1c\x85\xa0\u200b\u200d\u2028\u3000\ufffd\ufeff\ue000"]
    )
    | st.characters(min_codepoint=0x300, max_codepoint=0x36F)  # combining marks
    | st.characters(min_codepoint=0xC0, max_codepoint=0x24F)  # letters with accents
    | st.sampled_from("İıſKÅΣſŉǰΐẞﬁ가힣\u1734\u0345\U00011938豈﨑𠀀"),
    max_size=60,
)


@given(text=ANY | NEAR | st.builds(" ".join, st.lists(NEAR, max_size=8)))
@settings(max_examples=500, deadline=None)
@example(text="İSTANBUL ΣΑΣ ΣΟΦΟΣ naïve Café")
@example(text="a" * LONGEST_WORD + " " + "a" * (LONGEST_WORD + 1))
@example(text="中文ab日本 가각 ᄀ\u1161")
@example(text="[SEP] [CLS]##ing [MASK] don't can’t 👩‍👩‍👧")
@example(text="e\u0301 e\u200d\u0301 \u0301x")
def test_tokens_are_those_of_the_package(ours: WordPiece, theirs: BertWordPieceTokenizer, text: str) -> None:
    assert ours.encode(text) == theirs.encode(text, add_special_tokens=False).ids


def test_names_of_special_tokens_are_text(ours: WordPiece) -> None:
    assert ours.sep not in ours.encode("fine [SEP] not fine")


def test_halves_of_surrogate_pairs_are_dropped(ours: WordPiece) -> None:
    assert ours.encode("hel\ud83dlo \udc00 world") == ours.encode("hello world")


def test_a_word_beyond_the_limit_is_unknown(ours: WordPiece) -> None:
    assert ours.encode("a" * (LONGEST_WORD + 1)) == [ours.unknown]
    assert len(ours.encode("a" * LONGEST_WORD)) == LONGEST_WORD


def test_what_it_remembers_is_bounded(ours: WordPiece) -> None:
    every = "".join(chr(point) for point in range(0x110000) if not 0xD800 <= point < 0xE000)
    ours.encode(every)
    ours.encode(" ".join(f"a{number}" for number in range(20_000)))
    assert len(ours._cleaned) <= 8192
    assert len(ours._cache) <= 8192


def test_it_reads_twenty_thousand_words_a_second(ours: WordPiece) -> None:
    text = " ".join(f"hello{number % 997} world, naïve" for number in range(10_000))
    began = time.process_time()
    ours.encode(text)
    assert time.process_time() - began < 30_000 / 20_000


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"hello\n", r"has no \[PAD\], \[UNK\], \[CLS\], \[SEP\]"),
        (b"\xff\xfe", "is not UTF-8"),
        (b"", r"has no"),
    ],
)
def test_a_file_that_is_no_vocabulary_says_so(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "vocab.txt").write_bytes(content)
    with pytest.raises(VocabularyError, match=message):
        WordPiece.load(tmp_path / "vocab.txt")
