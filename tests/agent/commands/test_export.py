"""``stonechat export``: a file that only its owner reads, and that can be read back."""

from __future__ import annotations

import csv
import json
import stat
import subprocess
from io import StringIO
from pathlib import Path

import pytest
from tests.agent.commands.conftest import Device, make, several

from stonechat.exchange import Source
from stonechat.exchange_row import FIELDS, to_row
from stonechat_agent.intake import to_exchange


def test_lines_read_back_give_the_same_exchanges(device: Device) -> None:
    lines = [json.loads(line) for line in device.out("export", "--texts").splitlines()]
    assert len(lines) == len(several())
    for told, made in zip(lines, several(), strict=True):
        again = to_exchange(told, source=Source.REPLAY, engines=(), now_ns=10**15, now_ms=0)
        # What is read again knows the context in use from the tokens, and that it came out of a file.
        assert {**to_row(again), **to_row(made)} == {**to_row(again), "source": "relay"}
        if made.transcript is not None:
            assert again.transcript is not None
            assert again.transcript.turns == made.transcript.turns
            assert again.transcript.answer == made.transcript.answer
            assert again.transcript.tool_calls == made.transcript.tool_calls
            assert again.transcript.error == made.transcript.error


def test_texts_only_where_they_are_asked_for(device: Device) -> None:
    text = device.out("export")
    assert "refund" not in text
    assert len(text.splitlines()) == 5
    assert "refund" in device.out("export", "--texts", "--search", "refund")


def test_csv_has_a_column_for_every_field(device: Device) -> None:
    rows = list(csv.DictReader(StringIO(device.out("export", "--format", "csv", "--where", "ttft > 2s"))))
    assert list(rows[0]) == [field.name for field in FIELDS]
    assert (rows[0]["ttft"], rows[0]["streamed"], rows[0]["findings"], rows[0]["ttfc"]) == (
        "3000000",
        "true",
        "repetition",
        "",
    )
    assert json.loads(rows[0]["scores"]) == {"toxic": 0.75, "quality": 0.5}


def test_a_spreadsheet_takes_no_name_for_a_formula(empty: Device) -> None:
    empty.write([make(1, response_model="@SUM", request_model="-1+1")])
    (row,) = csv.DictReader(StringIO(empty.out("export", "--format", "csv")))
    assert (row["model"], row["request_model"]) == ("'@SUM", "'-1+1")


def test_the_file_is_its_owners_alone_and_is_never_replaced_unasked(device: Device, tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"
    done = device.run("export", "-o", str(file))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", f"{file}: 5 exchanges\n")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.write_text("mine")
    done = device.run("export", "-o", str(file))
    assert done.returncode == 1
    assert done.stderr == f"stonechat: {file}: is there already\n  hint: --force replaces it\n"
    assert file.read_text() == "mine"
    assert device.run("export", "-o", str(file), "--force").returncode == 0
    assert len(file.read_text().splitlines()) == 5
    assert [each.name for each in tmp_path.iterdir()] == ["out.jsonl"]


def test_a_link_is_not_followed(device: Device, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    assert device.run("export", "-o", str(tmp_path / "link")).returncode == 1
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--texts", "--format", "csv"], 2, "--texts: CSV has no place for texts"),
        (["--force"], 2, "--force: nothing is replaced without --output"),
        (["-o", "/nonexistent/x"], 1, "/nonexistent/x: cannot be written: No such file or directory"),
        (["--where", "nonsense"], 2, "--where: no field 'nonsense'"),
    ],
)
def test_faults(device: Device, arguments: list[str], code: int, message: str) -> None:
    done = device.run("export", *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith(f"stonechat: {message}")


def test_a_full_disk_is_told(device: Device) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            device.command("export"),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=device.environ(),
            check=False,
        )
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
