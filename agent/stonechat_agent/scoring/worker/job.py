"""One answer that waits for its judgement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from stonechat.exchange import Exchange, Operation, Outcome
from stonechat.records import Series
from stonechat_agent.scoring.tier0.texts import bounded

ANSWER_BOUND = 262_144
"""Characters of an answer that the worker gets: of a longer one the head and the tail, half each."""
PROMPT_BOUND = 32_768
"""Characters of a prompt that it gets, the last ones: a model reads at most the last few hundred tokens."""
OVERHEAD = 512
"""Bytes that a job takes beside its texts."""


@dataclass(eq=False, slots=True)
class Job:
    """An answer with its prompt, as UTF-8. Nothing else holds them, so ``size`` is what dropping it frees."""

    seq: int
    id: str
    series: Series
    prompt: bytes
    answer: bytes
    complete: bool
    """Whether the answer ended by itself."""
    risky: bool
    """Whether a check of tier 0 found something."""
    sampled: bool | None = None
    """Whether it is one of the uniform sample; None until that is drawn."""
    strikes: int = 0
    """How many workers ended while they had it."""

    @property
    def size(self) -> int:
        """Bytes that it holds."""
        return len(self.prompt) + len(self.answer) + OVERHEAD

    def request(self) -> dict[str, Any]:
        """The message by which a worker gets it."""
        return {
            "id": self.seq,
            "prompt": self.prompt,
            "answer": self.answer,
            "complete": self.complete,
            "deep": self.risky or bool(self.sampled),
        }


class Texts(NamedTuple):
    """Prompt and answer as the worker gets them."""

    prompt: bytes
    answer: bytes
    complete: bool


def texts_of(exchange: Exchange) -> Texts | None:
    """Return what there is to judge, or None where an exchange has no answer.

    What cannot be UTF-8 (half of a surrogate pair) becomes a question mark.
    """
    said = exchange.transcript
    if said is None or exchange.operation not in (Operation.CHAT, Operation.COMPLETION):
        return None
    answer = bounded(said.answer, ANSWER_BOUND)
    if not answer or answer.isspace():
        return None
    complete = exchange.outcome is Outcome.OK and not said.cut and not exchange.cut_at_limit
    prompt = said.prompt[-PROMPT_BOUND:].encode("utf-8", "replace")
    return Texts(prompt, answer.encode("utf-8", "replace"), complete)
