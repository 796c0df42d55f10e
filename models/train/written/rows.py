"""Rows from kinds: drawn set by set, frames in turn, capped, without duplicates."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from random import Random
from typing import TypedDict

from train.written.template import Filling, Frame, Kind, Text, words

HELD_OUT_SHARE = 0.2
_BARE_SHARE = 0.4
_JOINED_SHARE = 0.4
_FRUITLESS = 40


class Row(TypedDict):
    """One example, as it is written out.

    ``prompt`` may be empty. ``labels`` lacks what is unknown. ``group`` is the entry of the list named ``group`` that
    the set uses (an identity, an object, a spelling), or empty. ``set`` joins the texts of one contrast set.
    """

    prompt: str
    response: str
    labels: dict[str, int]
    kind: str
    context: str
    group: str
    template: str
    set: str
    held_out: bool


def rows_of(kind: Kind, *, count: int, seed: int) -> Iterator[Row]:
    """Yield about `count` rows of `kind`, a fifth of them held out, always in whole sets.

    Frames take turns, so that none gives much more than its share; one whose fillings are used up falls out, which is
    the only way to fewer rows than `count`.
    """
    seen: set[str] = set()
    for held_out in (False, True):
        wanted = round(count * (HELD_OUT_SHARE if held_out else 1 - HELD_OUT_SHARE))
        yield from _part(kind, wanted, Random(f"{seed} {kind.name} {held_out}"), held_out, seen)


def _part(kind: Kind, wanted: int, rng: Random, held_out: bool, seen: set[str]) -> Iterator[Row]:
    frames = kind.part(held_out)
    open_frames = {frame.key: frame for frame in frames}
    given: Counter[str] = Counter()
    failures: Counter[str] = Counter()
    # Twice the even share: lists run dry at different times, and no frame may fill all that the others leave.
    cap = 2 * wanted / max(1, len(open_frames)) + 4
    total = 0
    while total < wanted and open_frames:
        for key in list(open_frames):
            other = rng.choice(frames) if kind.joined and rng.random() < _JOINED_SHARE else None
            drawn = draw(kind, open_frames[key], rng, held_out, f"{kind.name}-{key}-{given[key]}", other)
            texts = [_normal(row) for row in drawn]
            if len(set(texts)) < len(texts) or seen.intersection(texts):
                failures[key] += 1
                if failures[key] >= _FRUITLESS:
                    del open_frames[key]
                continue
            failures[key] = 0
            seen.update(texts)
            yield from drawn
            total += len(drawn)
            given[key] += len(drawn)
            if given[key] >= cap:
                del open_frames[key]
            if total >= wanted:
                return


def draw(
    kind: Kind, frame: Frame, rng: Random, held_out: bool, name: str, other: Frame | None = None
) -> list[Row]:
    """Return one filled contrast set of `frame`, named `name`.

    With `other`, each text goes on with one of that frame that has the same labels, if there is one for every text;
    template and context are those of `frame`.
    """
    filling = Filling({**kind.banks, **frame.banks}, rng, held_out)
    wrapper = "{core}"
    if frame.wrapped and kind.wrappers and rng.random() >= _BARE_SHARE:
        wrapper = rng.choice(words(kind.wrappers, held_out))
    prompt = rng.choice(frame.prompts)
    more = _continued(frame, other, rng) if other is not None and other is not frame else []
    several_lines = any("\n" in text.body for text in (*frame.texts, *more))
    in_list = "- {core}" in wrapper or ". {core}" in wrapper
    if in_list and several_lines:
        wrapper = "{core}"
    # A blank line would end the list that a wrapper is, and a space would go on in the last item of a list.
    gap = " " if in_list and not several_lines else "\n\n" if several_lines else rng.choice((" ", "\n\n"))
    found = []
    for index, text in enumerate(frame.texts):
        asked = filling.fill(prompt if text.prompt is None else text.prompt)
        # The core is settled on its own first: its sentence starts with a capital wherever it stands.
        core = filling.fill(text.body)
        if more:
            core += gap + filling.fill(more[index].body)
        response = filling.fill(wrapper.replace("{core}", core))
        if text.change is not None:
            response = text.change(response, rng)
        found.append((text, asked, response))
    return [
        Row(
            prompt=asked,
            response=response,
            labels=dict(text.labels),
            kind=kind.name,
            context=text.context,
            group=filling.used.get("group", "").split("~")[0],
            template=f"{kind.name}/{frame.key}",
            set=name,
            held_out=held_out,
        )
        for text, asked, response in found
    ]


def _continued(frame: Frame, other: Frame, rng: Random) -> list[Text]:
    """Return a text of `other` for each of `frame` with labels alike, or nothing if one has none."""
    fitting = [[text for text in other.texts if text.labels == mine.labels] for mine in frame.texts]
    return [rng.choice(texts) for texts in fitting] if all(fitting) else []


def _normal(row: Row) -> str:
    return re.sub(r"\s+", " ", f"{row['prompt']}\0{row['response']}").strip().casefold()
