"""The worker: reads jobs from its one socket and answers them, one at a time, on one thread.

The only process of ours that loads numpy and onnxruntime. It takes the processor and the disk when nobody else wants
them, is the first to go when memory runs out, and ends with the agent. Texts are in its memory and nowhere else: it
opens no connection, writes no file and no log, leaves no memory dump, and says of an error only its kind.
"""

from __future__ import annotations

import ctypes
import os
import platform
import select
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from stonechat_agent.scoring.worker import frames
from stonechat_agent.scoring.worker.cascade import Cascade

_PR_SET_PDEATHSIG = 1
_IOPRIO_WHO_PROCESS, _IOPRIO_CLASS_IDLE, _IOPRIO_CLASS_SHIFT = 1, 3, 13
# Numbers of ioprio_set(2), which has no wrapper: by machine, as the kernel's tables have them.
_IOPRIO_SET = {
    "x86_64": 251, "aarch64": 30, "riscv64": 30, "loongarch64": 30, "armv7l": 314, "armv6l": 314, "i686": 289,
    "ppc64le": 273, "s390x": 282,
}  # fmt: skip
_WIDE = frozenset({"x86_64", "aarch64", "riscv64", "loongarch64", "ppc64le", "s390x"})
_READ = 256 << 10
_IDLE_MS = 200
"""Without a job for so long, memory that was freed is given back."""


def main() -> None:
    """Run until the agent closes the socket."""
    # What the agent was started with and left open, such as a listening socket of systemd's, is none of ours.
    os.closerange(frames.FD + 1, min(os.sysconf("SC_OPEN_MAX"), 1 << 20))
    end_with(int(sys.argv[1]))
    stand_back()
    leave_no_dump()
    requests = read_requests(frames.FD)
    first = next(requests, None)
    if first is None:
        return
    cascade, hello = prepare(first)
    write(frames.FD, hello)
    for request in requests:
        write(frames.FD, answer(cascade, request))


def end_with(parent: int) -> None:
    """Have the kernel end this process with the agent's thread that started it, also in the middle of an answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the agent, which then ends this one
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it ended before we said that
            os._exit(0)


def stand_back() -> None:
    """Take processor, disk and memory only while nobody else wants them. What a system refuses is done without."""
    os.nice(19)
    if sys.platform != "linux":
        return
    with suppress(OSError):  # a container may forbid it; nice is what remains
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    # A 32-bit Python on a 64-bit kernel has the numbers of neither: it goes without.
    machine = platform.machine()
    number = _IOPRIO_SET.get(machine) if (sys.maxsize > 1 << 32) == (machine in _WIDE) else None
    if number is not None:
        idle = _IOPRIO_CLASS_IDLE << _IOPRIO_CLASS_SHIFT
        ctypes.CDLL(None).syscall(number, _IOPRIO_WHO_PROCESS, 0, idle)
    with suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write("1000")


def leave_no_dump() -> None:
    """Have the kernel write no memory dump of this process."""
    if sys.platform == "win32":
        return
    import resource

    # One byte, not none: to a handler that the kernel pipes a dump to, none is no limit, and one stops both (core(5)).
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    most = 0 if hard == 0 else 1
    resource.setrlimit(resource.RLIMIT_CORE, (most, most))


def prepare(first: dict[str, Any]) -> tuple[Cascade, dict[str, Any]]:
    """Load what the agent's first message names; returns what judges, and what to say of it."""
    faults = []
    judges = guidelines = None
    try:
        from stonechat_agent.scoring.judging import Judges

        judges = Judges(first["models"], threads=1)
    except ImportError as error:
        faults.append(f"the models cannot be loaded: the Python package {error.name or 'of one'} is missing")
    except Exception as error:
        faults.append(f"the models cannot be loaded ({type(error).__name__})")
    if first["guidelines"]:
        from stonechat_agent.scoring.guidelines import Guidelines
        from stonechat_agent.settings import Guideline

        guidelines = Guidelines([Guideline(**_tuples(table)) for table in first["guidelines"]])
    cascade = Cascade(judges, guidelines, faults)
    return cascade, {"ready": True, **cascade.news()}


def _tuples(table: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in table.items()}


def answer(cascade: Cascade, request: dict[str, Any]) -> dict[str, Any]:
    """Return the answer to a job. An error in a model costs that job its verdict."""
    try:
        prompt = bytes(request["prompt"]).decode("utf-8", "replace")
        said = bytes(request["answer"]).decode("utf-8", "replace")
        found = cascade.judge(prompt, said, complete=bool(request["complete"]), wanted=bool(request["deep"]))
    except Exception as error:
        # Its kind alone: the message of an error may quote what was judged.
        return {"id": request.get("id"), "failed": type(error).__name__}
    return {"id": request["id"], **found}


def read_requests(fd: int) -> Iterator[dict[str, Any]]:
    """Give what the agent sends, until it ends. While nothing comes, freed memory goes back to the system."""
    decoder = frames.Decoder()
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    trimmed = True
    while True:
        message = decoder.next()
        if message is not None:
            trimmed = False
            yield message
            continue
        if not trimmed and not poll.poll(_IDLE_MS):
            trimmed = True
            if trim is not None:
                trim(0)
        data = os.read(fd, _READ)
        if not data:
            return
        decoder.feed(data)


def write(fd: int, message: dict[str, Any]) -> None:
    """Send a message."""
    left = memoryview(frames.encode(message))
    while left:
        left = left[os.write(fd, left) :]
