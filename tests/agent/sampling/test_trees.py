"""Golden readings: what the whole sampler says of trees written after the kernel's documentation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from stonechat.catalog import BY_NAME, Kind
from stonechat_agent.sampling import Clock, EngineMatch, Sampler, State, build
from stonechat_agent.sampling.processes import PAGE_BYTES

if TYPE_CHECKING:
    from tests.agent.sampling.conftest import Named, Plant, Planted

SECOND = 1_000_000_000
OLLAMA = EngineMatch("ollama", host="127.0.0.1", port=11434, unit="ollama")


def sampler_of(tree: Planted, clock: Clock, *engines: EngineMatch) -> Sampler:
    return build(
        engines=engines,
        spool_path=str(tree.root),
        proc=tree.proc,
        sys=tree.sys,
        dev=str(tree.root / "dev"),
        clock=clock,
        patience_s=10.0,
    )


def without_filesystem(table: dict[str, int]) -> dict[str, int]:
    """The tree lies on a real file system, whose room is not golden."""
    return {name: value for name, value in table.items() if not name.startswith("system.filesystem.")}


def test_a_pc_with_its_engine(plant: Plant, named: Named, clock: Clock) -> None:
    tree = plant("x86")
    sampler = sampler_of(tree, clock, OLLAMA)
    first = named(sampler.sample(10 * SECOND).readings)
    assert without_filesystem(first) == {
        "system.cpu.load_1m": 2100,
        "system.cpu.frequency.ratio": 7500,
        "system.memory.limit": 15923,
        "system.memory.usage": 7134,
        "system.memory.utilization": 4480,
        "system.paging.usage": 1024,
        "hw.temperature": 610,
        "hw.battery.charge": 8700,
        "stonechat.engine.up ollama": 10000,
        "stonechat.engine.memory.rss ollama": 510_000 * PAGE_BYTES >> 10,
        "stonechat.engine.memory.charged ollama": 4194304,
        "stonechat.engine.threads ollama": 3,
        "stonechat.agent.sources.failed": 0,
    }
    assert not [name for name in first if BY_NAME[name.split()[0]].kind is Kind.COUNTER]

    tree.later()
    sample = sampler.sample(11 * SECOND)
    assert (sample.monotonic_ns, sample.boottime_ns, sample.failed) == (11 * SECOND, 120 * SECOND, ())
    assert without_filesystem(named(sample.readings)) == {
        "system.cpu.utilization": 5000,
        "system.cpu.steal": 50,
        "system.cpu.core.utilization.max": 10000,
        "system.cpu.load_1m": 2100,
        "system.cpu.frequency.ratio": 7500,
        "system.memory.limit": 15923,
        "system.memory.usage": 7134,
        "system.memory.utilization": 4480,
        "system.paging.usage": 1024,
        "system.paging.faults": 7,
        "system.pressure.cpu.some": 120_000,
        "system.pressure.memory.some": 350,
        "system.pressure.memory.full": 200,
        "system.pressure.io.some": 1000,
        "system.pressure.io.full": 0,
        # nvme0n1 and sda; not their partitions, nor dm-0, zram0 and loop0.
        "system.disk.io.read": (2048 + 10) * 512,
        "system.disk.io.write": 100 * 512,
        # enp3s0 and wlp2s0; not lo, docker0 and the veth, which carry the same bytes.
        "system.network.io.receive": 1600,
        "system.network.io.transmit": 350,
        "system.network.errors": 7,
        "hw.temperature": 610,
        # The package's counter wrapped: 328850 + 11671151 uJ; with the memory's 3000500.
        "hw.power": 15_000,
        "hw.energy": 15_000,
        "stonechat.engine.up ollama": 10000,
        "stonechat.engine.cpu.utilization ollama": 15000,
        "stonechat.engine.memory.rss ollama": 522_000 * PAGE_BYTES >> 10,
        "stonechat.engine.memory.charged ollama": 4194304,
        "stonechat.engine.paging.faults ollama": 6,
        "stonechat.engine.cpu.run_delay ollama": 2001,
        "stonechat.engine.io.read ollama": 524_288,
        "stonechat.engine.threads ollama": 3,
        "stonechat.agent.sources.failed": 0,
    }
    # Asked every fifth time, and nothing of them is lost.
    switches = [
        named(sampler.sample((12 + second) * SECOND).readings).get(
            "stonechat.engine.context_switches.involuntary ollama"
        )
        for second in range(9)
    ]
    assert switches == [None, None, None, 41, None, None, None, None, 0]
    sampler.close()


def test_a_raspberry_pi_5_without_pressure_information(plant: Plant, named: Named, clock: Clock) -> None:
    tree = plant("raspberry_pi_5")
    sampler = sampler_of(tree, clock)
    sampler.sample(10 * SECOND)
    tree.later()
    readings = named(sampler.sample(11 * SECOND).readings)
    absent = {status.name: status.reason for status in sampler.status() if status.state is State.ABSENT}
    sampler.close()
    assert without_filesystem(readings) == {
        "system.cpu.utilization": 10000,
        "system.cpu.steal": 0,
        "system.cpu.core.utilization.max": 10000,
        "system.cpu.load_1m": 10000,
        "system.cpu.frequency.ratio": 6250,
        "system.memory.limit": 8063,
        "system.memory.usage": 6047,
        "system.memory.utilization": 7500,
        "system.paging.usage": 0,
        "system.paging.faults": 1024,
        "system.disk.io.read": 40_000 * 512,
        "system.disk.io.write": 0,
        "system.network.io.receive": 0,
        "system.network.io.transmit": 0,
        "system.network.errors": 0,
        "hw.temperature": 842,
        "stonechat.agent.sources.failed": 0,
    }
    assert absent.keys() == {
        *("pressure", "throttle", "power", "battery", "fans", "nvidia", "drm", "devfreq", "self")
    }
    assert "psi=1" in absent["pressure"]


def test_a_broken_tree_gives_what_can_be_read_and_says_what_fails(
    plant: Plant, named: Named, clock: Clock
) -> None:
    tree = plant("broken")
    sampler = sampler_of(tree, clock, EngineMatch("x", process="x"))
    sampler.sample(10 * SECOND)
    sample = sampler.sample(11 * SECOND)
    sampler.close()
    assert without_filesystem(named(sample.readings)) == {
        "system.memory.limit": 3906,
        "stonechat.agent.sources.failed": 2,
    }
    assert sample.failed == ("cpu", "power")


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 100, bytes(range(256)) * 40, b"9" * 3_000_000, b"\n" * 500_000]
)
def test_no_content_of_any_file_stops_a_sample(plant: Plant, clock: Clock, content: bytes) -> None:
    tree = plant("x86")
    for path in [path for path in tree.root.rglob("*") if path.is_file() and not path.is_symlink()]:
        path.write_bytes(content)
    sampler = sampler_of(tree, clock, OLLAMA, EngineMatch("named", process="x"))
    for second in range(3):
        sample = sampler.sample(second * SECOND)
        assert all(reading.value >= 0 for reading in sample.readings)
    sampler.close()


def test_an_empty_tree_has_only_absent_sources(plant: Plant, named: Named, clock: Clock) -> None:
    tree = plant("none")
    sampler = sampler_of(tree, clock)
    sample = sampler.sample(SECOND)
    sampler.close()
    assert without_filesystem(named(sample.readings)) == {"stonechat.agent.sources.failed": 0}
