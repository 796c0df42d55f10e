"""What a llama-server said in an answer, read as plainly as can be: no code of the agent's takes part."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

OPERATIONS = {
    "/v1/chat/completions": ("chat", "openai.chat"),
    "/v1/completions": ("completion", "openai.completions"),
    "/v1/responses": ("chat", "openai.responses"),
    "/v1/messages": ("chat", "anthropic.messages"),
    "/completion": ("completion", "llamacpp.completion"),
    "/v1/embeddings": ("embeddings", "openai.embeddings"),
}
FINISHES = {
    "length": "length",
    "stop": "stop",
    "tool_calls": "tool_calls",
    "max_tokens": "length",
    "end_turn": "stop",
    "tool_use": "tool_calls",
    "limit": "length",
    "eos": "stop",
    "completed": "stop",
    "incomplete": "length",
}
FIGURES = {"input_tokens", "cached_tokens", "output_tokens", "prefill", "decode"}
ERRORS = {
    "exceed_context_size_error": "context_overflow",
    "invalid_request_error": "invalid_request",
    "server_error": "http_5xx",
    "authentication_error": "unauthorized",
    "not_supported_error": "not_supported",
    "unavailable_error": "loading",
}


def expected(path: str, response: bytes, *, left: bool = False) -> dict[str, Any]:
    """The fields of an exchange's row (``exchange_row.FIELDS``) that its answer settles.

    Args:
        left: the client went away before the answer's end.
    """
    operation, dialect = OPERATIONS[path]
    row: dict[str, Any] = {
        "operation": operation,
        "dialect": dialect,
        "outcome": "aborted" if left else "ok",
    }
    if not response:
        return row
    head, _, body = response.partition(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1])
    row["status"] = status
    headers = head.lower()
    if b"transfer-encoding: chunked" in headers:
        body = dechunked(body)
    if status >= 400:
        error = json.loads(body)["error"]
        row |= {"outcome": "error", "error_type": ERRORS[error["type"]]}
        if "n_ctx" in error:
            row["context_limit"] = error["n_ctx"]
        return row
    row["streamed"] = b"text/event-stream" in headers
    pieces = events(body) if row["streamed"] else [json.loads(body)]
    for piece in pieces:
        row |= told(path, piece)
    if left:
        row.pop("finish_reason", None)
    for name in FIGURES & row.keys():
        row.setdefault(f"{name}_from", "engine")
    return row


def told(path: str, piece: dict[str, Any]) -> dict[str, Any]:
    """What one piece of an answer settles."""
    row: dict[str, Any] = {}
    inner = piece.get("message") or piece.get("response") or {}
    model = piece.get("model") or inner.get("model")
    if model:
        row["model"] = model.rpartition("/")[2]
    usage = piece.get("usage") or inner.get("usage")
    if usage and path == "/v1/messages":
        if "input_tokens" in usage:
            row["cached_tokens"] = usage["cache_read_input_tokens"]
            row["input_tokens"] = usage["input_tokens"] + usage["cache_read_input_tokens"]
        if "message" not in piece:  # what the start of a stream says of the output is no count
            row["output_tokens"] = usage["output_tokens"]
    elif usage:
        output = usage.get("completion_tokens", usage.get("output_tokens"))
        details = usage.get("prompt_tokens_details") or usage.get("input_tokens_details") or {}
        row["input_tokens"] = usage.get("prompt_tokens", usage.get("input_tokens"))
        if path != "/v1/embeddings":
            row["output_tokens"] = output
        if "cached_tokens" in details:
            row["cached_tokens"] = details["cached_tokens"]
    if timings := piece.get("timings"):
        row |= {
            "input_tokens": timings["cache_n"] + timings["prompt_n"],
            "cached_tokens": timings["cache_n"],
            "output_tokens": timings["predicted_n"],
            "prefill": round(timings["prompt_ms"] * 1000),
            "decode": round(timings["predicted_ms"] * 1000),
        }
    if len(choices := piece.get("choices") or []) > 1 and "output_tokens" in row:
        row["output_tokens"] *= len(choices)  # the engine's count is of one of them
        row["output_tokens_from"] = "estimated"
    finish = (piece.get("delta") or {}) if isinstance(piece.get("delta"), dict) else {}
    reasons = [
        piece.get("stop_type"),
        piece.get("stop_reason"),
        finish.get("stop_reason"),
        *(choice.get("finish_reason") for choice in choices),
    ]
    for reason in reasons:
        if reason and reason != "none":
            row["finish_reason"] = FINISHES[reason]
    return row


def events(body: bytes) -> list[dict[str, Any]]:
    """The JSON of server-sent events; what is cut off at the end is left out."""
    found = []
    for block in body.split(b"\n\n")[:-1]:
        for line in block.split(b"\n"):
            if line.startswith(b"data: ") and line != b"data: [DONE]":
                found.append(json.loads(line[len(b"data: ") :]))
    return found


def dechunked(body: bytes) -> bytes:
    """The bytes of a chunked body, as far as it came."""
    whole = b""
    while b"\r\n" in body:
        size, _, body = body.partition(b"\r\n")
        count = int(size, 16)
        whole += body[:count]
        body = body[count + 2 :]
    return whole


def differences(row: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Fields of an exchange's row that are not as they are wanted: what stands there and what was wanted.

    Durations are whole microseconds, which the engine tells in milliseconds with three digits after the point: one more
    or less is rounding.
    """
    return {
        name: (row.get(name), value)
        for name, value in wanted.items()
        if row.get(name) != value
        and not (name in {"prefill", "decode"} and abs((row.get(name) or 0) - value) <= 1)
    }
