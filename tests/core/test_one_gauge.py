"""A gauge of a live message, which is checked by itself, is taken and refused as in a batch."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from stonechat.columns import _check_gauge
from stonechat.errors import Refused

WORDS = st.one_of(st.integers(-3, 300), st.integers(-(1 << 64), 1 << 64))
FRAME = {"samples": 3, "last_order": 4, "last_boottime": 100}


def outcome(words: list[int], times: int) -> object:
    try:
        values = _check_gauge([[word] * times for word in words], [FRAME] * times)
    except Refused as refusal:
        return refusal.reason
    assert values == [values[0]] * times
    return values[0]


@given(st.lists(WORDS, min_size=7, max_size=7))
@example([10, 5, 3, 12, 0, 0, 0])
@example([10, 5, 3, 12, 0, 2, 77])
@example([10, 5, 6, 12, 0, 0, 0])
@example([10, 5, 3, 16, 0, 0, 0])
@example([10, 5, 3, 12, 0, 0, 101])
@example([10, 5, 3, 12, -3, 0, 0])
@example([1 << 62, 1 << 63, 3, 12, 0, 0, 0])
@example([10, 5, 3, 12, 0, 1, 1 << 63])
def test_alone_and_in_a_batch_are_one(words: list[int]) -> None:
    assert outcome(words, 1) == outcome(words, 2)
