"""The answers that wait for the worker, which of them tier 2 is to see, and for how many each one stands. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from stonechat.records import Series
from stonechat_agent.scoring.worker.backlog import Backlog
from stonechat_agent.scoring.worker.job import Job, Texts
from stonechat_agent.scoring.worker.sampling import Sampler, Weights


class Waiting:
    """Takes answers in and gives them out one at a time; every one is in the end scored or lost. Not for several
    threads at once."""

    def __init__(self, *, sample: float, max_bytes: int, max_count: int, random: Callable[[], float]) -> None:
        """
        Args:
            sample: share of the answers that tier 2 sees whatever they are like.
            max_bytes: that the waiting ones may hold, ...
            max_count: ... and how many they may be.
            random: a number in [0, 1).
        """
        self._sampler = Sampler(sample, random)
        self._weights = Weights()
        self._backlog = Backlog(max_bytes, max_count)
        self._seq = 0
        self._sample = sample
        self._has_judge = True  # until a verdict says otherwise
        self.losses: Counter[str] = Counter()
        """Answers that were lost, by reason; only grows."""
        self.scored = self.deep = 0
        """Answers that were judged, and those of them that tier 2 saw."""

    def __len__(self) -> int:
        return len(self._backlog)

    @property
    def bytes(self) -> int:
        """That the waiting answers hold."""
        return self._backlog.bytes

    def add(self, id: str, series: Series, texts: Texts, *, risky: bool) -> bool:
        """Let an answer wait; returns whether it does. ``risky``: a check of tier 0 found something."""
        self._seq += 1
        job = Job(self._seq, id, series, *texts, risky=risky)
        gone = self._backlog.add(job)
        self._full(gone)
        return job not in gone

    def take(self) -> Job | None:
        """The next answer to judge, or None."""
        job = self._backlog.take()
        if job is not None and job.sampled is None:
            # Drawn of what no check found anything in: tier 2 sees the rest anyway.
            job.sampled = not job.risky and self._sampler.draw(job.series)
        return job

    def put_back(self, job: Job) -> None:
        """Let an answer that was taken wait again."""
        self._full(self._backlog.put_back(job))

    def lose(self, jobs: Iterable[Job], reason: str) -> None:
        """Count answers that were taken as lost; later ones will stand for them."""
        for job in jobs:
            self.losses[f"score.{reason}"] += 1
            self._weights.lost(job.series, risky=job.risky)

    def clear(self) -> list[Job]:
        """Take all."""
        return self._backlog.clear()

    def weigh(self, job: Job, tier: int, *, deep: bool) -> int:
        """For how many answers of its series one that was judged stands; 0 where another one stands for it.

        Args:
            tier: the one that its scores are of; 0: there are none.
            deep: tier 1 flagged it or was unsure.
        """
        if job.risky or job.sampled or deep:
            self._has_judge = tier == 2
        self.scored += tier > 0
        self.deep += tier == 2
        if tier == 0 and not self._has_judge:
            return 0
        # Without a tier that sees but a sample, or without a sample, each answer stands for itself.
        represents = tier > 0 and (bool(job.sampled) or not self._has_judge or self._sample == 0)
        return self._weights.scored(
            job.series, waiting=len(self), risky=job.risky, deep=deep, represents=represents
        )

    def owed(self) -> int:
        """Answers that no judged one stands for yet."""
        return self._weights.owed()

    def _full(self, gone: Iterable[Job]) -> None:
        for job in gone:
            self.lose([job], "overflow_risky" if job.risky else "overflow")
