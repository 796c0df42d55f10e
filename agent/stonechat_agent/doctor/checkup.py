"""Runs all checks at once, and waits for none longer than a moment: one that hangs is a finding too."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple

from . import agent, engines, host, keeping, sources, uplink
from .finding import Finding, Patient, State

SECONDS = 3.0
"""For all checks together. An answer is there within five seconds of the command's start."""


class Area(NamedTuple):
    """One part of the report."""

    name: str
    findings: tuple[Finding, ...]


Check = Callable[[Patient], Iterable[Finding]]


def checks(patient: Patient) -> list[tuple[str, Check]]:
    """Return the table of checks, in the report's order. Several of one name stand together."""
    table: list[tuple[str, Check]] = [
        ("agent", agent.check),
        ("host", host.check),
        ("sources", sources.check),
    ]
    for engine in patient.settings.engines:
        table.append(("engines", partial(engines.check_one, engine=engine)))
    table += [("keeping", keeping.check), ("uplink", uplink.check)]
    return table


def examine(patient: Patient, seconds: float = SECONDS) -> list[Area]:
    """Return what the checks find, each in a thread of its own, within ``seconds``."""
    jobs = [_Job(area, check, patient) for area, check in checks(patient)]
    for job in jobs:
        job.start()
    deadline = time.monotonic() + seconds
    areas: dict[str, list[Finding]] = {}
    for job in jobs:
        job.join(max(0.0, deadline - time.monotonic()))
        areas.setdefault(job.area, []).extend(job.result(seconds))
    return [Area(name, tuple(findings)) for name, findings in areas.items()]


class _Job(threading.Thread):
    def __init__(self, area: str, check: Check, patient: Patient) -> None:
        # A daemon: a check that hangs must not keep the command from ending.
        super().__init__(name=f"doctor.{area}", daemon=True)
        self.area = area
        self._check = check
        self._patient = patient
        self._found: list[Finding] = []

    def run(self) -> None:
        try:
            for finding in self._check(self._patient):
                self._found.append(finding)
        except Exception as error:
            text = f"the check broke off: {type(error).__name__}: {error}"
            self._found.append(Finding(self.area, State.FAULT, text, "the rest of this part", "report this"))

    def result(self, seconds: float) -> list[Finding]:
        found = list(self._found)
        if self.is_alive():
            text = f"no answer within {seconds:.0f} s"
            cure = "a disk, a driver or a name server hangs"
            found.append(Finding(self.area, State.FAULT, text, "the rest of this part", cure))
        return found
