"""``stonechat replay``: windows and journal of a recording are those of its own time."""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.agent.spool.making import everything

from stonechat.errors import StonechatError
from stonechat.summary import summarise
from stonechat_agent.clocks import Instant
from stonechat_agent.commands.plain import plain
from stonechat_agent.journal import Reader
from stonechat_agent.replay import main
from stonechat_agent.replay.recording import MAX_LINE, MOST_TOLD, Recording
from stonechat_agent.spool import Spool

T0 = 1_769_860_800_000  # a whole minute
MINUTE = 60_000


def record(at_ms: int, **changed: Any) -> dict[str, Any]:
    """A record of an exchange that began then."""
    told = {
        "start": at_ms,
        "model": "qwen:0.5b",
        "prompt": "Where is the exit?",
        "response": "Over there.",
        "duration": 2.0,
        "time_to_first_token": 0.5,
        "input_tokens": 10,
        "output_tokens": 31,
    }
    return {**told, **changed}


def lines(*records: dict[str, Any] | str) -> bytes:
    return b"".join((one if isinstance(one, str) else json.dumps(one)).encode() + b"\n" for one in records)


class Done:
    """What a replay printed, and what it left."""

    def __init__(self, code: int, report: dict[str, Any], into: Path) -> None:
        self.code = code
        self.report = report
        self.into = into

    def rows(self) -> list[dict[str, Any]]:
        with Reader(str(self.into)) as reader:
            return [entry.row for entry in reader.export()]

    def windows(self) -> list[tuple[int, int]]:
        """(Minutes since T0, exchanges) of each window."""
        now = Instant(1, 1, 2_000_000_000_000, True)
        spool = Spool.open(self.into, rng_bytes=os.urandom, clock=lambda: now)
        try:
            records = sorted(everything(spool), key=lambda record: record.first.wall)
        finally:
            spool.close()
        assert all(record.observed == MINUTE for record in records)
        return [((r.first.wall - T0) // MINUTE, summarise(r.values)["exchanges"]) for r in records]  # type: ignore[misc]


@pytest.fixture
def replay(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "agent.toml").write_text('[privacy]\njournal = "all"\n')

    def run(content: bytes, name: str = "week.jsonl") -> Done:
        file, into = tmp_path / name, tmp_path / "into"
        file.write_bytes(content)
        arguments = argparse.Namespace(
            file=str(file), into=str(into), json=True, config=str(tmp_path / "agent.toml")
        )
        code = main(arguments)
        return Done(code, json.loads(capsys.readouterr().out), into)

    return run


def test_windows_are_cut_by_the_recordings_own_clock(replay: Any) -> None:
    # An exchange counts where it ended; of the hour in which nothing ended there is no window.
    done = replay(lines(record(T0), record(T0 + 57_999), record(T0 + 58_000), record(T0 + 61 * MINUTE)))
    assert (done.code, done.report["exchanges"], done.report["windows"]) == (0, 4, 3)
    assert done.windows() == [(0, 2), (1, 1), (61, 1)]
    assert done.report["from"] == "2026-01-31T12:00:02.000+00:00"
    assert [row["start"] for row in done.rows()] == [T0, T0 + 57_999, T0 + 58_000, T0 + 61 * MINUTE]
    assert {row["source"] for row in done.rows()} == {"replay"}


def test_totals_are_those_of_the_recording(replay: Any) -> None:
    done = replay(
        lines(
            *(record(T0 + number * 1000, duration=1 + number / 100) for number in range(100)),
            *(record(T0 + number * 1000, model="big", engine="other", status=503) for number in range(5)),
            record(T0, error_type="timeout", duration=30),
            record(T0, outcome="aborted"),
        )
    )
    report = done.report
    assert (report["exchanges"], report["errors"], report["aborted"]) == (107, 6, 1)
    assert report["errors_by_type"] == {"http_5xx": 5, "timeout": 1}
    assert report["duration_p50_seconds"] == pytest.approx(1.5, rel=0.03)
    assert report["ttft_p50_seconds"] == pytest.approx(0.5, rel=0.02)
    assert [(m["engine"], m["model"], m["exchanges"]) for m in report["models"]] == [
        ("engine", "qwen:0.5b", 102),
        ("other", "big", 5),
    ]
    assert report["models"][0]["output_tokens"] == 101 * 31  # of a failed one they are not counted


def test_lines_may_stand_in_any_order(replay: Any) -> None:
    told = [record(T0 + number * 7_000, response=f"Answer {number}.") for number in range(50)]
    random.Random(7).shuffle(told)
    done = replay(lines(*told))
    assert done.report["out_of_order"] is True
    assert [row["start"] for row in done.rows()] == [T0 + number * 7_000 for number in range(50)]
    assert [minute for minute, _ in done.windows()] == list(range(6))


def test_bad_lines_are_told_by_their_numbers_and_the_others_go_on(replay: Any) -> None:
    done = replay(
        lines(
            record(T0),
            "nonsense",
            "",
            record(T0, respons="x"),
            {"prompt": "no start"},
            "x" * (MAX_LINE + 10),
            "[" * 50_000,
            "\xff",
            record(T0 + 1),
        )
    )
    assert done.code == 1
    assert done.report["exchanges"] == 2
    assert [(bad["line"], bad["reason"]) for bad in done.report["bad"]] == [
        (2, "is not JSON"),
        (4, "no key 'respons' is known: did you mean 'response'?"),
        (5, "start: must be there, because a recording has its own clock"),
        (6, f"is longer than {MAX_LINE} bytes"),
        (7, "is not JSON"),
        (8, "is not JSON"),
    ]


def test_of_many_bad_lines_the_first_are_named_and_all_are_counted(replay: Any) -> None:
    done = replay(lines(*["x"] * 100))
    assert (done.code, done.report["bad_lines"], len(done.report["bad"])) == (1, 100, MOST_TOLD)
    assert done.report["exchanges"] == 0


@pytest.mark.parametrize("content", [b"", b"\n\n"])
def test_an_empty_file_has_no_exchanges(replay: Any, content: bytes) -> None:
    done = replay(content)
    assert (done.code, done.report["exchanges"], done.report["from"], done.report["models"]) == (
        0,
        0,
        None,
        [],
    )
    assert done.rows() == []


def test_a_last_line_without_an_end_is_read(replay: Any) -> None:
    assert replay(lines(record(T0)).rstrip(b"\n")).report["exchanges"] == 1


def test_a_compressed_file_is_read(replay: Any) -> None:
    assert replay(gzip.compress(lines(record(T0), record(T0 + 5))), "week.jsonl.gz").report["exchanges"] == 2


@pytest.mark.parametrize("damage", [lambda packed: packed[:-9], lambda packed: packed[:30] + b"\0" * 40])
def test_a_damaged_compressed_file_is_an_error(replay: Any, damage: Any) -> None:
    packed = gzip.compress(lines(*(record(T0 + number) for number in range(50))))
    with pytest.raises(StonechatError, match=r"week\.jsonl\.gz: cannot be read"):
        replay(damage(packed), "week.jsonl.gz")


def test_what_export_writes_is_replayed_as_it_was(replay: Any, tmp_path: Path) -> None:
    first = replay(lines(*(record(T0 + number * 1000, user="ann", error="no") for number in range(3))))
    with Reader(str(first.into)) as reader:
        exported = [plain(entry, texts=True) for entry in reader.export(texts=True)]
    first.into.rename(tmp_path / "first")
    again = replay(lines(*exported))
    with Reader(str(again.into)) as reader:
        replayed = [plain(entry, texts=True) for entry in reader.export(texts=True)]
    assert replayed == exported


def test_the_directory_is_one_that_other_commands_read(replay: Any) -> None:
    done = replay(lines(record(T0)))
    command = [
        sys.executable,
        "-m",
        "stonechat_agent",
        "requests",
        "--json",
        "--config",
        done.report["config"],
    ]
    listed = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(listed.stdout)["model"] == "qwen:0.5b"
    assert sorted(path.name for path in done.into.iterdir() if "-" not in path.name) == [
        "agent.toml",
        "journal.db",
        "journal.key",
        "spool.db",
        "spool.lock",
    ]


@pytest.mark.parametrize("name", ["journal.db", "spool.db", "agent.toml"])
def test_a_directory_that_is_in_use_is_left_alone(replay: Any, tmp_path: Path, name: str) -> None:
    (tmp_path / "into").mkdir()
    (tmp_path / "into" / name).write_bytes(b"precious")
    with pytest.raises(StonechatError, match="is there already"):
        replay(lines(record(T0)))
    assert (tmp_path / "into" / name).read_bytes() == b"precious"


def test_an_exchange_at_the_end_of_all_dates_is_replayed(replay: Any) -> None:
    done = replay(lines({**record(T0), "start": 253_402_300_799_999, "duration": 9_000_000}))
    assert (done.code, done.report["exchanges"]) == (0, 1)
    assert done.report["to"].startswith("9999-12-31T23:59:59")


def command(*arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    program = [sys.executable, "-m", "stonechat_agent", "replay", *arguments]
    return subprocess.run(program, input=given, capture_output=True, timeout=300, check=False)


def test_the_command_reads_a_pipe_and_answers_first() -> None:
    done = command("-", given=lines(record(T0), record(T0 + 3_600_000), "x"))
    text = done.stdout.decode()
    assert done.returncode == 1
    assert text.splitlines()[0] == "standard input: 2 exchanges, 2026-01-31 12:00:02 to 13:00:02 UTC"
    assert "  model          qwen:0.5b of engine\n" in text
    assert re.search(r"\n  first token    \d+ms median, \d+ms p95\n", text)
    assert "  1 line could not be read:\n  line 3: is not JSON\n" in text
    assert done.stderr == b""


def test_the_command_says_what_it_cannot_read() -> None:
    done = command("/nowhere/week.jsonl")
    assert done.returncode == 1
    assert done.stderr == b"stonechat: /nowhere/week.jsonl: cannot be read: No such file or directory\n"


def test_a_name_in_a_line_cannot_command_the_terminal(tmp_path: Path) -> None:
    file = tmp_path / "\x1b[31m.jsonl"
    file.write_bytes(lines(record(T0, **{"\x1b[31m": 1}), record(T0)))
    done = command(str(file))
    assert b"\x1b" not in done.stdout + done.stderr


@pytest.mark.slow
def test_a_hundred_thousand_lines_take_bounded_memory(tmp_path: Path) -> None:
    file = tmp_path / "large.jsonl"
    with file.open("wb") as out:
        for number in range(100_000):
            out.write(lines(record(T0 + number * 3_000, response=f"{number} " + "x" * 500)))
    # Of the children of a process only the largest is known, so the command is the only child of another one.
    program = (
        "import resource, subprocess, sys; done = subprocess.run(sys.argv[1:]);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr); sys.exit(done.returncode)"
    )
    replay = [sys.executable, "-m", "stonechat_agent", "replay", str(file), "--json"]
    done = subprocess.run(
        [sys.executable, "-c", program, *replay], capture_output=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["exchanges"] == 100_000
    assert int(done.stderr.split()[-1]) < 120_000, "KiB at the most"


def test_offsets_are_right_where_lines_are_empty_and_of_all_lengths(tmp_path: Path) -> None:
    file = tmp_path / "odd.jsonl"
    chosen = random.Random(3)
    parts = []
    for number in range(200):
        parts.append(json.dumps(record(T0 + number, response="\U0001f600" * chosen.randrange(50))).encode())
        parts.append(b"" if number % 3 else b"broken" * chosen.randrange(1, 2000))
    file.write_bytes(b"\r\n".join(parts))
    with Recording(str(file)) as recording:
        recording.scan(lambda *_: None)
        assert [exchange.wall_ms for _, exchange in recording.exchanges()] == [T0 + n for n in range(200)]
