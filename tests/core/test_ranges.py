"""Ranges, covers and standings behave as the sets of numbers that they stand for."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stonechat.ranges import (
    Standing,
    count,
    cover_size,
    cover_standing,
    cover_union,
    difference,
    standing,
    union,
)

PAIRS = st.lists(
    st.tuples(st.integers(1, 40), st.integers(0, 6)).map(lambda p: (p[0], p[0] + p[1])), max_size=8
)


def numbers(pairs: list[tuple[int, int]] | tuple[tuple[int, int], ...]) -> set[int]:
    return {n for low, high in pairs for n in range(low, high + 1)}


@given(PAIRS, PAIRS)
def test_union_and_difference_are_those_of_sets(
    one: list[tuple[int, int]], other: list[tuple[int, int]]
) -> None:
    both = union(one, other)
    assert numbers(both) == numbers(one) | numbers(other)
    assert count(both) == len(numbers(both))
    assert all(a[1] + 1 < b[0] for a, b in itertools.pairwise(both))
    assert numbers(difference(one, other)) == numbers(one) - numbers(other)


@given(PAIRS, st.integers(1, 50), st.integers(0, 6))
def test_standing_is_that_of_sets(pairs: list[tuple[int, int]], low: int, more: int) -> None:
    taken, wanted = numbers(pairs), set(range(low, low + more + 1))
    expected = Standing.NEW if not taken & wanted else Standing.TAKEN if wanted <= taken else Standing.PARTIAL
    assert standing(union(pairs), low, low + more) is expected


def test_a_cover_of_several_runs_is_new_or_taken_only_as_a_whole() -> None:
    receipts = {1: ((1, 9),), 2: ((1, 1),)}
    assert cover_standing(receipts, ((1, 3, 4), (2, 1, 1))) is Standing.TAKEN
    assert cover_standing(receipts, ((1, 10, 11), (2, 2, 3))) is Standing.NEW
    assert cover_standing(receipts, ((1, 3, 4), (2, 2, 2))) is Standing.PARTIAL
    assert cover_standing(receipts, ((1, 9, 10),)) is Standing.PARTIAL


def test_covers_join_and_never_overlap() -> None:
    joined = cover_union(((1, 1, 2),), ((1, 3, 3), (2, 5, 5)))
    assert joined == ((1, 1, 3), (2, 5, 5))
    assert cover_size(joined) == 4
    with pytest.raises(ValueError, match="overlap"):
        cover_union(joined, ((2, 5, 6),))
