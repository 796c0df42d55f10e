"""Text as the judges read it, and the typography that would give a source away.

Sources differ in case, in the spacing of punctuation and in how they hide names and links. Where a source's labels go
with such a habit, a model learns the habit; so each is undone where it is known (`detokenised`, `lowered`, `unmasked`),
and the sampler roughens a share of the other texts (`roughened`) so that no class of typography means a label.
"""

from __future__ import annotations

import re
import unicodedata

_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff]")
# White space, ASCII punctuation, and the blocks of Latin, general and CJK punctuation.
_UNCOUNTED = re.compile(r"[\s!-/:-@\[-`{-~\xa1-\xbf\u2000-\u206f\u3000-\u303f]+")
_SPACES = re.compile(r"[^\S\n]+")
_NEWLINES = re.compile(r" ?\n(?: ?\n)+ ?")
_LINE_EDGES = re.compile(r" ?\n ?")
_BEFORE_PUNCTUATION = re.compile(r"(?<=\w) +([.,!?;:%)\]}…]+)(?= |$|\n)")
_AFTER_OPENING = re.compile(r"([(\[{$#]) +(?=\w)")
_CONTRACTION = re.compile(r"\b(\w+) ?(n't|n’t)\b|(?<=\w) ?(['’](?:s|m|d|re|ve|ll))\b", re.IGNORECASE)
_SPLIT_CONTRACTION = re.compile(r"(?<=\w) (['’]) (s|m|d|t|re|ve|ll)\b", re.IGNORECASE)
_SPLIT_DIGITS = re.compile(r"(?<=\b\d) (?=\d\b)")
_USER = re.compile(r"\[USER\]|<user>|@USER\b|(?<![\w@.])@\w{2,30}\b(?!\.\w)", re.IGNORECASE)
_LINK = re.compile(r"\[URL\]|<url>|@URL\b|\bhttps?://\S+", re.IGNORECASE)
_NUMBER_TAG = re.compile(
    r"<(?:number|percent|money|time|date|phone|email|censored|happy|sad|laugh|wink|tong)>"
)


def clean(text: str) -> str:
    """The text in Unicode NFC, without control characters, runs of spaces and of more than one empty line."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    text = _SPACES.sub(" ", _CONTROL.sub(" ", text))
    text = _NEWLINES.sub("\n\n", text)
    return _LINE_EDGES.sub("\n", text).strip()


def fingerprint(text: str) -> str:
    """What is left of a text when case, white space and punctuation are not counted.

    Emoji and other symbols stay: two texts that differ by an emoji alone are two texts.
    """
    return _UNCOUNTED.sub("", text.casefold())


def unmasked(text: str) -> str:
    """User names and links as one token each, however the source wrote or hid them; its other tags left out."""
    return _NUMBER_TAG.sub(" ", _LINK.sub("http", _USER.sub("@user", text)))


def detokenised(text: str) -> str:
    """The text with punctuation and contractions joined to their words again ("is n't bad ." -> "isn't bad.")."""
    text = _SPLIT_CONTRACTION.sub(r"\1\2", text)
    text = _CONTRACTION.sub(lambda match: (match[1] + match[2]) if match[2] else match[3], text)
    text = _BEFORE_PUNCTUATION.sub(r"\1", text)
    return _AFTER_OPENING.sub(r"\1", text)


def joined_digits(text: str) -> str:
    """Digits that a tokenizer set apart, joined ("2 0 1 7" -> "2017")."""
    return _SPLIT_DIGITS.sub("", text)


def lowered(text: str) -> str:
    return detokenised(text).lower()


def posted(text: str) -> str:
    """A post of a social network: names and links alike in all of them."""
    return unmasked(text)


def tokenised_post(text: str) -> str:
    """A post that its source lower-cased and split into tokens."""
    return detokenised(joined_digits(unmasked(text)))


def literal_newlines(text: str) -> str:
    r"""Line ends that a source wrote as the two characters ``\n``."""
    return text.replace("\\n", "\n")


def roughened(text: str, *, bare: bool) -> str:
    """The text in lower case; with `bare`, without punctuation and digits too, as some sources come."""
    text = text.lower()
    if bare:
        text = "".join(c for c in text if not c.isdigit() and unicodedata.category(c)[0] != "P")
    return clean(text)
