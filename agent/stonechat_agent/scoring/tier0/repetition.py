"""Whether an answer goes round in circles."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

_TAIL = 600
_GRAM = 8


def repetition(words: Sequence[str], *, at_end: bool) -> float:
    """Return how much the tokens of an answer repeat, 0 to 1; 0.5 is beyond what people write on purpose.

    The worst of three: a run of one word; a unit of several tokens that the answer ends in, over and over; the share
    of tokens within groups of eight that came before in the same answer. ``at_end``: whether the end is the answer's
    own, and not that of a piece.
    """
    if len(words) < 24:
        return _run(words)
    return max(_run(words), _loop(words[-_TAIL:]) if at_end else 0.0, _grams(words))


def _run(words: Sequence[str]) -> float:
    """The longest run of one word against 16. Numbers and signs repeat in tables, drawings and padding."""
    longest = here = 0
    before = ""
    for word in words:
        here = here + 1 if word == before else 1
        before = word
        if here > longest and word.isalpha() and (len(word) > 1 or here > 64):
            longest = here
    return min(1.0, longest / 32)


def _loop(words: Sequence[str]) -> float:
    """How often the tokens end in one unit: the failure function of Knuth, Morris and Pratt, from the end backwards."""
    backwards = words[::-1]
    count = len(backwards)
    border = [0] * count
    best = 0.0
    at = 0
    for place in range(1, count):
        while at and backwards[place] != backwards[at]:
            at = border[at - 1]
        if backwards[place] == backwards[at]:
            at += 1
        border[place] = at
        length = place + 1
        period = length - at
        if period < 2 or length < 3 * period:
            continue
        unit = [word for word in backwards[:period] if word.isalpha()]
        # Whole sentences need fewer turns than words: three times one paragraph is a loop, "la la la" is a song.
        if len(unit) >= 0.4 * period and sum(map(len, unit)) >= max(4, 2 * period):
            best = max(best, min(1.0, (length / period - 1) * min(period, 24) / 64))
    return best


def _grams(words: Sequence[str]) -> float:
    """The share of groups of eight tokens that are a repetition, of those with four words or more, above a half."""
    if len(words) < 80:
        return 0.0
    alphabetic = [word.isalpha() for word in words]
    grams: set[int] = set()
    total = 0
    letters = sum(alphabetic[: _GRAM - 1])
    for place in range(len(words) - _GRAM + 1):
        letters += alphabetic[place + _GRAM - 1]
        if letters >= _GRAM // 2:
            total += 1
            grams.add(hash(tuple(words[place : place + _GRAM])))
        letters -= alphabetic[place]
    if total < 60:
        return 0.0
    return max(0.0, (1 - len(grams) / total - 0.3) / 0.6)


def degenerate(text: str) -> float:
    """Return how much smaller than itself a text can be told, 0 to 1, where 0.5 is twelve times.

    Prose compresses to a half or a third, code and tables to a fifth. Short texts compress little, whatever they say;
    and of what is mostly figures and signs nothing is said.
    """
    if sum(map(str.isalpha, text)) < 0.4 * len(text):
        return 0.0
    data = text.encode("utf-8", "replace")
    if len(data) < 600:
        return 0.0
    ratio = len(data) / len(zlib.compress(data, 1))
    return min(1.0, max(0.0, (ratio - 4) / 16))
