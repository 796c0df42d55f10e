"""Tokens of a pair of texts, packed into rows as a model was trained on them.

A judge reads `[CLS] prompt [SEP] answer [SEP]`: of the prompt its last tokens, at most `prompt_length`, and of the
answer what fits. A longer answer becomes several rows, *windows* that overlap by a quarter; at most `MOST_WINDOWS`, of
which a still longer answer gets half at its head and half at its tail, as it does with more than `MOST_CHARACTERS`. A
model that sees the answer alone (`prompt_length = 0`) reads `[CLS] answer [SEP]`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from stonechat_agent.scoring.judging.card import WORDPIECE, Card, Input
from stonechat_agent.scoring.judging.wordpiece import VocabularyError, WordPiece
from stonechat_agent.scoring.tier0.texts import bounded

MOST_WINDOWS = 8
"""Rows that an answer can become."""

MOST_CHARACTERS = 32_768
"""Characters of an answer that are looked at, of a longer one head and tail; as in the checks of tier 0."""

PROMPT_CHARACTERS = 32
"""Characters of a prompt's end that are looked at for each of its tokens."""


class TokenizerError(Exception):
    """A tokenizer that cannot be used: the message says why, as the rest of a sentence about its file."""


class Layout(NamedTuple):
    """Where a row's special tokens stand, and the types of the others."""

    before: tuple[int, ...]
    between: tuple[int, ...]
    after: tuple[int, ...]
    answer_type: int
    pad: int

    @property
    def special(self) -> int:
        """How many special tokens a row has."""
        return len(self.before) + len(self.between) + len(self.after)


class Encoder(Protocol):
    """What makes numbers of pieces out of a text, without special tokens."""

    def encode(self, text: str) -> list[int]: ...


class Rows(NamedTuple):
    """Rows of one length, padded behind; int64, (rows, length)."""

    ids: NDArray[np.int64]
    mask: NDArray[np.int64]
    types: NDArray[np.int64]


class Row(NamedTuple):
    """One window: prompt and answer without special tokens."""

    prompt: Sequence[int]
    answer: Sequence[int]


class Tokens:
    """Makes rows of pairs of texts, by the tokenizer that a card names. Several threads may use it at once."""

    def __init__(self, card: Card) -> None:
        """
        Raises:
            TokenizerError: the tokenizer's file cannot be used, or the package that it needs is not installed.
        """
        self._input = card.input
        if card.input.tokenizer == WORDPIECE:
            self._encoder, self.layout = _wordpiece(card.folder, card.input)
        else:
            self._encoder, self.layout = _hugging_face(card.folder, card.input)

    def length(self, row: Row) -> int:
        """Tokens of a row, special ones included."""
        return self.layout.special + len(row.prompt) + len(row.answer)

    def rows(self, prompt: str, answer: str) -> list[Row]:
        """Return the windows of an answer, from its head to its tail; none for an answer without a token."""
        most = self._input.prompt_length
        asked: list[int] = []
        if most and prompt:
            asked = self._encoder.encode(prompt[-PROMPT_CHARACTERS * most :])[-most:]
        said = self._encoder.encode(bounded(answer, MOST_CHARACTERS))
        room = self._input.max_length - self.layout.special - len(asked)
        return [Row(asked, said[start : start + room]) for start in starts(len(said), room)]

    def pack(self, rows: Sequence[Row]) -> Rows:
        """Return rows as the graph takes them, padded to the longest."""
        before, between, after, answer_type, pad = self.layout
        shape = (len(rows), max(map(self.length, rows)))
        ids = np.full(shape, pad, np.int64)
        mask, types = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        for place, row in enumerate(rows):
            numbers = [*before, *row.prompt, *between, *row.answer, *after]
            ids[place, : len(numbers)] = numbers
            mask[place, : len(numbers)] = 1
            types[place, len(before) + len(row.prompt) + len(between) : len(numbers)] = answer_type
        return Rows(ids, mask, types)


def starts(length: int, room: int) -> list[int]:
    """Return where the windows of `room` tokens begin in an answer of `length` tokens.

    Windows of an answer that they cover are spread evenly, so that none holds a short rest; they overlap by a quarter
    or more. Of one that they do not cover, half of them lie at its head and half at its tail.
    """
    if length <= room:
        return [0] if length else []
    stride = max(1, room - room // 4)
    count = 1 + -(-(length - room) // stride)
    if count <= MOST_WINDOWS:
        return [round(place * (length - room) / (count - 1)) for place in range(count)]
    half = MOST_WINDOWS // 2
    head = [place * stride for place in range(half)]
    return head + [length - room - start for start in reversed(head)]


def _wordpiece(folder: Path, spec: Input) -> tuple[Encoder, Layout]:
    path = folder / "vocab.txt"
    try:
        encoder = WordPiece.load(path)
    except (OSError, VocabularyError) as error:
        raise TokenizerError(f"vocab.txt {getattr(error, 'strerror', None) or error}") from error
    cls, sep = (encoder.cls,), (encoder.sep,)
    paired = spec.prompt_length > 0
    return encoder, Layout(cls, sep if paired else (), sep, int(paired), encoder.pad)


class _HuggingFace:
    """A tokenizer of the `tokenizers` package."""

    def __init__(self, tokenizer: object) -> None:
        self._tokenizer = tokenizer

    def encode(self, text: str) -> list[int]:
        # Halves of surrogate pairs have no UTF-8 form, which that package wants.
        whole = text.encode("utf-8", "replace").decode("utf-8")
        ids: list[int] = self._tokenizer.encode(whole, add_special_tokens=False).ids  # type: ignore[attr-defined]
        return ids


def _hugging_face(folder: Path, spec: Input) -> tuple[Encoder, Layout]:
    try:
        import tokenizers
    except ImportError as error:
        raise TokenizerError(
            "tokenizer.json needs the package 'tokenizers', which is not installed: pip install 'stonechat[tokenizers]'"
        ) from error
    try:
        tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    # The package raises plain exceptions.
    except Exception as error:
        raise TokenizerError(f"tokenizer.json is none that 'tokenizers' can read: {error}") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    # As with our own: names of special tokens in an answer are text.
    tokenizer.encode_special_tokens = True
    padded = next(
        (n for name in ("[PAD]", "<pad>", "<|pad|>") if (n := tokenizer.token_to_id(name)) is not None), 0
    )
    return _HuggingFace(tokenizer), _layout(tokenizer, padded, paired=spec.prompt_length > 0)


def _layout(tokenizer: object, pad: int, *, paired: bool) -> Layout:
    """Find out where a tokenizer puts its special tokens, by what it makes of two letters."""
    found = tokenizer.encode("a", "a") if paired else tokenizer.encode("a")  # type: ignore[attr-defined]
    owners: list[int | None] = found.sequence_ids
    places = [[place for place, owner in enumerate(owners) if owner == text] for text in (0, 1)]
    asked, said = places if paired else ([], places[0])
    if not said or (paired and (not asked or asked[-1] > said[0])):
        raise TokenizerError(
            "tokenizer.json makes no row of a prompt and then an answer; set prompt_length = 0"
        )
    first = asked[0] if paired else said[0]
    return Layout(
        tuple(found.ids[:first]),
        tuple(found.ids[asked[-1] + 1 : said[0]]) if paired else (),
        tuple(found.ids[said[-1] + 1 :]),
        int(found.type_ids[said[0]]),
        pad,
    )
