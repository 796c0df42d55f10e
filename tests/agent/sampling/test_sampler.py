"""One source's trouble is its own: failing, hanging, coming and going; and the schedule of the thread."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stonechat.catalog import metric_id
from stonechat_agent.sampling import Absent, Clock, Reading, Sample, Sampler, SamplingThread, State
from stonechat_agent.sampling.aside import Aside
from stonechat_agent.sampling.sampler import next_tick

SECOND = 1_000_000_000
GAUGE = metric_id("hw.temperature")
COUNTER = metric_id("hw.energy")
FAILED = metric_id("stonechat.agent.sources.failed")


class Scripted:
    """A source that does what its functions do; it counts how often it is opened, read and closed."""

    def __init__(
        self,
        name: str,
        read: Callable[[], Iterable[Reading]] = lambda: [Reading(GAUGE, 1)],
        open_: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = name
        self._read = read
        self._open = open_
        self.opened = self.reads = self.closed = 0

    def open(self) -> None:
        self.opened += 1
        self._open()

    def read(self, now_ns: int) -> Iterable[Reading]:
        self.reads += 1
        return self._read()

    def close(self) -> None:
        self.closed += 1


def raising(error: Exception) -> Callable[[], Iterable[Reading]]:
    def read() -> Iterable[Reading]:
        yield Reading(GAUGE, 7)
        raise error

    return read


def values(sample: Sample) -> list[tuple[int, int]]:
    return [(reading.metric, reading.value) for reading in sample.readings if reading.metric != FAILED]


def test_a_source_that_raises_stops_no_other_and_is_tried_with_back_off(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    bad = Scripted("bad", raising(ValueError("odd")))
    good = Scripted("good")
    sampler = Sampler([bad, good], clock)
    caplog.set_level(logging.INFO)
    samples = [sampler.sample(second * SECOND) for second in range(130)]
    # What it gave before it raised is not used: half a source's readings are worse than none.
    assert all(values(sample) == [(GAUGE, 1)] for sample in samples)
    assert all(sample.failed == ("bad",) for sample in samples)
    assert samples[0].readings[-1] == Reading(FAILED, 1)
    assert good.reads == 130
    assert good.opened == 1
    # After 1, 2, 4, 8, 16, 32, 60 s.
    assert bad.opened == bad.reads == bad.closed == 8
    assert [record.getMessage() for record in caplog.records] == ["source failed"]
    assert vars(caplog.records[0])["source"] == "bad"
    assert vars(caplog.records[0])["reason"] == "ValueError: odd"
    status = sampler.status()[0]
    assert (status.state, status.failures, status.reads) == (State.FAILED, 8, 0)


def test_a_source_that_recovers_says_so_and_a_flapping_one_waits_longer_each_time(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    turn = iter(range(1000))

    def every_other() -> Iterable[Reading]:
        if next(turn) % 2 == 0:
            raise OSError("gone")
        return [Reading(GAUGE, 2)]

    source = Scripted("flapping", every_other)
    sampler = Sampler([source], clock)
    caplog.set_level(logging.INFO)
    for second in range(300):
        sampler.sample(second * SECOND)
    messages = [record.getMessage() for record in caplog.records]
    assert messages[:3] == ["source failed", "source recovered", "source failed"]
    assert len(messages) < 25, "300 s of flapping must not fill the log"


def test_what_is_absent_is_said_once_is_no_failure_and_is_looked_for_each_minute(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    present = False

    def probe() -> None:
        if not present:
            raise Absent("no such sensor")

    source = Scripted("sensor", open_=probe)
    sampler = Sampler([source], clock)
    caplog.set_level(logging.INFO)
    for second in range(121):
        assert sampler.sample(second * SECOND).failed == ()
    assert source.opened == 3
    assert source.reads == 0
    assert [record.getMessage() for record in caplog.records] == ["source absent"]
    assert sampler.status()[0].reason == "no such sensor"
    present = True
    assert values(sampler.sample(180 * SECOND)) == [(GAUGE, 1)]
    assert sampler.status()[0].state is State.OK


def test_a_source_that_cannot_be_closed_stops_nothing(clock: Clock) -> None:
    class Stuck(Scripted):
        def close(self) -> None:
            raise OSError("cannot close")

    sampler = Sampler([Stuck("stuck", raising(ValueError())), Scripted("good")], clock)
    assert values(sampler.sample(0)) == [(GAUGE, 1)]
    sampler.close()


def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.002)


class Gate:
    """A read that hangs while the gate is shut, and counts up its counter each time."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.opened.set()
        self.inside = 0

    def __call__(self) -> Iterable[Reading]:
        self.inside += 1
        try:
            assert self.opened.wait(60)
        finally:
            self.inside -= 1
        return [Reading(GAUGE, 40), Reading(COUNTER, 3)]


class Hands:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        return self.now_ns


def test_a_hanging_source_delays_nothing_and_its_counters_are_given_once() -> None:
    gate, hands = Gate(), Hands()
    hanging = Scripted("hanging", gate)
    aside = Aside(hanging, patience_s=0.05, fresh_ns=3 * SECOND, hangs_ns=10 * SECOND, clock_ns=hands)
    sampler = Sampler([aside, Scripted("good")], Clock(hands, hands))

    def sample() -> list[tuple[int, int]]:
        began = time.monotonic()
        taken = sampler.sample(hands.now_ns)
        assert time.monotonic() - began < 30  # less than the gate would take
        assert values(taken)[-1] == (GAUGE, 1)
        return values(taken)[:-1]

    until(lambda: sample() == [(GAUGE, 40), (COUNTER, 3)])
    gate.opened.clear()
    until(lambda: sample() == [(GAUGE, 40)] and gate.inside == 1)  # a question is under way, and hangs
    hands.now_ns += 4 * SECOND
    assert sample() == []  # unknown rather than old
    assert sampler.status()[0].state is State.OK
    reads = hanging.reads
    gate.opened.set()
    until(lambda: sample() == [(GAUGE, 40), (COUNTER, 3)])
    assert hanging.reads >= reads
    sampler.close()


def test_a_source_that_hangs_for_long_fails_without_a_second_thread() -> None:
    gate, hands = Gate(), Hands()
    gate.opened.clear()
    hanging = Scripted("hanging", gate)
    aside = Aside(hanging, patience_s=0.01, hangs_ns=10 * SECOND, clock_ns=hands)
    sampler = Sampler([aside], Clock(hands, hands))
    assert sampler.sample(0).failed == ()
    until(lambda: gate.inside == 1)
    before = threading.active_count()
    for _ in range(100):
        hands.now_ns += SECOND
        failed = sampler.sample(hands.now_ns).failed
    assert failed == ("hanging",)
    assert sampler.status()[0].reason.startswith("Hung")
    assert threading.active_count() == before
    assert gate.inside == 1
    gate.opened.set()

    def recovered() -> bool:
        hands.now_ns += SECOND
        return sampler.sample(hands.now_ns).failed == ()

    until(recovered)
    assert (hanging.opened, hanging.closed) == (2, 1)
    sampler.close()


def test_what_a_source_raises_in_its_helper_is_its_state(caplog: pytest.LogCaptureFixture) -> None:
    def probe() -> None:
        raise Absent("no such driver")

    aside = Aside(Scripted("driver", open_=probe), patience_s=60.0)
    sampler = Sampler([aside])
    caplog.set_level(logging.INFO)
    sampler.sample(0)
    assert sampler.status()[0].state is State.ABSENT
    assert [record.getMessage() for record in caplog.records] == ["source absent"]


def test_a_slow_probe_is_neither_well_nor_failed_until_it_answers(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    gate = threading.Event()

    def probe() -> None:
        gate.wait(60)
        raise Absent("nothing after all")

    sampler = Sampler([Aside(Scripted("slow", open_=probe), patience_s=0.01)], clock)
    caplog.set_level(logging.INFO)
    for second in range(3):
        sampler.sample(second * SECOND)
    assert sampler.status()[0].state is State.NEW
    gate.set()

    def absent() -> bool:
        sampler.sample(3 * SECOND)
        return sampler.status()[0].state is State.ABSENT

    until(absent)
    assert [record.getMessage() for record in caplog.records] == ["source absent"]


@given(st.integers(0, 1 << 62), st.integers(1, 1 << 40), st.integers(0, 1 << 50))
def test_the_next_tick_is_the_first_on_the_schedule_after_now(start: int, interval: int, late: int) -> None:
    now = start + late
    tick = next_tick(start, interval, now)
    assert now < tick <= now + interval
    assert (tick - start) % interval == 0


def test_the_thread_keeps_its_schedule_and_skips_what_it_missed() -> None:
    stall = threading.Event()
    samples: list[Sample] = []
    done = threading.Event()

    def take(sample: Sample) -> None:
        samples.append(sample)
        if len(samples) == 3:
            stall.wait(0.35)
        if len(samples) == 8:
            done.set()

    looked: list[int] = []

    def monotonic_ns() -> int:
        looked.append(time.monotonic_ns())
        return looked[-1]

    clock = Clock(monotonic_ns, time.monotonic_ns)
    thread = SamplingThread(Sampler([Scripted("x")]), SECOND // 10, take, clock)
    thread.start()
    assert done.wait(60)
    thread.stop()
    # On a busy machine a tick may come late, even later than the next one is due, but never two in the time of one.
    ticks = [(sample.monotonic_ns - looked[0]) // (SECOND // 10) for sample in samples]
    assert ticks == sorted(set(ticks))
    assert ticks[3] - ticks[2] >= 3
    assert thread.missed >= 3


def test_a_receiver_that_raises_does_not_end_the_thread(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[Sample] = []
    done = threading.Event()

    def take(sample: Sample) -> None:
        seen.append(sample)
        if len(seen) == 4:
            done.set()
        raise RuntimeError("full")

    source = Scripted("x")
    thread = SamplingThread(Sampler([source]), SECOND // 100, take)
    thread.start()
    assert done.wait(60)
    thread.stop()
    assert source.closed == 1
    assert [record.getMessage() for record in caplog.records] == ["sample not taken"]


def test_a_source_that_never_returns_does_not_keep_the_thread_from_being_stopped() -> None:
    gate = threading.Event()
    source = Scripted("x", lambda: [Reading(GAUGE, int(gate.wait(60)))])
    thread = SamplingThread(Sampler([source]), SECOND, lambda sample: None)
    thread.start()
    until(lambda: source.reads == 1)
    began = time.monotonic()
    thread.stop(timeout_s=0.1)
    assert time.monotonic() - began < 30
    gate.set()


@pytest.mark.parametrize("interval", [0, -1])
def test_an_interval_must_be_positive(interval: int) -> None:
    with pytest.raises(ValueError, match="interval"):
        SamplingThread(Sampler([]), interval, lambda sample: None)
