"""The HTTP APIs that engines speak: which path is which, and how each one's answers are read.

A new dialect is one file beside this one and one row in ``ROUTES``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from stonechat.exchange import Operation

from ..reading import Reading
from . import llamacpp_completion, ollama_chat, ollama_generate, openai_chat


class Dialect(NamedTuple):
    """How the answers of one API are read. Both readers take the JSON object that one piece, or the answer, is."""

    name: str
    streams_by_default: bool
    stream_format: str
    """``sse`` or ``lines``: how a streamed answer is cut into pieces where its content type does not say."""
    read_piece: Callable[[dict[str, Any], Reading], int]
    """Take one piece of a streamed answer; return what it carried, as a sum of CONTENT, REASONING, TOOL_CALL."""
    read_whole: Callable[[dict[str, Any], Reading], None]


class Route(NamedTuple):
    """What a path asks of the model, and in which dialect; None for one whose answers are not read yet."""

    operation: Operation
    dialect: Dialect | None = None
    error_shape: str = "openai"
    """``openai``, ``ollama`` or ``anthropic``: how clients of this path expect an error."""


OPENAI_CHAT = Dialect("openai.chat", False, "sse", openai_chat.read_piece, openai_chat.read_whole)
LLAMACPP_COMPLETION = Dialect(
    "llamacpp.completion", False, "sse", llamacpp_completion.read_piece, llamacpp_completion.read_whole
)
OLLAMA_CHAT = Dialect("ollama.chat", True, "lines", ollama_chat.read_piece, ollama_chat.read_whole)
OLLAMA_GENERATE = Dialect(
    "ollama.generate", True, "lines", ollama_generate.read_piece, ollama_generate.read_whole
)

_CHAT, _COMPLETION, _EMBEDDINGS = Operation.CHAT, Operation.COMPLETION, Operation.EMBEDDINGS

ROUTES: dict[str, Route] = {
    "/v1/chat/completions": Route(_CHAT, OPENAI_CHAT),
    "/chat/completions": Route(_CHAT, OPENAI_CHAT),
    "/api/v0/chat/completions": Route(_CHAT, OPENAI_CHAT),
    "/completion": Route(_COMPLETION, LLAMACPP_COMPLETION),
    "/completions": Route(_COMPLETION, LLAMACPP_COMPLETION),
    "/infill": Route(_COMPLETION, LLAMACPP_COMPLETION),
    "/api/chat": Route(_CHAT, OLLAMA_CHAT, "ollama"),
    "/api/generate": Route(_COMPLETION, OLLAMA_GENERATE, "ollama"),
    "/v1/completions": Route(_COMPLETION),
    "/api/v0/completions": Route(_COMPLETION),
    "/v1/responses": Route(_CHAT),
    "/v1/messages": Route(_CHAT, error_shape="anthropic"),
    "/api/v1/chat": Route(_CHAT),
    "/v1/embeddings": Route(_EMBEDDINGS),
    "/api/v0/embeddings": Route(_EMBEDDINGS),
    "/embeddings": Route(_EMBEDDINGS),
    "/embedding": Route(_EMBEDDINGS),
    "/api/embed": Route(_EMBEDDINGS, error_shape="ollama"),
    "/api/embeddings": Route(_EMBEDDINGS, error_shape="ollama"),
    "/v1/rerank": Route(Operation.OTHER),
    "/rerank": Route(Operation.OTHER),
    "/v1/reranking": Route(Operation.OTHER),
    "/reranking": Route(Operation.OTHER),
    "/v1/audio/transcriptions": Route(Operation.OTHER),
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
