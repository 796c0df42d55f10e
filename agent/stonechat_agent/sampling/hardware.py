"""What the machine is: facts for the description, which names the cohort that a device belongs to.

Facts that tell a kind of machine, none that tells one machine from its twins: no serial number, address, host name or
machine id is read. Every text comes from firmware or a vendor, so it is cut to printable ASCII of bounded length.
"""

from __future__ import annotations

import importlib
import os
import platform
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from . import drm
from .files import labelled, names, read_file, read_int, read_text
from .nvidia import is_present

TEXT_LIMIT = 96
CLASS_LIMIT = 63
GPUS = 8
MEMORY_STEP_MIB = 64
"""Memory is given in these steps: what the kernel keeps for itself changes with its version, the machine does not."""

# What boards answer whose maker filled nothing in.
_UNFILLED = re.compile(
    r"to be filled|default string|system (product|manufacturer)|not (specified|applicable)|none$|o\.e\.m",
    re.I,
)
_JETSON_NOISE = re.compile(r"\b(nvidia|engineering|reference|developer|kit|super|module|devkit)\b", re.I)

# Arm's and others' part numbers (Linux: arch/arm64/include/asm/cputype.h), for kernels whose cpuinfo has no name.
_PARTS = {
    (0x41, 0xC07): "Cortex-A7",
    (0x41, 0xD03): "Cortex-A53",
    (0x41, 0xD04): "Cortex-A35",
    (0x41, 0xD05): "Cortex-A55",
    (0x41, 0xD07): "Cortex-A57",
    (0x41, 0xD08): "Cortex-A72",
    (0x41, 0xD09): "Cortex-A73",
    (0x41, 0xD0A): "Cortex-A75",
    (0x41, 0xD0B): "Cortex-A76",
    (0x41, 0xD0C): "Neoverse-N1",
    (0x41, 0xD40): "Neoverse-V1",
    (0x41, 0xD41): "Cortex-A78",
    (0x41, 0xD42): "Cortex-A78AE",
    (0x41, 0xD44): "Cortex-X1",
    (0x41, 0xD46): "Cortex-A510",
    (0x41, 0xD47): "Cortex-A710",
    (0x41, 0xD49): "Neoverse-N2",
    (0x41, 0xD4B): "Cortex-A78C",
    (0x41, 0xD4D): "Cortex-A715",
    (0x41, 0xD4F): "Neoverse-V2",
    (0x41, 0xD80): "Cortex-A520",
    (0x41, 0xD81): "Cortex-A720",
    (0x4E, 0x003): "Denver 2",
    (0x4E, 0x004): "Carmel",
    (0xC0, 0xAC3): "Ampere-1",
}


def describe(
    *,
    proc: str = "/proc",
    sys: str = "/sys",
    dev: str = "/dev",
    etc: str = "/etc",
    var: str = "/var",
    architecture: str | None = None,
    load: Callable[[], Any] = lambda: importlib.import_module("pynvml"),
) -> dict[str, Any]:
    """Return the hardware's facts; what is unknown is left out.

    ``class`` (a short identifier such as ``raspberry-pi-5``, ``jetson-agx-orin`` or ``x86_64-2c-24g``), ``arch``,
    ``cpu``, ``cores``, ``memory_mib``, ``board``, ``power_mode`` (of a Jetson), ``kernel``, ``os``, ``os_version``, and
    ``gpus``, a list of ``name``, ``memory_mib``, ``driver`` and, for a GPU within the processor, ``integrated``.

    Asks NVML where there is an NVIDIA GPU, which may take seconds: not for an event loop.

    Args:
        architecture: what ``uname -m`` says; default: of this machine.
        load: gives the pynvml module.
    """
    arch = architecture or platform.machine()
    facts: dict[str, Any] = {
        "arch": _text(arch),
        "cpu": _cpu(proc),
        "cores": _cores(proc, sys),
        "memory_mib": _memory_mib(proc),
        "board": _board(proc, sys),
        "power_mode": _power_mode(etc, var),
        "kernel": _text(read_text(f"{proc}/sys/kernel/osrelease")),
        **_os(etc),
        "gpus": _gpus(proc, dev, load) if is_present(proc, dev) else _cards(sys),
    }
    if not os.path.isdir(proc):  # macOS, Windows
        from .portable import machine

        facts |= machine()
    known = {key: value for key, value in facts.items() if value}
    known["class"] = _class(proc, known)
    return known


def _text(value: str | None) -> str | None:
    """Return printable ASCII of bounded length, blanks run together; None where nothing is left."""
    cleaned = " ".join(re.sub(r"[^ -~]+", " ", value or "").split())[:TEXT_LIMIT].strip()
    return cleaned or None


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9_]+", "-", text.lower()).strip("-")


def _cores(proc: str, sys: str) -> int | None:
    """Return the number of processors online (``0-3,6``)."""
    count = 0
    for part in (read_text(f"{sys}/devices/system/cpu/online") or "").split(","):
        first, _, last = part.partition("-")
        if first.isdigit() and (last or first).isdigit() and len(part) < 16:
            count += max(0, int(last or first) - int(first) + 1)
    if not count:
        with suppress(OSError):
            count = len(re.findall(rb"^processor\s*:", read_file(f"{proc}/cpuinfo", 0), re.M))
    return count or None


def _memory_mib(proc: str) -> int | None:
    try:
        total = labelled(read_file(f"{proc}/meminfo", 8192), b"MemTotal:")
    except OSError:
        return None
    return in_steps(total >> 10) if total is not None and total > 0 else None


def in_steps(mib: int) -> int:
    """Return memory in whole steps of ``MEMORY_STEP_MIB``, the nearest."""
    return round(mib / MEMORY_STEP_MIB) * MEMORY_STEP_MIB


def _cpu(proc: str) -> str | None:
    try:
        info = read_file(f"{proc}/cpuinfo", 0).decode("utf-8", "replace")
    except OSError:
        return None
    named = re.search(r"^model name\s*:\s*(.+)$", info, re.M)
    if named and not re.match(r"ARMv\d", named[1]):
        return _text(named[1])
    implementers = re.findall(r"^CPU implementer\s*:\s*(0x[0-9a-f]{1,4})$", info, re.M)
    parts = re.findall(r"^CPU part\s*:\s*(0x[0-9a-f]{1,4})$", info, re.M)
    kinds = []
    for implementer, part in zip(implementers, parts, strict=False):
        kind = _PARTS.get((int(implementer, 16), int(part, 16)), f"{implementer}/{part}")
        if kind not in kinds:
            kinds.append(kind)
    return _text("+".join(kinds))


def _board(proc: str, sys: str) -> str | None:
    model = _text(read_text(f"{proc}/device-tree/model"))
    if model:
        return model
    dmi = f"{sys}/class/dmi/id"
    words = [_text(read_text(f"{dmi}/{field}")) for field in ("sys_vendor", "product_name")]
    filled = [word for word in words if word and not _UNFILLED.search(word)]
    return _text(" ".join(filled))


def _os(etc: str) -> dict[str, str | None]:
    release = read_text(f"{etc}/os-release") or read_text(f"{etc}/../usr/lib/os-release") or ""
    fields = {}
    for line in release.splitlines():
        key, _, value = line.partition("=")
        fields[key] = value.strip("\"'")
    return {"os": _text(fields.get("ID")), "os_version": _text(fields.get("VERSION_ID"))}


def _power_mode(etc: str, var: str) -> str | None:
    """Return the name of a Jetson's power mode, which ``nvpmodel`` keeps by its number (``pmode:0002``)."""
    match = re.search(r"pmode:([0-9]{1,4})", read_text(f"{var}/lib/nvpmodel/status") or "")
    if match is None:
        return None
    try:
        modes = read_file(f"{etc}/nvpmodel.conf", 0).decode("utf-8", "replace")
    except OSError:
        modes = ""
    named = re.search(rf"^< *POWER_MODEL +ID=0*{int(match[1])} +NAME=([^ >]+)", modes, re.M)
    return _text(named[1]) if named else f"mode {int(match[1])}"


_VENDORS = {"1002": "AMD", "8086": "Intel"}


def _cards(sys: str) -> list[dict[str, Any]]:
    """GPUs of AMD and Intel, which have no name but the PCI identifier, unless the maker of the card gave it one."""
    found: list[dict[str, Any]] = []
    root = f"{sys}/class/drm"
    for card in [name for name in names(root) if re.fullmatch("card[0-9]+", name)][:GPUS]:
        place = f"{root}/{card}"
        of_card = drm.driver(place)
        if of_card not in drm.DRIVERS:
            continue
        uevent = dict(
            line.partition("=")[::2] for line in (read_text(f"{place}/device/uevent") or "").splitlines()
        )
        vendor, _, device = uevent.get("PCI_ID", "").partition(":")
        gpu: dict[str, Any] = {
            "driver": of_card,
            "name": _text(
                read_text(f"{place}/device/product_name")
                or f"{_VENDORS.get(vendor, vendor)} {device.lower()}"
            ),
        }
        # An Intel processor's own GPU is always at this place.
        if drm.is_integrated(place) or uevent.get("PCI_SLOT_NAME") == "0000:00:02.0":
            gpu["integrated"] = True
        else:
            memory = read_int(f"{place}/device/mem_info_vram_total")
            gpu["memory_mib"] = None if memory is None else memory >> 20
        found.append({key: value for key, value in gpu.items() if value})
    return found


def _gpus(proc: str, dev: str, load: Callable[[], Any]) -> list[dict[str, Any]]:
    try:
        nvml = load()
    except ImportError:
        return []
    found: list[dict[str, Any]] = []
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:
        return found
    with suppress(nvml.NVMLError):
        driver = _text(_decoded(nvml.nvmlSystemGetDriverVersion()))
        for index in range(min(GPUS, nvml.nvmlDeviceGetCount())):
            gpu: dict[str, Any] = {"driver": driver}
            # A GPU that does not tell one of these, or has fallen off the bus, is still one of the machine's.
            with suppress(nvml.NVMLError):
                handle = nvml.nvmlDeviceGetHandleByIndex(index)
                gpu["name"] = _text(_decoded(nvml.nvmlDeviceGetName(handle)))
                gpu["memory_mib"] = nvml.nvmlDeviceGetMemoryInfo(handle).total >> 20
            found.append({key: value for key, value in gpu.items() if value})
    with suppress(nvml.NVMLError):
        nvml.nvmlShutdown()
    return found


def _decoded(text: str | bytes) -> str:
    """NVML's texts were bytes before nvidia-ml-py 11.5."""
    return text.decode("utf-8", "replace") if isinstance(text, bytes) else text


def _class(proc: str, facts: Mapping[str, Any]) -> str:
    """Return the kind of machine as one word: the board where there is a device tree, else what counts for speed."""
    board = facts.get("board", "")
    if board and read_text(f"{proc}/device-tree/model"):
        if "raspberry pi" in board.lower():
            # "Raspberry Pi 5 Model B Rev 1.0": revisions and models of a generation run alike.
            board = re.sub(r"\s+(Model [A-B]|Rev [0-9.]+|Plus)\b.*", "", board, flags=re.I)
        elif "nvidia,tegra" in (read_text(f"{proc}/device-tree/compatible") or ""):
            board = _JETSON_NOISE.sub("", board)
            if "jetson" not in board.lower():
                board = f"jetson {board}"
        return _slug(board)[:CLASS_LIMIT].strip("-")
    words = [facts.get("arch", "unknown")]
    if "cores" in facts:
        words.append(f"{facts['cores']}c")
    if "memory_mib" in facts:
        words.append(f"{-(-facts['memory_mib'] // 1024)}g")
    gpus = [gpu for gpu in facts.get("gpus", ()) if "integrated" not in gpu]
    if gpus:
        count = f"{len(gpus)}x" if len(gpus) > 1 else ""
        words.append(f"{count} {re.sub('(?i)nvidia', '', gpus[0].get('name', 'gpu'))}")
    return _slug("-".join(words))[:CLASS_LIMIT].strip("-")
