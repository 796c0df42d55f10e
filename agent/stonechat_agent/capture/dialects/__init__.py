"""The HTTP APIs that engines speak: which path is which, and how each one's answers are read.

A new dialect is one file beside this one and one row in ``ROUTES``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from stonechat.exchange import Operation
from stonechat.transcript import Turn

from ..reading import Reading
from . import (
    anthropic_messages,
    llamacpp_completion,
    lmstudio_chat,
    ollama_chat,
    ollama_embed,
    ollama_generate,
    openai_chat,
    openai_completions,
    openai_embeddings,
    openai_responses,
)


class Dialect(NamedTuple):
    """How the requests and answers of one API are read. All readers take the JSON object that a request, a piece or an
    answer is."""

    name: str
    streams_by_default: bool
    form: str
    """How an answer's body is cut where its content type does not say: ``sse`` or ``lines`` into the pieces of a
    stream; ``vectors`` for an API that streams nothing, whose answers are read without their vectors."""
    read_request: Callable[[dict[str, Any]], list[Turn]]
    """Return the turns of a request's prompt, oldest first."""
    read_piece: Callable[[dict[str, Any], Reading], int]
    """Take one piece of a streamed answer; return what it carried, as a sum of CONTENT, REASONING, TOOL_CALL and of
    the engine's own signs of where it is."""
    read_whole: Callable[[dict[str, Any], Reading], None]


class Route(NamedTuple):
    """What a path asks of the model, and in which dialect; None for one whose answers are not read yet."""

    operation: Operation
    dialect: Dialect | None = None
    error_shape: str = "openai"
    """``openai``, ``ollama`` or ``anthropic``: how clients of this path expect an error."""


def _dialect(name: str, form: str, module: Any, *, streams_by_default: bool = False) -> Dialect:
    return Dialect(name, streams_by_default, form, module.read_request, module.read_piece, module.read_whole)


OPENAI_CHAT = _dialect("openai.chat", "sse", openai_chat)
OPENAI_COMPLETIONS = _dialect("openai.completions", "sse", openai_completions)
OPENAI_RESPONSES = _dialect("openai.responses", "sse", openai_responses)
OPENAI_EMBEDDINGS = _dialect("openai.embeddings", "vectors", openai_embeddings)
ANTHROPIC_MESSAGES = _dialect("anthropic.messages", "sse", anthropic_messages)
LLAMACPP_COMPLETION = _dialect("llamacpp.completion", "sse", llamacpp_completion)
LMSTUDIO_CHAT = _dialect("lmstudio.chat", "sse", lmstudio_chat)
OLLAMA_CHAT = _dialect("ollama.chat", "lines", ollama_chat, streams_by_default=True)
OLLAMA_GENERATE = _dialect("ollama.generate", "lines", ollama_generate, streams_by_default=True)
OLLAMA_EMBED = _dialect("ollama.embed", "vectors", ollama_embed)

_CHAT, _COMPLETION, _EMBEDDINGS = Operation.CHAT, Operation.COMPLETION, Operation.EMBEDDINGS

ROUTES: dict[str, Route] = {
    "/v1/chat/completions": Route(_CHAT, OPENAI_CHAT),
    "/chat/completions": Route(_CHAT, OPENAI_CHAT),
    "/api/v0/chat/completions": Route(_CHAT, OPENAI_CHAT),
    "/v1/completions": Route(_COMPLETION, OPENAI_COMPLETIONS),
    "/api/v0/completions": Route(_COMPLETION, OPENAI_COMPLETIONS),
    "/v1/responses": Route(_CHAT, OPENAI_RESPONSES),
    "/responses": Route(_CHAT, OPENAI_RESPONSES),
    "/v1/messages": Route(_CHAT, ANTHROPIC_MESSAGES, "anthropic"),
    "/completion": Route(_COMPLETION, LLAMACPP_COMPLETION),
    "/completions": Route(_COMPLETION, LLAMACPP_COMPLETION),
    "/infill": Route(_COMPLETION, LLAMACPP_COMPLETION),
    "/api/v1/chat": Route(_CHAT, LMSTUDIO_CHAT),
    "/api/chat": Route(_CHAT, OLLAMA_CHAT, "ollama"),
    "/api/generate": Route(_COMPLETION, OLLAMA_GENERATE, "ollama"),
    "/v1/embeddings": Route(_EMBEDDINGS, OPENAI_EMBEDDINGS),
    "/api/v0/embeddings": Route(_EMBEDDINGS, OPENAI_EMBEDDINGS),
    "/embeddings": Route(_EMBEDDINGS, OPENAI_EMBEDDINGS),
    "/embedding": Route(_EMBEDDINGS, OPENAI_EMBEDDINGS),
    "/api/embed": Route(_EMBEDDINGS, OLLAMA_EMBED, "ollama"),
    "/api/embeddings": Route(_EMBEDDINGS, OLLAMA_EMBED, "ollama"),
    "/v1/rerank": Route(Operation.OTHER),
    "/rerank": Route(Operation.OTHER),
    "/v1/reranking": Route(Operation.OTHER),
    "/reranking": Route(Operation.OTHER),
    "/v1/audio/transcriptions": Route(Operation.OTHER),
    "/audio/transcriptions": Route(Operation.OTHER),
}
"""Paths that ask something of a model, when they are POSTed to. Every other request is the engine's housekeeping."""


def route(method: str, target: str) -> Route | None:
    """Return what a request asks of the model; None where it asks nothing of it.

    A prefix in front of ``/v1/`` or ``/api/`` (llama-server's ``--api-prefix``, a reverse proxy's) is looked past.
    """
    if method != "POST":
        return None
    path = target.partition("?")[0]
    if path.startswith("http://"):
        path = "/" + path[len("http://") :].partition("/")[2]
    path = path.rstrip("/")
    found = ROUTES.get(path)
    if found is None:
        for root in ("/v1/", "/api/"):
            start = path.find(root)
            if start > 0 and (found := ROUTES.get(path[start:])) is not None:
                break
    return found
