"""Figures, tables and text as a terminal takes them."""

from __future__ import annotations

import io
import os
import pty
import subprocess
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.agent.commands.conftest import Device

from stonechat_agent.commands import figures
from stonechat_agent.commands.groups import fold
from stonechat_agent.commands.table import Column, Layout
from stonechat_agent.commands.terminal import Terminal, harmless


@pytest.mark.parametrize(
    ("us", "shown"),
    [
        (None, "unknown"),
        (0, "0us"),
        (999, "999us"),
        (1000, "1.00ms"),
        (12_345, "12.3ms"),
        (999_499, "999ms"),
        (999_500, "1.00s"),
        (2_513_000, "2.51s"),
        (59_949_999, "59.9s"),
        (59_950_000, "1m00s"),
        (100_000_000, "1m40s"),
        (7_500_000_000, "2h05m"),
        (273_600_000_000, "3d04h"),
    ],
)
def test_durations(us: float | None, shown: str) -> None:
    assert figures.duration(us) == shown


@pytest.mark.parametrize(
    ("number", "size", "count"),
    [
        (None, "unknown", "unknown"),
        (0, "0B", "0"),
        (512, "512B", "512"),
        (1536, "1.50KiB", "1536"),
        (1_048_575, "1.00MiB", "1.05M"),
        (99_999, "97.7KiB", "99999"),
        (123_456, "121KiB", "123k"),
        (5 << 40, "5.00TiB", "5.5e+12"),
    ],
)
def test_sizes_and_counts(number: int | None, size: str, count: str) -> None:
    assert figures.size(number) == size
    assert figures.count(number) == count


def test_shares_and_rates_never_round_to_nothing() -> None:
    shares, rates = (None, 0, 0.00001, 0.125, 1), (None, 0, 0.001, 9.99, 123.4)
    assert [figures.share(share) for share in shares] == ["unknown", "0%", "<0.01%", "12.5%", "100%"]
    assert [figures.rate(rate) for rate in rates] == ["unknown", "0.00", "<0.01", "9.99", "123"]


@given(st.floats(0, 1e15))
def test_a_duration_is_short_and_never_an_exponent(us: float) -> None:
    shown = figures.duration(us)
    assert "e" not in shown
    assert len(shown) <= 10


def test_moments_leave_out_what_they_share_with_today() -> None:
    today = datetime(2026, 5, 1, 12)
    for moment, shown in (
        (datetime(2026, 5, 1, 9, 30), "09:30:00"),
        (datetime(2026, 1, 2, 3, 4, 5), "01-02 03:04:05"),
        (datetime(2025, 5, 1, 9), "2025-05-01 09:00:00"),
    ):
        assert figures.moment(moment.timestamp() * 1000, today=today) == shown
    assert figures.moment(1e18) == "unknown"


@given(st.lists(st.integers(0, 100), min_size=1), st.floats(0.01, 1))
def test_a_quantile_is_the_least_value_that_so_many_are_not_above(values: list[int], q: float) -> None:
    ordered = sorted(values)
    found = figures.quantile(ordered, q)
    assert found is not None
    assert sum(value <= found for value in values) >= q * len(values) - 1e-9
    assert sum(value < found for value in values) < q * len(values) + 1e-9


def test_text_that_would_command_a_terminal_is_made_harmless() -> None:
    assert harmless("\x1b]0;owned\x07") == "\ufffd]0;owned\ufffd"
    assert harmless("a\r\nb\tc") == "a\ufffd\ufffdb\ufffdc"
    assert harmless("a\r\nb\tc", lines=True) == "a\ufffd\nb\tc"
    assert harmless("\u202eabc\u2066") == "\ufffdabc\ufffd"
    assert harmless("\x9b31m\x85") == "\ufffd31m\ufffd"  # the same in one byte
    assert (
        harmless("50\xa0% \u3000 na\u200cme \U0001f469\u200d\U0001f4bb")
        == "50 %   na\u200cme \U0001f469\u200d\U0001f4bb"
    )


@given(st.text())
def test_nothing_harmful_is_left(text: str) -> None:
    for character in harmless(text):
        assert character.isprintable() or character in "\u200c\u200d"


COLUMNS = [
    Column("ID"),
    Column("NAME", cut_to=6),
    Column("N", rank=2, right=True),
    Column("NOTE", rank=1, cut_to=4),
]


@given(st.integers(20, 120), st.lists(st.tuples(*[st.text("abc", max_size=30)] * 3), max_size=4))
def test_a_table_is_no_wider_than_the_terminal(width: int, rows: list[tuple[str, ...]]) -> None:
    cells = [("id", *row) for row in rows]
    layout = Layout(COLUMNS, cells, Terminal(io.StringIO(), {"COLUMNS": str(width)}))
    for line in [layout.heading, *(layout.line(row) for row in cells)]:
        assert len(line) <= width
        assert line.startswith(("ID", "id"))


def test_columns_go_by_rank_and_what_is_cut_says_so() -> None:
    row = ("id", "a" * 12, "1", "b" * 12)
    lines = {
        width: Layout(COLUMNS, [row], Terminal(io.StringIO(), {"COLUMNS": str(width)})).line(row)
        for width in (33, 30, 21, 20)
    }
    assert lines[33] == "id  aaaaaaaaaaaa  1  bbbbbbbbbbbb"
    assert lines[30] == "id  aaaaaaaaa~  1  bbbbbbbbbb~"
    assert lines[21].startswith("id  ")
    assert len(lines[20]) <= 20


@pytest.mark.parametrize(
    ("environ", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)]
)
def test_colours_on_a_terminal_only_and_never_with_no_color(
    device: Device, environ: dict[str, str], coloured: bool
) -> None:
    ours, theirs = pty.openpty()
    try:
        subprocess.run(
            device.command("requests"),
            stdout=theirs,
            timeout=60,
            check=True,
            env=device.environ(**{"TERM": "xterm", **environ}),
        )
        text = os.read(ours, 65536).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    assert "gemma3:1b" in text
    assert ("\x1b[" in text) == coloured


def test_a_stream_that_takes_only_ascii(device: Device) -> None:
    text = device.out("requests", "--where", "tool_calls > 0", "--texts", LANG="C", PYTHONIOENCODING="ascii")
    assert "Order ?[31m42?" in text


def test_groups_count_what_is_known() -> None:
    rows: list[dict[str, Any]] = [
        {"model": "a", "outcome": "ok", "ttft": 10, "output_tokens": 0},
        {"model": "a", "outcome": "error"},
        {"model": "a", "outcome": "aborted", "output_tokens": 3, "decode": 1_000_000, "findings": ["x", "y"]},
    ]
    ((key, group),) = fold(rows, ["model"])
    known = group.figures()
    assert key == ("a",)
    assert (known["exchanges"], known["errors"], known["with_findings"]) == (3, 1, 1)
    assert (known["ttft_p50"], known["decode_rate_p50"]) == (10, 2.0)
    assert (known["input_tokens"], known["output_tokens"]) == (None, 3)
    assert [(key, group.exchanges) for key, group in fold(rows, ["findings"])] == [
        ((None,), 2),
        (("x",), 1),
        (("y",), 1),
    ]
