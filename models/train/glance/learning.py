"""Teaching the network: labels, prompts with their answers, and what texts are about."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
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
_RELEVANCE = HEADS.index("relevance")
_OF_THE_PROMPT = [HEADS.index(head) for head in ("relevance", "quality")]


@dataclass(frozen=True)
class Lesson:
    """What to learn from.

    Attributes:
        texts: hashed rows.
        wanted: shape (rows, heads), numbers in [0, 1], NaN where unknown.
        passes: over the rows.
        topics: what the embedding learns from; without it only prompts and answers shape it.
    """

    texts: Hashed
    wanted: Floats
    passes: int
    seed: int = 0
    topics: Topics | None = None


def learn(lesson: Lesson, spec: hashing.Spec, shape: Shape, note: str = "") -> Glance:
    """Train a network. The same lesson gives the same network on the same kind of machine, with one thread."""
    torch.manual_seed(lesson.seed)
    network = Glance(spec, shape)
    if lesson.topics is not None:
        with torch.no_grad():
            network.words[torch.from_numpy(lesson.topics.buckets)] = torch.from_numpy(lesson.topics.words)
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
            loss = sum(_losses(network, lesson, order[start : start + BATCH], rng))
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
            found, _, _ = network(
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


def _losses(
    network: Glance, lesson: Lesson, places: Places, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Of the labels, of prompts with their answers, of topics; each weighted."""
    texts = lesson.texts
    wanted = torch.from_numpy(lesson.wanted[places])
    measures = torch.from_numpy(texts.measures[places])
    said = network.pooled(_answers(texts, places, rng))
    asked = network.pooled(_prompts(texts, places, rng))
    topic_said, topic_asked = network.embedded(said), network.embedded(asked)
    kept = torch.from_numpy(rng.random(len(places)) >= NO_PROMPT)[:, None]
    alone = hashing.MEASURES.index("has_prompt")
    shown = torch.cat([measures[:, :alone], measures[:, alone:] * kept], dim=-1)
    found = network.heads(network.dropout(said), topic_said, topic_asked * kept, shown)
    known = ~torch.isnan(wanted)
    known[:, _OF_THE_PROMPT] &= kept
    each = F.binary_cross_entropy_with_logits(found, wanted.nan_to_num(), reduction="none") * known
    # A head's mean counts fully from 32 rows on and less with fewer, so that three rows do not weigh like 300.
    of_labels = (each.sum(0) / known.sum(0).clamp(min=32)).sum()
    # An answer is nearer to its own prompt than to the others of the batch, unless it is beside the point.
    paired = (measures[:, alone] > 0) & ~(wanted[:, _RELEVANCE] < 0.5)
    nearness = topic_said[paired] @ topic_asked[paired].T * 10
    of_pairs = F.cross_entropy(nearness, torch.arange(len(nearness))) if len(nearness) else nearness.sum()
    return of_labels, 0.1 * of_pairs, _of_topics(network, lesson.topics, rng)


def _of_topics(network: Glance, topics: Topics | None, rng: np.random.Generator) -> torch.Tensor:
    """How far the cosines of some texts are from the teacher's."""
    if topics is None:
        return torch.zeros(())
    places = rng.choice(len(topics.vectors), 128, replace=False)
    mine = network.embedded(network.pooled(_answers(topics.hashed, places, rng)))
    theirs = torch.from_numpy(topics.vectors[places])
    return (mine @ mine.T - theirs @ theirs.T).square().mean() * 20
