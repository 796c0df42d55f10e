"""Disks that are full, read-only or damaged: the spool goes on, says so, and recovers by itself."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.agent.spool.making import Device, ack, events, everything, weight

from stonechat.event import EventKind, Severity
from stonechat.wire import Stream
from stonechat_agent.spool import Spool, SpoolInUse

RETRY = 15_000


def kinds(spool: Spool) -> list[str]:
    return [event.kind for event in events(spool) if event.kind.startswith("spool")]


def fill(spool: Spool, *, pages: int) -> None:
    """Let SQLite refuse to use more pages than it has and some more, as a full disk does."""
    assert spool._disk is not None
    db = spool._disk._db
    count = db.execute("PRAGMA page_count").fetchone()[0] + pages
    db.execute(f"PRAGMA max_page_count={count}")


def empty(spool: Spool) -> None:
    assert spool._disk is not None
    spool._disk._db.execute("PRAGMA max_page_count=1000000")


def test_when_the_disk_is_full_windows_stay_in_memory_and_are_written_back(device: Device) -> None:
    spool = device.open()
    device.windows(spool, 5)
    fill(spool, pages=0)
    seqs = device.windows(spool, 200, bulk=20)
    assert spool.stats().in_memory
    empty(spool)
    device.clock.pass_ms(RETRY)
    seqs += device.windows(spool, 1)
    assert not spool.stats().in_memory
    assert seqs == list(range(6, 207)), "numbers stay unique throughout"
    spool.close()
    spool = device.open()
    assert weight(everything(spool)) == device.truth
    assert kinds(spool) == [EventKind.SPOOL_UNWRITABLE, EventKind.SPOOL_RECOVERED]
    assert not spool.losses


def test_while_the_disk_refuses_windows_are_offered_from_memory_and_acknowledged(device: Device) -> None:
    spool = device.open()
    device.windows(spool, 3)
    before = everything(spool)[:2]
    held = spool.append(device.draft(spool))
    fill(spool, pages=0)
    while not spool.stats().in_memory:
        spool.append(device.draft(spool, bulk=20))
    live = spool.append(device.draft(spool), offer_now=True)
    assert live.offered
    assert held.id not in [offer.id for offer in spool.offer(Stream.WINDOW, [held.id])], (
        "it cannot be frozen now"
    )
    again = spool.offer(
        Stream.WINDOW, [candidate.id for candidate in spool.candidates(Stream.WINDOW, frozen=True)]
    )
    assert [item for offer in again for item in offer.items][:2] == before, (
        "what is frozen can be offered again"
    )
    spool.apply_ack(ack(spool, (1, 1), (live.seq, live.seq)))
    empty(spool)
    device.clock.pass_ms(RETRY)
    device.windows(spool, 1)
    spool.close()
    left = {record.cover[0][1] for record in everything(device.open())}
    assert 1 not in left
    assert live.seq not in left
    assert held.seq in left


def test_memory_is_bounded_while_the_disk_refuses(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stonechat_agent.spool.spool.RING_BYTES", 1 << 17)
    (device.directory).parent.mkdir(exist_ok=True)
    device.directory.write_bytes(b"a file where the directory should be")
    spool = device.open()
    seqs = device.windows(spool, 500, bulk=60, length=600_000)
    assert spool.stats().in_memory
    assert spool.stats().size <= 1 << 17
    records = everything(spool)
    assert spool.losses["window.space"] == len(seqs) - sum(record.windows for record in records) > 0


def test_a_directory_that_cannot_be_made_leaves_the_spool_in_memory_until_it_can(device: Device) -> None:
    device.directory.write_bytes(b"")
    spool = device.open()
    device.windows(spool, 3)
    offered = everything(spool)
    assert len(offered) == 3
    device.directory.unlink()
    device.clock.pass_ms(RETRY)
    device.windows(spool, 1)
    assert not spool.stats().in_memory
    assert everything(spool)[:3] == offered
    spool.close()
    spool = device.open()
    assert spool.order == 2
    assert weight(everything(spool)) == device.truth


def test_a_spool_that_appears_later_keeps_its_rows_and_takes_ours(device: Device) -> None:
    spool = device.open()
    for _ in range(3):
        device.windows(spool, 2)
        spool.close()
        spool = device.open()
    spool.close()
    away = device.directory.with_name("away")
    device.directory.rename(away)
    device.directory.write_bytes(b"")  # as when a disk is not mounted yet
    spool = device.open()
    device.windows(spool, 2)
    before = everything(spool)
    device.directory.unlink()
    away.rename(device.directory)
    device.clock.pass_ms(RETRY)
    device.windows(spool, 1)
    records = everything(spool)
    assert weight(records) == device.truth
    assert all(record in records for record in before)
    spool.apply_ack(ack(spool, (1, 3)))
    assert len(everything(spool)) == 6


def test_two_agents_on_one_spool(device: Device) -> None:
    spool = device.open()
    with pytest.raises(SpoolInUse, match=rf"held by process {os.getpid()}(.|\n)*hint") as caught:
        device.open()
    assert str(device.directory) in str(caught.value)
    spool.close()
    device.open()


def test_the_lock_goes_with_the_process(device: Device) -> None:
    script = (
        "import sys, os; from stonechat_agent.spool import Instant, Spool\n"
        "Spool.open(sys.argv[1], rng_bytes=os.urandom, clock=lambda: Instant(0, 0, 0, False))\n"
        "print('open', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", script, str(device.directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert other.stdout is not None
    assert other.stdout.readline() == b"open\n"
    with pytest.raises(SpoolInUse):
        device.open()
    other.kill()
    other.wait()
    assert device.open().order == 2


def damage(device: Device, rng: random.Random) -> None:
    file = device.directory / "spool.db"
    content = bytearray(file.read_bytes())
    for _ in range(rng.choice([1, 3, 50])):
        at = rng.randrange(len(content))
        content[at] = rng.choice([0, 255, content[at] ^ 1 << rng.randrange(8)])
    if rng.random() < 0.2:
        content = content[: rng.randrange(len(content))]
    if rng.random() < 0.1:
        content = bytearray(len(content))
    file.write_bytes(content)


@settings(max_examples=40)
@given(st.randoms(use_true_random=False))
def test_whatever_bytes_are_damaged_the_spool_opens_and_goes_on(rng: random.Random) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as name:
        device = Device(Path(name) / "spool")
        spool = device.open(max_size=1 << 18)
        device.windows(spool, 30)
        spool.append_event(EventKind.STARTED, "agent", Severity.INFO)
        everything(spool)
        spool.apply_ack(ack(spool, (1, 10)))
        device.windows(spool, 30)
        spool.close()
        damage(device, rng)
        spool = device.open(max_size=1 << 18)
        aside = len(list(device.directory.glob("*.bad-*")))
        weights: dict[int, int] = {}
        for _ in range(40):
            before = device.truth
            seq = spool.append(device.draft(spool)).seq
            weights[seq] = device.truth - before
        spool.append_event(EventKind.STARTED, "agent", Severity.INFO)
        spool.fold()
        spool.held_epochs()
        spool.apply_ack(ack(spool, time=5))
        mine = [record for record in everything(spool) if record.cover[0][0] == spool.epoch]
        found = [seq for record in mine for _, low, high in record.cover for seq in range(low, high + 1)]
        assert len(found) == len(set(found))
        assert weight(mine) == sum(weights[seq] for seq in found)
        if len(found) < len(weights):  # the damage was met on the way, and an event says so
            assert len(list(device.directory.glob("*.bad-*"))) > aside or spool.losses
            device.windows(spool, 1)
            assert EventKind.SPOOL_QUARANTINED in kinds(spool) or spool.losses
        spool.close()


def test_a_damaged_file_is_put_aside_and_an_event_says_so(device: Device) -> None:
    for round_ in range(4):
        spool = device.open()
        device.windows(spool, 2)
        order = spool.order
        spool.close()
        (device.directory / "spool.db").write_bytes(f"not a database {round_}".encode() * 1000)
        spool = device.open()
        assert spool.order > order, "the collector must not take the new run for an old one"
        device.windows(spool, 1)
        assert kinds(spool) == [EventKind.SPOOL_QUARANTINED]
        (event,) = [event for event in events(spool) if event.kind == EventKind.SPOOL_QUARANTINED]
        assert event.attributes["file"] == f"spool.db.bad-{round_ + 1}"
        spool.close()
    kept = sorted(file.name for file in device.directory.glob("*.bad-*"))
    assert kept == ["spool.db.bad-3", "spool.db.bad-4"]
    assert (device.directory / "spool.db.bad-4").read_bytes().startswith(b"not a database 3")


def test_a_header_that_makes_sqlite_read_only_is_damage_and_not_a_disk_that_refuses(device: Device) -> None:
    spool = device.open()
    device.windows(spool, 2)
    spool.close()
    with open(device.directory / "spool.db", "r+b") as file:
        file.seek(18)  # the version that is needed to write
        file.write(b"\x07")
    spool = device.open()
    device.windows(spool, 1)
    assert not spool.stats().in_memory
    assert kinds(spool) == [EventKind.SPOOL_QUARANTINED]


def test_a_file_that_turns_out_damaged_on_the_way_is_put_aside_and_numbers_go_on(device: Device) -> None:
    spool = device.open()
    device.windows(spool, 400, bulk=200)  # more than SQLite keeps in memory
    assert spool._disk is not None
    spool._disk.checkpoint()
    file = device.directory / "spool.db"
    content = file.read_bytes()
    with open(file, "r+b") as writable:
        writable.seek(4096)
        writable.write(random.Random(1).randbytes(len(content) - 4096))
    everything(spool)
    seqs = device.windows(spool, 300, bulk=20)
    assert seqs == list(range(401, 701))
    assert (device.directory / "spool.db.bad-1").exists()
    left = [
        seq for record in everything(spool) for _, low, high in record.cover for seq in range(low, high + 1)
    ]
    assert len(left) == len(set(left))
    assert left[-1] == 700
    assert EventKind.SPOOL_QUARANTINED in kinds(spool)


def test_a_bit_that_flipped_in_a_row_costs_that_row_alone(device: Device) -> None:
    spool = device.open()
    device.windows(spool, 20)
    spool.close()
    db = sqlite3.connect(device.directory / "spool.db")
    key, payload = db.execute("SELECT id, payload FROM windows ORDER BY id LIMIT 1 OFFSET 7").fetchone()
    flipped = bytearray(payload)
    flipped[len(flipped) // 2] ^= 4
    db.execute("UPDATE windows SET payload = ? WHERE id = ?", (bytes(flipped), key))
    db.commit()
    db.close()
    spool = device.open()
    assert len(everything(spool)) == 19
    device.windows(spool, 1)
    assert spool.losses == {"window.damaged": 1}


def test_a_layout_of_another_version_and_another_applications_file_are_put_aside(device: Device) -> None:
    device.open().close()
    for statement in ("PRAGMA user_version=99", "PRAGMA application_id=1"):
        db = sqlite3.connect(device.directory / "spool.db")
        db.execute(statement)
        db.commit()
        db.close()
        spool = device.open()
        device.windows(spool, 1)
        assert kinds(spool) == [EventKind.SPOOL_QUARANTINED]
        spool.close()


def test_a_database_that_is_a_directory_is_put_aside(device: Device) -> None:
    (device.directory / "spool.db").mkdir(parents=True)
    spool = device.open()
    device.windows(spool, 1)
    assert not spool.stats().in_memory
    assert kinds(spool) == [EventKind.SPOOL_QUARANTINED]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    mount = tmp_path / "mount"
    mount.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(mount)], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("mounting a small file system needs root")
    yield mount
    subprocess.run(["umount", "-l", str(mount)], check=True)


def fill_up(disk: Path) -> Path:
    ballast = disk / "ballast"
    file = os.open(ballast, os.O_WRONLY | os.O_CREAT)
    with pytest.raises(OSError, match="No space"):
        while True:
            os.write(file, bytes(4096))
    os.close(file)
    return ballast


def test_a_disk_that_really_is_full(small_disk: Path) -> None:
    device = Device(small_disk / "spool")
    spool = device.open(max_size=64 << 20)
    device.windows(spool, 10)
    ballast = fill_up(small_disk)
    seqs = device.windows(spool, 300, bulk=30)
    assert spool.stats().in_memory
    assert seqs[-1] == 310
    ballast.unlink()
    device.clock.pass_ms(RETRY)
    device.windows(spool, 1)
    assert not spool.stats().in_memory
    spool.close()
    spool = device.open()
    assert weight(everything(spool)) == device.truth
    assert kinds(spool) == [EventKind.SPOOL_UNWRITABLE, EventKind.SPOOL_RECOVERED]


def test_a_disk_that_is_full_from_the_start(small_disk: Path) -> None:
    ballast = fill_up(small_disk)
    device = Device(small_disk / "spool")
    spool = device.open()
    device.windows(spool, 5)
    assert spool.stats().in_memory
    ballast.unlink()
    device.clock.pass_ms(RETRY)
    device.windows(spool, 1)
    assert not spool.stats().in_memory
    assert weight(everything(spool)) == device.truth
    spool.close()


def test_a_disk_that_becomes_read_only_and_writable_again(small_disk: Path) -> None:
    def remount(how: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{how}", str(small_disk)], check=True)

    device = Device(small_disk / "spool")
    spool = device.open()
    device.windows(spool, 5)
    spool.close()
    remount("ro")
    spool = device.open()
    assert spool.order == 2, "the lock's file can be read"
    device.windows(spool, 5)
    assert spool.stats().in_memory
    device.clock.pass_ms(RETRY)
    device.windows(spool, 5)
    assert spool.stats().in_memory
    remount("rw")
    device.clock.pass_ms(RETRY)
    device.windows(spool, 1)
    assert not spool.stats().in_memory
    assert weight(everything(spool)) == device.truth
    spool.close()


def test_a_copy_of_the_spool_is_another_run(device: Device) -> None:
    spool = device.open()
    device.windows(spool, 3)
    spool.close()
    clone = Device(device.directory.with_name("clone"), rng=random.Random(2))
    shutil.copytree(device.directory, clone.directory)
    one, other = device.open(), clone.open()
    assert one.order == other.order
    assert one.epoch != other.epoch


def test_every_event_is_told_once_it_is_committed_losses_and_faults_of_the_spool_included(
    device: Device,
) -> None:
    told: list[str] = []
    spool = device.open(on_event=lambda event: told.append(event.kind))
    spool.append_event(EventKind.STARTED, "agent", Severity.INFO)
    fill(spool, pages=0)
    device.windows(spool, 200, bulk=20)
    empty(spool)
    device.clock.pass_ms(RETRY)
    device.windows(spool, 1)
    assert told[0] == EventKind.STARTED
    assert set(told) == {EventKind.STARTED, EventKind.SPOOL_UNWRITABLE, EventKind.SPOOL_RECOVERED}
    spool.close()
    assert sorted(told) == sorted(event.kind for event in events(device.open()))
