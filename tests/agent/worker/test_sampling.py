"""Rates that are made of weighted scores, on streams of which the true rates are known.

Every stream is made from a seed, so that a run that passes always does; the bounds are those of the statistics.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from stonechat.records import Series
from stonechat_agent.scoring.worker.job import Job, Texts
from stonechat_agent.scoring.worker.sampling import MAX_SERIES, Sampler, Weights
from stonechat_agent.scoring.worker.waiting import Waiting

ANSWERS = 50_000
SAMPLE = 0.05
SEEDS = range(5)
TEXTS = Texts(b"", b"x" * 500, True)
CHAT = Series("engine", "model", "chat")
OTHER = Series("engine", "other", "chat")


class Kind(NamedTuple):
    """A stratum: its share of a series, and how many of it are toxic in truth."""

    share: float
    toxic: float
    risky: bool
    deep: bool


def kinds(low: float) -> list[Kind]:
    return [
        Kind(0.03, 0.4, True, True),  # a check found something
        Kind(0.04, 0.5, False, True),  # tier 1 flags it or is unsure
        Kind(0.93, low, False, False),
    ]


STREAMS = {CHAT: kinds(0.01), OTHER: kinds(0.04)}


class Estimate(NamedTuple):
    """What the weighted scores of a series say, beside the truth."""

    truth: float
    rate: float
    error: float
    """The standard error of the rate, from the weights (Horvitz and Thompson, of Poisson sampling)."""
    naive: float
    """The rate among the answers that tier 2 saw, which is wrong."""
    answers: int
    weight: int


class Simulation:
    """A stream through the backlog, with a judge who is right and says what tier 1 would."""

    def __init__(self, seed: int, room: int, pace: Callable[[int], int], answers: int = ANSWERS) -> None:
        self._random = random.Random(seed)
        self.waiting = Waiting(
            sample=SAMPLE, max_bytes=1 << 30, max_count=room, random=random.Random(seed + 1000).random
        )
        self._truths: dict[str, tuple[Kind, bool]] = {}
        self._seen: dict[Series, list[tuple[int, bool, bool]]] = {CHAT: [], OTHER: []}
        self._came: dict[Series, list[int]] = {CHAT: [0, 0], OTHER: [0, 0]}
        for number in range(answers):
            self._comes(str(number))
            for _ in range(pace(number)):
                if not self._judge():
                    break
        while self._judge():
            pass

    def _comes(self, name: str) -> None:
        draw = self._random.random
        series = CHAT if draw() < 0.7 else OTHER
        at, kind = draw(), STREAMS[series][-1]
        for one in STREAMS[series]:
            if at < one.share:
                kind = one
                break
            at -= one.share
        toxic = draw() < kind.toxic
        self._truths[name] = kind, toxic
        self._came[series][0] += 1
        self._came[series][1] += toxic
        self.waiting.add(name, series, TEXTS, risky=kind.risky)

    def _judge(self) -> bool:
        job = self.waiting.take()
        if job is None:
            return False
        kind, toxic = self._truths[job.id]
        tier = 2 if job.risky or job.sampled or kind.deep else 1
        weight = self.waiting.weigh(job, tier, deep=kind.deep)
        self._seen[job.series].append((weight, toxic, tier == 2))
        return True

    def estimate(self, series: Series) -> Estimate:
        came, toxic = self._came[series]
        seen = self._seen[series]
        total = sum(weight for weight, _, _ in seen)
        rate = sum(weight for weight, is_toxic, _ in seen if is_toxic) / total
        variance = sum(
            weight * (weight - 1) * ((1 - rate) if is_toxic else rate) ** 2 for weight, is_toxic, _ in seen
        )
        deep = [is_toxic for _, is_toxic, saw in seen if saw]
        return Estimate(toxic / came, rate, variance**0.5 / total, sum(deep) / len(deep), came, total)


def keeps_up(number: int) -> int:
    return 1


def falls_behind(number: int) -> int:
    """Nothing is judged while an engine decodes, then three for each that comes: a third is lost."""
    return 3 if number % 3000 > 2400 else 0


@pytest.mark.parametrize("pace", [keeps_up, falls_behind])
def test_rates_are_those_of_all_answers_whatever_is_sampled_and_lost(pace: Callable[[int], int]) -> None:
    errors = []
    for seed in SEEDS:
        simulation = Simulation(seed, room=1500, pace=pace)
        if pace is falls_behind:
            assert sum(simulation.waiting.losses.values()) > ANSWERS // 4
        for series in STREAMS:
            found = simulation.estimate(series)
            errors.append((found.rate - found.truth) / found.error)
            assert abs(errors[-1]) < 3, found
            assert found.error < 0.02  # without bias is not enough: it has to say something
            assert (
                abs(found.naive - found.truth) > 10 * found.error
            )  # what a mistake in the weights would give
    # All seeds together: an error that each hides within its own noise would show here.
    assert abs(sum(errors) / len(errors)) < 3 / len(errors) ** 0.5


@pytest.mark.parametrize("pace", [keeps_up, falls_behind])
def test_weights_that_are_wrong_are_seen_to_be(
    pace: Callable[[int], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    right = Weights.scored

    def forget(self: Weights, series: Series, **known: Any) -> int:
        return min(1, right(self, series, **known))

    monkeypatch.setattr(Weights, "scored", forget)
    found = Simulation(0, room=1500, pace=pace).estimate(CHAT)
    monkeypatch.setattr(Weights, "scored", right)
    error = Simulation(0, room=1500, pace=pace).estimate(CHAT).error
    assert abs(found.rate - found.truth) > 3 * error


@pytest.mark.parametrize("pace", [keeps_up, falls_behind])
def test_weights_add_up_to_the_answers(pace: Callable[[int], int]) -> None:
    simulation = Simulation(7, room=300, pace=pace, answers=9_000)
    found = [simulation.estimate(series) for series in STREAMS]
    assert sum(one.answers for one in found) == 9_000
    assert sum(one.weight for one in found) + simulation.waiting.owed() == 9_000


def test_the_sample_has_its_share_and_no_rhythm() -> None:
    sampler = Sampler(0.03, random.Random(3).random)
    drawn = [number for number in range(100_000) if sampler.draw(CHAT)]
    assert abs(len(drawn) - 3_000) < 60  # blocks of 33 or 34: 3,000 of them, whatever is drawn
    distances = {later - one for one, later in itertools.pairwise(drawn)}
    assert len(distances) > 50
    phases = [sum(number % 20 == phase for number in drawn) for phase in range(20)]
    assert max(phases) < 1.4 * 150


@pytest.mark.parametrize(("rate", "share"), [(0.0, 0.0), (1.0, 1.0), (0.7, 0.7)])
def test_shares_of_none_of_most_and_of_all(rate: float, share: float) -> None:
    sampler = Sampler(rate, random.Random(1).random)
    assert abs(sum(sampler.draw(CHAT) for _ in range(10_000)) / 10_000 - share) < 0.02


def test_series_without_number_take_memory_within_bounds() -> None:
    sampler, weights = Sampler(0.5, random.Random(1).random), Weights()
    for number in range(10 * MAX_SERIES):
        series = Series("engine", f"m{number}", "chat")
        sampler.draw(series)
        weights.scored(series, waiting=0, risky=False, deep=False, represents=False)
    assert weights.owed() == 10 * MAX_SERIES
    assert len(sampler._blocks) <= MAX_SERIES + 1
    assert len(weights._accounts) <= MAX_SERIES + 1


def waiting(**fields: float) -> Waiting:
    return Waiting(**{"sample": 0.5, "max_bytes": 1 << 20, "max_count": 100, "random": lambda: 0.0, **fields})  # type: ignore[arg-type]


def taken(box: Waiting, *, risky: bool = False) -> Job:
    box.add("x", CHAT, TEXTS, risky=risky)
    job = box.take()
    assert job is not None
    return job


def test_without_a_large_model_each_answer_stands_for_itself() -> None:
    box = waiting()
    first, second, third = taken(box), taken(box), taken(box)
    assert [first.sampled, second.sampled, third.sampled] == [False, True, False]
    assert box.weigh(first, 1, deep=False) == 0  # nobody knows yet that there is none
    assert box.weigh(second, 1, deep=False) == 2
    assert box.weigh(third, 1, deep=False) == 1
    assert (box.scored, box.deep) == (3, 0)


def test_without_a_sample_each_answer_stands_for_itself() -> None:
    box = waiting(sample=0.0)
    assert [box.weigh(taken(box), 1, deep=False) for _ in range(3)] == [1, 1, 1]


def test_without_a_small_model_the_sample_stands_for_all_the_same() -> None:
    box = waiting()
    assert box.weigh(taken(box), 0, deep=False) == 0
    assert box.weigh(taken(box), 2, deep=False) == 2


def test_without_any_model_nothing_is_owed() -> None:
    box = waiting()
    jobs = [taken(box) for _ in range(6)]
    assert [box.weigh(job, 0, deep=False) for job in jobs] == [0] * 6
    assert box.owed() == 1  # the first, before anybody knew
