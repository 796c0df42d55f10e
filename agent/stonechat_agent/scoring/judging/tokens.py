"""Tokens of a pair of texts, packed into rows as a model was trained on them.

A judge reads `[CLS] prompt [SEP] answer [SEP]`: of the prompt its last tokens, at most `prompt_length`, and of the
answer what fits. A longer answer becomes several rows, *windows* that overlap by a quarter, from its head to its tail;
at most `MOST_WINDOWS`, so that a very long answer is sampled, and one beyond `MOST_CHARACTERS` at its head and tail
only. A model that sees the answer alone (`prompt_length = 0`) reads `[CLS] answer [SEP]`.
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
    any: int
    """Some token, to try a graph with."""

    @property
    def special(self) -> int:
        """How many special tokens a row has."""
        return len(self.before) + len(self.between) + len(self.after)


class Encoder(Protocol):
    """What makes numbers of pieces out of a text, without special tokens."""

    def encode(self, text: str) -> list[int]: ...


class Window(NamedTuple):
    """Prompt and answer of one row, without special tokens."""

    prompt: Sequence[int]
    answer: Sequence[int]


class Row(NamedTuple):
    """What a graph is fed with: int64, (1, tokens) each. A row has no padding, so its mask is of ones."""

    ids: NDArray[np.int64]
    mask: NDArray[np.int64]
    types: NDArray[np.int64]


class Tokens:
    """Makes windows of pairs of texts, by the tokenizer that a card names. Several threads may use it at once."""

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

    def windows(self, prompt: str, answer: str) -> list[Window]:
        """Return the windows of an answer, from its head to its tail; none for an answer without a token."""
        most = self._input.prompt_length
        asked: list[int] = []
        if most and prompt:
            asked = self._encoder.encode(prompt[-PROMPT_CHARACTERS * most :])[-most:]
        said = self._encoder.encode(bounded(answer, MOST_CHARACTERS))
        room = self._input.max_length - self.layout.special - len(asked)
        return [Window(asked, said[start : start + room]) for start in starts(len(said), room)]

    def pack(self, window: Window) -> Row:
        """Return a window as the graph takes it."""
        before, between, after, answer_type, _ = self.layout
        numbers = [*before, *window.prompt, *between, *window.answer, *after]
        ids = np.array([numbers], np.int64)
        types = np.zeros_like(ids)
        types[:, len(before) + len(window.prompt) + len(between) :] = answer_type
        return Row(ids, np.ones_like(ids), types)


def starts(length: int, room: int) -> list[int]:
    """Return where the windows of `room` tokens begin in an answer of `length` tokens, spread evenly over it.

    They overlap by a quarter or more, as long as `MOST_WINDOWS` are enough for that; of a longer answer, what lies
    between two windows is not seen.
    """
    if length <= room:
        return [0] if length else []
    stride = max(1, room - room // 4)
    count = min(MOST_WINDOWS, 1 + -(-(length - room) // stride))
    return [round(place * (length - room) / (count - 1)) for place in range(count)]


def _wordpiece(folder: Path, spec: Input) -> tuple[Encoder, Layout]:
    path = folder / "vocab.txt"
    try:
        encoder = WordPiece.load(path)
    except (OSError, VocabularyError) as error:
        raise TokenizerError(f"vocab.txt {getattr(error, 'strerror', None) or error}") from error
    cls, sep = (encoder.cls,), (encoder.sep,)
    paired = spec.prompt_length > 0
    return encoder, Layout(cls, sep if paired else (), sep, int(paired), encoder.unknown)


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
    return _HuggingFace(tokenizer), _layout(tokenizer, paired=spec.prompt_length > 0)


def _layout(tokenizer: object, *, paired: bool) -> Layout:
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
        int(found.ids[said[0]]),
    )
