"""What a request says: the turns of its prompt, and what it tells of itself, whatever its dialect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from stonechat.transcript import Transcript, Turn

from .reading import section
from .texts import Room, as_json, called, objects, plain, storable

T = TypeVar("T")

CONVERSATION_HEADERS = (
    b"x-conversation-id",
    b"x-session-id",
    b"openai-conversation-id",
    b"x-openwebui-chat-id",
)
"""Where the head of a request names its conversation. The first that is there counts; the body comes before them."""

USER_HEADERS = (b"x-user-id", b"x-openwebui-user-id")
"""Where the head of a request names its user. The body comes before them."""

_CONVERSATION_FIELDS = ("conversation", "conversation_id", "session_id", "thread_id", "chat_id")
_USER_FIELDS = ("safety_identifier", "user", "user_id")
_ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "model": "assistant",
    "tool": "tool",
    "function": "tool",
    "ipython": "tool",
}
_TURN_COST = 64  # characters that a turn costs beside its text: an empty one is not free
_MOST_TOOLS = 128
_MOST_TURNS = 2048  # that are looked at: by their cost alone, half as many fill a prompt
_NAME_LIMIT = 256


def begin(
    request: Mapping[str, Any], headers: Mapping[bytes, bytes], turns: list[Turn], room: Room
) -> Transcript:
    """Return the transcript that a request begins: its turns as far as there is room, and what is said about it."""
    kept = _fit(turns, room)
    names = _tools(request)
    return Transcript(
        turns=kept,
        tools=tuple(names[:_MOST_TOOLS]),
        wants_json=_wants_json(request),
        user=_named(request, _USER_FIELDS, headers, USER_HEADERS),
        conversation=_named(request, _CONVERSATION_FIELDS, headers, CONVERSATION_HEADERS),
        cut=room.cut or len(names) > _MOST_TOOLS,
    )


def role(name: object) -> str:
    """Return whose turn it is: one of ``transcript.ROLES``."""
    return _ROLES.get(name.lower(), "other") if isinstance(name, str) else "other"


def messages(value: object) -> list[Turn]:
    """Return the turns of a list of messages, in the shapes of OpenAI, Ollama and Anthropic.

    Calls of tools stand in the text of their turn as ``name(arguments)``; a result of a tool is a turn of its own,
    also where Anthropic has it among the parts of a user's message.
    """
    turns: list[Turn] = []
    for message in objects(fewer(value)):
        who = role(message.get("role"))
        content = message.get("content")
        pieces = []
        if isinstance(content, list):
            pending: list[object] = []
            for part in fewer(content):
                kind = part.get("type") if isinstance(part, dict) else None
                if kind in ("tool_result", "web_search_tool_result"):
                    turns.append(Turn("tool", plain(part.get("content"))))
                elif kind in ("tool_use", "server_tool_use"):
                    pending.append(called(part.get("name"), part.get("input")))
                else:
                    pending.append(part)
            if not pending and content:
                continue
            pieces.append(plain(pending))
        else:
            pieces.append(plain(content))
        if isinstance(images := message.get("images"), list):
            pieces += ["[image]"] * min(len(images), 16)
        calls = objects(message.get("tool_calls")) or objects([message.get("function_call")])
        for call in calls:
            function = section(call.get("function")) or call
            pieces.append(called(function.get("name"), function.get("arguments")))
        turns.append(Turn(who, "\n".join(piece for piece in pieces if piece)))
    return turns


def prompts(value: object) -> list[Turn]:
    """Return one turn of ``user`` for each text among prompts: a text, a list of them, or of objects with parts.
    Prompts that are numbers of tokens say nothing."""
    if isinstance(value, str):
        return [Turn("user", value)]
    if isinstance(value, dict):
        return [Turn("user", plain(value.get("prompt_string", value.get("content", value))))]
    if isinstance(value, list):
        return [turn for item in fewer(value) if isinstance(item, (str, dict)) for turn in prompts(item)]
    return []


def fewer(items: T) -> T | list[Any]:
    """Return the first and the latest of a list that is too long to be looked at on the relay's loop: a body of a
    mebibyte holds 340,000 empty messages. Anything else is returned as it is."""
    if not isinstance(items, list) or len(items) <= _MOST_TURNS:
        return items
    return [*items[:1], *items[1 - _MOST_TURNS :]]


def _fit(turns: list[Turn], room: Room) -> list[Turn]:
    """Return what there is room for: system turns first, then the latest turns, in their order.

    Of a turn that does not fit the beginning and the end are kept, because a question stands at either.
    """
    size = sum(len(turn.text) + _TURN_COST for turn in turns)
    granted = room.take(size)
    if granted == size:
        return [Turn(turn.role, storable(turn.text)) for turn in turns]
    kept: dict[int, Turn] = {}
    first = next((at for at, turn in enumerate(turns) if turn.role == "system"), None)
    order = list(range(len(turns) - 1, -1, -1))
    if first is not None and granted // 2 >= _TURN_COST:
        order.remove(first)
        # A system prompt may be all there is of rules to judge by, but never leaves less than half for what was asked.
        text = _middle_out(turns[first].text, granted // 2 - _TURN_COST)
        kept[first] = Turn("system", storable(text))
        granted -= len(text) + _TURN_COST
    for at in order:
        if granted < _TURN_COST:
            break
        text = _middle_out(turns[at].text, granted - _TURN_COST)
        kept[at] = Turn(turns[at].role, storable(text))
        granted -= len(text) + _TURN_COST
    return [kept[at] for at in sorted(kept)]


def _middle_out(text: str, size: int) -> str:
    if len(text) <= size:
        return text
    half = max(0, size // 2)
    return text[:half] + text[len(text) - half :]


def _tools(request: Mapping[str, Any]) -> list[str]:
    """Return the names of the tools that a request offers."""
    names: list[object] = []
    for tool in objects(request.get("tools")):
        names.append(section(tool.get("function")).get("name") or tool.get("name") or tool.get("type"))
    names += [tool.get("name") for tool in objects(request.get("functions"))]
    # LM Studio's, which also calls them.
    for integration in objects(request.get("integrations")) + objects(request.get("mcp_servers")):
        allowed = integration.get("allowed_tools")
        names += allowed if isinstance(allowed, list) else []
    return [storable(name[:_NAME_LIMIT]) for name in names if isinstance(name, str) and name]


_JSON_TYPES = ("json_object", "json_schema", "json")


def _wants_json(request: Mapping[str, Any]) -> bool:
    """Tell whether a request wants JSON: in the words of OpenAI, Responses, Ollama, Anthropic, llama.cpp or vLLM."""
    wanted = request.get("format")  # Ollama's: "json", or a schema
    if wanted == "json" or (isinstance(wanted, dict) and wanted):
        return True
    for outer, inner in (
        ("response_format", None),
        ("output_format", None),
        ("text", "format"),
        ("output_config", "format"),
    ):
        shape = section(request.get(outer))
        if inner is not None:
            shape = section(shape.get(inner))
        if shape.get("type") in _JSON_TYPES:
            return True
    guided = section(request.get("structured_outputs")).get("json") or request.get("guided_json")
    return bool(guided) or isinstance(request.get("json_schema"), dict)


def _named(
    request: Mapping[str, Any],
    fields: tuple[str, ...],
    headers: Mapping[bytes, bytes],
    names: tuple[bytes, ...],
) -> str:
    for holder in (request, section(request.get("metadata"))):
        for field in fields:
            value = holder.get(field)
            if isinstance(value, dict):
                value = value.get("id")
            if type(value) is int:
                value = as_json(value)
            if isinstance(value, str) and value:
                return storable(value[:_NAME_LIMIT])
    for name in names:
        if value := headers.get(name, b"").strip():
            return value[:_NAME_LIMIT].decode("utf-8", "replace")
    return ""
