"""What the dialects share: refusals, typed fields of a JSON body, chat rendering, and the form of an answer.

A dialect is pure. `parse_*` turns a decoded body into an `Answer`, or raises `Refusal`; the answer holds the generation
that is wanted and turns its events into bytes.
"""

from __future__ import annotations

import json
import secrets
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from stonechat_agent.demo_engine.generation import Finished, Generation, Piece, Timings
from stonechat_agent.demo_engine.model import LanguageModel

Body = dict[str, Any]

MAX_STOP_STRINGS = 16
MAX_STOP_LENGTH = 256


class Refusal(Exception):
    """A request that is not served: status, a kind of the OpenAI dialect, the message, and further fields."""

    def __init__(self, status: int, kind: str, message: str, **extra: int) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.message = message
        self.extra = extra


def invalid(message: str) -> Refusal:
    return Refusal(400, "invalid_request_error", message)


@dataclass(frozen=True)
class Serving:
    """What a dialect may say about the engine."""

    model: LanguageModel
    alias: str
    context: int
    slots: int
    build: str


@dataclass(frozen=True)
class Message:
    role: str
    content: str


def dumps(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def sse(value: Any) -> bytes:
    return b"data: " + dumps(value) + b"\n\n"


def random_id(length: int = 32) -> str:
    alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    return "".join(secrets.choice(alphabet) for _ in range(length))


# Fields. A field that is absent or null has its default; one of another type is refused by name.


def integer(body: Body, name: str, default: int) -> int:
    value = body.get(name)
    if value is None:
        return default
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise invalid(f"'{name}' must be an integer")
    return value


def number(body: Body, name: str, default: float) -> float:
    value = body.get(name)
    if value is None:
        return default
    # The bound keeps out integers that no float holds, and NaN and Infinity, which Python's JSON reads.
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e9:
        raise invalid(f"'{name}' must be a number")
    return float(value)


def flag(body: Body, name: str, default: bool) -> bool:
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise invalid(f"'{name}' must be a boolean")
    return value


def text(body: Body, name: str, default: str) -> str:
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, str):
        raise invalid(f"'{name}' must be a string")
    return value


def table(body: Body, name: str) -> Body:
    value = body.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise invalid(f"'{name}' must be an object")
    return value


def stop_strings(body: Body) -> tuple[str, ...]:
    value = body.get("stop")
    if value is None:
        return ()
    words = [value] if isinstance(value, str) else value
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise invalid("'stop' must be a string or an array of strings")
    if len(words) > MAX_STOP_STRINGS or any(len(word) > MAX_STOP_LENGTH for word in words):
        raise invalid(
            f"'stop' holds more than {MAX_STOP_STRINGS} strings, or one of over {MAX_STOP_LENGTH} characters"
        )
    return tuple(word for word in words if word)


def messages(body: Body) -> list[Message]:
    """Read `messages`: text, or the text parts of a list. Roles that the model does not know are refused."""
    value = body.get("messages")
    if value is None:
        raise invalid("'messages' is required")
    if not isinstance(value, list):
        raise invalid("'messages' must be an array")
    found = []
    for entry in value:
        if not isinstance(entry, dict) or not isinstance(entry.get("role"), str):
            raise invalid("each message must be an object with a 'role'")
        role = "system" if entry["role"] == "developer" else entry["role"]
        if role not in ("system", "user", "assistant"):
            raise invalid(f"messages with role '{role}' are not supported by this model")
        content = entry.get("content")
        if isinstance(content, list):
            if not all(isinstance(part, dict) and isinstance(part.get("text"), str) for part in content):
                raise invalid("only content parts of type 'text' are supported by this model")
            content = "\n".join(part["text"] for part in content)
        if not isinstance(content, str):
            raise invalid("each message must have 'content': a string or an array of text parts")
        found.append(Message(role, content))
    return found


def render(model: LanguageModel, chat: Sequence[Message]) -> list[int]:
    """The chat template: a role's token, the text, the end token; then the assistant's token, whose turn it is."""
    role_token = {"system": model.system, "user": model.user, "assistant": model.assistant}
    ids: list[int] = []
    for message in chat:
        ids.append(role_token[message.role])
        ids.extend(model.tokenizer.encode(message.content.strip()))
        ids.append(model.end)
    return [*ids, model.assistant]


def fits(serving: Serving, prompt: list[int]) -> list[int]:
    """Return `prompt`, or refuse it as llama-server does when it leaves no room for an answer."""
    if len(prompt) >= serving.context:
        raise Refusal(
            400,
            "exceed_context_size_error",
            f"request ({len(prompt)} tokens) exceeds the available context size ({serving.context} tokens), "
            "try increasing it",
            n_prompt_tokens=len(prompt),
            n_ctx=serving.context,
        )
    return prompt


def generation(fields: Body, prompt: list[int], *, limits: Sequence[str], top_p: float) -> Generation:
    """Read the sampling fields, which all dialects name alike.

    Args:
        limits: names of the field that bounds the answer's tokens, the one that wins first; negative is no bound.
        top_p: the dialect's default.
    """
    limit = next((integer(fields, name, -1) for name in limits if fields.get(name) is not None), -1)
    seed = integer(fields, "seed", -1)
    return Generation(
        prompt=tuple(prompt),
        max_tokens=None if limit < 0 else limit,
        temperature=number(fields, "temperature", 0.8),
        top_k=integer(fields, "top_k", 40),
        top_p=number(fields, "top_p", top_p),
        seed=secrets.randbits(32) if seed < 0 else seed,
        stop=stop_strings(fields),
        ignore_eos=flag(fields, "ignore_eos", False),
        cache_prompt=flag(fields, "cache_prompt", True),
    )


class Answer(ABC):
    """An accepted request and the form of its answer."""

    # Whether the header of a streamed answer goes out when a slot takes the request (llama-server), or with the first
    # piece (Ollama).
    early_header = True
    stream_type = "text/event-stream"

    def __init__(self, wanted: Generation, *, stream: bool) -> None:
        self.wanted = wanted
        self.stream = stream

    @abstractmethod
    def piece(self, piece: Piece) -> bytes:
        """The part of the stream for `piece`; may be empty."""

    @abstractmethod
    def end(self, finished: Finished) -> bytes:
        """The last part of the stream."""

    @abstractmethod
    def whole(self, content: str, tokens: list[int], finished: Finished) -> bytes:
        """The body of an answer that is not streamed."""

    @abstractmethod
    def failure(self, message: str) -> bytes:
        """The part of a stream that says that it has failed; nothing follows it."""


def timings_json(timings: Timings) -> Body:
    """llama-server's `timings`: the first token's time belongs to the prompt, so the rates are over one token fewer."""
    prompt_ms, predicted_ms = timings.prompt_ns / 1e6, timings.predicted_ns / 1e6
    steps = timings.predicted_n - 1
    return {
        "cache_n": timings.cache_n,
        "prompt_n": timings.prompt_n,
        "prompt_ms": round(prompt_ms, 3),
        "prompt_per_token_ms": prompt_ms / timings.prompt_n if timings.prompt_n else 0.0,
        "prompt_per_second": 1e3 * timings.prompt_n / prompt_ms if prompt_ms else 0.0,
        "predicted_n": timings.predicted_n,
        "predicted_ms": round(predicted_ms, 3),
        "predicted_per_token_ms": predicted_ms / steps if steps > 0 else 0.0,
        "predicted_per_second": 1e3 * steps / predicted_ms if steps > 0 and predicted_ms else 0.0,
    }


def error_body(refusal: Refusal) -> Body:
    """An error as llama-server and OpenAI-compatible engines word it."""
    return {
        "error": {"code": refusal.status, "message": refusal.message, "type": refusal.kind, **refusal.extra}
    }
