"""A lexical floor for self-contradiction: two sentences that share words and differ in negation, number or opposite.

Nothing is learned. It stands beside the judge's `coherence` so that the judge's figure can be read: what a list of
words and a comparison of sentences tell already is no merit of a model.
"""

from __future__ import annotations

import itertools
import re

#: Sentences of an answer that are compared, each with each.
MOST_SENTENCES = 40

_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_WORD = re.compile(r"[a-z]+(?:['’][a-z]+)?|\d+(?:[.,:]\d+)*")
_NEGATION = re.compile(
    r"\b(?:not|no|never|none|nobody|nothing|neither|nor|without|cannot|hardly|\w+n['’]t)\b", re.IGNORECASE
)
_COMMON = frozenset(
    _WORD.findall(
        "a an the and or but so if as of at by for from in into on to with that this these those there it its he she"
        " they we you i is are was were be been has have had do does did will would can could may might should very"
    )
)
_OPPOSITES = (
    "open closed", "opens closes", "light heavy", "large small", "big small", "hot cold", "warm cold", "old new",
    "young old", "early late", "first last", "before after", "more less", "more fewer", "many few", "all none",
    "always never", "everyone nobody", "everything nothing", "success failure", "succeeded failed", "safe dangerous",
    "safe unsafe", "cheap expensive", "true false", "right wrong", "good bad", "best worst", "fast slow", "quick slow",
    "easy hard", "easy difficult", "long short", "high low", "tall short", "rich poor", "full empty", "dry wet",
    "alive dead", "happy sad", "loved hated", "like dislike", "agree disagree", "agreed refused", "allowed forbidden",
    "possible impossible", "legal illegal", "healthy unhealthy", "alone together", "inside outside", "left right",
    "north south", "east west", "day night", "morning evening", "summer winter", "increase decrease", "increased fell",
    "rose fell", "win lose", "won lost", "free paid", "single married", "only several", "same different", "buy sell",
    "arrived left", "began ended", "black white", "red blue", "red green", "blue green", "male female",
)  # fmt: skip
_OPPOSITE_OF = frozenset(frozenset(pair.split()) for pair in _OPPOSITES)


def score(answer: str) -> float:
    """How much the answer looks like contradicting itself, from 0 on: the worst two of its sentences."""
    sentences = [part for part in _SENTENCE.split(answer) if part.strip()][:MOST_SENTENCES]
    read = [_read(sentence) for sentence in sentences]
    return max((_clash(one, other) for one, other in itertools.combinations(read, 2)), default=0.0)


def _read(sentence: str) -> tuple[frozenset[str], frozenset[str], bool]:
    """Its telling words, its numbers, and whether it denies."""
    words = _WORD.findall(sentence.lower())
    numbers = frozenset(word for word in words if word[0].isdigit())
    return (
        frozenset(words) - numbers - _COMMON,
        numbers,
        len(_NEGATION.findall(sentence)) % 2 == 1,
    )


def _clash(
    one: tuple[frozenset[str], frozenset[str], bool], other: tuple[frozenset[str], frozenset[str], bool]
) -> float:
    words, numbers, denies = one
    words2, numbers2, denies2 = other
    if not words or not words2:
        return 0.0
    alike = len(words & words2) / min(len(words), len(words2))
    signs = (
        (denies != denies2)
        + (bool(numbers) and bool(numbers2) and not numbers & numbers2)
        + any(frozenset((a, b)) in _OPPOSITE_OF for a in words - words2 for b in words2 - words)
    )
    # Overlap alone says a little: sentences about the same thing can clash in words that no list holds.
    return alike * (0.1 + signs)
