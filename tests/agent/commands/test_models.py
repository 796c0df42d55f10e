"""``stonechat models``: real folders, listed, verified and added."""

from __future__ import annotations

import json
import stat
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from tests.agent.judging import making

from stonechat_agent import cli, settings
from stonechat_agent.scoring.folders import folders
from stonechat_agent.scoring.judging import Judges, card

SHIPPED = "stonechat-demo-lm"


@pytest.fixture
def device(tmp_path: Path) -> Path:
    found = tmp_path / "device"
    found.mkdir()
    (found / "agent.toml").write_text(f'[device]\nid = "kiosk"\n[spool]\npath = "{found}"\n')
    return found


@pytest.fixture
def stonechat(device: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*arguments: str) -> tuple[int, str, str]:
        code = cli.main(["models", *arguments, "--config", str(device / "agent.toml")])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def classifier(folder: Path, name: str = "my-spam", **changes: Any) -> Path:
    weights = {"ham": {"good": 2.0}, "spam": {"bad": 2.0}}
    return making.judge(folder, weights, bias=0.0, card={"name": name, "kind": "classifier"}, **changes)


def exported(folder: Path, config: dict[str, Any] | None = None, places: int = 16) -> Path:
    """What a sequence classifier is exported with: no card, and a graph that takes so many tokens."""
    classifier(folder, input={"types": None, "prompt_length": 0})
    (folder / "card.toml").unlink()
    model = onnx.load(folder / "model.onnx")
    # As in BERT: a table of places, so that a longer row fails.
    table = onnx.numpy_helper.from_array(np.zeros((places, 1), np.float32), "places")
    model.graph.initializer.append(table)
    add = [
        onnx.helper.make_node("Shape", ["input_ids"], ["tokens"], start=1, end=2),
        onnx.helper.make_node("Squeeze", ["tokens"], ["count"]),
        onnx.helper.make_node("Range", ["from", "count", "step"], ["numbers"]),
        onnx.helper.make_node("Gather", ["places", "numbers"], ["placed"]),
        onnx.helper.make_node("Add", ["each", "placed"], ["each_placed"]),
    ]
    for name, value in (("from", 0), ("step", 1)):
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(value, np.int64), name))
    gather = model.graph.node[0]
    rest = list(model.graph.node)[1:]
    for node in rest:
        node.input[:] = ["each_placed" if name == "each" else name for name in node.input]
    del model.graph.node[:]
    model.graph.node.extend([gather, *add, *rest])
    onnx.save(model, folder / "model.onnx")
    config = config or {
        "id2label": {"1": "spam", "0": "ham"},
        "max_position_embeddings": 16,
        "model_type": "bert",
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": True}))
    (folder / "pytorch_model.bin").write_bytes(b"weights that nobody needs")
    return folder


def test_what_ships_is_listed_and_whole(stonechat: Any) -> None:
    code, out, err = stonechat("list")
    assert (code, err) == (0, "")
    heading, *rows = out.splitlines()
    assert heading.split() == ["NAME", "VERSION", "KIND", "TIER", "LANGUAGES", "SIZE", "WHERE"]
    assert any(row.split()[0] == SHIPPED and row.split()[-1] == "shipped" for row in rows)
    assert stonechat("verify", SHIPPED) == (0, f"{SHIPPED} 1: ok\n", "")


def test_a_folder_with_a_card_is_added(stonechat: Any, device: Path, tmp_path: Path) -> None:
    code, out, err = stonechat("add", str(classifier(tmp_path / "given")))
    assert (code, err) == (0, "")
    final = device / "models/my-spam"
    assert out.startswith(f"added my-spam 1: {final}\n  labels: ham, spam\n")
    assert sorted(path.name for path in final.iterdir()) == ["card.toml", "model.onnx", "vocab.txt"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in final.iterdir()} == {0o644}
    assert stat.S_IMODE(final.stat().st_mode) == 0o755
    assert [path.name for path in final.parent.iterdir()] == ["my-spam"]
    loaded = settings.load(str(device / "agent.toml"))
    assert folders(loaded) == [str(final)]
    listed = [json.loads(line) for line in stonechat("list", "--json")[1].splitlines()]
    (found,) = [one for one in listed if one["name"] == "my-spam"]
    assert (found["kind"], found["tier"], found["languages"], found["shipped"]) == (
        "classifier",
        2,
        ["en"],
        False,
    )
    assert found["size_bytes"] == sum(
        path.stat().st_size for path in final.iterdir() if path.name != "card.toml"
    )
    assert stonechat("verify", "my-spam") == (0, "my-spam 1: ok\n", "")


def test_an_exported_classifier_gets_a_card(stonechat: Any, device: Path, tmp_path: Path) -> None:
    code, out, _ = stonechat("add", str(exported(tmp_path / "My Spam")))
    assert code == 0
    final = device / "models/my-spam"
    assert "model.onnx, wordpiece, softmax; reads 16 tokens of the answer alone" in out
    assert "it flags nothing by itself" in out
    assert sorted(path.name for path in final.iterdir()) == ["card.toml", "model.onnx", "vocab.txt"]
    found = card.load(final)
    assert [label.name for label in found.labels] == ["ham", "spam"]
    (verdict,) = Judges([final]).classify("my-spam", [("", "bad")])
    assert verdict.scores["spam"] == pytest.approx(0.8808)


def test_several_labels_may_hold_at_once(stonechat: Any, device: Path, tmp_path: Path) -> None:
    config = {
        "id2label": {"0": "Not OK!", "1": "spam"},
        "problem_type": "multi_label_classification",
        "max_position_embeddings": 16,
    }
    assert stonechat("add", str(exported(tmp_path / "m", config)))[0] == 0
    found = card.load(device / "models/m")
    assert (found.output.activation, [label.name for label in found.labels]) == (
        "sigmoid",
        ["Not_OK_", "spam"],
    )


def test_places_that_padding_takes_are_found_out(stonechat: Any, device: Path, tmp_path: Path) -> None:
    assert stonechat("add", str(exported(tmp_path / "m", places=14)))[0] == 0
    assert card.load(device / "models/m").input.max_length == 14


def test_a_graph_in_its_own_folder_with_its_weights_beside_it(
    stonechat: Any, device: Path, tmp_path: Path
) -> None:
    folder = exported(tmp_path / "m")
    (folder / "onnx").mkdir()
    model = onnx.load(folder / "model.onnx")
    (folder / "model.onnx").unlink()
    onnx.save(
        model,
        folder / "onnx/model.onnx",
        save_as_external_data=True,
        location="model.onnx_data",
        size_threshold=100,  # the words' table alone
    )
    assert stonechat("add", str(folder))[0] == 0
    names = sorted(path.name for path in (device / "models/m").iterdir())
    assert names == ["card.toml", "model.onnx", "model.onnx_data", "vocab.txt"]
    assert stonechat("verify", "m")[0] == 0
    (device / "models/m/model.onnx_data").write_bytes(b"other")
    code, out, err = stonechat("verify", "m")
    assert (code, out) == (1, "")
    assert "model.onnx_data: SHA-256 is " in err


def spoiled(folder: Path, name: str, content: str | None) -> Path:
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_text(content)
    return folder


REFUSED = {
    "no config": ("config.json", None, "config.json: not there; it names the labels; or write a card.toml"),
    "a config that is no JSON": ("config.json", "{", "config.json: not JSON: "),
    "no labels": ("config.json", "{}", "config.json: id2label: must name 1 to 64 labels by their numbers"),
    "labels with a gap": (
        "config.json",
        '{"id2label": {"0": "a", "2": "b"}}',
        'config.json: id2label: must have the keys "0", "1" and so on, each once',
    ),
    "labels of one name": (
        "config.json",
        '{"id2label": {"0": "a b", "1": "a_b"}}',
        "config.json: id2label: two labels have one name: a_b, a_b",
    ),
    "a label too many": (
        "config.json",
        '{"id2label": {"0": "a", "1": "b", "2": "c"}}',
        'gives 2 columns as "logits", and the card names 3 labels',
    ),
    "no graph": ("model.onnx", None, "has no *.onnx; expected one, or model_quantized.onnx or model.onnx"),
    "a corrupt graph": ("model.onnx", "garbage", "model.onnx cannot be opened by onnxruntime"),
    "no tokenizer": ("vocab.txt", None, "has no tokenizer.json, and no vocab.txt of an uncased BERT"),
    "a cased tokenizer": (
        "tokenizer_config.json",
        '{"do_lower_case": false}',
        "has no tokenizer.json, and no vocab.txt of an uncased BERT",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_used_is_refused_and_leaves_nothing(
    stonechat: Any, device: Path, tmp_path: Path, case: str
) -> None:
    name, content, message = REFUSED[case]
    code, out, err = stonechat("add", str(spoiled(exported(tmp_path / "m"), name, content)))
    assert (code, out) == (1, "")
    assert message in err
    assert list((device / "models").iterdir()) == []


def test_a_wrong_checksum_or_card_is_refused(stonechat: Any, device: Path, tmp_path: Path) -> None:
    folder = classifier(tmp_path / "m")
    with (folder / "vocab.txt").open("a") as stream:
        stream.write("more\n")
    code, _, err = stonechat("add", str(folder))
    assert code == 1
    assert "vocab.txt: SHA-256 is " in err
    (folder / "card.toml").write_text("kind = ")
    assert stonechat("add", str(folder))[0] == 1
    folder = classifier(tmp_path / "n", input={"max_length": 3})
    code, _, err = stonechat("add", str(folder))
    assert code == 2
    assert err.startswith(f"{folder}/card.toml: input.max_length = 3: must be a whole number of 8 to 8192\n")
    assert list((device / "models").iterdir()) == []


def test_a_model_is_replaced_only_when_asked(stonechat: Any, device: Path, tmp_path: Path) -> None:
    assert stonechat("add", str(classifier(tmp_path / "m")))[0] == 0
    second = classifier(tmp_path / "n", labels={"spam": {"threshold": 0.25}})
    code, _, err = stonechat("add", str(second))
    assert code == 1
    assert err.endswith("  hint: --replace takes this one instead\n")
    assert stonechat("add", str(second), "--replace")[0] == 0
    assert card.load(device / "models/my-spam").labels[1].threshold == 0.25
    assert [path.name for path in (device / "models").iterdir()] == ["my-spam"]
    code, _, err = stonechat("add", str(classifier(tmp_path / "o", name=SHIPPED)))
    assert (code, f"another model has the name '{SHIPPED}'" in err) == (1, True)


def test_without_the_extra_a_tokenizer_json_is_refused(
    stonechat: Any, device: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = exported(tmp_path / "m")
    (folder / "vocab.txt").unlink()
    (folder / "tokenizer.json").write_text("{}")
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    code, _, err = stonechat("add", str(folder))
    assert code == 1
    assert "pip install 'stonechat[tokenizers]'" in err


def test_a_broken_model_is_told_and_the_others_are_listed(
    stonechat: Any, device: Path, tmp_path: Path
) -> None:
    stonechat("add", str(classifier(tmp_path / "m")))
    (device / "models/my-spam/card.toml").write_text('kind = "classifier"\n')
    code, out, err = stonechat("list")
    assert code == 1
    assert SHIPPED in out
    assert err.startswith(f"{device}/models/my-spam: refused: card.toml: ")
    assert "card.toml: name: must be given" in err
    assert err.count("\n") == 1


def test_wrong_usage_says_so(stonechat: Any, tmp_path: Path) -> None:
    assert stonechat("add")[0] == 2
    assert stonechat("list", "x")[0] == 2
    code, _, err = stonechat("verify", "nothing")
    assert (code, err.splitlines()[0]) == (1, "stonechat: no model 'nothing'")
    assert stonechat("add", str(tmp_path / "absent"))[0] == 1


def test_models_may_stay_where_they_are(device: Path, tmp_path: Path) -> None:
    folder = classifier(tmp_path / "mine")
    file = device / "agent.toml"
    file.write_text(file.read_text() + f'[scoring]\nmodels = ["{folder}"]\n')
    assert folders(settings.load(str(file))) == [str(folder)]
