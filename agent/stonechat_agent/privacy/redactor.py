"""Takes out of a text what names a person, an account or a way in, and puts its kind in brackets in its place.

What it finds and what it misses is measured on a set of lines: docs/privacy.md. Two limits by design: each text is
looked at by itself, so a number that is spread over two messages stays; and a name of a person is no pattern.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping

from stonechat.errors import StonechatError
from stonechat.transcript import ToolCall, Transcript, Turn
from stonechat_agent.patterns import Patterns
from stonechat_agent.privacy.folding import Folded
from stonechat_agent.privacy.keys import find_keys
from stonechat_agent.privacy.network import find_emails, find_machines
from stonechat_agent.privacy.numbers import find_ibans, find_identities, find_numbers
from stonechat_agent.privacy.places import find_places
from stonechat_agent.privacy.spans import Span

KINDS = ("key", "email", "iban", "card", "id", "ip", "mac", "phone", "address")
"""What is found without configuration. Where two overlap, both go, and the first in this order gives its name."""

_FINDERS: tuple[Callable[[str], Iterator[Span]], ...] = (
    find_keys, find_emails, find_ibans, find_identities, find_machines, find_numbers, find_places,
)  # fmt: skip
_KEY_BOUND = 64  # of a key as the word before each of its values
_STRING_OR_NUMBER = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|-?\d[\d.eE+-]*')
_COLON = re.compile(r"\s*:")

log = logging.getLogger(__name__)


class PatternOff(StonechatError):
    """An own pattern was too slow, and is off: its name."""


class Redactor:
    """Redacts texts, by the patterns that are shipped and by the owner's own.

    Time is linear in a text's length for the shipped patterns. An own pattern is searched for as `Patterns` says: one
    that takes more than a quarter of a second of processor time for a text is not used again, which is logged once;
    outside of the main thread, one that never ends holds its thread.
    """

    def __init__(self, patterns: Mapping[str, str] | None = None) -> None:
        """
        Args:
            patterns: regular expressions by the name that stands in brackets for what they match.

        Raises:
            re.error: one of them is none.
        """
        self._own = Patterns(patterns or {})
        self._rank = {name: rank for rank, name in enumerate((*self._own.names, *KINDS))}

    @property
    def switched_off(self) -> tuple[str, ...]:
        """Names of own patterns that took too long and are not used any more."""
        return self._own.switched_off

    def text(self, text: str) -> str:
        """Return a text without what was found in it: ``[email]``, ``[phone]``, or ``[NAME]`` of an own pattern."""
        spans = self.find(text)
        if not spans:
            return text
        parts: list[str] = []
        at = 0
        for span in spans:
            parts += (text[at : span.start], f"[{span.kind}]")
            at = span.end
        parts.append(text[at:])
        return "".join(parts)

    def find(self, text: str) -> list[Span]:
        """Return what is to be taken out of a text, in order; no two touch the same character."""
        found = list(self._find_own(text))
        if len(text) > 3:
            folded = Folded(text)
            for finder in _FINDERS:
                for span in finder(folded.text):
                    start, end = folded.original(span.start, span.end)
                    found.append(Span(start, end, span.kind))
        return self._joined(found)

    def arguments(self, text: str) -> str:
        """Return a tool call's arguments redacted. JSON stays JSON: only strings, and numbers as strings, change.

        A key counts as the word before its value, as in ``{"password": "..."}``. What is no JSON is redacted as text.
        """
        try:
            json.loads(text, parse_int=str, parse_float=str)
        except (ValueError, RecursionError):
            return self.text(text)
        parts: list[str] = []
        at, key = 0, ""
        for token in _STRING_OR_NUMBER.finditer(text):
            value = json.loads(token[0]) if token[0].startswith('"') else token[0]
            is_key = _COLON.match(text, token.end()) is not None
            redacted = self._value(value, "" if is_key else key)
            if is_key:
                key = value[-_KEY_BOUND:]
            if redacted != value:
                parts += (text[at : token.start()], json.dumps(redacted))
                at = token.end()
        parts.append(text[at:])
        return "".join(parts)

    def transcript(self, transcript: Transcript) -> Transcript:
        """Return a transcript of which every text is redacted; whom the client named as its user is left out.

        Raises:
            PatternOff: an own pattern was too slow and is off, so that what it should take out would stay.
        """
        redacted = Transcript(
            turns=[Turn(turn.role, self.text(turn.text)) for turn in transcript.turns],
            answer=self.text(transcript.answer),
            reasoning=self.text(transcript.reasoning),
            tool_calls=[
                ToolCall(self.text(call.name), self.arguments(call.arguments))
                for call in transcript.tool_calls
            ],
            error=self.text(transcript.error),
            tools=tuple(map(self.text, transcript.tools)),
            wants_json=transcript.wants_json,
            cut=transcript.cut,
        )
        if self.switched_off:
            raise PatternOff(", ".join(self.switched_off))
        return redacted

    def _value(self, value: str, key: str) -> str:
        """Return a string or number of JSON redacted, with its key before it as in a text."""
        if key:
            lead = f"{key}: "
            redacted = self.text(lead + value)
            if redacted.startswith(lead):
                return redacted[len(lead) :]
        return self.text(value)

    def _find_own(self, text: str) -> Iterator[Span]:
        for name in self._own.names:
            for start, end in self._own.spans(name, text):
                yield Span(start, end, name)
            if name in self._own.switched_off:
                log.error("own pattern too slow, switched off", extra={"pattern": name})

    def _joined(self, spans: Iterable[Span]) -> list[Span]:
        joined: list[Span] = []
        for span in sorted(spans):
            last = joined[-1] if joined else None
            if last is None or span.start >= last.end:
                joined.append(span)
                continue
            kind = min(last.kind, span.kind, key=self._rank.__getitem__)
            joined[-1] = Span(last.start, max(last.end, span.end), kind)
        return joined
