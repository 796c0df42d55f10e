"""How well scores rank and how far they can be believed. Exact, with ties counted as they should be.

Labels are numbers in [0, 1], positive from 0.5. A measure that cannot be taken (one class only) is None.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def _both(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.bool_], Floats]:
    positive = np.asarray(labels, dtype=np.float64) >= 0.5
    values = np.asarray(scores, dtype=np.float64)
    if positive.shape != values.shape or values.ndim != 1:
        raise ValueError(
            f"labels {positive.shape} and scores {values.shape}: expected two lists of one length"
        )
    if not np.isfinite(values).all():
        raise ValueError("scores hold NaN or infinity")
    return positive, values


def roc_auc(labels: ArrayLike, scores: ArrayLike) -> float | None:
    """The chance that a positive scores above a negative, a tie counting half (Mann-Whitney U)."""
    positive, values = _both(labels, scores)
    positives = int(positive.sum())
    negatives = len(values) - positives
    if not positives or not negatives:
        return None
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return float((ranks[positive].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def pr_auc(labels: ArrayLike, scores: ArrayLike) -> float | None:
    """Average precision: the sum of precision times the recall gained at each distinct score."""
    positive, values = _both(labels, scores)
    positives = int(positive.sum())
    if not positives or positives == len(values):
        return None
    order = np.argsort(-values, kind="stable")
    ranked, hits = values[order], np.cumsum(positive[order])
    # Only the last row of a run of equal scores is a threshold.
    last = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
    precision = hits[last] / (last + 1)
    recall = hits[last] / positives
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def f1(labels: ArrayLike, scores: ArrayLike, threshold: float) -> float | None:
    """F1 of the positive class at `threshold` (scores from it on are positive); None without a positive label."""
    positive, values = _both(labels, scores)
    if not positive.any():
        return None
    raised = values >= threshold
    true = int((raised & positive).sum())
    return 2 * true / (int(raised.sum()) + int(positive.sum()))


def calibration_error(labels: ArrayLike, probabilities: ArrayLike, bins: int = 15) -> float | None:
    """Expected calibration error over `bins` equal widths of [0, 1] (Naeini et al., 2015); None without rows."""
    positive, values = _both(labels, probabilities)
    if not len(values):
        return None
    if values.min() < 0 or values.max() > 1:
        raise ValueError("calibration needs probabilities in [0, 1]")
    place = np.minimum((values * bins).astype(np.int64), bins - 1)
    gap = np.bincount(place, weights=values - positive, minlength=bins)
    return float(np.abs(gap).sum() / len(values))


def threshold_for(scores_of_harmless: ArrayLike, per_thousand: float) -> float:
    """The lowest threshold that at most `per_thousand` of 1,000 harmless scores reach.

    Raises:
        ValueError: no scores.
    """
    values = np.sort(np.asarray(scores_of_harmless, dtype=np.float64))[::-1]
    if not len(values):
        raise ValueError("no scores of harmless rows to set a threshold by")
    allowed = int(len(values) * per_thousand / 1000)
    return float(np.nextafter(values[allowed], np.inf)) if allowed < len(values) else float(values[-1])


def summary(labels: ArrayLike, scores: ArrayLike) -> dict[str, Any]:
    """Rows, positives, ROC-AUC and PR-AUC."""
    positive, _ = _both(labels, scores)
    return {
        "rows": len(positive),
        "positives": int(positive.sum()),
        "roc_auc": roc_auc(labels, scores),
        "pr_auc": pr_auc(labels, scores),
    }
