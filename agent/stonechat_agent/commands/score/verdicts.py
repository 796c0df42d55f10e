"""What is said of an answer: the checks of tier 0, and the models of tier 1 and 2 as far as they are asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stonechat.exchange import Exchange, Operation, is_flagged
from stonechat.transcript import Transcript, Turn
from stonechat_agent.commands.score.answers import Answer
from stonechat_agent.scoring.judging import HEADS, Judged, Judges
from stonechat_agent.scoring.tier0 import Findings, Tier0

AUTO = "auto"
TIERS = ("0", "1", "2", AUTO)

_BROKEN = ("repetition", "degenerate", "garbage")


class Scorer:
    """Scores answers, each by itself: none is compared with another one. Several threads may use it at once."""

    def __init__(self, judges: Judges | None, tier: str, *, reasons: bool = False) -> None:
        """
        Args:
            judges: None for the checks of tier 0 alone.
            tier: one of `TIERS`. With `AUTO`, tier 2 is asked about what an earlier tier flagged or was unsure of.
            reasons: also say why scores are null.
        """
        self._judges = judges
        self._tier = tier
        self._reasons = reasons
        self._models: dict[int, dict[str, str]] = {0: {}}
        if judges is not None:
            self._models |= {number: judges.models_of(number) for number in ((1,) if tier == "1" else (1, 2))}

    @property
    def has_models(self) -> bool:
        """Whether any model can be asked."""
        return any(self._models.values())

    def score(self, answers: Sequence[Answer]) -> list[dict[str, Any]]:
        """Return for each answer what is written for it."""
        tier0 = Tier0(b"", remembered=0)
        found = [_findings(tier0, answer) for answer in answers]
        judged = self._judged(answers, found)
        return [self._plain(*one) for one in zip(answers, found, judged, strict=True)]

    def _judged(self, answers: Sequence[Answer], found: Sequence[Findings | None]) -> Sequence[Judged | None]:
        """Return the verdict of the deepest tier that was asked and could say something."""
        judges = self._judges
        if judges is None:
            return [None] * len(answers)
        pairs = [(answer.prompt, answer.response) for answer in answers]
        if self._tier == "2":
            judged = judges.judge(pairs)
            # A model that cannot be used is no reason to say less than the tier before can.
            others = [place for place, verdict in enumerate(judged) if _has_failed(verdict)]
            instead = judges.glance([pairs[place] for place in others])
        else:
            judged = judges.glance(pairs)
            others = [
                place
                for place, verdict in enumerate(judged)
                if self._tier == AUTO and _asks_more(judges, verdict, found[place])
            ]
            instead = judges.judge([pairs[place] for place in others])
        for place, verdict in zip(others, instead, strict=True):
            if verdict.scores:
                judged[place] = verdict
        return judged

    def _plain(self, answer: Answer, findings: Findings | None, judged: Judged | None) -> dict[str, Any]:
        named = findings.findings if findings is not None else ()
        tier = 0
        scores: dict[str, float] = {}
        withheld: dict[str, str] = {}
        flags: tuple[str, ...] = ()
        if judged is not None and not _has_failed(judged):
            scores, withheld, flags, tier = judged
        else:
            scores = _of_tier0(findings)
        plain = {
            "id": answer.id,
            "scores": {head: scores.get(head) for head in HEADS},
            "flags": [*flags, *(name for name in named if name not in flags)],
            "tier": tier,
            "models": self._models[tier],
        }
        if self._reasons:
            plain["withheld"] = {head: withheld.get(head, "no_model") for head in HEADS if head not in scores}
        return plain


def _findings(tier0: Tier0, answer: Answer) -> Findings | None:
    turns = [Turn("user", answer.prompt)] if answer.prompt else []
    transcript = Transcript(turns=turns, answer=answer.response)
    return tier0.check(Exchange("score", operation=Operation.CHAT, transcript=transcript))


def _asks_more(judges: Judges, judged: Judged, findings: Findings | None) -> bool:
    """Whether tier 2 should see what tier 1 says this of: it is risky, uncertain, or tier 1 had nothing to say."""
    return (
        bool(judged.flags)
        or (findings is not None and is_flagged(findings.findings))
        or judges.is_uncertain(judged)
        or (not judged.scores and "empty" not in judged.withheld.values())
    )


def _has_failed(judged: Judged) -> bool:
    return not judged.scores and "failed" in judged.withheld.values()


def _of_tier0(findings: Findings | None) -> dict[str, float]:
    """The two heads that checks without a model can speak of: refusals by their words, and answers that fall apart."""
    scores = findings.scores if findings is not None else {}
    found = {"refusal": scores["refusal"]} if "refusal" in scores else {}
    broken = [scores[name] for name in _BROKEN if name in scores]
    return found | ({"coherence": round(1 - max(broken), 3)} if broken else {})
