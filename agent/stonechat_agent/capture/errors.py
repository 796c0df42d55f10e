"""What went wrong with an exchange, and how an answer ended, as closed sets of short words."""

from __future__ import annotations

from typing import Any

ERROR_TYPES = (
    "engine_refused",  # nothing listens where the engine should be
    "timeout",  # the engine took no connection in time
    "relay_full",  # more connections than the relay takes
    "engine_reset",  # the connection broke before the answer's end
    "malformed_stream",  # a streamed answer ended without its last event
    "malformed_body",  # an answer that is not the dialect's JSON
    "stream_error",  # an error in the middle of a streamed answer that none of the next ones describes
    "context_overflow",  # prompt longer than the context
    "queue_full",
    "rate_limited",
    "loading",  # the model is still being loaded
    "out_of_memory",
    "model_not_found",
    "unauthorized",
    "not_supported",  # an endpoint or a feature that is switched off
    "invalid_request",
    "http_3xx",
    "http_4xx",
    "http_5xx",
)
"""Every value of ``Exchange.error_type``. Closed: counters are keyed by it."""

FINISH_REASONS = ("stop", "length", "tool_calls", "content_filter", "other")
"""Every value of ``Exchange.finish_reason``. Closed: counters are keyed by it."""

_FINISH = {
    "stop": "stop",
    "eos": "stop",
    "word": "stop",
    "stop_sequence": "stop",
    "end_turn": "stop",
    "length": "length",
    "limit": "length",
    "max_tokens": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "tool_use": "tool_calls",
    "content_filter": "content_filter",
}

_OVERFLOW = ("context length", "context size", "context window", "maximum context", "prompt is too long")
_MEMORY = (
    "out of memory",
    "more system memory",
    "cudamalloc failed",
    "unable to allocate",
    "failed to allocate",
)
_QUEUE = ("maximum pending requests", "server busy", "queue is full")


def finish_reason(value: object) -> str | None:
    """Return how an engine says that its answer ended, in our words; None where it says nothing."""
    return _FINISH.get(value, "other") if isinstance(value, str) and value else None


def error_type(status: int | None, body: object) -> str:
    """Return the error type of an answer.

    Args:
        status: of HTTP; None for an error in the middle of an answer, whose status was good.
        body: the answer's JSON, or None. Read in the shapes of OpenAI and llama.cpp (``{"error": {"type", "code",
            "message"}}``), Ollama (``{"error": "text"}``), Anthropic, vLLM and FastAPI (``{"detail": ...}``).
    """
    kind, code, message = _parts(body)
    if kind == "exceed_context_size_error" or code == "context_length_exceeded" or _any(_OVERFLOW, message):
        return "context_overflow"
    if _any(_MEMORY, message):
        return "out_of_memory"
    if _any(_QUEUE, message) or kind == "overloaded_error":
        return "queue_full"
    if "loading model" in message or "model is loading" in message:
        return "loading"
    if status in {401, 403} or kind in {"authentication_error", "permission_error"}:
        return "unauthorized"
    if code == "model_not_found" or (
        "model" in message and ("not found" in message or "not exist" in message)
    ):
        return "model_not_found"
    if status == 501 or kind == "not_supported_error":
        return "not_supported"
    if status == 429:
        return "rate_limited"
    if status in {400, 422} or kind == "invalid_request_error":
        return "invalid_request"
    if status is None:
        return "stream_error"
    return "http_5xx" if status >= 500 else "http_4xx" if status >= 400 else "http_3xx"


def context_limit(body: object) -> object:
    """Return ``n_ctx`` of llama.cpp's ``exceed_context_size_error``, unchecked; None where there is none."""
    error = body.get("error") if isinstance(body, dict) else None
    return error.get("n_ctx") if isinstance(error, dict) else None


def _parts(body: object) -> tuple[str, str, str]:
    if not isinstance(body, dict):
        return "", "", ""
    error: Any = body.get("error", body.get("detail"))
    if isinstance(error, str):
        return "", "", error.lower()
    if not isinstance(error, dict):
        error = body
    kind, code, message = error.get("type"), error.get("code"), error.get("message")
    return (
        kind if isinstance(kind, str) else "",
        code if isinstance(code, str) else "",
        message.lower() if isinstance(message, str) else "",
    )


def _any(words: tuple[str, ...], message: str) -> bool:
    return any(word in message for word in words)
