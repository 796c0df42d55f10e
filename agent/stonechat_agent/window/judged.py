"""What a verdict adds to a window."""

from __future__ import annotations

from collections.abc import Iterator

from stonechat import answers
from stonechat.catalog import metric_id
from stonechat.records import Series
from stonechat_agent.scoring.verdict import Verdict

EMBEDDING = metric_id("stonechat.answer.embedding")


def series_of(verdict: Verdict) -> Series:
    """The series of the exchange that was judged."""
    return Series(verdict.engine, verdict.model, verdict.operation)


def scores(verdict: Verdict) -> Iterator[tuple[int, float, int]]:
    """Scores for histograms, if the answer stands for any: (metric, score, weight)."""
    if verdict.weight:
        for name, score in verdict.scores.items():
            if name in answers.SCORES:
                yield answers.SCORES[name], score, verdict.weight


def counters(verdict: Verdict) -> Iterator[tuple[int, int]]:
    """Increments of counters: (metric, increment)."""
    if verdict.scores and verdict.weight:
        yield answers.WEIGHT, verdict.weight


def tallies(verdict: Verdict) -> Iterator[tuple[int, str, int]]:
    """Counts of tallies: (metric, key, increment)."""
    if verdict.scores:
        if verdict.tier == 1 or verdict.embedding:  # which the small model alone makes
            yield answers.JUDGED, answers.GLANCE, 1
        if verdict.tier == 2:
            yield answers.JUDGED, answers.JUDGE, 1
    elif verdict.tier:
        # Where nothing can be judged the reasons are alike, but for heads that lack a prompt besides.
        reasons = set(verdict.withheld.values())
        for reason in sorted(reasons - {"no_prompt"} or reasons):
            yield answers.SKIPPED, reason, 1
    if verdict.weight and verdict.flags:
        for head in (*verdict.flags, answers.ANY):
            yield answers.FLAGS, head, verdict.weight
    for guideline in verdict.guidelines:
        yield answers.HELD, guideline.name, 1
        if guideline.broken:
            yield answers.BROKEN, guideline.name, 1
