"""Harmful and harmless texts of the other kinds in disguised spelling: the spelling itself must not decide.

Each frame takes a frame of another kind and one of `DISGUISES`. Held-out frames take held-out disguises of frames that
the other kind holds out as well.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random

from train.written.template import Change, Kind

_WORD = re.compile(r"[A-Za-z]{3,}")
_LEET = str.maketrans("aeiostAEIOST", "431057431057")
_LEET_SIGNS = str.maketrans("aisloAISLO", "@!$|0@!$|0")
_CYRILLIC = str.maketrans("aceopxyABCEHKMOPTX", "асеорхуАВСЕНКМОРТХ")
_FULL_WIDTH = str.maketrans({chr(code): chr(code + 0xFEE0) for code in range(0x21, 0x7F)})
_SMILEYS = ("🙂", "😂", "🔥", "👍", "💀", "🙏", "🎉", "😡", "❤️", "👀", "🌸", "🐶", "😭", "✨")


def _words(change: Callable[[str, Random], str], share: float) -> Change:
    """Return a change that applies `change` to about `share` of the words of three letters or more, one at least."""

    def apply(text: str, rng: Random) -> str:
        places = list(_WORD.finditer(text))
        if not places:
            return text
        hit = {index for index in range(len(places)) if rng.random() < share} or {rng.randrange(len(places))}
        parts, end = [], 0
        for index, place in enumerate(places):
            parts += [text[end : place.start()], change(place[0], rng) if index in hit else place[0]]
            end = place.end()
        return "".join([*parts, text[end:]])

    return apply


def _joined(separator: str) -> Callable[[str, Random], str]:
    return lambda word, _: separator.join(word)


def _stretched(word: str, rng: Random) -> str:
    place = rng.randrange(1, len(word))
    return word[:place] + word[place] * rng.randint(2, 4) + word[place + 1 :]


def _starred(word: str, rng: Random) -> str:
    vowels = [index for index, letter in enumerate(word) if index and letter in "aeiou"]
    place = rng.choice(vowels or [len(word) - 1])
    return word[:place] + rng.choice("*#_") + word[place + 1 :]


def _dropped(word: str, _: Random) -> str:
    return word[0] + re.sub("[aeiou]", "", word[1:-1]) + word[-1]


def _swapped(word: str, rng: Random) -> str:
    place = rng.randrange(1, len(word) - 1)
    return word[:place] + word[place + 1] + word[place] + word[place + 2 :]


def _split(word: str, rng: Random) -> str:
    place = rng.randrange(1, len(word))
    return word[:place] + rng.choice((" ", "-", "/")) + word[place:]


def _mixed_case(word: str, rng: Random) -> str:
    return "".join(letter.upper() if rng.random() < 0.5 else letter.lower() for letter in word)


def _smileys(text: str, rng: Random) -> str:
    pieces = text.split(" ")
    for _ in range(max(1, len(pieces) // 6)):
        pieces.insert(rng.randrange(1, len(pieces) + 1), rng.choice(_SMILEYS))
    return " ".join(pieces)


def _chat(text: str, _: Random) -> str:
    short = {"you": "u", "your": "ur", "are": "r", "to": "2", "for": "4", "and": "n", "be": "b", "why": "y"}
    return re.sub(r"[a-z]+", lambda match: short.get(match[0], match[0]), re.sub(r"[.,'!]", "", text.lower()))


DISGUISES: dict[str, Change] = {
    "leet": _words(lambda word, _: word.translate(_LEET), 0.8),
    "leet signs": _words(lambda word, _: word.translate(_LEET_SIGNS), 0.8),
    "leet, a few words": _words(lambda word, _: word.translate(_LEET), 0.25),
    "dots": _words(_joined("."), 0.5),
    "spaces": _words(_joined(" "), 0.9),
    "hyphens": _words(_joined("-"), 0.4),
    "stretched": _words(_stretched, 0.4),
    "starred": _words(_starred, 0.5),
    "vowels dropped": _words(_dropped, 0.5),
    "letters swapped": _words(_swapped, 0.5),
    "split words": _words(_split, 0.3),
    "mixed case": _words(_mixed_case, 1.0),
    "capitals": lambda text, _: text.upper(),
    "smileys": _smileys,
    "chat": _chat,
    "cyrillic": _words(lambda word, _: word.translate(_CYRILLIC), 0.8),
    "full width": lambda text, _: text.translate(_FULL_WIDTH),
    "zero width": _words(_joined("\u200b"), 0.6),
    "underscores": _words(_joined("_"), 0.4),
    "spaces and leet": _words(lambda word, _: " ".join(word.translate(_LEET)), 0.5),
}
_HELD_OUT = frozenset({"leet signs", "hyphens", "split words", "full width", "spaces and leet"})


def disguised(kinds: Sequence[Kind]) -> Kind:
    """Return the kind that holds the frames of `kinds`, each in three spellings."""
    frames = []
    for kind in kinds:
        for held_out in (False, True):
            names = [name for name in DISGUISES if (name in _HELD_OUT) == held_out]
            for index, frame in enumerate(kind.part(held_out)):
                for name in (names[(3 * index + step) % len(names)] for step in range(3)):
                    texts = tuple(
                        replace(text, change=DISGUISES[name], context=f"{name}: {text.context}")
                        for text in frame.texts
                    )
                    frames.append(
                        replace(
                            frame,
                            texts=texts,
                            held_out=held_out,
                            banks={**kind.banks, **frame.banks},
                            wrapped=False,
                        )
                    )
    return Kind(name="spelling", frames=tuple(frames), banks={})
