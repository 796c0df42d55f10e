"""The figures that the judge's card tells: held-back rows, by calibrations that did not see them. numpy only.

What the benchmark publishes is more, and is measured with the shipped folders: `assessment`.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import metrics
from .calibrate import BELOW, Calibration, calibrated, ordinary
from .combine import Weights
from .own import PREFIX
from .scored import Scored
from .sources import HARMS, HEADS

Floats = NDArray[np.float64]
Logits = NDArray[np.float32]
Flags = NDArray[np.bool_]

#: What a kind of the written examples is about, where it is not the head of its name.
HEAD_OF_KIND = {
    "settings": "toxic",
    "spelling": "toxic",
    "bad_answers": "coherence",
    "contradiction": "coherence",
}


def known(scored: Scored, head: str) -> Flags:
    return ~np.isnan(scored.labels[:, HEADS.index(head)])


@dataclass(frozen=True)
class Judged:
    """Rows with scores and flags by a calibration that did not see them.

    `scores` and `flagged` have shape (rows, heads); a head without calibration has NaN and no flags.
    """

    scored: Scored
    scores: Floats
    flagged: Flags


def judged(scored: Scored, glance: Logits | None, calibrations: Mapping[str, Calibration]) -> Judged:
    scores = np.full(scored.encoder.shape, np.nan)
    flagged = np.zeros(scored.encoder.shape, dtype=bool)
    for head, found in calibrations.items():
        place = HEADS.index(head)
        at = found.scores(scored.encoder[:, place], None if glance is None else glance[:, place])
        scores[:, place] = at
        if found.threshold is not None:
            flagged[:, place] = at <= found.threshold if head in BELOW else at >= found.threshold
    return Judged(scored, scores, flagged)


def crossed(
    scored: Scored, glance: Logits | None = None, weights: Mapping[str, Weights] | None = None
) -> Judged:
    """Each half of the rows as the calibration of the other half has it; rows of a pair are in one half."""
    ties = (str(facts["pair"] or key) for facts, key in zip(scored.facts, scored.keys, strict=True))
    first = np.array([zlib.crc32(tie.encode()) % 2 == 0 for tie in ties], dtype=bool)
    scores = np.full(scored.encoder.shape, np.nan)
    flagged = np.zeros(scored.encoder.shape, dtype=bool)
    for half in (first, ~first):
        here, there = (None, None) if glance is None else (glance[half], glance[~half])
        found = judged(scored.take(half), here, calibrated(scored.take(~half), there, weights))
        scores[half], flagged[half] = found.scores, found.flagged
    return Judged(scored, scores, flagged)


def macro_f1(wanted: Flags, flagged: Flags) -> float:
    """The mean of the F1 of both classes."""
    pairs = ((wanted, flagged), (~wanted, ~flagged))
    return sum((metrics.f1(truth, said.astype(float), 0.5) or 0.0) for truth, said in pairs) / 2


def contrast(found: Judged) -> dict[str, dict[str, Any]]:
    """For each kind of the written examples: macro-F1 at the threshold and at 0.5, and ROC-AUC."""
    out = {}
    names = found.scored.names
    for name in sorted({str(name) for name in names if str(name).startswith(PREFIX)}):
        kind = name.removeprefix(PREFIX)
        head = HEAD_OF_KIND.get(kind, kind)
        place = HEADS.index(head)
        rows = (names == name) & known(found.scored, head)
        labels, scores = found.scored.labels[rows, place], found.scores[rows, place]
        wanted, even = (labels < 0.5, scores < 0.5) if head in BELOW else (labels >= 0.5, scores >= 0.5)
        out[kind] = {
            "head": head,
            "rows": int(rows.sum()),
            "macro_f1": macro_f1(wanted, found.flagged[rows, place]),
            "macro_f1_even": macro_f1(wanted, even),
            "roc_auc": metrics.roc_auc(labels, scores),
        }
    return out


def held_back(found: Judged) -> dict[str, dict[str, Any]]:
    """For each head over every row: ROC-AUC, PR-AUC, F1 at the threshold, calibration error, false alarms.

    `roc_auc_gathered` leaves out the own writing.
    """
    out = {}
    for place, head in enumerate(HEADS):
        rows = known(found.scored, head)
        labels, scores, flagged = (
            found.scored.labels[:, place],
            found.scores[:, place],
            found.flagged[:, place],
        )
        if not rows.any() or np.isnan(scores[rows]).any():
            continue
        wanted = labels[rows] < 0.5 if head in BELOW else labels[rows] >= 0.5
        harmless = ordinary(found.scored, head)
        gathered = rows & ~np.char.startswith(found.scored.names, PREFIX)
        out[head] = {
            **metrics.summary(labels[rows], scores[rows]),
            "roc_auc_gathered": metrics.roc_auc(labels[gathered], scores[gathered]),
            "f1": metrics.f1(wanted, flagged[rows].astype(float), 0.5),
            "calibration_error": metrics.calibration_error(labels[rows], scores[rows]),
            "ordinary": int(harmless.sum()),
            "flagged_per_1000": 1000 * float(flagged[harmless].mean()) if harmless.any() else None,
        }
    return out


def worth_it(scored: Scored, glance: Logits, weights: Mapping[str, Weights]) -> dict[str, Weights]:
    """The weights of those heads that tier 1 helps on held-back rows too: it must rank them no worse."""
    alone, both = held_back(crossed(scored)), held_back(crossed(scored, glance, weights))
    return {head: found for head, found in weights.items() if both[head]["roc_auc"] >= alone[head]["roc_auc"]}


def any_harm_per_1000(found: Judged) -> float | None:
    """Of 1,000 ordinary answers those that any of the harms flags."""
    rows = ordinary(found.scored, "toxic")
    harms = [HEADS.index(head) for head in HARMS]
    return 1000 * float(found.flagged[rows][:, harms].any(1).mean()) if rows.any() else None


def agreement(exact: Scored, int8: Scored) -> dict[str, dict[str, Any]]:
    """ROC-AUC of the float and the int8 graph on the rows that both judged, by head."""
    place_of = {key: at for at, key in enumerate(int8.keys)}
    there = np.array([key in place_of for key in exact.keys])
    exact = exact.take(there)
    ats = [place_of[key] for key in exact.keys]
    out = {}
    for place, head in enumerate(HEADS):
        rows = known(exact, head)
        labels = exact.labels[rows, place]
        if len(set(labels >= 0.5)) < 2:
            continue
        pair = [metrics.roc_auc(labels, each[rows, place]) for each in (exact.encoder, int8.encoder[ats])]
        out[head] = {"rows": int(rows.sum()), "float": pair[0], "int8": pair[1]}
    return out
