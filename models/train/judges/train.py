"""Trains the judge `models/stonechat_models/judge`, and measures it on sources that training never saw.

    python -m train.judges.train --data ../shared/data --out models/stonechat_models/judge

Stages, each of which leaves its results in `--work` and is skipped where they are there already:

- `model`: one pass over `--rows` permissive rows, then logits of the held-back rows and of the barred ones;
- `folds`: five models of `--fold-rows` rows each, whole sources left out, beside the floor trained on the same rows;
- `export`: calibration, thresholds, the int8 graph and the card, in `--out`;
- `tables`: the figures, on standard output and as `results.json`.

A stage that was stopped goes on from its last checkpoint. `model` and `folds` may run side by side, one thread each.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import zlib
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer

from . import fitting, folds, rows as data
from .batches import Floats
from .encoder import base_folder
from .floor import Floor, features, targets
from .own import own_rows
from .rows import DEFAULT_DATA, HELD_BACK, Row, shippable
from .sampling import Sampler
from .scored import Scored
from .sources import BARS

STAGES = ("model", "folds", "export", "tables")
_FOLDS = 5
#: Rows of each source that are judged: of one left out, of a seen one held back, of one that is never trained on.
_LEFT_OUT, _HELD_BACK, _BARRED = 800, 600, 400


def some(rows: Sequence[Row], most: int) -> list[Row]:
    """At most `most` rows of each source, chosen by a hash of the text, whatever else is there."""
    of_source: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        of_source[row.source].append(row)
    out = []
    for name in sorted(of_source):
        chosen = sorted(of_source[name], key=lambda row: zlib.crc32(data.key(row.prompt, row.response)))
        out += chosen[:most]
    return out


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
        self.log(f"model: trained in {(time.monotonic() - started) / 60:.0f} minutes")
        forward = fitting.torch_forward(model)
        held = [row for row in rows if row.split in HELD_BACK]
        held = some(held, _HELD_BACK) + [row for row in self.own if row.split in HELD_BACK]
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
            judged = some(left_out, _LEFT_OUT) + some([row for row in self.own if row.split == "test"], 200)
            self._score(judged, fitting.torch_forward(model), floor).save(done)
            self.log(f"fold {fold.number}: {len(judged)} rows judged")

    def _fit(self, rows: Sequence[Row], checkpoint: Path) -> fitting.Encoder:
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


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="train.judges.train", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="folder of the data (default: %(default)s)")
    parser.add_argument("--out", type=Path, help="the model's folder (stage export)")
    parser.add_argument("--work", type=Path, default=Path("build/judges"), help="checkpoints and logits")
    parser.add_argument("--base", type=Path, help="folder of the base model (default: the installed package's)")
    parser.add_argument("--stage", nargs="*", choices=STAGES, default=STAGES)
    parser.add_argument("--rows", type=int, default=100_000, help="rows of the shipped model (default: %(default)s)")
    parser.add_argument("--fold-rows", type=int, default=22_000, help="rows of each fold (default: %(default)s)")
    parser.add_argument("--fold", type=int, nargs="*", help="only these folds")
    parser.add_argument("--rate", type=float, default=1.5e-4, help="learning rate of the layers (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--own-seed", type=int, default=9, help="seed of the written examples")
    parser.add_argument("--threads", type=int, default=1, help="of torch (default: %(default)s)")
    options = parser.parse_args(arguments)
    if "export" in options.stage and options.out is None:
        parser.error("stage export needs --out")
    torch.set_num_threads(options.threads)
    options.work.mkdir(parents=True, exist_ok=True)
    try:
        training = Training(options)
        if "model" in options.stage:
            training.model()
        if "folds" in options.stage:
            training.folds()
    except (data.DataMissingError, FileNotFoundError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
