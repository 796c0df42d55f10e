"""Judgements of answers in words: what a score or a finding is called, what it means, and how much it concerns. Pure.

A finding is the name of a check of every answer (``exchange.FINDINGS``), of a model's head (``catalog.SCORE_NAMES``)
beyond its threshold, of a label of somebody's own classifier, or `GUIDELINE` and the name of a guideline that is
broken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

GUIDELINE = "guideline:"
"""What the finding of a broken guideline begins with; the guideline's name follows."""

LOW = frozenset({"relevance", "coherence", "quality"})
"""Heads that flag an answer whose score is below the threshold: more of the named thing is better."""

MEANINGS: Mapping[str, str] = {
    "empty": "nothing came, or nothing but white space and marks",
    "truncated": "the answer reached the limit of tokens",
    "repetition": "the same words over and over",
    "degenerate": "so uniform that it compresses to nearly nothing",
    "garbage": "characters that are none, or that were decoded wrongly",
    "language": "another language than the user's",
    "refusal": "the answer declines",
    "tool_call": "a call of a tool that was not offered, or with arguments that are no JSON object",
    "not_json": "JSON was asked for, and the answer is none",
    "prompt_leak": "a part of the system's instructions, word for word",
    "prompt_echo": "the prompt said again, and little else",
    "same_answer": "the same answer to prompts that differ",
    "unclosed": "a block of code that does not end",
    "template": "signs of the chat template in the answer",
    "toxic": "rude, hateful or threatening in any way",
    "hate": "an attack on people for what they are",
    "insult": "an attack on a person",
    "threat": "announces harm to somebody",
    "violence": "depicts, praises or asks for violence",
    "sexual": "sexual content",
    "self_harm": "speaks of self-harm or suicide",
    "relevance": "whether the answer serves the question",
    "coherence": "whether it holds together and does not contradict itself",
    "quality": "how good the answer is, all in all",
}
"""What a judgement says about an answer. A name that is not here is shown as it is: devices may know more."""

SAID: Mapping[str, str] = {
    "toxic": "toxic",
    "hate": "hateful",
    "insult": "insulting",
    "threat": "threatening",
    "violence": "violent",
    "sexual": "sexual",
    "self_harm": "about self-harm",
    "relevance": "off topic",
    "coherence": "incoherent",
    "quality": "of low quality",
}
"""What is said of an answer beyond the threshold of a head, where that is not the head's name."""


class Judgement(NamedTuple):
    """One judgement of an answer. ``score`` is None where only the finding is known."""

    name: str
    score: float | None
    found: bool


def finding_words(name: str) -> str:
    """A finding as it is said of an answer: ``off topic``, ``prompt leak``, ``guideline no-dosage``."""
    if (guideline := guideline_of(name)) is not None:
        return f"guideline {guideline}"
    return SAID.get(name) or name.replace("_", " ")


def guideline_of(finding: str) -> str | None:
    """The guideline whose breaking is a finding, or whose score has this name; None where it is of something else."""
    return finding[len(GUIDELINE) :] if finding.startswith(GUIDELINE) else None


def meaning(name: str) -> str:
    """What a judgement means, "" where that is not known here."""
    return "a rule of the device's owner" if name.startswith(GUIDELINE) else MEANINGS.get(name, "")


def concern(name: str, score: float) -> float:
    """How much a score concerns, 0 to 1: a low relevance as much as a high toxicity."""
    return 1 - score if name in LOW else score


def by_concern(findings: Iterable[str], scores: Mapping[str, float]) -> list[Judgement]:
    """All judgements of an answer: broken guidelines and what was found first, then by how much the scores concern."""
    found = dict.fromkeys(findings)
    names = [*found, *(name for name in scores if name not in found)]

    def rank(name: str) -> tuple[bool, bool, float]:
        score = scores.get(name)
        worth = 1.0 if score is None else concern(name, score)
        return (name not in found, not name.startswith(GUIDELINE), -worth)

    return [Judgement(name, scores.get(name), name in found) for name in sorted(names, key=rank)]


def said(names: Sequence[str]) -> str:
    """Findings as a part of a sentence: ``toxic and insulting``, ``toxic, insulting and off topic``."""
    words = [finding_words(name) for name in names]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""
