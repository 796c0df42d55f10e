"""The thread that asks: what it asks whom, and what it leaves alone."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from tests.agent.passive.servers import Engine, hangs, says, speaking
from tests.agent.passive.test_parsers import MODELS, PROPS
from tests.ports import free_port

from stonechat_agent.passive import Facts, Passive, Watched, asking, key_of
from stonechat_agent.passive.parsers import Answer
from stonechat_agent.passive.passive import BUSY, TOTAL
from stonechat_agent.sampling.reading import Reading

LLAMACPP = {
    "/props": PROPS,
    "/v1/models": MODELS,
    "/slots": [{"is_processing": True}, {"is_processing": False}],
}


class Asked:
    """A ``Passive`` at work, on a clock that a test can put forward, and what it told."""

    def __init__(self, engines: Sequence[Watched], timeout_seconds: float) -> None:
        self.told: list[tuple[str, Facts]] = []
        self.unreached: list[str] = []
        self.in_flight = dict.fromkeys((engine.name for engine in engines), 0)
        self.ahead = 0.0
        self.passive = Passive(
            engines,
            lambda name, facts: self.told.append((name, facts)),
            lambda name: self.in_flight[name],
            on_unreached=self.unreached.append,
            monotonic=lambda: time.monotonic() + self.ahead,
            timeout_seconds=timeout_seconds,
        )

    def put_forward(self, seconds: float) -> None:
        """Let time pass, and the thread see it."""
        self.ahead += seconds
        with self.passive._changed:
            self.passive._changed.notify_all()


def soon(until: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.005)


@pytest.fixture
def asked() -> Iterator[Callable[..., Asked]]:
    begun: list[Asked] = []

    def begin(*ports: int, key: str = "", timeout_seconds: float = 20.0) -> Asked:
        watched = [Watched(f"e{n}", "127.0.0.1", port, key) for n, port in enumerate(ports)]
        one = Asked(watched, timeout_seconds)
        begun.append(one)
        one.passive.start()
        return one

    yield begin
    for one in begun:
        one.passive.stop(30)
    assert not [thread for thread in threading.enumerate() if thread.name == "passive"]


def test_an_engine_is_asked_once_and_then_left_alone(asked: Callable[..., Asked]) -> None:
    with Engine(LLAMACPP) as engine:
        one = asked(engine.port, key="secret")
        soon(lambda: bool(one.told))
        one.put_forward(100_000)
        one.passive.readings()
        time.sleep(0.2)
        assert engine.asked == ["/props", "/v1/models"]
        assert set(engine.keys) == {"Bearer secret"}
    ((name, facts),) = one.told
    assert (name, facts.kind, facts.build) == ("e0", "llama.cpp", "b6709-9a8d4e1")
    assert one.passive.facts("e0") == facts


def test_after_use_it_is_asked_again_but_once_a_minute_and_tells_what_is_new(
    asked: Callable[..., Asked],
) -> None:
    with Engine(dict(LLAMACPP)) as engine:
        one = asked(engine.port)
        soon(lambda: bool(one.told))
        engine.pages["/props"] = PROPS | {"build_info": "b9"}
        one.passive.used("e0")
        time.sleep(0.2)
        assert len(engine.asked) == 2
        one.put_forward(61)
        soon(lambda: len(one.told) == 2)
        assert one.told[1][1].build == "b9"
        # What is as before is not told again.
        one.put_forward(61)
        one.passive.used("e0")
        soon(lambda: len(engine.asked) == 6)
        time.sleep(0.1)
        assert len(one.told) == 2


def test_one_that_came_up_is_asked_at_once_and_may_be_another_kind(asked: Callable[..., Asked]) -> None:
    with Engine(dict(LLAMACPP)) as engine:
        one = asked(engine.port)
        soon(lambda: bool(one.told))
        engine.pages.clear()
        engine.pages |= {"/api/version": {"version": "0.12.3"}, "/api/ps": {"models": []}}
        one.passive.came_up("e0")
        # The header still says llama.cpp, so it is that one, without anything to tell.
        soon(lambda: len(one.told) == 2)
        assert one.told[1][1].kind == "llama.cpp"
    with Engine({"/api/version": {"version": "0.12.3"}, "/api/ps": {"models": []}}, server="") as engine:
        one = asked(engine.port)
        soon(lambda: bool(one.told))
        assert one.told[0][1].kind == "ollama"
        engine.pages.clear()
        engine.pages |= LLAMACPP
        one.passive.used("e0")
        one.put_forward(61)
        soon(lambda: len(one.told) == 2)
        assert one.told[1][1].kind == "llama.cpp"


def test_slots_are_asked_for_only_while_requests_are_under_way(asked: Callable[..., Asked]) -> None:
    with Engine(LLAMACPP) as engine:
        one = asked(engine.port)
        soon(lambda: bool(one.told))
        assert one.passive.readings() == [Reading(TOTAL, 2, "e0")]
        time.sleep(0.1)
        assert "/slots" not in engine.asked
        one.in_flight["e0"] = 1
        assert one.passive.readings() == [Reading(TOTAL, 2, "e0")]
        soon(lambda: one.passive.readings() == [Reading(TOTAL, 2, "e0"), Reading(BUSY, 1, "e0")])
        one.in_flight["e0"] = 0
        assert one.passive.readings() == [Reading(TOTAL, 2, "e0")]
        # A question that was under way, or about to be, comes to its end.
        asked_before = -1
        while len(engine.asked) != asked_before:
            asked_before = len(engine.asked)
            time.sleep(0.3)
        one.passive.readings()
        time.sleep(0.1)
        assert len(engine.asked) == asked_before


def test_slots_that_are_switched_off_are_never_asked_for(asked: Callable[..., Asked]) -> None:
    with Engine(LLAMACPP | {"/props": PROPS | {"endpoint_slots": False}}) as engine:
        one = asked(engine.port)
        soon(lambda: bool(one.told))
        one.in_flight["e0"] = 1
        for _ in range(5):
            one.passive.readings()
            time.sleep(0.02)
        assert "/slots" not in engine.asked


def test_slots_that_do_not_answer_are_left_alone_for_longer_and_longer(asked: Callable[..., Asked]) -> None:
    with Engine(LLAMACPP | {"/slots": (501, {})}) as engine:
        one = asked(engine.port)
        soon(lambda: bool(one.told))
        one.in_flight["e0"] = 1
        for wait in (5, 10, 20):
            before = engine.asked.count("/slots")
            one.passive.readings()
            soon(lambda wait=wait: one.passive._states["e0"].slots_wait == wait)  # type: ignore[misc]
            assert engine.asked.count("/slots") == before + 1
            one.put_forward(wait - 1)
            assert one.passive.readings() == [Reading(TOTAL, 2, "e0")]
            time.sleep(0.05)
            assert engine.asked.count("/slots") == before + 1
            one.put_forward(2)


def test_one_that_loads_is_known_at_once_and_told_in_full_when_it_has(asked: Callable[..., Asked]) -> None:
    loading = (503, {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}})
    with Engine(dict.fromkeys(LLAMACPP, loading)) as engine:
        one = asked(engine.port)
        soon(lambda: bool(one.told))
        assert one.told[0][1].describe() == {"kind": "llama.cpp"}
        engine.pages |= LLAMACPP
        one.put_forward(2)
        soon(lambda: len(one.told) == 2)
        assert one.told[1][1].models[0].name == "qwen3-4b"


def test_one_that_stays_away_is_told_of_and_one_that_is_slow_to_start_is_not(
    asked: Callable[..., Asked],
) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and listens to nothing
        one = asked(nobody.getsockname()[1])
        for _ in range(4):  # asked after 2, 4, 8 seconds
            one.put_forward(4)
            time.sleep(0.05)
        assert one.unreached == []

        def told() -> bool:
            one.put_forward(20)
            time.sleep(0.05)
            return bool(one.unreached)

        soon(told)
        assert set(one.unreached) == {"e0"}


def test_one_that_is_not_there_is_found_when_it_comes(asked: Callable[..., Asked]) -> None:
    port = free_port()
    one = asked(port)
    time.sleep(0.1)
    assert one.told == []
    with Engine(LLAMACPP, port=port):
        one.put_forward(2)
        soon(lambda: bool(one.told))


def test_a_hung_engine_costs_one_question_and_delays_the_others_by_no_more(
    asked: Callable[..., Asked],
) -> None:
    with speaking(hangs) as (hung, connections), Engine(LLAMACPP) as engine:
        one = asked(hung, engine.port, timeout_seconds=1.0)
        soon(lambda: bool(one.told))
        assert one.told[0][0] == "e1"
        soon(lambda: len(connections) == 1)
        # A minute of its rest, but for what this test takes itself.
        for _ in range(4):
            one.passive.used("e0")
            one.put_forward(11)
            time.sleep(0.05)
        assert len(connections) == 1
        one.put_forward(20)
        soon(lambda: len(connections) == 2)


def test_a_server_of_nonsense_is_of_an_unknown_kind_and_asked_each_path_once(
    asked: Callable[..., Asked],
) -> None:
    with speaking(says(b"nonsense")) as (port, connections):
        one = asked(port)
        soon(lambda: bool(one.told))
        assert one.told == [("e0", Facts())]
        paths = len(connections)
        assert paths < len(asking.PATHS)
        one.passive.used("e0")
        one.put_forward(1_000)
        time.sleep(0.1)
        assert len(connections) == paths


def test_nothing_but_the_allowed_paths_is_asked_of_any_kind(asked: Callable[..., Asked]) -> None:
    pages: list[dict[str, Any]] = [
        LLAMACPP,
        {"/api/version": {"version": "1"}, "/api/ps": {"models": []}},
        {"/version": {"version": "1"}, "/v1/models": {"data": [{"id": "a", "owned_by": "vllm"}]}},
        {"/api/v0/models": {"data": [{"id": "a", "state": "loaded"}]}},
        {"/v1/models": {"data": [{"id": "a"}]}},
        {},
    ]
    kinds = []
    for page in pages:
        with Engine(page, server="BaseHTTP/0.6 Python/3.12") as engine:
            one = asked(engine.port)
            one.in_flight["e0"] = 1
            soon(lambda one=one: bool(one.told))  # type: ignore[misc]
            for _ in range(3):
                one.passive.readings()
                one.passive.used("e0")
                one.put_forward(61)
                time.sleep(0.05)
            kinds.append(one.told[0][1].kind)
            assert set(engine.asked) <= asking.PATHS
            one.passive.stop(30)
    assert kinds == ["llama.cpp", "ollama", "vllm", "lmstudio", "mlx", "unknown"]
    assert "/metrics" not in asking.PATHS


def test_the_likely_kind_for_a_port_is_tried_first() -> None:
    tried: list[str] = []

    def get(path: str) -> Answer:
        tried.append(path)
        return Answer(404, "", b"")

    asking.ask(get, 11434)
    assert tried == ["/api/version", "/props", "/version", "/api/v0/models", "/v1/models"]


def test_a_fault_in_what_takes_the_facts_ends_nothing(asked: Callable[..., Asked]) -> None:
    with Engine(LLAMACPP) as one_engine, Engine(LLAMACPP) as other:
        told = []

        def on_facts(name: str, facts: Facts) -> None:
            told.append(name)
            raise RuntimeError("of the taker")

        passive = Passive(
            [Watched("a", "127.0.0.1", one_engine.port), Watched("b", "127.0.0.1", other.port)],
            on_facts,
            lambda name: 0,
            timeout_seconds=20.0,
        )
        passive.start()
        soon(lambda: len(told) == 2)
        passive.stop(30)


def test_without_engines_there_is_no_thread() -> None:
    passive = Passive([], lambda name, facts: None, lambda name: 0)
    passive.start()
    assert not [thread for thread in threading.enumerate() if thread.name == "passive"]
    passive.came_up("none")
    passive.used("none")
    assert passive.facts("none") is None
    assert passive.readings() == []
    passive.stop()


@pytest.mark.parametrize("text", ["", " \n", "a\nb", "schlüssel", "a\x00"])
def test_what_is_no_key(text: str) -> None:
    with pytest.raises(ValueError, match="API key"):
        key_of(text)


def test_a_key_is_one_line() -> None:
    assert key_of("sk-123\n") == "sk-123"
