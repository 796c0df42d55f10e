"""Golden readings and descriptions of boards (tests/fixtures/boards/README.md), and what each sample of them costs."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from stonechat_agent.sampling import Clock, EngineMatch, Sampler, State, build
from stonechat_agent.sampling.hardware import describe
from stonechat_agent.sampling.processes import PAGE_BYTES

if TYPE_CHECKING:
    from tests.agent.sampling.conftest import Named

SECOND = 1_000_000_000
BOARDS = Path(__file__).parents[2] / "fixtures/boards"
ENGINES = {
    "raspberry-pi-5": [EngineMatch("e", "127.0.0.1", 8080, unit="llama-server.service")],
    # By its port alone, which leads into a container.
    "jetson-orin": [EngineMatch("e", "127.0.0.1", 11434)],
    "rockchip-rk3588": [],
    "x86-mini-pc": [EngineMatch("e", "127.0.0.1", 8080, process="llama-server")],
    "amd-apu": [],
}
ARCHITECTURES = {"x86-mini-pc": "x86_64", "amd-apu": "x86_64"}


class Board:
    """A board's tree in a directory, where it can be changed."""

    def __init__(self, name: str, root: Path) -> None:
        self.name = name
        self.root = root
        shutil.copytree(BOARDS / name, root, dirs_exist_ok=True)

    def sampler(self, clock: Clock) -> Sampler:
        return build(
            engines=ENGINES[self.name],
            spool_path=str(self.root),
            proc=str(self.root / "proc"),
            sys=str(self.root / "sys"),
            dev=str(self.root / "dev"),
            clock=clock,
            patience_s=10.0,
        )

    def later(self) -> None:
        """Change what changed a second later: in place, as the kernel does."""
        for path in (BOARDS / self.name / "later").rglob("*"):
            if path.is_file():
                (self.root / path.relative_to(BOARDS / self.name / "later")).write_bytes(path.read_bytes())

    def golden(self) -> dict[str, Any]:
        golden: dict[str, Any] = json.loads((BOARDS / self.name / "golden.json").read_text())
        for readings in (golden["first"], golden["later"]):
            for name in readings:
                if name.startswith("stonechat.engine.memory.rss"):
                    readings[name] = readings[name] * PAGE_BYTES // 4096
        return golden


def without_filesystem(table: dict[str, int]) -> dict[str, int]:
    """The tree lies on a real file system, whose room is not golden."""
    return {name: value for name, value in table.items() if not name.startswith("system.filesystem.")}


@pytest.mark.parametrize("name", ENGINES)
def test_a_board_gives_its_golden_readings(name: str, tmp_path: Path, named: Named, clock: Clock) -> None:
    board = Board(name, tmp_path)
    sampler = board.sampler(clock)
    first = without_filesystem(named(sampler.sample(10 * SECOND).readings))
    board.later()
    later = without_filesystem(named(sampler.sample(11 * SECOND).readings))
    absent = sorted(status.name for status in sampler.status() if status.state is State.ABSENT)
    sampler.close()
    if os.environ.get("SHOW_BOARDS"):
        print(json.dumps({"absent": absent, "first": first, "later": later}, indent=1))
    golden = board.golden()
    assert first == golden["first"]
    assert later == golden["later"]
    assert absent == golden["absent"]


@pytest.mark.parametrize("name", ENGINES)
def test_a_board_is_described(name: str, tmp_path: Path) -> None:
    root = Board(name, tmp_path).root
    described = describe(
        proc=str(root / "proc"),
        sys=str(root / "sys"),
        dev=str(root / "dev"),
        etc=str(root / "etc"),
        var=str(root / "var"),
        architecture=ARCHITECTURES.get(name, "aarch64"),
    )
    if os.environ.get("SHOW_BOARDS"):
        print(json.dumps(described, indent=1))
    assert described == json.loads((BOARDS / name / "golden.json").read_text())["hardware"]
    for secret in ("deadbeef", "secret"):
        assert secret not in json.dumps(described).lower()


@pytest.mark.parametrize("name", ENGINES)
def test_a_sample_of_a_board_costs_less_than_half_a_percent_of_a_core(
    name: str, tmp_path: Path, clock: Clock
) -> None:
    """At one a second: CPU time of all threads. docs/sampling.md has the figures of a quiet machine."""
    sampler = Board(name, tmp_path).sampler(clock)
    for tick in range(3):
        sampler.sample(tick * SECOND)
    best_s = 1.0
    for run in range(3):
        began_s = time.process_time()
        for tick in range(50):
            sampler.sample((3 + 50 * run + tick) * SECOND)
        best_s = min(best_s, (time.process_time() - began_s) / 50)
    sampler.close()
    print(f"{name}: {1e6 * best_s:.0f} us a sample")
    assert best_s < 0.005
