"""Answers that wait for the worker, within bounds.

Who goes when it is full: the oldest of those from which the uniform sample is drawn, for others will stand for them,
and the oldest risky one last. Who is judged next: risky ones, then the rest, each in the order in which they came.
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
        self._risky: deque[Job] = deque()
        self._others: deque[Job] = deque()
        self.bytes = 0
        """That the waiting jobs hold."""

    def __len__(self) -> int:
        return len(self._risky) + len(self._others)

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
        """Return the next job to judge, or None where none waits."""
        queue = self._risky or self._others
        if not queue:
            return None
        job = queue.popleft()
        self.bytes -= job.size
        return job

    def clear(self) -> list[Job]:
        """Let go of all, and return them."""
        gone = [*self._others, *self._risky]
        self._others.clear()
        self._risky.clear()
        self.bytes = 0
        return gone

    def _queue(self, job: Job) -> deque[Job]:
        return self._risky if job.risky else self._others

    def _shrink(self) -> list[Job]:
        gone: list[Job] = []
        while self.bytes > self._max_bytes or len(self) > self._max_count:
            job = (self._others or self._risky).popleft()
            self.bytes -= job.size
            gone.append(job)
        return gone
