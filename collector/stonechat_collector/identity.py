"""Whether one device id stands for two devices: rule 7 of exactly-once totals. Pure.

A run of an agent is an epoch; its ``order`` counts the runs of one spool. Two runs of equal order cannot come from one
spool. Two runs of different order can both be heard of for a moment, because the messages of the older one may still
be under way; they are two devices when the older one is seen to send after the newer one began, twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

RUNS = 4
"""Runs of a device that are remembered."""

RETURNS = 2
"""How often a run must come back after another one before the two count as two devices: A, B, A, B, A."""

CLOCK_SLACK_MS = 300_000
"""How far apart the clocks of two copies of a device may be for their messages to be put in order."""

SUCCESSION_MS = 900_000
"""How long the current run must be silent before one with a lower order may take its place: a re-imaged device counts
its runs from the beginning again."""


class Run(NamedTuple):
    """One run of a device's agent, as the collector heard of it.

    ``sent`` and ``wall`` are boottime and wall clock (ms) of its latest message when it was sent, ``began`` the
    boottime of its earliest; ``first`` and ``last`` are the collector's clock when those came. ``passed`` says that the
    current run was heard since, ``returns`` how often it came back after that.
    """

    epoch: str
    order: int
    began: int
    sent: int
    wall: int
    first: int
    last: int
    passed: bool = False
    returns: int = 0

    @property
    def began_wall(self) -> int:
        """When it began by its latest idea of the wall clock."""
        return self.wall - (self.sent - self.began)


class Sighting(NamedTuple):
    """What a message made of the runs: them, the current one first, and whether they are two devices'."""

    runs: tuple[Run, ...]
    duplicate: bool = False
    succeeded: bool = False
    """Whether a run of a lower order took the place of the current one."""


def see(runs: Sequence[Run], epoch: str, order: int, *, sent: int, wall: int, now: int) -> Sighting:
    """Tell what a message of a run says; ``sent`` and ``wall`` are its header's clocks, ``now`` the collector's."""
    if runs and runs[0].epoch == epoch:  # by far the most
        return Sighting((_again(runs[0], sent, wall, now), *_passed(runs[1:])))
    known = next((run for run in runs if run.epoch == epoch), None)
    if known is None:
        run = Run(epoch, order, sent, sent, wall, now, now)
        if not runs:
            return Sighting((run,))
        current = runs[0]
        duplicate = any(order == other.order for other in runs)
        succeeded = order < current.order and now - current.last > SUCCESSION_MS
        if order >= current.order or succeeded:
            return Sighting((run, *_passed(runs))[:RUNS], duplicate, succeeded)
        return Sighting((*runs[: RUNS - 1], run), duplicate)
    if sent <= known.sent:  # a message that was delivered before, or overtaken
        return Sighting(tuple(runs))
    current = runs[0]
    run = _again(known, sent, wall, now)
    alive = current.began_wall < run.wall <= current.wall + CLOCK_SLACK_MS
    if alive and run.passed:
        run = run._replace(returns=run.returns + 1)
    run = run._replace(passed=False)
    others = tuple(other for other in runs if other.epoch != epoch)
    duplicate = order == current.order or run.returns >= RETURNS
    succeeded = order < current.order and now - current.last > SUCCESSION_MS
    if order >= current.order or succeeded:
        return Sighting((run, *_passed(others)), duplicate, succeeded)
    return Sighting((others[0], run, *others[1:]), duplicate)


def _passed(runs: Sequence[Run]) -> tuple[Run, ...]:
    return tuple(run if run.passed else run._replace(passed=True) for run in runs)


def _again(run: Run, sent: int, wall: int, now: int) -> Run:
    if sent <= run.sent:
        return run._replace(last=now)
    return run._replace(sent=sent, wall=wall, last=now)
