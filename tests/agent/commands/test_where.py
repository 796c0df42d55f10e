"""Conditions: what they mean, checked against SQLite, and what is said of wrong ones."""

from __future__ import annotations

import json
import operator
import random
import re
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stonechat.exchange_row import BY_NAME, FIELDS
from stonechat_agent.commands import fields, where
from stonechat_agent.commands.where import WhereError, compile_condition

NOW = 1_800_000_000_000
Row = dict[str, Any]


@pytest.fixture(scope="module")
def table() -> Iterator[sqlite3.Connection]:
    connection = make_table()
    yield connection
    connection.close()


def make_table() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    columns = ", ".join(f'"{field.name}"' for field in FIELDS)
    connection.execute(f"CREATE TABLE exchanges (seq INTEGER PRIMARY KEY, {columns}, texts)")
    connection.execute(
        "CREATE TABLE texts (seq INTEGER PRIMARY KEY, prompt, answer, reasoning, tool_calls, error)"
    )
    return connection


def put(connection: sqlite3.Connection, rows: list[Row]) -> None:
    connection.execute("DELETE FROM exchanges")
    for seq, row in enumerate(rows):
        stored = dict(row)
        for name in ("findings", "notes"):
            if name in row:
                stored[name] = " " + " ".join(row[name]) + " "
        if "scores" in row:
            stored["scores"] = json.dumps(row["scores"])
        names = ", ".join(f'"{name}"' for name in ("seq", *stored))
        marks = ", ".join("?" * (len(stored) + 1))
        connection.execute(f"INSERT INTO exchanges ({names}) VALUES ({marks})", (seq, *stored.values()))
    texts = (
        json.dumps([["user", 'My refund? Don\'t say "no"']]),
        "Of course.",
        json.dumps([["look", "order 42"]]),
    )
    connection.execute(
        "INSERT OR REPLACE INTO texts (seq, prompt, answer, tool_calls) VALUES (0, ?, ?, ?)", texts
    )


def select(connection: sqlite3.Connection, text: str) -> list[int]:
    condition = compile_condition(text, now_ms=NOW)
    found = connection.execute(
        f"SELECT seq FROM exchanges WHERE {condition.sql} ORDER BY seq", condition.parameters
    )
    return [seq for (seq,) in found]


ROWS: list[Row] = [
    {
        "start": NOW - 3_600_000,
        "model": "qwen2.5:0.5b",
        "outcome": "ok",
        "streamed": True,
        "ttft": 2_500_000,
        "duration": 9_000_000,
        "output_tokens": 101,
        "decode": 5_000_000,
        "request_bytes": 2048,
        "findings": ["repetition", "cut"],
        "scores": {"toxic": 0.75},
        "texts": "kept",
    },
    {
        "start": NOW - 60_000,
        "model": "50%_done",
        "outcome": "error",
        "error_type": "timeout",
        "streamed": False,
        "ttft": 1_999_999,
        "scores": {"toxic": 0.25, "quality": 1},
        "texts": "not_flagged",
    },
    {"start": NOW, "outcome": "aborted", "texts": "none"},
]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ttft > 2s", [0]),
        ("ttft <= 2s", [1]),
        ("not ttft > 2s", [1]),
        ("ttft is unknown", [2]),
        ("ttft is not known or ttft is not unknown", [0, 1, 2]),
        ("outcome != ok", [1, 2]),
        ("outcome <> ok and streamed", []),
        ("streamed", [0]),
        ("not streamed", [1]),
        ("streamed = no or streamed is unknown", [1, 2]),
        ("model = qwen2.5:0.5b", [0]),
        ("model = 'qwen2.5:0.5b'", [0]),
        ("model ~ QWEN", [0]),
        ("model ~ 'q*:0?5B'", [0]),
        ("model ~ '%'", [1]),
        ("model ~ '_done'", [1]),
        ("model !~ qwen", [1]),
        ("outcome in (ok, aborted)", [0, 2]),
        ("outcome not in (ok, aborted)", [1]),
        ("error_type in (timeout)", [1]),
        ("finding = repetition", [0]),
        ("finding != repetition", [1, 2]),
        ("findings in (cut, refusal)", [0]),
        ("finding = rep", []),
        ("finding ~ rep", [0]),
        ("findings is unknown", [1, 2]),
        ("toxic > 0.5", [0]),
        ("score.toxic < 0.5", [1]),
        ("quality = 1", [1]),
        ("not toxic > 0.5", [1]),
        ("toxic is unknown", [2]),
        ("decode_rate >= 20", [0]),
        ("decode_rate > 20", []),
        ("age > 30m", [0]),
        ("age <= 1m", [1, 2]),
        ("age = 1m", [1]),
        ("start >= 2027-01-15T07:59:00Z", [1, 2]),
        ("request_bytes = 2KiB", [0]),
        ("request_bytes > 2047", [0]),
        ("text is known", [0]),
        ("text is unknown", [1, 2]),
        ("text ~ 'REFUND'", [0]),
        ("text ~ 'say \"no\"'", [0]),
        ("text ~ 'order*42'", [0]),
        ("text ~ user", []),
        ("text !~ refund", []),
        ("text !~ weather", [0]),
        ("ttft > 2s AND outcome = ok", [0]),
        ("outcome = ok or outcome = error and ttft > 2s", [0]),
        ("(outcome = ok or outcome = error) and ttft > 1s", [0, 1]),
        ("not (outcome = ok or outcome = error)", [2]),
        ("not not outcome = ok", [0]),
        ('ttft > 2s and toxic > 0.5 and model ~ "qwen" and (outcome != ok or finding = repetition)', [0]),
    ],
)
def test_what_a_condition_selects(table: sqlite3.Connection, text: str, expected: list[int]) -> None:
    put(table, ROWS)
    assert select(table, text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "tftt > 2s and outcome = ok",
            "--where: no field 'tftt': expected 'ttft'?\n  tftt > 2s and outcome = ok\n  ^",
        ),
        (
            "ttft > 2",
            "--where: found '2': expected a duration with its unit, such as 250ms, 2s or 1h; "
            "did you mean 2s or 2ms?\n  ttft > 2\n         ^",
        ),
        (
            "outcome = okay",
            "--where: found 'okay': expected ok, error or aborted\n  outcome = okay\n            ^",
        ),
        (
            "ttft >",
            "--where: found the end: expected a value for ttft\n  ttft >\n        ^",
        ),
        (
            "",
            "--where: found the end: expected a field such as ttft, model or outcome\n  \n  ^",
        ),
        (
            "(ttft > 2s",
            "--where: found the end: expected ')', 'and' or 'or'\n  (ttft > 2s\n            ^",
        ),
        (
            "ttft > 2s outcome = ok",
            "--where: found 'outcome': expected 'and', 'or' or the end\n  ttft > 2s outcome = ok\n            ^",
        ),
        (
            "model = 'qwen",
            "--where: a quote that never ends: expected another '\n  model = 'qwen\n          ^",
        ),
        (
            "ttft ~ 2s",
            "--where: found '~': expected a comparison such as '>', '<=', 'in' or 'is'\n  ttft ~ 2s\n       ^",
        ),
        (
            "text = hello",
            "--where: found '=': expected '~' and a pattern, or 'is known'\n  text = hello\n       ^",
        ),
        (
            "streamed > true",
            "--where: found '>': expected '= true', '= false' or 'is'\n  streamed > true\n           ^",
        ),
        (
            "ttft > 2s; drop table exchanges",
            "--where: found ';': expected a field, an operator, or quotes around a value\n"
            "  ttft > 2s; drop table exchanges\n           ^",
        ),
        (
            "toxic > high",
            "--where: found 'high': expected a number from 0 to 1, such as 0.5\n  toxic > high\n          ^",
        ),
        (
            "start > yesterday",
            "--where: found 'yesterday': expected a time such as 2026-05-01 or '2026-05-01 14:30'; "
            "or use age, as in age < 1h\n  start > yesterday\n          ^",
        ),
    ],
)
def test_a_wrong_condition_says_where_and_what(text: str, message: str) -> None:
    with pytest.raises(WhereError) as caught:
        compile_condition(text, now_ms=NOW)
    assert str(caught.value) == message


def test_an_unknown_name_far_from_all_lists_them() -> None:
    with pytest.raises(WhereError, match=r"no field 'zzzzzz': expected one of id, start, .*, toxic"):
        compile_condition("zzzzzz = 1", now_ms=NOW)


@pytest.mark.parametrize(
    "text",
    [
        "ttft > 1s" + " and ttft > 1s" * where.MAX_COMPARISONS,
        "not " * where.MAX_DEPTH + "streamed",
        "(" * where.MAX_DEPTH + "streamed" + ")" * where.MAX_DEPTH,
        "outcome in (" + ", ".join(["ok"] * (where.MAX_COMPARISONS + 1)) + ")",
        "model = '" + "x" * where.MAX_CHARACTERS + "'",
        "output_tokens > 99999999999999999999",
        "ttft > 9999999999999h",
        "start > 9999-12-31T23:59:59-14:00",
        "model = '\ud800'",
        "model = '\0'",
    ],
)
def test_what_lies_beyond_a_bound_is_refused(text: str) -> None:
    with pytest.raises(WhereError):
        compile_condition(text, now_ms=NOW)


def test_sqlite_takes_what_lies_at_the_bounds(table: sqlite3.Connection) -> None:
    put(table, ROWS)
    half = where.MAX_DEPTH // 2 - 1
    nested = "streamed or not (" * half + "streamed" + ")" * half
    select(table, nested)
    select(table, "ttft > 1s or not (ttft > 1s and (" * (half // 2) + "streamed" + "))" * (half // 2))
    select(table, "streamed" + " or streamed" * (where.MAX_COMPARISONS - 1))
    select(table, "ttft in (" + ", ".join(["1s"] * where.MAX_COMPARISONS) + ")")
    select(table, "finding in (" + ", ".join(["a"] * where.MAX_COMPARISONS) + ")")


def test_no_score_has_the_name_of_a_field() -> None:
    assert not set(fields.SCORES) & {*BY_NAME, *where.DERIVED, *where.ALIASES}


# The same, for random conditions on random rows: a reference in Python with SQL's three values of truth.

WORDS = ["ok", "qwen2.5:0.5b", "QWEN", "a", "ab", "b%", "a_b", "timeout"]
NUMBERS = ["ttft", "duration", "decode", "output_tokens", "request_bytes", "status"]
TEXTS = ["model", "engine", "error_type", "finish_reason"]
Truth = bool | None
Meaning = Callable[[Row], Truth]
ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def quoted(word: str, rng: random.Random) -> str:
    if re.fullmatch(r"[A-Za-z0-9._:/@+-]+", word) and rng.random() < 0.5:
        return word
    quote = rng.choice("'\"")
    return quote + word.replace("\\", "\\\\").replace(quote, "\\" + quote) + quote


def written_duration(us: int, rng: random.Random) -> str:
    return rng.choice([f"{us}us", f"{us * 1000}ns", f"{us / 1000:.3f}ms", f"{us / 1_000_000:.6f}s"])


def matches(pattern: str, text: str) -> bool:
    parts = {"*": ".*", "?": "."}
    expression = "".join(parts.get(character, re.escape(character)) for character in pattern)
    return re.search(expression, text, re.DOTALL | re.IGNORECASE | re.ASCII) is not None


def random_comparison(rng: random.Random) -> tuple[str, Meaning]:
    kind = rng.randrange(9)
    sign, order = rng.choice(list(ORDERS.items()))
    if kind == 0:
        name, us = rng.choice(["ttft", "duration", "decode"]), rng.choice([0, 1, 2, 3])
        text = f"{name} {sign} {written_duration(us, rng)}"
        return text, lambda row: order(row[name], us) if name in row else None
    if kind == 1:
        name, number = rng.choice(["output_tokens", "request_bytes", "status"]), rng.choice([0, 1, 2, 3])
        return f"{name} {sign} {number}", lambda row: order(row[name], number) if name in row else None
    if kind == 2:
        name, word = rng.choice(TEXTS), rng.choice(WORDS)
        text = f"{name}{sign}{quoted(word, rng)}"
        return text, lambda row: order(row[name], word) if name in row else None
    if kind == 3:
        name, pattern = rng.choice(TEXTS), rng.choice([*WORDS, "a*b", "?b", "*", "%", "_"])
        negated = rng.random() < 0.5
        text = f"{name} {'!~' if negated else '~'} {quoted(pattern, rng)}"
        return text, lambda row: matches(pattern, row[name]) != negated if name in row else None
    if kind == 4:
        name, some = rng.choice(TEXTS), rng.sample(WORDS, rng.randint(1, 3))
        negated = rng.random() < 0.5
        text = f"{name} {'not ' * negated}in ({', '.join(quoted(word, rng) for word in some)})"
        return text, lambda row: (row[name] in some) != negated if name in row else None
    if kind == 5:
        word, negated = rng.choice(WORDS), rng.random() < 0.5
        text = f"finding {'!=' if negated else '='} {quoted(word, rng)}"
        return text, lambda row: (word in row.get("findings", [])) != negated
    if kind == 6:
        share = rng.choice([0, 0.25, 0.5, 1])
        meaning: Meaning = lambda row: (  # noqa: E731
            order(row["scores"]["toxic"], share) if "toxic" in row.get("scores", {}) else None
        )
        return f"{rng.choice(['toxic', 'score.toxic'])} {sign} {share}", meaning
    if kind == 7:
        name, known = rng.choice([*TEXTS, *NUMBERS, "streamed"]), rng.random() < 0.5
        text = f"{name} is {rng.choice(['known', 'not unknown']) if known else rng.choice(['unknown', 'not known'])}"
        return text, lambda row: (name in row) == known
    ms = rng.choice([0, 1000, 2000])
    return f"age {sign} {ms}ms", lambda row: order(NOW - row["start"], ms) if "start" in row else None


def random_condition(rng: random.Random, depth: int) -> tuple[str, Meaning]:
    kind = rng.randrange(6) if depth else 5
    if kind <= 1:
        (one, first), (two, second) = random_condition(rng, depth - 1), random_condition(rng, depth - 1)
        if kind == 0:
            return f"({one}) and ({two})", lambda row: both(first(row), second(row))
        return f"({one}) or ({two})", lambda row: negation(both(negation(first(row)), negation(second(row))))
    if kind == 2:
        one, first = random_condition(rng, depth - 1)
        return f"not ({one})", lambda row: negation(first(row))
    if kind == 3:  # without parentheses: 'and' binds closer than 'or', 'not' closer than both
        (one, first), (two, second), (three, third) = (random_comparison(rng) for _ in range(3))
        return f"{one} OR not {two} And {three}", lambda row: negation(
            both(negation(first(row)), negation(both(negation(second(row)), third(row))))
        )
    return random_comparison(rng)


def both(one: Truth, two: Truth) -> Truth:
    if one is False or two is False:
        return False
    return None if one is None or two is None else True


def negation(truth: Truth) -> Truth:
    return None if truth is None else not truth


def random_row(rng: random.Random) -> Row:
    row: Row = {"start": NOW - rng.choice([0, 1000, 2000, 3000])}
    row.update({name: rng.randrange(4) for name in NUMBERS if rng.random() < 0.7})
    row.update({name: rng.choice(WORDS) for name in TEXTS if rng.random() < 0.7})
    if rng.random() < 0.7:
        row["streamed"] = rng.random() < 0.5
    if rng.random() < 0.5:
        row["findings"] = rng.sample(WORDS[:5], rng.randint(1, 3))
    if rng.random() < 0.7:
        row["scores"] = {"toxic": rng.choice([0, 0.25, 0.5, 1])} if rng.random() < 0.7 else {"hate": 0.5}
    return row


@given(st.integers(0, 2**64))
@settings(max_examples=400, deadline=None)
def test_sql_agrees_with_a_reference(seed: int) -> None:
    rng = random.Random(seed)
    rows = [random_row(rng) for _ in range(8)]
    text, meaning = random_condition(rng, 3)
    connection = make_table()
    try:
        put(connection, rows)
        assert select(connection, text) == [n for n, row in enumerate(rows) if meaning(row) is True], text
    finally:
        connection.close()


PIECES = st.sampled_from(
    [*where.names(), "and", "or", "not", "in", "is", "known", "unknown", "(", ")", ",", "=", "!=", "~", "!~", ">=",
     "2s", "10kB", "0.5", "1", "true", "ok", "'x y'", '"', "'", "\\", "2026-01-01", "2026-01-01T25:00", "1e9",
     "score.x"]
)  # fmt: skip


@given(st.one_of(st.text(max_size=60), st.lists(PIECES, max_size=14).map(" ".join)))
@settings(max_examples=600, deadline=None)
def test_nothing_but_its_own_error_is_ever_raised(text: str) -> None:
    connection = make_table()
    error = None
    try:
        select(connection, text)
    except WhereError as caught:
        error = caught
    finally:
        connection.close()
    if error is not None:
        assert 0 <= error.at <= len(text)
        *_, place = str(error).split("\n")
        assert place.strip() == "^"
