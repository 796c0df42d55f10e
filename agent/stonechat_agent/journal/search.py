"""What somebody types to search for, as terms: words, phrases in double quotes, and beginnings that end in ``*``. Pure.

Everything else that SQLite's own query language knows (AND, NEAR, columns, parentheses) is only text here.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

_TERM = re.compile(r'"([^"]*)"?(\*?)|([^\s"]+)')
# Thai, Lao, Burmese, Khmer, kana, Han: written without spaces, so that a word of the index is a whole sentence.
_UNSPACED = re.compile("[฀-໿က-႟ក-៿぀-ヿ㐀-䶿一-鿿豈-﫿\U00020000-\U0003ffff]")


class Term(NamedTuple):
    """Words that must follow each other."""

    words: tuple[str, ...]
    """One or more, of letters and digits, folded as `fold` does."""
    prefix: bool
    """Whether the last one may go on."""


def terms(query: str) -> list[Term]:
    """The terms of a query, all of which must be there; none where nothing in it is a letter or a digit."""
    found = []
    for match in _TERM.finditer(query.replace("\0", " ")):
        text = match[1] if match[1] is not None else match[3]
        prefix = match[2] == "*" if match[1] is not None else text.endswith("*")
        if split := fold(text).split():
            found.append(Term(tuple(split), prefix))
    return found


def expression(found: Sequence[Term]) -> str:
    """The terms in FTS5's query language."""
    return " AND ".join(f'"{" ".join(term.words)}"{"*" if term.prefix else ""}' for term in found)


def unspaced(found: Sequence[Term]) -> bool:
    """Whether a term is of a script without spaces, so that the index does not have its words."""
    return any(_UNSPACED.search(word) for term in found for word in term.words)


def speaks_of(found: Sequence[Term], text: str) -> bool:
    """Whether a text has all the terms: what the index would say, by reading."""
    folded = f" {' '.join(fold(text).split())} "
    for term in found:
        phrase = " ".join(term.words)
        if _UNSPACED.search(phrase):
            if phrase not in folded:
                return False
        elif f" {phrase}{'' if term.prefix else ' '}" not in folded:
            return False
    return True


def fold(text: str) -> str:
    """Text in small letters without accents, with spaces for all that is neither letter nor digit."""
    decomposed = unicodedata.normalize("NFD", text.encode("utf-8", "replace").decode("utf-8").lower())
    # As FTS5's tokenizer unicode61 has it: letters, digits and private characters are of words, accents are dropped.
    kept = (
        character if (kind := unicodedata.category(character))[0] in "LN" or kind == "Co" else " "
        for character in decomposed
        if unicodedata.category(character)[0] != "M"
    )
    return unicodedata.normalize("NFC", "".join(kept))
