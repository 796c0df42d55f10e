"""How much each tier's word counts: weights of the combined verdict, and the table of sources left out.

The encoder (tier 2) and the n-gram model (tier 1) err differently, so tier 2's verdict is
``sigmoid(judge * encoder's logit + glance * tier 1's logit + shift)``. The three numbers of a head are learned by
logistic regression on rows whose source neither model had seen, every source counting the same; the two weights are
never negative, so that a higher logit never lowers a verdict. What is published of the combination is cross-fitted: the
rows of a fold are combined by weights learned on the other folds.

    python -m train.judges.combine --scores DIR --out models/train/judges/folds.json

`DIR` holds `encoder_fold*.npz`, `glance_fold*.npz` and `floor_fold*.npz` (`scored`). Seconds on one core; the folds
themselves take hours.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import metrics
from .scored import Scored, joined, read

Floats = NDArray[np.float64]

#: Rows of one source that count; the lowest by their keys, which are hashes. A source of 20,000 is no better evidence
#: of what a judge does on new ones than a source of 1,500.
MOST = 1500
#: A source counts as won or lost where it has so many rows of each class.
FEWEST = 25
#: Pull of the weights towards 0. Only keeps them finite where a head is separated perfectly.
RIDGE = 1e-4
MODELS = ("floor", "glance", "encoder", "combined")


class Weights(NamedTuple):
    """Of a head: verdict = sigmoid(judge * encoder's logit + glance * tier 1's + shift); judge, glance >= 0."""

    judge: float
    glance: float
    shift: float

    def logits(self, judge: ArrayLike, glance: ArrayLike) -> Floats:
        return (
            self.judge * np.asarray(judge, dtype=np.float64)
            + self.glance * np.asarray(glance, dtype=np.float64)
            + self.shift
        )


def fit(judge: ArrayLike, glance: ArrayLike, labels: ArrayLike, counts: ArrayLike | None = None) -> Weights:
    """The weights of least log loss.

    Args:
        judge, glance: logits of the two models, shape (rows,).
        labels: numbers in [0, 1].
        counts: how much each row counts; all alike without it.

    Raises:
        ValueError: fewer than two classes, or shapes that differ.
    """
    columns = np.stack([np.asarray(judge, dtype=np.float64), np.asarray(glance, dtype=np.float64)], axis=1)
    wanted = np.asarray(labels, dtype=np.float64)
    if len(wanted) != len(columns):
        raise ValueError(f"{len(wanted)} labels for {len(columns)} logits")
    if not len(wanted) or wanted.min() == wanted.max():
        raise ValueError("one class only: there is nothing to learn weights from")
    share = np.ones(len(wanted)) if counts is None else np.asarray(counts, dtype=np.float64)
    share = share / share.sum()
    # The loss is convex: if its lowest point has a negative weight, the best of the allowed ones lies where one is 0.
    tried = [
        _newton(columns, wanted, share, free)
        for free in ((True, True), (True, False), (False, True), (False, False))
    ]
    allowed = [(loss, found) for loss, found in tried if found.judge >= 0 and found.glance >= 0]
    return min(allowed, key=lambda pair: pair[0])[1]


def _newton(columns: Floats, wanted: Floats, share: Floats, free: tuple[bool, bool]) -> tuple[float, Weights]:
    """Loss and weights of the best fit whose weights that are not `free` stay 0."""
    chosen = [at for at, wished in enumerate(free) if wished]
    inputs = np.concatenate([columns[:, chosen], np.ones((len(columns), 1))], axis=1)
    pull = np.array([RIDGE] * len(chosen) + [0.0])
    found = np.zeros(inputs.shape[1])

    def loss(at: Floats) -> float:
        z = inputs @ at
        return float(share @ (np.logaddexp(0, z) - wanted * z) + 0.5 * pull @ at**2)

    for _ in range(100):
        chance = _sigmoid(inputs @ found)
        slope = inputs.T @ (share * (chance - wanted)) + pull * found
        bend = (inputs * (share * chance * (1 - chance))[:, None]).T @ inputs + np.diag(pull + 1e-9)
        step = np.linalg.solve(bend, slope)
        size = 1.0
        while size > 1e-6 and loss(found - size * step) > loss(found):
            size /= 2
        found = found - size * step
        if np.abs(size * step).max() < 1e-8:
            break
    out = [0.0, 0.0]
    for at, value in zip(chosen, found, strict=False):
        out[at] = float(value)
    return loss(found), Weights(out[0], out[1], float(found[-1]))


def _sigmoid(z: Floats) -> Floats:
    return 1 / (1 + np.exp(-np.clip(z, -40, 40)))


def even(sources: NDArray[Any]) -> Floats:
    """How much each row counts so that every source counts 1."""
    _, place, sizes = np.unique(sources, return_inverse=True, return_counts=True)
    return np.asarray(1 / sizes[place], dtype=np.float64)


def cross_fitted(
    judge: Floats, glance: Floats, labels: Floats, sources: NDArray[Any], folds: NDArray[np.int64]
) -> Floats:
    """Combined logits, each row's by weights that its fold had no part in.

    Raises:
        ValueError: rows of one fold only, or of one class.
    """
    out = np.zeros(len(labels))
    for fold in np.unique(folds):
        here = folds == fold
        if here.all():
            raise ValueError("one fold only: there are no others to learn its weights from")
        weights = fit(judge[~here], glance[~here], labels[~here], even(sources[~here]))
        out[here] = weights.logits(judge[here], glance[here])
    return out


def capped(part: Scored, most: int) -> NDArray[np.int64]:
    """Places of at most `most` rows of each source, always the same ones."""
    order = np.argsort(np.frombuffer(part.keys.tobytes(), dtype="S16"), kind="stable")
    taken: dict[str, int] = {}
    kept = []
    for at in order:
        source = str(part.sources[at])
        taken[source] = taken.get(source, 0) + 1
        if taken[source] <= most:
            kept.append(at)
    return np.sort(np.array(kept, dtype=np.int64))


def table(
    encoder: Sequence[Scored], glance: Sequence[Scored], floor: Sequence[Scored], most: int = MOST
) -> dict[str, Any]:
    """ROC-AUC by head and source left out, and the weights.

    Returns:
        ``{"heads": {head: {"pooled": row, "pooled, both": row, "sources": {source: row}, "won": n, "of": n}},
        "weights": {head: {"judge", "glance", "shift"}}, "most": most}``, where a row is ``{"rows", "positives",
        "floor", "glance", "encoder", "combined"}`` with None where one class is there. `won` counts the sources, of
        `of` with at least `FEWEST` rows of each class, on which the combination ranks better than the floor. `pooled`
        counts every row, among them sources of one class; `pooled, both` only sources that hold both, and is the
        stricter.
    """
    both, (glances, floors), folds = joined(encoder, glance, floor)
    kept = capped(both, most)
    sources, folds = both.sources[kept], folds[kept]
    heads: dict[str, Any] = {}
    weights: dict[str, Any] = {}
    for column, head in enumerate(both.heads):
        labels = both.labels[kept, column].astype(np.float64)
        logits = {
            "floor": floors[kept, column].astype(np.float64),
            "glance": glances[kept, column].astype(np.float64),
            "encoder": both.logits[kept, column].astype(np.float64),
        }
        there = ~np.isnan(labels) & ~np.isnan(logits["encoder"]) & ~np.isnan(logits["glance"])
        if len(np.unique(labels[there] >= 0.5)) < 2 or len(np.unique(folds[there])) < 2:
            continue
        wanted, names = labels[there], sources[there]
        logits = {name: values[there] for name, values in logits.items()}
        try:
            logits["combined"] = cross_fitted(
                logits["encoder"], logits["glance"], wanted, names, folds[there]
            )
        except ValueError:
            # The labels of this head lie in one fold: what is learned there cannot be tried elsewhere.
            logits["combined"] = logits["encoder"]
        weights[head] = {
            name: round(value, 4)
            for name, value in fit(logits["encoder"], logits["glance"], wanted, even(names))._asdict().items()
        }
        heads[head] = _measured(wanted, names, logits)
    return {"heads": heads, "weights": weights, "most": most}


def _measured(labels: Floats, sources: NDArray[Any], logits: dict[str, Floats]) -> dict[str, Any]:
    def row(of: NDArray[np.bool_]) -> dict[str, Any]:
        return {"rows": int(of.sum()), "positives": int((labels[of] >= 0.5).sum())} | {
            name: _rounded(metrics.roc_auc(labels[of], logits[name][of])) for name in MODELS
        }

    by_source = {str(name): row(sources == name) for name in sorted(set(sources))}
    both = np.isin(sources, [name for name, found in by_source.items() if found["combined"] is not None])
    counted = [
        found
        for found in by_source.values()
        if min(found["positives"], found["rows"] - found["positives"]) >= FEWEST
    ]
    return {
        "pooled": row(np.ones(len(labels), dtype=bool)),
        "pooled, both": row(both),
        "sources": by_source,
        "won": sum(found["combined"] > found["floor"] for found in counted),
        "of": len(counted),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def text(result: dict[str, Any]) -> str:
    """The table as it is printed; `-` where only one class is there."""

    def line(name: str, found: dict[str, Any]) -> str:
        figures = "".join("       -" if found[m] is None else f"{found[m]:8.3f}" for m in MODELS)
        return f"  {name:<44}{found['rows']:>7}{found['positives']:>7}{figures}"

    lines = []
    for head, found in result["heads"].items():
        lines.append(
            f"{head:<46}{'rows':>7}{'pos':>7}"
            + "".join(f"{'combined' if m == 'combined' else m:>8}" for m in MODELS)
        )
        lines.append(line("pooled", found["pooled"]))
        lines.append(line("pooled, sources with both classes", found["pooled, both"]))
        lines += [line(name, row) for name, row in found["sources"].items() if row["combined"] is not None]
        lines.append(f"  above the floor on {found['won']} of {found['of']} sources")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit code: 0, or 1 where scores are missing."""
    parser = argparse.ArgumentParser(
        prog="train.judges.combine", description=__doc__.split("\n", maxsplit=1)[0]
    )
    parser.add_argument("--scores", type=Path, required=True, help="folder of the archives of the folds")
    parser.add_argument("--out", type=Path, help="write table and weights there, as JSON")
    parser.add_argument(
        "--most", type=int, default=MOST, help="rows of a source that count (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    parts = {}
    for model in ("encoder", "glance", "floor"):
        paths = sorted(options.scores.glob(f"{model}_fold*.npz"))
        if not paths:
            print(f"{options.scores}: no {model}_fold*.npz: score the folds first", file=sys.stderr)
            return 1
        parts[model] = [read(path) for path in paths]
    result = table(parts["encoder"], parts["glance"], parts["floor"], options.most)
    print(text(result))
    print(json.dumps(result["weights"]))
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
