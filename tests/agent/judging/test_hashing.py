"""Texts as the first tier reads them."""

from __future__ import annotations

import hashlib
import time
import unicodedata
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stonechat_agent.scoring.judging import hashing
from stonechat_agent.scoring.judging.hashing import MEASURES, Spec, feed

SPEC = Spec()
EXPECTED = "bc94ac0bfb9839eccd4b47953dac8d8ce0064a5989341ba78ac44b3223b9d115"
EXPECTED_TABLES = "2f5620aee2bd76ee8b530f0cac799cf5be149578210f6559d29996181bae0702"
TEXTS = st.text(st.characters(codec=None, categories=None), max_size=80)
WORDS = st.text("abc xyz.'-@0", max_size=60)


def words_of(text: str) -> set[int]:
    return set(feed([("", text)], SPEC)["answer_words"][0].tolist())


def measures_of(prompt: str, answer: str) -> dict[str, float]:
    return dict(zip(MEASURES, feed([(prompt, answer)], SPEC)["measures"][0].tolist(), strict=True))


def assert_equal(one: Mapping[str, Any], other: Mapping[str, Any]) -> None:
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name])


class TestFeed:
    def test_gives_what_the_graph_takes(self) -> None:
        fed = feed([("Who?", "It was me, and nobody else."), ("", "")], SPEC)
        assert list(fed) == ["answer_words", "answer_pieces", "prompt_words", "prompt_pieces", "measures"]
        assert {name: array.dtype for name, array in fed.items()} == {
            **dict.fromkeys(list(fed)[:4], np.dtype(np.int32)),
            "measures": np.dtype(np.float32),
        }
        assert all(len(array) == 2 and array.shape[1] >= 1 for array in fed.values())
        assert not fed["answer_words"][1].any()
        assert not fed["prompt_pieces"][1].any()
        assert not fed["measures"][1].any()

    def test_of_nothing_has_no_rows(self) -> None:
        assert all(len(array) == 0 for array in feed([], SPEC).values())

    @given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=4))
    def test_any_text_gives_buckets_and_finite_measures(self, pairs: list[tuple[str, str]]) -> None:
        small = Spec(word_bits=3, piece_bits=4)
        fed = feed(pairs, small)
        for name, most in (("words", 8), ("pieces", 16)):
            for side in ("answer", "prompt"):
                array = fed[f"{side}_{name}"]
                assert array.min() >= 0
                assert array.max() <= most
        assert np.isfinite(fed["measures"]).all()
        assert fed["measures"].min() >= 0

    @given(st.lists(st.tuples(TEXTS, TEXTS), min_size=2, max_size=4))
    def test_a_row_does_not_depend_on_its_neighbours(self, pairs: list[tuple[str, str]]) -> None:
        together = feed(pairs, SPEC)
        for at, pair in enumerate(pairs):
            for name, alone in feed([pair], SPEC).items():
                whole = together[name][at]
                np.testing.assert_array_equal(whole[: alone.shape[1]], alone[0])
                assert name == "measures" or not whole[alone.shape[1] :].any()

    @given(WORDS, WORDS)
    def test_prompt_and_answer_are_read_alike(self, one: str, other: str) -> None:
        there, back = feed([(one, other)], SPEC), feed([(other, one)], SPEC)
        for name in ("words", "pieces"):
            np.testing.assert_array_equal(there[f"prompt_{name}"], back[f"answer_{name}"])
            np.testing.assert_array_equal(there[f"answer_{name}"], back[f"prompt_{name}"])

    def test_is_the_same_on_every_machine(self) -> None:
        # Computed once; another result means that no shipped table fits any more, and that `SCHEME` has to change.
        texts = ["Hello, world! Don't s h o u t, you 1d10t: ｎａïｖｅ Ω≈ç 😂 \ud800.", "", "a b\nc" * 3]
        digest = hashlib.sha256()
        for name, array in feed([(text, other) for text in texts for other in texts], SPEC).items():
            if name != "measures":
                digest.update(array.astype("<i4").tobytes())
        assert digest.hexdigest() == EXPECTED

    def test_the_table_of_letters_is_the_same_on_every_python(self) -> None:
        letters, kinds = hashing._tables()
        digest = hashlib.sha256(letters.astype("<u4").tobytes() + kinds.tobytes())
        digest.update(hashing._mathematical()[1].astype("<u4").tobytes())
        assert digest.hexdigest() == EXPECTED_TABLES, f"Unicode {unicodedata.unidata_version}"


class TestDisguises:
    @pytest.mark.parametrize(
        ("disguised", "plain"),
        [
            ("IDIOT", "idiot"),
            ("ídïöt", "idiot"),
            ("i\u0301diot", "idiot"),
            ("ｉｄｉｏｔ", "idiot"),
            ("𝓲𝓭𝓲𝓸𝓽", "idiot"),
            ("іdіоt", "idiot"),
            ("i\u200bd\u200bi\u200bo\u200bt", "idiot"),
            ("1d10t", "idiot"),
            ("sh!t", "shit"),
            ("a$$h0le", "asshole"),
            ("i d i o t", "idiot"),
            ("i.d.i.o.t", "idiot"),
            ("i-d-i-o-t", "idiot"),
            ("i d 1 0 t", "idiot"),
            ("idiiiiiot", "idiot"),
            ("don’t", "dont"),
            ("“so”", '"so"'),
            ("a \t\n b", "a b"),
        ],
    )
    def test_are_read_as_what_they_hide(self, disguised: str, plain: str) -> None:
        one, other = feed([("", disguised)], SPEC), feed([("", plain)], SPEC)
        for name in ("answer_words", "answer_pieces"):
            np.testing.assert_array_equal(one[name], other[name])

    @pytest.mark.parametrize(
        ("text", "other"),
        [("wow!", "wowi"), ("@sam", "asam"), ("10", "io"), ("all", "al"), ("a b", "ab"), ("2 1 4", "2 1 5")],
    )
    def test_what_hides_nothing_stays(self, text: str, other: str) -> None:
        assert words_of(text) != words_of(other)

    def test_letters_apart_do_not_join_across_texts(self) -> None:
        fed = feed([("a b", "c d")], SPEC)
        assert set(fed["answer_words"][0].tolist()) == words_of("c d")


class TestMeasures:
    def test_of_a_pair(self) -> None:
        found = measures_of("Where is the big station?", "The station is here. The station is here.")
        assert found["has_prompt"] == 1
        assert found["said_of_asked"] == pytest.approx(3 / 6)
        assert found["asked_of_said"] == pytest.approx(3 / 5)
        assert found["said_of_asked_long"] == pytest.approx(1 / 2)
        assert found["commonest_word"] == pytest.approx(2 / 10)
        assert found["distinct_words"] == pytest.approx(5 / 10)
        assert found["distinct_fours"] == pytest.approx(5 / 7)
        assert found["ends_closed"] == 1
        assert measures_of("", "cut in the")["ends_closed"] == 0

    def test_of_the_text_as_it_was_written(self) -> None:
        found = measures_of("", "ABc1\n😂é")
        assert found["capitals"] == pytest.approx(2 / 7)
        assert found["digits"] == pytest.approx(1 / 7)
        assert found["symbols"] == pytest.approx(1 / 7)
        assert found["beyond_ascii"] == pytest.approx(2 / 7)
        assert found["lines"] == pytest.approx(np.log(2) / 4)
        assert found["length"] == pytest.approx(np.log(8) / 16)
        assert measures_of("", "nooooo")["stretched"] == pytest.approx(3 / 6)


class TestLongTexts:
    def test_two_megabytes_take_no_longer_than_what_is_read_of_them(self) -> None:
        text = "word and é more 😂 " * 120_000
        before = time.process_time()
        fed = feed([(text, text)], SPEC)
        assert time.process_time() - before < 0.5
        assert fed["answer_pieces"].shape[1] < 5 * SPEC.characters
        assert fed["prompt_pieces"].shape[1] < 5 * SPEC.prompt_characters

    def test_beginning_and_end_of_an_answer_are_read(self) -> None:
        read = words_of("beginning " + "middle " * 5000 + "hidden " + "middle " * 2000 + "finish")
        assert words_of("beginning") & read
        assert words_of("x finish") & read
        assert not set(feed([("", "hidden")], SPEC)["answer_words"][0, :1].tolist()) & read

    def test_the_end_of_a_prompt_is_read(self) -> None:
        fed = feed([("opening " + "x " * 2000 + "question", "a")], SPEC)
        read = set(fed["prompt_words"][0].tolist())
        assert feed([("", "question")], SPEC)["answer_words"][0, 0] in read
        assert feed([("", "opening")], SPEC)["answer_words"][0, 0] not in read


class TestSpec:
    TABLE: Mapping[str, Any] = {
        "tokenizer": "hashed",
        "scheme": 1,
        "word_bits": 15,
        "piece_bits": 15,
        "characters": 3072,
        "prompt_characters": 768,
    }

    def test_is_read_from_a_card(self) -> None:
        assert Spec.of(self.TABLE) == SPEC

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("tokenizer", "wordpiece"),
            ("scheme", 2),
            ("word_bits", 0),
            ("piece_bits", True),
            ("characters", "3072"),
            ("prompt_characters", None),
        ],
    )
    def test_says_what_is_wrong_with_a_card(self, key: str, value: object) -> None:
        with pytest.raises(ValueError, match=rf"input\.{key}|scheme = "):
            Spec.of({**self.TABLE, key: value})


def test_words_spread_evenly_over_the_buckets() -> None:
    fed = feed([("", f"word{number}") for number in range(2000)], Spec(word_bits=6))
    counts = np.bincount(fed["answer_words"][:, 0], minlength=65)[1:]
    # 31 a bucket expected: a fair throw of 2,000 into 64 leaves none below 12 or above 55.
    assert counts.min() >= 12
    assert counts.max() <= 55
