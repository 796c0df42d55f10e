"""Slots and the queue before them.

Each slot is a cache and at most one answer at a time, drawn in a worker thread. The queue is bounded: a request that
finds it full is refused at once. Everything but `Scheduler._run` happens on the event loop.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from stonechat_agent.demo_engine.generation import (
    Event,
    Failed,
    Finished,
    Generation,
    Piece,
    Progress,
    Timings,
    generate,
)
from stonechat_agent.demo_engine.model import LanguageModel


class QueueFullError(Exception):
    """All slots are busy and the queue holds as many requests as it may."""


@dataclass
class Totals:
    """Counts since the start, as llama-server's `/metrics` has them; nanoseconds. Guarded by the scheduler's lock."""

    prompt_tokens: int = 0
    cached_tokens: int = 0
    prompt_ns: int = 0
    predicted_tokens: int = 0
    predicted_ns: int = 0
    decodes: int = 0
    busy_slots: int = 0
    longest: int = 0


@dataclass
class Job:
    """One request on its way. `events` ends with `Finished` or `Failed`, unless it was cancelled."""

    task: int
    wanted: Generation
    events: asyncio.Queue[Event] = field(default_factory=asyncio.Queue)
    cancelled: threading.Event = field(default_factory=threading.Event)
    progress: Progress = field(default_factory=Progress)


class Slot:
    def __init__(self, number: int, model: LanguageModel) -> None:
        self.number = number
        self.cache = model.new_cache()
        self.job: Job | None = None
        self.last: Job | None = None
        self.used = 0


class Scheduler:
    """Shares `slots` slots of `model` among requests; at most `queue` more wait.

    Args:
        context: tokens of prompt and answer together, for each slot.
    """

    def __init__(self, model: LanguageModel, *, slots: int, queue: int, context: int) -> None:
        self.model = model
        self.context = context
        self.slots = [Slot(number, model) for number in range(slots)]
        self.totals = Totals()
        self._room = queue
        self._waiting: deque[Job] = deque()
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(slots, thread_name_prefix="demo-engine.slot")
        self._running: set[asyncio.Task[None]] = set()
        self._tasks = 0

    @property
    def processing(self) -> int:
        return sum(slot.job is not None for slot in self.slots)

    @property
    def deferred(self) -> int:
        return len(self._waiting)

    def submit(self, wanted: Generation) -> Job:
        """Start `wanted` on an idle slot, or queue it.

        Raises:
            QueueFullError: there is neither a slot nor room in the queue.
        """
        idle = [slot for slot in self.slots if slot.job is None]
        if not idle and len(self._waiting) >= self._room:
            raise QueueFullError
        job = Job(self._tasks, wanted)
        self._tasks += 1
        if idle:
            self._start(self._best(idle, wanted), job)
        else:
            self._waiting.append(job)
        return job

    async def events(self, job: Job) -> AsyncGenerator[Event, None]:
        """Yield the job's events to the last; leaving early cancels it."""
        try:
            while True:
                event = await job.events.get()
                yield event
                if isinstance(event, Finished | Failed):
                    return
        finally:
            self.cancel(job)

    def cancel(self, job: Job) -> None:
        """Stop the job before its next token, or take it out of the queue. Harmless when it has ended."""
        job.cancelled.set()
        if job in self._waiting:
            self._waiting.remove(job)

    async def close(self) -> None:
        """Cancel everything and wait for the worker threads."""
        self._waiting.clear()
        for slot in self.slots:
            if slot.job is not None:
                slot.job.cancelled.set()
        await asyncio.gather(*self._running)
        self._pool.shutdown()

    def _best(self, idle: list[Slot], wanted: Generation) -> Slot:
        # The longest cached prefix wins if it is a fair part of the prompt: every prompt shares its first token. Else
        # the slot unused for longest, whose cache is missed least.
        def rank(slot: Slot) -> tuple[int, int]:
            cached = slot.cache.common_prefix(wanted.prompt)
            return cached if cached * 4 >= len(wanted.prompt) else 0, -slot.used

        return max(idle, key=rank)

    def _start(self, slot: Slot, job: Job) -> None:
        slot.job = slot.last = job
        slot.used = job.task + 1
        task = asyncio.get_running_loop().create_task(
            self._serve(slot, job), name=f"demo-engine.slot-{slot.number}"
        )
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _serve(self, slot: Slot, job: Job) -> None:
        loop = asyncio.get_running_loop()
        end = await loop.run_in_executor(self._pool, self._run, slot, job, loop)
        slot.job = None
        if self._waiting:
            self._start(slot, self._waiting.popleft())
        # Last, so that whoever reads the end of an answer finds its slot free.
        if end is not None:
            job.events.put_nowait(end)

    def _run(self, slot: Slot, job: Job, loop: asyncio.AbstractEventLoop) -> Finished | Failed | None:
        end: Finished | Failed | None = None
        last: Timings | None = None
        try:
            for event in generate(
                self.model,
                slot.cache,
                job.wanted,
                slot=slot.number,
                context=self.context,
                progress=job.progress,
                cancelled=job.cancelled.is_set,
                on_decode=self._count_decode,
            ):
                if isinstance(event, Piece | Finished):
                    last = event.timings
                if isinstance(event, Finished | Failed):
                    end = event
                else:
                    loop.call_soon_threadsafe(job.events.put_nowait, event)
        except Exception as error:  # whatever the runtime raises, the client is told and the slot goes on
            slot.cache.keep(0)
            end = Failed(f"generation failed: {error}")
        with self._lock:
            if last is not None:
                self.totals.prompt_tokens += last.prompt_n
                self.totals.cached_tokens += last.cache_n
                self.totals.prompt_ns += last.prompt_ns
                self.totals.predicted_tokens += last.predicted_n
                self.totals.predicted_ns += last.predicted_ns
            self.totals.longest = max(self.totals.longest, len(slot.cache.tokens))
        return end

    def _count_decode(self) -> None:
        busy = self.processing
        with self._lock:
            self.totals.decodes += 1
            self.totals.busy_slots += busy
