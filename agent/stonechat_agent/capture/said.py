"""The texts of an answer, gathered as its pieces come."""

from __future__ import annotations

from io import StringIO

from stonechat.transcript import ToolCall, Transcript

from .bounds import Bounds, Pool
from .texts import Room, storable

_NAME_LIMIT = 256


class Said:
    """Answer, reasoning and calls of tools, each within its own bound, so that none can crowd out another."""

    __slots__ = ("_answer", "_answer_room", "_arguments_room", "_reasoning", "_reasoning_room")

    def __init__(self, bounds: Bounds, pool: Pool) -> None:
        self._answer_room = Room(bounds.answer_chars, pool)
        self._reasoning_room = Room(bounds.answer_chars, pool)
        self._arguments_room = Room(bounds.answer_chars, pool)
        self._answer = StringIO()
        self._reasoning = StringIO()

    def say(self, text: str) -> None:
        """Take a piece of the answer."""
        self._answer.write(self._answer_room.fit(text))

    def think(self, text: str) -> None:
        """Take a piece of the reasoning."""
        self._reasoning.write(self._reasoning_room.fit(text))

    def call(self, call: Call, name: str, arguments: str) -> None:
        """Take a piece of a call of a tool."""
        if name and len(call.name) + len(name) <= _NAME_LIMIT:
            call.name += self._arguments_room.fit(name)
        if arguments:
            call.arguments.write(self._arguments_room.fit(arguments))

    def finish(self, transcript: Transcript, calls: list[Call]) -> None:
        """Put all that was gathered into a transcript."""
        transcript.answer = storable(self._answer.getvalue())
        transcript.reasoning = storable(self._reasoning.getvalue())
        transcript.tool_calls = [
            ToolCall(storable(call.name), storable(call.arguments.getvalue())) for call in calls if call.first
        ]
        if self._answer_room.cut or self._reasoning_room.cut or self._arguments_room.cut:
            transcript.cut = True

    def close(self) -> None:
        """Give back what was taken of the pool."""
        for room in (self._answer_room, self._reasoning_room, self._arguments_room):
            room.close()


class Call:
    """One call of a tool, as far as it has come."""

    __slots__ = ("arguments", "first", "identity", "name")

    def __init__(self, identity: str, first: bool) -> None:
        self.identity = identity
        self.first = first
        """Whether the first alternative makes it."""
        self.name = ""
        self.arguments = StringIO()
