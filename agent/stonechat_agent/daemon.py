"""The agent's process: starts its parts, keeps them, reloads them, and stops them in order.

The main thread runs the event loop with the relays and the local endpoint, whose sockets it alone waits for. The
pipeline, the sampling and the link to the broker have threads of their own.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import time
from collections.abc import Callable
from typing import Any

from stonechat import __version__
from stonechat.errors import ConfigError, StonechatError
from stonechat.exchange import Exchange
from stonechat_agent import logs
from stonechat_agent.capture import Bounds, Budget
from stonechat_agent.describe import describe
from stonechat_agent.journal import Recent
from stonechat_agent.local import Endpoint, Page, pages
from stonechat_agent.local.endpoint import json_page
from stonechat_agent.local.exchanges import ExchangeIntake
from stonechat_agent.local.prometheus import render
from stonechat_agent.local.series import Series
from stonechat_agent.local.status import status_of
from stonechat_agent.notify import Notifier
from stonechat_agent.pipeline import Lagged, Relayed
from stonechat_agent.relay import AddressError, Relay, listen_sockets
from stonechat_agent.settings import Engine, Settings, load
from stonechat_agent.watch import Watch

log = logging.getLogger(__name__)

BEAT_SECONDS = 1.0
STALLED_SECONDS = 20.0
"""Without progress for so long the pipeline gets no more signs of life sent for it, and the watchdog restarts us."""
RETRY_SECONDS = 5.0
"""Between two tries to have an address that is taken."""
DRAIN_SECONDS = 5.0


def main(settings: Settings) -> int:
    """Run the agent until it is told to stop, and return the exit code."""
    logs.set_up()
    return asyncio.run(Daemon(settings).run())


class Daemon:
    """See the module's docstring."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._notifier = Notifier()
        self._started = time.monotonic()
        self._relays: dict[str, tuple[Engine, Relay]] = {}
        self._waiting: dict[str, Engine] = {}
        self._budget = Budget()
        self._endpoint: Endpoint | None = None
        self._series = Series()  # the page's charts go on over a reload
        self._watch: Watch
        self._stopping: asyncio.Event
        self._reloading: asyncio.Event

    async def run(self) -> int:
        """Start, serve until a signal comes, and stop."""
        loop = asyncio.get_running_loop()
        self._stopping, self._reloading = asyncio.Event(), asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._told_to_stop)
        loop.add_signal_handler(signal.SIGHUP, self._reloading.set)
        self._watch = await self._new_watch(self._settings)
        self._watch.start()
        await self._start_relays()
        await self._start_endpoint()
        self._notifier.send(
            f"READY=1\nSTATUS=relaying {len(self._relays)} of {len(self._settings.engines)} engines"
        )
        log.info("agent started", extra={"device": self._settings.device.id, "version": __version__})
        code = await self._serve()
        self._notifier.send("STOPPING=1")
        await asyncio.gather(*(relay.stop(DRAIN_SECONDS) for _, relay in self._relays.values()))
        if self._endpoint is not None:
            await self._endpoint.stop()  # before what takes the exchanges that applications tell of here
        await loop.run_in_executor(None, self._watch.stop)
        log.info("agent stopped")
        return code

    def _told_to_stop(self) -> None:
        if self._stopping.is_set():
            os._exit(1)  # asked twice: at once. What was acknowledged is safe on the disk.
        self._stopping.set()

    async def _serve(self) -> int:
        retry_at = time.monotonic() + RETRY_SECONDS
        beat_due = time.monotonic()
        while not self._stopping.is_set():
            beat_due += BEAT_SECONDS
            try:
                await asyncio.wait_for(self._stopping.wait(), max(0.0, beat_due - time.monotonic()))
            except (asyncio.TimeoutError, TimeoutError):  # one and the same since Python 3.11
                late = time.monotonic() - beat_due
                self._watch.pipeline.put(Lagged(max(0, int(late * 1e6))))
                beat_due = max(beat_due, time.monotonic() - BEAT_SECONDS)
            pipeline = self._watch.pipeline
            if pipeline.failed is not None:
                log.critical("pipeline ended", extra={"error": pipeline.failed})
                return 1
            if time.monotonic() - pipeline.progress < STALLED_SECONDS:
                self._notifier.send("WATCHDOG=1")
            if self._reloading.is_set():
                self._reloading.clear()
                await self._reload()
                beat_due = time.monotonic()  # nobody was late meanwhile: it was not looked at
            if (self._waiting or self._endpoint is None) and time.monotonic() >= retry_at:
                retry_at = time.monotonic() + RETRY_SECONDS
                await self._start_relays()
                if self._endpoint is None:
                    await self._start_endpoint(again=True)
        return 0

    async def _new_watch(self, settings: Settings) -> Watch:
        loop = asyncio.get_running_loop()
        # A GPU's driver may take seconds to say what it is.
        description = await loop.run_in_executor(None, describe, settings)
        return Watch(settings, description, self._relayed, self._series)

    async def _reload(self) -> None:
        """Take the configuration anew. One that is wrong changes nothing."""
        if not self._settings.file:
            log.info("nothing to reload", extra={"reason": "no configuration file was read at the start"})
            return
        loop = asyncio.get_running_loop()
        try:
            settings = await loop.run_in_executor(None, load, self._settings.file)
        except ConfigError as error:
            log.error("reload refused", extra={"faults": str(error)})
            return
        if settings == self._settings:
            log.info("reloaded", extra={"changed": "nothing"})
            return
        try:
            watch = await self._new_watch(settings)
        except Exception:
            # A fault of ours: what runs goes on by the configuration that it knows.
            log.exception("reload failed")
            return
        before, self._settings = self._settings, settings
        self._notifier.send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
        kept = {engine.name: engine for engine in settings.engines}
        leaving = []
        for name, (engine, relay) in list(self._relays.items()):
            if kept.get(name) != engine:
                del self._relays[name]
                relay.accept_no_more()
                leaving.append(relay)
        await self._start_relays()  # at once: the model stays reachable while the old ones drain
        await asyncio.gather(*(relay.stop(DRAIN_SECONDS) for relay in leaving))
        old = self._watch
        self._notifier.send("WATCHDOG=1")  # what follows may take the disk its time
        await loop.run_in_executor(None, old.stop)
        self._notifier.send("WATCHDOG=1")
        self._watch = watch
        self._watch.start()
        for exchange in old.pipeline.left():
            self._exchange_ended(exchange)
        if settings.local != before.local:
            if self._endpoint is not None:
                await self._endpoint.stop()
            await self._start_endpoint()
        self._notifier.send("READY=1")
        log.info("reloaded", extra={"file": settings.file})

    async def _start_relays(self) -> None:
        """Listen for every engine that has no relay yet. What cannot be had is tried again; the rest goes on."""
        known = self._waiting
        self._waiting = {}
        for engine in self._settings.engines:
            if engine.name in self._relays:
                continue
            try:
                self._relays[engine.name] = (engine, await self._start_relay(engine))
            except StonechatError as error:
                if engine.name not in known:
                    log.error("relay not started", extra={"engine": engine.name, "reason": str(error)})
                self._waiting[engine.name] = engine
            else:
                listen = str(engine.listen)
                log.info(
                    "relaying",
                    extra={"engine": engine.name, "listen": listen, "upstream": str(engine.upstream)},
                )

    async def _start_relay(self, engine: Engine) -> Relay:
        listening = _passed_socket(engine) or listen_sockets(str(engine.listen))
        relay = Relay(
            engine=engine.name,
            listening=listening,
            upstream=str(engine.upstream),
            upstream_key="engine.upstream",
            on_exchange=self._exchange_ended,
            bounds=Bounds(body_bytes=engine.max_body_bytes),
            budget=self._budget,
        )
        try:
            await relay.start()
        except AddressError:
            for listener in listening:
                listener.close()
            raise
        return relay

    def _exchange_ended(self, exchange: Exchange) -> None:
        self._watch.pipeline.put(exchange)  # of the watch that is in force by now: a reload replaces it

    def _latest(self, limit: int) -> Recent:
        return self._watch.journal.recent(limit)

    def _engine_names(self) -> list[str]:
        return [engine.name for engine in self._settings.engines]

    async def _start_endpoint(self, *, again: bool = False) -> None:
        """Listen at the local endpoint's address. What fails ``again`` was told of."""
        listen = self._settings.local.listen
        shown: dict[str, Callable[[], Page]] = {
            "/": pages.page(),
            "/healthz": self._health_page,
            "/v1/status": lambda: json_page(self._status()),
            "/metrics": lambda: Page(
                200, "text/plain; version=0.0.4", render(self._watch.pipeline.snapshot.totals).encode()
            ),
        }
        lookups = {"/v1/recent": pages.recent(self._latest, self._series)}
        takes = {"/v1/exchanges": ExchangeIntake(self._exchange_ended, self._engine_names)}
        endpoint = Endpoint(shown, lookups=lookups, takes=takes)
        try:
            await endpoint.start(listen.host, listen.port)
        except OSError as error:
            self._endpoint = None
            if not again:
                reason = error.strerror or str(error)
                extra = {"key": "local.listen", "address": str(listen), "reason": reason}
                log.error("local endpoint not started", extra=extra)
        else:
            self._endpoint = endpoint
            if again:
                log.info("local endpoint started", extra={"address": str(listen)})

    def _relayed(self) -> dict[str, Relayed]:
        """What the relays count. Called by the pipeline's thread: it reads numbers that only grow."""
        return {
            name: Relayed(
                relay.stats.connections_open,
                relay.stats.capture.in_flight,
                relay.stats.capture.lost + relay.stats.consumer_errors,
                dict(relay.stats.capture.dropped),
            )
            for name, (_, relay) in list(self._relays.items())
        }

    def _health_page(self) -> Page:
        alive = time.monotonic() - self._watch.pipeline.progress < STALLED_SECONDS
        return json_page({"alive": alive}, 200 if alive else 503)

    def _status(self) -> dict[str, Any]:
        return status_of(
            self._settings,
            self._watch.pipeline.snapshot,
            relaying=frozenset(self._relays),
            sources=self._watch.sampler.status(),
            journal=self._watch.journal.stats(),
            scoring=self._watch.keeper.stats(),
            untold=self._watch.untold(),
            uplink_fault=self._watch.link.reason if self._watch.link is not None else "",
            uptime_seconds=time.monotonic() - self._started,
        )


def _passed_socket(engine: Engine) -> list[socket.socket]:
    """The socket that systemd holds for this engine's address, which survives our restarts, if it does."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return []
    for number in range(3, 3 + int(os.environ.get("LISTEN_FDS", "0"))):
        passed = socket.socket(fileno=os.dup(number))
        if passed.getsockname()[:2] == tuple(engine.listen):
            passed.setblocking(False)
            return [passed]
        passed.close()
    return []
