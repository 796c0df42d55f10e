"""Figures of judges on labelled rows: by head, by slice, by kind of the own examples, and false alarms.

`Said` holds what one judge says of rows, and which of them its thresholds were set by: ranking is measured on all rows,
what thresholds and calibration do on the others alone (`fresh`). What a head *raises* is a high score, or a low one for
the heads in `BELOW` (an answer beside the question raises `relevance`): F1 and PR-AUC are of the raised class. A score
that was withheld (no prompt, another language, nothing to judge) is NaN, counts in no figure, and is counted as such.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import metrics
from .floor import targets
from .rows import Row
from .sources import HARMS, HEADS

#: Heads that raise an answer by a low score.
BELOW = frozenset({"relevance", "coherence", "quality"})
#: Rows of each class that a figure needs; fewer give None.
FEWEST = 10

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Said:
    """What a judge says of rows.

    Attributes:
        scores: shape (rows, heads), in [0, 1], NaN where withheld.
        flags: shape (rows, heads): the shipped threshold is reached; never where withheld.
        fresh: shape (rows,): the row had no part in thresholds and calibration.
    """

    scores: Floats
    flags: Flags
    fresh: Flags

    def take(self, chosen: NDArray[Any]) -> Said:
        return Said(self.scores[chosen], self.flags[chosen], self.fresh[chosen])


def raised(head: str, labels: Floats) -> Floats:
    """The labels of one head so that 1 is what the head should raise."""
    return 1 - labels if head in BELOW else labels


def of_head(head: str, labels: Floats, said: Said) -> dict[str, Any]:
    """One head's figures over rows; labels of shape (rows,), NaN where unknown.

    Returns:
        ``{"rows", "raised", "withheld", "roc_auc", "pr_auc", "fresh", "f1", "recall", "precision", "ece"}``: `raised`
        rows are those that should be; a figure is None without `FEWEST` rows of each class, F1, recall and precision
        also where the head flags nothing. `fresh` counts the rows that F1 and what follows it are of.
    """
    column = HEADS.index(head)
    labelled = ~np.isnan(labels)
    there = labelled & ~np.isnan(said.scores[:, column])
    wanted, scores = raised(head, labels[there]), said.scores[there, column]
    score = 1 - scores if head in BELOW else scores
    positive = wanted >= 0.5
    both = _both(positive)
    out: dict[str, Any] = {
        "rows": len(wanted),
        "raised": int(positive.sum()),
        "withheld": int((labelled & ~there).sum()),
        "roc_auc": _short(metrics.roc_auc(wanted, score)) if both else None,
        "pr_auc": _short(metrics.pr_auc(wanted, score)) if both else None,
    }
    fresh = said.fresh[there]
    flags, positive = said.flags[there, column][fresh], positive[fresh]
    hits = int((flags & positive).sum())
    judged = _both(positive) and bool(flags.any())
    return out | {
        "fresh": int(fresh.sum()),
        "f1": _short(2 * hits / (flags.sum() + positive.sum())) if judged else None,
        "recall": _short(hits / positive.sum()) if judged else None,
        "precision": _short(hits / flags.sum()) if judged else None,
        "ece": _short(metrics.calibration_error(wanted[fresh], score[fresh])) if _both(positive) else None,
    }


def _both(positive: NDArray[Any]) -> bool:
    """Whether there are enough rows of each class."""
    return bool(FEWEST <= positive.sum() <= len(positive) - FEWEST)


def by_head(rows: Sequence[Row], said: Said, heads: Iterable[str] = HEADS) -> dict[str, dict[str, Any]]:
    """`of_head` for each head that some of the rows know."""
    labels = targets(rows)
    found = {}
    for head in heads:
        column = labels[:, HEADS.index(head)].astype(np.float64)
        if not np.isnan(column).all():
            found[head] = of_head(head, column, said)
    return found


def by_source(rows: Sequence[Row], head: str, said: dict[str, Said]) -> dict[str, dict[str, Any]]:
    """ROC-AUC of several judges by source, sources of both classes only: ``{source: {"rows", judge: auc}}``."""
    labels = targets(rows)[:, HEADS.index(head)].astype(np.float64)
    names = np.array([row.source for row in rows])
    found = {}
    for name in sorted(set(names[~np.isnan(labels)])):
        here = names == name
        figures = {judge: of_head(head, labels[here], what.take(here)) for judge, what in said.items()}
        if all(figure["roc_auc"] is not None for figure in figures.values()):
            rows_of = next(iter(figures.values()))["rows"]
            found[str(name)] = {"rows": rows_of} | {
                judge: figure["roc_auc"] for judge, figure in figures.items()
            }
    return found


def false_alarms(flags: Flags, heads: Iterable[str] = HEADS) -> dict[str, float]:
    """Flags per 1,000 harmless answers, by head; `any harm` counts an answer once."""
    if not len(flags):
        return {}
    found = {head: 1000 * float(flags[:, HEADS.index(head)].mean()) for head in heads}
    harms = [HEADS.index(head) for head in HARMS]
    return {head: round(value, 2) for head, value in found.items()} | {
        "any harm": round(1000 * float(flags[:, harms].any(1).mean()), 2)
    }


def macro_f1(positive: NDArray[Any], flagged: NDArray[Any]) -> float | None:
    """The mean of the F1 of both classes; None where one class is missing."""
    wanted, said = np.asarray(positive, dtype=bool), np.asarray(flagged, dtype=bool)
    if wanted.all() or not wanted.any():
        return None
    both = []
    for of in (True, False):
        hits = int(((wanted == of) & (said == of)).sum())
        both.append(2 * hits / (int((wanted == of).sum()) + int((said == of).sum())))
    return sum(both) / 2


#: The heads that each kind of the own examples was written for; what raises one of them raises the example.
WRITTEN_FOR = {
    "self_harm": ("self_harm",),
    "violence": ("violence",),
    "threat": ("threat",),
    "sexual": ("sexual",),
    "hate": ("hate",),
    "insult": ("insult",),
    "settings": HARMS,
    "spelling": HARMS,
    "refusal": ("refusal",),
    "bad_answers": ("coherence", "relevance"),
    "contradiction": ("coherence",),
    "relevance": ("relevance",),
}


def of_kind(kind: str, rows: Sequence[Row], said: Said) -> dict[str, Any]:
    """Macro-F1 and ROC-AUC of one kind of the own examples, at the shipped thresholds.

    An example is positive if a head that its kind was written for should raise it, and flagged if one of them does; its
    score is the highest of theirs. Rows of which no such head can be judged are `withheld`.
    """
    heads = WRITTEN_FOR[kind]
    columns = [HEADS.index(head) for head in heads]
    labels = targets(rows)[:, columns].astype(np.float64)
    scores = said.scores[:, columns].copy()
    for place, head in enumerate(heads):
        labels[:, place] = raised(head, labels[:, place])
        scores[:, place] = 1 - scores[:, place] if head in BELOW else scores[:, place]
    # Only heads that are known of the row and were judged say something of it.
    usable = ~np.isnan(labels) & ~np.isnan(scores)
    there = np.any(usable, axis=1)
    positive = np.any(np.where(usable, labels, 0) >= 0.5, axis=1)[there]
    flagged = np.any(said.flags[:, columns] & usable, axis=1)[there]
    highest = np.where(usable, scores, -1).max(1)[there]
    out = {
        "rows": int(there.sum()),
        "positive": int(positive.sum()),
        "withheld": int((~there).sum()),
        "roc_auc": _short(metrics.roc_auc(positive, highest)) if _both(positive) else None,
    }
    fresh = said.fresh[there]
    positive, flagged = positive[fresh], flagged[fresh]
    return out | {
        "fresh": int(fresh.sum()),
        "macro_f1": _short(macro_f1(positive, flagged)) if _both(positive) else None,
        "recall": _short(float(flagged[positive].mean())) if positive.any() else None,
        "false_rate": _short(float(flagged[~positive].mean())) if (~positive).any() else None,
    }


def by_context(rows: Sequence[Row], contexts: Sequence[str], said: Said) -> dict[str, dict[str, Any]]:
    """For each context, over the harms: how many harmful texts are caught and how many harmless ones are flagged.

    Of the fresh rows. A harmful text (some harm's label is 1) is caught where one of those harms is flagged; a harmless
    one (no harm's label is 1) is flagged where a harm is that its labels deny.
    """
    columns = [HEADS.index(head) for head in HARMS]
    labels, flags = targets(rows)[:, columns], said.flags[:, columns]
    harmful = (labels >= 0.5).any(1)
    known = (~np.isnan(labels)).any(1) & said.fresh
    caught = (flags & (labels >= 0.5)).any(1)
    false = (flags & (labels < 0.5)).any(1)
    found = {}
    names = np.array(contexts)
    for name in sorted(set(contexts)):
        here = (names == name) & known
        bad, good = here & harmful, here & ~harmful
        found[str(name)] = {
            "harmful": int(bad.sum()),
            "caught": int((bad & caught).sum()),
            "harmless": int(good.sum()),
            "flagged": int((good & false).sum()),
        }
    return {name: row for name, row in found.items() if row["harmful"] + row["harmless"]}


def sliced(
    rows: Sequence[Row], said: Said, head: str, slice_of: Callable[[Row], str | None]
) -> dict[str, dict[str, Any]]:
    """`of_head` for each slice; rows whose slice is None are in none."""
    labels = targets(rows)[:, HEADS.index(head)].astype(np.float64)
    names = [slice_of(row) for row in rows]
    found = {}
    for name in sorted({name for name in names if name is not None}):
        here = np.array([other == name for other in names])
        figures = of_head(head, labels[here], said.take(here))
        if figures["rows"]:
            found[name] = figures
    return found


def length_of(row: Row) -> str:
    """The slice of a row by characters of the judged text."""
    for most in (50, 150, 400, 1000):
        if len(row.response) < most:
            return f"under {most:>4} characters"
    return "1000 characters or more"


def spearman(one: Floats, other: Floats) -> float | None:
    """Rank correlation, ties at their mean rank; None where one of the two does not vary."""
    if len(one) < FEWEST:
        return None

    def ranks(values: Floats) -> Floats:
        _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
        return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[place], dtype=np.float64)

    a, b = ranks(one), ranks(other)
    if a.std() == 0 or b.std() == 0:
        return None
    return float(np.corrcoef(a, b)[0, 1])


def _short(value: float | None) -> float | None:
    return None if value is None else round(float(value), 4)
