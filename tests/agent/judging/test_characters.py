"""The classes of characters are those of the `tokenizers` package: every character is compared."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tokenizers import normalizers, pre_tokenizers

from stonechat_agent.scoring.judging.characters import DROPPED, IDEOGRAPHS, MARKS, PUNCTUATION

# No other character becomes this one, not even without its accents.
APART = "\N{SNOWMAN}"
EVERY = [chr(point) for point in range(0x110000) if not 0xD800 <= point < 0xE000 and chr(point) != APART]


def each(**options: bool) -> Iterator[tuple[str, str]]:
    """Every character but one, and what the package's normalizer makes of it."""
    off: dict[str, Any] = dict.fromkeys(
        ("clean_text", "handle_chinese_chars", "strip_accents", "lowercase"), False
    )
    # One text for all: a call for each of a million characters takes seconds. The snowman keeps them apart.
    found = normalizers.BertNormalizer(**(off | options)).normalize_str(APART.join(EVERY)).split(APART)
    return zip(EVERY, found, strict=True)


def test_characters_are_dropped_or_spaces_as_in_the_package() -> None:
    kinds = {"": "dropped", " ": "space"}
    wrong = []
    for char, became in each(clean_text=True):
        kind = "dropped" if ord(char) in DROPPED else "space" if char.isspace() else "kept"
        wrong += [hex(ord(char))] if kinds.get(became, "kept") != kind else []
    assert wrong == []


def test_ideographs_stand_apart_as_in_the_package() -> None:
    wrong = [
        hex(ord(char))
        for char, became in each(handle_chinese_chars=True)
        if (became == f" {char} ") != (ord(char) in IDEOGRAPHS)
    ]
    assert wrong == []


def test_marks_are_stripped_as_in_the_package() -> None:
    wrong = [
        hex(ord(char)) for char, became in each(strip_accents=True) if (not became) != (ord(char) in MARKS)
    ]
    assert wrong == []


def test_words_are_cut_at_the_signs_of_the_package() -> None:
    kept = [char for char in EVERY if ord(char) not in DROPPED and not char.isspace()]
    cut = pre_tokenizers.BertPreTokenizer().pre_tokenize_str(APART.join(kept))
    signs = {piece for piece, _ in cut if len(piece) == 1 and piece != APART}
    assert [hex(ord(char)) for char in kept if (char in signs) != (ord(char) in PUNCTUATION)] == []
