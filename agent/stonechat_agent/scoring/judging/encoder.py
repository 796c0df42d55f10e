"""Tier 2 and what is dropped in: a transformer that reads tokens of prompt and answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stonechat_agent.scoring.judging.card import Card
from stonechat_agent.scoring.judging.sessions import Graph, GraphError
from stonechat_agent.scoring.judging.tokens import Row, Tokens

_ROWS = 8
_TOKENS = 256
"""Rows of a run, and tokens of them together: beyond that a run takes memory (attention alone 3 MB for 256 tokens of
MiniLM) and saves no time."""

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
        logits = self._run([Row((), (self._tokens.layout.pad,))])
        if logits.shape != (1, len(card.labels)):
            raise GraphError(
                f"gives logits of shape {logits.shape}, and the card names {len(card.labels)} labels"
            )

    def run(self, pairs: Sequence[tuple[str, str]]) -> Encoded:
        """Return what the model makes of (prompt, answer) pairs.

        Raises:
            GraphError: a run failed.
        """
        rows: list[Row] = []
        owners: list[int] = []
        for place, (prompt, answer) in enumerate(pairs):
            own = self._tokens.rows(prompt, answer)
            rows += own
            owners += [place] * len(own)
        found = np.full((len(rows), len(self.card.labels)), np.nan, np.float32)
        for chosen in self._batches(rows):
            found[chosen] = self._run([rows[place] for place in chosen])
        windows = np.bincount(np.array(owners, np.int64), minlength=len(pairs)).astype(np.int64)
        return Encoded(self._combined(found, windows), windows)

    def longest(self) -> Logits:
        """Run a row of as many tokens as the card allows: a graph may have fewer places.

        Raises:
            GraphError: it fails.
        """
        room = self.card.input.max_length - self._tokens.layout.special
        return self._run([Row((), (self._tokens.layout.pad,) * room)])

    def _batches(self, rows: Sequence[Row]) -> Iterator[list[int]]:
        """Yield places of rows that run together: of similar length, and the same where the graph knows no mask."""
        lengths = [self._tokens.length(row) for row in rows]
        batch: list[int] = []
        for place in sorted(range(len(rows)), key=lengths.__getitem__):
            full = len(batch) >= _ROWS or lengths[place] * (len(batch) + 1) > _TOKENS
            if batch and (full or (self.card.input.mask is None and lengths[place] != lengths[batch[0]])):
                yield batch
                batch = []
            batch.append(place)
        if batch:
            yield batch

    def _run(self, rows: Sequence[Row]) -> Logits:
        packed = self._tokens.pack(rows)
        spec = self.card.input
        feed = {spec.ids: packed.ids}
        if spec.mask is not None:
            feed[spec.mask] = packed.mask
        if spec.types is not None:
            feed[spec.types] = packed.types
        (logits,) = self._graph.run(feed, (self.card.output.logits,))
        return logits

    def _combined(self, rows: Logits, windows: NDArray[np.int64]) -> Logits:
        result = np.full((len(windows), rows.shape[1]), np.nan, np.float32)
        if not len(rows):
            return result
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
