"""What watches and tells on a device: sampling, pipeline, journal, and the link to the broker."""

from __future__ import annotations

import logging
import os
import secrets
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from stonechat import topics
from stonechat.event import Event, EventKind, Severity
from stonechat.exchange import Exchange
from stonechat.wire import Header
from stonechat_agent.clocks import Clocks
from stonechat_agent.desk import Desk
from stonechat_agent.journal import Journal, Pseudonyms, load_key
from stonechat_agent.local.series import Series
from stonechat_agent.models import KnownModels
from stonechat_agent.outbox import Chooser, Outbox
from stonechat_agent.passive import Passive, Watched, key_of
from stonechat_agent.pipeline import Learned, Linked, Pipeline, Received, Relayed, Told, Unlinked, Unreached
from stonechat_agent.privacy import Redactor
from stonechat_agent.sampling import EngineMatch, Sample, Sampler, SamplingThread, build
from stonechat_agent.scoring.folders import folders
from stonechat_agent.scoring.tier0 import Tier0
from stonechat_agent.scoring.verdict import Verdict
from stonechat_agent.scoring.worker.keeper import Keeper
from stonechat_agent.scoring.worker.policy import conditions_of
from stonechat_agent.settings import Engine, Settings
from stonechat_agent.spool import Spool
from stonechat_agent.uplink import Publish, Uplink

if TYPE_CHECKING:
    from stonechat_agent.uplink.mqtt import MqttLink

log = logging.getLogger(__name__)


ASK_SECONDS = 30.0
"""Between two times that an engine is asked because a name came up that it never told of."""


class Watch:
    """All of it for one configuration: replaced as a whole on reload."""

    def __init__(
        self,
        settings: Settings,
        description: Mapping[str, Any],
        relayed: Callable[[], Mapping[str, Relayed]],
        series: Series,
    ) -> None:
        self._settings = settings
        self._clocks = Clocks()
        self._relayed = relayed
        self._asked: dict[str, float] = {}
        self.link: MqttLink | None = None
        self._outbox: Outbox | None = None
        privacy, journal = settings.privacy, settings.journal
        key = load_key(journal.path)
        self.journal = Journal(
            journal.path,
            max_size=journal.max_size_bytes,
            max_age_ns=journal.max_age_ns,
            texts=privacy.journal,
            sample=privacy.sample,
            redact=Redactor(privacy.patterns).transcript,
            random=_random,
        )
        self._passive = Passive(
            [_watched(engine) for engine in settings.engines if engine.passive],
            on_facts=lambda engine, facts: self.pipeline.put(Learned(engine, facts)),
            in_flight=self._in_flight,
            on_unreached=lambda engine: self.pipeline.put(Unreached(engine)),
        )
        self.keeper = Keeper(
            replace(settings.scoring, models=tuple(folders(settings))),
            settings.guidelines,
            on_verdict=self._judged,
            on_event=self._happened,
            in_flight=self._all_in_flight,
            random=_random,
        )
        self._desk = Desk(
            random_bits=secrets.randbits,
            models=KnownModels({engine.name: engine.models for engine in settings.engines}),
            ask=self._ask,
            used=self._passive.used,
            pseudonyms=Pseudonyms(key),
            checks=Tier0(key),
            chooser=Chooser(settings.exchanges, random=_random, clock=time.monotonic),
            keep=self._keep,
            judge=self.keeper.offer,
            amend=self._amend,
        )
        self.pipeline = Pipeline(
            open_spool=self._open_spool,
            make_uplink=self._make_uplink if settings.mqtt.url is not None else None,
            publish=self._publish,
            description=description,
            engines=tuple(engine.name for engine in settings.engines),
            window_ms=settings.window.length_ns // 1_000_000,
            relayed=relayed,
            readings=self._passive.readings,
            came_up=self._passive.came_up,
            desk=self._desk,
            series=series,
            losses=self._losses,
            clocks=self._clocks,
        )
        self.sampler: Sampler = build(
            engines=[_match(engine) for engine in settings.engines],
            spool_path=_existing(settings.spool.path),
            proc=settings.sampling.proc_root,
            sys=settings.sampling.sys_root,
        )
        self._sampling = SamplingThread(self.sampler, settings.sampling.interval_ns, self._sampled)

    def start(self) -> None:
        """Begin."""
        self.journal.start()
        self.pipeline.start()
        self.keeper.start()
        self._sampling.start()
        self._passive.start()

    def stop(self) -> None:
        """End: the last window is closed and kept, and sent if the way is open."""
        self._passive.stop()
        self._sampling.stop()
        if not self.keeper.stop():
            log.error("scoring not stopped in time")
        if not self.pipeline.stop():
            log.error("pipeline not stopped in time")
        if self._outbox is not None:  # only now: the pipeline's thread makes it
            self._outbox.stop()
        if not self.journal.stop():
            log.error("journal not written in time")
        if self.link is not None:
            self.link.stop()

    def untold(self) -> Counter[str]:
        """Exchanges that stay on the device because an hour holds no more, by the reason to tell of them; none where
        there is nobody to tell."""
        return self._desk.untold() if self._settings.mqtt.url is not None else Counter()

    # The pipeline's thread calls these

    def _open_spool(self) -> Spool:
        settings = self._settings
        return Spool.open(
            settings.spool.path,
            rng_bytes=secrets.token_bytes,
            clock=self._clocks.now,
            max_size=settings.spool.max_size_bytes,
            min_free=settings.spool.min_free_bytes,
            window_step_ms=settings.window.length_ns // 1_000_000,
            boot_id=_boot_id(settings.sampling.proc_root),
            on_event=self._told,
        )

    def _make_uplink(self, spool: Spool) -> Uplink:
        mqtt, device = self._settings.mqtt, self._settings.device
        uplink = Uplink(spool, device.fleet, device.id, random=_random)
        from stonechat_agent.uplink.mqtt import MqttLink  # brings ssl, which is not needed without a broker

        self.link = MqttLink(
            mqtt,
            client_id=device.id,
            keep_alive_seconds=mqtt.keep_alive_ns // 1_000_000_000,
            subscriptions=uplink.subscriptions,
            will=uplink.will,
            linked=self._linked,
            unlinked=self._unlinked,
            received=lambda topic, payload: self.pipeline.put(Received(topic, payload)),
            random=_random,
        )
        if self._settings.exchanges.most_per_hour:
            self._outbox = Outbox(
                self.journal,
                self._settings.privacy,
                topic=topics.up(device.fleet, device.id, "exchange"),
                header=lambda: self._header(spool.epoch, spool.order),
                deliver=self.link.deliver,
            )
            self._outbox.start()
        self.link.start()
        return uplink

    def _header(self, epoch: int, order: int) -> Header:
        now = self._clocks.now()
        return Header(epoch, order, now.wall, now.boottime)

    def _publish(self, message: Publish) -> None:
        if self.link is not None:
            self.link.publish(message)

    def _told(self, event: Event) -> None:
        if event.kind != EventKind.DESCRIPTION:  # what it describes is told by events of their own
            self.journal.put_event(event.first.wall, event.kind, event.key, event.severity, event.attributes)

    def _keep(self, exchange: Exchange, chosen: str | None) -> None:
        self.journal.put(exchange, chosen)
        if chosen is not None and self._outbox is not None:
            self._outbox.wake()

    def _amend(
        self, id: str, scores: Mapping[str, float], findings: Sequence[str], chosen: str | None
    ) -> None:
        self.journal.update(id, scores, findings, chosen)
        if chosen is not None and self._outbox is not None:
            self._outbox.wake()

    def _ask(self, engine: str) -> bool:
        """Have an engine asked for its models, if that is worth waiting for: see ``Desk``."""
        now = time.monotonic()
        if self._passive.facts(engine) is not None:
            self._passive.used(engine)
            return False
        if now - self._asked.get(engine, -ASK_SECONDS) < ASK_SECONDS:
            return False
        self._asked[engine] = now
        self._passive.came_up(engine)
        return True

    def _in_flight(self, engine: str) -> int:
        counted = self._relayed().get(engine)
        return counted.in_flight if counted is not None else 0

    def _losses(self) -> Counter[str]:
        losses = self.journal.losses + self.keeper.losses()
        return losses + Counter(self._outbox.losses()) if self._outbox is not None else losses

    # The sampling's and the keeper's threads call these

    def _sampled(self, sample: Sample) -> None:
        self.keeper.conditions(*conditions_of(sample.readings))
        self.pipeline.put(sample)

    def _judged(self, verdict: Verdict) -> None:
        self.pipeline.put(verdict)

    def _happened(self, kind: str, key: str, severity: Severity, attributes: Mapping[str, Any]) -> None:
        self.pipeline.put(Told(kind, key, severity, attributes))

    def _all_in_flight(self) -> int:
        return sum(relayed.in_flight for relayed in self._relayed().values())

    # The link's thread calls these

    def _linked(self) -> None:
        self.pipeline.put(Linked())
        if self._outbox is not None:
            self._outbox.linked()

    def _unlinked(self) -> None:
        self.pipeline.put(Unlinked())
        if self._outbox is not None:
            self._outbox.unlinked()


def _match(engine: Engine) -> EngineMatch:
    upstream = engine.upstream
    host, port = (upstream.host, upstream.port) if upstream is not None else ("", 0)
    return EngineMatch(engine.name, host, port, engine.unit, engine.process, engine.pid_file)


def _watched(engine: Engine) -> Watched:
    key = ""
    if engine.api_key_file:
        try:
            with open(engine.api_key_file, encoding="utf-8") as file:
                key = key_of(file.read())
        except (OSError, ValueError) as error:
            log.warning("engine asked without its key", extra={"engine": engine.name, "reason": str(error)})
    return Watched(engine.name, engine.upstream.host, engine.upstream.port, key)


def _existing(path: str) -> str:
    """The path, or the nearest directory above it that exists: the spool's own may not be there yet."""
    while not os.path.exists(path) and path != os.path.dirname(path):
        path = os.path.dirname(path)
    return path


def _boot_id(proc: str) -> str:
    try:
        with open(f"{proc}/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read(64).strip()
    except OSError:
        return ""


def _random() -> float:
    return secrets.randbelow(1 << 53) / (1 << 53)
