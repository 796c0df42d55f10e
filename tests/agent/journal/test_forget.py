"""What is forgotten is gone: from the file, its log, and the memory of the agent that runs."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from random import Random

import pytest
from tests.agent.journal.making import (
    HOUR_MS,
    NOW_MS,
    bytes_of,
    everything,
    exchange,
    running,
    said,
    until,
    write,
)

from stonechat.exchange import Source
from stonechat_agent.journal import FILE, Eraser, JournalUnreadable, Reader, layout


def rows(directory: Path) -> list[str]:
    with Reader(str(directory)) as reader:
        return [entry.row["id"] for entry in reader.exchanges(order="seq", limit=-1)]


@pytest.mark.parametrize("full_text", [True, False])
@pytest.mark.parametrize("kind", ["id", "conversation", "user", "before"])
def test_no_byte_of_a_forgotten_text_remains(
    directory: Path, kind: str, full_text: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not full_text:
        monkeypatch.setattr(layout, "has_full_text", lambda: False)
    random = Random(3)

    def chatter() -> str:
        return " ".join(f"common{random.randrange(2000)}" for _ in range(random.randrange(200)))

    mine = {"conversation": "c-mine", "user": "u-mine"}
    others = {"conversation": "c-other", "user": "u-other"}
    meant = [
        exchange(everything(f"zyx{n}secret {chatter()}"), wall_ms=NOW_MS - HOUR_MS, **mine)
        for n in range(1 if kind == "id" else 40)
    ]
    spared = [exchange(everything(f"spared{n} {chatter()}"), **others) for n in range(100)]
    both = meant + spared
    random.shuffle(both)
    with running(directory) as one:
        for each in both:
            one.put(each)
            one.update(each.id, {"s": random.random(), "t" * random.randrange(1, 60): 0.5}, ["f"])
        until(lambda: one.stats().size and not one.stats().waiting)
        assert b"secret" in bytes_of(directory)
        value = {"id": meant[0].id, "conversation": "c-mine", "user": "u-mine", "before": str(NOW_MS - 1)}
        erased = Eraser(str(directory)).forget(kind, value[kind])
        assert erased == (len(meant), 0, "")
        assert b"secret" not in bytes_of(directory)
        assert b"zyx" not in bytes_of(directory)
        assert sorted(rows(directory)) == sorted(each.id for each in spared)
        with Reader(str(directory)) as reader:
            assert reader.search("zyx*") == []
            assert len(reader.search("spared*")) == 100
        until(lambda: len(one.recent().exchanges) == 100)
        one.put(exchange(said("and on it goes")))
        until(lambda: not one.stats().waiting)
    assert b"secret" not in bytes_of(directory)
    assert len(rows(directory)) == 101


def test_what_has_not_been_written_does_not_come_back(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stonechat_agent.journal import journal

    with running(directory, texts="flagged") as one:
        waits = exchange(everything("zyxsecret"), user="u-mine")
        one.put(waits)
        until(lambda: one.stats().size and not one.stats().waiting)
        monkeypatch.setattr(journal, "BATCH_SECONDS", 3.0)
        pending = exchange(everything("zyxsecret"), user="u-mine", findings=("empty",))
        one.put(pending)
        under_way = exchange(everything("zyxsecret"), user="u-mine", findings=("empty",))
        Eraser(str(directory)).forget("user", "u-mine")
        until(lambda: not one.recent().exchanges)
        one.update(waits.id, {"toxic": 1.0}, ["toxic"])  # the verdict comes too late
        one.put(under_way)
        later = exchange(everything("from now on"), user="u-mine", findings=("empty",))
        recorded = exchange(
            everything("told"), user="u-mine", findings=("f",), source=Source.RECORD, accepted_ns=0
        )
        one.put(later)
        one.put(recorded)
    assert b"secret" not in bytes_of(directory)
    assert rows(directory) == [later.id, recorded.id]


def test_texts_alone_may_be_forgotten(directory: Path) -> None:
    one, other = exchange(everything("zyxsecret"), user="u-mine"), exchange(said())
    write(directory, one, other)
    assert Eraser(str(directory)).forget("user", "u-mine", texts_only=True).exchanges == 1
    with Reader(str(directory)) as reader:
        assert [entry.state for entry in reader.exchanges()] == ["kept", "forgotten"]
        assert reader.get(one.id).texts is None
    assert b"secret" not in bytes_of(directory)
    assert Eraser(str(directory)).forget("user", "u-mine", texts_only=True).exchanges == 0


def test_texts_alone_in_the_memory_of_the_agent(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from stonechat_agent.journal import journal

    monkeypatch.setattr(journal, "BATCH_SECONDS", 3.0)
    with running(directory) as one:
        until(lambda: one.stats().size)
        mine = exchange(everything("zyxsecret"), user="u-mine")
        one.put(mine)
        Eraser(str(directory)).forget("user", "u-mine", texts_only=True)
        until(lambda: one.recent().exchanges[0].get("texts") == "forgotten")
    assert rows(directory) == [mine.id]
    assert b"secret" not in bytes_of(directory)


@pytest.mark.parametrize("seen", [True, False])
def test_a_verdict_that_comes_later_brings_no_forgotten_text_back(directory: Path, seen: bool) -> None:
    """Whether the agent has seen by then that they are to be forgotten, or not."""
    with running(directory, texts="flagged") as one:
        mine = exchange(everything("zyxsecret"), user="u-mine")
        one.put(mine)
        until(lambda: one.stats().size and not one.stats().waiting)
        with Reader(str(directory)) as reader:
            Eraser(str(directory)).forget("user", "u-mine", texts_only=True)
            if seen:
                until(lambda: not one._waiting)
            one.update(mine.id, {"toxic": 1.0}, ["toxic"])
            until(lambda: "findings" in reader.get(mine.id).row)
            assert reader.get(mine.id).texts is None
    assert b"secret" not in bytes_of(directory)


def test_a_verdict_on_what_was_under_way_brings_no_forgotten_text_back(directory: Path) -> None:
    """It came to its end after somebody had asked to forget, and was flagged later still."""
    with running(directory, texts="flagged") as one:
        until(lambda: one.stats().size)
        under_way = exchange(everything("zyxsecret"), user="u-mine")
        Eraser(str(directory)).forget("user", "u-mine", texts_only=True)
        until(lambda: one._forgotten)
        one.put(under_way)
        until(lambda: rows(directory))
        one.update(under_way.id, {"toxic": 1.0}, ["toxic"])
        with Reader(str(directory)) as reader:
            until(lambda: "findings" in reader.get(under_way.id).row)
            assert reader.get(under_way.id).state == "forgotten"
    assert b"secret" not in bytes_of(directory)


def test_what_was_forgotten_while_the_file_was_busy_does_not_come_back(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rewriting a large file takes longer than the writer waits for it: it gives up, and opens the file anew."""
    from stonechat_agent.journal import journal, store

    # It would look between forgetting and rewriting, unless both come within a second of the last look.
    monkeypatch.setattr(store, "_BUSY_SECONDS", 0.1)
    with running(directory) as one:
        until(lambda: one.stats().size)
        monkeypatch.setattr(journal, "_LOOK_SECONDS", 30.0)
        with sqlite3.connect(directory / FILE, isolation_level=None) as erasing:
            erasing.execute("INSERT INTO forgotten (kind, value, texts_only) VALUES ('user', 'u-mine', 0)")
            erasing.execute("BEGIN IMMEDIATE")
            one.put(exchange(everything("zyxsecret"), user="u-mine", accepted_ns=0))
            until(lambda: one.stats().fault)
            erasing.execute("ROLLBACK")
    assert rows(directory) == []
    assert b"secret" not in bytes_of(directory)


@pytest.mark.parametrize("seed", [4, 7])
def test_what_moved_within_the_file_is_gone_as_well(directory: Path, seed: int) -> None:
    """Texts that come between others make pages split, and leave copies where they were before: with secure_delete
    alone, a word of what was deleted was left in 162 of 300 tables that were filled in random order."""
    random = Random(seed)
    with running(directory, texts="flagged") as one:
        exchanges = []
        for _ in range(240):
            who, word = random.choice([("u-mine", "zyxsecret"), ("u-other", "spared")])
            exchanges.append(exchange(said("q", f"{word} " * random.randrange(1, 40)), user=who))
            one.put(exchanges[-1])
        until(lambda: one.stats().size and not one.stats().waiting)
        random.shuffle(exchanges)
        for each in exchanges:
            one.update(each.id, {}, ["late"])
        until(lambda: not one.stats().waiting)
        mine = sum(each.user == "u-mine" for each in exchanges)
        assert Eraser(str(directory)).forget("user", "u-mine") == (mine, 0, "")
        assert b"secret" not in bytes_of(directory)


def test_events_go_with_what_was_before(directory: Path) -> None:
    with running(directory) as one:
        one.put_event(NOW_MS - HOUR_MS, "engine_down", "a", 3)
        one.put_event(NOW_MS, "engine_up", "a", 1)
    assert Eraser(str(directory)).forget("before", str(NOW_MS)) == (0, 1, "")
    with Reader(str(directory)) as reader:
        assert [event.kind for event in reader.events()] == ["engine_up"]


def test_a_journal_that_was_put_aside_goes_too(directory: Path) -> None:
    write(directory, exchange(said()))
    (directory / f"{FILE}.bad").write_bytes(b"zyxsecret")
    Eraser(str(directory)).forget("user", "u-mine")
    assert os.listdir(directory) == [FILE]


def test_a_reader_that_stays_is_told_of(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from stonechat_agent.journal import eraser

    monkeypatch.setattr(eraser, "_BUSY_SECONDS", 0.2)
    with running(directory) as one:
        one.put(exchange(said(), user="u-mine"))
        until(lambda: one.stats().size and not one.stats().waiting)
        with sqlite3.connect(directory / FILE, isolation_level=None) as reading:
            reading.execute("BEGIN")
            reading.execute("SELECT count(*) FROM exchanges").fetchone()
            erased = Eraser(str(directory)).forget("user", "u-mine")
            reading.execute("COMMIT")
    assert erased.exchanges == 1
    assert "another process" in erased.left


def test_no_journal_is_told(directory: Path) -> None:
    with pytest.raises(JournalUnreadable, match="there is no journal"):
        Eraser(str(directory))
    assert os.listdir(directory) == []


@pytest.mark.parametrize(("kind", "value"), [("everything", "x"), ("before", "yesterday")])
def test_wrong_use_is_an_error(directory: Path, kind: str, value: str) -> None:
    write(directory, exchange(said()))
    with pytest.raises(ValueError, match=r"kind must be|invalid literal"):
        Eraser(str(directory)).forget(kind, value)
    assert len(rows(directory)) == 1
