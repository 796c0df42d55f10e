"""Trains the judge `models/stonechat_models/judge`, and measures it on sources that training never saw.

    python -m train.judges.train --data ../shared/data --out models/stonechat_models/judge

Stages, each of which leaves its results in `--work` and is skipped where they are there already:

- `model`: one pass over `--rows` permissive rows, then logits of the held-back rows and of the barred ones;
- `folds`: five models of `--fold-rows` rows each, whole sources left out, beside the floor trained on the same rows;
- `export`: the int8 graph in `--out`, logits of the held-back rows with it and with the float graph;
- `card`: calibration, thresholds and the card in `--out`.

A stage that was stopped goes on from its last checkpoint. `model` and `folds` may run side by side, one thread each.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer

from . import evaluate, export, fitting, folds, graph
from . import rows as data
from .batches import LENGTH, Floats
from .calibrate import calibrated
from .combine import Weights
from .encoder import ATTENTION_HEADS, COSINE_SCALE, PAIRED, Encoder, base_folder
from .export import Session
from .floor import Floor, features, targets
from .held import calibrating, some
from .own import own_rows
from .rows import DEFAULT_DATA, HELD_BACK, Row, shippable
from .sampling import Sampler
from .scored import Scored
from .sources import BARS, HEADS

STAGES = ("model", "folds", "export", "card")
_FOLDS = 5
#: Rows of each source that are judged: of one left out, of one that is never trained on.
_LEFT_OUT, _BARRED = 500, 150
#: Rows of each source by which the int8 graph is compared with its float twin.
_COMPARED = 60
CARD = "card.toml"


def final_rows(permitted: Sequence[Row], own: Sequence[Row], size: int, seed: int) -> list[Row]:
    """What the shipped model is trained on.

    Raises:
        ValueError: a row is there that must not reach shipped weights.
    """
    drawn = Sampler([*permitted, *own], size=size, seed=seed).epoch(0)
    shippable(drawn)
    return drawn


class Training:
    """The stages that need torch, over one set of options."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.base: Path = options.base or base_folder()
        self.work: Path = options.work
        self.own = own_rows(seed=options.own_seed)
        self.tokenizer: Tokenizer = fitting.tokenizer_of(self.base)

    def log(self, text: str) -> None:
        print(time.strftime("%H:%M:%S"), text, flush=True)

    def permitted(self) -> list[Row]:
        return data.load(self.options.data).rows

    def model(self) -> None:
        rows = self.permitted()
        drawn = final_rows(rows, self.own, self.options.rows, self.options.seed)
        tally: dict[str, list[object]] = {}
        for row in drawn:
            tally.setdefault(row.source, [row.licence, 0])[1] += 1  # type: ignore[operator]
        (self.work / "drawn.json").write_text(json.dumps(tally, indent=1, sort_keys=True) + "\n")
        self.log(f"model: {len(drawn)} rows of {len(tally)} sources")
        started = time.monotonic()
        model = self._fit(drawn, self.work / "model.pt")
        minutes = round((time.monotonic() - started) / 60, 1)
        facts = {"seed": self.options.seed, "own_seed": self.options.own_seed, "rate": self.options.rate}
        (self.work / "run.json").write_text(
            json.dumps({**facts, "minutes": minutes, "threads": self.options.threads}) + "\n"
        )
        self.log(f"model: trained in {minutes} minutes")
        forward = fitting.torch_forward(model)
        held = calibrating(rows, self.own)
        floor = Floor(seed=self.options.seed).fit(features(drawn), targets(drawn))
        self._score(held, forward, floor).save(self.work / "held.npz")
        barred = data.load(self.options.data, include=frozenset(BARS)).rows
        barred = some([row for row in barred if row.barred or row.split == "eval_only"], _BARRED)
        self._score(barred, forward, floor).save(self.work / "barred.npz")
        self.log("model: held-back rows judged")

    def folds(self) -> None:
        rows = self.permitted()
        for fold in folds.leave_sources_out(rows, _FOLDS):
            done = self.work / f"fold{fold.number}.npz"
            if done.is_file() or (self.options.fold is not None and fold.number not in self.options.fold):
                continue
            train, left_out = folds.parted(rows, fold)
            drawn = Sampler([*train, *self.own], size=self.options.fold_rows, seed=self.options.seed).epoch(0)
            self.log(f"fold {fold.number}: {len(drawn)} rows, without {', '.join(sorted(fold.sources))}")
            model = self._fit(drawn, self.work / f"fold{fold.number}.pt")
            floor = Floor(seed=self.options.seed).fit(features(drawn), targets(drawn))
            self.log(f"fold {fold.number}: floor trained")
            # Held-out rows of our own too: which heads' weights in a mean hold on sources never seen is learnt on both.
            judged = some(left_out, _LEFT_OUT) + some([row for row in self.own if row.split == "test"], 150)
            self._score(judged, fitting.torch_forward(model), floor).save(done)
            self.log(f"fold {fold.number}: {len(judged)} rows judged")

    def _fit(self, rows: Sequence[Row], checkpoint: Path) -> Encoder:
        return fitting.fit(
            rows,
            base=self.base,
            checkpoint=checkpoint,
            seed=self.options.seed,
            rate=self.options.rate,
            log=self.log,
        )

    def _score(self, rows: Sequence[Row], forward: fitting.Forward, floor: Floor) -> Scored:
        encoder: Floats = fitting.judge(forward, self.tokenizer, rows)
        return Scored.of(rows, encoder, floor.logits(features(rows)))


class Export:
    """The stages that come after training: they need onnxruntime, and torch only to read the checkpoint."""

    def __init__(self, training: Training) -> None:
        self.training = training
        self.options = training.options
        self.work = training.work
        text = (training.base / "vocab.txt").read_text(encoding="utf-8")
        self.vocabulary = text.removesuffix("\n").split("\n")
        self.numbers = export.renumbered(self.vocabulary)

    def export(self) -> None:
        out: Path = self.options.out
        state = torch.load(self.work / "model.pt", weights_only=True)["model"]
        weights = {name: tensor.numpy() for name, tensor in state.items()}
        shape: dict[str, Any] = {
            "attention_heads": ATTENTION_HEADS,
            "paired": [HEADS.index(head) for head in PAIRED],
            "cosine_scale": COSINE_SCALE,
            "positions": LENGTH,
        }
        export.write_graph(weights, self.vocabulary, shape, out)
        held = calibrating(self.training.permitted(), self.training.own)
        session = Session(out / "model.onnx")
        self.training.log(f"export: {len(held)} held-back rows")
        int8 = fitting.judge(self._renumbered(session), self.training.tokenizer, held)
        scored = Scored.of(held, int8, np.zeros_like(int8))
        scored.save(self.work / "int8.npz")
        few = some(held, _COMPARED)
        whole = graph.build(weights, **shape, quantized=False)
        exact = fitting.judge(Session(whole.SerializeToString()).forward, self.training.tokenizer, few)
        Scored.of(few, exact, np.zeros_like(exact)).save(self.work / "float.npz")

    def _renumbered(self, session: Session) -> fitting.Forward:
        return lambda batch: session.forward(replace(batch, ids=self.numbers[batch.ids]))

    def card(self) -> None:
        """Write the card anew from the logits that are there."""
        out: Path = self.options.out
        scored = Scored.load(self.work / "int8.npz")
        glance, weights = self._glance(scored), self._weights()
        if glance is not None and weights is not None:
            weights = evaluate.worth_it(scored, glance, weights)
        drawn = json.loads((self.work / "drawn.json").read_text())
        run = json.loads((self.work / "run.json").read_text())
        found = evaluate.crossed(scored, glance, weights)
        heads = evaluate.held_back(found)
        text = export.card(
            out,
            version=self.options.version,
            calibrations=calibrated(scored, glance, weights),
            training={
                **run,
                "rows": sum(rows for _, rows in drawn.values()),
                "calibrated_on": len(scored.names),
                "machine": self.options.machine,
                "torch": torch.__version__,
            },
            figures={f"held_back.{head}": line for head, line in heads.items()}
            | {f"contrast.{kind}": line for kind, line in evaluate.contrast(found).items()}
            | {f"int8.{head}": line for head, line in self._agreement(scored).items()},
            sources={name: (licence, rows) for name, (licence, rows) in drawn.items()},
        )
        (out / CARD).write_text(text, encoding="utf-8")

    def _agreement(self, scored: Scored) -> dict[str, dict[str, Any]]:
        return evaluate.agreement(Scored.load(self.work / "float.npz"), scored)

    def _weights(self) -> dict[str, Weights] | None:
        """Weights of the mean with tier 1, as `train.judges.combine` wrote them."""
        if self.options.weights is None:
            return None
        return {
            head: Weights(**found)
            for head, found in json.loads(self.options.weights.read_text())["weights"].items()
        }

    def _glance(self, scored: Scored) -> Floats | None:
        """Tier 1's logits of the rows, as the agent takes them."""
        if self.options.glance is None:
            return None
        from stonechat_agent.scoring.judging import card, glance

        every = (*self.training.permitted(), *self.training.own)
        of_key = {data.key(row.prompt, row.response).hex(): row for row in every if row.split in HELD_BACK}
        held = [of_key[str(key)] for key in scored.keys]
        tier1 = glance.Glance(card.load(self.options.glance), 1)
        logits = tier1.run([(row.prompt, row.response) for row in held]).logits
        columns = {label.name: label.column for label in tier1.card.labels}
        return logits[:, [columns[head] for head in HEADS]]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="train.judges.train", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, default=DEFAULT_DATA, help="folder of the data (default: %(default)s)"
    )
    parser.add_argument("--out", type=Path, help="the model's folder (stage export)")
    parser.add_argument("--work", type=Path, default=Path("build/judges"), help="checkpoints and logits")
    parser.add_argument(
        "--base", type=Path, help="folder of the base model (default: the installed package's)"
    )
    parser.add_argument("--stage", nargs="*", choices=STAGES, default=STAGES)
    parser.add_argument(
        "--rows", type=int, default=70_000, help="rows of the shipped model (default: %(default)s)"
    )
    parser.add_argument(
        "--fold-rows", type=int, default=16_000, help="rows of each fold (default: %(default)s)"
    )
    parser.add_argument("--fold", type=int, nargs="*", help="only these folds")
    parser.add_argument(
        "--rate", type=float, default=1.5e-4, help="learning rate of the layers (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--own-seed", type=int, default=9, help="seed of the written examples")
    parser.add_argument("--threads", type=int, default=1, help="of torch (default: %(default)s)")
    parser.add_argument("--glance", type=Path, help="folder of tier 1, whose logits have a say (stage card)")
    parser.add_argument("--weights", type=Path, help="what train.judges.combine wrote (stage card)")
    parser.add_argument("--version", default="1", help="of the model, for its card")
    parser.add_argument("--machine", default=platform.machine(), help="what it was trained on, for its card")
    options = parser.parse_args(arguments)
    if {"export", "card"} & set(options.stage) and options.out is None:
        parser.error("stages export and card need --out")
    torch.set_num_threads(options.threads)
    options.work.mkdir(parents=True, exist_ok=True)
    try:
        training = Training(options)
        if "model" in options.stage:
            training.model()
        if "folds" in options.stage:
            training.folds()
        after = Export(training)
        if "export" in options.stage:
            after.export()
        if "card" in options.stage:
            after.card()
    except (data.DataMissingError, FileNotFoundError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
