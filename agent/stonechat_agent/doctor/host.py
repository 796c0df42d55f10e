"""The system: what its kernel and its clock give, and which nodes may be opened."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

from stonechat_agent.clocks import Clocks
from stonechat_agent.sampling import cgroups
from stonechat_agent.sampling.devfreq import npu_paths
from stonechat_agent.sampling.files import names, read_text

from .finding import SERVICE_USER, Finding, Patient, State, user_name

_RELEASED = 1_760_000_000


def check(patient: Patient) -> Iterator[Finding]:
    yield from _system(patient)
    yield from _clock(patient)
    yield _groups(patient)
    yield from _nodes(patient)


def _system(patient: Patient) -> Iterator[Finding]:
    if os.path.isdir(f"{patient.proc}/self") or os.path.exists(f"{patient.proc}/stat"):
        kernel = read_text(f"{patient.proc}/sys/kernel/osrelease") or "of unknown version"
        yield Finding("kernel", State.OK, f"Linux {kernel}")
        return
    yield Finding(
        "kernel",
        State.MISSING,
        f"{patient.proc} is not there",
        "pressure, run delay, power, throttling, the engine's control group",
        "Linux has all of it; elsewhere the relay, the journal and psutil's figures work",
    )


def _clock(patient: Patient) -> Iterator[Finding]:
    if time.time() < _RELEASED:
        yield Finding(
            "clock",
            State.FAULT,
            f"it is {time.strftime('%Y-%m-%d', time.gmtime())} here",
            "certificates are not valid yet, so nothing can be sent by TLS",
            "timedatectl set-ntp true, or set the clock by hand",
        )
    elif Clocks().now().synced:
        yield Finding("clock", State.OK, "synchronised")
    else:
        yield Finding(
            "clock",
            State.MISSING,
            "not synchronised, as far as the kernel knows",
            "windows are dated by the collector's time once it answers; those before a reboot less exactly",
            "timedatectl set-ntp true, or run chrony or systemd-timesyncd",
        )
    if any(name.startswith("rtc") for name in names(f"{patient.sys}/class/rtc")):
        yield Finding("rtc", State.OK, "the device has a clock that goes on without power")
    else:
        yield Finding(
            "rtc",
            State.MISSING,
            "no real-time clock",
            "after a power cut the time is unknown until the network gives it",
            "fit one, or a battery to it; the agent dates what it kept when the time is known",
        )


def _groups(patient: Patient) -> Finding:
    """Tell whether control groups account for what an engine uses."""
    place = f"{patient.sys}/fs/cgroup"
    controllers = (read_text(f"{place}/cgroup.controllers") or "").split()
    if not cgroups.is_unified(patient.sys):
        legacy = [name for name in cgroups.LEGACY if os.path.isdir(f"{place}/{name}")]
        if legacy:
            return Finding("cgroups", State.OK, f"version 1, with {', '.join(legacy)}")
        missing = "no control groups"
    else:
        lacking = [name for name in ("cpu", "io", "memory") if name not in controllers]
        if not lacking:
            return Finding("cgroups", State.OK, f"version 2, with {', '.join(controllers)}")
        missing = f"version 2 without {', '.join(lacking)}"
    return Finding(
        "cgroups",
        State.MISSING,
        missing,
        "an engine's memory with its page cache, its reads, and the CPU of its processes that ended",
        "boot with cgroup_enable=memory (Raspberry Pi OS: /boot/firmware/cmdline.txt), and run the engine as a systemd"
        " unit; in a container mount /sys/fs/cgroup",
    )


def _nodes(patient: Patient) -> Iterator[Finding]:
    """Give a finding for each kind of device that is here and may not be opened, or was not told."""
    dri = [f"{patient.dev}/dri/{name}" for name in names(f"{patient.dev}/dri") if name.startswith("renderD")]
    for name, paths, costs, group in (
        ("nvidia node", [f"{patient.dev}/nvidiactl"], "the figures of the GPU", "video"),
        ("render node", dri, "nothing yet: sysfs gives the figures of the GPU", "render"),
        (
            "firmware node",
            [f"{patient.dev}/vcio"],
            "why a Raspberry Pi is throttled, but under-voltage",
            "video",
        ),
    ):
        present = [path for path in paths if os.path.exists(path)]
        if not present:
            continue
        refused = [path for path in present if not os.access(path, os.R_OK)]
        if refused:
            cure = f"usermod -aG {group} {SERVICE_USER}, and start the agent again (install.sh does both)"
            yield Finding(name, State.MISSING, f"{refused[0]}: not for {user_name()}", costs, cure)
        else:
            yield Finding(name, State.OK, f"{present[0]} may be opened by {user_name()}")
    debugfs = npu_paths(patient.proc, patient.sys)[1]
    compatible = read_text(f"{patient.proc}/device-tree/compatible") or ""
    if "rockchip," in compatible and not any(
        os.access(path, os.R_OK) for path in npu_paths(patient.proc, patient.sys)
    ):
        yield Finding(
            "npu",
            State.MISSING,
            f"{debugfs}: not there, or not for {user_name()}",
            "how busy the NPU is",
            "only root may read it: nothing is shipped for it",
        )
