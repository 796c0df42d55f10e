"""The keeper with real workers, most of which do what workers should not."""

from __future__ import annotations

import gc
import logging
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stonechat.event import EventKind
from stonechat.exchange import Exchange, Operation, Outcome
from stonechat.transcript import Transcript, Turn
from stonechat.values import WEIGHT_ONE
from stonechat_agent.scoring.verdict import Verdict
from stonechat_agent.scoring.worker.keeper import Keeper, Limits
from stonechat_agent.scoring.worker.process import Activity, Process
from stonechat_agent.settings import Guideline, Scoring

pytestmark = pytest.mark.skipif(not hasattr(os, "posix_spawn"), reason="there is no worker on this system")

STAND_IN = (str(Path(__file__).with_name("stand_in.py")),)
PATIENCE = 120.0
"""Seconds, on a machine that does much else: a worker runs when nobody else wants to."""
QUICK = Limits(look=0.02, back_off=(0.02, 0.03, 30.0), run=PATIENCE, still=PATIENCE)
IMPATIENT = QUICK._replace(run=0.2, still=1.0)


class Watched:
    """A keeper, and all that it tells."""

    keeper: Keeper

    def __init__(self, command: tuple[str, ...]) -> None:
        self.verdicts: list[Verdict] = []
        self.events: list[tuple[Any, ...]] = []
        self.pids: list[int] = []
        self.offered = 0
        self._command = command

    def start(self) -> Process:
        process = Process(command=self._command)
        self.pids.append(process.pid)
        return process

    def offer(self, answer: str, **fields: Any) -> bool:
        self.offered += 1
        return self.keeper.offer(exchange(answer, id=f"x{self.offered}", **fields))

    def until(self, true: Callable[[], object]) -> None:
        end = time.monotonic() + PATIENCE
        while not true():
            assert time.monotonic() < end, (self.keeper.stats(), self.keeper.losses(), self.events)
            time.sleep(0.005)

    def judged(self, count: int = 1) -> list[Verdict]:
        self.until(lambda: len(self.verdicts) >= count)
        return self.verdicts

    def lost(self, reason: str) -> int:
        return self.keeper.losses()[f"score.{reason}"]


@contextmanager
def keeping(
    *guidelines: Guideline,
    command: tuple[str, ...] = STAND_IN,
    limits: Limits = QUICK,
    in_flight: Callable[[], int] = lambda: 0,
    **settings: Any,
) -> Iterator[Watched]:
    watched = Watched(command)
    watched.keeper = keeper = Keeper(
        replace(Scoring(), **settings),
        guidelines,
        on_verdict=watched.verdicts.append,
        on_event=lambda *event: watched.events.append(event),
        in_flight=in_flight,
        random=random.Random(1).random,
        limits=limits,
        start=watched.start,
    )
    keeper.start()
    try:
        yield watched
    finally:
        assert keeper.stop(PATIENCE)


def exchange(answer: str, prompt: str = "Which bird is that?", **fields: Any) -> Exchange:
    said = Transcript([Turn("user", prompt)], answer)
    known = {"id": "x", "operation": Operation.CHAT, "response_model": "qwen", "transcript": said}
    return Exchange("box", **{**known, **fields})


def worker_without(*modules: str) -> tuple[str, ...]:
    """The real worker where some packages are not installed."""
    return (
        "-c",
        f"import sys; sys.modules.update(dict.fromkeys({modules!r}));"
        "from stonechat_agent.scoring.worker import child; child.stand_back = lambda: None; child.main()",
    )


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_an_answer_gets_its_verdict() -> None:
    with keeping(sample=1.0) as watched:
        assert watched.offer("A stonechat, awful as it is.")
        (verdict,) = watched.judged()
    assert verdict == Verdict(
        id="x1",
        engine="box",
        model="qwen",
        operation="chat",
        tier=2,
        weight=WEIGHT_ONE,
        scores={"toxic": 0.9},
        withheld={"relevance": "no_prompt"},
        flags=("toxic",),
        guidelines=(),
        embedding=(6000, -8000),
    )
    assert watched.keeper.stats().models == {"small": "1", "large": "1"}
    assert not watched.events


@pytest.mark.parametrize(
    "fields",
    [
        {"transcript": None},
        {"operation": Operation.EMBEDDINGS},
        {"transcript": Transcript([Turn("user", "Hello?")], " \n")},
    ],
)
def test_what_has_no_answer_is_not_judged(fields: dict[str, Any]) -> None:
    with keeping() as watched:
        assert not watched.keeper.offer(exchange("", **fields))
        assert not watched.keeper.losses()


def test_tier_two_sees_the_risky_the_uncertain_and_the_sample() -> None:
    with keeping(sample=0.5) as watched:
        watched.offer("plain and good", findings=("refusal",))
        watched.offer("cut", findings=("truncated",))  # which flags nothing
        watched.offer("awful")
        watched.offer("odd")
        for _ in range(7):
            watched.offer("plain and good")
        verdicts = {verdict.id: verdict for verdict in watched.judged(11)}
    assert {id: verdicts[id].tier for id in ("x1", "x3", "x4")} == {"x1": 2, "x3": 2, "x4": 2}
    tiers = [verdict.tier for verdict in verdicts.values()]
    assert {1, 2} == set(tiers)
    assert all(verdict.weight == 0 for verdict in verdicts.values() if verdict.tier == 1)
    assert 9 <= sum(verdict.weight for verdict in verdicts.values()) / WEIGHT_ONE <= 11


def test_the_owners_guidelines_are_held_on_every_answer_with_their_severity() -> None:
    rules = (
        Guideline(name="no-price", severity="critical", forbidden=("euros",)),
        Guideline(name="says-please", required=("please",)),
    )
    with keeping(*rules, sample=0.0) as watched:
        watched.offer("It is 3 euros, please.")
        watched.offer("It is", outcome=Outcome.ABORTED)  # one that was broken off may have meant to say more
        first, second = watched.judged(2)
    assert [(one.name, one.severity, one.broken, one.why) for one in first.guidelines] == [
        ("no-price", "critical", True, "forbidden:1"),
        ("says-please", "warning", False, ""),
    ]
    assert [one.name for one in second.guidelines] == ["no-price"]


def test_long_and_broken_texts_are_judged_as_documented() -> None:
    with keeping(sample=1.0) as watched:
        watched.offer("word " * 400_000)  # 2 MB
        watched.offer("half a pair \ud83d and \udcff what was no UTF-8")
        watched.offer("short", prompt="token " * 100_000)
        found = watched.judged(3)
    # Of a long answer the models see 32,768 characters, half of them from its head and half from its tail.
    assert found[0].scores == {"toxic": round(32_769 / 1e7, 4)}
    assert [verdict.id for verdict in found] == ["x1", "x2", "x3"]


def test_offering_never_waits_even_for_a_worker_that_is_stopped() -> None:
    with keeping(limits=IMPATIENT, max_backlog_bytes=256 << 10) as watched:
        watched.offer("first")
        watched.judged()
        os.kill(watched.pids[-1], signal.SIGSTOP)
        took = []
        for _ in range(2_000):
            begun = time.thread_time()
            watched.offer("word " * 200)
            took.append(time.thread_time() - begun)
        assert sum(took) < 2.0
        stats = watched.keeper.stats()
        assert stats.waiting_bytes <= 256 << 10
        assert (
            stats.waiting + watched.lost("overflow") >= 1_999
        )  # the worker has one of them, if it still does
        watched.until(lambda: watched.keeper.stats().restarts)  # and it counts as one that hangs


def test_a_worker_that_is_killed_in_the_middle_of_an_answer_is_replaced() -> None:
    with keeping() as watched:
        watched.offer("first")
        watched.judged()
        (victim,) = watched.pids
        os.kill(victim, signal.SIGSTOP)
        watched.offer("second")
        watched.until(lambda: not watched.keeper.stats().waiting)
        os.kill(victim, signal.SIGKILL)
        assert watched.judged(2)[1].id == "x2"
        assert len(watched.pids) == 2
        assert is_gone(victim)
    (event,) = watched.events
    assert event[0] == EventKind.SCORER_RESTARTED
    assert event[3] == {"reason": "killed", "status": -9, "wait_seconds": 0.02}
    assert not watched.keeper.losses()


def test_an_answer_that_kills_every_worker_is_given_up_and_the_rest_goes_on() -> None:
    with keeping(limits=QUICK._replace(back_off=(0.02,) * 5)) as watched:
        watched.offer("die", findings=("refusal",))
        watched.offer("second")
        assert watched.judged()[0].id == "x2"
        assert watched.lost("poison") == 1
        assert watched.keeper.stats().restarts == 2


@pytest.mark.parametrize("how", ["hang", "spin"])
def test_a_worker_that_hangs_is_ended(how: str) -> None:
    with keeping(limits=IMPATIENT) as watched:
        watched.offer(how)
        watched.until(lambda: watched.lost("poison"))
    assert [event[3]["reason"] for event in watched.events] == ["hung", "hung"]


def test_a_worker_without_a_processor_is_no_worker_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine one at idle priority may wait for very long; whether it does is the kernel's to say."""
    activity = Process.activity

    def waits(self: Process) -> Activity | None:
        found = activity(self)
        return found._replace(ran=0.0, is_ready=True) if found is not None else None

    monkeypatch.setattr(Process, "activity", waits)
    with keeping(limits=QUICK._replace(still=0.1)) as watched:
        watched.offer("hang")
        watched.until(lambda: watched.keeper.stats().pid)
        time.sleep(0.5)
        assert not watched.events


def test_a_worker_that_takes_too_much_memory_is_ended_and_told_of() -> None:
    with keeping(max_memory_bytes=96 << 20) as watched:
        watched.offer("eat", findings=("refusal",))
        watched.offer("second")
        watched.until(lambda: "x2" in [verdict.id for verdict in watched.verdicts])
    event = watched.events[0]
    assert event[0] == EventKind.SCORER_OVER_MEMORY, event
    assert event[3]["memory"] > event[3]["max_memory"] == 96 << 20


def test_one_that_fails_at_each_start_is_tried_ever_less_and_told_of_once_a_step() -> None:
    limits = QUICK._replace(back_off=(0.01, 0.02, 0.03))
    with keeping(command=("-c", "raise SystemExit(7)"), limits=limits) as watched:
        watched.offer("first")
        watched.until(lambda: watched.keeper.stats().restarts >= 6)
        assert watched.keeper.stats().waiting <= 1
    kinds = [event[0] for event in watched.events]
    assert kinds == [EventKind.SCORER_RESTARTED, EventKind.SCORER_RESTARTED, EventKind.SCORER_GAVE_UP]
    assert watched.events[0][3] == {"reason": "ended", "status": 7, "wait_seconds": 0.01}
    assert watched.lost("stopped") == 1


def test_a_program_that_is_not_there_and_one_that_babbles() -> None:
    def missing() -> Process:
        raise FileNotFoundError(2, "gone")

    events: list[Any] = []
    for start in (
        missing,
        lambda: Process(command=("-c", "import os; os.write(3, b'\\0\\0\\0\\1x'); input()")),
    ):
        keeper = Keeper(
            Scoring(),
            on_verdict=events.append,
            on_event=lambda *event: events.append(event),
            in_flight=lambda: 0,
            random=random.random,
            limits=QUICK._replace(back_off=(30.0, 60.0)),
            start=start,
        )
        told = len(events)
        keeper.start()
        keeper.offer(exchange("first"))
        end = time.monotonic() + PATIENCE
        while len(events) == told and time.monotonic() < end:
            time.sleep(0.01)
        assert keeper.stop(PATIENCE)
    assert [event[3]["reason"] for event in events] == ["not_started", "garbled"]


def test_a_model_that_breaks_on_an_answer_costs_that_answer(caplog: pytest.LogCaptureFixture) -> None:
    with keeping() as watched, caplog.at_level(logging.INFO):
        watched.offer("break the secret 4711")
        watched.offer("second")
        assert watched.judged()[0].id == "x2"
        assert watched.lost("failed") == 1
        assert not watched.events
    (record,) = [record for record in caplog.records if record.msg == "answer not scored"]
    assert vars(record)["error"] == "ValueError"
    assert "4711" not in repr([vars(record) for record in caplog.records])


def test_a_damaged_model_is_told_of_once_however_many_workers_say_so() -> None:
    with keeping(models=("/models/spam",)) as watched:
        watched.offer("first")
        watched.judged()
        os.kill(watched.pids[-1], signal.SIGKILL)
        watched.offer("second")
        watched.judged(2)
        assert watched.keeper.stats().faults == ("model /models/spam refused: it is damaged",)
    assert [event[0] for event in watched.events].count(EventKind.SCORER_IMPAIRED) == 1


def test_it_ends_when_it_has_nothing_to_do_and_comes_back() -> None:
    with keeping(exit_after_ns=50_000_000) as watched:
        watched.offer("first")
        watched.judged()
        watched.until(lambda: watched.keeper.stats().pid is None)
        watched.until(lambda: is_gone(watched.pids[0]))
        watched.offer("second")
        watched.judged(2)
    assert not watched.events
    assert watched.keeper.stats().restarts == 0


def test_nothing_is_judged_while_the_engine_decodes_and_all_of_it_after() -> None:
    under_way = [1]
    with keeping(in_flight=lambda: under_way[0]) as watched:
        watched.offer("first")
        watched.until(lambda: watched.keeper.stats().paused == "decoding")
        time.sleep(0.2)
        assert watched.keeper.stats().pid is None  # there is no need to be in memory meanwhile
        under_way[0] = 0
        watched.judged()
    with keeping(in_flight=lambda: 1, when="always") as watched:
        watched.offer("first")
        watched.judged()


def test_heat_and_a_low_battery_pause_it_within_the_bounds_of_the_backlog() -> None:
    with keeping(max_temperature=70, min_battery=30, max_backlog_bytes=256 << 10) as watched:
        watched.keeper.conditions(71.0, None, None)
        for _ in range(600):
            watched.offer("word " * 200)
        assert watched.keeper.stats().waiting_bytes <= 256 << 10
        assert watched.lost("overflow") > 300
        watched.until(lambda: watched.keeper.stats().paused == "heat")
        watched.keeper.conditions(60.0, 29.0, True)
        watched.until(lambda: watched.keeper.stats().paused == "battery")
        assert not watched.verdicts
        watched.keeper.conditions(60.0, 29.0, False)
        watched.judged()


def test_a_worker_that_is_paused_for_long_gives_its_memory_back() -> None:
    with keeping(exit_after_ns=50_000_000) as watched:
        watched.offer("first")
        watched.judged()
        watched.keeper.conditions(99.0, None, None)
        watched.offer("second")
        watched.until(lambda: watched.keeper.stats().pid is None)
        assert watched.keeper.stats().waiting == 1


def test_where_there_is_nothing_to_judge_by_no_worker_is_kept() -> None:
    blocked = worker_without("stonechat_agent.scoring.judging")
    with keeping(command=blocked) as watched:
        watched.offer("first")
        watched.until(lambda: watched.lost("unable"))
        watched.until(lambda: watched.keeper.stats().pid is None)
        assert not watched.offer("second")
        assert watched.lost("unable") == 2
        watched.until(lambda: watched.keeper.stats().paused == "unable")
    assert [event[0] for event in watched.events] == [EventKind.SCORER_IMPAIRED]


def test_without_models_the_patterns_of_guidelines_go_on() -> None:
    blocked = worker_without("onnxruntime", "numpy")
    with keeping(Guideline(name="no-price", forbidden=("euros",)), command=blocked) as watched:
        for number in range(30):
            watched.offer(f"{number} euros")
        verdicts = watched.judged(30)
    assert all(verdict.tier == 0 and verdict.guidelines[0].broken for verdict in verdicts)
    assert not watched.keeper.losses()
    assert [event[0] for event in watched.events].count(EventKind.SCORER_RESTARTED) == 0


def test_it_is_off_where_the_settings_say_so() -> None:
    with keeping(enabled=False) as watched:
        assert not watched.offer("first")
        assert watched.keeper.stats().pid is None
        assert not watched.keeper.losses()


def test_stopping_leaves_no_worker_and_counts_what_waited() -> None:
    with keeping() as watched:
        watched.offer("first")
        watched.judged()
        (worker,) = watched.pids
        watched.keeper.conditions(99.0, None, None)
        watched.offer("second")
        assert watched.keeper.stop(PATIENCE)
        assert is_gone(worker)
        assert not watched.offer("third")
        assert watched.lost("stopped") == 1


def test_stopping_does_not_wait_for_an_answer() -> None:
    with keeping() as watched:
        watched.offer("hang")
        watched.until(lambda: watched.keeper.stats().pid and not watched.keeper.stats().waiting)
        begun = time.monotonic()
        assert watched.keeper.stop(PATIENCE)
        assert time.monotonic() - begun < 10
        assert watched.lost("stopped") == 1
    assert not watched.events


AGENT = f"""
import random, sys, time
sys.path.insert(0, {str(Path(__file__).parents[3])!r})
from tests.agent.worker.test_keeper import STAND_IN, exchange
from stonechat_agent.scoring.worker.keeper import Keeper
from stonechat_agent.scoring.worker.process import Activity, Process
from stonechat_agent.settings import Scoring
keeper = Keeper(Scoring(), on_verdict=print, on_event=print, in_flight=lambda: 0, random=random.random,
                start=lambda: Process(command=STAND_IN))
keeper.start()
keeper.offer(exchange(sys.argv[1]))
while keeper.stats().pid is None or keeper.stats().waiting:
    time.sleep(0.01)
time.sleep(0.2)
print(keeper.stats().pid, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("answer", ["fine", "spin"])
def test_an_agent_that_dies_leaves_no_worker(answer: str) -> None:
    with subprocess.Popen([sys.executable, "-c", AGENT, answer], stdout=subprocess.PIPE, text=True) as agent:
        try:
            assert agent.stdout is not None
            pid = next(int(line) for line in agent.stdout if line.strip().isdigit())
            assert not is_gone(pid)
        finally:
            agent.kill()
    end = time.monotonic() + PATIENCE
    while not is_gone(pid) and Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < end
        time.sleep(0.01)


def test_no_file_stays_open() -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with keeping() as watched:
            watched.offer("first")
            watched.judged()
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= before
