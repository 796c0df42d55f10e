"""What the pipeline knows of each engine between samples, and the events that tell of its changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from stonechat.catalog import metric_id
from stonechat.event import EventKind, Severity
from stonechat.exchange import Exchange, Source
from stonechat_agent.sampling.reading import Reading

UP = metric_id("stonechat.engine.up")
RESTARTS = metric_id("stonechat.engine.restarts")
_WHOLE = 10_000
_UNREACHED = frozenset({"engine_refused", "timeout"})


class Change(NamedTuple):
    """Something that became of an engine: the event to tell it by."""

    kind: str
    engine: str
    severity: Severity


class EngineHealth:
    """Follows whether the engines are up: by their processes where these are known, else by what the relay meets.

    Pure: readings and exchanges come in, readings and changes go out.
    """

    def __init__(self, engines: Iterable[str]) -> None:
        self._up: dict[str, bool | None] = dict.fromkeys(engines)
        self._met: dict[str, bool] = {}

    def met(self, exchange: Exchange) -> None:
        """Note an exchange: an engine that answered is up, one that could not be reached is not.

        What an application tells of its own exchanges says nothing of the engine behind the relay.
        """
        if exchange.source is not Source.RELAY:
            return
        if exchange.error_type in _UNREACHED and exchange.connected_ns is None:
            self._met[exchange.engine] = False
        elif exchange.first_byte_ns is not None:
            self._met[exchange.engine] = True

    def heard(self, engine: str, *, up: bool) -> None:
        """Note that an engine told of itself, or that nobody listens at its address."""
        self._met[engine] = up

    def sampled(self, readings: Iterable[Reading]) -> tuple[list[Reading], list[Change]]:
        """The readings to add to a sample's, and what changed since the last one."""
        told = {r.engine: r.value > 0 for r in readings if r.metric == UP and r.engine is not None}
        restarted = {r.engine for r in readings if r.metric == RESTARTS and r.value > 0}
        added: list[Reading] = []
        changes: list[Change] = []
        for engine, before in self._up.items():
            now = told.get(engine)
            if now is None:
                now = self._met.get(engine)
                if now is not None:
                    added.append(Reading(UP, _WHOLE if now else 0, engine))
            if engine in restarted:
                changes.append(Change(EventKind.ENGINE_RESTARTED, engine, Severity.WARNING))
            if now is False and before is not False:
                changes.append(Change(EventKind.ENGINE_DOWN, engine, Severity.CRITICAL))
            elif now is True and before is False:
                changes.append(Change(EventKind.ENGINE_UP, engine, Severity.INFO))
            if now is not None:
                self._up[engine] = now
        return added, changes

    @property
    def states(self) -> Mapping[str, bool | None]:
        """Whether each engine is up; None while it is unknown."""
        return self._up
