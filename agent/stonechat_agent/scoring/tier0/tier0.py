"""Runs the checks that fit an exchange, and says what is beyond the threshold."""

from __future__ import annotations

from typing import NamedTuple

from stonechat.exchange import FINDINGS, Exchange, Operation, Outcome
from stonechat.transcript import Transcript
from stonechat_agent.scoring.tier0 import structure
from stonechat_agent.scoring.tier0.languages import language, speaks_of_language
from stonechat_agent.scoring.tier0.overlap import Answers, Instructions, echo
from stonechat_agent.scoring.tier0.refusals import refusal
from stonechat_agent.scoring.tier0.repetition import degenerate, repetition
from stonechat_agent.scoring.tier0.texts import BOUND, bounded, tokens

THRESHOLD = 0.5
"""A score of this or more is a finding: every check scales its own figure so."""

_NOTHING = frozenset(" \t\n\r\u00a0\u200b\u200c\u200d\ufeff.\u2026-_*#\"'`")


class Findings(NamedTuple):
    """What the checks of one answer gave."""

    scores: dict[str, float]
    """0 to 1 by name of the check, to three places; a check that did not apply has none."""
    findings: tuple[str, ...]
    """Names of the checks whose score is at or above the threshold, in the order of ``FINDINGS``."""


class Tier0:
    """Checks answers. Not for several threads: it remembers the latest answers and instructions."""

    def __init__(self, key: bytes, remembered: int = 512) -> None:
        """
        Args:
            key: secret of the device, at most 64 bytes, for the hashes by which answers are remembered.
            remembered: answers that are compared with; some 200 bytes each.
        """
        self._answers = Answers(key, remembered)
        self._instructions = Instructions()

    def check(self, exchange: Exchange) -> Findings | None:
        """Return the scores of an exchange's answer, or None where there is no answer that can be judged.

        That is: no texts, an operation that writes none or whose answers are no talk (embeddings, evaluation), or a
        failure before the first word. An answer that was broken off is judged by what came, and only by what its
        breaking off does not explain. Pure but for what it remembers; a text beyond 32,768 characters is looked at in
        head and tail.
        """
        said = exchange.transcript
        if said is None or exchange.operation not in (Operation.CHAT, Operation.COMPLETION):
            return None
        whole = exchange.outcome is Outcome.OK
        scores: dict[str, float] = {}
        if said.tool_calls and not said.cut and whole:
            scores["tool_call"] = structure.tool_calls(said.tool_calls, said.tools)
        silent = not said.answer or not (set(said.answer[:4096]) - _NOTHING)
        if whole and not said.cut:
            scores["empty"] = float(silent and not said.tool_calls)
            if exchange.cut_at_limit:
                scores["truncated"] = 1.0 if silent or structure.ends_open(said.answer) else 0.75
            elif exchange.finish_reason is not None:
                scores["truncated"] = 0.0
        if not silent:
            self._text(exchange, said, scores, whole and not said.cut and not exchange.cut_at_limit)
        if not scores:
            return None
        scores = {name: round(scores[name], 3) for name in FINDINGS if name in scores}
        return Findings(scores, tuple(name for name, score in scores.items() if score >= THRESHOLD))

    def _text(self, exchange: Exchange, said: Transcript, scores: dict[str, float], complete: bool) -> None:
        """Check the words of an answer. ``complete``: its end is one that the model chose."""
        answer, prompt = bounded(said.answer), bounded(said.prompt)
        words = tokens(answer)
        talk = exchange.operation is Operation.CHAT
        scores["repetition"] = repetition(words, at_end=True)
        scores["degenerate"] = degenerate(answer)
        scores["garbage"] = structure.garbage(answer, prompt)
        context = (
            "\n".join(turn.text[-BOUND:] for turn in said.turns[-4:])
            if "<" in answer or "[" in answer
            else prompt
        )
        scores["template"] = structure.template(answer, context)
        if complete and len(said.answer) <= BOUND:
            scores["unclosed"] = structure.unclosed(answer)
        if said.wants_json and not said.cut and exchange.outcome is Outcome.OK and not said.tool_calls:
            score = structure.not_json(said.answer)
            if score is not None:
                scores["not_json"] = score
        if not talk:
            return
        scores["refusal"] = refusal(answer)
        foreign = _is_foreign(said, prompt, answer)
        if foreign is not None:
            scores["language"] = foreign
        system = next((turn.text for turn in said.turns if turn.role == "system"), "")
        if system:
            scores["prompt_leak"] = self._instructions.leak(bounded(system), words)
        asked = tokens(prompt)
        scores["prompt_echo"] = echo(asked, words)
        if complete and not said.wants_json and not said.tool_calls:
            same = self._answers.same(asked, words, len(answer))
            if same is not None:
                scores["same_answer"] = same


def _is_foreign(said: Transcript, prompt: str, answer: str) -> float | None:
    """Return 1 where an answer is in another language than all that its user said, 0 where not; None where unsure."""
    asked = language(prompt)
    if asked is None:
        return None
    answered = language(answer)
    if answered is None:
        return None
    if asked == answered:
        return 0.0
    if {asked, answered} == {"ja", "zh"} and len(answer) < 200:  # a table in Japanese may have no kana
        return None
    for turn in said.turns:
        if turn.role != "assistant" and speaks_of_language(turn.text[:BOUND]):
            return None
        if turn.role == "user" and language(turn.text) not in (asked, None):
            return None
        if turn.role == "system" and language(turn.text) == answered:
            return None
    return 1.0
