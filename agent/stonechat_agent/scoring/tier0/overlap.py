"""What an answer has in common with its prompt, with the system's instructions, and with answers to other prompts."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Sequence
from hashlib import blake2b

from stonechat_agent.scoring.tier0.texts import tokens

_GRAM = 8
_LEAK = 24
_ECHO = 12
_SAME_LENGTH = 100
_PROMPTS = 8
_SYSTEMS = 8
# How instructions speak. A system turn may also hold facts, which answers quote rightly.
_INSTRUCTS = re.compile(
    r"\b(?:you are|you're an?|you (?:must|should|will|may|can|have to|never|always)|never|always|do not|don't|must not"
    r"|your (?:role|task|job|name|instructions|goal|answers?|responses?)|instructions?"
    r"|respond (?:with|in|only)|answer (?:with|in|only)"
    r"|assistant|system prompt|confidential|secret|reveal"
    r"|du bist|sie sind|niemals|antworte|deine (?:aufgabe|rolle)|tu es|vous êtes"
    r"|ne (?:révèle|dis)|eres|responde|sei un|você é)\b"
    r"|你是|您是|不要|必须|あなたは|してください|당신은|ты |вы ",
    re.IGNORECASE,
)


class Instructions:
    """Finds long pieces of the system's turn in answers. Remembers the few latest system turns, cut up."""

    def __init__(self) -> None:
        self._grams: OrderedDict[int, frozenset[int]] = OrderedDict()

    def leak(self, system: str, words: Sequence[str]) -> float:
        """Return the longest piece of ``system`` in an answer's tokens, against 24 tokens that read like instructions.

        Facts, menus and documents that stand in a system turn are quoted rightly and give less than 0.5.
        """
        if len(words) < _GRAM:
            return 0.0
        grams = self._cut(system)
        longest = here = end = 0
        for place in range(len(words) - _GRAM + 1):
            here = here + 1 if hash(tuple(words[place : place + _GRAM])) in grams else 0
            if here > longest:
                longest, end = here, place + _GRAM
        if not longest:
            return 0.0
        length = longest + _GRAM - 1
        share = 0.5 * length / _LEAK
        leaked = " ".join(words[end - length : end]).replace(" ' ", "'")
        return min(1.0, share) if len(_INSTRUCTS.findall(leaked)) >= 2 else min(0.4, share)

    def _cut(self, system: str) -> frozenset[int]:
        key = hash(system)
        grams = self._grams.get(key)
        if grams is None:
            words = tokens(system)
            grams = frozenset(
                hash(tuple(words[place : place + _GRAM])) for place in range(len(words) - _GRAM + 1)
            )
            self._grams[key] = grams
            if len(self._grams) > _SYSTEMS:
                self._grams.popitem(last=False)
        else:
            self._grams.move_to_end(key)
        return grams


def echo(prompt: Sequence[str], words: Sequence[str]) -> float:
    """Return how much of an answer is its whole prompt, said again at the beginning: 1 where it says nothing else.

    Of prompts under twelve tokens nothing is said: people are greeted as they greet, and questions are taken up.
    """
    length = len(prompt)
    if length < _ECHO or list(words[:length]) != list(prompt):
        return 0.0
    return min(1.0, length / len(words))


class Answers:
    """Remembers answers by keyed hashes, to see one that is given to different prompts. Holds no text."""

    def __init__(self, key: bytes, bound: int) -> None:
        """
        Args:
            key: at most 64 bytes; with another key the hashes say nothing.
            bound: answers to remember; the one not given for longest is forgotten first.
        """
        self._key = key[:64]
        self._bound = bound
        self._prompts: OrderedDict[bytes, list[bytes]] = OrderedDict()

    def same(self, prompt: Sequence[str], answer: Sequence[str], length: int) -> float | None:
        """Return how many different prompts got this very answer, 0.5 for four; None for one under 100 characters.

        Case, spaces and figures do not count in prompts: what is asked about room 12 and room 14 may be answered alike.
        """
        if length < _SAME_LENGTH:
            return None
        name = self._hash(answer)
        asked = self._hash([word for word in prompt if not word.isdigit()])
        prompts = self._prompts.setdefault(name, [])
        self._prompts.move_to_end(name)
        if asked not in prompts and len(prompts) < _PROMPTS:
            prompts.append(asked)
        if len(self._prompts) > self._bound:
            self._prompts.popitem(last=False)
        return min(1.0, (len(prompts) - 1) / 6)

    def _hash(self, words: Sequence[str]) -> bytes:
        return blake2b("\0".join(words).encode("utf-8", "replace"), digest_size=8, key=self._key).digest()
