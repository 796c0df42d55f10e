"""NVIDIA GPUs. Where there is none, recorded values stand in for the driver: the constants, the errors and the names
of the functions are those of the real pynvml."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pynvml
import pytest

from stonechat_agent.sampling import Absent, Sampler, State, build
from stonechat_agent.sampling.aside import Aside
from stonechat_agent.sampling.nvidia import REASONS, Nvidia, is_present

if TYPE_CHECKING:
    from tests.agent.sampling.conftest import Named, Plant, Planted

SECOND = 1_000_000_000


def gpu(**changed: Any) -> dict[str, Any]:
    """Return what one GPU answers, by function; an error is raised. As an RTX 4000 answered, in round numbers."""
    return {
        "nvmlDeviceGetUtilizationRates": SimpleNamespace(gpu=80, memory=40),
        "nvmlDeviceGetMemoryInfo": SimpleNamespace(total=20 << 30, used=5 << 30, free=15 << 30),
        "nvmlDeviceGetTemperature": 66,
        "nvmlDeviceGetPowerUsage": 120_500,
        "nvmlDeviceGetTotalEnergyConsumption": 1_000_000,
        "nvmlDeviceGetClockInfo": 1500,
        "nvmlDeviceGetMaxClockInfo": 2000,
        "nvmlDeviceGetCurrentClocksEventReasons": 0,
        "nvmlDeviceGetTotalEccErrors": 0,
        "nvmlDeviceGetPcieReplayCounter": 2,
        "nvmlDeviceGetComputeRunningProcesses": [],
        "nvmlDeviceGetGraphicsRunningProcesses": [],
        "nvmlDeviceGetName": "NVIDIA RTX 4000",
        **changed,
    }


class Recorded:
    """The pynvml module with recorded answers; everything that needs no driver is the real module's."""

    def __init__(self, *gpus: dict[str, Any]) -> None:
        self.gpus = list(gpus)
        self.initialized = 0
        self.asked: list[str] = []
        self.init_error: Exception | None = None

    def nvmlInit(self) -> None:
        if self.init_error is not None:
            raise self.init_error
        self.initialized += 1

    def nvmlShutdown(self) -> None:
        self.initialized -= 1

    def nvmlDeviceGetCount(self) -> int:
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlSystemGetDriverVersion(self) -> str:
        return "550.90.07"

    def __getattr__(self, name: str) -> Any:
        real = getattr(pynvml, name)
        if not name.startswith("nvmlDeviceGet"):
            return real

        def answer(handle: int, *arguments: Any) -> Any:
            self.asked.append(name)
            recorded = self.gpus[handle][name]
            if isinstance(recorded, Exception):
                raise recorded
            return recorded

        return answer


def error(name: str) -> Exception:
    code: int = getattr(pynvml, f"NVML_ERROR_{name}")
    made: Exception = pynvml.NVMLError(code)
    return made


def source_of(
    tree: Planted, recorded: Recorded, engines: Mapping[str, frozenset[int]] | None = None
) -> Nvidia:
    tree.write("dev/nvidia0", "")
    return Nvidia(tree.proc, str(tree.root / "dev"), lambda: engines or {}, lambda: recorded)


def test_two_gpus_are_summed_or_the_mean_or_the_hottest(plant: Plant, named: Named) -> None:
    recorded = Recorded(
        gpu(),
        gpu(
            nvmlDeviceGetUtilizationRates=SimpleNamespace(gpu=20, memory=0),
            nvmlDeviceGetTemperature=90,
            nvmlDeviceGetCurrentClocksEventReasons=0x40 | 0x08 | 0x01,
        ),
    )
    source = source_of(plant("none"), recorded)
    source.open()
    list(source.read(SECOND))
    recorded.gpus[0]["nvmlDeviceGetTotalEnergyConsumption"] += 120_000
    recorded.gpus[1]["nvmlDeviceGetTotalEnergyConsumption"] = (
        30_000  # the driver was loaded anew: it began again
    )
    recorded.gpus[0]["nvmlDeviceGetTotalEccErrors"] = 1
    recorded.gpus[1]["nvmlDeviceGetPcieReplayCounter"] = 4
    assert named(source.read(11 * SECOND)) == {
        "hw.gpu.utilization": 5000,
        "hw.gpu.memory.usage": 10240,
        "hw.gpu.memory.limit": 40960,
        "hw.gpu.temperature": 900,
        "hw.gpu.power": 241_000,
        "hw.gpu.energy": 120_000,
        "hw.gpu.clock.ratio": 7500,
        "hw.gpu.errors": 3,
        "hw.gpu.throttle.reasons hardware_slowdown": 1,
        "hw.gpu.throttle.reasons hardware_thermal": 1,
    }
    source.close()
    assert recorded.initialized == 0


def test_what_a_gpu_does_not_support_is_asked_for_once(plant: Plant, named: Named) -> None:
    unsupported = error("NOT_SUPPORTED")
    recorded = Recorded(
        gpu(
            nvmlDeviceGetUtilizationRates=unsupported,
            nvmlDeviceGetPowerUsage=unsupported,
            nvmlDeviceGetTotalEnergyConsumption=unsupported,
            nvmlDeviceGetTotalEccErrors=unsupported,
            nvmlDeviceGetPcieReplayCounter=unsupported,
            nvmlDeviceGetClockInfo=error("UNKNOWN"),
        )
    )
    source = source_of(plant("none"), recorded)
    source.open()
    for second in range(3):
        readings = named(source.read(second * SECOND))
    assert readings == {
        "hw.gpu.memory.usage": 5120,
        "hw.gpu.memory.limit": 20480,
        "hw.gpu.temperature": 660,
    }
    assert recorded.asked.count("nvmlDeviceGetPowerUsage") == 1
    assert recorded.asked.count("nvmlDeviceGetClockInfo") == 3
    source.close()


def test_an_old_driver_knows_the_reasons_by_their_old_name(plant: Plant, named: Named) -> None:
    recorded = Recorded(
        gpu(
            nvmlDeviceGetCurrentClocksEventReasons=error("FUNCTION_NOT_FOUND"),
            nvmlDeviceGetCurrentClocksThrottleReasons=0x04,
        )
    )
    source = source_of(plant("none"), recorded)
    source.open()
    assert named(source.read(0))["hw.gpu.throttle.reasons power_cap"] == 1
    source.close()


def test_the_bits_are_those_of_the_real_module() -> None:
    assert {word: bit for bit, word in REASONS} == {
        "power_cap": pynvml.nvmlClocksThrottleReasonSwPowerCap,
        "hardware_slowdown": pynvml.nvmlClocksThrottleReasonHwSlowdown,
        "sync_boost": pynvml.nvmlClocksThrottleReasonSyncBoost,
        "software_thermal": pynvml.nvmlClocksThrottleReasonSwThermalSlowdown,
        "hardware_thermal": pynvml.nvmlClocksThrottleReasonHwThermalSlowdown,
        "power_brake": pynvml.nvmlClocksThrottleReasonHwPowerBrakeSlowdown,
    }


def test_memory_of_the_engines_processes(plant: Plant, named: Named) -> None:
    def holds(pid: int, mib: int | None) -> SimpleNamespace:
        return SimpleNamespace(pid=pid, usedGpuMemory=None if mib is None else mib << 20)

    recorded = Recorded(
        gpu(
            nvmlDeviceGetComputeRunningProcesses=[holds(900, 4000), holds(77, 50), holds(901, None)],
            nvmlDeviceGetGraphicsRunningProcesses=[holds(900, 4000)],
        ),
        gpu(nvmlDeviceGetComputeRunningProcesses=[holds(902, 1000)]),
    )
    engines = {"ollama": frozenset((900, 901, 902)), "other": frozenset((5,)), "lost": frozenset[int]()}
    source = source_of(plant("none"), recorded, engines)
    source.open()
    readings = named(source.read(0))
    assert readings["stonechat.engine.gpu.memory ollama"] == 5000
    assert not [name for name in readings if "other" in name or "lost" in name]
    source.close()


def test_a_gpu_that_falls_off_the_bus_is_left_out(plant: Plant, named: Named) -> None:
    recorded = Recorded(gpu(), gpu())
    source = source_of(plant("none"), recorded)
    source.open()
    list(source.read(0))
    recorded.gpus[1] = dict.fromkeys(recorded.gpus[1], error("GPU_IS_LOST"))
    for second in range(1, 4):
        assert named(source.read(second * SECOND))["hw.gpu.memory.limit"] == 20480
    recorded.gpus[1] = {}  # asking it once more would be a KeyError
    assert named(source.read(4 * SECOND))["hw.gpu.memory.limit"] == 20480
    source.close()


@pytest.mark.parametrize("fault", ["GPU_IS_LOST", "UNINITIALIZED", "DRIVER_NOT_LOADED", "TIMEOUT"])
def test_the_driver_going_away_is_a_failure_and_coming_back_is_none(
    plant: Plant, named: Named, fault: str
) -> None:
    recorded = Recorded(gpu())
    sampler = Sampler([Aside(source_of(plant("none"), recorded), patience_s=5.0)])
    assert named(sampler.sample(0).readings)["hw.gpu.temperature"] == 660
    recorded.gpus[0] = dict.fromkeys(recorded.gpus[0], error(fault))
    recorded.init_error = error("DRIVER_NOT_LOADED")
    for second in range(1, 20):
        assert sampler.sample(second * SECOND).failed == ("nvidia",)
    recorded.gpus[0], recorded.init_error = gpu(), None
    sample = sampler.sample(60 * SECOND)
    assert sample.failed == ()
    assert named(sample.readings)["hw.gpu.temperature"] == 660
    assert recorded.initialized == 1
    sampler.close()


def test_without_a_device_node_the_library_is_never_loaded(plant: Plant) -> None:
    tree = plant("none")

    def load() -> Any:
        raise AssertionError("loaded")

    with pytest.raises(Absent):
        Nvidia(tree.proc, str(tree.root / "dev"), dict, load).open()


def test_a_jetson_has_device_nodes_and_no_use_for_nvml(plant: Plant) -> None:
    tree = plant("none")
    tree.write("dev/nvidiactl", "")
    assert is_present(tree.proc, str(tree.root / "dev"))
    tree.write("proc/device-tree/compatible", "nvidia,p3737-0000+p3701-0005\0nvidia,tegra234\0")
    assert not is_present(tree.proc, str(tree.root / "dev"))


def test_without_a_library_or_a_gpu_it_is_absent(plant: Plant) -> None:
    source = source_of(plant("none"), Recorded())
    with pytest.raises(Absent, match="no GPU"):
        source.open()
    source.close()

    def missing() -> Any:
        raise ImportError("no module")

    with pytest.raises(Absent, match="nvidia-ml-py"):
        Nvidia(source._proc, source._dev, dict, missing).open()


def test_on_a_host_without_nvidia_a_sample_imports_neither_pynvml_nor_psutil(plant: Plant) -> None:
    """They cost 9 MiB together."""
    script = (
        "import sys; from stonechat_agent.sampling import build; "
        "s = build(engines=[], spool_path='/', dev=sys.argv[1]); s.sample(); s.close(); "
        "print(sorted({'pynvml', 'psutil', 'subprocess', 'multiprocessing'} & set(sys.modules)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, str(plant("none").root)], capture_output=True, text=True, check=True
    )
    assert run.stdout == "[]\n"


@pytest.mark.skipif(not is_present("/proc", "/dev"), reason="no NVIDIA GPU here")
def test_a_real_gpu(named: Named) -> None:
    sampler = build(engines=[], spool_path=os.getcwd())
    readings: dict[str, int] = {}
    for second in range(100):
        readings = named(sampler.sample(second * SECOND).readings)
        if "hw.gpu.memory.limit" in readings:
            break
    states = {status.name: status.state for status in sampler.status()}
    sampler.close()
    assert states["nvidia"] is State.OK
    assert readings["hw.gpu.memory.limit"] > 0
