"""``stonechat score``: lines in, lines out, whatever the lines are; models are real and tiny."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.agent.judging import making

from stonechat.catalog import SCORE_NAMES
from stonechat_agent import cli
from stonechat_agent.commands.arguments import TIERS as CHOICES
from stonechat_agent.commands.score.answers import Answer, Bad, read
from stonechat_agent.commands.score.lines import MOST_BYTES, Line, Lines
from stonechat_agent.commands.score.verdicts import TIERS, Scorer
from stonechat_agent.scoring.judging import Judges
from stonechat_agent.scoring.judging import judges as judging

REFUSAL = "I am sorry, but I cannot help with that."
WEIGHTS = {"toxic": {"bad": 6.0, "worse": 9.0}, "relevance": {"good": 6.0}}
LABELS = {"relevance": {"needs_prompt": True, "threshold": 0.01, "below": True}}


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a configuration and two added models."""
    found = tmp_path_factory.mktemp("device")
    making.judge(found / "models/j", WEIGHTS, labels=LABELS)
    making.glance(found / "models/g", {"toxic": {"bad": 6.0, "why": 3.5}}, bias=-4.0)
    (found / "agent.toml").write_text(f'[device]\nid = "kiosk"\n[spool]\npath = "{found}"\n')
    return found


@pytest.fixture(scope="module")
def judges(device: Path) -> Judges:
    return Judges([device / "models/j", device / "models/g"])


def command(device: Path, *arguments: str) -> list[str]:
    return [
        sys.executable,
        "-m",
        "stonechat_agent",
        "score",
        "--config",
        str(device / "agent.toml"),
        *arguments,
    ]


def run(device: Path, content: bytes, *arguments: str) -> tuple[list[dict[str, Any]], str]:
    done = subprocess.run(
        command(device, *arguments), input=content, capture_output=True, timeout=120, check=True
    )
    return [json.loads(line) for line in done.stdout.splitlines()], done.stderr.decode()


# The command as a process


def test_every_line_is_answered_in_order(device: Path) -> None:
    lines = [
        b'{"id": 1, "prompt": "why?", "response": "the answer is bad"}',
        b"not json",
        b"",
        b'{"id": "two", "response": "fine"}',
        b'{"id": {"a": [null]}, "response": 3}',
        b'{"response": "\xff\xfe\xfa"}',
        b'{"id": 9, "response": "' + b"fine " * 400_000 + b'bad"}',
        b'{"id": 10, "prompt": "' + b"why " * 100_000 + b'", "response": "good"}',
        *(b'{"id": %d, "response": "the answer is fine"}' % number for number in range(300)),
    ]
    found, told = run(device, b"\n".join(lines), "--tier", "2")
    assert told == ""
    assert len(found) == len(lines) - 1
    first, second, third, fourth, fifth, long, asked, *rest = found
    assert list(first) == ["id", "scores", "flags", "tier", "models"]
    assert tuple(first["scores"]) == SCORE_NAMES
    assert first["scores"]["toxic"] > 0.9
    assert first["scores"]["hate"] is None
    assert (first["flags"], first["tier"], first["models"]) == (["toxic"], 2, {"test-judge": "1"})
    assert second == {"id": None, "line": 2, "error": "not JSON: Expecting value: line 1 column 1 (char 0)"}
    assert (third["id"], third["flags"]) == ("two", [])
    assert third["scores"]["relevance"] is None
    assert fourth == {"id": {"a": [None]}, "line": 5, "error": '"response" must be text, and is a number'}
    assert set(fifth["scores"].values()) == {None}
    assert (long["id"], "toxic" in long["flags"]) == (9, True)  # its last word, 2 MB behind its first
    assert asked["scores"]["relevance"] > 0.9
    assert [one["id"] for one in rest] == list(range(300))


def test_a_fresh_install_answers(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "stonechat_agent", "score"],
        input='{"response": "hi"}\n',
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    (found,) = map(json.loads, done.stdout.splitlines())
    assert found["id"] is None
    assert tuple(found["scores"]) == SCORE_NAMES


def test_a_slow_producer_gets_its_answers_without_waiting_for_a_batch(device: Path) -> None:
    process = subprocess.Popen(command(device, "--tier", "0"), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        for number in range(3):
            process.stdin.write(b'{"id": %d, "response": "fine"}\n' % number)
            process.stdin.flush()
            assert select.select([process.stdout], [], [], 60)[0]
            assert json.loads(process.stdout.readline())["id"] == number
        process.stdin.close()
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_model_that_cannot_be_used_is_told_once(tmp_path: Path) -> None:
    judge = making.judge(tmp_path / "models/j")
    (tmp_path / "agent.toml").write_text(f'[device]\nid = "kiosk"\n[spool]\npath = "{tmp_path}"\n')
    (judge / "model.onnx").write_bytes(b"garbage")
    found, told = run(tmp_path, b'{"response": "bad"}\n{"response": "fine"}\n', "--tier", "2")
    assert len(found) == 2
    assert told.count(f"stonechat score: model {judge} refused: {judge}/model.onnx: SHA-256 is ") == 1


def test_input_that_cannot_be_read_is_a_failure(device: Path) -> None:
    closed = ["sh", "-c", 'exec "$@" <&-', "sh", *command(device, "--tier", "0")]
    done = subprocess.run(closed, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr == "stonechat: the standard input cannot be read: it is closed\n"
    directory = os.open(device, os.O_RDONLY)
    with pytest.raises(IsADirectoryError):
        Lines(directory).batch(1, 1, 1)
    os.close(directory)


def test_the_choices_of_the_command_are_those_of_the_scorer() -> None:
    assert CHOICES == TIERS
    assert cli.main(["score", "--tier", "3"]) == 2


# Tiers


def score(
    judges: Judges | None, tier: str, *answers: tuple[str, str], reasons: bool = False
) -> list[dict[str, Any]]:
    return Scorer(judges, tier, reasons=reasons).score([Answer(None, *answer) for answer in answers])


def test_tier_0_speaks_of_what_needs_no_model() -> None:
    refused, looping, empty = score(None, "0", ("why", REFUSAL), ("", "no way out. " * 40), ("", ""))
    assert (refused["scores"]["refusal"], refused["flags"], refused["tier"], refused["models"]) == (
        1.0,
        ["refusal"],
        0,
        {},
    )
    assert looping["scores"]["coherence"] < 0.3
    assert set(empty["scores"].values()) == {None}
    assert empty["flags"] == ["empty"]


def test_auto_asks_tier_2_about_what_is_flagged_or_uncertain(judges: Judges) -> None:
    found = score(judges, "auto", ("", "fine"), ("", "bad"), ("", "why"), ("", REFUSAL), ("", " "))
    # Flagged by the glance; uncertain to it; a finding of tier 0; nothing to judge.
    assert [one["tier"] for one in found] == [1, 2, 2, 2, 1]
    assert found[1]["models"] == {"test-judge": "1"}
    assert found[0]["models"] == {"test-glance": "2"}
    assert found[3]["flags"] == ["refusal"]


def test_where_the_judge_cannot_be_used_the_glance_answers(
    device: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging, "shipped", tuple)
    for tier in ("2", "auto"):
        (found,) = score(Judges([device / "models/g"]), tier, ("", "bad"))
        assert (found["tier"], found["flags"], found["models"]) == (1, ["toxic"], {"test-glance": "2"})
    (found,) = score(Judges(), "auto", ("", REFUSAL))
    assert (found["tier"], found["flags"], found["scores"]["refusal"]) == (0, ["refusal"], 1.0)


def test_tier_1_asks_the_glance_alone(judges: Judges) -> None:
    found = score(judges, "1", ("", "fine"), ("", "bad"))
    assert [(one["tier"], one["flags"]) for one in found] == [(1, []), (1, ["toxic"])]


def test_reasons_say_why_scores_are_null(judges: Judges) -> None:
    german = (
        "Das ist keine gute Antwort, und ich bin der Meinung, dass es so nicht geht und nicht gehen wird."
    )
    plain, foreign, empty = score(judges, "2", ("", "fine"), ("", german), ("", ""), reasons=True)
    assert plain["withheld"]["relevance"] == "no_prompt"
    assert plain["withheld"]["hate"] == "no_model"
    assert "toxic" not in plain["withheld"]
    assert foreign["withheld"]["toxic"] == "language"
    assert empty["withheld"]["toxic"] == "empty"
    for one in (plain, foreign):
        assert set(one["withheld"]) == {name for name in SCORE_NAMES if one["scores"][name] is None}


def test_answers_are_not_compared_with_each_other(judges: Judges) -> None:
    answer = "The shop opens at nine on every day of the week, and it closes at six in the evening, but on Sundays."
    found = score(judges, "2", *((f"question number {name}?", answer) for name in "abcdefghij"))
    assert all("same_answer" not in one["flags"] for one in found)


# Lines


BAD = {
    b'{"id": 4}': Bad(4, 1, 'has no "response"'),
    b'{"id": 4, "response": null}': Bad(4, 1, '"response" must be text, and is null'),
    b'{"response": "x", "prompt": ["why"]}': Bad(None, 1, '"prompt" must be text, and is a list'),
    b'["response"]': Bad(None, 1, 'must be an object such as {"response": "..."}, and is a list'),
    b"7": Bad(None, 1, 'must be an object such as {"response": "..."}, and is a number'),
    b'{"id": 1e999, "response": "x"}': Bad(None, 1, "not JSON: 1e999 is too large a number"),
    b'{"id": NaN, "response": "x"}': Bad(None, 1, "not JSON: NaN is no number of JSON"),
    b"[" * 100_000: Bad(None, 1, "not JSON that can be read: nested too deeply"),
}


@pytest.mark.parametrize("content", BAD, ids=lambda content: content[:20].decode())
def test_a_bad_line_says_what_is_wrong(content: bytes) -> None:
    assert read(Line(1, content)) == BAD[content]


def test_a_line_is_read_leniently_where_nothing_is_lost() -> None:
    assert read(Line(1, b'\xef\xbb\xbf{"id": 1, "response": "x"}\r')) == Answer(1, "", "x")
    assert read(Line(2, b'{"response": "a\xc3", "prompt": null}')) == Answer(None, "", "a\ufffd")
    assert read(Line(3, b'{"response": "\\ud83d"}')) == Answer(None, "", "\ud83d")
    assert read(Line(4, b" \t\r")) is None
    assert read(Line(5, None)) == Bad(None, 5, f"longer than {MOST_BYTES >> 20} MiB")


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ours, theirs = os.pipe()
    yield ours, theirs
    for end in (ours, theirs):
        with contextlib.suppress(OSError):
            os.close(end)


def test_lines_come_in_batches_of_what_is_there(pipe: tuple[int, int]) -> None:
    ours, theirs = pipe
    lines = Lines(ours, most_bytes=10)
    os.write(theirs, b"a\nb\nlonger than ten\n\nhal")
    time.sleep(0.05)
    assert lines.batch(2, 1 << 20, 5) == [Line(1, b"a"), Line(2, b"b")]
    began = time.monotonic()
    assert lines.batch(9, 1 << 20, 0.05) == [Line(3, None), Line(4, b"")]
    assert time.monotonic() - began < 5
    os.write(theirs, b"f\nlast")
    os.close(theirs)
    assert lines.batch(9, 1 << 20, 5) == [Line(5, b"half"), Line(6, b"last")]
    assert lines.batch(9, 1 << 20, 5) == []
    assert lines.batch(9, 1 << 20, 5) == []


def test_a_batch_is_bounded_in_bytes_and_never_empty(pipe: tuple[int, int]) -> None:
    ours, theirs = pipe
    os.write(theirs, b"x" * 1000 + b"\n" + b"y\n" * 4)
    os.close(theirs)
    lines = Lines(ours)
    assert [len(line.content or b"") for line in lines.batch(9, 200, 5)] == [1000]
    assert len(lines.batch(9, 200, 5)) == 3
    assert len(lines.batch(9, 200, 5)) == 1


def test_what_is_read_ahead_is_bounded(pipe: tuple[int, int]) -> None:
    ours, theirs = pipe
    lines = Lines(ours)

    def write() -> None:
        for _ in range(160):
            os.write(theirs, b"x" * 65_535 + b"\n")
        os.close(theirs)

    writer = threading.Thread(target=write)
    writer.start()
    before = -1
    while lines._bytes != before:
        before = lines._bytes
        time.sleep(0.3)
    assert before < (4 << 20) + 2 * 65_600
    read = 0
    while batch := lines.batch(100, 1 << 20, 1):
        read += len(batch)
    writer.join()
    assert read == 160


def test_an_input_that_does_not_block_is_waited_for(pipe: tuple[int, int]) -> None:
    ours, theirs = pipe
    os.set_blocking(ours, False)
    lines = Lines(ours)
    timer = threading.Timer(0.1, os.write, (theirs, b"late\n"))
    timer.start()
    assert lines.batch(1, 1 << 20, 1) == [Line(1, b"late")]
    timer.join()
