"""Patterns of the owner's: what they find, and that a slow one cannot hold a process."""

from __future__ import annotations

import signal
import threading
import time

import pytest

from stonechat_agent.patterns import OVERLAP, PATIENCE_SECONDS, PIECE, Patterns

ENDLESS = r"(?:a|a)*c"
TEXT = "a" * 40 + "b"


def test_what_is_found() -> None:
    patterns = Patterns({"mark": r"<\d+>", "ahead": r"(?=<)"})
    assert patterns.found("mark", "x <1> <22>") is True
    assert patterns.found("mark", "x") is False
    assert patterns.spans("mark", "x <1> <22>") == [(2, 5), (6, 10)]
    assert patterns.found("ahead", "x <") is True
    assert patterns.spans("ahead", "x <") == []


@pytest.mark.parametrize("at", [0, PIECE - OVERLAP - 1, PIECE - 3, PIECE, 3 * PIECE])
def test_a_match_over_the_edge_of_a_piece(at: int) -> None:
    assert Patterns({"mark": r"<\d{40}>"}).found("mark", "x" * at + f"<{'7' * 40}>" + "x" * 9_000)


def test_a_pattern_that_never_ends_is_interrupted_and_off_and_the_others_go_on() -> None:
    patterns = Patterns({"endless": ENDLESS, "good": "b"})
    before = signal.getsignal(signal.SIGVTALRM)
    began = time.process_time()
    assert patterns.found("endless", TEXT) is None
    assert time.process_time() - began < PATIENCE_SECONDS + 1
    assert patterns.switched_off == ("endless",)
    assert patterns.names == ("good",)
    assert patterns.found("endless", "c") is None
    assert patterns.spans("endless", "c") == []
    assert patterns.found("good", TEXT) is True
    assert signal.getsignal(signal.SIGVTALRM) == before
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0, 0)


def test_spans_of_a_pattern_that_is_interrupted() -> None:
    patterns = Patterns({"endless": rf"<>|{ENDLESS}"})
    assert patterns.spans("endless", f"<> {TEXT}") == [(0, 2)]
    assert patterns.switched_off == ("endless",)


def test_in_another_thread_the_time_is_looked_at_after_each_piece() -> None:
    patterns = Patterns({"slow": r"(?:a|a)*c"})
    found: list[bool | None] = []
    thread = threading.Thread(target=lambda: found.append(patterns.found("slow", "a" * 23 + "b")))
    thread.start()
    thread.join()
    assert found == [None]
    assert patterns.switched_off == ("slow",)
