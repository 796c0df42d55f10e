"""NVIDIA GPUs through NVML (``pynvml`` of nvidia-ml-py; NVIDIA's NVML API reference).

The library is loaded only where an NVIDIA device node exists, and not on a Jetson, whose NVML knows next to nothing of
its GPU. Each figure that a GPU does not support is asked for once. A GPU that falls off the bus is left out; when none
answers any more, or the driver is gone, the source fails and is opened anew later.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from .files import Increments, read_text
from .gpus import (
    CLOCK_RATIO,
    ENERGY,
    ERRORS,
    MEMORY_LIMIT,
    MEMORY_USAGE,
    POWER,
    TEMPERATURE,
    UTILIZATION,
    Figures,
    together,
)
from .reading import Absent, Reading, share

REASONS = (
    # nvmlClocksEventReasons*, as nvml.h numbers them. Idle (0x1), clocks set by the user (0x2) and the clocks of a
    # display (0x100) hold a GPU back on purpose, and are no throttling.
    (0x04, "power_cap"),
    (0x08, "hardware_slowdown"),
    (0x10, "sync_boost"),
    (0x20, "software_thermal"),
    (0x40, "hardware_thermal"),
    (0x80, "power_brake"),
)

ERRORS_NS = 10_000_000_000
"""Between two readings of the error counters, which take the driver the longest and change the least."""


def is_present(proc: str, dev: str) -> bool:
    """Tell whether NVML has anything to say here: a device node, and no Jetson."""
    if not any(os.path.exists(f"{dev}/{node}") for node in ("nvidia0", "nvidiactl")):
        return False
    return "nvidia,tegra" not in (read_text(f"{proc}/device-tree/compatible") or "")


class Nvidia:
    """The GPUs that NVML shows, and the engines' memory on them."""

    name = "nvidia"

    def __init__(
        self,
        proc: str,
        dev: str,
        engine_pids: Callable[[], Mapping[str, frozenset[int]]],
        load: Callable[[], Any] = lambda: importlib.import_module("pynvml"),
    ) -> None:
        self._proc = proc
        self._dev = dev
        self._engine_pids = engine_pids
        self._load = load
        self._nvml: Any = None
        self._gpus: list[_Gpu] = []

    def open(self) -> None:
        self.close()
        if not is_present(self._proc, self._dev):
            raise Absent("no NVIDIA device node, or a Jetson")
        try:
            nvml = self._load()
        except ImportError as error:
            raise Absent("the package nvidia-ml-py is not installed") from error
        nvml.nvmlInit()
        self._nvml = nvml
        for index in range(nvml.nvmlDeviceGetCount()):
            try:
                self._gpus.append(_Gpu(nvml, nvml.nvmlDeviceGetHandleByIndex(index)))
            except nvml.NVMLError:
                continue  # fallen off the bus, or not this user's
        if not self._gpus:
            raise Absent("NVML shows no GPU")

    def read(self, now_ns: int) -> Iterator[Reading]:
        engines = self._engine_pids()
        shown = []
        failure = None
        for gpu in self._gpus:
            try:
                shown.append(gpu.read(now_ns, engines))
            except self._nvml.NVMLError as error:
                failure = error
                gpu.lost = isinstance(error, self._nvml.NVMLError_GpuIsLost)
        if not shown and failure is not None:
            raise failure
        self._gpus = [gpu for gpu in self._gpus if not gpu.lost]
        yield from together(shown)

    def close(self) -> None:
        self._gpus = []
        if self._nvml is not None:
            nvml, self._nvml = self._nvml, None
            with suppress(nvml.NVMLError):  # the driver went first
                nvml.nvmlShutdown()


class _Gpu:
    def __init__(self, nvml: Any, handle: Any) -> None:
        self._nvml = nvml
        self._handle = handle
        self._counters = Increments()
        self._unsupported: set[str] = set()
        self._errors_ns = 0
        self.lost = False

    def _ask(self, function: str, *arguments: Any) -> Any:
        """Return what NVML says; None where this GPU or this driver does not know it."""
        nvml = self._nvml
        key = f"{function}{arguments}"
        if key in self._unsupported:
            return None
        try:
            return getattr(nvml, function)(self._handle, *arguments)
        except (nvml.NVMLError_NotSupported, nvml.NVMLError_FunctionNotFound, AttributeError):
            self._unsupported.add(key)
            return None
        except (nvml.NVMLError_Unknown, nvml.NVMLError_NoPermission, nvml.NVMLError_NoData):
            return None

    def read(self, now_ns: int, engines: Mapping[str, frozenset[int]]) -> Figures:
        """Return what the GPU shows. Raises NVMLError where it, or the driver, is in no state to say anything."""
        nvml = self._nvml
        figures = Figures()
        rates = self._ask("nvmlDeviceGetUtilizationRates")
        if rates is not None:
            figures[UTILIZATION] = 100 * rates.gpu
        memory = self._ask("nvmlDeviceGetMemoryInfo")
        if memory is not None:
            figures[MEMORY_USAGE], figures[MEMORY_LIMIT] = memory.used, memory.total
        temperature = self._ask("nvmlDeviceGetTemperature", nvml.NVML_TEMPERATURE_GPU)
        if temperature is not None and 0 <= temperature <= 150:
            figures[TEMPERATURE] = 10 * temperature
        power = self._ask("nvmlDeviceGetPowerUsage")
        if power is not None:
            figures[POWER] = power
        self._count(figures, ENERGY, "energy", self._ask("nvmlDeviceGetTotalEnergyConsumption"))
        clock = self._ask("nvmlDeviceGetClockInfo", nvml.NVML_CLOCK_SM)
        highest = self._ask("nvmlDeviceGetMaxClockInfo", nvml.NVML_CLOCK_SM)
        ratio = None if clock is None or highest is None else share(clock, highest)
        if ratio is not None:
            figures[CLOCK_RATIO] = ratio
        reasons = self._ask("nvmlDeviceGetCurrentClocksEventReasons")
        if reasons is None:  # its name before driver 535
            reasons = self._ask("nvmlDeviceGetCurrentClocksThrottleReasons")
        if reasons is not None:
            figures.reasons = tuple(word for bit, word in REASONS if reasons & bit)
        if now_ns >= self._errors_ns:
            self._errors_ns = now_ns + ERRORS_NS
            self._errors(figures)
        if any(engines.values()):
            self._engines(figures, engines)
        return figures

    def _errors(self, figures: Figures) -> None:
        nvml = self._nvml
        uncorrected = (nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, nvml.NVML_VOLATILE_ECC)
        self._count(figures, ERRORS, "ecc", self._ask("nvmlDeviceGetTotalEccErrors", *uncorrected))
        self._count(figures, ERRORS, "replay", self._ask("nvmlDeviceGetPcieReplayCounter"))

    def _count(self, figures: Figures, metric: int, key: str, value: int | None) -> None:
        added = None if value is None else self._counters.step(key, value)
        if added is not None:
            figures[metric] = figures.get(metric, 0) + added

    def _engines(self, figures: Figures, engines: Mapping[str, frozenset[int]]) -> None:
        running = [
            process
            for function in ("nvmlDeviceGetComputeRunningProcesses", "nvmlDeviceGetGraphicsRunningProcesses")
            for process in self._ask(function) or ()
        ]
        # One process may stand in both lists, with the same memory.
        memory = {
            process.pid: process.usedGpuMemory for process in running if process.usedGpuMemory is not None
        }
        for engine, pids in engines.items():
            held = [memory[pid] for pid in pids if pid in memory]
            if held:
                figures.engines[engine] = sum(held)
