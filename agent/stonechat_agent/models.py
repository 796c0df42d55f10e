"""The names of models that may stand in a series, on the wire and at the collector.

A model's name reaches us out of requests, and engines repeat in their answers what they were asked for: it is a text
of strangers. A name counts only when the engine lists it as one of its models, or the configuration does. What an
application of the owner's says of itself is its own word, and stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from stonechat.exchange import Exchange, Source

OTHER = "other"
MOST = 256
"""Names of an engine that are known at once: one with more lists a hub's catalogue, not what it can run."""


class KnownModels:
    """The names of each engine's models. One thread at a time."""

    def __init__(self, configured: Mapping[str, Iterable[str]]) -> None:
        self._configured = {engine: frozenset(names) for engine, names in configured.items()}
        self._listed: dict[str, frozenset[str]] = {}

    def listed(self, engine: str, names: Iterable[str]) -> None:
        """An engine lists these models, instead of those before."""
        kept = sorted(set(names))[:MOST]
        # Ollama lists the tag that it answers for without being asked for it.
        self._listed[engine] = frozenset(kept) | {name.removesuffix(":latest") for name in kept}

    def knows(self, exchange: Exchange) -> bool:
        """Whether the model that answered is known; True where no answer names one."""
        name = exchange.response_model
        return (
            exchange.source is not Source.RELAY
            or name is None
            or name == OTHER
            or name in self._of(exchange.engine)
        )

    def settle(self, exchange: Exchange) -> None:
        """Replace the names of a relayed exchange that are not known by ``other``."""
        if exchange.source is not Source.RELAY:
            return
        known = self._of(exchange.engine)
        for field in ("response_model", "request_model"):
            name = getattr(exchange, field)
            if name is not None and name not in known:
                setattr(exchange, field, OTHER)

    def _of(self, engine: str) -> frozenset[str]:
        nothing: frozenset[str] = frozenset()
        return self._configured.get(engine, nothing) | self._listed.get(engine, nothing)
