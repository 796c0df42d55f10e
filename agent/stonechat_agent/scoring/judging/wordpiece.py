"""BERT's uncased tokenizer: text in, numbers of pieces of words out, as the `tokenizers` package gives them.

A text is cleaned (controls out, Chinese characters apart), cut at every kind of space, stripped of
accents, lower-cased, cut at signs, and each word is covered from its beginning with the longest pieces that the
vocabulary has; a word that cannot be covered, or of more than 100 characters, is `[UNK]`. As in J. Devlin et al., BERT
(2018), and its `tokenization.py`.

Where this differs on purpose: names of special tokens in a text, such as `[SEP]`, are text here, so that no answer can
end its own row; and halves of surrogate pairs, which JSON can smuggle into a text and `tokenizers` refuses, are dropped
as other characters are that cannot be displayed.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from pathlib import Path

from stonechat_agent.scoring.judging.characters import DROPPED, IDEOGRAPHS, MARKS, PUNCTUATION

LONGEST_WORD = 100
"""Characters of a word beyond which it is `[UNK]`, as everywhere."""

_CACHED_WORDS = 8192
_CACHED_LENGTH = 32
_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")


class VocabularyError(Exception):
    """A file that is not the vocabulary of a WordPiece; the message says why."""


class WordPiece:
    """A tokenizer. Several threads may use it at once; it remembers the pieces of some thousand words."""

    def __init__(self, vocabulary: Mapping[str, int]) -> None:
        """
        Args:
            vocabulary: number of each piece; those within a word begin with `##`.

        Raises:
            VocabularyError: a special token is missing.
        """
        missing = [name for name in _SPECIAL if name not in vocabulary]
        if missing:
            raise VocabularyError(
                f"has no {', '.join(missing)}; expected one piece a line, those of BERT's among them"
            )
        self.pad, self.unknown, self.cls, self.sep = (vocabulary[name] for name in _SPECIAL)
        self._vocabulary = dict(vocabulary)
        self._longest = max(map(len, vocabulary))
        self._cleaned = _Cleaned()
        self._cache: dict[str, tuple[int, ...]] = {}

    @classmethod
    def load(cls, path: Path) -> WordPiece:
        """Read `vocab.txt`: one piece a line, whose number is that of the line, from 0.

        Raises:
            VocabularyError: not UTF-8, or no such vocabulary.
            OSError: it cannot be read.
        """
        try:
            lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
        except UnicodeDecodeError as error:
            raise VocabularyError(f"is not UTF-8: {error.reason} at byte {error.start}") from error
        return cls({line.rstrip(): number for number, line in enumerate(lines)})

    def __len__(self) -> int:
        return len(self._vocabulary)

    def encode(self, text: str) -> list[int]:
        """Return the numbers of a text's pieces, without special tokens."""
        numbers: list[int] = []
        cache = self._cache
        for word in text.translate(self._cleaned).split():
            known = cache.get(word)
            if known is None:
                known = tuple(number for part in _parts(word) for number in self._cover(part))
                if len(word) <= _CACHED_LENGTH:
                    if len(cache) >= _CACHED_WORDS:
                        cache.clear()
                    cache[word] = known
            numbers += known
        return numbers

    def _cover(self, word: str) -> list[int]:
        """Return the longest pieces that cover a word from its beginning, else the one for unknown words."""
        if len(word) > LONGEST_WORD:
            return [self.unknown]
        numbers = []
        start, lead = 0, ""
        while start < len(word):
            for end in range(min(len(word), start + self._longest), start, -1):
                number = self._vocabulary.get(lead + word[start:end])
                if number is not None:
                    numbers.append(number)
                    break
            else:
                return [self.unknown]
            start, lead = end, "##"
        return numbers


def _parts(word: str) -> list[str]:
    """Strip a word without spaces of its accents, lower its case, and cut it at signs."""
    if not word.isascii():
        word = "".join(char for char in unicodedata.normalize("NFD", word) if ord(char) not in MARKS)
    # Character by character: Python lowers a sigma at the end of a word otherwise than one within.
    word = word.lower() if word.isascii() else "".join(map(str.lower, word))
    if word.isalnum():
        return [word]
    return "".join(f" {char} " if ord(char) in PUNCTUATION else char for char in word).split(" ")


class _Cleaned(dict[int, str | None]):
    """What each character becomes before words are cut, for `str.translate`; found out as characters come."""

    def __missing__(self, point: int) -> str | None:
        char = chr(point)
        result: str | None = char
        if point in DROPPED:
            result = None
        elif point in IDEOGRAPHS:
            result = f" {char} "
        # A text of every character there is would otherwise stay in memory, at 100 bytes each.
        if len(self) < _CACHED_WORDS:
            self[point] = result
        return result
