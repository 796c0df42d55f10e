"""Texts of an exchange: cut to what fits and can be sent, and nothing else read."""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stonechat import exchange_texts
from stonechat.errors import Refused
from stonechat.exchange_texts import MAX_PAIRS, MAX_SIZE, Texts, fitted, read, size_of
from stonechat.transcript import ROLES

# Lone halves of surrogate pairs and NUL are what engines and clients get past a JSON parser.
ANY_TEXT = st.text(st.characters() | st.sampled_from("\0\ud800\udfff\U0001f600"), max_size=60)
PROMPTS = st.lists(st.tuples(st.sampled_from(ROLES), ANY_TEXT).map(list), max_size=6)
CALLS = st.lists(st.tuples(ANY_TEXT, ANY_TEXT).map(list), max_size=4)


@st.composite
def texts(draw: st.DrawFn) -> Texts:
    made: Texts = {name: text for name in exchange_texts.PLAIN if (text := draw(ANY_TEXT))}
    return {**made, "prompt": draw(PROMPTS), "tool_calls": draw(CALLS)}


@given(texts(), st.integers(0, 600))
def test_what_was_fitted_can_be_sent_and_is_read_as_it_is(given_texts: Texts, most: int) -> None:
    cut = fitted(given_texts, most)
    assert size_of(cut) <= most
    assert read(msgpack.unpackb(msgpack.packb(cut))) == cut
    if (
        most == 600
        and size_of(given_texts) <= most
        and all(len(c[0]) <= 64 for c in given_texts["tool_calls"])
    ):
        assert "cut" not in cut


def test_the_answer_outlasts_the_history() -> None:
    long: Texts = {
        "prompt": [["system", "s" * 100], ["user", "old" * 30], ["user", "new" * 5]],
        "answer": "a" * 50,
        "reasoning": "r" * 500,
    }
    cut = fitted(long, 50 + 83 + 60)
    assert cut == {"answer": "a" * 50, "prompt": [["user", "new" * 5]], "reasoning": "r" * 60, "cut": True}
    assert fitted({"answer": "short"}) == {"answer": "short"}
    assert fitted({"answer": "", "cut": True}) == {"cut": True}


def test_half_a_surrogate_pair_is_replaced() -> None:
    assert fitted({"answer": "a\ud83d!\U0001f600"}) == {"answer": "a\ufffd!\U0001f600"}


@pytest.mark.parametrize(
    "plain",
    [
        None,
        [],
        {"answer": 5},
        {"answer": b"bytes"},
        {"prompt": "text"},
        {"prompt": [["user"]]},
        {"prompt": [["stranger", "x"]]},
        {"prompt": [["user", None]]},
        {"prompt": [["user", "x"]] * (MAX_PAIRS + 1)},
        {"tool_calls": [["n" * 65, "{}"]]},
        {"tool_calls": {"name": "arguments"}},
        {"answer": "x" * (MAX_SIZE + 1)},
        {"prompt": [["user", "x" * (MAX_SIZE // 2)]] * 2},
        {f"later-{number}": "x" for number in range(33)},
    ],
)
def test_what_is_not_texts_is_refused(plain: object) -> None:
    with pytest.raises(Refused):
        read(plain)


def test_names_that_a_later_version_adds_are_passed_over() -> None:
    assert read({"answer": "yes", "later": [1, 2]}) == {"answer": "yes"}
