"""The central test: whatever happens on the way, the collector's totals are the truth.

Random histories over the real code of both sides: see ``world``. ``STONECHAT_HISTORIES=20000`` runs that many (2,000
by default); a failure prints its seed, and ``STONECHAT_SEED=N`` runs that one history alone.
"""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.central import disk
from tests.central.world import MINUTE, Machine, World

from stonechat_collector.store import Store

HISTORIES = int(os.environ.get("STONECHAT_HISTORIES", "2000"))
CHUNKS = 20
STEPS = 60


def live(world: World, machine: Machine) -> None:
    machine.start()
    for _ in range(world.rng.choice([1, 1, 1, 2, 12])):
        machine.window()


def lose_power_in_a_window(world: World, machine: Machine) -> None:
    machine.start()
    machine.cut(machine.window)
    machine.excuse_latest()
    after_power(world, machine)


def lose_power_in_a_tick(world: World, machine: Machine) -> None:
    if machine.spool is not None:
        machine.cut(machine.tick if world.rng.random() < 0.5 else machine.event)
        after_power(world, machine)


def lose_power_in_an_answer(world: World, machine: Machine) -> None:
    if machine.inbox:
        machine.cut(lambda: world.receive(machine, 0))
        after_power(world, machine)


def lose_power_in_a_checkpoint(world: World, machine: Machine) -> None:
    if machine.spool is not None:
        machine.crash()
        files = disk.read(machine.directory)
        if "spool.db-wal" in files:
            disk.write(
                machine.directory, disk.cut_in_checkpoint(files, world.directory / "scratch", world.rng)
            )
        after_power(world, machine)


def after_power(world: World, machine: Machine) -> None:
    machine.boot()
    machine.start()


def crash(world: World, machine: Machine) -> None:
    machine.crash()
    machine.start()


def restart(world: World, machine: Machine) -> None:
    machine.stop()
    if world.rng.random() < 0.5:
        machine.boot()
    machine.start()


def rot(world: World, machine: Machine) -> None:
    machine.crash()
    machine.excuse_all()
    disk.write(machine.directory, disk.damage(disk.read(machine.directory), world.rng))
    machine.start()


def step_clock(world: World, machine: Machine) -> None:
    if not machine.synced:
        machine.shift = world.rng.choice([0, 10 * MINUTE, -world.time, 86_400_000, -3_600_000])


def set_clock(world: World, machine: Machine) -> None:
    machine.synced, machine.shift = True, 0


def suspend(world: World, machine: Machine) -> None:
    slept = world.rng.randrange(3_600_000)
    world.time += slept
    machine.asleep += slept


def take_image(world: World, machine: Machine) -> None:
    machine.stop()
    world.image = disk.read(machine.directory)


def put_image_back(world: World, machine: Machine) -> None:
    if world.image is not None:
        machine.crash()
        machine.excuse_all()
        disk.write(machine.directory, world.image)
        machine.boot()
        machine.start()


def clone(world: World, machine: Machine) -> None:
    if len(world.machines) < 3:
        machine.stop()
        directory = world.directory / f"m{len(world.machines)}"
        disk.write(directory, disk.read(machine.directory))
        world.machines.append(Machine(world, directory))
        machine.start()


def connect(world: World, machine: Machine) -> None:
    machine.connect()


def disconnect(world: World, machine: Machine) -> None:
    machine.disconnect(clean=world.rng.random() < 0.3)


def tick(world: World, machine: Machine) -> None:
    world.time += world.rng.choice([250, 1000, 20_000, 120_000])
    machine.tick()


def tell(world: World, machine: Machine) -> None:
    machine.start()
    machine.event()


def describe(world: World, machine: Machine) -> None:
    machine.start()
    machine.describe()


def fold(world: World, machine: Machine) -> None:
    if machine.spool is not None:
        for _ in range(world.rng.choice([1, 5])):
            machine.spool.fold()


def deliver(world: World, machine: Machine) -> None:
    for _ in range(world.rng.choice([1, 4])):
        if world.flights:
            world.deliver(world.rng.randrange(len(world.flights)))


def deliver_many(world: World, machine: Machine) -> None:
    if world.flights:
        world.deliver_batch(8)


def deliver_twice(world: World, machine: Machine) -> None:
    if world.flights:
        world.deliver(world.rng.randrange(len(world.flights)), keep=True)


def deliver_and_die(world: World, machine: Machine) -> None:
    if world.flights:
        world.deliver(world.rng.randrange(len(world.flights)), keep=world.rng.random() < 0.5, crash=True)


def lose(world: World, machine: Machine) -> None:
    if world.flights:
        world.flights.pop(world.rng.randrange(len(world.flights)))


def receive(world: World, machine: Machine) -> None:
    for _ in range(world.rng.choice([1, 3])):
        if machine.inbox:
            world.receive(machine, world.rng.randrange(len(machine.inbox)))


def lose_answer(world: World, machine: Machine) -> None:
    if machine.inbox:
        machine.inbox.pop(world.rng.randrange(len(machine.inbox)))


def roll_up(world: World, machine: Machine) -> None:
    world.roll_up()


def back_up(world: World, machine: Machine) -> None:
    world.back_up()


def restore(world: World, machine: Machine) -> None:
    if world.backup is not None:
        world.restore()


def retain(world: World, machine: Machine) -> None:
    world.retain()


DEEDS: dict[Callable[[World, Machine], None], int] = {
    live: 24,
    tell: 4,
    describe: 2,
    fold: 5,
    connect: 14,
    disconnect: 4,
    tick: 12,
    deliver: 24,
    deliver_many: 4,
    deliver_twice: 4,
    deliver_and_die: 4,
    lose: 5,
    receive: 24,
    lose_answer: 4,
    lose_power_in_a_window: 4,
    lose_power_in_a_tick: 2,
    lose_power_in_an_answer: 2,
    lose_power_in_a_checkpoint: 1,
    crash: 3,
    restart: 3,
    step_clock: 2,
    set_clock: 3,
    suspend: 1,
    rot: 1,
    take_image: 2,
    put_image_back: 2,
    clone: 3,
    roll_up: 2,
    back_up: 3,
    restore: 2,
    retain: 1,
}


def play(seed: int, template: Path) -> World:
    """One history: a device's life, then peace, then the account."""
    rng = random.Random(seed)
    # Every kind of trouble is seldom alone in real life, yet alone it goes furthest: each history has some kinds only.
    kinds = list(DEEDS)
    troubles = [kind for kind in kinds[10:] if rng.random() < 0.4]
    deeds = kinds[:10] + troubles
    root = Path("/dev/shm") if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=root) as directory:
        world = World(seed, Path(directory), template)
        try:
            for deed in world.rng.choices(deeds, [DEEDS[kind] for kind in deeds], k=STEPS):
                machine = world.rng.choice(world.machines)
                world.did.append(f"{world.time} {machine.directory.name} {deed.__name__}")
                deed(world, machine)
                machine.notice_quarantine()
            world.heal()
            world.check()
        finally:
            world.close()
    return world


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty store, copied for each history."""
    path = tmp_path_factory.mktemp("store") / "empty.db"
    Store(f"sqlite:///{path}").close()
    return path


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_totals_are_the_truth(chunk: int, template: Path) -> None:
    chosen = os.environ.get("STONECHAT_SEED")
    seeds = [int(chosen)] if chosen else range(chunk, HISTORIES, CHUNKS)
    for seed in seeds:
        try:
            play(seed, template)
        except BaseException as error:
            shown = f"STONECHAT_SEED={seed} ./dev test tests/central"
            raise AssertionError(f"history {seed} fails ({type(error).__name__}): {shown}") from error
