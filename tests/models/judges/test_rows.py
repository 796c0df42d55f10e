"""The judges' data: reading, repetitions, splits, folds and epochs, on tiny files in the shapes of the real ones."""

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from train.judges import floor, folds, inventory, rows, sampling, sources, typography
from train.judges.rows import Row


def _of(*names: str) -> list[sources.Source]:
    return [source for name in names for source in sources.SOURCES if source.name == name]


def _write(data: Path, name: str, *lines: dict[str, Any]) -> None:
    (source,) = _of(name)
    path = data / source.file
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", encoding="utf-8") as out:
        for line in lines:
            out.write(json.dumps({"source": name, "split": "train", **line}) + "\n")


def _post(text: str, split: str = "train", **labels: int) -> dict[str, Any]:
    return {"text": text, "labels": labels, "split": split}


def _load(data: Path, *names: str, **options: Any) -> rows.Loaded:
    return rows.load(data, sources=_of(*names), **options)


def test_a_category_that_is_absent_is_unknown_and_identity_attacks_are_hate(tmp_path: Path) -> None:
    _write(
        tmp_path,
        "edos_sexism",
        _post("nothing of the kind", hate=0),
        _post("a bad one", hate=0, identity_attack=1, toxic=1),
    )
    loaded = _load(tmp_path, "edos_sexism")
    assert [row.labels for row in loaded.rows] == [{"hate": 0.0}, {"hate": 1.0, "toxic": 1.0}]


def test_rows_without_a_label_come_only_on_request(tmp_path: Path) -> None:
    _write(tmp_path, "diasafety_responses", {**_post("try harder"), "context": "I gave up"})
    assert not _load(tmp_path, "diasafety_responses").rows
    (row,) = _load(tmp_path, "diasafety_responses", unlabelled=True).rows
    assert (row.prompt, row.response, row.labels) == ("I gave up", "try harder", {})


def test_barred_rows_never_come_unasked_and_never_pass_as_shippable(tmp_path: Path) -> None:
    _write(tmp_path, "gab_hate_corpus", _post("one", toxic=1))
    _write(tmp_path, "eval_only_olid", _post("two", "eval_only", toxic=1))
    names = ("gab_hate_corpus", "eval_only_olid")
    assert not _load(tmp_path, *names).rows
    lifted = _load(tmp_path, *names, include=frozenset({"check", "evaluation-only"})).rows
    assert [(row.source, row.barred, row.split) for row in lifted] == [
        ("gab_hate_corpus", "check", "train"),
        ("eval_only_olid", "evaluation-only", "eval_only"),
    ]
    with pytest.raises(ValueError, match=r"eval_only_olid .*gab_hate_corpus \(check\)"):
        rows.shippable(lifted)


def test_rows_marked_evaluation_only_inside_a_permitted_source_stay_out(tmp_path: Path) -> None:
    score = {"prompt": "Why?", "response": "Because.", "score": 7, "question_id": 1}
    _write(tmp_path, "mt_bench_gpt4_scores", {**score, "split": "eval_only"})
    assert not _load(tmp_path, "mt_bench_gpt4_scores").rows


def test_a_derived_row_has_the_licence_and_family_of_its_parent(tmp_path: Path) -> None:
    row = {"prompt": "Why?", "response": "So.", "relevant": 1, "pair_id": "a"}
    _write(
        tmp_path,
        "relevance_pairs",
        {**row, "from": "gsm8k_solutions"},
        {**row, "prompt": "How?", "from": "dolly_sample"},
    )
    (row_of_gsm,) = _load(tmp_path, "relevance_pairs").rows
    assert (row_of_gsm.source, row_of_gsm.family, row_of_gsm.licence) == (
        "relevance_pairs/gsm8k_solutions",
        "gsm8k",
        "MIT",
    )


def test_an_equal_text_of_a_later_source_adds_only_what_is_not_known(tmp_path: Path) -> None:
    _write(tmp_path, "jigsaw_six_labels", _post("You fool!", toxic=1))
    _write(tmp_path, "davidson", _post("you  FOOL", toxic=0, insult=0), _post("You fool", toxic=1))
    loaded = _load(tmp_path, "jigsaw_six_labels", "davidson")
    assert [(row.source, row.labels) for row in loaded.rows] == [
        ("jigsaw_six_labels", {"toxic": 1.0}),
        ("davidson", {"insult": 0.0}),
    ]
    assert loaded.conflicts == {"davidson": 1}
    assert loaded.duplicates == {"davidson": 1}


def test_texts_that_differ_by_an_emoji_are_two_texts() -> None:
    assert rows.key("I love 🦊") != rows.key("I love 🐀")
    assert rows.key("I  love, it!") == rows.key("i love it")


def test_halves_of_an_emoji_pair_get_one_split(tmp_path: Path) -> None:
    _write(
        tmp_path,
        "hatemoji_build",
        {**_post("🐀 make me sick", "dev", toxic=0), "pair": "5"},
        {**_post("they make me sick", "train", toxic=1), "pair": "4"},
        {**_post("alone", "train", toxic=1), "pair": "6"},
    )
    loaded = _load(tmp_path, "hatemoji_build")
    assert [row.pair for row in loaded.rows] == ["hatemoji_build:2", "hatemoji_build:2", "hatemoji_build:3"]
    assert loaded.rows[0].split == loaded.rows[1].split
    assert loaded.moved == {"hatemoji_build": 1}


def test_a_prompt_has_one_split_across_sources(tmp_path: Path) -> None:
    answer = {"prompt": "Teach me.", "refusal_weak": 1}
    _write(
        tmp_path,
        "jailbreakbench_responses",
        {**answer, "response": "I cannot.", "jailbroken": 0, "split": "dev"},
    )
    _write(
        tmp_path,
        "refusal_direction_harmful",
        *({**answer, "response": f"No, {n}.", "unsafe_weak": 0} for n in ("one", "two")),
    )
    loaded = _load(tmp_path, "jailbreakbench_responses", "refusal_direction_harmful")
    assert {row.split for row in loaded.rows} == {"train"}
    assert loaded.moved == {"jailbreakbench_responses": 1}


def test_a_refusal_is_unknown_where_the_two_weak_judges_disagree(tmp_path: Path) -> None:
    _write(
        tmp_path,
        "jailbreakbench_responses",
        {"prompt": "a", "response": "I cannot, but here it is", "refusal_weak": 1, "jailbroken": 1},
        {"prompt": "b", "response": "I cannot", "refusal_weak": 1, "jailbroken": 0},
    )
    assert [row.labels for row in _load(tmp_path, "jailbreakbench_responses").rows] == [{"refusal": 1.0}]


def test_both_sides_of_paradetox_share_one_typography(tmp_path: Path) -> None:
    _write(
        tmp_path,
        "paradetox",
        {**_post("he is n't a moron , i think .", toxic=1), "pair": 0},
        {**_post("He isn't silly, I think.", toxic=0), "pair": 0},
    )
    assert [row.response for row in _load(tmp_path, "paradetox").rows] == [
        "he isn't a moron, i think.",
        "he isn't silly, i think.",
    ]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("e\u0301  a\t b\r\n\r\n\n c \x00", "é a b\n\nc"),
        ("  \n x \n y ", "x\ny"),
    ],
)
def test_cleaning(given: str, expected: str) -> None:
    assert typography.clean(given) == expected
    assert typography.clean(expected) == expected


def test_names_and_links_look_alike_in_every_source() -> None:
    assert (
        typography.unmasked("[USER] <user> @jo_b see https://a.b/c [URL]")
        == "@user @user @user see http http"
    )
    assert typography.tokenised_post("in 2 0 1 7 , <user> did n't") == "in 2017, @user didn't"


def test_a_limit_takes_pairs_whole_and_always_the_same(tmp_path: Path) -> None:
    lines = [{**_post(f"text {n} side {side}", toxic=side), "pair": n} for n in range(40) for side in (0, 1)]
    _write(tmp_path, "paradetox", *lines)
    first, second = (_load(tmp_path, "paradetox", limit=20).rows for _ in range(2))
    assert first == second
    assert set(Counter(row.pair for row in first).values()) == {2}
    assert 20 <= len(first) <= 22


def _rows(
    source: str, count: int, *, answer: bool = False, weight: float = 1.0, **labels: float
) -> list[Row]:
    kind = "".join(labels) + str(sum(labels.values()))
    return [
        Row("", f"{source} {kind} {n}", dict(labels), source, source, "train", answer=answer, weight=weight)
        for n in range(count)
    ]


def test_every_source_is_left_out_exactly_once_and_families_leave_together() -> None:
    data = [
        row for n in range(11) for row in (*_rows(f"s{n}", 30 + n, toxic=1.0), *_rows(f"s{n}", 40, toxic=0.0))
    ]
    data += [Row("", f"derived {n}", {"hate": 1.0}, "s3/derived", "s3", "train") for n in range(9)]
    dealt = folds.leave_sources_out(data, 5)
    assert dealt == folds.leave_sources_out(data, 5)
    assert sorted(name for fold in dealt for name in fold.sources) == sorted({row.source for row in data})
    (fold,) = [fold for fold in dealt if "s3" in fold.sources]
    assert "s3/derived" in fold.sources
    positives = [sum(row.source in fold.sources and row.alarming for row in data) for fold in dealt]
    assert max(positives) <= 2 * min(positives)
    with pytest.raises(ValueError, match="11 families for 12 folds"):
        folds.leave_sources_out(data, 12)


def test_training_rows_that_repeat_what_is_left_out_are_left_out_too() -> None:
    held = [Row("What?", "This.", {"toxic": 0.0}, "a", "a", "dev")]
    others = [
        Row("", "this", {"hate": 0.0}, "b", "b", "train"),
        Row("what", "Another.", {"hate": 0.0}, "b", "b", "train"),
        Row("Who?", "You.", {"hate": 0.0}, "b", "b", "train"),
        Row("Who?", "Me.", {"hate": 0.0}, "b", "b", "dev"),
    ]
    train, out = folds.parted([*held, *others], folds.Fold(0, frozenset("a"), frozenset("a")))
    assert (train, out) == ([others[2]], held)


def test_shares_are_even_and_give_what_one_cannot_fill_to_the_others() -> None:
    assert sampling.shares(90, dict.fromkeys("abc", 1.0), {"a": 10, "b": 100, "c": 100}) == {
        "a": 10,
        "b": 40,
        "c": 40,
    }
    assert sampling.shares(10, {"a": 1.0, "b": 0.5}, {"a": 99, "b": 99}) == {"a": 7, "b": 3}
    assert sampling.shares(50, {"a": 1.0}, {"a": 7}) == {"a": 7}


def test_an_epoch_is_half_harmless_with_answers_and_even_over_sources() -> None:
    data = [*_rows("big", 5000, toxic=1.0), *_rows("small", 300, toxic=1.0), *_rows("big", 5000, toxic=0.0)]
    data += [*_rows("calm", 400, toxic=0.0), *_rows("chat", 900, answer=True, toxic=0.0)]
    sampler = sampling.Sampler(data, size=400, seed=3, rough_share=0)
    epoch = sampler.epoch(0)
    assert Counter(map(sampling.pool_of, epoch)) == {"alarming": 200, "answers": 100, "texts": 100}
    assert Counter((row.source, row.alarming) for row in epoch) == {
        ("big", True): 100, ("small", True): 100, ("big", False): 50, ("calm", False): 50, ("chat", False): 100,
    }  # fmt: skip
    assert epoch == sampling.Sampler(data, size=400, seed=3, rough_share=0).epoch(0)
    after = {row.response for row in sampler.epoch(1) if row.source == "big"}
    assert not after & {row.response for row in epoch if row.source == "big"}


def test_halves_of_a_pair_stand_side_by_side() -> None:
    data = [
        Row("", f"{side} {n}", {"toxic": side}, "p", "p", "train", pair=f"p:{n}")
        for n in range(50)
        for side in (0.0, 1.0)
    ]
    epoch = sampling.Sampler(data, size=40, rough_share=0).epoch(0)
    raised = [at for at, row in enumerate(epoch) if row.alarming]
    assert len(raised) == 20
    assert all(epoch[at + 1].pair == epoch[at].pair and not epoch[at + 1].alarming for at in raised)


def test_epochs_draw_no_held_back_row() -> None:
    held = [Row("", f"held {n}", {"toxic": 1.0}, "s", "s", "dev") for n in range(20)]
    epoch = sampling.Sampler([*held, *_rows("s", 20, toxic=1.0)], size=100).epoch(0)
    assert {row.split for row in epoch} == {"train"}


def test_every_entry_of_the_table_is_whole() -> None:
    assert len({source.file for source in sources.SOURCES}) == len(sources.SOURCES)
    for source in sources.SOURCES:
        assert set(source.feeds) <= set(sources.HEADS), source.name
        assert source.barred in ("", *sources.BARS), source.name
        assert source.licence
        if "eval_only" in source.file:
            assert source.barred == sources.EVALUATION_ONLY
        if not source.barred:
            assert not any(word in source.licence for word in ("NC", "remembered", "none stated")), (
                source.name
            )


@pytest.mark.parametrize("command", [inventory.main, floor.main])
def test_absent_data_is_said_and_ends_with_1(
    command: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(["--data", str(tmp_path / "nowhere")]) == 1
    assert "no such folder" in capsys.readouterr().err
    assert command(["--data", str(tmp_path)]) == 1
    assert "no such file" in capsys.readouterr().err


def test_the_inventory_counts_heads_sources_licences_and_splits(tmp_path: Path) -> None:
    _write(tmp_path, "paradetox", {**_post("bad", toxic=1), "pair": 0}, {**_post("good", toxic=0), "pair": 0})
    _write(tmp_path, "edos_sexism", _post("none", "dev", hate=0))
    loaded = _load(tmp_path, "paradetox", "edos_sexism")
    counts = inventory.counted(loaded.rows)
    assert counts["heads"]["toxic"] == [1, 1]
    assert counts["heads"]["hate"] == [0, 1]
    assert counts["licences"] == {"CC0-1.0": 3}
    assert counts["splits"] == {"train": 2, "dev": 1}
    assert counts["sources"]["edos_sexism"]["heads"] == {"hate": [0, 1]}
    assert "| paradetox | CC0-1.0 | paradetox | 2 | 0 | 0 | 0 | toxic 1/1 |" in inventory.markdown(loaded)
    assert "| paradetox | CC0-1.0 | toxic | 1 |" in inventory.described()
