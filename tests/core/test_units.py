from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stonechat import units

S = units.NS_PER_SECOND


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("0s", 0),
        ("1ns", 1),
        ("1us", 1_000),
        ("250ms", S // 4),
        ("1.5s", 3 * S // 2),
        ("60s", 60 * S),
        ("10m", 600 * S),
        ("1h", 3600 * S),
        ("7d", 7 * 86400 * S),
        ("0.000000001s", 1),
    ],
)
def test_durations_are_nanoseconds(text: str, ns: int) -> None:
    assert units.parse_duration(text) == ns


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0B", 0),
        ("500B", 500),
        ("1KiB", 1024),
        ("10MB", 10_000_000),
        ("10KB", 10_000),
        ("10kB", 10_000),
        ("64MiB", 64 << 20),
        ("1.5KiB", 1536),
        ("2TiB", 2 << 40),
    ],
)
def test_sizes_are_bytes(text: str, size: int) -> None:
    assert units.parse_size(text) == size


BAD = [
    "",
    "60",
    "s",
    " 60s",
    "60 s",
    "60s\n",
    "-1s",
    "+1s",
    "1e3s",
    "1_0s",
    ".5s",
    "1.s",
    "1h30m",
    "inf",
    "nans",
    "٣s",
]


@pytest.mark.parametrize("text", [*BAD, "60S", "1M", "1min", "64MiB"])
def test_what_is_no_duration_says_what_one_is(text: str) -> None:
    with pytest.raises(ValueError, match=r'^must be a duration such as "250ms"'):
        units.parse_duration(text)


@pytest.mark.parametrize("text", [*BAD, "64M", "64mib", "64MIB", "1b", "60s"])
def test_what_is_no_size_says_what_one_is(text: str) -> None:
    with pytest.raises(ValueError, match=r'^must be a size such as "500B"'):
        units.parse_size(text)


def test_fractions_of_the_smallest_unit_are_refused() -> None:
    with pytest.raises(ValueError, match="not a whole number of ns"):
        units.parse_duration("0.5ns")
    with pytest.raises(ValueError, match="not a whole number of B"):
        units.parse_size("1.0005kB")


def test_what_no_64_bit_integer_holds_is_refused() -> None:
    with pytest.raises(ValueError, match="too large"):
        units.parse_duration("106752d")
    with pytest.raises(ValueError, match="too large"):
        units.parse_size("9999999999TiB")


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0s"),
        (1, "1ns"),
        (S // 4, "250ms"),
        (60 * S, "1m"),
        (90 * S, "90s"),
        (86400 * S, "1d"),
        (S + 1, "1000000001ns"),
    ],
)
def test_durations_are_written_short(ns: int, text: str) -> None:
    assert units.format_duration(ns) == text


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0B"), (500, "500B"), (1000, "1kB"), (64 << 20, "64MiB"), (1 << 40, "1TiB")]
)
def test_sizes_are_written_short(size: int, text: str) -> None:
    assert units.format_size(size) == text


def test_negative_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        units.format_duration(-1)


@given(st.integers(0, (1 << 63) - 1))
def test_what_is_written_reads_back(number: int) -> None:
    assert units.parse_duration(units.format_duration(number)) == number
    assert units.parse_size(units.format_size(number)) == number
