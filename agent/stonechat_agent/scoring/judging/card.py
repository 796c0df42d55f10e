"""The card of a model: `card.toml` read into dataclasses, or every fault in it at once.

The tables that say how a model is run are closed: a key that is not known there is a fault. What else a card tells of
its model (data, figures, machine) stands beside them and is nobody's business here::

    name = "my-spam"                 # unique among the loaded; also what a guideline names
    version = "1"
    kind = "classifier"              # "glance", "judge", or "classifier": one with scores of its own
    languages = ["en"]               # absent or []: every language
    [files]                          # SHA-256 of each file; one of them is *.onnx
    "model.onnx" = "..."
    [input]
    tokenizer = "tokenizer.json"     # "wordpiece" (vocab.txt), "tokenizer.json" or "hashed" (glance)
    max_length = 512                 # tokens of a row, special ones included
    prompt_length = 64               # of them at most, the prompt's last ones; 0: it sees the answer alone
    ids = "input_ids"                # names of the graph's inputs; without mask or types, the graph has none
    mask = "attention_mask"
    types = "token_type_ids"
    [output]
    logits = "logits"                # float, (rows, labels)
    activation = "sigmoid"           # or "softmax": the labels exclude each other
    embedding = "embedding"          # glance: float, (rows, at most 64)
    [labels.spam]
    column = 0
    threshold = 0.8                  # flags at this score or beyond; absent: flags nothing
    below = false                    # true: beyond is below
    scale = 1.0                      # score = sigmoid(scale * logit + shift); with softmax, logit is the log-odds
    shift = 0.0
    uncertain = [0.3, 0.9]           # scores between which a better judge should be asked; absent: near the threshold
    needs_prompt = false             # true: no score without a prompt
    windows = "max"                  # of the windows of a long answer: "max", "mean" or "min"
    [combine.toxic]                  # judge: score = sigmoid(judge * own logit + glance * glance's logit + shift)
    judge = 0.8
    glance = 0.3
    shift = -0.1
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from stonechat import kinds
from stonechat.catalog import SCORE_NAMES
from stonechat.errors import ConfigError, Fault
from stonechat.kinds import Kind
from stonechat_models import CARD, read_card

T = TypeVar("T")

HEADS = SCORE_NAMES
"""Names of the scores of glance and judge, in the order in which flags are named."""

TIERS = {"glance": 1, "judge": 2, "classifier": 2}
"""The kinds of models that judge, and the tier that each belongs to."""

WORDPIECE, HUGGING_FACE, HASHED = "wordpiece", "tokenizer.json", "hashed"
TOKENIZER_FILES = {WORDPIECE: "vocab.txt", HUGGING_FACE: "tokenizer.json"}

MOST_LABELS = 64
MOST_EMBEDDED = 64

_NAME = kinds.string(r"[a-z0-9][a-z0-9._-]{0,63}", 'a name of 1 to 64 of a-z, 0-9, ".", "_" and "-"')
_TEXT = kinds.string(r"[^\0\r]{0,4096}", "a text")
_TENSOR = kinds.string(r"[^\0\s]{1,256}", "the name of one of the graph's inputs or outputs")
_FACTOR = kinds.number(-1000, 1000)
_SCALE = kinds.number(0, 1000)
_SHARE = kinds.number(0, 1)
_MISSING = object()


@dataclass(frozen=True)
class Input:
    """What the graph is fed with."""

    tokenizer: str
    max_length: int
    """Tokens of a row, special ones included."""
    prompt_length: int
    """Of them at most the prompt's, its last ones; 0: the model sees the answer alone."""
    ids: str
    mask: str | None
    types: str | None
    spec: Mapping[str, Any]
    """The table as it stands: a hashed model's other keys are its own."""


@dataclass(frozen=True)
class Output:
    """What the graph gives."""

    logits: str
    activation: str
    embedding: str | None


@dataclass(frozen=True)
class Label:
    """One column of the logits, and how it becomes a score."""

    name: str
    column: int
    threshold: float | None
    below: bool
    scale: float
    shift: float
    uncertain: tuple[float, float] | None
    needs_prompt: bool
    windows: str

    def flags(self, score: float) -> bool:
        """Whether a score is at the threshold or beyond."""
        if self.threshold is None:
            return False
        return score <= self.threshold if self.below else score >= self.threshold


class Combination(NamedTuple):
    """Weights of a head's two logits: the verdict is sigmoid(judge * own + glance * glance's + shift)."""

    judge: float
    glance: float
    shift: float


@dataclass(frozen=True)
class Card:
    """A model that judges."""

    folder: Path
    name: str
    version: str
    kind: str
    description: str
    licence: str
    limits: str
    languages: tuple[str, ...]
    """ISO 639-1 codes of the languages that it was made for; empty: every language."""
    files: Mapping[str, str]
    input: Input
    output: Output
    labels: tuple[Label, ...]
    """In the order of their columns."""
    combine: Mapping[str, Combination]

    @property
    def tier(self) -> int:
        """1 for a glance, else 2."""
        return TIERS[self.kind]

    @property
    def graph(self) -> Path:
        """The ONNX file."""
        return self.folder / next(name for name in self.files if name.endswith(".onnx"))

    @property
    def size_bytes(self) -> int:
        """Bytes of its files; those that are missing count nothing."""
        paths = (self.folder / name for name in self.files)
        return sum(path.stat().st_size for path in paths if path.is_file())


def load(folder: Path) -> Card:
    """Read the card of a folder. Checksums are `stonechat_models.verify`'s business, the graph is `sessions`'s.

    Raises:
        ModelError: there is no card, or it is not TOML.
        ConfigError: with every fault in it.
    """
    document = read_card(folder)
    reader = _Reader(str(folder / CARD))
    card = _card(document, folder, reader)
    if reader.faults:
        raise ConfigError(reader.faults)
    return card


class _Reader:
    """Takes values out of tables and keeps a list of what is wrong with them."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.faults: list[Fault] = []

    def fault(self, key: str, found: object, expected: str, hint: str = "") -> None:
        text = "" if found is _MISSING else kinds.toml_text(found)
        self.faults.append(
            Fault(self.source, key, text if len(text) <= 60 else text[:57] + "...", expected, hint)
        )

    def value(
        self, table: Mapping[str, Any], at: str, key: str, kind: Kind[T], default: T | None = None
    ) -> T:
        """Return a value, or its default; without one, a key that is missing is a fault."""
        path = f"{at}.{kinds.toml_key(key)}" if at else key
        found = table.get(key, _MISSING)
        if found is _MISSING:
            if default is None:
                self.fault(path, _MISSING, f"must be given: {kind.expected}")
            return default  # type: ignore[return-value]  # with a fault, nothing that was read is used
        try:
            return kind.read(found)
        except ValueError as error:
            self.fault(path, found, str(error))
            return default  # type: ignore[return-value]

    def optional(self, table: Mapping[str, Any], at: str, key: str, kind: Kind[T]) -> T | None:
        """Return a value, or None where there is none."""
        return self.value(table, at, key, kind) if key in table else None

    def table(self, document: Mapping[str, Any], at: str, key: str, *, needed: bool) -> Mapping[str, Any]:
        path = f"{at}.{kinds.toml_key(key)}" if at else key
        found = document.get(key, _MISSING)
        if isinstance(found, Mapping):
            return found
        if found is not _MISSING or needed:
            self.fault(path, found, f"must be a table [{path}]")
        return {}

    def closed(self, table: Mapping[str, Any], at: str, known: tuple[str, ...]) -> None:
        """Every key that is not known is a fault."""
        for key in table:
            if key not in known:
                meant = kinds.nearest(key, known)
                hint = f"did you mean {meant}?" if meant else "the keys are " + ", ".join(known)
                self.fault(f"{at}.{kinds.toml_key(key)}", _MISSING, "unknown key", hint)


def _card(document: Mapping[str, Any], folder: Path, reader: _Reader) -> Card:
    kind = reader.value(document, "", "kind", kinds.one_of(*TIERS), "classifier")
    if "kind" not in document:
        reader.fault("kind", _MISSING, "must be given: one of " + ", ".join(f'"{name}"' for name in TIERS))
    files = _files(reader.table(document, "", "files", needed=True), reader)
    return Card(
        folder=folder,
        name=reader.value(document, "", "name", _NAME),
        version=reader.value(document, "", "version", kinds.string(r"[!-~]{1,64}", 'a version such as "1"')),
        kind=kind,
        description=reader.value(document, "", "description", _TEXT, ""),
        licence=reader.value(document, "", "licence", _TEXT, ""),
        limits=reader.value(document, "", "limits", _TEXT, ""),
        languages=reader.value(document, "", "languages", _languages(), ()),
        files=files,
        input=_input(reader.table(document, "", "input", needed=True), kind, files, reader),
        output=_output(reader.table(document, "", "output", needed=False), kind, reader),
        labels=_labels(reader.table(document, "", "labels", needed=True), kind, reader),
        combine=_combine(reader.table(document, "", "combine", needed=False), kind, document, reader),
    )


def _files(table: Mapping[str, Any], reader: _Reader) -> Mapping[str, str]:
    digest = kinds.string(r"[0-9a-f]{64}", "a SHA-256: 64 of 0-9 and a-f")
    for name in table:
        if "/" in name or "\\" in name or name in ("", ".", ".."):
            reader.fault(
                f"files.{kinds.toml_key(name)}", _MISSING, "must be the name of a file beside the card"
            )
        reader.value(table, "files", name, digest, "")
    graphs = [name for name in table if name.endswith(".onnx")]
    if table and len(graphs) != 1:
        reader.fault("files", _MISSING, f"must name one *.onnx, and names {', '.join(graphs) or 'none'}")
    return table


def _input(table: Mapping[str, Any], kind: str, files: Mapping[str, str], reader: _Reader) -> Input:
    at = "input"
    hashed = kind == "glance"
    tokenizers = (HASHED,) if hashed else (WORDPIECE, HUGGING_FACE)
    tokenizer = reader.value(table, at, "tokenizer", kinds.one_of(*tokenizers)) if table else ""
    needed = TOKENIZER_FILES.get(tokenizer)
    if needed is not None and files and needed not in files:
        reader.fault(f"{at}.tokenizer", tokenizer, f'needs "{needed}" in [files]')
    if hashed:
        return Input(tokenizer, 0, 0, "", None, None, table)
    reader.closed(table, at, ("tokenizer", "max_length", "prompt_length", "ids", "mask", "types"))
    longest = reader.value(table, at, "max_length", kinds.integer(8, 8192), 256)
    prompt = reader.value(table, at, "prompt_length", kinds.integer(0, 4096), 0)
    if 0 < longest < prompt + 8:
        reader.fault(f"{at}.prompt_length", prompt, f"leaves an answer less than 5 of {longest} tokens")
    return Input(
        tokenizer,
        longest,
        prompt,
        reader.value(table, at, "ids", _TENSOR, "input_ids"),
        reader.optional(table, at, "mask", _TENSOR),
        reader.optional(table, at, "types", _TENSOR),
        table,
    )


def _output(table: Mapping[str, Any], kind: str, reader: _Reader) -> Output:
    at = "output"
    reader.closed(table, at, ("logits", "activation", "embedding"))
    embedding = reader.optional(table, at, "embedding", _TENSOR)
    if kind == "glance" and "embedding" not in table:
        reader.fault(
            f"{at}.embedding", _MISSING, "must be given for a glance: the name of one of the graph's outputs"
        )
    if kind != "glance" and embedding is not None:
        reader.fault(f"{at}.embedding", embedding, "is read of a glance only", "delete the line")
    activation = reader.value(table, at, "activation", kinds.one_of("sigmoid", "softmax"), "sigmoid")
    if kind != "classifier" and activation != "sigmoid":
        reader.fault(f"{at}.activation", activation, 'must be "sigmoid" for a glance or a judge')
    return Output(reader.value(table, at, "logits", _TENSOR, "logits"), activation, embedding)


def _labels(table: Mapping[str, Any], kind: str, reader: _Reader) -> tuple[Label, ...]:
    labels = [_label(reader, reader.table(table, "labels", name, needed=True), name, kind) for name in table]
    columns = sorted(label.column for label in labels)
    if not 0 < len(labels) <= MOST_LABELS:
        if not any(fault.key == "labels" for fault in reader.faults):
            reader.fault("labels", _MISSING, f"must name 1 to {MOST_LABELS} labels, and names {len(labels)}")
    elif columns != list(range(len(labels))) and not any(
        fault.key.endswith(".column") for fault in reader.faults
    ):
        found = ", ".join(map(str, columns))
        reader.fault(
            "labels", _MISSING, f"must have the columns 0 to {len(labels) - 1}, each once; they are {found}"
        )
    return tuple(sorted(labels, key=lambda label: label.column))


def _label(reader: _Reader, table: Mapping[str, Any], name: str, kind: str) -> Label:
    at = f"labels.{kinds.toml_key(name)}"
    if kind != "classifier" and name not in HEADS:
        meant = kinds.nearest(name, HEADS)
        hint = f"did you mean {meant}?" if meant else "the scores are " + ", ".join(HEADS)
        reader.fault(at, _MISSING, f"no score of a {kind}", hint)
    if not is_label(name):
        reader.fault(at, _MISSING, 'must be named by 1 to 64 of A-Z, a-z, 0-9 and "._:/@+-"')
    reader.closed(
        table,
        at,
        ("column", "threshold", "below", "scale", "shift", "uncertain", "needs_prompt", "windows"),
    )
    return Label(
        name,
        reader.value(table, at, "column", kinds.integer(0, MOST_LABELS - 1)) or 0,
        reader.optional(table, at, "threshold", _SHARE),
        reader.value(table, at, "below", kinds.boolean(), False),
        reader.value(table, at, "scale", _SCALE, 1.0),
        reader.value(table, at, "shift", _FACTOR, 0.0),
        reader.optional(table, at, "uncertain", _bounds()),
        reader.value(table, at, "needs_prompt", kinds.boolean(), False),
        reader.value(table, at, "windows", kinds.one_of("max", "mean", "min"), "max"),
    )


def _combine(
    table: Mapping[str, Any], kind: str, document: Mapping[str, Any], reader: _Reader
) -> Mapping[str, Combination]:
    if table and kind != "judge":
        reader.fault("combine", _MISSING, "is for a judge only", "delete the table")
    labels = document.get("labels")
    found = {}
    for name in table:
        at = f"combine.{kinds.toml_key(name)}"
        if isinstance(labels, Mapping) and name not in labels:
            reader.fault(at, _MISSING, f"there is no label of that name: [labels.{kinds.toml_key(name)}]")
        weights = reader.table(table, "combine", name, needed=True)
        reader.closed(weights, at, ("judge", "glance", "shift"))
        found[name] = Combination(
            reader.value(weights, at, "judge", _FACTOR),
            reader.value(weights, at, "glance", _FACTOR),
            reader.value(weights, at, "shift", _FACTOR, 0.0),
        )
    return found


def is_label(name: str) -> bool:
    """Whether a label can have this name: it becomes a score's, and a guideline names it."""
    return 0 < len(name) <= 64 and all(
        char.isascii() and (char.isalnum() or char in "._:/@+-") for char in name
    )


def _languages() -> Kind[tuple[str, ...]]:
    expected = 'a list of ISO 639-1 codes such as ["en"]; []: every language'

    def read(value: object) -> tuple[str, ...]:
        if not isinstance(value, list | tuple):
            raise TypeError
        if not all(isinstance(code, str) and len(code) in (2, 3) and code.islower() for code in value):
            raise TypeError
        return tuple(value)

    return Kind("list", expected, read)


def _bounds() -> Kind[tuple[float, float]]:
    expected = "two numbers of 0 to 1, the lower one first, such as [0.3, 0.9]"

    def read(value: object) -> tuple[float, float]:
        if not isinstance(value, list | tuple) or len(value) != 2:
            raise TypeError
        low, high = map(_SHARE.read, value)
        if low > high:
            raise TypeError
        return low, high

    return Kind("list", expected, read)
