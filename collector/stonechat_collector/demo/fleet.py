"""The three devices of the demo, and how their characters come about by real means."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import NamedTuple

from stonechat_collector.demo import engines
from stonechat_collector.demo.load import User, openai_chat
from stonechat_collector.demo.processes import Died, Processes
from stonechat_collector.demo.telling import GUIDELINE, Teller

WINDOW_SECONDS = 5
SAMPLE = 0.1
SLOW_SECONDS = 2
MOST_PER_HOUR = 400
"""Enough that the first minutes have something of each kind to show."""
RIVALS = 9
"""Busy processes that share the starved engine's core with it: it gets a tenth, where those of the others, their agents
and the collector share what is left."""
_RESTART_EVERY_SECONDS = 9.0
_DOWN_SECONDS = 2.0
START_SECONDS = 120.0
_BUSY = "while True: pass"


class Character(NamedTuple):
    """One device."""

    name: str
    what: str
    """For people: what is to be seen on it."""
    tokens: int
    think_seconds: float
    starved: bool = False
    erring: bool = False
    telling: bool = False
    """Whether its texts, which are the demo's own, go to the collector; the others show why there are none. It also has
    an application that is rude at times, and a guideline."""

    @property
    def tables(self) -> str:
        """The tables of its agent.toml that are not those of the others."""
        if not self.telling:
            return ""
        return (
            '[privacy]\njournal = "all"\nupload = "all"\n'
            # All of them: of a twentieth, as is usual, the first minutes would have nothing to show.
            f'[scoring]\nwhen = "always"\nsample = 1.0\n{GUIDELINE}'
        )


CHARACTERS = (
    Character(
        "lobby-kiosk", "healthy, but some answers are rude or give medical advice", 48, 1.2, telling=True
    ),
    Character("floor-robot", "starved of CPU by a competing load", 24, 0.6, starved=True),
    Character("till-assistant", "its engine crashes, restarts and is asked too much", 16, 0.4, erring=True),
)


class Ports(NamedTuple):
    """Where a device's parts listen on loopback."""

    engine: int
    relay: int
    local: int


class Device:
    """One device: an engine, the agent beside it, a user, and what troubles it."""

    def __init__(
        self,
        character: Character,
        ports: Ports,
        *,
        broker: int,
        state: Path,
        processes: Processes,
        engine: str = "",
    ) -> None:
        """``engine`` is the URL of an engine that runs already; without it the device gets a demo engine."""
        self.character = character
        self._ports = ports
        self._processes = processes
        self._engine = engine
        self._restart_at: float | None = None
        self._user: User | None = None
        self._teller: Teller | None = None
        self._config = state / f"{character.name}.toml"
        self._config.write_text(
            f"""\
[device]
id = "{character.name}"
fleet = "demo"
labels = {{ site = "demo" }}
[engine]
upstream = "{engine or self._own_engine}"
listen = "127.0.0.1:{ports.relay}"
[window]
length = "{WINDOW_SECONDS}s"
[exchanges]
sample = {SAMPLE}
slow = "{SLOW_SECONDS}s"
most_per_hour = {MOST_PER_HOUR}
[spool]
path = "{state / character.name}"
min_free = "0B"
[mqtt]
url = "mqtt://127.0.0.1:{broker}"
keep_alive = "10s"
[local]
listen = "127.0.0.1:{ports.local}"
{character.tables}"""
        )

    @property
    def agent(self) -> str:
        """The name of the agent's process."""
        return f"{self.character.name}.agent"

    @property
    def engine(self) -> str:
        """The name of the engine's process."""
        return f"{self.character.name}.engine"

    @property
    def _own_engine(self) -> str:
        return f"http://127.0.0.1:{self._ports.engine}"

    @property
    def relay_url(self) -> str:
        """Where the device's applications ask."""
        return f"http://127.0.0.1:{self._ports.relay}"

    def start(self, model: str, seed: int) -> None:
        """Start everything of this device."""
        calm, busy = _cores()
        if not self._engine:
            self._start_engine()
        self._processes.start(
            self.agent, ["-m", "stonechat_agent", "agent", "--config", str(self._config)], cores=calm
        )
        # An application asks only once its engine is there: what fails from here on is the character's.
        self._wait_until_answered(self._engine or self._own_engine, self.engine)
        self._wait_until_answered(self.relay_url, self.agent)
        if self.character.starved:
            for number in range(RIVALS):
                self._processes.start(f"{self.character.name}.rival-{number}", ["-c", _BUSY], cores=busy)
        if self.character.erring:
            self._restart_at = time.monotonic() + _RESTART_EVERY_SECONDS
        self._user = User(
            self.relay_url,
            seed=seed,
            tokens=self.character.tokens,
            think_seconds=self.character.think_seconds,
            model=model,
            too_long=0.1 if self.character.erring else 0.0,
            asks=(openai_chat,) if self._engine else (),
        )
        self._user.start()
        if self.character.telling:
            self._teller = Teller(f"http://127.0.0.1:{self._ports.local}", model)
            self._teller.start()

    def tick(self) -> None:
        """Do what is due: the erring device's engine crashes and comes back."""
        if self._restart_at is None or time.monotonic() < self._restart_at:
            return
        if self._processes.ended(self.engine):
            self._start_engine()
            self._restart_at = time.monotonic() + _RESTART_EVERY_SECONDS
        else:
            self._processes.kill(self.engine)
            self._restart_at = time.monotonic() + _DOWN_SECONDS

    def stop(self) -> None:
        """Send the users home."""
        for one in (self._user, self._teller):
            if one is not None:
                one.stop()

    def _wait_until_answered(self, url: str, process: str) -> None:
        deadline = time.monotonic() + START_SECONDS
        while engines.first_model(url) is None:
            self._processes.check(process)
            if time.monotonic() > deadline:
                raise Died(
                    f"{url} was not answered in {START_SECONDS:.0f} s:\n{self._processes.said(process)}"
                )
            time.sleep(0.1)

    def _start_engine(self) -> None:
        calm, busy = _cores()
        self._processes.start(
            self.engine,
            [
                *("-m", "stonechat_agent", "demo-engine", "--listen", f"127.0.0.1:{self._ports.engine}"),
                *("--threads", "1", "--slots", "2"),
            ],
            cores=busy if self.character.starved else calm,
        )


def _cores() -> tuple[list[int], list[int]]:
    """(The cores of calm, the one that the starved engine shares with its rivals); the same one where there is one."""
    if not hasattr(os, "sched_getaffinity"):
        return [], []
    cores = sorted(os.sched_getaffinity(0))
    return cores[:-1] or cores, cores[-1:]
