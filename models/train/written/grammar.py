"""Small English grammar for filled templates: articles, plurals, capitals, spacing.

Rules of thumb with a list of exceptions, enough for the word lists of this package and tested on them.
"""

from __future__ import annotations

import re

_CONSONANT_SOUND = re.compile(r"^(?:eu|ew|one\b|once\b|uni(?!n|m)|us[aei]|ut[ei]|ub|u\b)", re.IGNORECASE)
_SILENT_H = re.compile(r"^(?:hour|honest|honour|honor|heir)", re.IGNORECASE)
_LETTERS_WITH_VOWEL_SOUND = frozenset("AEFHILMNORSX")
_IRREGULAR = {
    "child": "children", "foot": "feet", "goose": "geese", "knife": "knives", "leaf": "leaves", "life": "lives",
    "loaf": "loaves", "man": "men", "mouse": "mice", "person": "people", "sheep": "sheep", "shelf": "shelves",
    "thief": "thieves", "tooth": "teeth", "wolf": "wolves", "woman": "women",
}  # fmt: skip


def article(word: str) -> str:
    """Return ``a`` or ``an``, whichever stands before `word` by its sound; an acronym is spelled out."""
    first = word.split(" ", 1)[0]
    if len(first) > 1 and first.isupper():
        return "an" if first[0] in _LETTERS_WITH_VOWEL_SOUND else "a"
    if _SILENT_H.match(word):
        return "an"
    if _CONSONANT_SOUND.match(word):
        return "a"
    return "an" if word[:1].lower() in "aeiou" else "a"


def plural(noun: str) -> str:
    """Return the plural of `noun`; of several words only the last changes."""
    *before, last = noun.split(" ")
    return " ".join([*before, _plural_word(last)])


def _plural_word(word: str) -> str:
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if word.endswith(("s", "x", "z", "ch", "sh")):
        return word + "es"
    if word.endswith("y") and word[-2:-1] not in "aeiou":
        return word[:-1] + "ies"
    return word + "s"


def capital(text: str) -> str:
    """Return `text` with its first character as a capital and the rest as it was."""
    return text[:1].upper() + text[1:]


def settle(text: str) -> str:
    """Resolve ``a(n)``, and put spaces and the first capital right; line breaks stay."""
    text = re.sub(r"[ \t]+", " ", text)
    text = re.sub(r" +(?=[,.;:!?](?:\s|$))| +$|(?<=\n) +", "", text, flags=re.MULTILINE)
    text = re.sub(
        r"\b([Aa])\(n\) ((?:\w|-)+)",
        lambda match: ("A" if match[1] == "A" else "a") + article(match[2])[1:] + " " + match[2],
        text,
    )
    return capital(text.strip())
