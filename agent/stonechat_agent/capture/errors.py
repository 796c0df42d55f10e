"""What went wrong with an exchange, and how an answer ended, as closed sets of short words."""

from __future__ import annotations

from typing import Any

ERROR_TYPES = (
    "engine_refused",  # nothing listens where the engine should be
    "timeout",  # the engine took no connection in time, or says itself that it took too long
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

MESSAGE_LIMIT = 4096

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
    "refusal": "content_filter",
    "model_context_window_exceeded": "length",
}

_OVERFLOW = ("context length", "context size", "context window", "maximum context", "prompt is too long")
_MEMORY = (
    "out of memory",
    "more system memory",
    "cudamalloc failed",
    "unable to allocate",
    "failed to allocate",
    "insufficient memory",
    "insufficient system resources",
    "not enough memory",
    "outofdevicememory",
)
_QUEUE = ("maximum pending requests", "server busy", "queue is full", "overloaded", "no slot is available")


def finish_reason(value: object) -> str | None:
    """Return how an engine says that its answer ended, in our words; None where it says nothing."""
    return _FINISH.get(value, "other") if isinstance(value, str) and value else None


def error_type(status: int | None, body: object) -> str:
    """Return the error type of an answer.

    Args:
        status: of HTTP; None for an error in the middle of an answer, whose status was good.
        body: the answer's JSON, its text where it is none, or None. Read in the shapes of OpenAI, llama.cpp, LM Studio
            and Anthropic (``{"error": {"type", "code", "message"}}``), Ollama and mlx_lm (``{"error": "text"}``),
            vLLM (the same without ``error`` around it) and FastAPI (``{"detail": ...}``).
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
    if "model_not_found" in (kind, code) or (
        "model" in message and ("not found" in message or "not exist" in message)
    ):
        return "model_not_found"
    if status == 501 or kind in {"not_supported_error", "not_implemented"}:
        return "not_supported"
    if status == 429 or kind == "rate_limit_error" or code == "rate_limit_exceeded":
        return "rate_limited"
    if status in {408, 504} or kind == "timeout_error":
        return "timeout"
    if status in {400, 422} or kind in {"invalid_request_error", "invalid_request"}:
        return "invalid_request"
    if status is None:
        return "stream_error"
    return "http_5xx" if status >= 500 else "http_4xx" if status >= 400 else "http_3xx"


def error_message(body: object) -> str:
    """Return what an engine says of its error, at most 4096 characters of it; nothing where it says nothing."""
    if isinstance(body, str):
        return body[:MESSAGE_LIMIT]
    error = body.get("error") or body.get("detail") or body if isinstance(body, dict) else None
    message = error.get("message") if isinstance(error, dict) else error
    if isinstance(message, list):  # FastAPI's, one for each field
        message = "; ".join(str(item.get("msg", "")) for item in message[:8] if isinstance(item, dict))
    return message[:MESSAGE_LIMIT] if isinstance(message, str) else ""


def context_limit(body: object) -> object:
    """Return ``n_ctx`` of llama.cpp's ``exceed_context_size_error``, unchecked; None where there is none."""
    error = body.get("error") if isinstance(body, dict) else None
    return error.get("n_ctx") if isinstance(error, dict) else None


def _parts(body: object) -> tuple[str, str, str]:
    if isinstance(body, str):
        return "", "", body[:MESSAGE_LIMIT].lower()
    if not isinstance(body, dict):
        return "", "", ""
    error: Any = body.get("error", body.get("detail"))
    if isinstance(error, str):
        return "", "", error[:MESSAGE_LIMIT].lower()
    if not isinstance(error, dict):
        error = body
    kind, code, message = error.get("type"), error.get("code"), error.get("message")
    return (
        kind if isinstance(kind, str) else "",
        code if isinstance(code, str) else "",
        message[:MESSAGE_LIMIT].lower() if isinstance(message, str) else "",
    )


def _any(words: tuple[str, ...], message: str) -> bool:
    return any(word in message for word in words)
