"""``POST /v1/exchanges``: what applications tell of their exchanges, one object or a line each.

The work is cut into slices, so that a megabyte of lines never holds up the relay, on whose event loop this runs.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence

from stonechat.exchange import Source
from stonechat_agent.intake import Accept, Unfit, to_exchange
from stonechat_agent.local.endpoint import Page, json_page

SLICE_NS = 1_000_000
"""Work of one slice: about a millisecond, after which others have their turn."""
MAX_TOLD = 100
"""Rejected lines that the answer names; the others are counted."""


class ExchangeIntake:
    """Takes bodies of ``POST /v1/exchanges``. ``accept`` must not wait; ``engines`` names the agent's, in order."""

    def __init__(
        self,
        accept: Accept,
        engines: Callable[[], Sequence[str]],
        *,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._accept = accept
        self._engines = engines
        self._monotonic_ns = monotonic_ns
        self._wall_ns = wall_ns

    def __call__(self, content_type: str, body: bytes) -> Iterator[Page | None]:
        """Yield None between slices, and the answer at the end. ``content_type`` has no parameters."""
        is_lines = content_type == "application/x-ndjson"
        accepted = more = 0
        rejected: list[dict[str, object]] = []
        ends = self._monotonic_ns() + SLICE_NS
        for number, line in enumerate(_lines(body) if is_lines else (body,), 1):
            if self._monotonic_ns() >= ends:
                yield None
                ends = self._monotonic_ns() + SLICE_NS
            if is_lines and not line.strip():
                continue
            try:
                self._take(line, is_lines)
                accepted += 1
            except Unfit as error:
                if len(rejected) < MAX_TOLD:
                    rejected.append({"line": number, "reason": str(error)})
                else:
                    more += 1
        answer: dict[str, object] = {"accepted": accepted, "rejected": rejected}
        if more:
            answer["more_rejected"] = more
        yield json_page(answer, 202 if accepted or not rejected else 400)

    def _take(self, line: bytes, is_lines: bool) -> None:
        try:
            told = json.loads(line)
        except (ValueError, RecursionError):
            raise Unfit("is not JSON") from None
        if isinstance(told, list) and not is_lines:
            raise Unfit("is a list: send one object, or one a line as application/x-ndjson")
        exchange = to_exchange(
            told,
            source=Source.RECORD,
            engines=self._engines(),
            now_ns=self._monotonic_ns(),
            now_ms=self._wall_ns() // 1_000_000,
        )
        self._accept(exchange)


def _lines(body: bytes) -> Iterator[bytes]:
    """The lines one by one, so that a body of nothing but line ends is no list of a million."""
    start = 0
    while start < len(body):
        end = body.find(b"\n", start)
        end = len(body) if end < 0 else end
        yield body[start:end]
        start = end + 1
