"""What commands read: by condition, id, words and in order, as other users and while the agent writes."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.agent.journal.making import HOUR_MS, NOW_MS, exchange, running, said, until, write

from stonechat.transcript import Transcript, Turn
from stonechat_agent.journal import (
    FILE,
    JournalUnreadable,
    NotFound,
    Reader,
    SearchError,
    layout,
    search,
)


def found(directory: Path, query: str) -> list[str]:
    with Reader(str(directory)) as reader:
        return [entry.texts.answer for entry in reader.search(query) if entry.texts is not None]


def test_conditions_order_and_limit(directory: Path) -> None:
    write(
        directory,
        exchange(said(), user="u-1", findings=("empty", "slow"), wall_ms=NOW_MS),
        exchange(said(), user="u-2", findings=("emptying",), wall_ms=NOW_MS - HOUR_MS),
        exchange(said(), user="u-1", scores={"toxic": 0.75}),
    )
    with Reader(str(directory)) as reader:
        assert [entry.row["user"] for entry in reader.exchanges()] == ["u-1", "u-2", "u-1"]
        assert [entry.seq for entry in reader.exchanges("user = ?", ["u-1"], order="seq")] == [1, 3]
        assert [entry.seq for entry in reader.exchanges("findings LIKE '% empty %'")] == [1]
        assert [entry.seq for entry in reader.exchanges(order="start", limit=1)] == [2]
        assert [entry.seq for entry in reader.exchanges("json_extract(scores, '$.toxic') > 0.5")] == [3]
        assert reader.exchanges(limit=1)[0].texts is None
        assert reader.exchanges(limit=1, texts=True)[0].texts is not None
        assert reader.select("SELECT user, count(*) FROM exchanges GROUP BY user ORDER BY 1") == [
            ("u-1", 2),
            ("u-2", 1),
        ]
        assert {"start", "ttft", "scores"} <= set(reader.columns)


def test_a_condition_that_is_wrong_is_told(directory: Path) -> None:
    write(directory, exchange())
    with Reader(str(directory)) as reader, pytest.raises(JournalUnreadable, match="no such column: nowhere"):
        reader.exchanges("nowhere > 3")


def test_an_exchange_by_the_beginning_of_its_id(directory: Path) -> None:
    one, other = exchange(said(), id="0aaaaaaaaaaaa"), exchange(said(), id="0aaaaabbbbbbb")
    write(directory, one, other)
    with Reader(str(directory)) as reader:
        assert reader.get(one.id).row["id"] == one.id
        assert reader.get("0AAAAAB").row["id"] == other.id
        with pytest.raises(NotFound, match="several"):
            reader.get("0aaaaa")
        with pytest.raises(NotFound, match="several"):
            reader.get("")
        with pytest.raises(NotFound, match='begins with "1"'):
            reader.get("1")


def test_following_by_number(directory: Path) -> None:
    with running(directory) as one:
        one.put(exchange(said()))
        until(lambda: one.stats().size and not one.stats().waiting)
        with Reader(str(directory)) as reader:
            last = reader.last_seq()
            assert last == 1
            assert reader.exchanges("seq > ?", [last]) == []
            one.put(exchange(said()))
            one.put_event(NOW_MS, "engine_up", "llama", 1)
            until(lambda: reader.exchanges("seq > ?", [last]))
            assert reader.last_seq("events") == 1
            assert reader.events("kind = ?", ["engine_up"])[0].key == "llama"


def test_export_gives_all_in_order(directory: Path) -> None:
    write(directory, *[exchange(said(answer=f"answer {n}"), user=f"u-{n % 2}") for n in range(450)])
    with Reader(str(directory)) as reader:
        entries = list(reader.export())
        assert [entry.seq for entry in entries] == list(range(1, 451))
        assert entries[-1].plain()["answer"] == "answer 449"
        assert entries[-1].plain()["prompt"][1] == ["user", "What is the capital of France?"]
        assert len(list(reader.export("user = ?", ["u-1"]))) == 225


@pytest.fixture(params=["index", "reading"])
def searching(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Once with the index, once as where SQLite has none."""
    if request.param == "reading":
        monkeypatch.setattr(layout, "has_full_text", lambda: False)
    return str(request.param)


def test_words_phrases_and_beginnings(directory: Path, searching: str) -> None:
    write(
        directory,
        exchange(said("How is the weather in São Paulo?", "one")),
        exchange(said("How is the Paulo weather?\nHello", "two")),
        exchange(Transcript([Turn("user", "weatherproof")], answer="three", reasoning="because hydrogen")),
    )
    assert found(directory, "weather") == ["two", "one"]
    assert found(directory, "WEATHER paulo") == ["two", "one"]
    assert found(directory, '"sao paulo"') == ["one"]
    assert found(directory, '"weather in sao"') == ["one"]
    assert found(directory, "weath*") == ["three", "two", "one"]
    assert found(directory, "hello") == ["two"]
    assert found(directory, "hydrogen") == ["three"]
    assert found(directory, "user") == []  # roles are no words
    assert found(directory, "nowhere") == []


def test_scripts_without_spaces_are_found_by_parts(directory: Path, searching: str) -> None:
    write(directory, exchange(said("今天天气怎么样？", "很好")), exchange(said("天国", "two")))
    assert found(directory, "天气") == ["很好"]
    assert found(directory, "天") == ["two", "很好"]


INJECTIONS = ['"', "*", "()", "' --", "\0", "-", "\ud800"]


@pytest.mark.parametrize("query", INJECTIONS)
def test_a_query_without_words_is_told(directory: Path, query: str) -> None:
    write(directory, exchange(said()))
    with Reader(str(directory)) as reader:
        if query == "\ud800":  # reads as "?"
            query = query.encode("utf-8", "replace").decode()
        with pytest.raises(SearchError, match="no letter or digit"):
            reader.search(query)


@pytest.mark.parametrize(
    "query",
    [
        "NEAR(",
        "NEAR(a b, 2)",
        "a AND",
        "OR",
        "NOT a",
        "spoken: a",
        "^a",
        "a + b",
        '"a',
        '""a""',
        "{a}:b",
        "a*b*",
    ],
)
def test_the_query_language_of_sqlite_is_only_text(directory: Path, searching: str, query: str) -> None:
    write(directory, exchange(said(query, "heron")), exchange(said("something else", "egret")))
    assert found(directory, query) == ["heron"]


@given(st.text(max_size=40))
def test_no_query_is_an_error_of_sqlite(query: str) -> None:
    db = sqlite3.connect(":memory:")
    db.execute('CREATE VIRTUAL TABLE words USING fts5(spoken, tokenize="unicode61 remove_diacritics 2")')
    terms = search.terms(query)
    if terms:
        db.execute("SELECT rowid FROM words WHERE words MATCH ?", (search.expression(terms),)).fetchall()
        assert search.speaks_of(terms, query.replace("*", " "))


def test_what_is_not_there_is_told(directory: Path) -> None:
    with pytest.raises(JournalUnreadable, match=r"there is no journal\n  hint: the agent makes it"):
        Reader(str(directory))


def test_something_else_is_told(directory: Path) -> None:
    (directory / FILE).write_bytes(b"not a database at all" * 100)
    with pytest.raises(JournalUnreadable, match="not a database"):
        Reader(str(directory))


def test_damage_is_told_with_what_to_do(directory: Path) -> None:
    write(directory, *(exchange(said()) for _ in range(100)))
    size = (directory / FILE).stat().st_size
    with (directory / FILE).open("r+b") as file:
        file.seek(2048)
        file.write(b"\xa5" * (size - 2048))
    with pytest.raises(JournalUnreadable, match=r"malformed\n  hint: try again; .* restart the agent"):
        Reader(str(directory))


def test_a_later_layout_is_told(directory: Path) -> None:
    write(directory, exchange())
    with sqlite3.connect(directory / FILE) as db:
        db.execute(f"PRAGMA user_version={layout.LAYOUT + 1}")
    with pytest.raises(JournalUnreadable, match="use the version of stonechat that wrote it"):
        Reader(str(directory))


READ = """
import os, sys
from stonechat_agent.journal import JournalUnreadable, Reader
os.setgroups([])
os.setgid(int(sys.argv[3]))
os.setuid(int(sys.argv[2]))
try:
    with Reader(sys.argv[1]) as reader:
        print(len(reader.exchanges()), len(reader.search("paris")))
except JournalUnreadable as error:
    print(error)
"""


def read_as(directory: Path, user: int, group: int) -> str:
    done = subprocess.run(
        [sys.executable, "-c", READ, str(directory), str(user), str(group)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.stderr, done.stderr
    return done.stdout.strip()


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may become somebody else"
)
def test_another_user_reads_as_the_group_allows(directory: Path) -> None:
    group = 54321
    os.chown(directory, 0, group)
    os.chmod(directory, 0o2750)  # as systemd's StateDirectoryMode=0750; files take the group
    with running(directory) as one:
        one.put(exchange(said()))
        until(lambda: one.stats().size and not one.stats().waiting)
        assert read_as(directory, 54322, group) == "1 1"
        assert "hint: run this as root, or be of the file's group" in read_as(directory, 54322, 54322)
        one.put(exchange(said()))
    # The agent has stopped and taken its log and its index away.
    assert os.listdir(directory) == [FILE]
    assert read_as(directory, 54322, group) == "2 2"


def test_a_reader_outlives_the_agent_and_a_new_file(directory: Path) -> None:
    write(directory, exchange(said()))
    with Reader(str(directory)) as reader:
        assert len(reader.exchanges()) == 1
        write(directory, exchange(said()))
        assert len(reader.exchanges()) == 2
        (directory / FILE).unlink()
        write(directory, exchange(said()))
        assert len(reader.exchanges()) == 1


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Connection.setlimit is of Python 3.11")
def test_a_search_without_the_index_finds_more_than_a_statement_has_room_for(directory: Path) -> None:
    """SQLite takes 999 values in a statement before 3.32, and 32,766 since."""
    write(directory, exchange(said()))
    seqs = range(2, 1202)
    with sqlite3.connect(directory / FILE) as db:
        rows = [(seq, f"{seq:013}") for seq in seqs]
        db.executemany("INSERT INTO exchanges (seq, id, start, texts) VALUES (?, ?, 0, 'kept')", rows)
        db.executemany("INSERT INTO texts (seq, id, answer) VALUES (?, ?, '京都')", rows)
    with Reader(str(directory)) as reader:
        assert reader._db is not None
        reader._db.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 999)
        found = [entry.seq for entry in reader.search("京都", limit=-1)]
    assert found == list(reversed(seqs))
