"""Each source of samples: read once here, or as the running agent sees it, which has its own rights."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import NamedTuple

from stonechat_agent.sampling import State as SourceState
from stonechat_agent.sampling import build

from .finding import Finding, Patient, State

PATIENCE_S = 0.5
APART_S = 0.2
"""Between the two samples, so that counters have something to say."""


class Note(NamedTuple):
    """What a source is good for, and what would bring it."""

    costs: str
    do: str = ""


_NO_PROC = "this system has no /proc; on macOS and Windows psutil's figures are all there is"
NOTES = {
    "cpu": Note("how busy the processor is, and its frequency", _NO_PROC),
    "memory": Note("memory, swap and page faults", _NO_PROC),
    "pressure": Note(
        "how long tasks waited for processor, memory and storage, by which a slow answer is explained",
        "boot with psi=1 on the kernel's command line (Raspberry Pi OS: /boot/firmware/cmdline.txt)",
    ),
    "disk": Note("bytes read and written", _NO_PROC),
    "filesystem": Note("room on the spool's file system"),
    "network": Note("bytes sent and received", _NO_PROC),
    "temperature": Note(
        "how hot the processor is",
        "a virtual machine has no sensor; on a PC load coretemp or k10temp (modprobe)",
    ),
    "throttle": Note(
        "whether heat or power holds the processor back",
        "on a Raspberry Pi give the user the group video (/dev/vcio); a virtual machine has nothing to tell",
    ),
    "power": Note(
        "power and energy", "a sensor of power is needed: RAPL, INA3221, or a meter that hwmon shows"
    ),
    "battery": Note("nothing, unless the device has a battery"),
    "fans": Note(
        "the fans' speed", "on a PC load the driver of the board's sensors (sensors-detect finds it)"
    ),
    "nvidia": Note("nothing, unless the device has a GPU of NVIDIA's"),
    "drm": Note("nothing, unless the device has a GPU of AMD's or Intel's"),
    "devfreq": Note("nothing, unless the device is a Jetson, or has a GPU or NPU by devfreq"),
    "self": Note("what the agent itself uses", _NO_PROC),
    "host": Note("processor, memory, disk and network"),
}
# Sources that are absent for want of a right say so; the words are theirs.
_RIGHTS = {
    "tmpfiles": "systemd-tmpfiles --create /usr/lib/tmpfiles.d/stonechat.conf (systemd/install.sh puts it there)",
    "nvidia-ml-py": "install the package nvidia-ml-py beside stonechat",
    "root alone": "nothing is shipped for it: the agent would have to run as root",
}


def check(patient: Patient) -> Iterator[Finding]:
    """Give a finding a source; those of the engines are another check's."""
    for name, state, reason in _seen(patient):
        note = NOTES.get(name, Note("its figures"))
        if state == SourceState.OK.value:
            yield Finding(name, State.OK, "gives readings")
        elif state == SourceState.FAILED.value:
            yield Finding(name, State.FAULT, reason, note.costs, "see `stonechat log` and the agent's log")
        elif state == SourceState.NEW.value:
            yield Finding(
                name, State.FAULT, "does not answer", note.costs, "a driver or a network disk hangs"
            )
        else:
            cure = next((cure for word, cure in _RIGHTS.items() if word in reason), note.do)
            yield Finding(name, State.MISSING, reason, note.costs, cure)


def _seen(patient: Patient) -> list[tuple[str, str, str]]:
    """Return name, state and reason of each source."""
    if patient.status is not None:
        told = [(str(s["name"]), str(s["state"]), str(s["reason"])) for s in patient.status["sources"]]
    else:
        sampler = build(
            engines=[],
            spool_path=patient.settings.spool.path,
            proc=patient.proc,
            sys=patient.sys,
            dev=patient.dev,
            patience_s=PATIENCE_S,
        )
        sampler.sample()
        time.sleep(APART_S)
        sampler.sample()
        told = [(status.name, status.state.value, status.reason) for status in sampler.status()]
        sampler.close()
    return [source for source in told if not source[0].startswith("engine:")]
