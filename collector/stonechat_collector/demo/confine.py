"""Confines itself to some cores, ties its life to its parent's, and becomes another program.

``python -m stonechat_collector.demo.confine CORES ARGUMENT...`` runs ``python ARGUMENT...``; CORES is ``0,2`` or ``-``.
A step of its own, because code between fork and exec is unsafe in a process with threads.
"""

from __future__ import annotations

import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Never returns."""
    cores, *arguments = sys.argv[1:]
    if sys.platform.startswith("linux"):
        import ctypes

        parent = os.getppid()
        ctypes.CDLL(None).prctl(
            _PR_SET_PDEATHSIG, signal.SIGKILL
        )  # nothing outlives the demo, however it ends
        if os.getppid() != parent:
            sys.exit(1)  # the parent ended before it could be tied to
        if cores != "-":
            os.sched_setaffinity(0, [int(core) for core in cores.split(",")])
    os.execv(sys.executable, [sys.executable, *arguments])  # noqa: S606 - to become it is the point


if __name__ == "__main__":
    main()
