"""What windows say of answers: how many were judged, and how many of those were beyond a threshold. Pure.

Models do not judge every answer: the small one does as long as it keeps up, the large one those that matter and a
sample. What it judges stands for others too, by the weight with which it was drawn, so rates are sums of weights over
sums of weights. None is unknown: where nothing was judged, no rate is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, cast

from stonechat.catalog import SCORE_NAMES, Kind, metric_id
from stonechat.values import Value, tally_counts, weight_of

CHECKED = metric_id("stonechat.answers.checked")
FINDINGS = metric_id("stonechat.findings")
SKIPPED = metric_id("stonechat.scores.skipped")
BROKEN = metric_id("stonechat.guidelines.broken")
HELD = metric_id("stonechat.guidelines.checked")
JUDGED = metric_id("stonechat.answers.judged")
WEIGHT = metric_id("stonechat.answers.weight")
FLAGS = metric_id("stonechat.flags")
SCORES: Mapping[str, int] = {name: metric_id(f"stonechat.score.{name}") for name in SCORE_NAMES}

METRICS = frozenset((CHECKED, FINDINGS, SKIPPED, BROKEN, HELD, JUDGED, WEIGHT, FLAGS, *SCORES.values()))
"""All that `answers_of` reads."""

GLANCE, JUDGE = "glance", "judge"
"""The small model, for every answer, and the large one: the keys of ``stonechat.answers.judged``."""

ANY = "any"
"""The key of ``stonechat.flags`` for answers beyond one threshold or more."""


class Answers(NamedTuple):
    """What is known of the answers in a span."""

    checked: int | None
    """Answers that the checks of every answer saw."""
    judged: Mapping[str, int]
    """Of them those that a model judged, by model."""
    judged_ratio: float | None
    """Share of answers that a model judged, whichever."""
    skipped: Mapping[str, int]
    """Answers, or single scores, that there are not, by reason."""
    findings: Mapping[str, int]
    """Answers in which the checks found something, by name."""
    broken: Mapping[str, int]
    """Answers that broke a guideline, by its name."""
    held: Mapping[str, int]
    """Answers that were held to a guideline, by its name."""
    flagged_ratio: float | None
    """Share of answers beyond one threshold of a model or more."""
    flag_ratios: Mapping[str, float]
    """The same by head; only heads that judged something."""
    means: Mapping[str, float]
    """Mean score by head."""


def answers_of(metrics: Mapping[int, Value]) -> Answers:
    """Read the metrics of one series, or of several folded together."""
    checked = _count(metrics, CHECKED)
    judged, skipped = _tally(metrics, JUDGED), _tally(metrics, SKIPPED)
    by_any = max(judged.values(), default=0)
    ratio = None
    if checked and (judged or skipped):
        # A verdict may come in a later window than its answer, so a short span can hold more of the one.
        ratio = min(1.0, by_any / checked)
    flags, weight = _tally(metrics, FLAGS), _count(metrics, WEIGHT)
    weights: dict[str, int] = {}
    means: dict[str, float] = {}
    for name, metric in SCORES.items():
        value = metrics.get(metric)
        if value is not None and value[0] == Kind.HISTOGRAM and (whole := weight_of(value)) > 0:
            weights[name], means[name] = whole, _mean(value, whole)
    return Answers(
        checked=checked,
        judged=judged,
        judged_ratio=ratio,
        skipped=skipped,
        findings=_tally(metrics, FINDINGS),
        broken=_tally(metrics, BROKEN),
        held=_tally(metrics, HELD),
        flagged_ratio=min(1.0, flags.get(ANY, 0) / weight) if weight else None,
        flag_ratios={name: min(1.0, flags.get(name, 0) / whole) for name, whole in weights.items()},
        means=means,
    )


def _mean(value: Value, whole: int) -> float:
    """The mean of a histogram's values, each taken for the middle of its bin."""
    weights = cast("tuple[int, ...]", value[2:])
    return sum((index + 0.5) * weight for index, weight in enumerate(weights)) / len(weights) / whole


def _count(metrics: Mapping[int, Value], metric: int) -> int | None:
    value = metrics.get(metric)
    return cast("int", value[1]) if value is not None and value[0] == Kind.COUNTER else None


def _tally(metrics: Mapping[int, Value], metric: int) -> dict[str, int]:
    value = metrics.get(metric)
    return tally_counts(value) if value is not None and value[0] == Kind.TALLY else {}
