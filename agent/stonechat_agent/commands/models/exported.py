"""A card for a folder that has none: out of what a sequence classifier is exported with.

That is the graph (`*.onnx`, beside the others or in `onnx/`), `config.json` with `id2label`, and `tokenizer.json` or
`vocab.txt`; `tokenizer_config.json` where there is one.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from stonechat.errors import StonechatError
from stonechat.kinds import toml_key, toml_text
from stonechat_agent.commands.terminal import harmless
from stonechat_agent.scoring.judging.card import HUGGING_FACE, MOST_LABELS, TOKENIZER_FILES, WORDPIECE, load
from stonechat_agent.scoring.judging.encoder import Encoder
from stonechat_agent.scoring.judging.sessions import Graph, GraphError
from stonechat_agent.scoring.judging.tokens import TokenizerError
from stonechat_models import CARD

_LONGEST = 512
_GRAPHS = ("model_quantized.onnx", "model.onnx")
"""Of several graphs in a folder, the one that is taken: quantized first."""
_INPUTS = {"ids": "input_ids", "mask": "attention_mask", "types": "token_type_ids"}
_BERT = ("BertTokenizer", "BertTokenizerFast", "DistilBertTokenizer", "DistilBertTokenizerFast")


class Exported(NamedTuple):
    """What was taken of a folder."""

    graph: str
    tokenizer: str
    activation: str
    max_length: int


def stage(folder: Path, staged: Path) -> Exported:
    """Copy the files that belong to the model, and write a card beside them.

    Raises:
        StonechatError: something is missing, or cannot be understood.
        OSError: a file cannot be read or written.
    """
    config = _read_json(folder / "config.json", needed=f"it names the labels; or write a {CARD}")
    graph = _graph(folder)
    for path in (graph, *_beside(graph)):
        shutil.copyfile(path, staged / path.name)
    options = (
        _read_json(folder / "tokenizer_config.json") if (folder / "tokenizer_config.json").exists() else {}
    )
    tokenizer = _tokenizer(folder, options)
    shutil.copyfile(folder / TOKENIZER_FILES[tokenizer], staged / TOKENIZER_FILES[tokenizer])
    labels = _labels(config)
    several = config.get("problem_type") == "multi_label_classification" or len(labels) == 1
    activation = "sigmoid" if several else "softmax"
    inputs, logits = _ends(staged / graph.name)
    files = {path.name: _digest(path) for path in sorted(staged.iterdir())}

    def write(max_length: int) -> Exported:
        document = {
            "name": _slug(folder),
            "version": "1",
            "kind": "classifier",
            "description": f"Added from a folder; {config.get('model_type', 'a model')} by its config.json.",
            "languages": [],
            "files": files,
            "input": {"tokenizer": tokenizer, "max_length": max_length, "prompt_length": 0, **inputs},
            "output": {"logits": logits, "activation": activation},
            "labels": {name: {"column": column} for column, name in enumerate(labels)},
        }
        (staged / CARD).write_text(_toml(document), encoding="utf-8")
        return Exported(graph.name, tokenizer, activation, max_length)

    longest = _longest(config, options)
    exported = write(longest)
    # RoBERTa and its kin lose two of their places to padding.
    return exported if _has_places(staged) else write(longest - 2)


def _has_places(staged: Path) -> bool:
    """Whether the graph takes a row as long as the card says. Any other fault is left for later."""
    try:
        model = Encoder(load(staged), 1)
    except (GraphError, TokenizerError):
        return True
    try:
        model.longest()
    except GraphError:
        return False
    return True


def _read_json(path: Path, needed: str = "") -> Mapping[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StonechatError(f"{path}: not there; {needed}") from None
    except (ValueError, RecursionError) as error:
        raise StonechatError(f"{path}: not JSON: {error}") from error
    if not isinstance(found, dict):
        raise StonechatError(f"{path}: must be an object")
    return found


def _graph(folder: Path) -> Path:
    graphs = {path.name: path for path in sorted([*folder.glob("onnx/*.onnx"), *folder.glob("*.onnx")])}
    chosen = next((graphs[name] for name in _GRAPHS if name in graphs), None)
    if chosen is None and len(graphs) == 1:
        (chosen,) = graphs.values()
    if chosen is None:
        found = f"has {', '.join(graphs)}" if graphs else "has no *.onnx"
        raise StonechatError(
            f"{folder}: {found}; expected one, or {' or '.join(_GRAPHS)}\n"
            "  hint: optimum-cli export onnx --task text-classification --model NAME FOLDER"
        )
    return chosen


def _beside(graph: Path) -> list[Path]:
    """The files with a graph's weights, where they are not within it: every exporter names them after it."""
    return sorted(
        path
        for path in graph.parent.iterdir()
        if path.is_file()
        and path != graph
        and (path.name.startswith(graph.name) or path.name == f"{graph.stem}.data")
    )


def _tokenizer(folder: Path, options: Mapping[str, Any]) -> str:
    """Our own where it gives the same tokens; otherwise the one that needs the extra."""
    plain = (
        options.get("tokenizer_class", "BertTokenizer") in _BERT
        and options.get("do_lower_case", False) is True
        and options.get("strip_accents") in (None, True)
        and options.get("tokenize_chinese_chars", True) is True
    )
    if plain and (folder / "vocab.txt").exists():
        return WORDPIECE
    if (folder / "tokenizer.json").exists():
        return HUGGING_FACE
    raise StonechatError(
        f"{folder}: has no tokenizer.json, and no vocab.txt of an uncased BERT (do_lower_case in tokenizer_config.json)"
    )


def _labels(config: Mapping[str, Any]) -> list[str]:
    named = config.get("id2label")
    if not isinstance(named, dict) or not 0 < len(named) <= MOST_LABELS:
        raise StonechatError(f"config.json: id2label: must name 1 to {MOST_LABELS} labels by their numbers")
    try:
        ordered = [str(named[key]) for key in sorted(named, key=int)]
        if [int(key) for key in sorted(named, key=int)] != list(range(len(named))):
            raise ValueError
    except ValueError:
        raise StonechatError(
            'config.json: id2label: must have the keys "0", "1" and so on, each once'
        ) from None
    labels = [
        re.sub(r"[^A-Za-z0-9._:/@+-]+", "_", name)[:64] or f"label_{at}" for at, name in enumerate(ordered)
    ]
    if len(set(labels)) != len(labels):
        raise StonechatError(
            f"config.json: id2label: two labels have one name: {harmless(', '.join(labels))}"
        )
    return labels


def _longest(config: Mapping[str, Any], options: Mapping[str, Any]) -> int:
    """The most tokens of a row. A file may say nothing of it, or a huge number that stands for nothing."""
    named = (config.get("max_position_embeddings"), options.get("model_max_length"))
    return max(8, min([_LONGEST, *(number for number in named if isinstance(number, int) and number > 8)]))


def _ends(graph: Path) -> tuple[dict[str, str], str]:
    """Names of a graph's inputs as the card has them, and of its logits."""
    try:
        opened = Graph(graph, 1)
    except GraphError as error:
        raise StonechatError(f"{graph.name} {error}") from error
    inputs = {key: name for key, name in _INPUTS.items() if name in opened.inputs}
    if "ids" not in inputs:
        raise StonechatError(
            f"{graph.name}: has the inputs {', '.join(opened.inputs)}, none of them {_INPUTS['ids']}\n"
            f"  hint: write a {CARD} that names them"
        )
    outputs = opened.outputs
    return inputs, "logits" if "logits" in outputs else outputs[0]


def _slug(folder: Path) -> str:
    name = re.sub(r"[^a-z0-9._-]+", "-", folder.resolve().name.lower()).strip("-._")[:64]
    return name or "classifier"


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _toml(document: Mapping[str, Any]) -> str:
    lines = ["# Written by `stonechat models add`. Yours to change, all but the checksums."]

    def table(values: Mapping[str, Any], path: str) -> None:
        inner = {key: value for key, value in values.items() if isinstance(value, Mapping)}
        if path and len(inner) < len(values):
            lines.extend(("", f"[{path}]"))
        lines.extend(
            f"{toml_key(key)} = {toml_text(value)}" for key, value in values.items() if key not in inner
        )
        for key, value in inner.items():
            table(value, f"{path}.{toml_key(key)}" if path else toml_key(key))

    table(document, "")
    return "\n".join(lines) + "\n"
