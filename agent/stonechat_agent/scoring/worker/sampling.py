"""Which answers tier 2 sees whatever they are like, and for how many each scored answer stands.

The answers of a series fall into strata:

    risky by tier 0       known when they come; tier 2 sees each
    risky by tier 1       flagged or uncertain, known once tier 1 has seen them; tier 2 sees each
    low risk              the rest; tier 2 sees those that are of the uniform sample

The sample is drawn of what tier 1 is about to see, not of what comes: so what is lost thins out the answers and not the
sample, on which the rates hang.

Weights are counted, never computed from a rate: each judged answer of a risky stratum stands for itself, and each one
of the sample for all low-risk answers since the last one. What was lost before tier 1 saw it (the backlog was full, a
worker failed) is stood for by those that are judged after it: of the risky, by risky ones; of the others, whose stratum
nobody knows, by others in either stratum, evenly by as many as wait at that moment. So the weights of a series add up
to its answers, less those that no later one stands for yet; and as neither the sample nor what is lost depends on what
an answer says, sums of weighted scores are those of all answers, without bias. (Särndal, Swensson and Wretman, Model
Assisted Survey Sampling, 1992, chapter 9: two-phase sampling for stratification.)
"""

from __future__ import annotations

from collections.abc import Callable

from stonechat.records import Series

MAX_SERIES = 64
"""Series that are counted apart; answers of more are counted together."""
_OTHER = Series("", "", "")


class Sampler:
    """Draws the uniform sample: one answer in each block of ``1 / rate`` of a series, at random within it.

    Against drawing each by itself the distance of two drawn answers varies less, and so do the weights; against every
    n-th it falls into step with nothing.
    """

    def __init__(self, rate: float, random: Callable[[], float]) -> None:
        """
        Args:
            rate: share of the answers, 0 to 1.
            random: a number in [0, 1).
        """
        self._block = 1 / rate if rate > 0 else 0.0
        self._random = random
        self._blocks: dict[
            Series, tuple[int, int]
        ] = {}  # answers left of the block, and how many when one is drawn

    def draw(self, series: Series) -> bool:
        """Whether the next answer of a series is one of the sample."""
        if not self._block:
            return False
        key = series if series in self._blocks or len(self._blocks) < MAX_SERIES else _OTHER
        left, drawn = self._blocks.get(key, (0, 0))
        if left == 0:
            left = int(self._block) + (self._random() < self._block % 1)
            drawn = 1 + int(self._random() * left)
        self._blocks[key] = (left - 1, drawn)
        return left == drawn


class _Account:
    __slots__ = ("lost", "lost_risky", "low")

    def __init__(self) -> None:
        self.low = 0  # low-risk answers that no scored one stands for yet
        self.lost = 0  # answers that tier 1 never saw, and likewise
        self.lost_risky = 0


class Weights:
    """Counts for how many answers each scored one stands. Pure, and not for several threads at once."""

    def __init__(self) -> None:
        self._accounts: dict[Series, _Account] = {}

    def lost(self, series: Series, *, risky: bool) -> None:
        """An answer was lost before it was scored. ``risky``: by tier 0."""
        account = self._account(series)
        if risky:
            account.lost_risky += 1
        else:
            account.lost += 1

    def scored(self, series: Series, *, waiting: int, risky: bool, deep: bool, represents: bool) -> int:
        """Return for how many answers a scored one stands.

        Args:
            waiting: how many more wait, which can stand for what was lost as well.
            risky: by tier 0.
            deep: risky by tier 0 or by tier 1.
            represents: it is of the uniform sample, or every answer is.
        """
        account = self._account(series)
        if risky:
            share = -(-account.lost_risky // (waiting + 1))
            account.lost_risky -= share
            return 1 + share
        share = -(-account.lost // (waiting + 1))
        account.lost -= share
        if deep:
            return 1 + share
        account.low += 1 + share
        if not represents:
            return 0
        weight, account.low = account.low, 0
        return weight

    def owed(self) -> int:
        """Answers that no scored one stands for yet."""
        return sum(one.low + one.lost + one.lost_risky for one in self._accounts.values())

    def _account(self, series: Series) -> _Account:
        account = self._accounts.get(series)
        if account is None:
            if len(self._accounts) >= MAX_SERIES:
                series = _OTHER
            account = self._accounts.setdefault(series, _Account())
        return account
