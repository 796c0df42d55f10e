"""The relay: what listens in the engine's stead, and the links that it makes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from stonechat.exchange import Exchange

from ..capture import Bounds, Budget, Connection, Counts
from .addresses import Address, AddressError, parse_endpoint, refuse_own_address, resolve
from .feeder import Feeder
from .link import ClientSide, Link

log = logging.getLogger(__name__)

_READ_BUFFER = 64 * 1024
_MOST_REFUSING = 64
"""Connections over the limit that are told so; any more are closed without a word."""
_RESOLVE_AGAIN_NS = 5_000_000_000
_LOG_AGAIN_NS = 60_000_000_000


@dataclass(slots=True)
class RelayStats:
    """What a relay has done, for the sampler. All but ``connections_open`` only grow."""

    connections_open: int = 0
    connections_total: int = 0
    bytes_to_engine: int = 0
    bytes_to_client: int = 0
    refused: int = 0
    """Connections not relayed, because as many as may be were open."""
    connect_failures: dict[str, int] = field(default_factory=dict)
    """Failed attempts to reach the engine: ``engine_refused`` or ``timeout``."""
    consumer_errors: int = 0
    """Exchanges lost because what takes them raised."""
    capture: Counts = field(default_factory=Counts)
    """What was read: exchanges in flight and ended, parsers dropped."""

    def count_connect_failure(self, error_type: str) -> None:
        """Count one failed attempt to reach the engine."""
        self.connect_failures[error_type] = self.connect_failures.get(error_type, 0) + 1


class Relay:
    """Relays what comes to its sockets to one engine, byte for byte, and gives the exchanges that it sees.

    Every method is called in the thread of the event loop that ``start`` runs in.
    """

    def __init__(
        self,
        *,
        engine: str,
        listening: Sequence[socket.socket],
        upstream: str,
        on_exchange: Callable[[Exchange], None],
        upstream_key: str = "engine.url",
        connect_timeout_seconds: float = 3.0,
        max_connections: int = 256,
        bounds: Bounds | None = None,
        budget: Budget | None = None,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Prepare a relay.

        Args:
            engine: the name under which the engine's exchanges are reported.
            listening: from ``listen_sockets``; the relay closes them when it stops.
            upstream: the engine's address (see ``parse_endpoint``), as it stands in the setting ``upstream_key``.
            on_exchange: takes each finished exchange, in the loop's thread; it must not wait.
            budget: of bytes held for reading; one object may serve several relays.

        Raises:
            AddressError: upstream is no address.
        """
        self.upstream = upstream
        self.connect_timeout = connect_timeout_seconds
        self.clock_ns = clock_ns
        self.stats = RelayStats()
        self.buffer = memoryview(bytearray(_READ_BUFFER))
        """What sockets are read into: one for all, because each read is copied out before the next."""
        self.engine_unreachable = False
        """Whether the last attempt to reach the engine failed."""
        self.loop: asyncio.AbstractEventLoop
        self.feeder: Feeder
        self._endpoint = parse_endpoint(upstream, upstream_key)
        self._upstream_key = upstream_key
        self._engine = engine
        self._listening = list(listening)
        self._on_exchange = on_exchange
        self._max_connections = max_connections
        self._bounds = bounds if bounds is not None else Bounds()
        self._budget = budget if budget is not None else Budget()
        self._addresses: list[Address] = []
        self._resolved_ns = 0
        self._links: set[Link] = set()
        self._servers: list[asyncio.AbstractServer] = []
        self._logged_ns: int | None = None

    async def start(self) -> None:
        """Begin to accept connections. The engine need not be up.

        Raises:
            AddressError: the engine's address is the relay's own.
            RuntimeError: the loop is none of selectors, such as Windows' default one, where a read that is under way
                owns its buffer.
        """
        self.loop = asyncio.get_running_loop()
        if not isinstance(self.loop, asyncio.SelectorEventLoop):
            raise RuntimeError(  # noqa: TRY004  # how the process runs, not an argument of the wrong type
                f"the relay runs in an asyncio.SelectorEventLoop, not in {type(self.loop).__name__}"
            )
        self.feeder = Feeder(self.loop, self.clock_ns, self._deliver, self.stats.capture)
        await self._resolve()
        for listener in self._listening:
            server = await self.loop.create_server(lambda: ClientSide(self), sock=listener, backlog=512)
            self._servers.append(server)

    async def stop(self, deadline_seconds: float = 10.0) -> None:
        """Accept no more, let what is under way end, and reset what has not ended by the deadline."""
        self.accept_no_more()
        deadline = self.loop.time() + deadline_seconds
        while self._links and self.loop.time() < deadline:
            for link in list(self._links):
                link.close_when_idle()
            await asyncio.sleep(0.02)
        for link in list(self._links):
            link.abort()
        await asyncio.sleep(0)  # for the transports to say that they are gone
        self.feeder.flush()

    def accept_no_more(self) -> None:
        """Close the sockets that listen, so that another relay may have their address while this one drains."""
        for server in self._servers:
            server.close()
        self._servers.clear()

    def new_capture(self) -> Connection:
        """Return a capture for a new link."""
        return Connection(self._engine, bounds=self._bounds, budget=self._budget, counts=self.stats.capture)

    def accepted(self, client: asyncio.Transport) -> Link | None:
        """Make a link for a client that has connected; None where it is turned away without one."""
        stats = self.stats
        stats.connections_total += 1
        is_full = len(self._links) >= self._max_connections
        if is_full and len(self._links) >= self._max_connections + _MOST_REFUSING:
            stats.refused += 1
            client.abort()
            return None
        link = Link(self, client)
        self._links.add(link)
        stats.connections_open = len(self._links)
        if is_full:
            stats.refused += 1
            link.refuse(
                "relay_full",
                503,
                f"stonechat: {self._max_connections} connections are open, and no more are taken",
            )
        else:
            link.dial()
        return link

    def link_closed(self, link: Link) -> None:
        """Forget a link whose client is gone."""
        self._links.discard(link)
        self.stats.connections_open = len(self._links)

    async def engine_addresses(self) -> Sequence[Address]:
        """Return where the engine may be reached: looked up again once it was not found there."""
        if (
            self.engine_unreachable
            and self._endpoint.host
            and self.clock_ns() - self._resolved_ns > _RESOLVE_AGAIN_NS
        ):
            with contextlib.suppress(AddressError):  # its last addresses are tried again instead
                await self._resolve()
        return self._addresses

    async def _resolve(self) -> None:
        self._resolved_ns = self.clock_ns()
        try:
            addresses = await resolve(self._endpoint)
        except OSError:
            return  # the name may be known later
        refuse_own_address(addresses, self._listening, self.upstream, self._upstream_key)
        self._addresses = addresses

    def _deliver(self, finished: Sequence[Exchange]) -> None:
        for exchange in finished:
            try:
                self._on_exchange(exchange)
            except Exception:
                self.stats.consumer_errors += 1
                now_ns = self.clock_ns()
                if self._logged_ns is None or now_ns - self._logged_ns > _LOG_AGAIN_NS:
                    self._logged_ns = now_ns
                    log.exception("exchange not taken", extra={"engine": self._engine})
