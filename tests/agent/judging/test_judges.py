"""The judges, over real graphs: verdicts, what is withheld and why, and models that cannot be used."""

from __future__ import annotations

import hashlib
import math
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tests.agent.judging import making

from stonechat_agent.scoring.judging import Judges, NoModel
from stonechat_agent.scoring.judging.judges import Judged

GERMAN = "Das ist keine gute Antwort, und ich bin der Meinung, dass es so nicht geht und nicht gehen wird."


def sigmoid(odds: float) -> float:
    return round(1 / (1 + math.exp(-odds)), 4)


def judges(*folders: Path) -> Judges:
    found = Judges(folders)
    found.open_all()
    assert found.faults == ()
    return found


# Verdicts


def test_both_tiers_score_and_flag(tmp_path: Path) -> None:
    found = judges(making.judge(tmp_path / "j"), making.glance(tmp_path / "g"))
    pairs = [("why?", "the answer is bad."), ("", "the answer is fine.")]
    assert found.judge(pairs) == [
        Judged({"toxic": sigmoid(3)}, {}, ("toxic",), 2),
        Judged({"toxic": sigmoid(-3)}, {}, (), 2),
    ]
    assert found.glance(pairs) == [
        Judged({"toxic": sigmoid(3)}, {}, ("toxic",), 1),
        Judged({"toxic": sigmoid(-3)}, {}, (), 1),
    ]
    assert found.models_of(1) == {"test-glance": "2"}
    assert found.models_of(2) == {"test-judge": "1"}


def test_a_judge_sees_the_answer_and_not_its_prompt(tmp_path: Path) -> None:
    found = judges(making.judge(tmp_path))
    (verdict,) = found.judge([("is it bad?", "no.")])
    assert verdict.scores == {"toxic": sigmoid(-3)}


def test_scores_are_calibrated(tmp_path: Path) -> None:
    found = judges(making.judge(tmp_path, labels={"toxic": {"scale": 0.5, "shift": 0.25}}))
    (verdict,) = found.judge([("", "bad")])
    assert verdict.scores == {"toxic": sigmoid(0.5 * 3 + 0.25)}


def test_the_judge_weighs_the_word_of_the_glance(tmp_path: Path) -> None:
    combine = {"toxic": {"judge": 0.5, "glance": 0.25, "shift": -0.1}}
    weights = {"toxic": {"bad": 6.0}, "hate": {"worse": 9.0}}
    judge = making.judge(tmp_path / "j", weights, card={"combine": combine})
    glance = making.glance(tmp_path / "g", {"toxic": {"bad": 2.0}}, bias=1.0)
    found = judges(judge, glance)
    (verdict,) = found.judge([("", "bad")])
    assert verdict.scores == {"toxic": sigmoid(0.5 * 3 + 0.25 * 3 - 0.1), "hate": sigmoid(-3)}
    assert found.models_of(2) == {"test-judge": "1", "test-glance": "2"}
    (alone,) = judges(judge).judge([("", "bad")])
    assert alone.scores["toxic"] == sigmoid(3)


def test_flags_are_in_the_order_of_the_heads(tmp_path: Path) -> None:
    weights = {"quality": {"bad": -9.0}, "hate": {"bad": 9.0}, "toxic": {"bad": 9.0}}
    found = judges(making.judge(tmp_path, weights, bias=0.5, labels={"quality": {"below": True}}))
    (verdict,) = found.judge([("", "bad")])
    assert verdict.flags == ("toxic", "hate", "quality")
    assert list(verdict.scores) == ["toxic", "hate", "quality"]


@pytest.mark.parametrize(("way", "odds"), [("max", 3.0), ("min", -3.0), ("mean", -1.0)])
def test_windows_of_a_long_answer_are_combined(tmp_path: Path, way: str, odds: float) -> None:
    found = judges(making.judge(tmp_path, labels={"toxic": {"windows": way}}))
    long = " ".join(["fine"] * 29 + ["bad"])  # three windows, the last one bad
    verdicts = found.judge([("", "fine"), ("", long), ("", "bad")])
    assert [verdict.scores["toxic"] for verdict in verdicts] == [sigmoid(-3), sigmoid(odds), sigmoid(3)]


def test_the_same_answer_has_the_same_score_whatever_stands_around_it(tmp_path: Path) -> None:
    found = judges(making.judge(tmp_path / "j"), making.glance(tmp_path / "g"))
    pairs = [("", "bad"), ("", "fine " * 100), ("why", "worse"), ("", " ")]
    for ask in (found.judge, found.glance):
        alone = [ask([pair])[0] for pair in pairs]
        assert ask(pairs) == alone
        assert ask(pairs[::-1]) == alone[::-1]
        assert ask([]) == []


def test_several_threads_may_ask(tmp_path: Path) -> None:
    found = Judges([making.judge(tmp_path / "j"), making.glance(tmp_path / "g")])
    pairs = [("why", "bad"), ("", "the answer is fine")] * 10
    results: list[Any] = []
    threads = [threading.Thread(target=lambda: results.append(found.judge(pairs))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [found.judge(pairs)] * 4


# What is withheld


def test_scores_are_withheld_with_their_reason(tmp_path: Path) -> None:
    weights = {"toxic": {"bad": 6.0}, "relevance": {"good": 6.0}}
    found = judges(making.judge(tmp_path, weights, labels={"relevance": {"needs_prompt": True}}))
    verdicts = found.judge([("", "good"), (" \n", "good"), ("why", "good"), ("", " \u200b"), ("", "\ufffd")])
    assert [verdict.withheld for verdict in verdicts] == [
        {"relevance": "no_prompt"},
        {"relevance": "no_prompt"},
        {},
        {"toxic": "empty", "relevance": "empty"},
        {"toxic": "empty", "relevance": "empty"},
    ]
    assert [set(verdict.scores) for verdict in verdicts] == [
        {"toxic"},
        {"toxic"},
        {"toxic", "relevance"},
        set(),
        set(),
    ]


def test_a_language_that_the_model_was_not_made_for(tmp_path: Path) -> None:
    found = judges(making.judge(tmp_path / "j"), making.glance(tmp_path / "g", card={"languages": []}))
    (verdict,) = found.judge([("", GERMAN)])
    assert verdict == Judged({}, {"toxic": "language"}, (), 2)
    (covered,) = found.glance([("", GERMAN)])
    assert set(covered.scores) == {"toxic"}
    (short,) = found.judge([("", "Nein.")])  # which language two words are in is not certain
    assert set(short.scores) == {"toxic"}


def test_a_logit_that_is_no_number_is_a_failure(tmp_path: Path) -> None:
    found = judges(making.judge(tmp_path, {"toxic": {"bad": math.inf}, "hate": {"bad": 4.0}}))
    (verdict,) = found.judge([("", "bad bad")])
    assert verdict == Judged({"hate": sigmoid(5)}, {"toxic": "failed"}, ("hate",), 2)


# Uncertain scores


@pytest.mark.parametrize(
    ("label", "bias", "uncertain"),
    [
        ({"threshold": 0.5}, 0.9, True),
        ({"threshold": 0.5}, -0.9, True),
        ({"threshold": 0.5}, 1.1, False),
        ({"threshold": 0.5}, -1.1, False),
        ({"threshold": 0.5, "uncertain": [0.1, 0.2]}, 0.0, False),
        ({"threshold": 0.5, "uncertain": [0.1, 0.2]}, -1.7, True),
    ],
)
def test_a_score_is_uncertain_where_the_card_says(
    tmp_path: Path, label: dict[str, Any], bias: float, uncertain: bool
) -> None:
    found = judges(making.glance(tmp_path, bias=bias, labels={"toxic": label}))
    (verdict,) = found.glance([("", "fine")])
    assert found.is_uncertain(verdict) is uncertain


def test_a_label_without_a_threshold_is_never_uncertain(tmp_path: Path) -> None:
    folder = making.glance(tmp_path, bias=0.0)
    card("threshold = 0.5\n", "")(folder)
    found = judges(folder)
    (verdict,) = found.glance([("", "fine")])
    assert (verdict.flags, found.is_uncertain(verdict)) == ((), False)


# Embeddings


def test_an_embedding_has_length_1(tmp_path: Path) -> None:
    found = judges(making.glance(tmp_path))
    embedded = found.embed(["the answer is fine", "", "the answer is fine"])
    assert embedded.dtype == np.float32
    assert (embedded.shape, found.dimensions) == ((3, 8), 8)
    assert np.linalg.norm(embedded, axis=1).round(5).tolist() == [1.0, 0.0, 1.0]
    assert (embedded[0] == embedded[2]).all()
    assert found.embed([]).shape == (0, 8)


# Classifiers that were dropped in


def classifier(folder: Path, **changes: Any) -> Path:
    weights = {"ham": {"good": 2.0}, "spam": {"bad": 2.0}}
    named = {"name": "my-spam", "kind": "classifier", "languages": []}
    return making.judge(folder, weights, bias=0.0, card=named, **changes)


def test_a_classifier_has_scores_of_its_own(tmp_path: Path) -> None:
    found = judges(classifier(tmp_path / "folder"), making.judge(tmp_path / "j"))
    (verdict,) = found.classify("my-spam", [("", "bad")])
    assert verdict == Judged({"ham": 0.5, "spam": sigmoid(2)}, {}, ("ham", "spam"), 2)
    assert found.classify("folder", [("", "bad")]) == [verdict]
    with pytest.raises(NoModel, match="no classifier 'test-judge' can be used"):
        found.classify("test-judge", [])


def test_labels_of_a_softmax_exclude_each_other(tmp_path: Path) -> None:
    found = judges(classifier(tmp_path, output={"activation": "softmax"}))
    bad, long, surer = found.classify("my-spam", [("", "bad"), ("", "bad " * 60), ("", "bad " * 12)])
    assert bad.scores == {"ham": sigmoid(-2), "spam": sigmoid(2)}
    assert long.scores == surer.scores == {"ham": 0.0, "spam": 1.0}


def test_a_graph_without_mask_and_types(tmp_path: Path) -> None:
    found = judges(classifier(tmp_path, input={"mask": None, "types": None, "prompt_length": 0}))
    verdicts = found.classify("my-spam", [("", "bad"), ("", "good good"), ("bad", "fine")])
    assert [verdict.scores["spam"] for verdict in verdicts] == [sigmoid(2), 0.5, 0.5]


def test_a_dropped_in_judge_takes_the_place_of_another(tmp_path: Path) -> None:
    first = making.judge(tmp_path / "first")
    second = making.judge(tmp_path / "second", bias=3.0, card={"name": "mine", "version": "7"})
    found = judges(first, second)
    assert found.models_of(2) == {"mine": "7"}
    (verdict,) = found.judge([("", "fine")])
    assert verdict.scores == {"toxic": sigmoid(3)}


def test_a_dropped_in_judge_that_cannot_be_used_gives_the_place_back(tmp_path: Path) -> None:
    first = making.judge(tmp_path / "first")
    second = making.judge(tmp_path / "second", bias=3.0, card={"name": "mine"})
    rewritten("model.onnx", lambda _: b"garbage")(second)
    found = Judges([first, second])
    (verdict,) = found.judge([("", "fine")])
    assert verdict.scores == {"toxic": sigmoid(-3)}
    assert found.models == {"test-judge": "1"}
    assert len(found.faults) == 1


# Models that cannot be used


def wrong_bytes(folder: Path) -> None:
    with (folder / "model.onnx").open("r+b") as stream:
        stream.seek(40)
        stream.write(b"\xff\xff")


def rewritten(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """A change of a file whose new checksum the card has."""

    def rewrite(folder: Path) -> None:
        path = folder / name
        before = path.read_bytes()
        path.write_bytes(after := change(before))
        card(*(hashlib.sha256(content).hexdigest() for content in (before, after)))(folder)

    return rewrite


def graph(change: Callable[[onnx.ModelProto], None]) -> Callable[[Path], None]:
    """A change of the graph whose new checksum the card has."""

    def changed(content: bytes) -> bytes:
        model = onnx.load_from_string(content)
        change(model)
        found: bytes = model.SerializeToString()
        return found

    return rewritten("model.onnx", changed)


def card(old: str, new: str) -> Callable[[Path], None]:
    """A change of the card."""

    def change(folder: Path) -> None:
        path = folder / "card.toml"
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    return change


def renamed(old: str, new: str) -> Callable[[onnx.ModelProto], None]:
    def rename(model: onnx.ModelProto) -> None:
        for node in model.graph.node:
            for names in (node.input, node.output):
                names[:] = [new if name == old else name for name in names]
        for end in (*model.graph.input, *model.graph.output):
            if end.name == old:
                end.name = new

    return rename


def typed(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.STRING
    model.graph.node.insert(0, helper.make_node("StringToIds", ["input_ids"], ["x"]))


def without_a_label(folder: Path) -> None:
    text = (folder / "card.toml").read_text()
    (folder / "card.toml").write_text(text[: text.index("[labels.hate]")] + text[text.index("[files]") :])


REFUSED: dict[str, tuple[Callable[[Path], None], str]] = {
    "wrong checksum": (wrong_bytes, r"model\.onnx: SHA-256 is \w+, the card says \w+"),
    "a corrupt graph": (
        rewritten("model.onnx", lambda _: b"\x08\x09garbage"),
        r"cannot be opened by onnxruntime",
    ),
    "half a graph": (
        rewritten("model.onnx", lambda content: content[: len(content) // 2]),
        r"cannot be opened by onnxruntime",
    ),
    "an operator that nobody knows": (graph(typed), r"cannot be opened by onnxruntime"),
    "an empty graph file": (rewritten("model.onnx", lambda _: b""), r"cannot be opened by onnxruntime"),
    "a label too few": (without_a_label, r'gives 2 columns as "logits", and the card names 1 labels'),
    "another input": (
        graph(renamed("input_ids", "tokens")),
        r'has no input "input_ids" \(it has "tokens".*needs an input "tokens", which the card does not name',
    ),
    "another output": (graph(renamed("logits", "scores")), r'has no output "logits" \(it has "scores"\)'),
    "a file missing": (lambda folder: (folder / "vocab.txt").unlink(), r"vocab\.txt: No such file"),
    "no card": (lambda folder: (folder / "card.toml").unlink(), r"card\.toml: cannot be read"),
    "a faulty card": (
        card("max_length = 16", "max_length = 3"),
        r"card\.toml: input\.max_length = 3: must be a whole number of 8 to 8192",
    ),
    "no special tokens": (
        rewritten("vocab.txt", lambda _: b"[PAD]\n[UNK]\n[CLS]\n"),
        r"vocab\.txt has no \[SEP\]",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_model_that_cannot_be_used_is_refused_and_the_others_go_on(tmp_path: Path, case: str) -> None:
    spoil, message = REFUSED[case]
    broken = making.judge(tmp_path / "broken", {"toxic": {"bad": 6.0}, "hate": {}})
    spoil(broken)
    found = Judges([broken, making.glance(tmp_path / "g")])
    (verdict,) = found.judge([("", "bad")])
    assert (verdict.scores, set(verdict.withheld.values()), verdict.flags) == ({}, {"failed"}, ())
    assert len(found.faults) == 1
    fault = found.faults[0]
    assert fault.startswith("model ")
    assert " refused: " in fault
    assert str(broken) in fault
    assert "\n" not in fault
    assert re.search(message, fault), fault
    assert found.models == {"test-glance": "2"}
    (glanced,) = found.glance([("", "bad")])
    assert glanced.flags == ("toxic",)


def test_a_glance_that_cannot_be_used_leaves_the_judge_alone(tmp_path: Path) -> None:
    glance = making.glance(tmp_path / "g")
    card("scheme = 1", "scheme = 99")(glance)
    found = Judges([making.judge(tmp_path / "j"), glance])
    (verdict,) = found.judge([("", "bad")])
    assert verdict.flags == ("toxic",)
    assert found.dimensions == 0
    (glanced,) = found.glance([("", "bad")])
    assert set(glanced.withheld.values()) == {"failed"}
    with pytest.raises(
        NoModel, match=r"no model of tier 1 can be used: model test-glance .* refused: .*scheme"
    ):
        found.embed(["bad"])


def test_a_name_that_is_taken_is_refused(tmp_path: Path) -> None:
    found = Judges([classifier(tmp_path / "a"), classifier(tmp_path / "b")])
    assert len(found.faults) == 1
    assert f"its name, 'my-spam', is that of the model in {tmp_path / 'a'}" in found.faults[0]


def test_what_is_unloaded_is_opened_again(tmp_path: Path) -> None:
    found = judges(making.judge(tmp_path / "j"), making.glance(tmp_path / "g"))
    before = found.judge([("", "bad")])
    found.unload(2)
    assert [type(model).__name__ for model in found._models.values()] == ["Glance"]
    assert found.judge([("", "bad")]) == before
    found.unload(1)
    assert found.embed(["bad"]).shape == (1, 8)


def test_without_onnxruntime_every_model_is_refused_with_the_reason(tmp_path: Path) -> None:
    making.judge(tmp_path / "j")
    making.glance(tmp_path / "g")
    for missing in ("onnxruntime", "numpy"):
        program = (
            f"import sys; sys.modules[{missing!r}] = None\n"
            "from stonechat_agent.scoring.judging import Judges\n"
            f"found = Judges([{str(tmp_path / 'j')!r}, {str(tmp_path / 'g')!r}])\n"
            "print(found.judge([('', 'bad')])[0].withheld, found.glance([('', 'bad')])[0].scores)\n"
            "print(*found.faults, sep='\\n')"
        )
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
        )
        lines = done.stdout.splitlines()
        assert "'failed'" in lines[0]
        assert len(lines) >= 3  # those that ship can no more be used
        assert all(f"{missing} halted" in line for line in lines[1:]), lines


def test_looking_at_cards_loads_neither_numpy_nor_onnxruntime(tmp_path: Path) -> None:
    folder = making.judge(tmp_path)
    program = (
        "import sys\nfrom stonechat_agent.scoring.judging import Judges\n"
        f"assert Judges([{str(folder)!r}]).faults == ()\n"
        "print({'numpy', 'onnxruntime'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "set()\n"
