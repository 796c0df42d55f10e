"""GPU and NPU of a system on a chip: Jetson, Rockchip and others with a devfreq device (ABI: sysfs-class-devfreq).

``cur_freq`` of the highest of ``available_frequencies`` (Hz). Load: a Jetson's ``device/load`` in thousandths, and
``load`` of Rockchip's own Linux (``37@300000000Hz``, in hundredths); neither is in the kernel's documentation, and
Linux of kernel.org gives none. Rockchip's NPU: ``/proc/rknpu/load``, or ``kernel/debug/rknpu/load``, which only root
may read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from stonechat.catalog import metric_id

from .files import File, names, number, read_file, read_int, read_text
from .gpus import CLOCK_RATIO, TEMPERATURE, UTILIZATION, Figures, together
from .reading import Absent, Reading, share

NPU_UTILIZATION = metric_id("hw.npu.utilization")

# 17000000.gpu, 17000000.ga10b (Jetson), fb000000.gpu (Rockchip), ffe40000.mali; by the name of the device.
_GPU = re.compile(r".*\.(gpu|mali|ga10b|gv11b|gp10b|gm20b)(-panthor)?$|gpufreq$")
_ZONE = re.compile(r"gpu[0-9_-]*therm", re.I)


class Devfreq:
    name = "devfreq"

    def __init__(self, proc: str, sys: str) -> None:
        self._proc = proc
        self._sys = sys
        self._gpu: _Gpu | None = None
        self._npu: File | None = None

    def open(self) -> None:
        self.close()
        root = f"{self._sys}/class/devfreq"
        gpu = next((name for name in names(root) if _GPU.match(name)), None)
        if gpu is not None:
            self._gpu = _Gpu(f"{root}/{gpu}", self._zone())
        refused = None
        for path in npu_paths(self._proc, self._sys):
            try:
                read_file(path, 256)
            except OSError as error:
                refused = refused or (error if isinstance(error, PermissionError) else None)
            else:
                self._npu = File(path, head=256)
                break
        if self._gpu is None and self._npu is None:
            raise Absent(
                f"{refused.filename}: may be read by root alone"
                if refused
                else f"no GPU in {root}, and no NPU"
            )

    def _zone(self) -> File | None:
        root = f"{self._sys}/class/thermal"
        for zone in names(root):
            if zone.startswith("thermal_zone") and _ZONE.match(read_text(f"{root}/{zone}/type") or ""):
                return File(f"{root}/{zone}/temp", head=32)
        return None

    def read(self, now_ns: int) -> Iterator[Reading]:
        if self._gpu is not None:
            if not os.path.exists(self._gpu.place):
                raise Absent("the GPU is gone; a driver was unloaded or loaded anew")
            yield from together([self._gpu.read()])
        if self._npu is not None:
            # "NPU load:  Core0: 12%, Core1:  0%, Core2:  0%,", and without names where there is one core.
            loads = [int(load) for load in re.findall(rb"([0-9]{1,3})%", self._npu.read())]
            if loads and max(loads) <= 100:
                yield Reading(NPU_UTILIZATION, round(100 * sum(loads) / len(loads)))

    def close(self) -> None:
        if self._gpu is not None:
            self._gpu.close()
        if self._npu is not None:
            self._npu.close()
        self._gpu = self._npu = None


def npu_paths(proc: str, sys: str) -> tuple[str, str]:
    """Return where a Rockchip NPU's driver may say its load."""
    return f"{proc}/rknpu/load", f"{sys}/kernel/debug/rknpu/load"


class _Gpu:
    def __init__(self, place: str, zone: File | None) -> None:
        self.place = place
        self._now = File(f"{place}/cur_freq", head=32)
        listed = [
            int(word)
            for word in (read_text(f"{place}/available_frequencies") or "").split()
            if word.isdigit()
        ]
        self._highest = max(listed, default=0) or read_int(f"{place}/max_freq") or 0
        # Of these at most one is there.
        self._thousandths = File(f"{place}/device/load", head=32)
        self._hundredths = File(f"{place}/load", head=64)
        self._zone = zone

    def read(self) -> Figures:
        figures = Figures()
        load = self._load()
        if load is not None:
            figures[UTILIZATION] = load
        now = number(self._now)
        ratio = share(now, self._highest) if now is not None and now > 0 else None
        if ratio is not None:
            figures[CLOCK_RATIO] = ratio
        celsius = None if self._zone is None else number(self._zone)
        if celsius is not None and -40_000 <= celsius <= 150_000 and celsius != 0:
            figures[TEMPERATURE] = round(celsius / 100)
        return figures

    def _load(self) -> int | None:
        thousandths = number(self._thousandths)
        if thousandths is not None:
            return 10 * thousandths if 0 <= thousandths <= 1000 else None
        try:
            match = re.match(rb"([0-9]{1,3})@", self._hundredths.read())
        except OSError:
            return None
        return 100 * int(match[1]) if match and int(match[1]) <= 100 else None

    def close(self) -> None:
        for file in (self._now, self._thousandths, self._hundredths, self._zone):
            if file is not None:
                file.close()
