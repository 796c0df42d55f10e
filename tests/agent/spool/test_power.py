"""Power cuts: whatever of the unsynced bytes reached the disk, what was committed is there, once."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from tests.agent.spool.making import Device, ack, everything, weight

from stonechat.wire import Stream
from stonechat_agent.spool import Spool

SECTOR = 512


def blend(before: bytes, after: bytes, rng: random.Random) -> bytes:
    """A file whose unsynced sectors reached the disk or not, each by itself; its length may be the old one too."""
    length = rng.choice([len(before), len(after)])
    mixed = bytearray(after[:length].ljust(length, b"\0"))
    for at in range(0, length, SECTOR):
        if rng.random() < 0.5:
            mixed[at : at + SECTOR] = before[at : at + SECTOR].ljust(len(mixed[at : at + SECTOR]), b"\0")
    return bytes(mixed[:length])


def files(directory: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in directory.iterdir()}


def some_history(device: Device, rng: random.Random) -> Spool:
    # So large that no checkpoint falls between the two looks at the files.
    spool = device.open(max_size=64 << 20)
    for _ in range(rng.randrange(40)):
        spool.append(device.draft(spool, bulk=rng.choice([0, 20])), offer_now=rng.random() < 0.5)
        if rng.random() < 0.1:
            spool.fold()
    spool.append(device.draft(spool))
    return spool


def after_the_cut(device: Device, image: dict[str, bytes]) -> Spool:
    cut = Device(device.directory.with_name("cut"), clock=device.clock, rng=device.rng)
    cut.directory.mkdir()
    for name, content in image.items():
        (cut.directory / name).write_bytes(content)
    spool = cut.open(max_size=64 << 20)
    assert not list(cut.directory.glob("*.bad-*")), "a cut does not damage the file"
    assert not spool.stats().in_memory
    return spool


@pytest.mark.parametrize("seed", range(60))
def test_what_was_committed_survives_a_cut_in_the_next_transaction(seed: int, directory: Path) -> None:
    rng = random.Random(seed)
    device = Device(directory / "spool", rng=rng)
    spool = some_history(device, rng)
    committed = device.truth
    acked = rng.random() < 0.5
    before = files(device.directory)
    frozen = spool.candidates(Stream.WINDOW, frozen=True, limit=1000)
    # What follows is written, but not synced as far as the disk is concerned.
    if acked:
        spool.apply_ack(ack(spool, (1, 3)))
    spool.fold()
    spool.append(device.draft(spool, bulk=rng.choice([0, 60])))
    after = files(device.directory)
    spool.close()
    again = after_the_cut(device, {name: blend(before.get(name, b""), after[name], rng) for name in after})
    still = again.candidates(Stream.WINDOW, frozen=True, limit=1000)
    found = weight(everything(again))
    if still == frozen:  # the transaction with the acknowledgement is forgotten as a whole, or there was none
        assert found in {committed, device.truth}
    else:
        assert acked
        assert {row.id for row in still} < {row.id for row in frozen}
        assert all(_there(again, row.id) for row in frozen), "let go, not gone"


@pytest.mark.parametrize("seed", range(30))
def test_a_cut_while_the_log_is_moved_into_the_file(seed: int, directory: Path) -> None:
    rng = random.Random(seed)
    device = Device(directory / "spool", rng=rng)
    spool = some_history(device, rng)
    before = files(device.directory)
    assert spool._disk is not None
    spool._disk.checkpoint()
    after = files(device.directory)
    spool.close()
    # The log is emptied only when the file is synced, so until then it is whole.
    image = {**before, "spool.db": blend(before["spool.db"], after["spool.db"], rng)}
    assert weight(everything(after_the_cut(device, image))) == device.truth


def _there(spool: Spool, key: int) -> bool:
    return any(store.row(Stream.WINDOW, key) is not None for store in spool._stores())


@pytest.mark.parametrize("seed", range(20))
def test_a_cut_between_two_commits_loses_nothing(seed: int, directory: Path) -> None:
    rng = random.Random(seed)
    device = Device(directory / "spool", rng=rng)
    for _ in range(4):
        spool = device.open(max_size=1 << 18)
        for _ in range(rng.randrange(30)):
            spool.append(device.draft(spool, bulk=rng.choice([0, 30])), offer_now=rng.random() < 0.3)
            if rng.random() < 0.2:
                spool.fold()
        image = files(device.directory)
        spool.close()
        for file in device.directory.iterdir():
            file.unlink()
        for name, content in image.items():
            (device.directory / name).write_bytes(content)
    spool = device.open(max_size=1 << 18)
    assert weight(everything(spool)) == device.truth
