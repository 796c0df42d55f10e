"""What the writer keeps, what it lets go, and that it never waits."""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
import time
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.agent.journal.making import NOW_MS, bytes_of, everything, exchange, running, said, until, write

from stonechat.exchange import Outcome, Provenance, Quantity, Source
from stonechat.transcript import Transcript, Turn
from stonechat_agent.journal import FILE, KEPT, WHY, Reader
from stonechat_agent.journal import journal as writer


def kept(directory: Path, **where: Any) -> list[Any]:
    with Reader(str(directory)) as reader:
        return reader.exchanges(order="seq", texts=True, limit=-1)


def test_an_exchange_comes_back_as_it_was_put(directory: Path) -> None:
    one = exchange(
        everything("heron"),
        user="u-0123456789ab",
        conversation="c-0123456789ab",
        request_model="llama-3.2:3b",
        streamed=True,
        status=200,
        findings=("empty", "repetition"),
        notes={"body_over_bound"},
        scores={"toxic": 0.25, "repetition": 0.9},
        input_tokens=Quantity(12, Provenance.ENGINE),
    )
    write(directory, one)
    [entry] = kept(directory)
    assert entry.state == KEPT
    assert entry.row["id"] == one.id
    assert entry.row["user"] == "u-0123456789ab"
    assert entry.row["model"] == "llama-3.2:3b"
    assert entry.row["streamed"] is True
    assert entry.row["findings"] == ["empty", "repetition"]
    assert entry.row["notes"] == ["body_over_bound"]
    assert entry.row["scores"] == {"toxic": 0.25, "repetition": 0.9}
    assert (entry.row["input_tokens"], entry.row["input_tokens_from"]) == (12, "engine")
    assert "output_tokens" not in entry.row
    assert entry.texts.prompt == [("system", "s heron"), ("user", "u heron"), ("tool", "t heron")]
    assert entry.texts.answer == "a heron"
    assert entry.texts.reasoning == "r heron"
    assert entry.texts.tool_calls == [("n_heron", '{"x": "heron"}')]
    assert entry.texts.error == "e heron"
    assert entry.plain()["texts"] == KEPT


def test_the_file_is_for_its_owner_and_group(directory: Path) -> None:
    with running(directory) as one:
        one.put(exchange(said()))
        until(lambda: one.stats().size and not one.stats().waiting)
        for suffix in ("", "-wal"):
            mode = stat.S_IMODE(os.stat(directory / f"{FILE}{suffix}").st_mode)
            assert mode & ~os.umask(os.umask(0)) == 0o640 & ~os.umask(os.umask(0)), oct(mode)


@pytest.mark.parametrize(
    ("texts", "drawn", "fields", "state"),
    [
        ("none", 0.0, {"findings": ("empty",)}, "none"),
        ("flagged", 0.0, {}, "not_flagged"),
        ("flagged", 0.0, {"findings": ("truncated",)}, "not_flagged"),
        ("flagged", 0.0, {"findings": ("empty",)}, KEPT),
        ("flagged", 0.0, {"outcome": Outcome.ERROR, "error_type": "timeout"}, KEPT),
        ("flagged", 0.0, {"outcome": Outcome.ABORTED}, "not_flagged"),
        ("sampled", 0.19, {}, KEPT),
        ("sampled", 0.2, {}, "not_sampled"),
        ("sampled", 0.9, {"findings": ("empty",)}, KEPT),
        ("all", 0.9, {}, KEPT),
    ],
)
def test_texts_are_kept_as_the_policy_says(
    directory: Path, texts: str, drawn: float, fields: dict[str, Any], state: str
) -> None:
    write(directory, exchange(everything("heron"), **fields), texts=texts, sample=0.2, random=lambda: drawn)
    [entry] = kept(directory)
    assert entry.state == state
    assert (entry.texts is not None) == (state == KEPT)
    assert (b"heron" in bytes_of(directory)) == (state == KEPT)
    assert state in WHY


def test_an_exchange_without_texts_says_so(directory: Path) -> None:
    write(directory, exchange(), exchange(Transcript()), texts="all")
    assert [entry.state for entry in kept(directory)] == ["no_texts", "no_texts"]


def test_nothing_reaches_the_disk_before_it_is_redacted(directory: Path) -> None:
    def redact(transcript: Transcript) -> Transcript:
        return everything("[EMAIL]")

    write(directory, *[exchange(everything("ann@example.org")) for _ in range(20)], redact=redact)
    content = bytes_of(directory)
    assert b"[EMAIL]" in content
    assert b"ann@example.org" not in content
    assert b"example" not in content  # nor in the index


def test_texts_that_cannot_be_redacted_are_not_kept(
    directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def redact(transcript: Transcript) -> Transcript:
        raise ValueError(transcript.answer)

    one = write(directory, exchange(everything("heron")), redact=redact)
    [entry] = kept(directory)
    assert entry.state == "failed"
    assert one.losses["journal.failed"] == 1
    assert b"heron" not in bytes_of(directory)
    assert "heron" not in caplog.text
    assert "redaction failed" in caplog.text


def test_a_later_finding_keeps_texts_that_wait(directory: Path) -> None:
    flagged, other = (
        exchange(said(), scores={"empty": 0.1}),
        exchange(said("Who?", "Nobody.")),
    )
    with running(directory, texts="flagged") as one:
        one.put(flagged)
        one.put(other)
        until(lambda: one.stats().size and not one.stats().waiting)
        assert [entry.state for entry in kept(directory)] == ["not_flagged", "not_flagged"]
        one.update(flagged.id, {"toxic": 0.8}, ["toxic"], chosen="flagged")
        one.update(other.id, {"toxic": 0.1})
        assert one.recent(2).exchanges[1]["findings"] == ["toxic"]
        until(lambda: not one.stats().waiting)
        assert [entry.row["id"] for entry in one.unsent(9)] == [flagged.id]
    first, second = kept(directory)
    assert first.state == KEPT
    assert first.texts.answer == "Paris."
    assert first.row["findings"] == ["toxic"]
    assert first.row["scores"] == {"empty": 0.1, "toxic": 0.8}
    assert second.state == "not_flagged"
    assert second.row["scores"] == {"toxic": 0.1}
    with Reader(str(directory)) as reader:
        assert [entry.row["id"] for entry in reader.search("paris")] == [flagged.id]


def test_a_verdict_may_come_before_its_exchange_is_written(directory: Path) -> None:
    with running(directory, texts="flagged") as one:
        flagged = exchange(said())
        one.put(flagged)
        one.update(flagged.id, {"toxic": 0.8}, ["toxic"])
    [entry] = kept(directory)
    assert entry.state == KEPT
    assert entry.row["findings"] == ["toxic"]


def test_waiting_texts_are_bounded(directory: Path) -> None:
    with running(directory, texts="flagged") as one:
        exchanges = [exchange(said()) for _ in range(writer.WAITING_BOUND + 1)]
        for each in exchanges:
            one.put(each)
        until(lambda: not one.stats().waiting)
        for each in exchanges[:2]:
            one.update(each.id, {"toxic": 1.0}, ["toxic"])
        until(lambda: not one.stats().waiting)
        large = [exchange(said(answer="x" * (writer.WAITING_TEXT // 2))) for _ in range(3)]
        for each in large:
            one.put(each)
            until(lambda: not one.stats().waiting)
        for each in large:
            one.update(each.id, {"toxic": 1.0}, ["toxic"])
    states = {entry.row["id"]: entry.state for entry in kept(directory)}
    assert states[exchanges[0].id] == "not_flagged"
    assert states[exchanges[1].id] == KEPT
    assert [states[each.id] for each in large[:2]] == ["not_flagged", "not_flagged"]


def test_what_is_chosen_is_given_until_it_is_marked_sent(directory: Path) -> None:
    exchanges = [exchange(said()) for _ in range(6)]
    with running(directory) as one:
        for each in exchanges:
            one.put(each, "sample" if each is not exchanges[2] else None)
        until(lambda: not one.stats().waiting)
        found = one.unsent(3)
        assert [entry.row["id"] for entry in found] == [exchanges[at].id for at in (0, 1, 3)]
        assert found[0].chosen == "sample"
        assert found[0].texts is not None
        one.mark_sent([entry.row["id"] for entry in found])
        # At once, although it is not written yet.
        assert [entry.row["id"] for entry in one.unsent(3)] == [exchanges[at].id for at in (4, 5)]
    with running(directory) as one:
        until(lambda: one.stats().size)
        assert [entry.row["id"] for entry in one.unsent(3)] == [exchanges[at].id for at in (4, 5)]


def test_what_is_judged_after_it_was_sent_or_meanwhile_goes_again(directory: Path) -> None:
    before, meanwhile, never = exchanges = [exchange(said(), scores={"empty": 0.1}) for _ in range(3)]
    with running(directory) as one:
        for each in exchanges:
            one.put(each, "sampled")
        until(lambda: not one.stats().waiting)
        assert len(one.unsent(9)) == 3
        one.update(meanwhile.id, {"toxic": 0.2})
        one.mark_sent([each.id for each in exchanges])
        until(lambda: not one.stats().waiting)
        assert [entry.row["id"] for entry in one.unsent(9)] == [meanwhile.id]
        one.mark_sent([meanwhile.id])
        one.update(before.id, {"toxic": 0.8}, ["toxic"], "flagged")
        until(lambda: not one.stats().waiting)
        (again,) = one.unsent(9)
        assert again.row["id"] == before.id
        assert again.row["findings"] == ["toxic"]
        assert again.chosen == "sampled"
        one.mark_sent([before.id])
        until(lambda: not one.stats().waiting)
        assert one.unsent(9) == []
    assert never.id in {entry.row["id"] for entry in kept(directory)}


def test_unsent_ends_when_the_journal_stops(directory: Path) -> None:
    with running(directory) as one:
        found: list[Any] = []
        asking = threading.Thread(target=lambda: found.extend(one.unsent(1) for _ in range(200)))
        asking.start()
    asking.join(5)
    assert not asking.is_alive()
    assert found == [[]] * 200


def test_equal_events_that_wait_become_one(directory: Path) -> None:
    with running(directory) as one:
        for _ in range(3):
            one.put_event(NOW_MS, "engine_down", "llama", 3, {"reason": "refused"})
        one.put_event(NOW_MS + 1, "engine_up", "llama", 1)
        assert [(event.kind, event.times) for event in one.recent().events] == [
            ("engine_up", 1),
            ("engine_down", 3),
        ]
    with Reader(str(directory)) as reader:
        newest, oldest = reader.events()
    assert (oldest.kind, oldest.key, oldest.severity, oldest.times) == ("engine_down", "llama", 3, 3)
    assert oldest.attributes == {"reason": "refused"}
    assert newest.wall == NOW_MS + 1


def test_recent_knows_what_is_not_written_yet_and_what_was_written_before(directory: Path) -> None:
    first, second = exchange(said()), exchange(said())
    write(directory, first)
    with running(directory) as one:
        until(lambda: one.recent().exchanges)
        one.put(second)
        rows = one.recent().exchanges
        assert [row["id"] for row in rows] == [second.id, first.id]
        assert rows[1]["texts"] == KEPT
        assert "texts" not in rows[0]
        until(lambda: one.recent().exchanges[0].get("texts") == KEPT)
        assert [row["id"] for row in one.recent(1).exchanges] == [second.id]


def test_handing_over_never_waits_and_losses_are_counted(directory: Path) -> None:
    held, hold = threading.Event(), threading.Event()

    def redact(transcript: Transcript) -> Transcript:
        held.set()
        hold.wait(60)
        return transcript

    with running(directory, redact=redact) as one:
        one.put(exchange(said()))
        assert held.wait(60)
        began = time.monotonic()
        for _ in range(writer.PENDING_BOUND + 49):
            one.put(exchange(said("short", "short")))
        one.put_event(NOW_MS, "agent_stopped", "agent", 1)
        assert time.monotonic() - began < 30
        assert one.losses == {"journal.overflow": 51}
        hold.set()
        until(lambda: not one.stats().waiting)
    assert len(kept(directory)) == writer.PENDING_BOUND


def test_texts_that_wait_are_bounded_by_size(directory: Path) -> None:
    held, hold = threading.Event(), threading.Event()

    def redact(transcript: Transcript) -> Transcript:
        held.set()
        hold.wait(60)
        return transcript

    with running(directory, max_size=256 << 20, redact=redact) as one:
        one.put(exchange(said()))
        assert held.wait(60)  # from now on nothing is written, and all waits
        for _ in range(6):
            one.put(exchange(said(answer="word " * (writer.PENDING_TEXT // 20))))
        hold.set()
        until(lambda: not one.stats().waiting)
        assert one.losses["journal.texts"] > 0
    states = [entry.state for entry in kept(directory)]
    assert states.count("over_bound") == one.losses["journal.texts"]
    assert states.count(KEPT) == 7 - one.losses["journal.texts"]


def test_stop_is_bounded(directory: Path) -> None:
    hold = threading.Event()

    def redact(transcript: Transcript) -> Transcript:
        hold.wait(60)
        return transcript

    from tests.agent.journal.making import journal

    one = journal(directory, redact=redact)
    one.start()
    one.put(exchange(said()))
    began = time.monotonic()
    assert not one.stop(0.5)
    assert time.monotonic() - began < 30
    hold.set()
    assert one.stop(60)


HOSTILE = [
    "nul \0 inside",
    "lone \ud800 surrogate \udfff",
    "\x1b[31m escape \x07",
    "' OR 1=1; DROP TABLE exchanges; --",
    '"quotes" and \\backslashes\\ and {"json": [1, 2]}',
    "\u202eright to left \U0001f600",
    "x" * 500_000,
    "",
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_texts_are_kept_and_found(directory: Path, text: str) -> None:
    write(directory, exchange(everything(text + " heron")), max_size=256 << 20)
    [entry] = kept(directory)
    assert entry.state == KEPT
    clean = text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")
    assert entry.texts.answer == f"a {clean} heron"
    assert entry.texts.prompt[1] == ("user", f"u {clean} heron")
    assert entry.texts.tool_calls[0][0] == f"n_{clean} heron"
    with Reader(str(directory)) as reader:
        assert len(reader.search("heron")) == 1


def test_names_that_strangers_chose_are_identifiers_or_other(directory: Path) -> None:
    one = exchange(
        request_model="my secret is\ud800 1234",
        findings=("a b", "empty"),
        scores={"bad name": 0.5, "fine": float("nan"), "good": 7.0},
        context_tokens=-3,
        context_limit=1 << 70,
    )
    write(directory, one)
    [entry] = kept(directory)
    assert entry.row["request_model"] == "other"
    assert entry.row["findings"] == ["other", "empty"]
    assert entry.row["scores"] == {"good": 1.0}
    assert "context_tokens" not in entry.row
    assert "context_limit" not in entry.row


def test_an_exchange_that_is_put_twice_stands_once(directory: Path) -> None:
    one = exchange(said())
    write(directory, one, one)
    assert len(kept(directory)) == 1


def test_one_without_an_id_is_counted(directory: Path) -> None:
    one = write(directory, exchange(said(), id=""))
    assert one.losses["journal.failed"] == 1
    assert kept(directory) == []


def test_a_recorded_exchange_is_kept_whatever_its_clock_was(directory: Path) -> None:
    write(directory, exchange(said(), source=Source.REPLAY, accepted_ns=0, wall_ms=1_000))
    [entry] = kept(directory)
    assert entry.row["start"] == 1_000


def test_a_batch_is_one_commit(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "BATCH_SECONDS", 600.0)
    waiting = [exchange(said()) for _ in range(writer.BATCH_ENTRIES - 1)]
    seen = set()
    with running(directory) as one:
        until(lambda: one.stats().size)
        with sqlite3.connect(directory / FILE) as db:

            def is_written() -> bool:
                seen.add(db.execute("SELECT count(*) FROM exchanges").fetchone()[0])
                return len(waiting) in seen

            is_written()
            for each in waiting:
                one.put(each)
            one.stop(0)  # which does not wait for the batch to be due
            until(is_written)
    assert seen == {0, len(waiting)}


def test_batches_become_longer_where_more_is_written_than_the_pace_allows(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "_PACE_BURST", 5000)
    monkeypatch.setattr(writer, "PACE_BYTES", 0)
    monkeypatch.setattr(writer, "SLOW_BATCH_SECONDS", 600.0)
    with running(directory) as one:
        until(lambda: one.stats().size)
        one.put(exchange(said()))
        until(lambda: not one.stats().waiting)
        one.put(exchange(said()))
        time.sleep(10 * writer.BATCH_SECONDS)
        assert one.stats().waiting == 1


def test_the_bytes_that_are_written_are_counted(directory: Path) -> None:
    from stonechat.exchange_row import to_row
    from stonechat_agent.journal import rows
    from stonechat_agent.journal.store import Store

    def asked_to_write() -> int:
        status = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
        return int(status["wchar"])

    store = Store(str(directory / FILE), 8 << 20)
    before = asked_to_write()
    for _ in range(400):
        store.begin()
        row = rows.checked(to_row(exchange(user="u-1")))
        store.insert(row, rows.texts_of(said("heron " * 40)), KEPT, None)
        store.commit()
    measured = asked_to_write() - before
    assert store.written == pytest.approx(measured, rel=0.05)
    store.close()


def test_random_work_leaves_a_sound_file(directory: Path) -> None:
    random = Random(8)
    with running(directory, texts="sampled", sample=0.5, random=random.random, max_size=1 << 20) as one:
        ids: list[str] = []
        for _ in range(1500):
            words = " ".join(f"word{random.randrange(5000)}" for _ in range(random.randrange(120)))
            each = exchange(said(words, words), findings=("f",) if random.random() < 0.1 else ())
            ids.append(each.id)
            one.put(each, "sample" if random.random() < 0.3 else None)
            if random.random() < 0.3:
                one.update(random.choice(ids), {"s": random.random()}, ["late"])
            if random.random() < 0.05:
                one.mark_sent(random.sample(ids, min(20, len(ids))))
            if random.random() < 0.05:
                until(lambda: one.stats().waiting < 200)
    with sqlite3.connect(directory / FILE) as db:
        assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        db.execute("INSERT INTO words (words) VALUES ('integrity-check')")
        mismatched = db.execute(
            "SELECT count(*) FROM exchanges LEFT JOIN texts USING (seq)"
            " WHERE (exchanges.texts = 'kept') <> (texts.seq IS NOT NULL)"
        ).fetchone()[0]
        orphans = db.execute(
            "SELECT count(*) FROM texts WHERE seq NOT IN (SELECT seq FROM exchanges)"
        ).fetchone()[0]
    assert mismatched == orphans == 0
    assert not one.losses


def test_a_prompt_of_one_turn_of_plain_text(directory: Path) -> None:
    write(directory, exchange(Transcript([Turn("user", "only this")])))
    [entry] = kept(directory)
    assert entry.texts.prompt == [("user", "only this")]
    assert entry.texts.answer == ""
