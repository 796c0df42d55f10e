"""What the scoring worker found in one answer: numbers and names, never a text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class GuidelineResult(NamedTuple):
    """What one of the owner's guidelines says of an answer."""

    name: str
    severity: str
    """``info``, ``warning`` or ``critical``, as the owner set it."""
    score: float
    """0 to 1; from 0.5 on it is broken."""
    broken: bool
    why: str
    """What broke it, such as ``forbidden:2``: an identifier; "" where it is not broken."""


class Verdict(NamedTuple):
    """The judgement of one answer by the worker."""

    id: str
    """Of the exchange."""
    engine: str
    model: str
    operation: str
    """These three name the series of a window that the exchange belongs to."""
    tier: int
    """Where the scores come from: 1, 2, or 0 where no model is there and guidelines alone looked at it."""
    weight: int
    """How many answers of its series it stands for in a rate, times ``values.WEIGHT_ONE``; 0: another stands for it."""
    scores: Mapping[str, float]
    """0 to 1 by head; a head that could not be judged has none."""
    withheld: Mapping[str, str]
    """Why a head has no score, by head: ``language``, ``no_prompt``, ``empty``, ``failed``."""
    flags: tuple[str, ...]
    """Heads beyond their thresholds."""
    guidelines: tuple[GuidelineResult, ...]
    """Of those that apply to the answer and could be checked."""
    embedding: tuple[int, ...]
    """At most 64 numbers in 1/10_000, of length one; empty where tier 1 is not there. Counts for this answer alone."""
