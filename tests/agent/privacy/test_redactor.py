"""Redaction: what is taken out, what stays, and in which time."""

from __future__ import annotations

import importlib.util
import json
import logging
import time
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stonechat.transcript import ToolCall, Transcript, Turn
from stonechat_agent.privacy import KINDS, PatternOff, Redactor

ROOT = Path(__file__).parents[3]

# What docs/privacy.md publishes, both halves together: share of secrets taken out whole.
FLOOR = {
    "key": 0.95, "email": 0.95, "iban": 0.98, "card": 0.95, "id": 0.95, "ip": 0.98, "mac": 0.98, "phone": 0.95,
    "address": 0.9,
}  # fmt: skip


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bench_redaction", ROOT / "bench/redaction.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def redactor() -> Redactor:
    return Redactor({})


def test_the_shipped_set_holds_the_published_recall(bench: ModuleType, redactor: Redactor) -> None:
    lines = bench.load()
    assert len(lines) >= 500
    gone: dict[str, list[bool]] = {kind: [] for kind in KINDS}
    for line in lines:
        for kind, _, taken in bench.judge(redactor, line)[0]:
            gone[kind].append(taken)
    recall = {kind: sum(taken) / len(taken) for kind, taken in gone.items()}
    assert {kind for kind in KINDS if recall[kind] < FLOOR[kind]} == set(), recall


def test_lines_without_secrets_stay(bench: ModuleType, redactor: Redactor) -> None:
    plain = [line["text"] for line in bench.load() if not line["secrets"]]
    assert [text for text in plain if redactor.text(text) != text] == []


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("Write to anna@example.com.", "Write to [email]."),
        ("card 4111 1111 1111 1111, 12/27", "card [card], 12/27"),
        ("password: hunter22 and more", "password: [key] and more"),
        ("http://kim:s3cret@example.com/", "http://[key]@example.com/"),
        ("from 203.0.113.7:80", "from [ip]:80"),
        ("+1 (202) 555-0143 or +49 30 23125-007", "[phone] or [phone]"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIB cut off", "[key]"),
        ("a\u200bnna@exam\u00adple.com is hidden", "[email] is hidden"),
        ("４１１１ １１１１ １１１１ １１１１", "[card]"),
        ("٠٢٠ 7946 0958", "[phone]"),
        ("İstanbul password: kedi1234", "İstanbul password: [key]"),
        (r"{\"password\": \"hunter22\"}", r"{\"password\": \"[key]\"}"),
        (r"text:\n4111 1111 1111 1111\n+1 202 555 0143", r"text:\n[card]\n[phone]"),
        ("pass: Abcd1234, PW=Abcd1234", "pass: [key], PW=[key]"),
        ("Password - Abcd1234", "Password - [key]"),
        ("password: mydog2024", "password: [key]"),
        ("my password is 84629173, thanks", "my password is [key], thanks"),
        ("Passwort: 4711", "Passwort: [key]"),
        ("max_tokens: 4096, token: 20000", "max_tokens: 4096, token: 20000"),
        ('password = "Password1"', 'password = "[key]"'),
        ('api_key = "your-api-key"; token: int64', 'api_key = "your-api-key"; token: int64'),
        ("compass: N45E, contract MyToken is ERC1155", "compass: N45E, contract MyToken is ERC1155"),
        ("Your verification code is 482913.", "Your verification code is [key]."),
        ("/reset/7f3a9c1d27b8e4056a1b2c3d4e5f6071", "/reset/[key]"),
        ("/commit/7f3a9c1d27b8e4056a1b2c3d4e5f6071", "/commit/7f3a9c1d27b8e4056a1b2c3d4e5f6071"),
        ("at 12\n+49 30 23125 007", "at 12\n[phone]"),
        ("100 +49302312 is a sum", "100 +49302312 is a sum"),
        ("", ""),
        ("nothing here", "nothing here"),
    ],
)
def test_a_secret_becomes_its_kind(redactor: Redactor, text: str, redacted: str) -> None:
    assert redactor.text(text) == redacted


def test_hexadecimal_is_a_key_unless_it_names_a_content(redactor: Redactor) -> None:
    word = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b"
    assert redactor.text(f"use {word}") == "use [key]"
    assert redactor.text(f"commit {word}") == f"commit {word}"


def test_own_patterns_come_first() -> None:
    redactor = Redactor({"order": r"A-\d{6}", "desk": r"desk \d+"})
    assert redactor.text("A-123456 at desk 7 of anna@example.com") == "[order] at [desk] of [email]"
    assert Redactor({"who": r"\S+@example\.com"}).text("to anna@example.com") == "to [who]"


def test_what_matches_nothing_takes_nothing_out() -> None:
    assert Redactor({"nothing": r"(?=x)|y"}).text("xxyxx") == "xx[nothing]xx"


def test_a_slow_own_pattern_is_switched_off_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    redactor = Redactor({"slow": r"(?:a|a)*c", "good": r"\bgood\b"})
    text = "a" * 23 + "b good"
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            assert "[good]" in redactor.text(text)
    assert redactor.switched_off == ("slow",)
    assert [record.message for record in caplog.records] == ["own pattern too slow, switched off"]


def test_no_transcript_is_redacted_while_an_own_pattern_is_off() -> None:
    redactor = Redactor({"slow": r"(?:a|a)*c"})
    plain = Transcript([Turn("user", "hello")])
    assert redactor.transcript(plain).turns == plain.turns
    redactor.text("a" * 23 + "b")
    with pytest.raises(PatternOff, match="slow"):
        redactor.transcript(plain)


def test_an_own_pattern_finds_over_the_edges_of_its_pieces() -> None:
    redactor = Redactor({"mark": r"<\d{40}>"})
    mark = f"<{'7' * 40}>"
    for at in (16_300, 16_384 - 512, 16_380, 40_000):
        assert redactor.text("x" * at + mark + "x" * 9_000) == "x" * at + "[mark]" + "x" * 9_000


@pytest.mark.parametrize(
    ("arguments", "redacted"),
    [
        ('{"to": "anna@example.com", "n": 3}', '{"to": "[email]", "n": 3}'),
        ('{"to": "anna\\u0040example.com"}', '{"to": "[email]"}'),
        ('{"card": 4111111111111111, "sum": 12.50}', '{"card": "[card]", "sum": 12.50}'),
        ('{"phone": 4155550172}', '{"phone": "[phone]"}'),
        ('{"password": 84629173}', '{"password": "[key]"}'),
        ('{"password": "hunter22", "password": "tw0fold"}', '{"password": "[key]", "password": "[key]"}'),
        ('{"anna@example.com": [1, "203.0.113.9"]}', '{"[email]": [1, "[ip]"]}'),
        ('{ "a":\n "plain" }', '{ "a":\n "plain" }'),
        ("not {json: anna@example.com", "not {json: [email]"),
    ],
)
def test_arguments_stay_json(redactor: Redactor, arguments: str, redacted: str) -> None:
    assert redactor.arguments(arguments) == redacted


def test_a_number_of_any_length_leaves_json_json(redactor: Redactor) -> None:
    many = "9" * 5000
    assert redactor.arguments(f"[{many}, 4111111111111111]") == f'[{many}, "[card]"]'


def test_arguments_nested_beyond_reason_are_redacted_as_text(redactor: Redactor) -> None:
    nested = "[" * 5000 + '"anna@example.com"' + "]" * 5000
    assert "anna@" not in redactor.arguments(nested)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


@given(value=_JSON, secret=st.sampled_from(["anna@example.com", "4111111111111111", "+12025550143"]))
def test_any_json_stays_json_and_loses_its_secret(value: object, secret: str) -> None:
    arguments = json.dumps({"value": value, "secret": secret})
    redacted = Redactor({}).arguments(arguments)
    assert secret not in json.loads(redacted)["secret"]


@given(text=st.text(), secret=st.sampled_from(["anna@example.com", "DE89 3704 0044 0532 0130 00"]))
def test_a_secret_goes_whatever_stands_around_it(text: str, secret: str) -> None:
    assert secret not in Redactor({}).text(f"{text} {secret} {text}")


def test_every_text_of_a_transcript_is_redacted(redactor: Redactor) -> None:
    secret = "anna@example.com"
    transcript = Transcript(
        turns=[Turn("system", f"be kind to {secret}"), Turn("user", f"I am {secret}")],
        answer=f"Hello {secret}",
        reasoning=f"The user is {secret}",
        tool_calls=[ToolCall(f"mail {secret}", json.dumps({"to": secret}))],
        error=f"no mailbox {secret}",
        tools=(f"mail {secret}",),
        wants_json=True,
        user=secret,
        conversation=secret,
        cut=True,
    )
    before = repr(transcript)
    redacted = redactor.transcript(transcript)
    assert secret not in repr(redacted)
    assert repr(redacted).count("[email]") == 8
    assert repr(transcript) == before
    assert [turn.role for turn in redacted.turns] == ["system", "user"]
    assert redacted.wants_json
    assert redacted.cut


# 100 KB each, made to send a pattern that backtracks into the woods.
HOSTILE = {
    "one letter": "a" * 100_000,
    "digits": "1" * 100_000,
    "digits, then a letter": "1" * 100_000 + "a",
    "digits and spaces": "1 " * 50_000,
    "groups": "0123 " * 20_000,
    "parentheses": "(1" * 50_000,
    "at signs": "a@" * 50_000,
    "domains": "a@" + "b." * 50_000,
    "dots": "a." * 50_000,
    "colons": "a:" * 50_000,
    "addresses": "1.1.1.1." * 12_500,
    "jwt": "eyJ" * 33_000,
    "jwt with dots": "eyJaaaaaaaa." * 8_300,
    "sk": "sk-" * 33_000,
    "pem": "-----BEGIN PRIVATE KEY-----" * 3_700,
    "urls": "://a:" * 20_000,
    "password": "password " * 11_000,
    "password is for": "password for a " * 6_600,
    "secret equals": 'secret="' * 12_500,
    "iban": "DE89 " * 20_000,
    "streets": "1 Aa Bb Cc Dd " * 7_000,
    "german": "Aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa 1 " * 2_500,
    "german ends": "Ringringring 1" * 7_000,
    "capitals": "Aa " * 33_000,
    "han": "中" * 100_000,
    "han streets": "中路1" * 33_000,
    "base64": "aA1" * 33_000,
    "hex": "0123456789abcdef" * 6_250,
    "zero width": "1\u200b" * 50_000,
    "full width": "１" * 100_000,
    "hidden at": "a (at) " * 14_000,
    "hidden dot": "a (at) b" + " (dot) b" * 12_000,
    "names of secrets": "pass: pw - " * 9_000,
    "prefixes": "0x" * 50_000,
    "escapes": "\\" * 100_000,
    "quotes": "'" * 100_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_texts_are_redacted_in_linear_time(redactor: Redactor, name: str) -> None:
    began = time.thread_time()
    redactor.text(HOSTILE[name])
    assert time.thread_time() - began < 2.0


def test_a_key_is_not_read_again_with_each_of_its_values(redactor: Redactor) -> None:
    arguments = json.dumps({"k" * 50_000: ["v"] * 5_000})
    began = time.thread_time()
    assert redactor.arguments(arguments) == arguments
    assert time.thread_time() - began < 2.0


_UNITS = (
    *"a1 .-+@:/\\\"'=([{<_%\n",
    *(
        "aA1",
        "pass",
        "eyJ",
        "12",
        "Aa ",
        "str. 1",
        "sk-",
        "://",
        "at",
        "é",
        "中",
        "．",
        "\u200b",
        "http",
        "key",
        "is ",
    ),
)


@given(unit=st.lists(st.sampled_from(_UNITS), min_size=1, max_size=5).map("".join))
def test_a_unit_repeated_for_long_is_redacted_in_linear_time(unit: str) -> None:
    text = unit * (20_000 // len(unit))
    began = time.thread_time()
    Redactor({}).text(text)
    assert time.thread_time() - began < 1.0
