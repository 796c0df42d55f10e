"""What is done with an exchange once it ended, before its window counts it: named, checked, chosen and kept.

All of it takes place in the pipeline's thread, in tens of microseconds to a millisecond an exchange; what is kept goes
to the disk in the journal's own thread.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from stonechat.catalog import SCORE_NAMES
from stonechat.exchange import FINDINGS, Exchange, Operation, Outcome
from stonechat.ids import exchange_id
from stonechat.judgements import GUIDELINE
from stonechat_agent.clocks import Instant
from stonechat_agent.journal import Conversations, Pseudonyms
from stonechat_agent.models import KnownModels
from stonechat_agent.outbox import Chooser
from stonechat_agent.scoring.tier0 import Tier0
from stonechat_agent.scoring.verdict import Verdict

_NS_PER_MS = 1_000_000
_ID_BITS = 22
_CHECKS = frozenset(FINDINGS) - frozenset(SCORE_NAMES)
"""Judgements that the checks of every answer alone make."""


class Amend(Protocol):
    """Adds a later verdict to an exchange that is kept."""

    def __call__(
        self, id: str, scores: Mapping[str, float], findings: Sequence[str], chosen: str | None, /
    ) -> object: ...


class Desk:
    """Takes exchanges one at a time, from one thread."""

    def __init__(
        self,
        *,
        random_bits: Callable[[int], int],
        models: KnownModels,
        ask: Callable[[str], bool],
        used: Callable[[str], object],
        pseudonyms: Pseudonyms,
        checks: Tier0,
        chooser: Chooser,
        keep: Callable[[Exchange, str | None], object],
        judge: Callable[[Exchange], object],
        amend: Amend,
    ) -> None:
        """
        Args:
            random_bits: that many random bits, drawn once.
            ask: has an engine asked which models it has; returns whether its answer is worth waiting for.
            used: told of each engine that answered.
            keep: takes an exchange for the journal, and why a collector is told of it.
            judge: has an answer judged by the models, who give their verdict later; copies what it needs.
            amend: takes id, scores and findings of a verdict for the journal, and why a collector is told now.
        """
        # Begun at random and counted on, so that of one millisecond no two ids are alike.
        self._drawn = random_bits(_ID_BITS)
        self._models = models
        self._ask = ask
        self._used = used
        self._pseudonyms = pseudonyms
        self._conversations = Conversations(pseudonyms)
        self._checks = checks
        self._chooser = chooser
        self._keep = keep
        self._judge = judge
        self._amend = amend

    def listed(self, engine: str, models: Iterable[str]) -> None:
        """An engine told which models it has."""
        self._models.listed(engine, models)

    def defers(self, exchange: Exchange) -> bool:
        """Whether an exchange should wait a moment: its engine is being asked whether it has a model of that name."""
        return not self._models.knows(exchange) and self._ask(exchange.engine)

    def take(self, exchange: Exchange, now: Instant) -> None:
        """Name an exchange, check its answer, choose whether a collector hears of it, and have it kept."""
        # First: whatever goes wrong below, no name of a stranger gets into the window.
        self._models.settle(exchange)
        if exchange.outcome is Outcome.OK:
            self._used(exchange.engine)
        if exchange.wall_ms is None:
            # Relayed instants are of the clock that ``now.monotonic`` shows in ms.
            exchange.wall_ms = max(0, now.wall - (now.monotonic - exchange.accepted_ns // _NS_PER_MS))
        if not exchange.id:  # what was exported and is replayed has its own, and its pseudonyms
            self._drawn += 1
            exchange.id = exchange_id(exchange.wall_ms, self._drawn)
        transcript = exchange.transcript
        if transcript is not None:
            exchange.user = exchange.user or self._pseudonyms.user(transcript.user)
            # A prompt that is completed, or embedded, has no history to know its conversation by.
            if exchange.conversation is None and (
                exchange.operation is Operation.CHAT or transcript.conversation
            ):
                exchange.conversation = self._conversations.of(exchange.id, transcript)
        found = self._checks.check(exchange)
        if found is not None:
            # What is replayed may have a model's word already: of a refusal, it is the better one.
            fresh = {
                name: score
                for name, score in found.scores.items()
                if name in _CHECKS or name not in exchange.scores
            }
            exchange.scores.update(fresh)
            others = (name for name in exchange.findings if name not in _CHECKS)
            exchange.findings = tuple(dict.fromkeys((*found.findings, *others)))
        self._judge(exchange)  # before the journal has the texts for itself
        self._keep(exchange, self._chooser.choose(exchange))

    def judged(self, verdict: Verdict) -> None:
        """Have what the models and the guidelines say of an answer kept, and a collector told if it is flagged."""
        scores = {**verdict.scores, **{f"{GUIDELINE}{one.name}": one.score for one in verdict.guidelines}}
        broken = (f"{GUIDELINE}{one.name}" for one in verdict.guidelines if one.broken)
        findings = (*verdict.flags, *broken)
        if scores:
            self._amend(verdict.id, scores, findings, self._chooser.choose_late(findings))

    def untold(self) -> Counter[str]:
        """Exchanges that a collector would have been told of, had there been room in the hour, by reason."""
        return self._chooser.left_out()
