# ruff: noqa: E501
"""The examples of our own writing: filled without gaps, consistent in a set, held out for good, varied."""

import json
import re
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from train.written import HEADS, KINDS, Row, rows
from train.written.__main__ import inventory, main
from train.written.grammar import article, capital, plural, settle
from train.written.rows import draw, rows_of
from train.written.spelling import DISGUISES
from train.written.template import Filling, Frame, Kind, Text, words

PER_KIND = 900
ROWS = list(rows(per_kind=PER_KIND))
BY_KIND: dict[str, list[Row]] = defaultdict(list)
for _row in ROWS:
    BY_KIND[_row["kind"]].append(_row)

# Lewd texts are about grown-ups: none of these words may stand in a set of that kind.
MINORS = re.compile(
    r"\b(?:boys?|girls?|kids?|child\w*|teen\w*|bab(?:y|ies)|school\w*|pupils?|students?|minors?|under-?age\w*|young\w*"
    r"|daughters?|sons?|nieces?|nephews?|sisters?|brothers?|toddlers?|infants?|juvenile\w*)\b",
    re.IGNORECASE,
)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_template_fills_in_both_parts(kind: Kind) -> None:
    for held_out in (False, True):
        for frame in kind.part(held_out):
            for row in draw(kind, frame, Random(frame.key), held_out, "set"):
                text = row["prompt"] + row["response"]
                # Wrong bytes may hold a brace, which is their point.
                if "wrong bytes" not in row["context"]:
                    assert not re.search(r"[{}]|\[[^\]]*\||\(n\)|  ", text), text


@pytest.mark.parametrize("name", BY_KIND)
def test_words_before_vowels_have_their_article(name: str) -> None:
    if name in ("spelling", "bad_answers"):
        return
    for row in BY_KIND[name]:
        for text in (row["prompt"], row["response"]):
            assert not re.search(
                r"\b[Aa] (?=[aeio])(?!one\b|once\b|euro)|\b[Aa]n (?=[bcdfgjklmnpqrstvwxyz])", text
            ), text


@pytest.mark.parametrize("name", BY_KIND)
def test_sentences_begin_with_capitals(name: str) -> None:
    if name in ("spelling", "bad_answers"):
        return
    for row in BY_KIND[name]:
        assert not re.match("[a-z]", row["prompt"] + row["response"]), row


@pytest.mark.parametrize("name", BY_KIND)
def test_nothing_of_the_held_out_part_is_in_the_training_part(name: str) -> None:
    held = [row for row in BY_KIND[name] if row["held_out"]]
    training = [row for row in BY_KIND[name] if not row["held_out"]]
    assert len(held) == pytest.approx(PER_KIND / 5, abs=PER_KIND * 0.06)
    assert not {row["template"] for row in held} & {row["template"] for row in training}
    assert not {row["group"] for row in held if row["group"]} & {row["group"] for row in training}
    assert not {row["set"] for row in held} & {row["set"] for row in training}
    assert not {_key(row) for row in held} & {_key(row) for row in training}
    # Prompts aside: an empty answer is the same everywhere, every other answer must be new.
    assert not {_key(row)[1] for row in held if row["context"] != "empty"} & {
        _key(row)[1] for row in training
    }


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_words_of_the_held_out_part_stay_out_of_training(kind: Kind) -> None:
    for bank in kind.banks.values():
        if len(bank) >= 8:
            assert not set(words(bank, held_out=True)) & set(words(bank, held_out=False))
            assert set(words(bank, held_out=True)) | set(words(bank, held_out=False)) == set(bank)


@pytest.mark.parametrize("name", BY_KIND)
def test_a_set_holds_both_sides_and_known_labels(name: str) -> None:
    sets: dict[str, list[Row]] = defaultdict(list)
    for row in BY_KIND[name]:
        sets[row["set"]].append(row)
        assert set(row["labels"]) <= set(HEADS)
        assert set(row["labels"].values()) <= {0, 1}
        assert list(row) == [
            "prompt",
            "response",
            "labels",
            "kind",
            "context",
            "group",
            "template",
            "set",
            "held_out",
        ]
        if row["labels"].get("hate") == 1:
            assert row["labels"]["toxic"] == 1
    for members in sets.values():
        assert len(members) >= 2
        assert len({(row["template"], row["held_out"], row["group"]) for row in members}) == 1
        assert any({row["labels"].get(head) for row in members} >= {0, 1} for head in HEADS), (
            members
        )  # a set whose texts all agree contrasts nothing


@pytest.mark.parametrize("name", BY_KIND)
def test_both_labels_occur_in_both_parts(name: str) -> None:
    head = {
        "settings": "toxic",
        "spelling": "toxic",
        "bad_answers": "quality",
        "contradiction": "coherence",
    }.get(name, name)
    for held_out in (False, True):
        found = Counter(
            row["labels"][head]
            for row in BY_KIND[name]
            if row["held_out"] == held_out and head in row["labels"]
        )
        assert min(found[0], found[1]) >= 0.2 * found.total(), found


@pytest.mark.parametrize("name", BY_KIND)
def test_no_template_gives_more_than_three_times_its_share(name: str) -> None:
    for held_out in (False, True):
        given = Counter(row["template"] for row in BY_KIND[name] if row["held_out"] == held_out)
        assert max(given.values()) <= 3 * given.total() / len(given) + 4


@pytest.mark.parametrize("name", BY_KIND)
def test_rows_are_distinct_and_varied(name: str) -> None:
    assert len({_key(row) for row in BY_KIND[name]}) == len(BY_KIND[name])
    grams: Counter[tuple[str, ...]] = Counter()
    for row in BY_KIND[name]:
        tokens = row["response"].lower().split()
        grams.update(zip(tokens, tokens[1:], tokens[2:], tokens[3:], strict=False))
    # Measured 0.14 (relevance, whose answers recur on purpose) to 0.85 at this size.
    assert len(grams) / grams.total() >= 0.12


def test_answers_are_short_and_long() -> None:
    for name in ("hate", "self_harm", "violence", "threat", "sexual", "insult"):
        lengths = sorted(len(row["response"].split()) for row in BY_KIND[name])
        assert lengths[len(lengths) // 20] <= 20
        assert lengths[-len(lengths) // 20] >= 50


def test_lewd_texts_never_speak_of_minors() -> None:
    lewd = [row for row in ROWS if row["kind"] == "sexual" or row["labels"].get("sexual") == 1]
    assert len(lewd) > PER_KIND / 3
    for row in lewd:
        assert not MINORS.search(row["prompt"] + " " + row["response"]), row
    sexual = next(kind for kind in KINDS if kind.name == "sexual")
    for frame in sexual.frames:
        for text in (*frame.prompts, *(side.body for side in frame.texts)):
            assert not MINORS.search(text), text
    for bank in sexual.banks.values():
        for word in bank:
            assert not MINORS.search(word), word


def test_a_frame_does_not_fill_what_a_used_up_one_leaves() -> None:
    def frame(body: str) -> Frame:
        return Frame(
            (Text(f"{body} is bad.", {"toxic": 1}, "bad"), Text(f"{body} is fine.", {"toxic": 0}, "fine"))
        )

    many = tuple(f"word{number}" for number in range(400))
    kind = Kind(
        "k",
        (*(frame(f"{letter} [this|that]") for letter in "abcdefgh"), frame("{many}"), frame("{many2}")),
        {"many": many},
    )
    found = list(rows_of(kind, count=500, seed=0))
    given = Counter(row["template"] for row in found if not row["held_out"])
    assert len(found) < 500
    assert max(given.values()) <= 2 * 400 / 8 + 6


def test_the_same_seed_gives_the_same_rows_and_another_seed_others() -> None:
    hate = [kind for kind in KINDS if kind.name == "hate"]
    first = list(rows(per_kind=60, seed=1, kinds=hate))
    assert list(rows(per_kind=60, seed=1, kinds=hate)) == first
    other = list(rows(per_kind=60, seed=2, kinds=hate))
    assert other != first
    assert {row["template"] for row in other if row["held_out"]} == {
        row["template"] for row in first if row["held_out"]
    }


@pytest.mark.parametrize("name", DISGUISES)
def test_every_disguise_changes_the_text_and_keeps_most_of_its_length(name: str) -> None:
    text = "You are always welcome at our house, and so is your family."
    changed = DISGUISES[name](text, Random(3))
    assert changed != text
    assert 0.6 * len(text) < len(changed) < 3 * len(text)


def test_twins_share_words_and_choices() -> None:
    filling = Filling({"x": ("a", "b", "c")}, Random(0), held_out=False)
    assert filling.fill("{x} [one|two|three]") == filling.fill("{x} [one|two|three]")
    assert len({filling.fill("{x}"), filling.fill("{x2}"), filling.fill("{x3}")}) == 3


def test_joined_answers_go_on_with_texts_of_the_same_labels() -> None:
    def frame(one: str) -> Frame:
        return Frame((Text(f"Bad {one}.", {"toxic": 1}, "bad"), Text(f"Fine {one}.", {"toxic": 0}, "fine")))

    kind = Kind("k", (frame("x"), frame("y")), {}, joined=True)
    found = draw(kind, kind.frames[0], Random(0), False, "set", kind.frames[1])
    assert [row["response"].split() for row in found] == [
        ["Bad", "x.", "Bad", "y."],
        ["Fine", "x.", "Fine", "y."],
    ]
    other = Frame((Text("Odd.", {"toxic": 1, "threat": 1}, "bad"), Text("Fine.", {"toxic": 0}, "fine")))
    assert [row["response"] for row in draw(kind, kind.frames[0], Random(0), False, "set", other)] == [
        "Bad x.",
        "Fine x.",
    ]


def test_a_gap_without_a_list_is_an_error() -> None:
    kind = Kind("k", (Frame((Text("{nothing}", {}, "c"),)),), {})
    with pytest.raises(KeyError, match="nothing"):
        draw(kind, kind.frames[0], Random(0), False, "set")


@pytest.mark.parametrize(
    ("word", "expected"),
    [("apple", "an"), ("user", "a"), ("hour", "an"), ("house", "a"), ("honest man", "an"), ("European", "a"), ("umbrella", "an"),
     ("university", "a"), ("one-legged man", "a"), ("HTML page", "an"), ("UFO", "a"), ("useless", "a"), ("ugly", "an"),
     ("unimportant", "an"), ("uninvited", "an"), ("violin", "a")],
)  # fmt: skip
def test_article(word: str, expected: str) -> None:
    assert article(word) == expected


@pytest.mark.parametrize(
    ("noun", "expected"),
    [("dog", "dogs"), ("box", "boxes"), ("city", "cities"), ("day", "days"), ("garden knife", "garden knives"), ("church", "churches"),
     ("woman", "women"), ("bus driver", "bus drivers"), ("sheep", "sheep")],
)  # fmt: skip
def test_plural(noun: str, expected: str) -> None:
    assert plural(noun) == expected


def test_settle_puts_articles_spaces_and_capitals_right() -> None:
    assert settle("a(n) apple  and a(n) pear , please .") == "An apple and a pear, please."
    assert settle("one \n two") == "One\ntwo"
    assert capital("") == ""


def test_the_command_writes_lines_and_counts_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "written.jsonl"
    assert main(["inventory", "--out", str(out), "--per-kind", "40"]) == 0
    found = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert found == list(rows(per_kind=40))
    printed = capsys.readouterr().out
    assert printed.strip() == inventory(found)
    assert str(len(found)) in printed.splitlines()[-1]
    assert len({row["kind"] for row in found}) == len(KINDS) == len(printed.splitlines()) - 2


def test_wrong_usage_ends_with_two() -> None:
    for arguments in ([], ["show"], ["show", "nothing"]):
        with pytest.raises(SystemExit) as raised:
            main(arguments)
        assert raised.value.code == 2


def test_kinds_have_distinct_frames() -> None:
    for kind in KINDS:
        keys = sorted(frame.key for frame in kind.frames)
        assert all(one != other for one, other in pairwise(keys)), kind.name


def _key(row: Row) -> tuple[str, str]:
    return row["prompt"].casefold(), row["response"].casefold()
