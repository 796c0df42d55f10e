"""What the pages show of single exchanges: a list on the device's page, and a page for each.

Pure: exchanges are the plain mappings of ``exchange_views``, whose durations are microseconds; what is shown is in
base units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple
from urllib.parse import urlencode

from stonechat.ids import identifier
from stonechat.judgements import GUIDELINE, LOW, Judgement, by_concern, finding_words, meaning
from stonechat.waterfall import PHASES, SCALE, Waterfall, lay_out
from stonechat_collector.exchange_views import CURSOR, OUTCOMES, SORTS, Filter
from stonechat_collector.pages.device import MINUTE, Range
from stonechat_collector.pages.words import duration, exact, figure, share, size, text_of

ROWS = 20
"""Exchanges in the list of a device's page."""

AROUND_MS = 10 * MINUTE
"""How much of the charts a link from an exchange shows before and after it."""

MOST_MS = 1 << 52
"""Beyond this a device's clock is so wrong that no window can be of the same time."""

_US = 1_000_000
_MOST_SECONDS = 1e9

CHOSEN: Mapping[str, str] = {
    "flagged": "something was found in its answer",
    "failed": "it failed",
    "slow": "it took longer than exchanges.slow",
    "sampled": "it was drawn for the sample",
}
"""Why a device told of an exchange, as the rest of a sentence."""

OUTCOME_WORDS: Mapping[str, str] = {"ok": "answered", "error": "failed", "aborted": "client left"}

PROVENANCES: Mapping[str, str] = {
    "engine": "as the engine says",
    "observed": "as seen on the wire",
    "estimated": "estimated",
}

_TOKENS: Sequence[tuple[str, str]] = (
    ("input_tokens", "Prompt"),
    ("cached_tokens", "of them from the engine's cache"),
    ("output_tokens", "Generated"),
    ("reasoning_tokens", "of them reasoning"),
)
_INSTANTS: Sequence[tuple[str, str]] = (
    ("request_complete", "request read"),
    ("connected", "engine connected"),
    ("ttfb", "first byte of the answer"),
    ("ttft", "first token"),
    ("ttfc", "first token of the answer itself"),
    ("duration", "last byte"),
    ("closed", "client gone"),
)
_CONTEXT: Sequence[tuple[str, str, str, str]] = (
    ("CPU busy", "system.cpu.utilization", "mean", "1"),
    ("tasks waiting for a core", "system.pressure.cpu.some", "rate", "1"),
    ("tasks waiting for memory", "system.pressure.memory.some", "rate", "1"),
    ("memory in use", "system.memory.utilization", "mean", "1"),
    ("temperature", "hw.temperature", "max", "Cel"),
    ("throttled", "stonechat.throttled", "mean", "1"),
    ("requests in flight", "stonechat.engine.requests.in_flight", "max", "{request}"),
)
"""What is told of the device at that time: label, metric, figure of a point, unit."""

Exchange = Mapping[str, Any]


@dataclass(frozen=True)
class Query:
    """The state of a device's list of exchanges that its address carries, beside the page's own range."""

    model: str = ""
    outcome: str = ""
    finding: str = ""
    error: str = ""
    least: str = ""
    """Seconds that an exchange took at least, as they were written."""
    first: str = ""
    """Seconds to its first token at least."""
    text: str = ""
    sort: str = "start"
    up: bool = False
    cursor: str = ""

    @classmethod
    def read(cls, parameters: Mapping[str, str]) -> Query:
        """From an address; what makes no sense is as if it were not there."""

        def word(name: str) -> str:
            return identifier(parameters.get(name, "")) or ""

        outcome, sort = parameters.get("outcome", ""), parameters.get("sort", "start")
        return cls(
            model=word("model"),
            outcome=outcome if outcome in OUTCOMES else "",
            finding=word("finding"),
            error=word("error"),
            least=_seconds(parameters.get("least", "")),
            first=_seconds(parameters.get("first", "")),
            text=parameters.get("q", "").strip()[:200],
            sort=sort if sort in SORTS else "start",
            up=parameters.get("dir") == "up",
            cursor=cursor if CURSOR.fullmatch(cursor := parameters.get("cursor", "")) else "",
        )

    @property
    def filtered(self) -> bool:
        """Whether anything but the order was chosen."""
        return any((self.model, self.outcome, self.finding, self.error, self.least, self.first, self.text))

    def filter(self, span: Range) -> Filter:
        """The filter of the store. A span that stays where it is keeps what began in it; one that moves keeps all."""
        return Filter(
            model=self.model or None,
            outcome=self.outcome or None,
            error_type=self.error or None,
            finding=self.finding or None,
            min_duration=_microseconds(self.least),
            min_ttft=_microseconds(self.first),
            from_ms=None if span.live else span.start,
            to_ms=None if span.live else span.end,
            text=self.text or None,
        )

    def parameters(self) -> dict[str, str]:
        """As they stand in an address; defaults are left out."""
        found = {
            "model": self.model,
            "outcome": self.outcome,
            "finding": self.finding,
            "error": self.error,
            "least": self.least,
            "first": self.first,
            "q": self.text,
            "sort": "" if self.sort == "start" else self.sort,
            "dir": "up" if self.up else "",
            "cursor": self.cursor,
        }
        return {name: value for name, value in found.items() if value}


def flagged_filter(span: Range) -> Filter:
    """The filter of flagged exchanges that began in the page's span; of all, where that moves on."""
    return Query(finding="flagged").filter(span)


class Row(NamedTuple):
    """An exchange in a list."""

    exchange: Exchange
    address: str
    ended: str
    """How it ended in a word or two, with the type of its error."""
    took: int | None
    """Microseconds until it ended, however it did."""
    waterfall: Waterfall | None
    phases: str
    """The waterfall in words."""
    found: list[Judgement]
    """What is beyond its threshold, what concerns most first."""


class ExchangeList(NamedTuple):
    """The list on a device's page."""

    query: Query
    span: Range
    rows: list[Row]
    choices: Mapping[str, Any]
    older: str
    """Address of the next page; "" on the last."""
    device: str

    @property
    def fixed(self) -> dict[str, str]:
        """The parameters of the page's range, for a form and for links."""
        if self.span.live:
            return {"range": self.span.name}
        return {"from": str(self.span.start), "to": str(self.span.end)}

    def address(self, **changes: Any) -> str:
        """The address of this list with changes; all but a change of the cursor lead to its beginning."""
        query = replace(self.query, **{"cursor": "", **changes})
        return f"?{urlencode({**self.fixed, **query.parameters()})}#exchanges"

    @property
    def all(self) -> str:
        """The address without a filter."""
        return f"?{urlencode(self.fixed)}#exchanges"


def build_list(
    device: str, page: Mapping[str, Any], choices: Mapping[str, Any], query: Query, span: Range
) -> ExchangeList:
    """The list of these exchanges, as ``exchange_views.exchanges_page`` and ``choices`` have them."""
    rows = [_row(device, exchange) for exchange in page["exchanges"]]
    built = ExchangeList(query, span, rows, choices, "", device)
    return built._replace(older=built.address(cursor=page["next"]) if page["next"] else "")


class Bar(NamedTuple):
    """One line of the waterfall in full."""

    phase: str
    meaning: str
    x: float
    width: float
    begin: float
    """Seconds since the request was accepted."""
    seconds: float
    source: str


class Judged(NamedTuple):
    """One judgement of an answer."""

    words: str
    meaning: str
    score: float | None
    found: bool
    said: str
    """What became of it, in a word or two."""
    finding: str
    """What is said of the answer where it was found."""


class ExchangePage(NamedTuple):
    """All that the template needs beside the exchange itself."""

    headline: str
    ended: str
    chosen: str
    waterfall: Waterfall | None
    bars: list[Bar]
    instants: list[tuple[str, float]]
    tokens: list[tuple[str, int, str]]
    rates: list[tuple[str, str]]
    judgements: list[Judged]
    """What was found first, then by how much the scores concern."""
    facts: list[tuple[str, str]]
    context: list[tuple[str, str]]
    context_span: tuple[int, int] | None
    """Of the window that the context is of, in ms since 1970."""
    charts: str
    """Address of the device's charts around this exchange."""


def build_page(device: str, exchange: Exchange, windows: Mapping[str, Any]) -> ExchangePage:
    """The page of an exchange. ``windows``: the course of the device around it."""
    waterfall = lay_out(exchange)
    start = int(exchange["start"])
    whole = (waterfall.whole if waterfall else 0) // 1000
    context, span = _context(windows, start)
    around = {"from": max(0, start - AROUND_MS), "to": start + whole + AROUND_MS}
    return ExchangePage(
        headline=headline(exchange),
        ended=_ended(exchange),
        chosen=CHOSEN.get(exchange["chosen"], ""),
        waterfall=waterfall,
        bars=_bars(waterfall) if waterfall else [],
        instants=[
            (label, exchange[name] / _US) for name, label in _INSTANTS if exchange.get(name) is not None
        ],
        tokens=[
            (label, exchange[name], PROVENANCES.get(exchange.get(f"{name}_from") or "", ""))
            for name, label in _TOKENS
            if exchange.get(name) is not None
        ],
        rates=_rates(exchange),
        judgements=_judgements(exchange),
        facts=_facts(exchange),
        context=context,
        context_span=span,
        charts=f"/devices/{device}?{urlencode(around)}",
    )


def headline(exchange: Exchange) -> str:
    """What became of the exchange, in one sentence."""
    took = _took(exchange)
    after = "" if took is None else f" after {duration(took / _US)}"
    outcome = exchange.get("outcome")
    if outcome == "error":
        return f"Failed{after}: {name_words(exchange.get('error_type') or 'no reason known')}."
    if outcome == "aborted":
        return f"The client left{after}."
    if outcome != "ok":
        return "How it ended is not known."
    first = exchange.get("ttft")
    if took is None:
        return "Answered."
    token = (
        f", first token after {duration(first / _US)}"
        if first is not None and exchange.get("streamed")
        else ""
    )
    return f"Answered in {duration(took / _US)}{token}."


def name_words(name: str) -> str:
    """An identifier as words: ``engine_reset`` as ``engine reset``."""
    return name.replace("_", " ").replace(".", " ")


def phases_words(waterfall: Waterfall) -> str:
    """A waterfall for those who do not see it: ``prefill 310 ms, decode 2.10 s, of 2.50 s``."""
    parts = [f"{phase} {duration(length / _US)}" for phase, length in waterfall.totals()]
    return f"{', '.join(parts)}, of {duration(waterfall.whole / _US)}"


def _row(device: str, exchange: Exchange) -> Row:
    waterfall = lay_out(exchange)
    return Row(
        exchange,
        f"/devices/{device}/exchanges/{exchange['id']}",
        _ended(exchange),
        _took(exchange),
        waterfall,
        phases_words(waterfall) if waterfall else "no time is known",
        [one for one in _by_concern(exchange) if one.found],
    )


def _took(exchange: Exchange) -> int | None:
    took = exchange.get("duration")
    return took if took is not None else exchange.get("closed")


def _ended(exchange: Exchange) -> str:
    word = OUTCOME_WORDS.get(exchange.get("outcome") or "", "unknown")
    if exchange.get("outcome") == "error" and exchange.get("error_type"):
        return f"{word}: {name_words(exchange['error_type'])}"
    if exchange.get("finish_reason") == "length":
        return f"{word}, cut at the limit"
    return word


def _asked(name: Any) -> Any:
    return "one that the engine does not list" if name == "other" else name


def _bars(waterfall: Waterfall) -> list[Bar]:
    return [
        Bar(
            span.phase,
            PHASES[span.phase],
            min(waterfall.at(span.begin), SCALE - 2),
            max(2, round(waterfall.at(span.end) - waterfall.at(span.begin), 1)),
            span.begin / _US,
            span.length / _US,
            PROVENANCES.get(span.source, "what the others leave" if span.phase == "unattributed" else ""),
        )
        for span in waterfall.spans
    ]


def _rates(exchange: Exchange) -> list[tuple[str, str]]:
    """Tokens a second, and the share of the context in use."""
    found = []
    tokens, decode = exchange.get("output_tokens"), exchange.get("decode")
    if tokens and tokens > 1 and decode:
        found.append(
            ("Generated a second, after the first", str(figure((tokens - 1) / decode * _US, "{token}/s")))
        )
    prompt, prefill = exchange.get("input_tokens"), exchange.get("prefill")
    if prompt is not None and prefill and (fresh := prompt - (exchange.get("cached_tokens") or 0)) > 0:
        found.append(("Prompt tokens processed a second", str(figure(fresh / prefill * _US, "{token}/s"))))
    used, limit = exchange.get("context_tokens"), exchange.get("context_limit")
    if used is not None:
        of = f" of {limit:,}, {share(used / limit)}" if limit else ""
        found.append(("Context in use at the end", f"{used:,}{of}"))
    return found


def _by_concern(exchange: Exchange) -> list[Judgement]:
    return by_concern(exchange.get("findings") or (), exchange.get("scores") or {})


def _judgements(exchange: Exchange) -> list[Judged]:
    return [
        Judged(
            finding_words(name) if name.startswith(GUIDELINE) else name_words(name),
            meaning(name),
            score,
            found,
            _verdict(name, found),
            finding_words(name),
        )
        for name, score, found in _by_concern(exchange)
    ]


def _verdict(name: str, found: bool) -> str:
    if name.startswith(GUIDELINE):
        return "broken" if found else "kept"
    if name in LOW:
        return finding_words(name) if found else "not flagged"
    return "found" if found else "not found"


def _facts(exchange: Exchange) -> list[tuple[str, str]]:
    asked = exchange.get("request_model")
    sent, got = exchange.get("request_bytes"), exchange.get("response_bytes")
    streamed = exchange.get("streamed")
    known = {
        "model": exchange.get("model"),
        "model asked for": _asked(asked) if asked != exchange.get("model") else None,
        "engine": exchange.get("engine"),
        "operation": exchange.get("operation"),
        "API": exchange.get("dialect"),
        "came by": exchange.get("source"),
        "streamed": streamed,
        "pieces": exchange.get("chunks"),
        "HTTP status": None if exchange.get("status") is None else str(exchange["status"]),
        "finish reason": exchange.get("finish_reason"),
        "tools called": exchange.get("tool_calls"),
        "request": None if sent is None else str(size(sent)),
        "answer": None if got is None else str(size(got)),
        "conversation": exchange.get("conversation"),
        "user": exchange.get("user"),
        "notes": [name_words(note) for note in exchange.get("notes") or []],
        "told on": exact(exchange["received"]),
        "id": exchange.get("id"),
    }
    return [(label, text) for label, value in known.items() if (text := text_of(value))]


def _context(windows: Mapping[str, Any], start: int) -> tuple[list[tuple[str, str]], tuple[int, int] | None]:
    """What the window in which the exchange began says of the device."""
    spans = [
        span for span in windows.get("spans") or () if span["time"] <= start < span["time"] + span["span"]
    ]
    if not spans:
        return [], None
    at = spans[-1]["time"]
    found = []
    for label, metric, name, unit in _CONTEXT:
        points = ((windows.get("metrics") or {}).get(metric) or {}).get("points") or ()
        value = next((point.get(name) for point in points if point["time"] == at), None)
        if (written := figure(value, unit)) is not None:
            found.append((label, str(written)))
    return found, (at, at + spans[-1]["span"])


def _seconds(text: str) -> str:
    """A number of seconds as it was written; "" for what is none."""
    try:
        return text.strip() if 0 < float(text) <= _MOST_SECONDS and len(text) <= 12 else ""
    except ValueError:
        return ""


def _microseconds(seconds: str) -> int | None:
    return round(float(seconds) * _US) if seconds else None
