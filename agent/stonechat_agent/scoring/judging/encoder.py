"""Tier 2 and what is dropped in: a transformer that reads tokens of prompt and answer.

Rows run one at a time. Int8 graphs quantize their activations as they come, with one scale for a whole batch, so that
a score would depend on what else happens to be in it: by 0.08 of a logit in MiniLM with eight answers together, which
saves a fifth of the time. Here the same answer has the same score always, and no row is padded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stonechat_agent.scoring.judging.card import Card
from stonechat_agent.scoring.judging.sessions import Graph, GraphError
from stonechat_agent.scoring.judging.tokens import Tokens, Window

Logits = NDArray[np.float32]


class Encoded(NamedTuple):
    """What a model made of pairs."""

    logits: Logits
    """(pairs, labels): those of a pair's windows combined as the card says; NaN for a pair without a window."""
    windows: NDArray[np.int64]
    """How many windows each pair has; 0 where its answer has no token."""


class Encoder:
    """An open model that reads tokens."""

    def __init__(self, card: Card, threads: int) -> None:
        """
        Raises:
            TokenizerError: its tokenizer cannot be used.
            GraphError: the graph cannot be opened, does not fit the card, or fails.
        """
        self.card = card
        self._tokens = Tokens(card)
        self._graph = Graph(card.graph, threads)
        names = (card.input.ids, card.input.mask, card.input.types)
        self._graph.check(tuple(filter(None, names)), {card.output.logits: len(card.labels)})
        logits = self._run(Window((), (self._tokens.layout.any,)))
        if logits.shape != (1, len(card.labels)):
            raise GraphError(
                f"gives logits of shape {logits.shape}, and the card names {len(card.labels)} labels"
            )

    def run(self, pairs: Sequence[tuple[str, str]]) -> Encoded:
        """Return what the model makes of (prompt, answer) pairs.

        Raises:
            GraphError: a run failed.
        """
        found: list[Logits] = []
        counts = np.zeros(len(pairs), np.int64)
        for place, (prompt, answer) in enumerate(pairs):
            windows = self._tokens.windows(prompt, answer)
            counts[place] = len(windows)
            found += [self._run(window) for window in windows]
        return Encoded(self._combined(found, counts), counts)

    def longest(self) -> Logits:
        """Run a row of as many tokens as the card allows: a graph may have fewer places.

        Raises:
            GraphError: it fails.
        """
        room = self.card.input.max_length - self._tokens.layout.special
        return self._run(Window((), (self._tokens.layout.any,) * room))

    def _run(self, window: Window) -> Logits:
        row = self._tokens.pack(window)
        spec = self.card.input
        feed = {spec.ids: row.ids}
        if spec.mask is not None:
            feed[spec.mask] = row.mask
        if spec.types is not None:
            feed[spec.types] = row.types
        (logits,) = self._graph.run(feed, (self.card.output.logits,))
        return logits

    def _combined(self, found: list[Logits], windows: NDArray[np.int64]) -> Logits:
        result = np.full((len(windows), len(self.card.labels)), np.nan, np.float32)
        if not found:
            return result
        rows = np.concatenate(found)
        if self.card.output.activation == "softmax":
            rows = _log_odds(rows)
        # The windows of a pair stand together, in the order of the pairs.
        judged = windows > 0
        sizes = windows[judged]
        firsts = np.cumsum(sizes) - sizes
        for label in self.card.labels:
            column = rows[:, label.column]
            if label.windows == "max":
                result[judged, label.column] = np.maximum.reduceat(column, firsts)
            elif label.windows == "min":
                result[judged, label.column] = np.minimum.reduceat(column, firsts)
            else:
                result[judged, label.column] = np.add.reduceat(column, firsts) / sizes
        return result


def _log_odds(logits: Logits) -> Logits:
    """Return for each column the logit whose sigmoid is its softmax."""
    highest = logits.max(axis=1, keepdims=True)
    weights = np.exp((logits - highest).astype(np.float64))
    others = weights.sum(axis=1, keepdims=True) - weights
    # One that has all of the weight would be infinitely certain; e^-30 is as certain as a score of four places shows.
    odds: Logits = np.log(np.maximum(weights, 1e-13) / np.maximum(others, 1e-13)).astype(np.float32)
    return odds
