"""Text as the first tier reads it: hashed words and runs of characters, and a few measures of the whole.

A card with ``[input] tokenizer = "hashed"`` names the size of both hash tables and how much of a text is read::

    [input]
    tokenizer = "hashed"
    scheme = 1              # of this module; another one is refused
    word_bits = 15          # 2**15 buckets for words
    piece_bits = 15         # 2**15 buckets for what stands first and last, pairs, and runs of 3 to 5 characters
    characters = 3072       # of an answer: its first three quarters of that and its last quarter; others are not read
    prompt_characters = 768 # of a prompt: its last ones

`Spec.of` reads that table and `feed` makes the graph's whole input, for any number of pairs at once:

======================  =======================  ==================================================================
``answer_words``        int32 (rows, any)        buckets from 1; 0 pads, and is a row of zeros in the graph's table
``answer_pieces``       int32 (rows, any)        the same for pieces
``prompt_words``        int32 (rows, any)        the same of the prompt; all 0 without a prompt
``prompt_pieces``       int32 (rows, any)
``measures``            float32 (rows, 20)       `MEASURES`
======================  =======================  ==================================================================

The graph gives ``logits`` float32 (rows, labels) and ``embedding`` float32 (rows, at most 64) of the answer alone, of
length 1 (of zeros for a text without a word). Rows are padded to the longest, so feed rows of similar length
together, or one at a time.

The same text gives the same numbers on every machine and Python: letters are folded by a table of old blocks of Unicode
whose case and decompositions are stable, and hashes are sums modulo 2**64. Spelling that hides words is undone where
that is safe: accents, look-alike letters of other scripts, full-width and mathematical letters, invisible characters,
digits and signs for letters, letters set apart ("s p a c e d", "d.o.t.s") and stretched ones.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

SCHEME = 1

#: Names of the columns of ``measures``. Shares are of [0, 1]; logarithms are scaled to about [0, 1].
MEASURES = (
    "words",  # log(1 + n) / 8
    "word_length",  # mean letters and digits of a word / 10
    "distinct_words",
    "distinct_pairs",
    "distinct_fours",  # of four words in a row: below 1 where whole phrases come again
    "commonest_word",  # its share of all words
    "capitals",  # of all characters, as the following
    "digits",
    "symbols",
    "beyond_ascii",
    "stretched",  # letters equal to both before them
    "ends_closed",  # 1 where the last character ends a sentence or closes something
    "lines",  # log(1 + line ends) / 4
    "length",  # log(1 + characters of the whole text) / 16
    "has_prompt",
    "prompt_words",  # log(1 + n) / 8
    "asked_of_said",  # share of the answer's distinct words that the prompt has
    "said_of_asked",  # share of the prompt's distinct words that the answer has
    "said_of_asked_long",  # the same of words of five letters or more
    "said_of_asked_pairs",  # the same of pairs of words
)

Bytes = NDArray[np.uint8]
Hashes = NDArray[np.uint64]
Buckets = NDArray[np.int32]
Places = NDArray[np.int64]
Points = NDArray[np.uint32]

# In this order, so that one comparison tells words, and words and symbols, from the rest.
_LETTER, _DIGIT, _SYMBOL, _SPACE, _EDGE = range(5)
_FIRST_WORDS = 4
_RUNS = (3, 4, 5)
_LONG_WORD = 5

_BASE = 0x9E3779B97F4A7C15
_SALTS = [np.uint64(salt) for salt in (0xBF58476D1CE4E5B9, 0x94D049BB133111EB, 0xD6E8FEB86659FD93)]
_PAIRED = np.uint64(0xFF51AFD7ED558CCD)
_SHIFT = np.uint64(31)


class Spec(NamedTuple):
    """The numbers that training and inference have to share."""

    word_bits: int = 15
    piece_bits: int = 15
    characters: int = 3072
    prompt_characters: int = 768

    @classmethod
    def of(cls, table: Mapping[str, Any]) -> Spec:
        """Read a card's ``[input]``.

        Raises:
            ValueError: another tokenizer or scheme, or a number that is missing or out of range.
        """
        if table.get("tokenizer") != "hashed" or table.get("scheme") != SCHEME:
            raise ValueError(
                f"input.tokenizer = {table.get('tokenizer')!r}, scheme = {table.get('scheme')!r}: "
                f"expected 'hashed' and {SCHEME}; the model is of another version"
            )
        limits = {
            "word_bits": (1, 24),
            "piece_bits": (1, 24),
            "characters": (16, 1 << 20),
            "prompt_characters": (16, 1 << 20),
        }
        for name, (low, high) in limits.items():
            value = table.get(name)
            if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
                raise ValueError(f"input.{name} = {value!r}: expected a whole number from {low} to {high}")
        return cls(**{name: table[name] for name in limits})


class Read(NamedTuple):
    """One text, hashed. `words` and `pieces` are buckets from 1, one for each occurrence."""

    words: Buckets
    pieces: Buckets
    hashes: Hashes  # of its words, in their order
    pairs: Hashes  # of each two neighbours among them
    lengths: Places  # of its words, in characters
    shape: tuple[float, ...]  # the measures from `capitals` to `length`


def feed(pairs: Sequence[tuple[str, str]], spec: Spec) -> dict[str, NDArray[Any]]:
    """The graph's input for (prompt, answer) pairs; an empty prompt is none. Any text is fine, of any length."""
    read = [read_pair(prompt, answer, spec) for prompt, answer in pairs]
    measures = [measured(asked, said) for asked, said in read]
    return {
        "answer_words": padded([said.words for _, said in read]),
        "answer_pieces": padded([said.pieces for _, said in read]),
        "prompt_words": padded([asked.words for asked, _ in read]),
        "prompt_pieces": padded([asked.pieces for asked, _ in read]),
        "measures": np.array(measures, np.float32).reshape(len(read), len(MEASURES)),
    }


def padded(rows: Sequence[Buckets]) -> Buckets:
    """Rows of one length, at least 1, with zeros behind."""
    if len(rows) == 1 and len(rows[0]):
        return rows[0][np.newaxis]
    out = np.zeros((len(rows), max([1, *map(len, rows)])), np.int32)
    for at, row in enumerate(rows):
        out[at, : len(row)] = row
    return out


def measured(asked: Read, said: Read) -> list[float]:
    """All `MEASURES` of a pair."""
    words, pairs = said.hashes, said.pairs
    count = max(1, len(words))
    distinct, commonest = _distinct(words)
    distinct_pairs, _ = _distinct(pairs)
    fours, _ = _distinct(pairs[:-2] * _SALTS[2] + pairs[2:])
    alone = [
        math.log1p(len(words)) / 8,
        float(said.lengths.sum()) / count / 10,
        len(distinct) / count,
        len(distinct_pairs) / max(1, len(pairs)),
        len(fours) / max(1, len(pairs) - 2),
        commonest / count,
        *said.shape,
    ]
    if not len(asked.hashes):
        return alone + [0.0] * (len(MEASURES) - len(alone))
    asked_words, _ = _distinct(asked.hashes)
    asked_long, _ = _distinct(asked.hashes[asked.lengths >= _LONG_WORD])
    asked_pairs, _ = _distinct(asked.pairs)
    both = _common(distinct, asked_words)
    return [
        *alone,
        1.0,
        math.log1p(len(asked.hashes)) / 8,
        both / max(1, len(distinct)),
        both / len(asked_words),
        _common(distinct, asked_long) / max(1, len(asked_long)),
        _common(distinct_pairs, asked_pairs) / max(1, len(asked_pairs)),
    ]


def read_pair(prompt: str, answer: str, spec: Spec) -> tuple[Read, Read]:
    """Hash a prompt and an answer, of which no more is read than `spec` says. Both at once: half the time."""
    if len(answer) > spec.characters:
        last = spec.characters // 4
        cut = f"{answer[: spec.characters - last - 1]}\n{answer[-last:]}"
    else:
        cut = answer
    asked, said = _read((prompt[-spec.prompt_characters :], cut), spec)
    return asked, said._replace(shape=(*said.shape, math.log1p(len(answer)) / 16))


def _read(texts: Sequence[str], spec: Spec) -> list[Read]:
    points, kinds, shapes = _folded(texts)
    count = len(points)
    powers, inverse = _powers(count)
    # What stands from a to b has the hash (prefix[b] - prefix[a]) * inverse[a], wherever it stands.
    prefix = np.zeros(count + 1, np.uint64)
    np.cumsum(points * powers, out=prefix[1:])

    # Between two characters lies a border unless both belong to one word; words, and symbols, lie between borders.
    in_word = kinds < _SYMBOL
    border = np.ones(count + 1, np.bool_)
    np.logical_not(in_word[1:] & in_word[:-1], out=border[1:-1])
    thing = kinds <= _SYMBOL
    starts = np.flatnonzero(border[:-1] & thing)
    lengths = np.flatnonzero(border[1:] & thing) + 1 - starts
    words = (prefix[starts + lengths] - prefix[starts]) * inverse[starts]
    pairs = words[:-1] * _PAIRED + words[1:]
    word_buckets = _buckets(words, spec.word_bits)
    first_buckets = _buckets(words * _SALTS[1], spec.piece_bits)
    pair_buckets = _buckets(pairs * _SALTS[0], spec.piece_bits)

    grams = np.zeros((len(_RUNS), count), np.uint64)
    for row, run in zip(grams, _RUNS, strict=True):
        part = row[: max(0, count - run + 1)]
        np.subtract(prefix[run:], prefix[: len(part)], out=part)
        part *= inverse[: len(part)]
        part += _SALTS[run % 3]
    gram_buckets = _buckets(grams, spec.piece_bits)

    edges = np.flatnonzero(kinds == _EDGE)
    bounds = np.searchsorted(starts, edges)
    out = []
    for at, shape in enumerate(shapes):
        first, last = int(bounds[at]), int(bounds[at + 1])
        opening = min(first + _FIRST_WORDS, last)
        left, right = int(edges[at]), int(edges[at + 1]) + 1
        own_pairs = pairs[first : max(first, last - 1)]
        out.append(
            Read(
                word_buckets[first:last],
                np.concatenate(
                    [
                        first_buckets[first:opening],
                        _buckets(own_pairs[:_FIRST_WORDS] * _SALTS[1], spec.piece_bits),
                        _buckets(words[first:last][-1:] * _SALTS[2], spec.piece_bits),
                        pair_buckets[first : max(first, last - 1)],
                        *(
                            row[left : max(left, right - run + 1)]
                            for row, run in zip(gram_buckets, _RUNS, strict=True)
                        ),
                    ]
                ),
                words[first:last],
                own_pairs,
                lengths[first:last],
                shape,
            )
        )
    return out


def _distinct(hashes: Hashes) -> tuple[Hashes, int]:
    """The values once each, sorted, and how often the commonest is there."""
    if not len(hashes):
        return hashes, 0
    ordered = np.sort(hashes)
    first = np.ones(len(ordered) + 1, np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:-1])
    places = np.flatnonzero(first)
    return ordered[places[:-1]], int((places[1:] - places[:-1]).max())


def _buckets(hashes: Hashes, bits: int) -> Buckets:
    # The high bits of a product depend on all bits of what was multiplied; the low ones do not.
    mixed = (hashes ^ (hashes >> _SHIFT)) * _SALTS[1]
    return ((mixed >> np.uint64(64 - bits)) + np.uint64(1)).astype(np.int32)


def _common(some: Hashes, others: Hashes) -> int:
    """How many values two sorted arrays without repetitions share."""
    if not len(some) or not len(others):
        return 0
    places = np.minimum(np.searchsorted(some, others), len(some) - 1)
    return int(np.count_nonzero(some[places] == others))


def _folded(texts: Sequence[str]) -> tuple[Hashes, Bytes, list[tuple[float, ...]]]:
    """Texts as folded code points, single spaces between words, and the measures of each from `capitals` to `lines`.

    An edge (a space to the hashes) stands before the first text, between two, and behind the last.
    """
    letters, kinds_of = _tables()
    # An edge and a space, which goes later: letters on both sides of an edge alone would look like letters set apart.
    whole = "\n\n".join(("", *texts, ""))
    raw = np.frombuffer(whole.encode("utf-32-le", "surrogatepass"), np.uint32)
    if whole.isascii():
        points = letters.take(raw)
        kinds = kinds_of.take(points)
    else:
        points = _beyond_the_table(raw, letters.take(np.minimum(raw, 0xFFFF)))
        kinds = kinds_of.take(np.minimum(points, 0xFFFF))
    edges = np.cumsum([0, *(len(text) + 2 for text in texts)])
    kinds[edges] = _EDGE
    same = (points[1:] == points[:-1]) & (kinds[1:] == _LETTER)
    counted = [raw - 65 < 26, kinds == _DIGIT, kinds == _SYMBOL, raw > 127, same[1:] & same[:-1]]
    shapes = []
    for at, text in enumerate(texts):
        inside = slice(edges[at] + 2, edges[at + 1])
        shares = [int(np.count_nonzero(truths[inside])) / max(1, len(text)) for truths in counted]
        closed = float(text.rstrip()[-1:] in _CLOSING)
        shapes.append((*shares, closed, math.log1p(text.count("\n")) / 4))
    points, kinds = _shown(points, kinds)
    points, kinds = _joined(points, kinds)
    if any(shape[1] or shape[2] for shape in shapes):
        points, kinds = _with_letters_for_signs(points, kinds)
    points, kinds = _unstretched(points, kinds)
    spaces = kinds == _SPACE
    keep = ~spaces
    keep[1:] |= kinds[:-1] <= _SYMBOL
    points, kinds = points[keep], kinds[keep]
    before = np.flatnonzero(kinds == _EDGE)[1:] - 1
    trailing = before[kinds[before] == _SPACE]
    if len(trailing):
        points, kinds = np.delete(points, trailing), np.delete(kinds, trailing)
    return points.astype(np.uint64), kinds, shapes


def _shown(points: Points, kinds: Bytes) -> tuple[Points, Bytes]:
    """Without invisible characters."""
    seen = points != 0
    return (points, kinds) if seen.all() else (points[seen], kinds[seen])


def _beyond_the_table(raw: Points, points: Points) -> Points:
    """Code points above 0xFFFF: mathematical letters become plain ones, all others stay."""
    high = raw > 0xFFFF
    if not high.any():
        return points
    points = np.where(high, raw, points)
    first, plain = _mathematical()
    styled = (raw >= first) & (raw < first + len(plain))
    points[styled] = plain[raw[styled] - first]
    return points


def _with_letters_for_signs(points: Points, kinds: Bytes) -> tuple[Points, Bytes]:
    """Digits and signs inside words as the letters that they stand for."""
    signs = _leet().take(np.minimum(points, 127))
    if not signs.any():
        return points, kinds
    letters = kinds == _LETTER
    position = np.arange(len(points))
    outside = ~letters & (kinds != _DIGIT) & (signs == 0)
    first = np.maximum.accumulate(np.where(outside, position, -1)) + 1
    behind = np.minimum.accumulate(np.where(outside, position, len(points))[::-1])[::-1]
    so_far = np.concatenate(([0], np.cumsum(letters)))
    earlier, later = so_far[:-1] - so_far[np.minimum(first, position)], so_far[behind] - so_far[:-1]
    # A digit stands for a letter in any word, a sign only with letters on both sides: "wow!" and "@name" have none.
    both = (earlier > 0) & (later > 0) | (kinds == _DIGIT) & (earlier + later > 0)
    hidden = (signs > 0) & both
    if not hidden.any():
        return points, kinds
    return np.where(hidden, signs, points), np.where(hidden, np.uint8(_LETTER), kinds)


def _joined(points: Points, kinds: Bytes) -> tuple[Points, Bytes]:
    """Letters set apart put together: three or more, one character between each two of them."""
    in_word = np.zeros(len(points) + 8, np.bool_)
    np.less(kinds, _SYMBOL, out=in_word[4:-4])
    single = in_word.copy()
    single[1:-1] &= ~(in_word[:-2] | in_word[2:])
    apart = single[3:-5] & single[5:-3]
    if not apart.any():
        return points, kinds
    apart &= single[1:-7] | single[7:-1]
    return points[~apart], kinds[~apart]


def _unstretched(points: Points, kinds: Bytes) -> tuple[Points, Bytes]:
    """Of a letter that stands three times in a row or more, which no English word has, one."""
    same = (points[1:] == points[:-1]) & (kinds[1:] == _LETTER)
    if not (same[1:] & same[:-1]).any():
        return points, kinds
    begins = np.append(True, ~same)
    run = np.cumsum(begins)
    keep = begins | (np.bincount(run)[run] < 3)
    return points[keep], kinds[keep]


@cache
def _powers_of(size: int) -> tuple[Hashes, Hashes]:
    powers = np.full(size, _BASE, np.uint64)
    inverse = np.full(size, pow(_BASE, -1, 1 << 64), np.uint64)
    powers[0] = inverse[0] = 1
    return np.cumprod(powers), np.cumprod(inverse)


def _powers(count: int) -> tuple[Hashes, Hashes]:
    """The first powers of the base of the hashes and of its inverse, modulo 2**64."""
    powers, inverse = _powers_of(1 << max(12, count.bit_length()))
    return powers[:count], inverse[: count + 1]


_CLOSING = frozenset(".!?:;)]}>\"'`*|…。！？”’»")
_DROPPED = "'`´ʼ‘’‛′\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u2800\u3164\ufeff\uffa0"
_SAME = {"“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "‐": "-", "‑": "-", "–": "-", "—": "-", "−": "-"}
_LOOK_ALIKES = dict(
    zip(
        "авекмнорстухіјѕԁһԛԝґѵαβεικνορτυχγωɑɡıѐёїйӏ",
        "abekmhopctyxijsdhqwrvabeiknoptuxywagieeiil",
        strict=True,
    )
)
_SPACES = ((0x00, 0x20), (0x7F, 0xA0), (0x1680, 0x1680), (0x2000, 0x200A), (0x2028, 0x2029), (0x202F, 0x202F))
_INVISIBLE = (
    (0x300, 0x36F),
    (0x200B, 0x200F),
    (0x202A, 0x202E),
    (0x2060, 0x206F),
    (0xFE00, 0xFE0F),
    (0x20D0, 0x20FF),
)
_SYMBOLS = ((0x21, 0x2F), (0x3A, 0x40), (0x5B, 0x60), (0x7B, 0x7E), (0xA1, 0xA9), (0xAB, 0xB4), (0xB6, 0xB9),
            (0xBB, 0xBF), (0xD7, 0xD7), (0xF7, 0xF7), (0x2010, 0x2027), (0x2030, 0x205E), (0x20A0, 0x20CF),
            (0x2190, 0x2BFF), (0x2E00, 0x2E7F), (0x3001, 0x303F), (0xD800, 0xDFFF), (0xE000, 0xF8FF),
            (0xFE10, 0xFE6F), (0xFF01, 0xFF0F), (0xFF1A, 0xFF20), (0xFF3B, 0xFF40), (0xFF5B, 0xFF65),
            (0xFFE0, 0xFFFF))  # fmt: skip
# Latin, Greek, Cyrillic and Armenian, their extensions, letter-like and enclosed letters, full-width forms: blocks of
# which Unicode keeps case and decomposition as they are.
_FOLDED = (
    (0x00, 0x58F),
    (0x1E00, 0x1FFF),
    (0x2070, 0x209C),
    (0x2100, 0x214F),
    (0x2460, 0x24FF),
    (0xFF01, 0xFF5E),
)


def _plain(character: str) -> str:
    """One character in lower case, without its accents, as the Latin letter that it looks like."""
    decomposed = unicodedata.normalize("NFKD", character)
    if len(decomposed) == 1 or all(unicodedata.combining(mark) for mark in decomposed[1:]):
        character = decomposed[0]
    lower = character.lower()
    lower = lower if len(lower) == 1 else character
    return _LOOK_ALIKES.get(lower, _SAME.get(lower, lower))


@cache
def _tables() -> tuple[NDArray[np.uint32], Bytes]:
    """For each code point up to 0xFFFF what it is folded to (0: left out), and the kind of what comes of that."""
    letters = np.arange(0x10000, dtype=np.uint32)
    for first, last in _FOLDED:
        for point in range(first, last + 1):
            letters[point] = ord(_plain(chr(point)))
    for sign, same in _SAME.items():
        letters[ord(sign)] = ord(same)
    for first, last in _INVISIBLE:
        letters[first : last + 1] = 0
    letters[[ord(sign) for sign in _DROPPED]] = 0
    kinds = np.full(0x10000, _LETTER, np.uint8)
    for first, last in _SYMBOLS:
        kinds[first : last + 1] = _SYMBOL
    for first, last in _SPACES:
        kinds[first : last + 1] = _SPACE
        letters[first : last + 1] = 32
    kinds[0x3000], letters[0x3000] = _SPACE, 32
    kinds[0x30:0x3A] = _DIGIT
    return letters, kinds


@cache
def _mathematical() -> tuple[int, NDArray[np.uint32]]:
    """The first of Unicode's styled letters and digits for mathematics, and the plain one of each in lower case."""
    first, last = 0x1D400, 0x1D7FF
    return first, np.array([ord(_plain(chr(point))) for point in range(first, last + 1)], np.uint32)


@cache
def _leet() -> NDArray[np.uint32]:
    """For each ASCII character the letter that it may stand for, or 0."""
    table = np.zeros(128, np.uint32)
    for sign, letter in zip("013457@$!|", "oieastasil", strict=True):
        table[ord(sign)] = ord(letter)
    return table
