"""`./dev bench judges` over tiny models: every figure is there, and what is measured is what the runtime says."""

import importlib.util
import json
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from tests.agent.judging import making

from stonechat_agent.scoring.judging import HEADS
from train.judges import bias
from train.written.common import GROUPS

ROOT = Path(__file__).parents[2]
# Letters, so that every word has tokens; the weights are of words of the contrast set.
LETTERS = "abcdefghijklmnopqrstuvwxyz"
VOCABULARY = (*making.SPECIAL, *LETTERS, *(f"##{letter}" for letter in LETTERS), ".", ",", "?")
WEIGHTS = {head: {"##k": 1.0, "##s": -0.5} for head in HEADS}


@pytest.fixture(scope="module")
def bench() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("bench_judges", ROOT / "bench/judges.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["bench_judges"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["bench_judges"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("models")
    weights = {"combine": {"toxic": {"judge": 0.7, "glance": 0.4, "shift": 0.1}}}
    prompted = {"relevance": {"needs_prompt": True, "below": True, "threshold": 0.4}}
    return [
        making.glance(root / "glance", {head: {"the": 1.0} for head in HEADS}, bias=-0.5),
        making.judge(root / "judge", WEIGHTS, bias=0.2, vocabulary=VOCABULARY, labels=prompted, card=weights),
    ]


@pytest.fixture
def pool(bench: ModuleType, folders: list[Path]) -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1, initializer=bench.open_models, initargs=(folders,)) as found:
        yield found


def _fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    every = bias.mentions
    monkeypatch.setattr(bias, "mentions", lambda fillings: every(fillings, GROUPS[:3]))


def test_without_the_data_the_contrast_set_is_measured(
    bench: ModuleType,
    folders: list[Path],
    pool: ThreadPoolExecutor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _fewer(monkeypatch)
    cards = bench.model_cards(folders)
    sizes = bench.Sizes(held=1, ordinary=1, contrast_sets=40, fillings=1, floor=1)
    results = bench.measured(tmp_path / "nowhere", sizes, cards, pool)
    assert set(results["rows"]) == {"contrast", "mentions"}
    assert results["judged_again_by_judges"] > 50
    assert set(results["contrast"]) == {"glance", "encoder", "judge"}
    # The word of tier 1 counts for one head; for the others the verdict is tier 2's own.
    for head, row in results["contrast"]["judge"].items():
        assert (row != results["contrast"]["encoder"][head]) == (head == "toxic")
    assert set(results["kinds"]) == {row["kind"] for row in bench.contrast(1).notes}
    mentions = results["bias"]["judge"]["false_positives"]["neutral and positive"]["toxic"]
    assert len(mentions["groups"]) == 3
    results["memory_mib"] = bench.used_memory(folders)
    results |= bench.costs(folders, cards)
    assert results["milliseconds"]["512 tokens"]["windows"] > results["milliseconds"]["32 tokens"]["windows"]
    bench.report(results)
    printed = capsys.readouterr().out
    assert "own contrast sets, macro-F1 in every kind" in printed
    assert "not measured" in printed
    bench.write(results, cards)
    for folder in folders:
        kept = json.loads((folder / "eval.json").read_text(encoding="utf-8"))
        assert kept["models"] == {"test-glance": "2", "test-judge": "1"}
        (folder / "eval.json").unlink()


def test_a_score_that_the_runtime_would_not_give_ends_the_run(
    bench: ModuleType, folders: list[Path], pool: ThreadPoolExecutor
) -> None:
    cards = bench.model_cards(folders)
    part = {"contrast": bench.contrast(100)}
    said, checked = bench.scored(part, cards, pool)
    assert checked > 0
    right = said["contrast"]["judge"]
    word: Any = pool.submit(bench.judge_chunk, [("", "thanks")], True).result().words[0]
    wrong = {
        name: type(right)(np.full_like(right.scores, 0.123), right.flags, right.fresh)
        for name in ("glance", "judge")
    }
    with pytest.raises(SystemExit, match="on a device, and was measured with"):
        bench.compare([(0, *word)], wrong)


def test_answers_in_other_languages_and_empty_ones_are_withheld(
    bench: ModuleType, pool: ThreadPoolExecutor
) -> None:
    german = "Das ist eine Antwort in deutscher Sprache, die ziemlich lang und eindeutig nicht englisch ist."
    chunk = pool.submit(bench.judge_chunk, [("", german), ("", " "), ("", "An answer.")], False).result()
    assert np.isnan(chunk.judge).all(1).tolist() == [True, True, False]
    assert np.isnan(chunk.glance).all(1).tolist() == [True, True, False]


def test_models_that_are_refused_end_the_run_with_the_reason(bench: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"card\.toml"):
        bench.model_cards([tmp_path])
