"""What the capture may hold, and what it counts."""

from __future__ import annotations

from dataclasses import dataclass, field

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bounds of one connection, in bytes unless said otherwise."""

    body_bytes: int = MIB
    """Most of one body, or of one event or line of a streamed one, that is held for reading."""
    head_bytes: int = 64 * 1024
    """Most of one message's head. nginx and Node.js refuse at 8 to 32 KiB; engines at 8 KiB and more."""
    inflated_bytes: int = 64 * MIB
    """Most that one compressed body may inflate to before it is no longer read."""
    outstanding: int = 64
    """Most requests (not bytes) of one connection that wait for their answers."""
    texts: bool = True
    """Whether texts are gathered: see ``Exchange.transcript``."""
    prompt_chars: int = 64 * 1024
    """Most of one prompt that is kept, in characters, of which a turn costs 64 beside its text."""
    answer_chars: int = 256 * 1024
    """Most of one answer that is kept, in characters; of its reasoning, and of its calls of tools, the same again."""


class Pool:
    """What all connections together may hold. Not for use by several threads."""

    __slots__ = ("limit", "used")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0

    def take(self, size: int) -> bool:
        """Reserve size (negative gives back); False, and nothing reserved, where that goes over the limit."""
        if size > 0 and self.used + size > self.limit:
            return False
        self.used += size
        return True


class Budget(Pool):
    """Bytes that all connections together may hold for reading; and in ``texts``, apart from it so that they never cost
    a figure, characters that they may hold of texts until an exchange is over."""

    __slots__ = ("texts",)

    def __init__(self, limit: int = 16 * MIB, text_chars: int = 2 * MIB) -> None:
        super().__init__(limit)
        self.texts = Pool(text_chars)


DROP_REASONS = (
    "http_request",  # the client's bytes are not HTTP/1
    "http_response",  # the engine's bytes are not HTTP/1
    "unsolicited",  # an answer that no request asked for
    "head_over_bound",
    "outstanding_over_bound",
    "pipelined_head",  # too much answer in front of the one to a pipelined HEAD request
    "behind",  # copies came faster than they could be read
    "body",  # the reader of one body failed; the connection's other exchanges are still read
    "internal",
)
"""Why a parser was dropped. Closed: counters are keyed by it."""


@dataclass(slots=True)
class Counts:
    """What the captures of one engine have seen, for the sampler. All but ``in_flight`` only grow."""

    in_flight: int = 0
    """Exchanges begun and not ended."""
    exchanges: int = 0
    other_requests: int = 0
    """Requests that ask nothing of a model, such as ``/health``."""
    opaque: int = 0
    """Connections that changed to another protocol."""
    lost: int = 0
    """Exchanges that were under way, without a status yet, when their connection's parser was dropped."""
    dropped: dict[str, int] = field(default_factory=dict)
    """Parsers dropped, by one of ``DROP_REASONS``."""

    def drop(self, reason: str) -> None:
        """Count one dropped parser."""
        self.dropped[reason] = self.dropped.get(reason, 0) + 1
