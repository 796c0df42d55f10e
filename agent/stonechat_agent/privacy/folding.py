"""Text as the patterns want it: one form of each digit, space, hyphen and full-width sign, and nothing invisible.

A number keeps being one when it is written in full-width digits, with a non-breaking hyphen, or with a zero-width space
that a web page put there so that it may break.
"""

from __future__ import annotations

import re

_INVISIBLE = re.compile("[\u00ad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")
# The zero of each set of decimal digits that people type numbers in; nine more follow each.
_ZEROS = (
    0x660,
    0x6F0,
    0x966,
    0x9E6,
    0xA66,
    0xAE6,
    0xBE6,
    0xC66,
    0xCE6,
    0xD66,
    0xE50,
    0xED0,
    0x1040,
    0x17E0,
    0x1D7CE,
)
_SPACES = (0xA0, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000)
_HYPHENS = (*range(0x2010, 0x2016), 0x2212, 0xFE58, 0xFE63)
_PLAIN: dict[int, str] = {
    **{code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)},
    **{zero + digit: str(digit) for zero in _ZEROS for digit in range(10)},
    **dict.fromkeys(_SPACES, " "),
    **dict.fromkeys(_HYPHENS, "-"),
}


# JSON within a text: "\\n4111 ..." has no letter before its number, and \\" is a quotation mark.
_ESCAPED = re.compile(r"(?<!\\)\\{1,16}(?:[nrt]|(?=[\"']))")


class Folded:
    """A text in plain form, and where each of its characters stood."""

    __slots__ = ("_places", "text")

    def __init__(self, original: str) -> None:
        self._places: list[int] | None = None
        if "\\" in original:
            original = _ESCAPED.sub(lambda found: " " * len(found[0]), original)
        if original.isascii():
            self.text = original
            return
        # One character for one, so that places stay; only what is invisible goes, and then places are written down.
        self.text = original.translate(_PLAIN)
        if _INVISIBLE.search(self.text):
            self._places = [at for at, char in enumerate(self.text) if not _INVISIBLE.match(char)]
            self.text = _INVISIBLE.sub("", self.text)

    def original(self, start: int, end: int) -> tuple[int, int]:
        """Return the place in the original of ``text[start:end]``, which is not empty."""
        if self._places is None:
            return start, end
        return self._places[start], self._places[end - 1] + 1
