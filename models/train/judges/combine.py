"""How much each tier's word counts: weights of the combined verdict, and the table of sources left out.

The encoder (tier 2) and the n-gram model (tier 1) err differently, so tier 2's verdict is
``sigmoid(judge * encoder's logit + glance * tier 1's logit + shift)``. The three numbers of a head are learned by
logistic regression on rows whose source neither model had seen, every source counting the same; the two weights are
never negative, so that a higher logit never lowers a verdict. What is published of the combination is cross-fitted: the
rows of a fold are combined in the proportion that the other folds taught. A head keeps the combination where that ranks
rows of sources left out better than the encoder alone does; where it does not, the encoder stands alone.

    python -m train.judges.combine --work build/judges --out models/train/judges/folds.json

`--work` holds `fold*.npz` of `train.judges.train` (encoder and floor) and `glance_fold*.npz` of `train.glance`. Seconds
on one core; the folds themselves take hours. The project's own examples are scored in every fold: their held-out
templates count in learning the weights, and in the table they are no source left out.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import metrics
from .own import PREFIX
from .rows import Row, key
from .scored import Scored
from .sources import HEADS

Floats = NDArray[np.float64]

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

    They are means of the two logits: only the proportion of the weights is learned per fold. With sizes and shifts of
    their own, rows of different folds could not be ranked against each other.

    Raises:
        ValueError: rows of one fold only, or of one class.
    """
    out = np.zeros(len(labels))
    for fold in np.unique(folds):
        here = folds == fold
        if here.all():
            raise ValueError("one fold only: there are no others to learn its weights from")
        weights = fit(judge[~here], glance[~here], labels[~here], even(sources[~here]))
        share = weights.glance / (weights.judge + weights.glance) if weights.glance else 0.0
        out[here] = (1 - share) * judge[here] + share * glance[here]
    return out


def save_glance(path: Path, rows: Sequence[Row], logits: ArrayLike) -> None:
    """Write tier 1's logits of rows, shape (rows, heads), so that `fold_scores` finds them by prompt and response.

    Raises:
        ValueError: the shape does not fit.
    """
    values = np.asarray(logits, dtype=np.float32)
    if values.shape != (len(rows), len(HEADS)):
        raise ValueError(f"logits {values.shape}: expected ({len(rows)}, {len(HEADS)})")
    np.savez_compressed(
        path, keys=np.array([key(row.prompt, row.response).hex() for row in rows]), logits=values
    )


class FoldScores(NamedTuple):
    """Rows of all folds, each judged by models that never saw its source; arrays of (rows,) and (rows, heads)."""

    sources: NDArray[np.str_]
    folds: NDArray[np.int64]
    labels: Floats
    floor: Floats
    glance: Floats
    """NaN where tier 1 did not judge the row."""
    encoder: Floats

    def take(self, chosen: NDArray[np.bool_]) -> FoldScores:
        return FoldScores(
            self.sources[chosen],
            self.folds[chosen],
            self.labels[chosen],
            self.floor[chosen],
            self.glance[chosen],
            self.encoder[chosen],
        )


def fold_scores(work: Path) -> FoldScores:
    """Read what the folds left in `work`.

    Raises:
        FileNotFoundError: there is no fold.
    """
    paths = sorted(work.glob("fold*.npz"))
    if not paths:
        raise FileNotFoundError(f"{work}: no fold*.npz: run train.judges.train --stage folds first")
    parts = []
    for path in paths:
        scored = Scored.load(path)
        number = int(path.stem.removeprefix("fold"))
        parts.append(
            FoldScores(
                scored.names,
                np.full(len(scored.names), number, dtype=np.int64),
                scored.labels.astype(np.float64),
                scored.floor.astype(np.float64),
                _of_glance(work / f"glance_{path.name}", scored),
                scored.encoder.astype(np.float64),
            )
        )
    return FoldScores(*(np.concatenate(values) for values in zip(*parts, strict=True)))


def _of_glance(path: Path, scored: Scored) -> Floats:
    found = np.full(scored.encoder.shape, np.nan)
    if path.is_file():
        with np.load(path, allow_pickle=False) as held:
            place = {str(name): at for at, name in enumerate(held["keys"])}
            logits = held["logits"]
        for at, name in enumerate(scored.keys):
            if str(name) in place:
                found[at] = logits[place[str(name)]]
    return found


def weights(scores: FoldScores, left_out: dict[str, Any]) -> dict[str, Weights]:
    """The weights of each head that keeps the combination in `left_out`, which `table` gave."""
    found = {}
    for column, head in enumerate(HEADS):
        if head in left_out and left_out[head]["pooled"]["combined"] is not None:
            part = scores.take(_known(scores, column) & ~np.isnan(scores.glance[:, column]))
            found[head] = fit(
                part.encoder[:, column], part.glance[:, column], part.labels[:, column], even(part.sources)
            )
    return found


def _known(scores: FoldScores, column: int) -> NDArray[np.bool_]:
    return np.asarray(~np.isnan(scores.labels[:, column]))


def table(scores: FoldScores) -> dict[str, Any]:
    """ROC-AUC by head and source left out.

    Returns:
        ``{head: {"pooled": row, "pooled, both": row, "sources": {source: row}, "won": n, "of": n, "own": row}}``, a row
        being ``{"rows", "positives", "floor", "glance", "encoder", "combined"}`` with None where one class is there, a
        model did not judge, or (`combined`) the encoder stands alone. `won` counts the sources, of `of` with at least
        `FEWEST` rows of each class, on which the combination (the encoder, where there is none) ranks better than the
        floor. `pooled` counts every row, among them sources of one class; `pooled, both` only sources that hold both,
        and is the stricter. `own` is of the own examples' held-out templates, whose kinds were in training.
    """
    found = {}
    own = np.char.startswith(scores.sources.astype(np.str_), PREFIX)
    # Every model on the same rows; tier 1's folds may leave out the own examples, which are no source left out.
    both = ~np.any(np.isnan(scores.glance), axis=1)
    usable = both | own if np.any(both) else np.ones(len(own), dtype=bool)
    for column, head in enumerate(HEADS):
        chosen = _known(scores, column) & usable
        part, mine = scores.take(chosen), own[chosen]
        labels = part.labels[:, column]
        logits = {
            "floor": part.floor[:, column],
            "glance": part.glance[:, column],
            "encoder": part.encoder[:, column],
            "combined": _combined(part, column),
        }
        if len(np.unique(labels[~mine] >= 0.5)) == 2:
            found[head] = _measured(
                labels[~mine], part.sources[~mine], {name: values[~mine] for name, values in logits.items()}
            )
            found[head]["own"] = _row(labels[mine], {name: values[mine] for name, values in logits.items()})
            if not _worth_it(found[head]):
                _alone(found[head])
    return found


def _worth_it(found: dict[str, Any]) -> bool:
    """Whether the combination ranks better than the encoder, on sources of both classes where there are any."""
    row = found["pooled, both"] if found["pooled, both"]["encoder"] is not None else found["pooled"]
    return row["combined"] is not None and row["combined"] > row["encoder"]


def _alone(found: dict[str, Any]) -> None:
    """Leave the combination out of a head's rows: the encoder stands alone."""
    for row in (found["pooled"], found["pooled, both"], found["own"], *found["sources"].values()):
        row["combined"] = None
    counted = [row for row in found["sources"].values() if _counts(row)]
    found["won"] = sum(best(row) > row["floor"] for row in counted)


def _counts(row: dict[str, Any]) -> bool:
    """Whether a source can be won or lost."""
    return bool(min(row["positives"], row["rows"] - row["positives"]) >= FEWEST)


def shipped(scores: FoldScores) -> tuple[dict[str, Any], dict[str, Weights]]:
    """The table of what ships, and the weights of the heads whose verdict is combined there.

    For the other heads the encoder stands alone, over all rows, whether tier 1 judged them or not.
    """
    tried = table(scores)
    alone = table(scores._replace(glance=np.full_like(scores.glance, np.nan)))
    learned = {head: found for head, found in weights(scores, tried).items() if found.glance > 0}
    left_out = {}
    for head, part in alone.items():
        left_out[head] = tried[head]
        if head not in learned:
            _alone(tried[head])
            if tried[head]["pooled"]["rows"] < part["pooled"]["rows"]:
                left_out[head] = part
    return left_out, learned


def _combined(part: FoldScores, column: int) -> Floats:
    """The combination's logits, NaN where tier 1 did not judge or its weights cannot be learned on other folds."""
    found = np.full(len(part.labels), np.nan)
    there = ~np.isnan(part.glance[:, column])
    seen = part.take(there)
    # The labels of a head may lie in one fold: what is learned there cannot be tried elsewhere.
    with contextlib.suppress(ValueError):
        found[there] = cross_fitted(
            seen.encoder[:, column], seen.glance[:, column], seen.labels[:, column], seen.sources, seen.folds
        )
    return found


def _row(labels: Floats, logits: dict[str, Floats]) -> dict[str, Any]:
    def auc(values: Floats) -> float | None:
        return None if np.isnan(values).any() else _rounded(metrics.roc_auc(labels, values))

    return {"rows": len(labels), "positives": int((labels >= 0.5).sum())} | {
        name: auc(logits[name]) for name in MODELS
    }


def _measured(labels: Floats, sources: NDArray[Any], logits: dict[str, Floats]) -> dict[str, Any]:
    def row(of: NDArray[np.bool_]) -> dict[str, Any]:
        return _row(labels[of], {name: values[of] for name, values in logits.items()})

    by_source = {str(name): row(sources == name) for name in sorted(set(sources))}
    both = np.isin(sources, [name for name, found in by_source.items() if found["floor"] is not None])
    counted = [found for found in by_source.values() if _counts(found)]
    return {
        "pooled": row(np.ones(len(labels), dtype=bool)),
        "pooled, both": row(both),
        "sources": by_source,
        "won": sum(best(found) > found["floor"] for found in counted),
        "of": len(counted),
    }


def best(row: dict[str, Any]) -> float:
    """The ROC-AUC of what would be shipped: of the combination, or of the encoder where there is none."""
    value = row["encoder"] if row["combined"] is None else row["combined"]
    return float(value)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def text(found: dict[str, Any]) -> str:
    """A `table` as it is printed; `-` where only one class is there."""

    def line(name: str, row: dict[str, Any]) -> str:
        figures = "".join("        -" if row[m] is None else f"{row[m]:9.3f}" for m in MODELS)
        return f"  {name:<42}{row['rows']:>7}{row['positives']:>7}{figures}"

    lines = []
    for head, part in found.items():
        lines.append(f"{head:<44}{'rows':>7}{'pos':>7}" + "".join(f"{name:>9}" for name in MODELS))
        lines.append(line("pooled", part["pooled"]))
        lines.append(line("pooled, sources with both classes", part["pooled, both"]))
        lines += [line(name, row) for name, row in part["sources"].items() if row["floor"] is not None]
        lines.append(line("own examples, held-out templates", part["own"]))
        lines.append(f"  above the floor on {part['won']} of {part['of']} sources")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit code: 0, or 1 where no fold is."""
    parser = argparse.ArgumentParser(
        prog="train.judges.combine", description=__doc__.split("\n", maxsplit=1)[0]
    )
    parser.add_argument("--work", type=Path, default=Path("build/judges"), help="folder of the folds' logits")
    parser.add_argument("--out", type=Path, help="write table and weights there, as JSON")
    options = parser.parse_args(arguments)
    try:
        scores = fold_scores(options.work)
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 1
    if np.isnan(scores.glance).all():
        print(f"{options.work}: no glance_fold*.npz: the encoder stands alone", file=sys.stderr)
    left_out, chosen = shipped(scores)
    learned = {
        head: {name: round(value, 4) for name, value in found._asdict().items()}
        for head, found in chosen.items()
    }
    print(text(left_out))
    print(json.dumps(learned))
    if options.out:
        folds = {
            str(fold): sorted(
                {str(n) for n in scores.sources[scores.folds == fold] if not n.startswith(PREFIX)}
            )
            for fold in np.unique(scores.folds)
        }
        result = {"folds": folds, "weights": learned, "heads": left_out}
        options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
