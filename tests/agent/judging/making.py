"""Models for tests: whole folders with real, tiny ONNX graphs whose weights a test chooses.

A graph of tokens adds up, for each label, the weights of the answer's words, and a bias; a glance does the same for
hashed words.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from stonechat.kinds import toml_key, toml_text
from stonechat_agent.scoring.judging import hashing

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
WORDS = (
    "the",
    "answer",
    "is",
    "fine",
    "bad",
    "worse",
    "good",
    "what",
    "why",
    "?",
    ".",
    "##ly",
    "say",
    "no",
    "yes",
)
VOCABULARY = (*SPECIAL, *WORDS)
TOXIC = {"toxic": {"bad": 6.0, "worse": 9.0}}
SPEC = hashing.Spec(word_bits=10, piece_bits=4, characters=256, prompt_characters=64)

Weights = Mapping[str, Mapping[str, float]]
"""By label, the weight of each word."""


def judge(
    folder: Path,
    weights: Weights = TOXIC,
    *,
    bias: float = -3.0,
    labels: Mapping[str, Mapping[str, Any]] | None = None,
    card: Mapping[str, Any] | None = None,
    **parts: Any,
) -> Path:
    """Make the folder of a judge, or of a classifier with ``card={"kind": "classifier"}``."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = parts.pop("vocabulary", VOCABULARY)
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    spec = {"tokenizer": "wordpiece", "max_length": 16, "prompt_length": 4, "ids": "input_ids"}
    spec |= {"mask": "attention_mask", "types": "token_type_ids"} | parts.pop("input", {})
    spec = {key: value for key, value in spec.items() if value is not None}
    onnx.save(graph(vocabulary, weights, bias, spec), folder / "model.onnx")
    document = {
        "name": "test-judge",
        "version": "1",
        "kind": "judge",
        "languages": ["en"],
        "input": spec,
        "output": {"logits": "logits"} | parts.pop("output", {}),
        "labels": {
            name: {"column": column, "threshold": 0.5} | dict((labels or {}).get(name, {}))
            for column, name in enumerate(weights)
        },
        **(card or {}),
    }
    return sealed(folder, document)


def glance(
    folder: Path,
    weights: Weights = TOXIC,
    *,
    bias: float = -3.0,
    labels: Mapping[str, Mapping[str, Any]] | None = None,
    card: Mapping[str, Any] | None = None,
) -> Path:
    """Make the folder of a glance."""
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(hashed_graph(weights, bias), folder / "model.onnx")
    document = {
        "name": "test-glance",
        "version": "2",
        "kind": "glance",
        "languages": ["en"],
        "input": {"tokenizer": "hashed", "scheme": hashing.SCHEME, **SPEC._asdict()},
        "output": {"logits": "logits", "embedding": "embedding"},
        "labels": {
            name: {"column": column, "threshold": 0.5} | dict((labels or {}).get(name, {}))
            for column, name in enumerate(weights)
        },
        **(card or {}),
    }
    return sealed(folder, document)


def sealed(folder: Path, document: Mapping[str, Any]) -> Path:
    """Write a card with the checksums of the folder's files."""
    files = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
        if path.name != "card.toml"
    }
    (folder / "card.toml").write_text(toml({**document, "files": files}), encoding="utf-8")
    return folder


def toml(document: Mapping[str, Any]) -> str:
    """Write tables, and tables of tables, as TOML."""
    lines: list[str] = []

    def write(table: Mapping[str, Any], path: str) -> None:
        if path:
            lines.append(f"[{path}]")
        inner = {key: value for key, value in table.items() if isinstance(value, Mapping)}
        lines.extend(
            f"{toml_key(key)} = {toml_text(value)}" for key, value in table.items() if key not in inner
        )
        for key, value in inner.items():
            write(value, f"{path}.{toml_key(key)}" if path else toml_key(key))

    write(document, "")
    return "\n".join(lines) + "\n"


def graph(
    vocabulary: Sequence[str], weights: Weights, bias: float, spec: Mapping[str, Any]
) -> onnx.ModelProto:
    """Logits of the answer's words: those of type 1 that are not padding, or all words where there are no types."""
    table = np.zeros((len(vocabulary), len(weights)), np.float32)
    for column, words in enumerate(weights.values()):
        for word, weight in words.items():
            table[vocabulary.index(word), column] = weight
    inputs = [spec[key] for key in ("ids", "mask", "types") if key in spec]
    nodes = [helper.make_node("Gather", ["table", spec["ids"]], ["each"])]
    seen = "each"
    for key in ("mask", "types"):
        if key in spec:
            nodes += [
                helper.make_node("Cast", [spec[key]], [f"{key}_float"], to=TensorProto.FLOAT),
                helper.make_node("Unsqueeze", [f"{key}_float", "last"], [f"{key}_wide"]),
                helper.make_node("Mul", [seen, f"{key}_wide"], [f"{key}_seen"]),
            ]
            seen = f"{key}_seen"
    nodes += [
        helper.make_node("ReduceSum", [seen, "along"], ["sum"], keepdims=0),
        helper.make_node("Add", ["sum", "bias"], ["logits"]),
    ]
    return _model(
        nodes,
        [helper.make_tensor_value_info(name, TensorProto.INT64, ["rows", "length"]) for name in inputs],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["rows", len(weights)])],
        {
            "table": table,
            "bias": np.full(len(weights), bias, np.float32),
            "last": np.array([2], np.int64),
            "along": np.array([1], np.int64),
        },
    )


def hashed_graph(weights: Weights, bias: float) -> onnx.ModelProto:
    """The same of hashed words; the embedding is how often each of eight groups of buckets comes."""
    buckets = 1 + (1 << SPEC.word_bits)
    table = np.zeros((buckets, len(weights) + 8), np.float32)
    for column, words in enumerate(weights.values()):
        for word, weight in words.items():
            table[hashing.feed([("", f"x {word} x")], SPEC)["answer_words"][0][1], column] = weight
    table[np.arange(1, buckets), len(weights) + np.arange(1, buckets) % 8] = 1
    fed = hashing.feed([("", "a")], SPEC)
    kinds = {"int32": TensorProto.INT32, "float32": TensorProto.FLOAT}
    columns = len(weights)
    nodes = [
        helper.make_node("Gather", ["table", "answer_words"], ["each"]),
        helper.make_node("ReduceSum", ["each", "along"], ["sum"], keepdims=0),
        helper.make_node("Slice", ["sum", "zero", "columns", "along"], ["own"]),
        helper.make_node("Add", ["own", "bias"], ["logits"]),
        helper.make_node("Slice", ["sum", "columns", "all", "along"], ["groups"]),
        helper.make_node("Identity", ["groups"], ["embedding"]),
    ]
    return _model(
        nodes,
        [
            helper.make_tensor_value_info(name, kinds[str(tensor.dtype)], ["rows", f"{name}_length"])
            for name, tensor in fed.items()
        ],
        [
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["rows", columns]),
            helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["rows", 8]),
        ],
        {
            "table": table,
            "bias": np.full(columns, bias, np.float32),
            "along": np.array([1], np.int64),
            "zero": np.array([0], np.int64),
            "columns": np.array([columns], np.int64),
            "all": np.array([columns + 8], np.int64),
        },
    )


def _model(
    nodes: list[Any], inputs: list[Any], outputs: list[Any], constants: Mapping[str, np.ndarray[Any, Any]]
) -> onnx.ModelProto:
    held = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    made = helper.make_graph(nodes, "test", inputs, outputs, held)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
