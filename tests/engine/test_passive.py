"""What a real llama-server says of itself, and that asking it neither wakes it nor keeps it awake nor loads it."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator

import pytest
from tests.engine.cases import ENDLESS
from tests.engine.servers import CONTEXT, LlamaServer, busy, until
from tests.ports import free_port

from stonechat_agent.passive import Facts, Passive, Watched, changes
from stonechat_agent.passive.passive import BUSY, TOTAL
from stonechat_agent.sampling.reading import Reading


class Watching:
    """A ``Passive`` at one server, and what it told."""

    def __init__(self, port: int, key: str = "") -> None:
        self.told: list[Facts] = []
        self.in_flight = 0
        self.passive = Passive(
            [Watched("e", "127.0.0.1", port, key)],
            lambda name, facts: self.told.append(facts),
            lambda name: self.in_flight,
        )
        self.passive.start()

    def first(self) -> Facts:
        until(lambda: bool(self.told))
        return self.told[0]


@pytest.fixture
def watching() -> Iterator[Callable[..., Watching]]:
    begun: list[Watching] = []

    def begin(port: int, key: str = "") -> Watching:
        begun.append(Watching(port, key))
        return begun[-1]

    yield begin
    for one in begun:
        one.passive.stop()


def props(server: LlamaServer) -> dict[str, object]:
    return dict(json.loads(server.get("/props").partition(b"\r\n\r\n")[2]))


def test_the_facts_are_those_that_it_tells(
    servers: dict[str, LlamaServer], watching: Callable[..., Watching]
) -> None:
    facts = watching(servers["plain"].port).first()
    entry = facts.describe()
    assert entry == {
        "kind": "llama.cpp",
        "build": props(servers["plain"])["build_info"],
        "slots": 2,
        "model": "random",
        "digest": entry["digest"],
        "quantization": "F16",
        "context": CONTEXT,
        "template": entry["template"],
    }
    assert facts.sleeping is False
    unnamed = watching(servers["unnamed"].port).first().describe()
    assert unnamed["model"] == "random.gguf"
    assert unnamed["digest"] == entry["digest"]
    tools = watching(servers["tools"].port).first().describe()
    assert {change.what for change in changes(entry, tools)} == {"digest", "template"}


def test_a_key_is_needed_where_it_wants_one(
    servers: dict[str, LlamaServer], watching: Callable[..., Watching]
) -> None:
    assert watching(servers["locked"].port).first().describe() == {"kind": "llama.cpp"}
    assert watching(servers["locked"].port, "sesame").first().models[0].name == "random"


def test_one_that_sleeps_stays_asleep(
    started: Callable[..., LlamaServer], watching: Callable[..., Watching]
) -> None:
    server = started("sleepy")
    awake = server.resident_bytes()
    until(lambda: props(server)["is_sleeping"] is True)
    asleep = server.resident_bytes()
    assert asleep < awake - 20_000_000
    one = watching(server.port)
    facts = one.first()
    assert facts.sleeping is True
    assert facts.models[0].name == "random"
    for _ in range(30):
        one.passive.came_up("e")
        one.passive.used("e")
        assert one.passive.readings() == [Reading(TOTAL, 2, "e")]
        time.sleep(0.05)
        assert props(server)["is_sleeping"] is True
    assert abs(server.resident_bytes() - asleep) < 4_000_000
    # What is never asked of one that is idle: this is why.
    server.get("/slots")
    assert props(server)["is_sleeping"] is False


def test_one_that_is_idle_falls_asleep_as_if_nobody_asked(
    started: Callable[..., LlamaServer], watching: Callable[..., Watching]
) -> None:
    server = started("sleepy")
    one = watching(server.port)
    one.first()
    began = time.monotonic()
    while props(server)["is_sleeping"] is not True:
        one.passive.came_up("e")
        one.passive.readings()
        time.sleep(0.1)
        assert time.monotonic() - began < 4


def test_an_idle_one_is_not_asked_and_spends_nothing(
    servers: dict[str, LlamaServer], watching: Callable[..., Watching]
) -> None:
    server = servers["reasoning"]
    one = watching(server.port)
    one.first()
    time.sleep(0.3)
    before = server.cpu_seconds()
    for _ in range(30):
        one.passive.readings()
        one.passive.used("e")
        time.sleep(0.1)
    assert server.cpu_seconds() - before <= 0.02


def test_busy_slots_are_counted_while_requests_are_under_way(
    servers: dict[str, LlamaServer], watching: Callable[..., Watching]
) -> None:
    server = servers["plain"]
    one = watching(server.port)
    one.first()
    one.in_flight = 2
    with busy(server.port, ENDLESS.request, 2):
        until(lambda: one.passive.readings() == [Reading(TOTAL, 2, "e"), Reading(BUSY, 2, "e")])
    until(lambda: one.passive.readings() == [Reading(TOTAL, 2, "e"), Reading(BUSY, 0, "e")])
    one.in_flight = 0
    assert one.passive.readings() == [Reading(TOTAL, 2, "e")]


def test_one_that_loads_tells_in_full_when_it_has_loaded(
    started: Callable[..., LlamaServer], watching: Callable[..., Watching]
) -> None:
    port = free_port()
    one = watching(port)
    started(wait=False, port=port)
    one.passive.came_up("e")
    until(lambda: bool(one.told) and bool(one.told[-1].models))
    assert one.told[-1].models[0].name == "random"


def test_one_that_is_stopped_is_left_alone_and_found_again(
    started: Callable[..., LlamaServer], watching: Callable[..., Watching]
) -> None:
    server = started()
    assert server.process is not None
    server.process.send_signal(signal.SIGSTOP)
    one = watching(server.port)
    time.sleep(1)
    assert one.told == []
    server.process.send_signal(signal.SIGCONT)
    one.passive.came_up("e")
    assert one.first().models[0].name == "random"
