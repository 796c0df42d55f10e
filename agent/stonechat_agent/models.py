"""The names of models that may stand in a series, on the wire and at the collector.

A model's name reaches us out of requests, and engines repeat in their answers what they were asked for: it is a text
of strangers. A name counts only when the engine lists it as one of its models, or the configuration does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from stonechat.exchange import Exchange

OTHER = "other"
MOST = 256
"""Names of an engine that are known at once: one with more lists a hub's catalogue, not what it can run."""


class KnownModels:
    """The names of each engine's models. One thread at a time."""

    def __init__(
        self, configured: Mapping[str, Iterable[str]], ask: Callable[[str], object] = lambda _: None
    ) -> None:
        """``ask`` has an engine asked for its models, for its name came up with one that is not known."""
        self._configured = {engine: frozenset(names) for engine, names in configured.items()}
        self._listed: dict[str, frozenset[str]] = {}
        self._ask = ask

    def listed(self, engine: str, names: Iterable[str]) -> None:
        """An engine lists these models, instead of those before."""
        kept = sorted(set(names))[:MOST]
        # Ollama lists the tag that it answers for without being asked for it.
        self._listed[engine] = frozenset(kept) | {name.removesuffix(":latest") for name in kept}

    def settle(self, exchange: Exchange) -> None:
        """Replace the names of an exchange that are not known by ``other``."""
        known = self._configured.get(exchange.engine, frozenset()) | self._listed.get(
            exchange.engine, frozenset()
        )
        asked = False
        for field in ("response_model", "request_model"):
            name = getattr(exchange, field)
            if name is not None and name != OTHER and name not in known:
                setattr(exchange, field, OTHER)
                asked = asked or field == "response_model"
        if asked:
            self._ask(exchange.engine)
