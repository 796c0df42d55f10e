"""Answers that wait for the worker, within bounds.

Who goes when it is full: the oldest of the uniform sample first (another answer will stand for it), then the oldest
that only tier 1 would see, and the oldest risky one last. Who is scored next: risky ones, then the rest in the order in
which they came.
"""

from __future__ import annotations

from collections import deque

from stonechat_agent.scoring.worker.job import Job


class Backlog:
    """Pure, and not for several threads at once."""

    def __init__(self, max_bytes: int, max_count: int) -> None:
        """
        Args:
            max_bytes: that the waiting jobs may hold.
            max_count: jobs that may wait.
        """
        self._max_bytes = max_bytes
        self._max_count = max_count
        self._sampled: deque[Job] = deque()
        self._plain: deque[Job] = deque()
        self._risky: deque[Job] = deque()
        self.bytes = 0
        """That the waiting jobs hold."""

    def __len__(self) -> int:
        return len(self._sampled) + len(self._plain) + len(self._risky)

    def add(self, job: Job) -> list[Job]:
        """Let a job wait, and return those that had to go for it; it may be one of them."""
        if job.size > self._max_bytes:  # everything else would go, and then it too
            return [job]
        self._queue(job).append(job)
        self.bytes += job.size
        return self._shrink()

    def put_back(self, job: Job) -> list[Job]:
        """Let a job that was taken wait again, as the next of its kind; returns those that had to go."""
        self._queue(job).appendleft(job)
        self.bytes += job.size
        return self._shrink()

    def take(self) -> Job | None:
        """Return the next job to score, or None where none waits."""
        if self._risky:
            queue = self._risky
        elif self._sampled and (not self._plain or self._sampled[0].seq < self._plain[0].seq):
            queue = self._sampled
        else:
            queue = self._plain
        if not queue:
            return None
        job = queue.popleft()
        self.bytes -= job.size
        return job

    def clear(self) -> list[Job]:
        """Let go of all, and return them."""
        gone = [*self._sampled, *self._plain, *self._risky]
        for queue in (self._sampled, self._plain, self._risky):
            queue.clear()
        self.bytes = 0
        return gone

    def _queue(self, job: Job) -> deque[Job]:
        return self._risky if job.risky else self._sampled if job.sampled else self._plain

    def _shrink(self) -> list[Job]:
        gone: list[Job] = []
        while self.bytes > self._max_bytes or len(self) > self._max_count:
            queue = self._sampled or self._plain or self._risky
            job = queue.popleft()
            self.bytes -= job.size
            gone.append(job)
        return gone
