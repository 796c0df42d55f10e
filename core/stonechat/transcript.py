"""What was said in one exchange: the texts of users and models, and nothing that may travel by itself.

A transcript lives on the device only, from the capture to whatever judges or keeps it, and is let go there. What
keeps it redacts it first.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

ROLES = ("system", "user", "assistant", "tool", "other")
"""Who says a turn of a prompt; ``developer`` counts as system, ``function`` as tool. Closed."""


class Turn(NamedTuple):
    """One message of a prompt; a prompt that is plain text is one turn of ``user``."""

    role: str
    text: str


class ToolCall(NamedTuple):
    """One call of a tool that the model asked for. ``arguments`` is the text as the model wrote it, JSON or not."""

    name: str
    arguments: str


@dataclass(slots=True)
class Transcript:
    """The texts of one exchange. Each is bounded by whoever fills it; ``cut`` says that some text is missing."""

    turns: list[Turn] = field(default_factory=list)
    """The prompt, oldest first. Parts that are not text stand as ``[image]``, ``[audio]`` or ``[file]``."""
    answer: str = ""
    """The first alternative, without reasoning and tool calls."""
    reasoning: str = ""
    tool_calls: list[ToolCall] = field(default_factory=list)
    error: str = ""
    """The message of the engine's error, as it came."""
    tools: tuple[str, ...] = ()
    """Names of the tools that the request offered."""
    wants_json: bool = False
    """Whether the request asked for an answer in JSON."""
    user: str = ""
    """Whom the client named as its user, as it came; never kept: see pseudonyms."""
    conversation: str = ""
    """The conversation that the client named, as it came."""
    cut: bool = False

    @property
    def prompt(self) -> str:
        """What was asked last: the text of the last turn of ``user``, else of the last turn, else nothing."""
        asked = next((turn.text for turn in reversed(self.turns) if turn.role == "user"), None)
        return asked if asked is not None else self.turns[-1].text if self.turns else ""

    @property
    def size(self) -> int:
        """Characters that it holds, roughly what it costs to keep."""
        texts = (
            len(self.answer),
            len(self.reasoning),
            len(self.error),
            len(self.user),
            len(self.conversation),
        )
        turns = sum(len(turn.text) + 64 for turn in self.turns)
        return sum(texts) + turns + sum(len(call.name) + len(call.arguments) + 64 for call in self.tool_calls)
