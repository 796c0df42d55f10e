"""How long to wait before the next attempt to connect."""

from __future__ import annotations

from collections.abc import Callable


class Backoff:
    """Full jitter: a random wait of up to ``base * 2**attempt`` seconds, at most ``cap``.

    It begins anew only after a session that lasted ``stable`` seconds. A broker that accepts and drops a client at
    once would otherwise be dialled without pause, by the whole fleet. See Marc Brooker, "Exponential Backoff And
    Jitter" (AWS Architecture Blog, 2015).
    """

    def __init__(
        self,
        random: Callable[[], float],
        *,
        base: float = 1.0,
        cap: float = 300.0,
        stable: float = 60.0,
        least: float = 0.1,
    ) -> None:
        """``random`` gives numbers in [0, 1); times in seconds."""
        self._random = random
        self._base, self._cap, self._stable, self._least = base, cap, stable, least
        self._attempt = 0
        self._since: float | None = None

    def connected(self, now: float) -> None:
        """A session began at ``now`` of the monotonic clock."""
        self._since = now

    def wait(self, now: float) -> float:
        """Seconds to wait after a session or an attempt that ended at ``now``."""
        if self._since is not None and now - self._since >= self._stable:
            self._attempt = 0
        self._since = None
        bound = min(self._cap, self._base * 2.0**self._attempt)
        self._attempt = min(self._attempt + 1, 32)
        return max(self._least, bound * self._random())
