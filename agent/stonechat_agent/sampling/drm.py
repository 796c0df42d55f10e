"""GPUs of AMD and Intel, by the files that their drivers show in sysfs, and the engines' memory by DRM's fdinfo.

amdgpu (kernel documentation, gpu/amdgpu/thermal.rst and driver-misc.rst): ``gpu_busy_percent``, ``mem_info_*``,
``pp_dpm_sclk``, ``gpu_metrics``, hwmon. i915 (drivers/gpu/drm/i915/gt/intel_gt_sysfs_pm.c): ``gt_*_freq_mhz``,
``rc6_residency_ms``, ``throttle_reason_*``. xe (xe_gt_idle.c, xe_gt_freq.c, xe_gt_throttle.c): the same below
``device/tile*/gt*``. Engines: gpu/drm-usage-stats.rst.

Intel's drivers count no busy time for everyone: its GPUs are busy here while they are not in their sleep state, which
is a little more than they work. A GPU that is powered down is not asked for anything, since that would wake it.

An integrated GPU beside one of NVIDIA's is left out: it drives the display.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from .files import File, Increments, names, number, read_file, read_int, read_text
from .gpus import (
    CLOCK_RATIO,
    ENERGY,
    MEMORY_LIMIT,
    MEMORY_USAGE,
    POWER,
    TEMPERATURE,
    UTILIZATION,
    Figures,
    together,
)
from .nvidia import is_present
from .reading import Absent, Reading, share

CARDS = 8
ENGINES_NS = 5_000_000_000
"""Between two looks at the engines' memory, for which each of their descriptors is read."""
HIGHEST_W = 5_000


class Card(Protocol):
    """One GPU."""

    def read(self, now_ns: int) -> Figures:
        """Return what it shows; what cannot be read is left out."""

    def close(self) -> None: ...


class Drm:
    name = "drm"

    def __init__(
        self, proc: str, sys: str, dev: str, engine_pids: Callable[[], Mapping[str, frozenset[int]]]
    ) -> None:
        self._proc = proc
        self._sys = sys
        self._dev = dev
        self._engine_pids = engine_pids
        self._cards: list[tuple[str, Card]] = []
        self._engines_ns = 0

    def open(self) -> None:
        self.close()
        self._engines_ns = 0
        if is_present(self._proc, self._dev):
            raise Absent("NVIDIA's GPU stands for the machine's")
        self._cards = list(cards(self._sys))
        if not self._cards:
            raise Absent(f"no GPU of the drivers {', '.join(DRIVERS)} in {self._sys}/class/drm")

    def read(self, now_ns: int) -> Iterator[Reading]:
        if not any(os.path.exists(f"{place}/device") for place, _ in self._cards):
            raise Absent("the GPU is gone")
        shown = [
            _asleep()
            if read_text(f"{place}/device/power/runtime_status") == "suspended"
            else card.read(now_ns)
            for place, card in self._cards
        ]
        if now_ns >= self._engines_ns:
            self._engines_ns = now_ns + ENGINES_NS
            for engine, pids in self._engine_pids().items():
                held = memory_of(self._proc, pids)
                if held is not None:
                    shown[0].engines[engine] = held
        yield from together(shown)

    def close(self) -> None:
        for _, card in self._cards:
            card.close()
        self._cards = []


def cards(sys: str) -> Iterator[tuple[str, Card]]:
    """Give the GPUs that can be read: the directory of each in ``class/drm``, and the card."""
    root = f"{sys}/class/drm"
    found = [name for name in names(root) if re.fullmatch("card[0-9]+", name)]
    for name in found[:CARDS]:
        kind = DRIVERS.get(driver(f"{root}/{name}") or "")
        if kind is not None:
            yield f"{root}/{name}", kind(f"{root}/{name}")


def driver(card: str) -> str | None:
    """Return the name of the driver of a card (``amdgpu``)."""
    match = re.search(r"^DRIVER=(\S+)$", read_text(f"{card}/device/uevent") or "", re.M)
    return match[1] if match else None


def is_integrated(card: str) -> bool:
    """Tell an AMD processor's own GPU: only those have a north bridge whose voltage hwmon shows (``vddnb``)."""
    return any(read_text(f"{chip}/in1_label") == "vddnb" for chip in _chips(card))


def _chips(card: str) -> list[str]:
    return [f"{card}/device/hwmon/{chip}" for chip in names(f"{card}/device/hwmon")]


def _asleep() -> Figures:
    figures = Figures()
    figures[UTILIZATION] = 0
    return figures


class _Hwmon:
    """Temperature, power and energy of a card's own chip."""

    def __init__(self, card: str) -> None:
        self._last_ns = 0
        self._rest_uj = 0
        self._counters = Increments()
        self._temperature = self._power = self._energy = None
        for chip in _chips(card):
            present = set(names(chip))
            self._temperature = self._temperature or _first(chip, present, "temp1_input", "temp2_input")
            self._power = self._power or _first(chip, present, "power1_average", "power1_input")
            self._energy = self._energy or _first(chip, present, "energy1_input", "energy2_input")

    def read(self, figures: Figures, now_ns: int) -> None:
        celsius = None if self._temperature is None else number(self._temperature)
        if celsius is not None and 0 <= celsius <= 150_000:
            figures[TEMPERATURE] = round(celsius / 100)
        watts = None if self._power is None else number(self._power)
        if watts is not None and 0 <= watts <= HIGHEST_W * 1_000_000:
            figures[POWER] = watts // 1_000
        elapsed_ns, self._last_ns = now_ns - self._last_ns if self._last_ns else 0, now_ns
        joules = None if self._energy is None else number(self._energy)
        added_uj = None if joules is None or joules < 0 else self._counters.step("energy", joules)
        if added_uj is not None and elapsed_ns > 0 and added_uj <= HIGHEST_W * elapsed_ns // 1_000:
            figures[ENERGY], self._rest_uj = divmod(self._rest_uj + added_uj, 1_000)
            figures.setdefault(POWER, added_uj * 1_000_000 // elapsed_ns)

    def close(self) -> None:
        _close(self._temperature, self._power, self._energy)


def _first(place: str, present: set[str], *wanted: str) -> File | None:
    return next((File(f"{place}/{name}", head=32) for name in wanted if name in present), None)


def _close(*files: File | None) -> None:
    for file in files:
        if file is not None:
            file.close()


class Amd:
    """A card of amdgpu. A processor's own GPU works in the system's memory: what is mapped of that (GTT) is its too."""

    def __init__(self, card: str) -> None:
        device = f"{card}/device"
        self._integrated = is_integrated(card)
        regions = ("vram", "gtt") if self._integrated else ("vram",)
        self._busy = File(f"{device}/gpu_busy_percent", head=32)
        self._used = [File(f"{device}/mem_info_{region}_used", head=32) for region in regions]
        self._total = [File(f"{device}/mem_info_{region}_total", head=32) for region in regions]
        self._levels = File(f"{device}/pp_dpm_sclk", head=1024)
        self._metrics = File(f"{device}/gpu_metrics", head=1024)
        self._hwmon = _Hwmon(card)

    def read(self, now_ns: int) -> Figures:
        figures = Figures()
        busy = number(self._busy)
        if busy is not None and 0 <= busy <= 100:
            figures[UTILIZATION] = 100 * busy
        for metric, files in ((MEMORY_USAGE, self._used), (MEMORY_LIMIT, self._total)):
            parts = [part for part in map(number, files) if part is not None and part >= 0]
            if len(parts) == len(files):
                figures[metric] = sum(parts)
        ratio = _dpm_ratio(self._levels)
        if ratio is not None:
            figures[CLOCK_RATIO] = ratio
        self._hwmon.read(figures, now_ns)
        if self._integrated:
            # Of the whole chip, processor included: not the GPU's.
            figures.pop(POWER, None)
        figures.reasons = throttle_reasons(self._metrics)
        return figures

    def close(self) -> None:
        _close(self._busy, *self._used, *self._total, self._levels, self._metrics)
        self._hwmon.close()


def _dpm_ratio(levels: File) -> int | None:
    """Return the clock in force (``1: 1600Mhz *``) of the highest that is listed."""
    try:
        found = re.findall(rb"^[0-9S]+: *([0-9]{1,6})M[Hh]z( \*)?", levels.read(), re.M)
    except OSError:
        return None
    now = [int(clock) for clock, mark in found if mark]
    return share(now[0], max(int(clock) for clock, _ in found)) if now else None


# Where ``indep_throttle_status`` (64 bits) stands in gpu_metrics, by format and content revision: drivers/gpu/drm/amd/
# include/kgd_pp_interface.h. Others lack it, or hold bits that differ from chip to chip.
_METRICS = {(1, 3): 112, (2, 2): 120, (2, 3): 120, (2, 4): 120}
_GROUPS = ((0, "power_cap"), (16, "current_limit"), (32, "hardware_thermal"), (48, "hardware_slowdown"))


def throttle_reasons(metrics: File) -> tuple[str, ...]:
    """Return why an AMD GPU is throttled: 16 bits each of power, current, temperature and the rest."""
    try:
        data = metrics.read()
    except OSError:
        return ()
    if len(data) < 4:
        return ()
    at = _METRICS.get((data[2], data[3]))
    if at is None or len(data) < at + 8:
        return ()
    bits = struct.unpack_from("<Q", data, at)[0]
    # A field that a chip does not fill is all ones.
    return () if bits == (1 << 64) - 1 else tuple(word for low, word in _GROUPS if bits >> low & 0xFFFF)


_INTEL_REASONS = {
    "pl1": "power_cap",
    "pl2": "power_cap",
    "pl4": "current_limit",
    "vr_tdc": "current_limit",
    "thermal": "hardware_thermal",
    "prochot": "hardware_thermal",
    "ratl": "hardware_thermal",
    "vr_thermalert": "hardware_thermal",
}


class Intel:
    """A card of i915 or xe: the busiest of its GTs, its clock of the highest that the hardware has."""

    def __init__(
        self, card: str, idle: list[str], clocks: list[tuple[str, str]], throttle: list[tuple[str, str]]
    ) -> None:
        """Take the paths of sleep counters (ms), of (clock now, highest clock), and of (whether, reason's prefix)."""
        self._idle = [File(path, head=32) for path in idle]
        self._clocks = [
            (File(now, head=32), highest)
            for now, highest in ((now, read_int(limit)) for now, limit in clocks)
            if highest is not None and highest > 0
        ]
        self._throttle = [(File(status, head=32), prefix) for status, prefix in throttle]
        self._counters = Increments()
        self._last_ns = 0
        self._hwmon = _Hwmon(card)

    def read(self, now_ns: int) -> Figures:
        figures = Figures()
        elapsed_ns, self._last_ns = now_ns - self._last_ns if self._last_ns else 0, now_ns
        busy = []
        for file in self._idle:
            idle_ms = number(file)
            added = None if idle_ms is None or idle_ms < 0 else self._counters.step(file.path, idle_ms)
            if added is not None and elapsed_ns > 0:
                busy.append(share(elapsed_ns - 1_000_000 * added, elapsed_ns) or 0)
        if busy:
            figures[UTILIZATION] = max(busy)
        # A GT that sleeps has no clock: 0.
        clocks = [
            share(now, highest)
            for now, highest in ((number(f), h) for f, h in self._clocks)
            if now and now > 0
        ]
        if clocks:
            figures[CLOCK_RATIO] = max(clock or 0 for clock in clocks)
        self._hwmon.read(figures, now_ns)
        reasons: set[str] = set()
        for status, prefix in self._throttle:
            if number(status) == 1:
                reasons.update(
                    word for name, word in _INTEL_REASONS.items() if read_int(f"{prefix}{name}") == 1
                )
        figures.reasons = tuple(sorted(reasons))
        return figures

    def close(self) -> None:
        _close(*self._idle, *(file for file, _ in self._clocks), *(file for file, _ in self._throttle))
        self._hwmon.close()


def _i915(card: str) -> Card:
    gts = [f"{card}/gt/{gt}" for gt in names(f"{card}/gt") if re.fullmatch("gt[0-9]+", gt)]
    limits = ("gt_RP0_freq_mhz", "gt_max_freq_mhz")
    limit = next((name for name in limits if os.path.exists(f"{card}/{name}")), limits[0])
    return Intel(
        card,
        # Before Linux 5.18 there was no directory a GT.
        idle=[f"{gt}/rc6_residency_ms" for gt in gts] or [f"{card}/power/rc6_residency_ms"],
        clocks=[(f"{card}/gt_act_freq_mhz", f"{card}/{limit}")],
        throttle=[(f"{gt}/throttle_reason_status", f"{gt}/throttle_reason_") for gt in gts],
    )


def _xe(card: str) -> Card:
    gts = [
        f"{card}/device/{tile}/{gt}"
        for tile in names(f"{card}/device")
        if re.fullmatch("tile[0-9]+", tile)
        for gt in names(f"{card}/device/{tile}")
        if re.fullmatch("gt[0-9]+", gt)
    ]
    return Intel(
        card,
        idle=[f"{gt}/gtidle/idle_residency_ms" for gt in gts],
        clocks=[(f"{gt}/freq0/act_freq", f"{gt}/freq0/rp0_freq") for gt in gts],
        throttle=[(f"{gt}/freq0/throttle/status", f"{gt}/freq0/throttle/reason_") for gt in gts],
    )


DRIVERS: dict[str, Callable[[str], Card]] = {"amdgpu": Amd, "i915": _i915, "xe": _xe}

_MEMORY = re.compile(rb"^drm-(resident|memory)-(\S+):\s*([0-9]{1,20})(?: (KiB|MiB))?$", re.M)
_CLIENT = re.compile(rb"^drm-(?:pdev|client-id):\s*(\S+)$", re.M)
_UNITS = {b"": 0, b"KiB": 10, b"MiB": 20}
DESCRIPTORS = 1024


def memory_of(proc: str, pids: frozenset[int]) -> int | None:
    """Return the bytes that processes hold on GPUs; None where none may be looked at, or none has a GPU open.

    Only the processes' own user and root may look.
    """
    held: dict[tuple[bytes, ...], int] = {}
    for pid in pids:
        place = f"{proc}/{pid}/fdinfo"
        for fd in names(place)[:DESCRIPTORS]:
            try:
                info = read_file(f"{place}/{fd}", 4096)
            except OSError:
                continue
            if b"drm-driver:" in info:
                # A descriptor that was duplicated is the same client, once.
                held[tuple(_CLIENT.findall(info)) or (f"{pid}/{fd}".encode(),)] = _resident(info)
    return sum(held.values()) if held else None


def _resident(info: bytes) -> int:
    """Add up a client's memory by region. ``memory`` is the older name of ``resident``; amdgpu gives both."""
    regions: dict[bytes, int] = {}
    for kind, region, value, unit in _MEMORY.findall(info):
        # What was moved out to the processor's side is not on the GPU.
        if region != b"cpu" and (kind == b"resident" or region not in regions):
            regions[region] = int(value) << _UNITS[unit]
    return sum(regions.values())
