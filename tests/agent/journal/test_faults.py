"""Disks that are full, read-only or damaged, clocks that step, processes that die: the journal goes on."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.agent.journal.making import HOUR_MS, NOW_MS, everything, exchange, running, said, until, write

from stonechat.event import EventKind
from stonechat_agent.journal import FILE, Eraser, Reader
from stonechat_agent.journal import journal as writer
from stonechat_agent.journal.ages import SETTLE_MS, SettledClock
from stonechat_agent.journal.store import Store

DAY_MS = 24 * HOUR_MS


def count(directory: Path) -> int:
    with Reader(str(directory)) as reader:
        return int(reader.select("SELECT count(*) FROM exchanges")[0][0])


@pytest.fixture(autouse=True)
def retry_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "_RETRY_SECONDS", (0.2, 0.4))
    monkeypatch.setattr(writer, "_LOOK_SECONDS", 0.1)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    mount = tmp_path / "mount"
    mount.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(mount)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("mounting a small file system needs root")
    yield mount
    subprocess.run(["umount", "-l", str(mount)], check=True)


def test_a_full_disk_costs_what_does_not_fit_into_memory(
    small_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with running(small_disk) as one:
        one.put(exchange(said()))
        until(lambda: one.stats().size and not one.stats().waiting)
        ballast = small_disk / "ballast"
        with open(ballast, "wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
            while True:
                file.write(bytes(4096))
        began = time.monotonic()
        for n in range(900):
            one.put(exchange(everything(f"heron{n}")))
        assert time.monotonic() - began < 30
        until(lambda: one.stats().fault and one.losses["journal.unwritable"])
        assert "full" in one.stats().fault or "I/O" in one.stats().fault
        assert "heron" not in caplog.text
        assert len(one.recent().exchanges) == writer.RECENT
        ballast.unlink()
        until(lambda: not one.stats().fault and not one.stats().waiting)
        lost = one.losses["journal.unwritable"]
    assert lost <= 900 - writer.PENDING_BOUND // 2
    assert count(small_disk) == 901 - lost
    assert [record.message for record in caplog.records].count("journal not written") == 1


def test_a_disk_that_becomes_read_only_and_writable_again(small_disk: Path) -> None:
    with running(small_disk) as one:
        one.put(exchange(said()))
        until(lambda: one.stats().size and not one.stats().waiting)
        subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=False)
        # What is open keeps a tmpfs writable; the journal's own way to see it is the same as when SQLite refuses.
        one.put(exchange(said()))
        subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
        until(lambda: not one.stats().waiting)
    assert count(small_disk) == 2


def test_a_directory_that_cannot_be_made_until_later(directory: Path) -> None:
    place = directory / "place"
    place.write_bytes(b"")  # as when a disk is not mounted yet
    with running(place) as one:
        one.put(exchange(said()))
        until(lambda: one.stats().fault)
        assert one.unsent(5) == []
        assert len(one.recent().exchanges) == 1
        place.unlink()
        until(lambda: one.stats().size and not one.stats().waiting)
    assert count(place) == 1


def test_stopping_while_the_disk_refuses_is_quick_and_counted(directory: Path) -> None:
    place = directory / "place"
    place.write_bytes(b"")
    with running(place) as one:
        one.put(exchange(said()))
        began = time.monotonic()
    assert time.monotonic() - began < 30
    assert one.losses["journal.unwritable"] == 1


def test_a_file_that_another_process_holds_is_waited_for(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(directory) as one:
        one.put(exchange(said()))
        until(lambda: one.stats().size and not one.stats().waiting)
        with sqlite3.connect(directory / FILE, isolation_level=None) as db:
            db.execute("BEGIN IMMEDIATE")
            one.put(exchange(said()))
            until(lambda: "locked" in one.stats().fault)
            db.execute("ROLLBACK")
        until(lambda: not one.stats().fault and not one.stats().waiting)
    assert count(directory) == 2
    assert not one.losses


@settings(max_examples=40, deadline=None)
@given(st.randoms(use_true_random=False))
def test_whatever_bytes_are_damaged_the_journal_goes_on(rng: random.Random) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as name:
        directory = Path(name)
        write(directory, *[exchange(everything(f"heron {n}")) for n in range(60)])
        content = bytearray((directory / FILE).read_bytes())
        for _ in range(rng.choice([1, 3, 30])):
            at = rng.randrange(rng.choice([100, 2048, len(content)]))
            length = rng.choice([1, 16, 1024])
            content[at : at + length] = rng.randbytes(min(length, len(content) - at))
        if rng.random() < 0.2:
            del content[rng.randrange(len(content)) :]
        (directory / FILE).write_bytes(content)
        with running(directory) as one:
            new = exchange(everything("egret"))
            one.put(new)
            until(lambda: one.stats().size and not one.stats().waiting)
            one.unsent(10)
        with Reader(str(directory)) as reader:
            assert reader.get(new.id).row["id"] == new.id
        assert one.losses.total() == 0


def test_a_damaged_file_is_put_aside_and_an_event_says_so(directory: Path) -> None:
    (directory / FILE).write_bytes(b"zyxsecret" * 1000)
    (directory / f"{FILE}.bad").write_bytes(b"an older one")
    with running(directory) as one:
        one.put(exchange(said()))
        until(lambda: one.stats().size and not one.stats().waiting)
    with Reader(str(directory)) as reader:
        [event] = reader.events()
    assert (event.kind, event.attributes) == ("journal_put_aside", {"file": f"{FILE}.bad"})
    assert sorted(name for name in os.listdir(directory) if ".bad" in name) == [f"{FILE}.bad"]
    assert (directory / f"{FILE}.bad").read_bytes().startswith(b"zyxsecret")
    assert count(directory) == 1


def damage_the_middle(directory: Path) -> None:
    with open(directory / FILE, "r+b") as file:
        size = file.seek(0, os.SEEK_END)
        for page in range(size // 4096 // 3, size // 4096 // 2):
            file.seek(page * 4096)
            file.write(random.Random(page).randbytes(4096))


def test_damage_among_old_rows_is_found_at_the_start_and_later_while_it_runs(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = [exchange(everything(f"heron {n}"), wall_ms=1_000_000 + n) for n in range(900)]
    write(directory, *old, texts="all")
    damage_the_middle(directory)
    with running(directory) as one:
        until(lambda: any(e.kind == EventKind.JOURNAL_PUT_ASIDE for e in one.recent().events))
    for path in directory.glob(f"{FILE}.bad*"):
        path.unlink()
    write(directory, *old, texts="all")
    monkeypatch.setattr(writer, "VERIFY_SECONDS", 0.2)
    with running(directory) as one:
        until(lambda: one.stats().size > 0)
        damage_the_middle(directory)
        until(lambda: bool(list(directory.glob(f"{FILE}.bad*"))))


def test_a_journal_of_a_later_version_is_put_aside(directory: Path) -> None:
    write(directory, exchange(said()))
    with sqlite3.connect(directory / FILE) as db:
        db.execute("PRAGMA user_version=77")
    write(directory, exchange(said()))
    assert count(directory) == 1
    with sqlite3.connect(directory / f"{FILE}.bad") as db:
        assert db.execute("SELECT count(*) FROM exchanges").fetchone()[0] == 1


LAYOUT_1 = """
CREATE TABLE exchanges (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, "start" INTEGER,
    "engine" TEXT, "conversation" TEXT, "user" TEXT, "outcome" TEXT, "findings" TEXT, "gone" TEXT,
    texts TEXT NOT NULL, chosen TEXT, sent INTEGER NOT NULL DEFAULT 0);
CREATE INDEX exchanges_start ON exchanges (start);
CREATE INDEX exchanges_conversation ON exchanges (conversation) WHERE conversation IS NOT NULL;
CREATE INDEX exchanges_user ON exchanges ("user") WHERE "user" IS NOT NULL;
CREATE INDEX exchanges_unsent ON exchanges (chosen, sent) WHERE chosen IS NOT NULL AND sent = 0;
CREATE TABLE texts (seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, prompt TEXT, answer TEXT, reasoning TEXT,
    tool_calls TEXT, error TEXT, cut INTEGER NOT NULL DEFAULT 0, indexed INTEGER NOT NULL DEFAULT 0);
CREATE TABLE events (seq INTEGER PRIMARY KEY AUTOINCREMENT, wall INTEGER NOT NULL, kind TEXT NOT NULL,
    key TEXT NOT NULL, severity INTEGER NOT NULL, count INTEGER NOT NULL, attributes TEXT NOT NULL);
CREATE TABLE forgotten (seq INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, value TEXT NOT NULL,
    texts_only INTEGER NOT NULL);
CREATE VIRTUAL TABLE words USING fts5(spoken, content='', tokenize="unicode61 remove_diacritics 2");
PRAGMA application_id=1400138289;
PRAGMA user_version=1;
INSERT INTO exchanges VALUES (7, '6h16kjcym0000', 1790000000000, 'llama', 'c-1', 'u-1', 'ok', ' empty slow ', 'x',
    'kept', 'flagged', 0);
INSERT INTO texts VALUES (7, '6h16kjcym0000', '[["user", "the crane flew"]]', 'It did.', NULL, '[["fly", "{}"]]', NULL,
    1, 1);
INSERT INTO words (rowid, spoken) VALUES (7, 'the crane flew' || char(10) || 'It did.' || char(10) || 'fly' || char(10)
    || '{}');
INSERT INTO events VALUES (3, 1790000000000, 'engine_up', 'llama', 1, 2, '{"n": 1}');
"""


def test_layout_1_still_reads_and_a_new_field_becomes_a_column(directory: Path) -> None:
    """The file as the first release wrote it, from when fewer fields were known, and one that has since gone."""
    with sqlite3.connect(directory / FILE) as db:
        db.executescript(LAYOUT_1)

    def check(reader: Reader) -> None:
        entry = reader.search("crane")[0]
        assert (entry.seq, entry.chosen, entry.sent) == (7, "flagged", False)
        assert entry.row["findings"] == ["empty", "slow"]
        assert entry.texts is not None
        assert entry.texts.prompt == [("user", "the crane flew")]
        assert entry.texts.tool_calls == [("fly", "{}")]
        assert entry.texts.cut
        assert reader.events()[0].attributes == {"n": 1}

    with Reader(str(directory)) as reader:  # before any agent has been at it
        check(reader)
        assert "ttft" not in reader.columns
    with running(directory) as one:
        until(lambda: one.unsent(5))
        one.put(exchange(said(), status=200))
    with Reader(str(directory)) as reader:
        check(reader)
        assert reader.exchanges("status = 200")[0].seq == 8
        assert {"ttft", "scores"} <= set(reader.columns)
    assert Eraser(str(directory)).forget("id", "6h16kjcym0000").exchanges == 1
    assert b"crane" not in (directory / FILE).read_bytes()


def test_the_file_keeps_its_bound(directory: Path) -> None:
    rng = random.Random(5)
    bound = 1 << 20
    largest = {"": 0, "-wal": 0}
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            for suffix, size in largest.items():
                with contextlib.suppress(OSError):
                    largest[suffix] = max(size, os.stat(directory / f"{FILE}{suffix}").st_size)
            time.sleep(0.005)

    looking = threading.Thread(target=look)
    looking.start()
    with running(directory, max_size=bound) as one:
        last = ""
        for n in range(1200):
            words = " ".join(f"{rng.getrandbits(40):x}" for _ in range(rng.randrange(1, 600)))
            each = exchange(said(f"number{n}", words))
            last = each.id
            one.put(each)
            if n % 100 == 0:
                until(lambda: one.stats().waiting < 100)
    stop.set()
    looking.join()
    assert not one.losses
    assert largest[""] <= bound
    assert largest["-wal"] <= bound
    assert os.stat(directory / FILE).st_size > bound // 2
    with Reader(str(directory)) as reader:
        seqs = [entry.seq for entry in reader.exchanges(order="seq", limit=-1)]
        assert reader.get(last).texts is not None
        assert len(reader.search("number1199")) == 1
        assert reader.search("number5") == []
    assert seqs == list(range(1201 - len(seqs), 1201)), "the oldest went, and none between"
    assert len(seqs) > 50
    with sqlite3.connect(directory / FILE) as db:
        db.execute("INSERT INTO words (words) VALUES ('integrity-check')")
        assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"


def test_what_is_too_old_goes(directory: Path) -> None:
    path = str(directory / FILE)
    ages = [DAY_MS * n for n in (40, 31, 29, 1)]
    never_set = exchange(said(answer="heron"), wall_ms=5_000)
    newest = exchange(said(), wall_ms=6_000)
    write(directory, exchange(said(answer="egret"), wall_ms=NOW_MS - ages[0]), never_set)
    with running(directory) as one:
        for age in ages[1:]:
            one.put(exchange(said(), wall_ms=NOW_MS - age))
            one.put_event(NOW_MS - age, "engine_up", str(age), 1)
        one.put(newest)
    store = Store(path, 8 << 20)
    assert store.delete_before(NOW_MS - 30 * DAY_MS, NOW_MS - 1000 * DAY_MS) == 4  # three and an event
    store.close()
    with Reader(str(directory)) as reader:
        starts = [entry.row["start"] for entry in reader.exchanges(order="seq")]
        assert starts == [NOW_MS - ages[2], NOW_MS - ages[3], 6_000]
        assert len(reader.events()) == 2
    assert b"heron" not in (directory / FILE).read_bytes()


def test_age_is_looked_at_while_it_runs(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "_SWEEP_SECONDS", 0.05)
    monkeypatch.setattr("stonechat_agent.journal.ages.SETTLE_MS", 200)
    (directory / f"{FILE}.bad").write_bytes(b"")
    os.utime(directory / f"{FILE}.bad", (1_700_000_000, 1_700_000_000))
    with running(directory) as one:
        one.put(exchange(said(), wall_ms=NOW_MS - 31 * DAY_MS))
        one.put(exchange(said(), wall_ms=NOW_MS - 29 * DAY_MS))
        until(lambda: one.stats().size and count(directory) == 1)
        until(lambda: len(one.recent().exchanges) == 1)
        until(lambda: not (directory / f"{FILE}.bad").exists())


def test_a_clock_is_believed_once_it_has_gone_on_for_a_while() -> None:
    clock = SettledClock()
    minute = 60_000
    assert clock.look(NOW_MS, 0) is None
    assert clock.look(NOW_MS + SETTLE_MS - 1, SETTLE_MS - 1) is None
    assert clock.look(NOW_MS + SETTLE_MS, SETTLE_MS) == NOW_MS + SETTLE_MS
    # Ten years ahead, for nine minutes: nothing is deleted by that.
    now, ahead = SETTLE_MS, 3650 * DAY_MS
    for _ in range(9):
        now += minute
        assert clock.look(NOW_MS + now + ahead, now) == NOW_MS + now
    now += minute
    assert clock.look(NOW_MS + now, now) == NOW_MS + now
    # Ahead for good.
    for _ in range(10):
        now += minute
        assert clock.look(NOW_MS + now + ahead, now) == NOW_MS + now
    now += minute
    assert clock.look(NOW_MS + now + ahead, now) == NOW_MS + now + ahead
    # Back: at once.
    now += minute
    assert clock.look(1_000, now) == 1_000


@given(st.lists(st.tuples(st.integers(0, 2 * SETTLE_MS), st.integers(0, 2 * NOW_MS)), min_size=1))
def test_deleting_never_runs_ahead_of_the_clock(steps: list[tuple[int, int]]) -> None:
    clock = SettledClock()
    monotonic = 0
    for passed, wall in steps:
        monotonic += passed
        found = clock.look(wall, monotonic)
        assert found is None or found <= wall


def test_starts_that_go_backwards_change_no_order(directory: Path) -> None:
    exchanges = [exchange(said(), wall_ms=NOW_MS - n * HOUR_MS) for n in range(5)]
    write(directory, *exchanges)
    with Reader(str(directory)) as reader:
        assert [e.row["id"] for e in reader.exchanges(order="seq")] == [one.id for one in exchanges]
        assert reader.exchanges(limit=1)[0].row["id"] == exchanges[-1].id


WRITING = """
import itertools, sys, time
from pathlib import Path
from stonechat_agent.journal import journal as writer
from tests.agent.journal.making import exchange, journal, everything, NOW_MS
writer.BATCH_SECONDS = 0.02
writer.SLOW_BATCH_SECONDS = 0.02
one = journal(Path(sys.argv[1]), max_size=int(sys.argv[2]))
one.start()
for n in itertools.count(int(sys.argv[3])):
    one.put(exchange(everything(f"number{n} " + "word " * (n % 300)), wall_ms=NOW_MS + n), "sample")
    print(n, flush=True)
    while one.stats().waiting > 50:
        time.sleep(0.001)
"""


@pytest.mark.slow
def test_a_process_that_is_killed_loses_its_last_batch_at_most(directory: Path) -> None:
    rng = random.Random(11)
    root = Path(__file__).parents[3]
    first = 0
    for _ in range(12):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITING, str(directory), str(2 << 20), str(first)],
            stdout=subprocess.PIPE,
            cwd=root,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline()
        time.sleep(rng.random())
        process.send_signal(signal.SIGKILL)
        told = [int(line) for line in process.stdout.read().split("\n")[:-1]]
        process.wait()
        last = told[-1] if told else first
        with Reader(str(directory)) as reader:  # also before any agent mends it
            found = sorted(row[0] - NOW_MS for row in reader.select("SELECT start FROM exchanges"))
        with sqlite3.connect(directory / FILE) as db:
            assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
            db.execute("INSERT INTO words (words) VALUES ('integrity-check')")
        reached = max(found, default=first - 1)
        assert last - reached <= 51 + writer.BATCH_ENTRIES
        here = [n for n in found if n >= first]
        assert here == list(range(here[0], reached + 1)) if here else True
        first = reached + 1
    with running(directory) as one:
        assert one.unsent(1)
    assert first > 100
