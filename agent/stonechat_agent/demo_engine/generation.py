"""One answer: what is asked for, the events it yields, and the rules of when its text may leave and when it ends.

`TextStream` is pure; `generate` drives a model and a cache in a worker thread.
"""

from __future__ import annotations

import codecs
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Literal

from stonechat_agent.demo_engine.model import BATCH_TOKENS, Cache, LanguageModel, Sampler

StopType = Literal["eos", "limit", "word"]


@dataclass(frozen=True)
class Generation:
    """What a client asks for. `max_tokens` is None for as many as the context holds."""

    prompt: tuple[int, ...]
    max_tokens: int | None
    temperature: float
    top_k: int
    top_p: float
    seed: int
    stop: tuple[str, ...]
    ignore_eos: bool
    cache_prompt: bool


@dataclass(frozen=True)
class Timings:
    """Counts and nanoseconds of one monotonic clock, in llama-server's sense.

    `prompt_ns` runs from the slot's start to the first token, `predicted_ns` from the first token to the last.
    """

    cache_n: int
    prompt_n: int
    prompt_ns: int
    predicted_n: int
    predicted_ns: int


@dataclass(frozen=True)
class Started:
    """A slot has taken the request."""

    slot: int


@dataclass(frozen=True)
class Piece:
    """One token drawn, or several that share a character: the text that may leave now (perhaps none), their ids."""

    text: str
    tokens: tuple[int, ...]
    timings: Timings


@dataclass(frozen=True)
class Finished:
    stop_type: StopType
    stopping_word: str
    truncated: bool
    slot: int
    tokens_cached: int
    timings: Timings


@dataclass(frozen=True)
class Failed:
    """The model raised; the message is for the client."""

    message: str


Event = Started | Piece | Finished | Failed


class TextStream:
    """Turns token bytes into text that may leave.

    Held back: the start of a UTF-8 sequence, and an ending that a stop string could begin with. Text from a stop
    string on never leaves.
    """

    def __init__(self, stop: tuple[str, ...]) -> None:
        self._stop = stop
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._held = ""
        self.stopped_by: str | None = None

    @property
    def inside_character(self) -> bool:
        """Whether the bytes so far end inside a UTF-8 sequence."""
        return bool(self._decoder.getstate()[0])

    def push(self, data: bytes) -> str:
        """Add bytes, return the text that may leave now. Once `stopped_by` is set, nothing more does."""
        return self._release(self._decoder.decode(data))

    def finish(self) -> str:
        """Return what is still held; broken UTF-8 becomes U+FFFD."""
        text = self._release(self._decoder.decode(b"", final=True))
        if self.stopped_by is None:
            text, self._held = text + self._held, ""
        return text

    def _release(self, fresh: str) -> str:
        if self.stopped_by is not None:
            return ""
        text = self._held + fresh
        found = [(at, word) for word in self._stop if (at := text.find(word)) >= 0]
        if found:
            at, self.stopped_by = min(found)
            self._held = ""
            return text[:at]
        held = max((_overlap(text, word) for word in self._stop), default=0)
        self._held = text[len(text) - held :]
        return text[: len(text) - held]


def _overlap(text: str, word: str) -> int:
    """The length of the longest ending of `text` that `word` begins with."""
    return next((n for n in range(min(len(text), len(word) - 1), 0, -1) if text.endswith(word[:n])), 0)


@dataclass
class Progress:
    """What a slot shows of the answer it works on; written by its thread, read by others."""

    prompt_tokens: int = 0
    cache_n: int = 0
    prompt_n: int = 0
    decoded: int = 0


def generate(
    model: LanguageModel,
    cache: Cache,
    wanted: Generation,
    *,
    slot: int,
    context: int,
    progress: Progress,
    cancelled: Callable[[], bool],
    on_decode: Callable[[], None],
) -> Generator[Event, None, None]:
    """Yield the events of one answer; end early, without `Finished`, once `cancelled`.

    Args:
        context: tokens of prompt and answer together; the prompt is shorter than that.
        on_decode: called after each run of the model.
    """
    yield Started(slot)
    began = time.monotonic_ns()
    prompt = list(wanted.prompt)
    cached = cache.common_prefix(prompt) if wanted.cache_prompt else 0
    cache.keep(cached)
    progress.prompt_tokens, progress.cache_n = len(prompt), cached
    for at in range(cached, len(prompt), BATCH_TOKENS):
        if cancelled():
            return
        logits = model.feed(cache, prompt[at : at + BATCH_TOKENS])
        on_decode()
        progress.prompt_n = len(cache.tokens) - cached
    sampler = Sampler(
        temperature=wanted.temperature,
        top_k=wanted.top_k,
        top_p=wanted.top_p,
        seed=wanted.seed,
        banned=model.end if wanted.ignore_eos else None,
    )
    text = TextStream(wanted.stop)
    pending: list[int] = []
    room = context - len(prompt)
    limit = room if wanted.max_tokens is None else min(wanted.max_tokens, room)
    first = began
    stop_type: StopType = "limit"

    def timings() -> Timings:
        now = time.monotonic_ns()
        started = first if progress.decoded else now
        return Timings(cached, len(prompt) - cached, started - began, progress.decoded, now - started)

    # With `max_tokens` 0 the prompt is read and nothing is drawn.
    while progress.decoded < limit:
        token = sampler.draw(logits)
        if progress.decoded == 0:
            first = time.monotonic_ns()
        progress.decoded += 1
        pending.append(token)
        ready = text.finish() if token == model.end else text.push(model.tokenizer.token_bytes(token))
        if token == model.end:
            stop_type = "eos"
        elif text.stopped_by is not None:
            stop_type = "word"
        if not text.inside_character:
            yield Piece(ready, tuple(pending), timings())
            pending.clear()
        if stop_type != "limit" or progress.decoded == limit:
            break
        if cancelled():
            return
        logits = model.feed(cache, [token])
        on_decode()
    rest = text.finish()
    if rest:
        yield Piece(rest, tuple(pending), timings())
    yield Finished(
        stop_type=stop_type,
        stopping_word=text.stopped_by or "",
        truncated=stop_type == "limit" and progress.decoded == room,
        slot=slot,
        tokens_cached=len(cache.tokens),
        timings=timings(),
    )
