"""Everything that is known of one exchange, with its phases as a waterfall."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from stonechat.judgements import LOW, Judgement, by_concern, finding_words, guideline_of, meaning
from stonechat.waterfall import PHASES, lay_out
from stonechat_agent.commands import figures
from stonechat_agent.commands.listing import decode_rate
from stonechat_agent.commands.terminal import Terminal, harmless

Row = Mapping[str, Any]

_LABEL = 18
_BAR = 40
_INSTANTS = (
    ("request_complete", "request read"),
    ("connected", "engine connected"),
    ("ttfb", "first byte"),
    ("ttft", "first token"),
    ("ttfc", "first text"),
    ("duration", "last byte"),
    ("closed", "client gone"),
)
_PROVENANCE = {
    "engine": "as the engine says",
    "observed": "seen on the wire",
    "estimated": "estimated",
}


def render(row: Row, terminal: Terminal) -> Iterator[str]:
    """Yield the lines about one exchange, without its texts."""
    when = figures.precise_moment(row["start"])
    yield f"{terminal.styled('exchange ' + row['id'], 'bold')}  {when}"
    yield from _facts(row, terminal)
    yield ""
    yield terminal.styled("timing", "bold") + ", since the request was accepted"
    yield from _waterfall(row, terminal)
    for name, label in _INSTANTS:
        if name in row:
            yield _line(label, figures.duration(row[name]))
    yield ""
    yield terminal.styled("tokens", "bold")
    yield from _tokens(row)
    yield from _judgements(row, terminal)


def _facts(row: Row, terminal: Terminal) -> Iterator[str]:
    ended = [row.get("outcome", figures.UNKNOWN), row.get("error_type"), row.get("finish_reason")]
    if "status" in row:
        ended.append(f"HTTP {row['status']}")
    style = {"error": "red", "aborted": "yellow"}.get(row.get("outcome", ""))
    outcome = ", ".join(str(part) for part in ended if part)
    yield _line("outcome", terminal.styled(harmless(outcome), *([style] if style else [])))
    streamed = {True: "streamed", False: "not streamed", None: ""}[row.get("streamed")]
    parts = (row.get("operation"), row.get("dialect"), streamed, f"by {row.get('source', figures.UNKNOWN)}")
    yield _line("request", harmless(", ".join(part for part in parts if part)))
    yield _line("engine", harmless(row.get("engine", figures.UNKNOWN)))
    model = row.get("model", figures.UNKNOWN)
    asked = row.get("request_model")
    if asked == "other":
        asked = "one that the engine does not list"
    yield _line("model", harmless(model + (f" (asked for: {asked})" if asked and asked != model else "")))
    for name in ("conversation", "user"):
        if name in row:
            yield _line(name, harmless(row[name]))
    sizes = [row.get("request_bytes"), row.get("response_bytes")]
    if any(sizes):
        chunks = f", {row['chunks']} pieces" if "chunks" in row else ""
        yield _line("sizes", f"{figures.size(sizes[0])} asked, {figures.size(sizes[1])} answered{chunks}")


def _waterfall(row: Row, terminal: Terminal) -> Iterator[str]:
    laid = lay_out(row)
    if laid is None:
        return
    block = "\N{FULL BLOCK}" if terminal.has_unicode else "#"
    width = _BAR if terminal.width is None else max(10, min(_BAR, terminal.width - 2 * _LABEL - 12))
    for span in laid.spans:
        begin = min(width - 1, int(span.begin * width / laid.whole))
        length = max(1, min(width - begin, round(span.length * width / laid.whole)))
        bar = (" " * begin + block * length).ljust(width)
        said = _PROVENANCE.get(span.source, PHASES[span.phase])
        yield _line(span.phase, f"{terminal.styled(bar, 'cyan')} {figures.duration(span.length):>7}  {said}")


def _tokens(row: Row) -> Iterator[str]:
    names = {
        "input_tokens": "input",
        "cached_tokens": "of them cached",
        "output_tokens": "output",
        "reasoning_tokens": "of them reasoning",
    }
    for name, label in names.items():
        if name in row or name in ("input_tokens", "output_tokens"):
            said = _PROVENANCE.get(row.get(f"{name}_from", ""), "")
            number = figures.count(row.get(name))
            yield _line(label, f"{number:>7}  {said}".rstrip())
    rate = decode_rate(row)
    if rate is not None:
        said = _PROVENANCE.get(_worse(row.get("decode_from"), row.get("output_tokens_from")), "")
        yield _line("speed", f"{figures.rate(rate):>7}  tokens/s after the first, {said}".rstrip(", "))
    if "context_tokens" in row:
        limit = row.get("context_limit")
        of = f" of {limit} ({figures.share(row['context_tokens'] / limit)})" if limit else ""
        yield _line("context in use", f"{row['context_tokens']:>7}{of}")
    if "tool_calls" in row:
        yield _line("tool calls", f"{row['tool_calls']:>7}")


def _worse(*provenances: str | None) -> str:
    order = list(_PROVENANCE)
    known = [order.index(name) for name in provenances if name in order]
    return order[max(known)] if known else ""


def _judgements(row: Row, terminal: Terminal) -> Iterator[str]:
    if not any(name in row for name in ("findings", "scores", "notes")):
        return
    yield ""
    yield terminal.styled("judged", "bold")
    judged = by_concern(row.get("findings", ()), row.get("scores", {}))
    nothing = [one for one in judged if not one.found and not one.score and one.name not in LOW]
    for one in judged:
        if one not in nothing:
            yield _judgement(one, terminal)
    if nothing:
        yield _line("0", harmless(", ".join(_name(one.name) for one in nothing)))
    if "notes" in row:
        yield _line("notes", harmless(", ".join(row["notes"]).replace("_", " ")))


def _judgement(one: Judgement, terminal: Terminal) -> str:
    score = figures.NONE if one.score is None else f"{one.score:.2f}"
    what = meaning(one.name)
    if not one.found:
        return _line(harmless(_name(one.name)), f"{score:>4}  {what}".rstrip())
    said = "broken" if guideline_of(one.name) is not None else finding_words(one.name)
    verdict = said if said == "broken" or one.name in LOW else "found"
    told = terminal.styled(harmless(f"{score:>4}  {verdict}"), "yellow")
    return _line(harmless(_name(one.name)), f"{told}: {what}" if what else told)


def _name(name: str) -> str:
    return finding_words(name) if guideline_of(name) is not None else name


def render_texts(texts: Mapping[str, Any], terminal: Terminal) -> Iterator[str]:
    """Yield the lines of the texts of one exchange, as ``stonechat.exchange_texts`` has them."""
    for role, text in texts.get("prompt", ()):
        yield from _said(harmless(role), text, terminal)
    if "reasoning" in texts:
        yield from _said("reasoning", texts["reasoning"], terminal)
    for name, given in texts.get("tool_calls", ()):
        yield from _said(f"calls {harmless(name)}", given, terminal)
    for name in ("answer", "error"):
        if name in texts:
            yield from _said(name, texts[name], terminal)
    if texts.get("cut"):
        yield "  (cut: some of the texts was beyond a bound)"


def _said(who: str, text: str, terminal: Terminal) -> Iterator[str]:
    yield "  " + terminal.styled(who, "bold")
    for line in harmless(text, lines=True).split("\n"):
        yield f"    {line}"


def _line(label: str, text: str) -> str:
    return f"  {label:{_LABEL}} {text}"
