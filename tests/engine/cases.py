"""The exchanges that are driven: one of each form that a llama-server has, aborted and failing ones among them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.engine.servers import CONTEXT

CANARY = "The stonechat sat on a gorse bush at the edge of the heath and called."


@dataclass(frozen=True)
class Case:
    """One request, and when its client goes away."""

    name: str
    path: str
    body: dict[str, Any] | bytes
    form: str = "plain"
    """Of the server: see ``servers.FORMS``."""
    leaves: str = ""
    """"" for never; ``prefill``: before the first token; ``decode``: after some of them."""
    key: str = ""

    @property
    def request(self) -> bytes:
        body = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        lines = [
            f"POST {self.path} HTTP/1.1",
            "Host: 127.0.0.1:8080",
            "Content-Type: application/json",
            *([f"Authorization: Bearer {self.key}"] if self.key else []),
            f"Content-Length: {len(body)}",
            "Connection: close",
        ]
        return "\r\n".join([*lines, "", ""]).encode() + body

    @property
    def leave(self) -> Callable[[bytes], bool] | None:
        if self.leaves == "decode":
            return lambda got: got.count(b"\ndata: ") >= 8
        # A long prompt takes a second; its client has left by then (``talk``'s after_seconds).
        return (lambda got: False) if self.leaves else None

    @property
    def after_seconds(self) -> float:
        return 0.1 if self.leaves == "prefill" else 60


def asked(text: str = CANARY) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


TOOL = {
    "type": "object",
    "properties": {"city": {"type": "string", "enum": ["Berlin", "Paris"]}},
    "required": ["city"],
}
TOOLS = {
    "tools": [{"type": "function", "function": {"name": "get_weather", "parameters": TOOL}}],
    "tool_choice": "required",
    "parallel_tool_calls": False,
    "max_tokens": 200,
}
LONG = "word " * (CONTEXT * 3 // 4)
NEARLY_FULL = "word " * (CONTEXT - 100)
TOO_LONG = "word " * (CONTEXT + 100)
STREAM = {"stream": True}
USAGE = {"stream": True, "stream_options": {"include_usage": True}}
CHAT, TEXT, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages"
N = {"max_tokens": 8}

CASES = (
    Case("chat", CHAT, asked() | N),
    Case("chat_stream", CHAT, asked() | N | STREAM),
    Case("chat_stream_usage", CHAT, asked() | N | USAGE),
    Case("chat_stream_progress", CHAT, asked(LONG[:2000]) | N | STREAM | {"return_progress": True}),
    Case("chat_stream_timings_per_token", CHAT, asked() | N | STREAM | {"timings_per_token": True}),
    Case("chat_logprobs", CHAT, asked() | N | {"logprobs": True, "top_logprobs": 2}),
    Case("chat_two_choices", CHAT, asked() | N | {"n": 2}),
    Case("chat_json_schema", CHAT, asked() | {"max_tokens": 60, "response_format": {"type": "json_schema",
         "json_schema": {"name": "w", "schema": TOOL}}}),
    Case("chat_tool_call", CHAT, asked() | TOOLS, "tools"),
    Case("chat_tool_call_stream", CHAT, asked() | TOOLS | STREAM, "tools"),
    Case("chat_reasoning", CHAT, asked() | N, "reasoning"),
    Case("chat_reasoning_stream", CHAT, asked() | N | STREAM, "reasoning"),
    Case("chat_unnamed_model", CHAT, asked() | N, "unnamed"),
    Case("chat_with_key", CHAT, asked() | N, "locked", key="sesame"),
    Case("completions", TEXT, {"prompt": CANARY} | N),
    Case("completions_stream", TEXT, {"prompt": CANARY} | N | STREAM),
    Case("responses", RESPONSES, {"input": CANARY, "max_output_tokens": 8}),
    Case("responses_stream", RESPONSES, {"input": CANARY, "max_output_tokens": 8} | STREAM),
    Case("responses_tool_call_stream", RESPONSES, {"input": CANARY, "max_output_tokens": 200, "tool_choice": "required",
         "tools": [{"type": "function", "name": "get_weather", "parameters": TOOL}]} | STREAM, "tools"),
    Case("responses_reasoning_stream", RESPONSES, {"input": CANARY, "max_output_tokens": 8} | STREAM, "reasoning"),
    Case("messages", MESSAGES, asked() | N),
    Case("messages_stream", MESSAGES, asked() | N | STREAM),
    Case("messages_tool_call_stream", MESSAGES, asked() | {"max_tokens": 200, "tool_choice": {"type": "any"},
         "tools": [{"name": "get_weather", "input_schema": TOOL}]} | STREAM, "tools"),
    Case("messages_reasoning_stream", MESSAGES, asked() | N | STREAM, "reasoning"),
    Case("native", "/completion", {"prompt": CANARY, "n_predict": 8}),
    Case("native_stream", "/completion", {"prompt": CANARY, "n_predict": 8} | STREAM),
    Case("native_trimmed", "/completion",
         {"prompt": CANARY, "n_predict": 8, "response_fields": ["content", "timings"]}),
    Case("native_to_the_end_of_the_context", "/completion",
         {"prompt": NEARLY_FULL, "n_predict": -1, "ignore_eos": True}),
    Case("embeddings", "/v1/embeddings", {"input": [CANARY, "short"]}, "embeddings"),
    Case("embeddings_base64", "/v1/embeddings", {"input": CANARY, "encoding_format": "base64"}, "embeddings"),
    Case("chat_left_in_prefill", CHAT, asked(LONG) | N | STREAM, leaves="prefill"),
    # The server looks once a second whether the client of a whole answer is still there.
    Case("chat_left_whole", CHAT, asked() | {"max_tokens": 1900, "ignore_eos": True}, leaves="prefill"),
    Case("chat_left_in_decode", CHAT, asked() | {"max_tokens": 3000} | STREAM, leaves="decode"),
    Case("chat_left_in_decode_timings_per_token", CHAT,
         asked() | {"max_tokens": 3000, "timings_per_token": True} | STREAM, leaves="decode"),
    Case("responses_left_in_decode", RESPONSES, {"input": CANARY, "max_output_tokens": 3000} | STREAM, leaves="decode"),
    Case("messages_left_in_decode", MESSAGES, asked() | {"max_tokens": 3000} | STREAM, leaves="decode"),
    Case("native_left_in_decode", "/completion", {"prompt": CANARY, "n_predict": 3000} | STREAM, leaves="decode"),
    Case("chat_bad_json", CHAT, b'{"messages":['),
    Case("chat_without_messages", CHAT, b"{}"),
    Case("chat_overflow", CHAT, asked(TOO_LONG) | N),
    Case("chat_overflow_stream", CHAT, asked(TOO_LONG) | N | STREAM),
    Case("messages_overflow", MESSAGES, asked(TOO_LONG) | N),
    Case("responses_overflow_stream", RESPONSES, {"input": TOO_LONG} | STREAM),
    Case("native_overflow", "/completion", {"prompt": TOO_LONG}),
    Case("chat_unauthorized", CHAT, asked() | N, "locked"),
    Case("embeddings_not_supported", "/v1/embeddings", {"input": CANARY}),
)  # fmt: skip
ENDLESS = Case("endless", "/completion", {"prompt": "a", "n_predict": 3000, "ignore_eos": True} | STREAM)
"""A streamed answer that lasts longer than any test."""
BY_NAME = {case.name: case for case in CASES}
