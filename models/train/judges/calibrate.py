"""From logits to scores that mean what they say: scale and shift of each head, and thresholds.

Only rows that no weight has seen come in here, and none that is barred (`usable`). numpy only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import metrics
from .combine import Weights, fit
from .own import PREFIX
from .rows import HELD_BACK
from .scored import Scored
from .sources import HARMS, HEADS

Floats = NDArray[np.float64]

#: Flagged of 1,000 ordinary answers at most, by each head. A threshold is set where training saw the same sources; on
#: answers of other origin more are flagged, so half of what is promised of `toxic` is aimed at.
ALARMS = (
    dict.fromkeys(HARMS, 1.0) | {"refusal": 2.0} | dict.fromkeys(("relevance", "coherence", "quality"), 5.0)
)
#: Sources whose answers are ordinary: nobody asked for harm, and none is known. Answers gathered in the wild are not
#: among them: fights and dungeons are what some people ask for.
ORDINARY = frozenset(
    {
        "alce_utility",
        "clapnq_grounded",
        "expertqa_answers",
        "expertqa_revised",
        "finegrained_qa_feedback",
        "gpteacher_codegen",
        "gpteacher_roleplay",
        "gsm8k_solutions",
        "haluquestqa_expert",
        "mt_bench_gpt4_scores",
        "mtbench101_dialogues",
        "mtrag_human",
        "oasst_threads",
        "self_instruct_seed",
    }
)
#: Heads that flag when the score is low.
BELOW = frozenset({"relevance", "coherence", "quality"})


@dataclass(frozen=True)
class Calibration:
    """How a head's logit becomes a score, and where it flags.

    Attributes:
        scale, shift: score = sigmoid(scale * logit + shift), where tier 1 has no say.
        threshold: flags at this score or beyond (below it for `BELOW`).
        combined: weights of both tiers' logits; replaces scale and shift where there is tier 1.
    """

    scale: float
    shift: float
    threshold: float | None
    combined: Weights | None = None

    def scores(self, logits: ArrayLike, glance: ArrayLike | None = None) -> Floats:
        if self.combined is not None and glance is not None:
            return sigmoid(self.combined.logits(logits, glance))
        return sigmoid(self.scale * np.asarray(logits, dtype=np.float64) + self.shift)


def sigmoid(logits: ArrayLike) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(np.asarray(logits, dtype=np.float64), -40, 40))))


def usable(scored: Scored) -> None:
    """Return if these rows may decide calibration and thresholds.

    Raises:
        ValueError: a row was trained on, or is barred.
    """
    wrong = sorted(
        {
            str(name)
            for name, facts in zip(scored.names, scored.facts, strict=True)
            if facts["barred"] or facts["split"] not in HELD_BACK
        }
    )
    if wrong:
        raise ValueError("rows that must not decide calibration: " + ", ".join(wrong))


def best_f1(labels: ArrayLike, scores: ArrayLike) -> float:
    """The lowest of the thresholds with the highest F1 of the positive class."""
    positive = np.asarray(labels, dtype=np.float64) >= 0.5
    values = np.asarray(scores, dtype=np.float64)
    order = np.argsort(-values, kind="stable")
    hits = np.cumsum(positive[order])
    each = 2 * hits / (np.arange(1, len(values) + 1) + positive.sum())
    # Equal scores are flagged together: only the last of them counts.
    last = np.append(values[order][1:] != values[order][:-1], True)
    return float(values[order][np.flatnonzero(last)[np.argmax(each[last])]])


def ordinary(scored: Scored, head: str) -> NDArray[np.bool_]:
    """Which rows are ordinary answers: not known to be harmful, or known to be good for heads that flag low scores."""
    column = scored.labels[:, HEADS.index(head)]
    if head in BELOW:
        answers = np.array([bool(facts["answer"]) for facts in scored.facts], dtype=bool)
        return np.asarray(answers & ~np.char.startswith(scored.names, PREFIX) & (column >= 0.5))
    return np.asarray(np.isin(scored.names, sorted(ORDINARY)) & ~(column >= 0.5))


def calibrated(
    scored: Scored, glance: NDArray[np.float32] | None = None, weights: Mapping[str, Weights] | None = None
) -> dict[str, Calibration]:
    """Calibration and threshold of each head with labels of both kinds.

    A head flags no more of ordinary answers than `ALARMS` says, and less where its F1 is best higher up. Scale and
    shift are Platt's (1999).

    Args:
        glance: tier 1's logits of the rows, shape (rows, heads).
        weights: of the heads whose verdict is a mean with tier 1's, as sources left out taught them. Their balance is
            kept, their size and shift are found anew.

    Raises:
        ValueError: a row must not decide this.
    """
    usable(scored)
    out = {}
    for place, head in enumerate(HEADS):
        known = ~np.isnan(scored.labels[:, place])
        labels = scored.labels[known, place]
        if not (labels >= 0.5).any() or not (labels < 0.5).any():
            continue
        logits = scored.encoder[:, place].astype(np.float64)
        alone = fit(logits[known], np.zeros(len(labels)), labels)
        combined = None
        if glance is not None and weights is not None and head in weights:
            mean = weights[head].logits(logits, glance[:, place])
            again = fit(mean[known], np.zeros(len(labels)), labels)
            combined = Weights(
                round(again.judge * weights[head].judge, 5),
                round(again.judge * weights[head].glance, 5),
                round(again.judge * weights[head].shift + again.shift, 5),
            )
        # Never 0: a score has to rise with its logit, and the card allows nothing else.
        found = Calibration(max(0.01, round(alone.judge, 5)), round(alone.shift, 5), None, combined)
        scores = found.scores(logits, None if glance is None else glance[:, place])
        # Low scores flag for some: everything is turned round, and the threshold back.
        turned, sign = (1 - labels, -1.0) if head in BELOW else (labels, 1.0)
        threshold = best_f1(turned, sign * scores[known])
        harmless = ordinary(scored, head)
        if harmless.any():
            threshold = max(threshold, metrics.threshold_for(sign * scores[harmless], ALARMS[head]))
        out[head] = replace(found, threshold=_rounded_away(sign * threshold, -sign))
    return out


def _rounded_away(threshold: float, direction: float) -> float:
    """To four places, as scores are, never towards flagging more."""
    rounded = round(threshold, 4)
    return rounded if (threshold - rounded) * direction >= 0 else round(rounded - direction * 1e-4, 4)
