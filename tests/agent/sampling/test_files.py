"""Reading small files, and turning counters into increments."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stonechat_agent.sampling.files import LIMIT, File, Increments, labelled, read_file, whole


def test_a_kept_descriptor_reads_what_the_file_says_now(tmp_path: Path) -> None:
    place = tmp_path / "x"
    place.write_text("1\n")
    file = File(str(place), head=64)
    assert file.read() == b"1\n"
    place.write_text("22\n")
    assert file.read() == b"22\n"
    file.close()


def test_files_of_many_records_are_read_to_their_end() -> None:
    """The kernel gives /proc/vmstat page by page: one pread returns a part of it."""
    file = File("/proc/self/smaps")
    assert len(file.read()) > 4096
    file.close()


def test_a_huge_file_is_cut_at_a_line(tmp_path: Path) -> None:
    place = tmp_path / "huge"
    place.write_bytes(b"12345678\n" * 100_000)
    data = read_file(str(place), 0)
    assert len(data) <= LIMIT
    assert data.endswith(b"\n")


def test_a_descriptor_of_a_dead_process_gives_no_stranger_values() -> None:
    pid = os.fork()
    if pid == 0:
        signal.pause()
    file = File(f"/proc/{pid}/stat", head=1024)
    assert file.read().startswith(b"%d " % pid)
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    with pytest.raises(ProcessLookupError):
        file.read()
    file.close()


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"42\n", 42),
        (b" -40000 ", -40000),
        (b"", None),
        (b"-", None),
        (b"1_000", None),
        (b"0x10", None),
        (b"--1", None),
        (b"\xff", None),
        (b"1 2", None),
        (b"9" * 21, None),
        (b"9" * 20, None),
        (b"18446744073709551615", (1 << 64) - 1),
    ],
)
def test_whole(data: bytes, value: int | None) -> None:
    assert whole(data) == value


def test_labelled_takes_only_a_label_at_a_line_start() -> None:
    data = b"pgmajfault 5\nSwapCached: 7 kB\nCached: 9 kB\nEmpty:\n"
    assert labelled(data, b"pgmajfault ") == 5
    assert labelled(data, b"Cached:") == 9
    assert labelled(data, b"majfault ") is None
    assert labelled(data, b"Empty:") is None


@pytest.mark.parametrize(
    ("values", "wraps_at", "steps"),
    [
        ([5, 5, 9], 0, [None, 0, 4]),
        ([5, 3, 4], 0, [None, None, 1]),
        ([5, 3], 1 << 32, [None, None]),
        ([(1 << 32) - 10, 20], 1 << 32, [None, 30]),
        # From the middle of the range it was a reset; above the range it never wrapped there.
        ([1 << 31, 20], 1 << 32, [None, None]),
        ([1 << 33, 20], 1 << 32, [None, None]),
    ],
)
def test_increments(values: list[int], wraps_at: int, steps: list[int | None]) -> None:
    counters = Increments()
    assert [counters.step("x", value, wraps_at) for value in values] == steps


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 1 << 33))), st.sampled_from([0, 1 << 32]))
def test_increments_are_never_negative(values: list[tuple[str, int]], wraps_at: int) -> None:
    counters = Increments()
    assert all((counters.step(key, value, wraps_at) or 0) >= 0 for key, value in values)


@given(st.integers(0, (1 << 32) - 1), st.lists(st.integers(0, (1 << 30) - 1), max_size=20))
def test_increments_of_a_wrapping_counter_add_up(start: int, added: list[int]) -> None:
    counters = Increments()
    value = start
    assert counters.step("x", value, 1 << 32) is None
    for step in added:
        value = (value + step) % (1 << 32)
        assert counters.step("x", value, 1 << 32) == step


def test_a_forgotten_counter_begins_anew() -> None:
    counters = Increments()
    counters.step("x", 5)
    counters.keep(set())
    assert counters.step("x", 9) is None
