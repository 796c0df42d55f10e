"""One request to an engine and its answer, as the agent saw it.

All instants are nanoseconds of one monotonic clock, taken in one process, so that their differences are intervals
(an engine's own clock never mixes with them). ``None`` means unknown, never zero. Figures that an engine may report
itself carry their provenance beside them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import KW_ONLY, dataclass, field
from enum import Enum
from typing import NamedTuple

from stonechat.transcript import Transcript


class Provenance(str, Enum):
    """Where a figure comes from, from best to worst."""

    ENGINE = "engine"  # the engine said so in its answer
    OBSERVED = "observed"  # counted or timed on the wire by the relay
    ESTIMATED = "estimated"  # derived from something else, such as chunks for tokens


class Outcome(str, Enum):
    """How an exchange ended."""

    OK = "ok"
    ERROR = "error"  # the engine, or the way to it, failed: see ``error_type``
    ABORTED = "aborted"  # the client went away before the answer's end


class Operation(str, Enum):
    """What was asked of the model: ``gen_ai.operation.name``, as the series of a window know it."""

    CHAT = "chat"
    COMPLETION = "completion"
    EMBEDDINGS = "embeddings"
    EVALUATION = "evaluation"
    OTHER = "other"


class Source(str, Enum):
    """How an exchange reached the agent."""

    RELAY = "relay"
    RECORD = "record"  # an application told of it
    REPLAY = "replay"  # out of a file


class Quantity(NamedTuple):
    """A whole number and where it comes from. Units are those of the field that holds it."""

    value: int
    provenance: Provenance


FINDINGS = (
    "empty",
    "truncated",
    "repetition",
    "degenerate",
    "garbage",
    "language",
    "refusal",
    "tool_call",
    "not_json",
    "prompt_leak",
    "prompt_echo",
    "same_answer",
    "unclosed",
    "template",
)
"""Names of the checks of every answer, which are those of their scores and findings. Closed; docs/findings.md says what
each means."""

MILD_FINDINGS = frozenset({"truncated"})
"""Findings that are counted and shown, and flag nothing: an answer that was cut at its limit was mostly meant to be."""


def is_flagged(findings: Iterable[str]) -> bool:
    """Tell whether an exchange with these findings is one that somebody should look at."""
    return any(finding not in MILD_FINDINGS for finding in findings)


@dataclass(slots=True)
class Exchange:
    """One exchange. Built up by the capture, read by windows, journal and scoring.

    ``dialect`` is None for traffic that no dialect knows (forwarded all the same). ``*_ns`` instants are of the
    monotonic clock; ``*_duration`` quantities are nanoseconds; token quantities are tokens; sizes are bytes of
    HTTP message as forwarded.
    """

    engine: str
    _: KW_ONLY
    id: str = ""  # drawn when the exchange is taken in: see ``ids.exchange_id``
    source: Source = Source.RELAY
    wall_ms: int | None = None  # wall clock, ms since 1970, when the request was accepted
    conversation: str | None = None  # pseudonyms, keyed on the device
    user: str | None = None
    operation: Operation = Operation.OTHER
    dialect: str | None = None
    request_model: str | None = None
    response_model: str | None = None
    streamed: bool | None = None

    outcome: Outcome = Outcome.OK
    error_type: str | None = None
    status: int | None = None
    finish_reason: str | None = None

    accepted_ns: int = 0
    request_complete_ns: int | None = None
    connected_ns: int | None = None
    first_byte_ns: int | None = None
    first_token_ns: int | None = None  # first non-empty content, reasoning or tool call
    first_content_ns: int | None = None  # first non-empty content: after the reasoning, where there is any
    last_byte_ns: int | None = None
    closed_ns: int | None = None

    queue_duration: Quantity | None = None
    load_duration: Quantity | None = None
    prefill_duration: Quantity | None = None
    decode_duration: Quantity | None = None

    input_tokens: Quantity | None = None  # all of the prompt, cached ones included
    cached_tokens: Quantity | None = None
    output_tokens: Quantity | None = None  # reasoning ones included
    reasoning_tokens: Quantity | None = None
    context_tokens: int | None = None  # in use at the end of the answer
    context_limit: int | None = None

    request_bytes: int = 0
    response_bytes: int = 0
    tool_calls: int = 0
    chunks: int = 0  # pieces of streamed answer that carried text, reasoning or a tool call
    notes: set[str] = field(
        default_factory=set
    )  # short closed words: "body_over_bound", "parser_failed", ...
    scores: dict[str, float] = field(default_factory=dict)  # judgements in [0, 1] by name
    findings: tuple[str, ...] = ()  # names of the judgements that are beyond their threshold
    transcript: Transcript | None = field(default=None, repr=False)

    def elapsed(self, instant_ns: int | None) -> int | None:
        """Nanoseconds from accepting the request to ``instant_ns``; None when that never came."""
        return None if instant_ns is None else max(0, instant_ns - self.accepted_ns)

    @property
    def duration_ns(self) -> int | None:
        """Nanoseconds from accepting the request to the last byte of the answer."""
        return self.elapsed(self.last_byte_ns)

    @property
    def cut_at_limit(self) -> bool:
        """Whether the answer ended because it reached the token limit."""
        return self.finish_reason == "length"

    @property
    def prefilled_tokens(self) -> int | None:
        """Prompt tokens that the engine had to process: all less the cached ones. None when unknown."""
        if self.input_tokens is None:
            return None
        cached = self.cached_tokens.value if self.cached_tokens is not None else 0
        return max(0, self.input_tokens.value - cached)
