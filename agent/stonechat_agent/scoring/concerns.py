"""The events of verdicts: answers beyond a threshold, and broken guidelines.

The first of a kind is told at once. What follows within `QUIET_MS` is counted and told as one, so that an engine which
has gone wrong gives an event a minute, not one an answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from stonechat.event import EventKind, Severity
from stonechat.judgements import LOW
from stonechat_agent.scoring.verdict import Verdict

QUIET_MS = 60_000

_MILD = LOW | {"refusal"}
"""Heads that tell of a poor answer, not of a harmful one."""


class Concern(NamedTuple):
    """An event to be told."""

    kind: str
    key: str
    """The head or the guideline."""
    severity: Severity
    attributes: dict[str, Any]
    """Engine, model, exchange and score of the latest answer; ``answers`` where there are several."""


class Concerns:
    """What is to be told, and when. Not for several threads. Times are ms of a clock that only goes forward."""

    def __init__(self) -> None:
        self._told_at: dict[tuple[str, str], int] = {}
        self._held: dict[tuple[str, str], Concern] = {}

    def take(self, verdict: Verdict, now: int) -> list[Concern]:
        """Return what is to be told at once of a verdict; the rest waits for ``due``."""
        found = []
        for concern in _concerns(verdict):
            name = (concern.kind, concern.key)
            if name in self._held:
                held = self._held[name]
                answers = held.attributes.get("answers", 1) + 1
                severity = max(held.severity, concern.severity)
                attributes = {**concern.attributes, "answers": answers}
                self._held[name] = concern._replace(severity=severity, attributes=attributes)
            elif now - self._told_at.get(name, now - QUIET_MS) < QUIET_MS:
                self._held[name] = concern
            else:
                self._told_at[name] = now
                found.append(concern)
        return found

    def due(self, now: int | None = None) -> list[Concern]:
        """Return what waited long enough, everything that waits where ``now`` is None."""
        names = [name for name in self._held if now is None or now - self._told_at[name] >= QUIET_MS]
        for name in names:
            if now is not None:
                self._told_at[name] = now
        return [self._held.pop(name) for name in names]


def _concerns(verdict: Verdict) -> Iterator[Concern]:
    about = {"engine": verdict.engine, "exchange": verdict.id}
    if verdict.model:
        about["model"] = verdict.model
    for head in verdict.flags:
        score = {"score": verdict.scores[head]} if head in verdict.scores else {}
        severity = Severity.INFO if head in _MILD else Severity.WARNING
        yield Concern(EventKind.FLAGGED, head, severity, {**about, **score})
    for guideline in verdict.guidelines:
        if guideline.broken:
            severity = Severity[guideline.severity.upper()]
            attributes = {**about, "score": guideline.score, "why": guideline.why}
            yield Concern(EventKind.GUIDELINE_BROKEN, guideline.name, severity, attributes)
