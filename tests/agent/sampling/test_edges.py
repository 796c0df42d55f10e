"""Files of real boards that vanish, hang, or say nonsense: the rest goes on as if nothing were."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.agent.sampling.test_boards import ENGINES, Board, without_filesystem

from stonechat.catalog import BY_ID
from stonechat_agent.sampling import Clock, Reading, Sample, Sampler, SamplingThread, State
from stonechat_agent.sampling.aside import Aside, Crew
from stonechat_agent.sampling.build import LINUX, Host
from stonechat_agent.sampling.engine import Engine

if TYPE_CHECKING:
    from tests.agent.sampling.conftest import Named

SECOND = 1_000_000_000


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"-1\n", b"-99999999999999999999\n", b"letters\n", b"\xff\0\xfe"]
)
@pytest.mark.parametrize("name", ENGINES)
def test_nonsense_in_every_file_gives_no_nonsense(
    name: str, tmp_path: Path, clock: Clock, content: bytes
) -> None:
    board = Board(name, tmp_path)
    sampler = board.sampler(clock)
    sampler.sample(10 * SECOND)
    for root in ("proc", "sys"):
        for path in (tmp_path / root).rglob("*"):
            if path.is_file():
                path.write_bytes(content)
    for second in range(11, 15):
        for reading in sampler.sample(second * SECOND).readings:
            assert reading.value >= 0
            if BY_ID[reading.metric].unit == "1e-4" and reading.engine is None:
                assert reading.value <= 10_000
    sampler.close()


@pytest.mark.parametrize("name", ENGINES)
def test_files_of_ten_megabytes_take_no_time(name: str, tmp_path: Path, clock: Clock) -> None:
    board = Board(name, tmp_path)
    huge = tmp_path / "huge"
    huge.write_bytes(b"9" * 10_000_000)
    for root in ("proc", "sys"):
        for path in list((tmp_path / root).rglob("*")):
            if path.is_file():
                path.unlink()
                os.link(huge, path)
    sampler = board.sampler(clock)
    began = time.process_time()
    for second in range(3):
        sampler.sample(second * SECOND)
    assert time.process_time() - began < 3
    sampler.close()


@pytest.mark.parametrize("name", ENGINES)
def test_sensors_that_vanish_are_said_once_and_stop_nothing(
    name: str, tmp_path: Path, named: Named, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    board = Board(name, tmp_path)
    sampler = board.sampler(clock)
    sampler.sample(10 * SECOND)
    caplog.set_level(logging.INFO)
    caplog.clear()
    for place in ("hwmon", "thermal", "drm", "devfreq", "powercap", "power_supply"):
        for path in (tmp_path / "sys/class" / place).rglob("*"):
            if path.is_file():
                path.write_bytes(b"")  # who has it open reads no more, as after a driver's end
        shutil.rmtree(tmp_path / "sys/class" / place, ignore_errors=True)
    board_files = ("sys/devices/platform", "sys/devices/system/cpu/cpu0/thermal_throttle", "sys/kernel")
    for place in board_files:
        shutil.rmtree(tmp_path / place, ignore_errors=True)
    for second in range(11, 130):
        readings = named(sampler.sample(second * SECOND).readings)
        assert readings["system.memory.limit"] == board.golden()["first"]["system.memory.limit"]
    messages = [(record.getMessage(), vars(record)["source"]) for record in caplog.records]
    assert len(messages) == len(set(messages)), messages
    # Not throttle: what it holds open here reads as empty, where the kernel would say that it is gone.
    sensors = {"temperature", "power", "battery", "fans", "drm", "devfreq"}
    states = {status.name: status.state for status in sampler.status() if status.name in sensors}
    assert State.OK not in states.values(), states
    sampler.close()


class Stuck:
    """A sensor whose driver does not answer: a pipe that nobody writes, opened so that it waits."""

    name = "stuck"

    def __init__(self, path: Path) -> None:
        self._path = path
        os.mkfifo(path)

    def open(self) -> None:
        """Nothing is held."""

    def read(self, now_ns: int) -> Iterable[Reading]:
        with open(self._path, "rb") as file:
            file.read()
        return []

    def release(self) -> None:
        """Let the read end."""
        with open(self._path, "wb"):
            pass

    def close(self) -> None:
        """Nothing is held."""


@pytest.mark.parametrize("name", ENGINES)
def test_a_sensor_that_hangs_delays_no_other_and_is_said_once(
    name: str, tmp_path: Path, named: Named, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    board = Board(name, tmp_path)
    place = (str(tmp_path / "proc"), str(tmp_path / "sys"), str(tmp_path / "dev"))
    followed = tuple(Engine(match, *place[:2], clock) for match in ENGINES[name])
    crew = Crew()
    host = Host(followed, str(tmp_path), *place, clock, crew, patience_s=60.0)
    stuck = Stuck(tmp_path / "fifo")
    # First, so that all others of the crew wait behind it.
    sources = [Aside(stuck, crew, patience_s=0.02, hangs_ns=SECOND), *(s for row in LINUX for s in row(host))]
    sampler = Sampler(sources, clock)
    caplog.set_level(logging.INFO)
    before = threading.active_count()
    golden = board.golden()
    for tick in range(8):
        began = time.monotonic()
        readings = without_filesystem(named(sampler.sample((10 + 10 * tick) * SECOND).readings))
        took_s = time.monotonic() - began
        if tick == 0:
            assert readings == golden["first"]
        gauges = {
            key for key in golden["first"] if key.startswith(("hw.t", "stonechat.throttled", "hw.gpu.c"))
        }
        assert gauges <= readings.keys()
        assert took_s < 30, "no sample waits for the sensor that hangs"
        time.sleep(0.2)
    assert threading.active_count() <= before + 2
    messages = [record.getMessage() for record in caplog.records if vars(record)["source"] == "stuck"]
    assert messages == ["source failed"]
    stuck.release()
    sampler.close()
    deadline = time.monotonic() + 60
    while threading.active_count() > before:
        assert time.monotonic() < deadline, "the crew goes home"
        time.sleep(0.01)


def test_an_event_loop_turns_while_a_sensor_hangs(tmp_path: Path) -> None:
    """The relay's, as it is in the agent: beside the sampling thread."""
    stuck = Stuck(tmp_path / "fifo")
    samples: list[Sample] = []
    thread = SamplingThread(Sampler([Aside(stuck)]), SECOND // 20, samples.append)

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            writer.write(data)
        writer.close()

    async def talk() -> list[float]:
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
        took = []
        for _ in range(60):
            began = time.monotonic()
            writer.write(b"ping")
            await reader.readexactly(4)
            took.append(time.monotonic() - began)
            await asyncio.sleep(0.01)
        writer.close()
        server.close()
        return took

    thread.start()
    took = sorted(asyncio.run(talk()))
    deadline = time.monotonic() + 60
    while len(samples) <= 5:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    thread.stop()
    stuck.release()
    # The median, and much: single ones are late on a busy machine, where a loop that waits for the sensor never turns.
    assert took[30] < 1.0


@pytest.mark.parametrize("name", ENGINES)
def test_pipes_in_the_place_of_sensors_hang_nothing(name: str, tmp_path: Path, clock: Clock) -> None:
    """Our own reads of files never wait: a pipe is found to be none of the kernel's files."""
    board = Board(name, tmp_path)
    for path in list(_sensors(tmp_path)):
        path.unlink()
        os.mkfifo(path)
    sampler = board.sampler(clock)
    began = time.monotonic()
    for second in range(3):
        sampler.sample(second * SECOND)
    assert time.monotonic() - began < 60
    assert State.OK in {status.state for status in sampler.status()}
    sampler.close()


def _sensors(root: Path) -> Iterator[Path]:
    for path in (root / "sys/class").rglob("*"):
        if path.is_file() and path.name not in ("name", "type", "uevent"):
            yield path
