"""Byte-level byte-pair encoding, read from a `tokenizer.json` of the `tokenizers` library.

Text is cut into pieces by the file's regular expression; the UTF-8 bytes of a piece are merged pair by pair, the pair
with the lowest rank first. Every byte has a token of its own, so any text can be encoded and decoding gives it back.
Only what the demo model's file uses is read; anything else in it is an error, never a silent difference.
"""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

# A cache entry is a piece of a few bytes and its ids; prompts repeat their words.
_CACHED_PIECES = 8192


class TokenizerError(Exception):
    """`tokenizer.json` is missing, or not of the kind that is read here."""


def _printable_bytes() -> dict[str, int]:
    """The characters that stand for bytes in the file: printable Latin-1 for itself, others from U+0100 on (GPT-2)."""
    kept = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table = {chr(byte): byte for byte in kept}
    others = (byte for byte in range(256) if byte not in set(kept))
    table.update({chr(0x100 + i): byte for i, byte in enumerate(others)})
    return table


class Tokenizer:
    """Encodes text to ids and ids to bytes.

    Args:
        vocabulary: the bytes of each id; a special token's bytes are its name.
        merges: pairs of byte strings, the most wanted first.
        special: names and ids of special tokens; text never yields them unless `encode` is told to look.
        pieces: the regular expression that cuts text; between its matches nothing may remain.
    """

    def __init__(
        self, vocabulary: list[bytes], merges: list[tuple[bytes, bytes]], special: dict[str, int], pieces: str
    ) -> None:
        self.special = special
        self._vocabulary = vocabulary
        self._ids = {token: i for i, token in enumerate(vocabulary)}
        self._ranks = {pair: rank for rank, pair in enumerate(merges)}
        self._pieces = re.compile(pieces)
        self._special_names = re.compile("(" + "|".join(map(re.escape, special)) + ")") if special else None
        self._cache: dict[str, tuple[int, ...]] = {}

    @classmethod
    def load(cls, path: Path) -> Tokenizer:
        """Read `tokenizer.json`.

        Raises:
            TokenizerError: it cannot be read, or is not a byte-level BPE cut by one regular expression.
        """
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            return cls(*_parts(document))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise TokenizerError(
                f"{path}: not a byte-level BPE tokenizer as models/train/demo_lm.py writes it: {error!r}"
            ) from error

    def __len__(self) -> int:
        return len(self._vocabulary)

    def encode(self, text: str, *, special: bool = False) -> list[int]:
        """Return the ids of `text`. With `special`, names such as `<|end|>` in it become their tokens."""
        if not special or self._special_names is None:
            return self._encode_plain(text)
        ids: list[int] = []
        for part in self._special_names.split(text):
            token = self.special.get(part)
            if token is None:
                ids.extend(self._encode_plain(part))
            else:
                ids.append(token)
        return ids

    def token_bytes(self, token: int) -> bytes:
        """Return the bytes of one id; they may end inside a UTF-8 sequence."""
        return self._vocabulary[token]

    def decode(self, ids: list[int]) -> str:
        """Return the text of `ids`; what is not UTF-8 becomes U+FFFD."""
        return b"".join(map(self.token_bytes, ids)).decode("utf-8", errors="replace")

    def _encode_plain(self, text: str) -> list[int]:
        ids: list[int] = []
        for match in self._pieces.finditer(text):
            piece = match.group()
            known = self._cache.get(piece)
            if known is None:
                # Lone surrogates come from JSON escapes; they have no UTF-8 form.
                known = tuple(self._merge(piece.encode("utf-8", errors="replace")))
                if len(self._cache) >= _CACHED_PIECES:
                    self._cache.clear()
                self._cache[piece] = known
            ids.extend(known)
        return ids

    def _merge(self, piece: bytes) -> list[int]:
        parts = [piece[i : i + 1] for i in range(len(piece))]
        worst = len(self._ranks)
        while len(parts) > 1:
            rank, at = min(
                (self._ranks.get((left, right), worst), i)
                for i, (left, right) in enumerate(itertools.pairwise(parts))
            )
            if rank == worst:
                break
            parts[at : at + 2] = [parts[at] + parts[at + 1]]
        return [self._ids[part] for part in parts]


def _parts(document: dict[str, Any]) -> tuple[list[bytes], list[tuple[bytes, bytes]], dict[str, int], str]:
    model = document["model"]
    split, byte_level = document["pre_tokenizer"]["pretokenizers"]
    if (
        model["type"] != "BPE"
        or document["normalizer"] is not None
        or document["post_processor"] is not None
        or (split["type"], split["behavior"], split["invert"]) != ("Split", "Isolated", False)
        or (byte_level["type"], byte_level["add_prefix_space"], byte_level["use_regex"])
        != ("ByteLevel", False, False)
    ):
        raise ValueError("another kind of tokenizer")
    byte_of = _printable_bytes()

    def to_bytes(token: str) -> bytes:
        return bytes(byte_of[ch] for ch in token)

    special = {token["content"]: token["id"] for token in document["added_tokens"]}
    vocabulary = [b""] * len(model["vocab"])
    for token, i in model["vocab"].items():
        vocabulary[i] = token.encode() if token in special else to_bytes(token)
    merges = [(to_bytes(left), to_bytes(right)) for left, right in model["merges"]]
    return vocabulary, merges, special, split["pattern"]["Regex"]
