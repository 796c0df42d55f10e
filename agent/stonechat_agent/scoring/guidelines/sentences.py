"""An answer cut into sentences, so that one of them is found among many."""

from __future__ import annotations

import re

MOST = 256
"""Sentences of an answer that are looked at: of more, the first and the last, half each."""

_LEAST_WORDS = 3
_SHORT = 12
_LONGEST = 400
# No repeat before what it ends with: many spaces would take a time that grows with their square.
_END = re.compile(r"(?<=[.!?\u2026:;])[)\"'\u201d\u2019*_]{0,3}\s+|(?<=[\u3002\uff01\uff1f])|\n+|\|+")
# What stands before the words of a line of a list, a heading or a quotation.
_MARKER = re.compile(r"^[ \t]{0,40}(?:[-*\u2022>#]{1,6}|\d{1,3}[.)])\s+", re.MULTILINE)


def sentences(text: str) -> list[str]:
    """Return the sentences, list items and table cells of a text, each of at most 400 characters.

    A short one of fewer than three words ("Yes.") stands with the next one, or the last with the one before.
    """
    found: list[str] = []
    short = ""
    for part in filter(None, map(str.strip, _END.split(_MARKER.sub("", text)))):
        part = f"{short} {part}" if short else part
        short = ""
        # Two words of a script without spaces may be a sentence.
        if part.isascii() and len(part.split()) < _LEAST_WORDS and len(part) < _SHORT:
            short = part
            continue
        found.extend(part[at : at + _LONGEST] for at in range(0, len(part), _LONGEST))
    if short:
        found.append(f"{found.pop()} {short}" if found else short)
    if len(found) > MOST:
        return found[: MOST // 2] + found[-MOST // 2 :]
    return found
