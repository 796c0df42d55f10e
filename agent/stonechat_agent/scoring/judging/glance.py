"""Tier 1: the tiny model that looks at every answer, and its embedding of a text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stonechat_agent.scoring.judging import hashing
from stonechat_agent.scoring.judging.card import MOST_EMBEDDED, Card
from stonechat_agent.scoring.judging.sessions import Graph, GraphError


class Glanced(NamedTuple):
    """What the graph gives: float32, (rows, labels) and (rows, at most 64)."""

    logits: NDArray[np.float32]
    embedding: NDArray[np.float32]


class Glance:
    """An open model of tier 1."""

    def __init__(self, card: Card, threads: int) -> None:
        """
        Raises:
            GraphError: the graph cannot be opened, does not fit the card, or fails.
        """
        self.card = card
        try:
            self._spec = hashing.Spec.of(card.input.spec)
        except ValueError as error:
            raise GraphError(f"is fed as the card cannot say: {error}") from error
        self._graph = Graph(card.graph, threads)
        self._outputs = (card.output.logits, card.output.embedding or "")
        fed = tuple(hashing.feed([("", "a")], self._spec))
        self._graph.check(fed, {card.output.logits: len(card.labels), self._outputs[1]: None})
        logits, embedding = self.run([("What is it?", "It is a test.")])
        if logits.shape != (1, len(card.labels)):
            raise GraphError(
                f"gives logits of shape {logits.shape}, and the card names {len(card.labels)} labels"
            )
        if embedding.ndim != 2 or not 1 <= embedding.shape[1] <= MOST_EMBEDDED:
            raise GraphError(
                f"gives an embedding of shape {embedding.shape}; expected (rows, 1 to {MOST_EMBEDDED})"
            )
        self.dimensions = int(embedding.shape[1])

    def run(self, pairs: Sequence[tuple[str, str]]) -> Glanced:
        """Return logits and embeddings of (prompt, answer) pairs.

        Raises:
            GraphError: a run failed.
        """
        if not pairs:
            width = len(self.card.labels)
            return Glanced(np.zeros((0, width), np.float32), np.zeros((0, self.dimensions), np.float32))
        # One at a time, as in `encoder`: no answer's score depends on its neighbours.
        found = [self._graph.run(hashing.feed([pair], self._spec), self._outputs) for pair in pairs]
        logits, embedding = (np.concatenate(part) for part in zip(*found, strict=True))
        return Glanced(logits, embedding)
