"""``stonechat forget``: what it shows, asks and deletes."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from pathlib import Path

import pytest
from tests.agent.commands.conftest import Device, make, said, several

from stonechat_agent.journal import KEY_FILE

USER = "ann@example.org"


@pytest.fixture
def shop(empty: Device) -> Device:
    """`several` exchanges, and three of one user, two of these in a conversation."""
    user = empty.pseudonyms.user(USER)
    talk = "c-0123456789ab"
    empty.write(
        [
            *several(),
            make(10, user=user, conversation=talk, transcript=said("the SECRETWORD", "One.")),
            make(11, user=user, conversation=talk, transcript=said("Two?", "Two.")),
            make(12, user=user, transcript=said("Three?", "Three.")),
        ]
    )
    return empty


def left(device: Device) -> set[int]:
    done = device.run("requests", "--json", "--limit", "0")
    return {int(json.loads(line)["id"][-4:], 32) for line in done.stdout.splitlines()}


ALL = {1, 2, 3, 4, 5, 10, 11, 12}


def test_one_by_the_beginning_of_its_id(shop: Device) -> None:
    (row,) = map(json.loads, shop.out("requests", "--json", "--where", "text ~ SECRETWORD").splitlines())
    text = shop.out("forget", row["id"], "--yes")
    assert text.startswith(f"exchange {row['id']}: 1 exchange, 1 of them with texts, from ")
    assert text.endswith("deleted: 1 exchange\n")
    assert left(shop) == ALL - {10}
    for file in shop.directory.iterdir():
        assert b"SECRETWORD" not in file.read_bytes(), file


@pytest.mark.parametrize("by_name", [True, False])
def test_a_user_by_name_or_by_pseudonym(shop: Device, by_name: bool) -> None:
    pseudonym = shop.pseudonyms.user(USER)
    assert pseudonym is not None
    text = shop.out("forget", "--user", USER if by_name else pseudonym, "--yes")
    assert text.startswith(f"user {pseudonym}: 3 exchanges")
    assert USER not in text
    assert left(shop) == ALL - {10, 11, 12}


def test_a_name_without_the_key_is_refused(shop: Device) -> None:
    (shop.directory / KEY_FILE).unlink()
    done = shop.run("forget", "--user", USER, "--yes")
    assert done.returncode == 1
    assert "without it no name becomes a pseudonym" in done.stderr
    assert not (shop.directory / KEY_FILE).exists()
    assert left(shop) == ALL


def test_a_conversation(shop: Device) -> None:
    assert "deleted: 3 exchanges\n" in shop.out("forget", "--conversation", "c-0123456789ab", "--yes")
    assert left(shop) == ALL - {4, 10, 11}
    done = shop.run("forget", "--conversation", "support", "--yes")
    assert done.returncode == 2
    assert "must be a pseudonym" in done.stderr


def test_what_began_before(shop: Device) -> None:
    assert "deleted: 1 exchange\n" in shop.out("forget", "--before", "1d", "--yes")
    assert left(shop) == ALL - {1}
    assert "nothing is found" in shop.out("forget", "--before", "2020-01-01")
    done = shop.run("forget", "--before", "yesterday", "--yes")
    assert done.returncode == 2
    assert "must be a time such as" in done.stderr


def test_everything(shop: Device) -> None:
    shop.write([make(20, ago_ms=-86_400_000)])  # a clock was wrong, and this is dated ahead of now
    assert "deleted: 9 exchanges\n" in shop.out("forget", "--all", "--yes")
    assert left(shop) == set()


def test_texts_only_keeps_the_figures(shop: Device) -> None:
    text = shop.out("forget", "--all", "--texts-only", "--yes")
    assert "everything: the texts of 7 exchanges, from " in text
    assert "deleted: the texts of 7 exchanges\n" in text
    assert left(shop) == ALL
    done = shop.run("requests", "--search", "refund")
    assert done.stderr == "no exchanges that match\n"
    assert "Somebody asked to forget them." in shop.out("requests", "--texts")


def test_nothing_is_deleted_without_a_yes(shop: Device) -> None:
    done = shop.run("forget", "--all")
    assert done.returncode == 2
    assert done.stdout.startswith("everything: 8 exchanges, 7 of them with texts, from ")
    assert "nobody is there to ask" in done.stderr
    assert left(shop) == ALL


@pytest.mark.parametrize(
    ("answer", "code", "kept"), [(b"n\n", 1, ALL), (b"\n", 1, ALL), (b"yes\n", 0, set())]
)
def test_who_sits_at_a_terminal_is_asked(shop: Device, answer: bytes, code: int, kept: set[int]) -> None:
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(
            shop.command("forget", "--all"),
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=shop.environ(),
        )
        os.write(ours, answer)
        out, errors = process.communicate(timeout=60)
    finally:
        os.close(ours)
        os.close(theirs)
    assert "delete this for good? [y/N] " in out
    assert process.returncode == code, errors
    assert ("nothing was deleted" in errors) == (code == 1)
    assert left(shop) == kept


@pytest.mark.parametrize(
    ("upload", "said_of_texts"),
    [
        ("none", "their texts were not sent unless privacy.upload was on at the time"),
        ("flagged", 'privacy.upload is "flagged", so their texts may be there as well'),
    ],
)
def test_it_says_who_else_may_hold_it(tmp_path: Path, upload: str, said_of_texts: str) -> None:
    device = Device(tmp_path, upload=upload)
    device.write([make(1, engine="sent", transcript=said("Hello?", "Hello.")), make(2)])
    text = device.out("forget", "--all", "--yes")
    assert "1 of them went to the collector, which keeps its own copy: " + said_of_texts in text
    assert "[retention] exchanges" in text


def test_one_and_only_one_way_of_naming_them(shop: Device) -> None:
    for arguments in ([], ["--all", "--user", "x"], ["6h", "--all"]):
        done = shop.run("forget", *arguments, "--yes")
        assert done.returncode == 2, arguments
    assert left(shop) == ALL
