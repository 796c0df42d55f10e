"""Contrast sets from templates: what a template is, how it is filled, and what is held out.

A template is plain text with two kinds of gap:

- ``{name}`` takes a word of the list `name`; ``{name2}`` another word of the same list. Modifiers follow a dot:
  ``.cap`` (first letter), ``.low``, ``.a`` (with its article), ``.plural``, and ``.one`` / ``.adj`` for lists whose
  entries carry several forms, ``plural~one~adjective``. Words may hold gaps themselves.
- ``[this|that|]`` takes one of the alternatives. The same brackets give the same choice throughout one set.

``a(n)`` becomes the article that fits. Within a set all texts share their words and choices, so that twins differ only
where their templates do.

Held out means never seen in training. A fifth of a kind's frames and a quarter of every list of eight words or more
are held out, chosen by a hash of their text: no seed moves them. A training row takes training frames and training
words; a held-out row takes held-out frames and held-out words. Shorter lists are shared.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from train.written import grammar

HARMS = ("toxic", "hate", "insult", "threat", "violence", "sexual", "self_harm")
HEADS = (*HARMS, "refusal", "relevance", "coherence", "quality")

Labels = Mapping[str, int]
Banks = Mapping[str, Sequence[str]]
Change = Callable[[str, Random], str]

_SHARED_BELOW = 8
_GAP = re.compile(r"\{([a-z_]+)(\d?)((?:\.[a-z]+)*)\}")
_CHOICE = re.compile(r"\[([^\[\]{}\n]*\|[^\[\]\n]*)\]")
_FORMS = {"one": 1, "adj": 2}


def harm(*heads: str, unknown: Sequence[str] = ()) -> dict[str, int]:
    """Return labels with 1 for `heads`, 0 for the other harms and for refusal, and nothing for `unknown` ones."""
    known = [head for head in (*HARMS, "refusal") if head not in unknown]
    return {head: int(head in heads) for head in known}


FINE = harm()


@dataclass(frozen=True)
class Text:
    """One side of a contrast set.

    Args:
        body: the answer's template.
        labels: head to 0 or 1; an absent head is unknown.
        context: what kind of text this is, for results by slice.
        prompt: template of the prompt, where it differs from the frame's.
        change: applied to the filled answer, for damage and spelling.
    """

    body: str
    labels: Labels
    context: str
    prompt: str | None = None
    change: Change | None = None


@dataclass(frozen=True)
class Frame:
    """A contrast set before filling. `wrapped`: the answers may stand inside longer ones.

    `held_out` None leaves the choice to the hash; `banks` go before the kind's.
    """

    texts: tuple[Text, ...]
    prompts: tuple[str, ...] = ("",)
    wrapped: bool = True
    held_out: bool | None = None
    banks: Banks = field(default_factory=dict, hash=False)

    @property
    def key(self) -> str:
        """Eight hexadecimal digits that stay as long as the wording stays."""
        parts = [part for text in self.texts for part in (text.prompt or "", text.body, text.context)]
        return _digest("\0".join(parts))[:8]


@dataclass(frozen=True)
class Kind:
    """Frames about one thing, with their word lists and the wrappers that lengthen answers.

    `joined`: answers may hold texts of two frames whose labels are alike.
    """

    name: str
    frames: tuple[Frame, ...]
    banks: Banks
    wrappers: tuple[str, ...] = ()
    joined: bool = False

    def part(self, held_out: bool) -> list[Frame]:
        """Return the frames of the training or the held-out part, in their order."""
        by_hash = sorted(
            (frame for frame in self.frames if frame.held_out is None), key=lambda frame: frame.key
        )
        kept = {frame.key for frame in by_hash[: -(-len(by_hash) // 5)]}
        return [
            frame
            for frame in self.frames
            if (frame.key in kept if frame.held_out is None else frame.held_out) == held_out
        ]


def words(bank: Sequence[str], held_out: bool) -> list[str]:
    """Return the part of a word list that training rows or held-out rows may use."""
    if len(bank) < _SHARED_BELOW:
        return list(bank)
    kept = set(sorted(bank, key=_digest)[: -(-len(bank) // 4)])
    return [word for word in bank if (word in kept) == held_out]


@dataclass
class Filling:
    """The words and choices of one set; `used` tells which gap took which entry."""

    banks: Banks
    rng: Random
    held_out: bool
    used: dict[str, str] = field(default_factory=dict)
    _chosen: dict[str, str] = field(default_factory=dict)

    def fill(self, template: str) -> str:
        """Return `template` without gaps, settled.

        Raises:
            KeyError: the template names a list that does not exist.
        """
        return grammar.settle(self._fill(template))

    def _fill(self, template: str) -> str:
        while True:
            template, choices = _CHOICE.subn(self._choose, template)
            template, gaps = _GAP.subn(self._word, template)
            if not choices and not gaps:
                return template

    def _choose(self, match: re.Match[str]) -> str:
        if match[1] not in self._chosen:
            self._chosen[match[1]] = self.rng.choice(match[1].split("|"))
        return self._chosen[match[1]]

    def _word(self, match: re.Match[str]) -> str:
        name, number, modifiers = match.groups()
        slot = name + number
        if slot not in self.used:
            taken = {self.used[other] for other in self.used if other.rstrip("0123456789") == name}
            free = [word for word in words(self.banks[name], self.held_out) if word not in taken]
            self.used[slot] = self.rng.choice(free or list(taken))
        forms = self.used[slot].split("~")
        asked = modifiers.split(".")[1:]
        text = forms[next((_FORMS[form] for form in asked if form in _FORMS), 0)]
        for modifier in asked:
            if modifier == "cap":
                text = grammar.capital(text)
            elif modifier == "low":
                text = text[:1].lower() + text[1:]
            elif modifier == "plural":
                text = grammar.plural(text)
            elif modifier == "a":
                text = f"{grammar.article(text)} {text}"
            elif modifier not in _FORMS:
                raise KeyError(f"unknown modifier .{modifier} in {match[0]}")
        return text


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
