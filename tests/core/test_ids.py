from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stonechat import ids

MACHINE = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize("text", ["a", "0", "kiosk-017", "dev-0123456789ab", "x" * 63, "a-"])
def test_device_ids(text: str) -> None:
    assert ids.is_device_id(text)


@pytest.mark.parametrize("text", ["", "-a", "A", "a_b", "a.b", "a/b", "a+", "#", "x" * 64, "a\n", "é", "a b"])
def test_what_is_no_device_id(text: str) -> None:
    assert not ids.is_device_id(text)


def test_a_device_id_is_stable_and_hides_the_machine_id() -> None:
    device_id = ids.device_id_from_machine_id(MACHINE + "\n")
    # Fixed for ever: a change here would rename every device that was not named by hand.
    assert device_id == "dev-a513f9421d23"
    assert not any(MACHINE[i : i + 6] in device_id for i in range(len(MACHINE) - 5))
    assert device_id != ids.device_id_from_machine_id(MACHINE.replace("0", "1"))


@pytest.mark.parametrize(
    "text", ["", "uninitialized", "0" * 32, MACHINE[:-1], MACHINE.upper(), MACHINE + "0"]
)
def test_what_is_no_machine_id_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="32 hexadecimal digits"):
        ids.device_id_from_machine_id(text)


@given(st.from_regex(r"[0-9a-f]{32}", fullmatch=True).filter(lambda t: t != "0" * 32))
def test_a_machine_id_always_gives_a_device_id(text: str) -> None:
    assert ids.is_device_id(ids.device_id_from_machine_id(text))


@pytest.mark.parametrize("text", ["llama-3.2:3b", "hf.co/bartowski/Qwen2.5@q4_K+x", "stop", "a" * 64])
def test_identifiers_pass_as_they_are(text: str) -> None:
    assert ids.identifier(text) == text


@pytest.mark.parametrize("text", ["", "a b", "my name is Ann", "é", "a\n", "a" * 65, "{}", "a,b", "<b>", "٣"])
def test_free_text_is_no_identifier(text: str) -> None:
    assert ids.identifier(text) is None


@given(st.text(max_size=80), st.integers(0, 70))
def test_an_identifier_is_within_charset_and_limit(text: str, limit: int) -> None:
    found = ids.identifier(text, limit)
    fits = len(text) <= limit and re.fullmatch(r"[A-Za-z0-9._:/@+-]+", text) is not None
    assert found == (text if fits else None)


@given(st.integers(0, (1 << 43) - 2), st.integers(0, (1 << 22) - 1), st.integers(0, (1 << 22) - 1))
def test_exchange_ids_sort_by_time_and_have_one_form(wall: int, one: int, other: int) -> None:
    earlier, later = ids.exchange_id(wall, one), ids.exchange_id(wall + 1, other)
    assert earlier < later
    assert ids.is_exchange_id(earlier)
    assert (one == other) == (earlier == ids.exchange_id(wall, other))


@pytest.mark.parametrize("text", ["", "0" * 12, "0" * 14, "O" * 13, "i" * 13, "0" * 12 + "\n"])
def test_what_is_no_exchange_id(text: str) -> None:
    assert not ids.is_exchange_id(text)


@pytest.mark.parametrize(
    ("told", "name"),
    [
        ("qwen3:4b", "qwen3:4b"),
        ("org/model-GGUF:Q4_K_M", "org/model-GGUF:Q4_K_M"),
        ("/home/someone/models/a.gguf", "a.gguf"),
        ("models/a.gguf", "a.gguf"),
        ("/home/someone/model/", "model"),
        ("~/a", "a"),
        ("./build/a.gguf", "a.gguf"),
        ("../a", "a"),
        ("C:\\Users\\Some One\\a.gguf", "a.gguf"),
        ("D:/models/a", "a"),
        ("models\\a", "a"),
        ("/home/someone/my secret model.gguf", None),
        ("/", None),
        ("/home/a\n.gguf", None),
        ("a sentence of somebody", None),
        ("", None),
    ],
)
def test_a_model_is_not_called_by_a_path(told: str, name: str | None) -> None:
    assert ids.model_name(told) == name
