"""Which conversation an exchange belongs to. Pure.

Engines know no conversations: a client sends all that was said, each time. So an exchange whose request repeats what
was asked and answered before goes on with that conversation.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from stonechat.transcript import Transcript, Turn
from stonechat_agent.journal.pseudonyms import Pseudonyms

KNOWN = 1024
"""Histories that are remembered, the latest ones."""

_OPEN = 8  # conversations of one history that are told apart
_THINKING = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL)


@dataclass(slots=True)
class _History:
    """Conversations that came to this point, word for word."""

    waiting: list[str] = field(default_factory=list)
    latest: str = ""


class Conversations:
    """Names conversations.

    A conversation is, in this order: the one that the client names; the one of an earlier exchange whose prompt and
    answer are the request's history, that is its turns up to the last of the assistant; a new one, where there is no
    history; where there is a history that nobody knows (the agent was restarted, or the client begins with examples),
    the one of its first turns. System prompts do not count in a history, since many have the time of day in them.

    Two that said the same so far are told apart by who goes on first. One who goes on twice from the same point, to
    ask differently, stays in the conversation.
    """

    def __init__(self, pseudonyms: Pseudonyms) -> None:
        self._pseudonyms = pseudonyms
        self._known: OrderedDict[str, _History] = OrderedDict()

    def of(self, exchange_id: str, transcript: Transcript) -> str | None:
        """``c-`` and 12 characters; None where nothing was said. To be called once an exchange, in the order of ends.

        Args:
            exchange_id: the exchange's id; a new conversation is named after it.
        """
        owner, turns = transcript.user, transcript.turns
        if transcript.conversation:
            return "c-" + self._pseudonyms.digest("conversation", owner, transcript.conversation)
        if not turns:
            return None
        last = max((at for at, turn in enumerate(turns) if turn.role == "assistant"), default=None)
        if last is None:
            name = "c-" + self._pseudonyms.digest("new", exchange_id)
        else:
            history = self._digest(owner, turns[: last + 1])
            name = self._resumed(history) or "c-" + self._first(owner, turns)
        if transcript.answer or transcript.tool_calls:
            self._remember(self._digest(owner, [*turns, Turn("assistant", transcript.answer)]), name)
        return name

    def _resumed(self, history: str) -> str | None:
        found = self._known.get(history)
        if found is None:
            return None
        self._known.move_to_end(history)
        if found.waiting:
            found.latest = found.waiting.pop(0)
        return found.latest

    def _remember(self, history: str, name: str) -> None:
        found = self._known.setdefault(history, _History())
        self._known.move_to_end(history)
        if name not in found.waiting:
            found.waiting = [*found.waiting, name][-_OPEN:]
        if len(self._known) > KNOWN:
            self._known.popitem(last=False)

    def _first(self, owner: str, turns: Sequence[Turn]) -> str:
        asked = next((at for at, turn in enumerate(turns) if turn.role == "user"), 0)
        return self._pseudonyms.digest("first", owner, *_plain(turns[: asked + 1]))

    def _digest(self, owner: str, turns: Sequence[Turn]) -> str:
        return self._pseudonyms.digest("history", owner, *_plain([t for t in turns if t.role != "system"]))


def _plain(turns: Sequence[Turn]) -> list[str]:
    """Roles and texts in turn, without what clients change on the way: white space, and reasoning in an answer."""
    plain: list[str] = []
    for turn in turns:
        text = _THINKING.sub("", turn.text) if turn.role == "assistant" else turn.text
        plain += [turn.role, " ".join(text.split())]
    return plain
