"""The phases of one exchange laid out over its time. Pure: instants and lengths are microseconds.

An engine says how long its phases took, not when they were: generating begins at the first token, and what comes
before ends where the next begins, never before the request was read. Without a first token they follow each other
from the request's end, or from earlier where they would not end by the last byte: nothing lasts beyond that. Reasoning
is the part of generating before the first piece of content. What none of them covers is unattributed: the way to the
engine and back, waiting that no figure names, and pauses of whoever reads the answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

PHASES: Mapping[str, str] = {
    "request": "reading the request",
    "queue": "waiting for the engine to begin",
    "load": "loading the model",
    "prefill": "processing the prompt",
    "reasoning": "generating the reasoning",
    "decode": "generating the answer",
    "unattributed": "told by no figure",
}
"""Each phase and what it is, in the order of a legend."""

SCALE = 1000
"""Units of a bar's width."""


class Span(NamedTuple):
    """One stretch of a phase."""

    phase: str
    begin: int
    end: int
    source: str
    """The provenance of its length; "" where it is what the others leave."""

    @property
    def length(self) -> int:
        return self.end - self.begin


class Waterfall(NamedTuple):
    """The spans of an exchange in the order of their beginning, and how long all of it took."""

    whole: int
    spans: tuple[Span, ...]

    def at(self, instant: int) -> float:
        """Where an instant lies in a bar of `SCALE`."""
        return round(min(max(instant, 0), self.whole) * SCALE / self.whole, 1)

    def totals(self) -> list[tuple[str, int]]:
        """(phase, length) of each phase that there is, in the order of `PHASES`."""
        found = dict.fromkeys(PHASES, 0)
        for span in self.spans:
            found[span.phase] += span.length
        return [(phase, length) for phase, length in found.items() if length]


def lay_out(exchange: Mapping[str, Any]) -> Waterfall | None:
    """The waterfall of an exchange; None where nothing is known of its time."""
    spans = _known(exchange)
    whole = max(
        exchange.get("duration") or 0, exchange.get("closed") or 0, max((s.end for s in spans), default=0)
    )
    if whole <= 0:
        return None
    # A gap too narrow to be seen is rounding, not a phase.
    least = max(1, whole // 200)
    laid: list[Span] = []
    at = 0
    for span in sorted(spans, key=lambda span: (span.begin, span.end)):
        if span.begin - at >= least:
            laid.append(Span("unattributed", at, span.begin, ""))
        laid.append(span)
        at = max(at, span.end)
    if whole - at >= least:
        laid.append(Span("unattributed", at, whole, ""))
    return Waterfall(whole, tuple(laid))


def _known(exchange: Mapping[str, Any]) -> list[Span]:
    before = [
        (name, exchange[name]) for name in ("queue", "load", "prefill") if exchange.get(name) is not None
    ]
    first, read = exchange.get("ttft"), exchange.get("request_complete") or 0
    decode, last = exchange.get("decode"), exchange.get("duration")
    if first is None:
        at = max(exchange.get("connected") or 0, read)
        if last is not None:
            at = max(0, min(at, last - sum(length for _, length in before) - (decode or 0)))
    else:
        at = max(0, first - sum(length for _, length in before))
    spans = [Span("request", 0, min(read, at), "observed")]
    for name, length in before:
        # Where the engine's figures are longer than what was seen, they end at what was seen.
        end = at + length if first is None else min(first, at + length)
        spans.append(Span(name, at, end, exchange.get(f"{name}_from") or ""))
        at = end
    if decode is not None:
        spans += _generating(exchange, at if first is None else first, decode)
    if last is not None:
        spans = [span._replace(end=min(span.end, last)) for span in spans]
    return [span for span in spans if span.length > 0]


def _generating(exchange: Mapping[str, Any], begin: int, length: int) -> list[Span]:
    end, source = begin + length, exchange.get("decode_from") or ""
    content = exchange.get("ttfc")
    if content is None:
        return [Span("decode", begin, end, source)]
    turn = min(max(content, begin), end)
    return [Span("reasoning", begin, turn, "observed"), Span("decode", turn, end, source)]
