"""Pseudonyms tell nothing, and stay as long as the key."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stonechat.ids import identifier
from stonechat_agent.journal import KEY_FILE, Pseudonyms, load_key

KEY = bytes(range(32))


@given(st.text(min_size=1))
def test_a_user_is_the_same_on_one_device_and_another_on_the_next(name: str) -> None:
    here = Pseudonyms(KEY).user(name)
    assert here is not None
    assert re.fullmatch(r"u-[0-9a-z]{12}", here)
    assert identifier(here) == here
    assert here == Pseudonyms(KEY).user(name)
    assert here != Pseudonyms(KEY[::-1]).user(name)
    assert here != "u-" + Pseudonyms(KEY).digest("conversation", name)


def test_nobody_has_none_and_surrogates_do_no_harm() -> None:
    assert Pseudonyms(KEY).user("") is None
    assert Pseudonyms(KEY).user("\ud800") != Pseudonyms(KEY).user("?")


@given(st.lists(st.text(max_size=3), max_size=3), st.lists(st.text(max_size=3), max_size=3))
def test_parts_do_not_run_together(one: list[str], other: list[str]) -> None:
    digest = Pseudonyms(KEY).digest
    assert (digest("x", *one) == digest("x", *other)) == (one == other)


def test_pseudonyms_of_a_key_stay_as_they_are() -> None:
    # What stands in journals and at collectors is compared with what a later version makes.
    assert Pseudonyms(KEY).user("ann@example.org") == "u-fd0y0d4ec0yt"


def test_the_key_is_made_once_and_for_its_owner_alone(directory: Path) -> None:
    key = load_key(str(directory / "new"))
    assert len(key) == 32
    assert load_key(str(directory / "new")) == key
    assert stat.S_IMODE(os.stat(directory / "new" / KEY_FILE).st_mode) == 0o600
    assert load_key(str(directory)) != key


@pytest.mark.parametrize("content", [b"", b"short", bytes(32), b"x" * 33])
def test_a_damaged_key_is_replaced_and_that_is_logged(
    directory: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (directory / KEY_FILE).write_bytes(content)
    key = load_key(str(directory))
    assert key not in (content, content[:32])
    assert load_key(str(directory)) == key
    assert "journal key replaced" in caplog.text


def test_without_a_directory_the_key_lasts_until_the_end(
    directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (directory / "file").write_bytes(b"")
    assert len(load_key(str(directory / "file"))) == 32
    assert "lasts until the agent stops" in caplog.text


def test_a_key_that_cannot_be_read_is_not_replaced(directory: Path) -> None:
    (directory / KEY_FILE).mkdir()
    assert len(load_key(str(directory))) == 32
    assert (directory / KEY_FILE).is_dir()
