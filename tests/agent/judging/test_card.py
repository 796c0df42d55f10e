"""Cards: what they may say, and how each fault in one is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.agent.judging import making

from stonechat.errors import ConfigError
from stonechat_agent.scoring.judging.card import load

FILES = {"model.onnx": "0" * 64, "vocab.txt": "1" * 64}


def document(**changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": "spam",
        "version": "1",
        "kind": "classifier",
        "files": FILES,
        "input": {"tokenizer": "wordpiece", "max_length": 64},
        "labels": {"ham": {"column": 1}, "spam": {"column": 0, "threshold": 0.8}},
    }
    return {name: value for name, value in (found | changes).items() if value is not None}


def write(folder: Path, found: dict[str, Any]) -> Path:
    (folder / "card.toml").write_text(making.toml(found), encoding="utf-8")
    return folder


def faults(folder: Path, found: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(write(folder, found))
    return [str(fault).removeprefix(f"{folder}/card.toml: ") for fault in caught.value.faults]


def test_a_card_is_read_with_its_defaults(tmp_path: Path) -> None:
    card = load(write(tmp_path, document(training={"rows": 3}, languages=["en", "de"])))
    assert (card.name, card.kind, card.tier, card.languages) == ("spam", "classifier", 2, ("en", "de"))
    assert [label.name for label in card.labels] == ["spam", "ham"]
    assert (card.input.mask, card.input.prompt_length, card.output.activation) == (None, 0, "sigmoid")
    spam = card.labels[0]
    assert (spam.scale, spam.shift, spam.windows, spam.needs_prompt) == (1.0, 0.0, "max", False)
    assert (spam.flags(0.8), spam.flags(0.7999)) == (True, False)


def test_a_label_may_flag_what_is_below(tmp_path: Path) -> None:
    labels = {"spam": {"column": 0, "threshold": 0.2, "below": True}}
    (label,) = load(write(tmp_path, document(labels=labels))).labels
    assert (label.flags(0.2), label.flags(0.2001)) == (True, False)


FAULTY = {
    "no kind": (document(kind=None), 'kind: must be given: one of "glance", "judge", "classifier"'),
    "another kind": (
        document(kind="jugde"),
        'kind = "jugde": must be one of "glance", "judge", "classifier"; did you mean "judge"?',
    ),
    "a name with a space": (
        document(name="my spam"),
        'name = "my spam": must be a name of 1 to 64 of a-z, 0-9, ".", "_" and "-"',
    ),
    "no files": (document(files=None), "files: must be a table [files]"),
    "two graphs": (
        document(files=FILES | {"b.onnx": "0" * 64}),
        "files: must name one *.onnx, and names model.onnx, b.onnx",
    ),
    "no checksum": (
        document(files=FILES | {"vocab.txt": "12"}),
        'files."vocab.txt" = "12": must be a SHA-256: 64 of 0-9 and a-f',
    ),
    "a file elsewhere": (
        document(files=FILES | {"../x": "0" * 64}),
        'files."../x": must be the name of a file beside the card',
    ),
    "no vocabulary": (
        document(files={"model.onnx": "0" * 64}),
        'input.tokenizer = "wordpiece": needs "vocab.txt" in [files]',
    ),
    "hashed without a glance": (
        document(input={"tokenizer": "hashed"}),
        'input.tokenizer = "hashed": must be one of "wordpiece", "tokenizer.json"',
    ),
    "no room": (
        document(input={"tokenizer": "wordpiece", "max_length": 64, "prompt_length": 60}),
        "input.prompt_length = 60: leaves an answer less than 5 of 64 tokens",
    ),
    "a key that is not known": (
        document(input={"tokenizer": "wordpiece", "max_lenght": 64}),
        "input.max_lenght: unknown key\n  hint: did you mean max_length?",
    ),
    "no labels": (document(labels=None), "labels: must be a table [labels]"),
    "columns with a gap": (
        document(labels={"a": {"column": 0}, "b": {"column": 2}}),
        "labels: must have the columns 0 to 1, each once; they are 0, 2",
    ),
    "a column twice": (
        document(labels={"a": {"column": 0}, "b": {"column": 0}}),
        "labels: must have the columns 0 to 1, each once; they are 0, 0",
    ),
    "a threshold beyond 1": (
        document(labels={"a": {"column": 0, "threshold": 7}}),
        "labels.a.threshold = 7: must be a number of 0 to 1",
    ),
    "bounds the wrong way": (
        document(labels={"a": {"column": 0, "uncertain": [0.9, 0.1]}}),
        "labels.a.uncertain = [0.9, 0.1]: must be two numbers of 0 to 1, the lower one first, such as [0.3, 0.9]",
    ),
    "a scale that turns scores round": (
        document(labels={"a": {"column": 0, "scale": -1}}),
        "labels.a.scale = -1: must be a number of 0 to 1000",
    ),
    "a judge's score that there is not": (
        document(kind="judge", labels={"toxicity": {"column": 0}}),
        "labels.toxicity: no score of a judge\n  hint: did you mean toxic?",
    ),
    "weights of no label": (
        document(kind="judge", labels={"toxic": {"column": 0}}, combine={"hate": {"judge": 1, "glance": 1}}),
        "combine.hate: there is no label of that name: [labels.hate]",
    ),
    "weights of a classifier": (
        document(combine={"spam": {"judge": 1, "glance": 1}}),
        "combine: is for a judge only\n  hint: delete the table",
    ),
    "a glance without an embedding": (
        document(kind="glance", input={"tokenizer": "hashed"}, labels={"toxic": {"column": 0}}),
        "output.embedding: must be given for a glance: the name of one of the graph's outputs",
    ),
    "softmax of a judge": (
        document(kind="judge", output={"activation": "softmax"}, labels={"toxic": {"column": 0}}),
        'output.activation = "softmax": must be "sigmoid" for a glance or a judge',
    ),
    "languages in words": (
        document(languages=["english"]),
        'languages = ["english"]: must be a list of ISO 639-1 codes such as ["en"]; []: every language',
    ),
}


@pytest.mark.parametrize("case", FAULTY)
def test_a_fault_says_where_and_what_was_expected(tmp_path: Path, case: str) -> None:
    found, message = FAULTY[case]
    assert faults(tmp_path, found) == [message]


def test_all_faults_are_told_together(tmp_path: Path) -> None:
    found = document(name=7, version=None, labels={"a": {"column": 0, "shift": "x"}})
    assert [fault.split(" ")[0].rstrip(":") for fault in faults(tmp_path, found)] == [
        "name",
        "version",
        "labels.a.shift",
    ]
