"""``stonechat requests`` as a process, over a real journal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from tests.agent.commands.conftest import NOW_MS, Device, make, said

from stonechat.exchange_row import BY_NAME
from stonechat_agent.commands import listing


def rows_of(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def ids(text: str) -> list[str]:
    return [line.split()[0][-4:] for line in text.splitlines()[1:]]


def test_the_list_is_by_time_with_the_latest_last(device: Device) -> None:
    done = device.run("requests")
    assert (done.returncode, done.stderr) == (0, "")
    heading, *_, latest = rows_of(done.stdout)
    assert heading == ["ID", "TIME", "MODEL", "OUTCOME", "TTFT", "DURATION", "IN", "OUT", "TOK/S", "FINDINGS"]
    assert ids(done.stdout)[-1] == latest[0][-4:] == "0005"
    # Unknown is "-", and never a zero.
    assert latest[2:] == ["-", "ok", "500ms", "2.50s", "120", "101", "50.0", "-"]


def test_what_went_wrong_stands_in_the_list(device: Device) -> None:
    lines = rows_of(device.out("requests", "--where", "outcome = error"))
    assert lines[1][2:] == ["gemma3:1b", "timeout", "-", "2.50s", "120", "-", "-", "-"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--where", "ttft > 2s"], ["0002"]),
        (["--where", "toxic > 0.5 and finding = repetition"], ["0002"]),
        (["--where", "toxic is unknown", "--last", "12h"], ["0003", "0004", "0005"]),
        (["--last", "12h"], ["0002", "0003", "0004", "0005"]),
        (["--search", "refund"], ["0002"]),
        (["--search", "refund", "--where", "outcome = error"], []),
        (["--where", "text ~ 'until nine'"], ["0001"]),
        (["--where", "age > 1d"], ["0001"]),
        (["--sort", "ttft"], ["0002", "0005", "0004", "0001", "0003"]),
        (["--sort", "start:asc", "--limit", "0"], ["0001", "0002", "0003", "0004", "0005"]),
        (
            ["--sort", "decode_rate:asc", "--where", "decode_rate is known and age < 1d"],
            ["0005", "0004", "0002"],
        ),
        (["--search", "hello OR", "--sort", "ttft"], []),
    ],
)
def test_what_is_selected(device: Device, arguments: list[str], expected: list[str]) -> None:
    done = device.run("requests", *arguments)
    assert done.returncode == 0
    assert ids(done.stdout) == expected
    assert ("no exchanges that match" in done.stderr) == (not expected)


def test_a_limit_says_that_there_are_more(device: Device) -> None:
    done = device.run("requests", "--limit", "2")
    assert ids(done.stdout) == ["0004", "0005"]
    assert done.stderr == "only 2 shown, and there are more: --limit 0 shows all\n"
    assert device.run("requests", "--limit", "5").stderr == ""


def test_json_has_the_names_and_units_of_the_row(device: Device) -> None:
    lines = [
        json.loads(line) for line in device.out("requests", "--json", "--where", "ttft > 2s").splitlines()
    ]
    (row,) = lines
    assert set(row) - {"texts"} <= set(BY_NAME)
    assert (row["ttft"], row["duration"], row["texts"]) == (3_000_000, 5_000_000, "kept")
    assert row["scores"] == {"toxic": 0.75, "quality": 0.5}
    assert row["start"] == NOW_MS - 300_000
    assert "ttfc" not in row  # unknown is absent


def test_json_with_texts(device: Device) -> None:
    row = json.loads(device.out("requests", "--json", "--texts", "--where", "tool_calls > 0"))
    assert row["messages"][0] == {"role": "system", "content": "Be brief."}
    assert row["tool_calls"] == [{"name": "look_up", "arguments": '{"order": 42}'}]
    assert row["response"] == "Looking."


def test_groups_are_sorted_by_count_and_say_unknown(device: Device) -> None:
    lines = rows_of(device.out("requests", "--group-by", "model"))
    assert lines[0] == [
        "MODEL",
        "COUNT",
        "ERRORS",
        "TTFT",
        "P50",
        "TTFT",
        "P95",
        "TOK/S",
        "IN",
        "OUT",
        "FINDINGS",
    ]
    assert lines[1] == ["qwen2.5:0.5b", "3", "0%", "500ms", "3.00s", "50.0", "360", "303", "1"]
    assert lines[2] == ["gemma3:1b", "1", "100%", "unknown", "unknown", "unknown", "120", "unknown", "0"]
    assert lines[3][0] == "unknown"


def test_groups_by_several_and_as_json(device: Device) -> None:
    text = device.out("requests", "--group-by", "model,outcome", "--json", "--where", "model = gemma3:1b")
    assert json.loads(text) == {
        "model": "gemma3:1b",
        "outcome": "error",
        "exchanges": 1,
        "errors": 1,
        "error_share": 1.0,
        "ttft_p50": None,
        "ttft_p95": None,
        "decode_rate_p50": None,
        "input_tokens": 120,
        "output_tokens": None,
        "with_findings": 0,
    }
    found = [
        json.loads(line) for line in device.out("requests", "--group-by", "findings", "--json").splitlines()
    ]
    assert [(group["findings"], group["exchanges"]) for group in found] == [(None, 4), ("repetition", 1)]


def test_one_exchange_by_the_beginning_of_its_id(device: Device) -> None:
    whole = json.loads(device.out("requests", "--json", "--where", "finding = repetition"))["id"]
    text = device.out("requests", whole[:-1])
    assert f"exchange {whole}" in text
    for line in (
        "outcome            ok, stop, HTTP 200",
        "model              qwen2.5:0.5b",
        "first token        3.00s",
        "input                  120  as the engine says",
        "speed                 50.0  tokens/s after the first, as the engine says",
        "toxic              0.75",
        "repetition            -  found: the same words over and over",
        "quality            0.50  how good the answer is, all in all",
        "Where is my refund?",
    ):
        assert line in text
    waterfall = {line.split()[0]: line for line in text.splitlines() if "\N{FULL BLOCK}" in line}
    assert list(waterfall) == ["request", "unattributed", "prefill", "decode"]
    assert "as the engine says" in waterfall["decode"]
    # Prefill ends where decode begins.
    assert waterfall["prefill"].rindex("\N{FULL BLOCK}") + 1 == waterfall["decode"].index("\N{FULL BLOCK}")


RUDE = {"toxic": 0.97, "insult": 0.4, "threat": 0.0, "relevance": 0.0, "guideline:no-dosage": 1.0}


def judged_device(directory: Path) -> Device:
    one = Device(directory)
    one.write(
        [
            make(1, scores={"toxic": 0.02, "quality": 0.9}),
            make(2, scores=RUDE, findings=("toxic", "relevance", "guideline:no-dosage")),
            make(3, scores={"quality": 0.3, "truncated": 1.0}, findings=("truncated",)),
            make(4),
        ]
    )
    return one


def test_exchanges_are_sorted_by_a_score_and_by_what_concerns(tmp_path: Path) -> None:
    one = judged_device(tmp_path)
    assert ids(one.out("requests", "--sort", "concern")) == ["0002", "0003", "0001", "0004"]
    assert ids(one.out("requests", "--sort", "quality:asc")) == ["0003", "0001", "0004", "0002"]
    assert ids(one.out("requests", "--where", "finding = guideline:no-dosage and toxic > 0.9")) == ["0002"]
    listed = one.out("requests", "--sort", "concern", COLUMNS="200").splitlines()[1]
    assert listed.split()[-1] == "guideline:no-dosage,relevance,toxic"


def test_one_exchange_says_what_concerns_most_first(tmp_path: Path) -> None:
    one = judged_device(tmp_path)
    whole = json.loads(one.out("requests", "--json", "--where", "finding = toxic"))["id"]
    text = one.out("requests", whole)
    lines = text[text.index("judged") :].splitlines()[1:6]
    assert [" ".join(line.split()) for line in lines] == [
        "guideline no-dosage 1.00 broken: a rule of the device's owner",
        "relevance 0.00 off topic: whether the answer serves the question",
        "toxic 0.97 found: rude, hateful or threatening in any way",
        "insult 0.40 an attack on a person",
        "0 threat",
    ]


def test_texts_cannot_command_the_terminal(device: Device) -> None:
    whole = json.loads(device.out("requests", "--json", "--where", "tool_calls > 0"))["id"]
    for arguments in (["--texts"], [whole]):
        text = device.out("requests", *arguments)
        assert "\x1b" not in text
        assert "Order \N{REPLACEMENT CHARACTER}[31m42?" in text


def test_an_ambiguous_and_an_unknown_id(device: Device) -> None:
    done = device.run("requests", "6")
    assert (done.returncode, done.stdout) == (1, "")
    assert 'stonechat: "6" begins the ids of several exchanges\n  hint: write more of it' in done.stderr
    done = device.run("requests", "zzzz")
    assert done.returncode == 1
    assert 'no exchange in the journal has an id that begins with "zzzz"' in done.stderr


@pytest.mark.parametrize(
    ("policy", "why", "key"),
    [
        ("none", 'privacy.journal is "none"', True),
        ("flagged", "Nothing was found in it", True),
        ("sampled", "It was not drawn for the sample", True),
    ],
)
def test_where_texts_are_absent_the_reason_and_the_key_are_told(
    tmp_path: Path, policy: str, why: str, key: bool
) -> None:
    device = Device(tmp_path, texts=policy)
    device.write([make(1, transcript=said("Hello?", "Hello."))])
    text = device.out("requests", json.loads(device.out("requests", "--json"))["id"])
    assert why in text
    assert ('[privacy] journal = "all" in agent.toml' in text) == key
    assert why in device.out("requests", "--texts")


@pytest.mark.parametrize("width", [20, 40, 60, 79, 80, 100, 132])
def test_the_table_fits_the_terminal(device: Device, width: int) -> None:
    lines = device.out("requests", COLUMNS=str(width)).splitlines()
    assert max(map(len, lines)) <= max(width, 35)  # what stays is the id, the model and the outcome
    assert all(len(line.split()[0]) == 13 for line in lines[1:])  # an id is never cut


def test_without_a_terminal_there_are_no_colours_and_nothing_is_cut(device: Device) -> None:
    text = device.out("requests", TERM="xterm-256color")
    assert "\x1b" not in text
    assert len(listing.COLUMNS) == len(text.splitlines()[0].split())


def test_wrong_usage(device: Device) -> None:
    for arguments, message in (
        (
            ["--where", "tftt > 2s"],
            "stonechat: --where: no field 'tftt': expected 'ttft'?\n  tftt > 2s\n  ^\n",
        ),
        (["--sort", "tftt"], "stonechat: --sort: no field 'tftt'\n  hint: did you mean 'ttft'?\n"),
        (["--group-by", "modle"], "stonechat: --group-by: no field 'modle'\n  hint: did you mean 'model'?\n"),
        (["--last", "60"], "stonechat: --last 60: must be a duration such as"),
        (["--search", "!?"], 'stonechat: --search "!?": there is no letter or digit to search for\n'),
        (["--limit", "-1"], "stonechat requests: argument --limit: "),
        (["--follow", "--sort", "ttft"], "stonechat: --sort: does not go with --follow\n"),
        (
            ["6h", "--where", "ttft > 2s"],
            "stonechat: --where: selects from all exchanges, and ID names one\n",
        ),
    ):
        done = device.run("requests", *arguments)
        assert (done.returncode, done.stdout) == (2, ""), arguments
        assert done.stderr.startswith(message), done.stderr


def test_without_a_journal_it_is_said_where_it_should_be(empty: Device) -> None:
    for command in (["requests"], ["log"], ["export"], ["forget", "--all", "--yes"]):
        done = empty.run(*command)
        assert (done.returncode, done.stdout) == (1, ""), command
        assert done.stderr.startswith(
            f"stonechat: {empty.directory}/journal.db: there is no journal\n  hint: "
        )


def test_an_empty_journal_is_no_fault(empty: Device) -> None:
    empty.write([])
    done = empty.run("requests")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "no exchanges yet\n  hint: the agent writes them down within 20 s of their end\n"


def test_follow_shows_new_ones_until_it_is_interrupted(empty: Device) -> None:
    empty.write([make(1)])
    process = subprocess.Popen(
        empty.command("requests", "--follow", "--where", "outcome = ok", "--json"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=empty.environ(),
    )
    assert process.stdout is not None
    try:
        assert json.loads(process.stdout.readline())["id"].endswith("0001")
        empty.write([make(2), make(3, ago_ms=1)])
        assert json.loads(process.stdout.readline())["id"].endswith("0002")
        assert json.loads(process.stdout.readline())["id"].endswith("0003")
        for name in os.listdir(empty.directory):
            if name.startswith("journal.db"):
                (empty.directory / name).unlink()
        empty.write([make(4, ago_ms=0)])
        assert json.loads(process.stdout.readline())["id"].endswith("0004")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130
    assert "Traceback" not in errors


def test_a_reader_that_goes_away_is_no_traceback(empty: Device) -> None:
    empty.write([make(number, ago_ms=number) for number in range(1, 300)])
    command = " ".join(map(str, empty.command("requests", "--limit", "0", "--json")))
    done = subprocess.run(
        ["/bin/bash", "-c", f"{command} | head -n 1"],
        capture_output=True,
        text=True,
        timeout=60,
        env=empty.environ(),
        check=False,
    )
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == ""


def test_groups_of_many_exchanges_take_no_time(empty: Device) -> None:
    empty.write([make(number, ago_ms=number) for number in range(900)])
    began = time.monotonic()
    assert rows_of(empty.out("requests", "--group-by", "model"))[1][1] == "900"
    assert time.monotonic() - began < 10
