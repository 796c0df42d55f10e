"""Teaching the network what the labels say."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from stonechat_agent.scoring.judging import hashing
from train.judges.sources import HEADS

from .corpus import Hashed, Places
from .network import Glance, Shape, Texts
from .topics import Topics

Floats = NDArray[np.float32]

BATCH = 512
RATE = 6e-3
#: Of a text so many words and pieces at most go into a step, drawn anew each time.
MOST_WORDS, MOST_PIECES = 192, 448
#: Share of the prompts that a step leaves out: no head but relevance and quality may rely on one.
NO_PROMPT = 0.25
_OF_THE_PAIR = hashing.MEASURES.index("has_prompt")
_OF_THE_PROMPT = [HEADS.index(head) for head in ("relevance", "quality")]


@dataclass(frozen=True)
class Lesson:
    """What to learn from.

    Attributes:
        texts: hashed rows.
        wanted: shape (rows, heads), numbers in [0, 1], NaN where unknown.
        passes: over the rows.
        topics: what single words are about.
    """

    texts: Hashed
    wanted: Floats
    passes: int
    seed: int
    topics: Topics


def learn(lesson: Lesson, spec: hashing.Spec, shape: Shape, note: str = "") -> Glance:
    """Train a network. The same lesson gives the same network on the same kind of machine, with one thread."""
    torch.manual_seed(lesson.seed)
    network = Glance(spec, shape)
    network.topics[torch.from_numpy(lesson.topics.buckets)] = torch.from_numpy(lesson.topics.vectors)
    layers = [part for name, part in network.named_parameters() if name not in ("words", "pieces")]
    optimizer = torch.optim.AdamW(
        [
            {"params": [network.words, network.pieces], "lr": RATE, "weight_decay": 0.0},
            {"params": layers, "lr": RATE / 2, "weight_decay": 1e-3},
        ],
        betas=(0.9, 0.98),
    )
    steps = lesson.passes * (len(lesson.texts) // BATCH)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda at: max(0.02, 1 - at / steps))
    rng = np.random.default_rng(lesson.seed)
    began = time.monotonic()
    for number in range(lesson.passes):
        order = rng.permutation(len(lesson.texts))
        losses = []
        for start in range(0, len(order) - BATCH + 1, BATCH):
            loss = _loss(network, lesson, order[start : start + BATCH], rng)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(float(loss.detach()))
        seconds = time.monotonic() - began
        print(
            f"{note}pass {number + 1} of {lesson.passes}: loss {np.mean(losses):.4f}, {seconds:.0f} s",
            file=sys.stderr,
            flush=True,
        )
    return network.eval()


def logits(network: Glance, texts: Hashed, batch: int = 256) -> Floats:
    """What the float network says, shape (rows, heads)."""
    out = [np.zeros((0, len(HEADS)), np.float32)]
    with torch.no_grad():
        for start in range(0, len(texts), batch):
            places = np.arange(start, min(start + batch, len(texts)))
            found = network(
                _answers(texts, places, None),
                _prompts(texts, places, None),
                torch.from_numpy(texts.measures[places]),
            )
            out.append(found.numpy())
    return np.concatenate(out)


def _texts(texts: Hashed, side: str, places: Places, rng: np.random.Generator | None) -> Texts:
    words = getattr(texts, f"{side}_words").take(places, MOST_WORDS, rng)
    pieces = getattr(texts, f"{side}_pieces").take(places, MOST_PIECES, rng)
    return Texts(*(torch.from_numpy(part) for part in (*words, *pieces)))


def _answers(texts: Hashed, places: Places, rng: np.random.Generator | None) -> Texts:
    return _texts(texts, "answer", places, rng)


def _prompts(texts: Hashed, places: Places, rng: np.random.Generator | None) -> Texts:
    return _texts(texts, "prompt", places, rng)


def _loss(network: Glance, lesson: Lesson, places: Places, rng: np.random.Generator) -> torch.Tensor:
    texts = lesson.texts
    wanted = torch.from_numpy(lesson.wanted[places])
    measures = torch.from_numpy(texts.measures[places])
    said = network.pooled(_answers(texts, places, rng))
    asked = network.pooled(_prompts(texts, places, rng))
    kept = torch.from_numpy(rng.random(len(places)) >= NO_PROMPT)[:, None]
    shown = torch.cat([measures[:, :_OF_THE_PAIR], measures[:, _OF_THE_PAIR:] * kept], dim=-1)
    found = network.heads(
        network.dropout(said), network.embedded(said), network.embedded(asked) * kept, shown
    )
    known = ~torch.isnan(wanted)
    known[:, _OF_THE_PROMPT] &= kept
    each = F.binary_cross_entropy_with_logits(found, wanted.nan_to_num(), reduction="none") * known
    # A head's mean counts fully from 32 rows on and less with fewer, so that three rows do not weigh like 300.
    return (each.sum(0) / known.sum(0).clamp(min=32)).sum()
