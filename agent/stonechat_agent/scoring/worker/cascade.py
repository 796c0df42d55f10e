"""What the worker does with one answer: tier 1, tier 2 where it is worth it, and the owner's guidelines.

What comes of it, as a message:

    {"tier": n, "deep": bool, "scores": {head: x}, "withheld": {head: why}, "flags": [head], "embedding": [1/10_000],
     "guidelines": [[name, score, broken, why]], "models": {name: version}, "faults": [sentence]}

``tier`` is that of the scores, 0 where there are none and the reason is a model's. ``deep``: tier 1 flagged it or was
unsure. ``guidelines`` only where there are some, ``models`` and ``faults`` only where they changed. There is no text in
it and no part of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from stonechat_agent.scoring.tier0.texts import bounded

if TYPE_CHECKING:
    from stonechat_agent.scoring.guidelines import Guidelines
    from stonechat_agent.scoring.judging import Judged, Judges

EMBEDDING_ONE = 10_000
"""An embedding's numbers are given in so small parts of one."""


class Cascade:
    """Judges answers one at a time."""

    def __init__(
        self, judges: Judges | None, guidelines: Guidelines | None, faults: Sequence[str] = ()
    ) -> None:
        """
        Args:
            judges: None where the models cannot be had.
            guidelines: None where the owner has none.
            faults: why ``judges`` is None, a sentence.
        """
        self._judges = judges
        self._guidelines = guidelines
        self._faults = tuple(faults)
        self._told: dict[str, Any] = {}

    def judge(self, prompt: str, answer: str, *, complete: bool, wanted: bool) -> dict[str, Any]:
        """Return what there is to say of an answer.

        Args:
            complete: it ended by itself.
            wanted: tier 2 is to see it whatever tier 1 says.
        """
        judges = self._judges
        found: dict[str, Any] = {"tier": 0, "deep": False}
        if judges is not None:
            found.update(_scores(judges, prompt, bounded(answer), wanted))
        if self._guidelines is not None:
            checked = self._guidelines.check(prompt, answer, judges, complete=complete)
            found["guidelines"] = [list(one) for one in checked]
        return {**found, **self.news()}

    def news(self) -> dict[str, Any]:
        """What changed of models and faults since the last time."""
        judges, guidelines = self._judges, self._guidelines
        faults = [
            *self._faults,
            *(judges.faults if judges is not None else ()),
            *(guidelines.faults if guidelines is not None else ()),
        ]
        now = {"models": dict(judges.models) if judges is not None else {}, "faults": faults}
        changed = {name: value for name, value in now.items() if value != self._told.get(name)}
        self._told = now
        return changed


def _scores(judges: Judges, prompt: str, answer: str, wanted: bool) -> dict[str, Any]:
    (judged,) = judges.glance([(prompt, answer)])
    glanced = _says_something(judged)
    deep = glanced and (bool(judged.flags) or judges.is_uncertain(judged))
    if wanted or deep:
        (judgement,) = judges.judge([(prompt, answer)])
        if _says_something(judgement):
            judged = judgement
    found = {
        "tier": judged.tier if _says_something(judged) else 0,
        "deep": deep,
        "scores": judged.scores,
        "withheld": judged.withheld,
        "flags": list(judged.flags),
    }
    if glanced:
        (embedding,) = judges.embed([answer])
        found["embedding"] = [round(EMBEDDING_ONE * float(number)) for number in embedding]
    return found


def _says_something(judged: Judged) -> bool:
    """Whether a tier is there: one that is not withholds every score as failed."""
    return bool(judged.scores) or any(why != "failed" for why in judged.withheld.values())
