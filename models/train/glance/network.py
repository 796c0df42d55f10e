"""The network: two tables of small vectors, their sums over a text, and two hidden layers.

The first columns of the table of words are the teacher's (`topics`) and stay as they are: their sum, of length 1, is
the embedding. Harms are read from the answer's n-grams alone: what a text's length, its punctuation or the presence of
a prompt say of harm is what the training's sources happen to look like. The other heads see the measures too, and of
the prompt what agrees with the answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from stonechat_agent.scoring.judging import hashing
from train.judges.sources import HARMS, HEADS

OTHERS = HEADS[len(HARMS) :]


@dataclass(frozen=True)
class Shape:
    """Sizes of the network; a table's rows follow from the `hashing.Spec`."""

    topic: int = 32
    word: int = 24
    piece: int = 32
    hidden: int = 48


class Texts(NamedTuple):
    """Buckets of many texts behind each other, how many of each are there, and how many each text has."""

    words: torch.Tensor
    words_here: torch.Tensor
    words_whole: torch.Tensor
    pieces: torch.Tensor
    pieces_here: torch.Tensor
    pieces_whole: torch.Tensor


class Glance(nn.Module):
    """See the module; all of a row's logits are in the order of `HEADS`."""

    topics: torch.Tensor

    def __init__(self, spec: hashing.Spec, shape: Shape) -> None:
        super().__init__()
        self.spec, self.shape = spec, shape
        self.register_buffer("topics", torch.zeros(2**spec.word_bits + 1, shape.topic))
        self.words = nn.Parameter(torch.randn(2**spec.word_bits + 1, shape.word) * 0.02)
        self.pieces = nn.Parameter(torch.randn(2**spec.piece_bits + 1, shape.piece) * 0.01)
        pooled = shape.topic + shape.word + shape.piece
        self.harm_hidden = nn.Linear(pooled, shape.hidden)
        self.harm = nn.Linear(shape.hidden + pooled, len(HARMS))
        seen = pooled + len(hashing.MEASURES) + shape.topic + 1
        self.other_hidden = nn.Linear(seen, shape.hidden)
        self.other = nn.Linear(shape.hidden + seen, len(OTHERS))
        self.dropout = nn.Dropout(0.1)

    def pooled(self, texts: Texts) -> torch.Tensor:
        """The sums of the tables over each text, over the root of how many there are."""
        words = (texts.words, texts.words_here, texts.words_whole)
        pieces = (texts.pieces, texts.pieces_here, texts.pieces_whole)
        return torch.cat(
            [_summed(self.topics, *words), _summed(self.words, *words), _summed(self.pieces, *pieces)], dim=-1
        )

    def embedded(self, pooled: torch.Tensor) -> torch.Tensor:
        return F.normalize(pooled[:, : self.shape.topic], dim=-1, eps=1e-6)

    def heads(
        self, said: torch.Tensor, topic_said: torch.Tensor, topic_asked: torch.Tensor, measures: torch.Tensor
    ) -> torch.Tensor:
        shared = topic_said * topic_asked
        seen = torch.cat([said, measures, shared * 4, shared.sum(-1, keepdim=True)], dim=-1)
        return torch.cat(
            [
                self.harm(torch.cat([F.relu(self.harm_hidden(said)), said], -1)),
                self.other(torch.cat([F.relu(self.other_hidden(seen)), seen], -1)),
            ],
            dim=-1,
        )

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """All weights by name, the columns of topics before the learned ones of `words`."""
        found = {name: part.detach().numpy() for name, part in self.named_parameters()}
        return {**found, "words": np.hstack([self.topics.numpy(), found["words"]])}

    def forward(self, answers: Texts, prompts: Texts, measures: torch.Tensor) -> torch.Tensor:
        """Logits (rows, heads)."""
        said, asked = self.pooled(answers), self.pooled(prompts)
        return self.heads(said, self.embedded(said), self.embedded(asked), measures)


def _summed(
    table: torch.Tensor, values: torch.Tensor, here: torch.Tensor, whole: torch.Tensor
) -> torch.Tensor:
    """Where only a part of a text is here, its sum stands for the whole."""
    total = F.embedding_bag(values, table, torch.cumsum(here, 0) - here, mode="sum")
    return total * (whole / here.clamp(min=1) / torch.sqrt(1.0 + whole))[:, None]
