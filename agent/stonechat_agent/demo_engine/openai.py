"""`/v1/chat/completions` as llama-server answers it."""

from __future__ import annotations

import time
from typing import Any

from stonechat_agent.demo_engine.dialect import (
    Answer,
    Body,
    Refusal,
    Serving,
    dumps,
    error_body,
    fits,
    flag,
    generation,
    integer,
    invalid,
    messages,
    random_id,
    render,
    sse,
    table,
    timings_json,
)
from stonechat_agent.demo_engine.generation import Finished, Generation, Piece

# A client that asks for one of these expects what this engine cannot do.
_UNSUPPORTED = ("tools", "functions", "logprobs", "grammar", "json_schema")


def parse_chat(body: Body, serving: Serving) -> ChatCompletion:
    """Read a chat completion request.

    Raises:
        Refusal: a field is missing or wrong, or the prompt does not fit.
    """
    chat = messages(body)
    if not chat:
        raise invalid("'messages' must not be empty")
    for name in _UNSUPPORTED:
        if body.get(name):
            raise invalid(f"'{name}' is not supported by this model")
    if table(body, "response_format").get("type", "text") != "text":
        raise invalid("'response_format' other than text is not supported by this model")
    if integer(body, "n", 1) != 1:
        raise invalid("'n' must be 1")
    return ChatCompletion(
        serving,
        generation(
            body,
            fits(serving, render(serving.model, chat)),
            limits=("max_completion_tokens", "max_tokens", "n_predict"),
            top_p=0.95,
        ),
        stream=flag(body, "stream", False),
        include_usage=flag(table(body, "stream_options"), "include_usage", False),
        timings_per_token=flag(body, "timings_per_token", False),
    )


class ChatCompletion(Answer):
    def __init__(
        self,
        serving: Serving,
        wanted: Generation,
        *,
        stream: bool,
        include_usage: bool,
        timings_per_token: bool,
    ) -> None:
        super().__init__(wanted, stream=stream)
        self._serving = serving
        self._include_usage = include_usage
        self._timings_per_token = timings_per_token
        self._id = "chatcmpl-" + random_id()
        self._begun = False

    def piece(self, piece: Piece) -> bytes:
        chunks = []
        if not self._begun:
            self._begun = True
            chunks.append(self._chunk({"role": "assistant", "content": None}))
        if piece.text:
            chunks.append(self._chunk({"content": piece.text}))
        if chunks and self._timings_per_token:
            chunks[-1]["timings"] = timings_json(piece.timings)
        return b"".join(map(sse, chunks))

    def end(self, finished: Finished) -> bytes:
        chunks = [self._chunk({}, _finish_reason(finished))]
        if self._include_usage:
            chunks.append({**self._envelope("chat.completion.chunk", []), "usage": self._usage(finished)})
        chunks[-1]["timings"] = timings_json(finished.timings)
        return b"".join(map(sse, chunks)) + b"data: [DONE]\n\n"

    def whole(self, content: str, tokens: list[int], finished: Finished) -> bytes:
        choice = {
            "finish_reason": _finish_reason(finished),
            "index": 0,
            "message": {"role": "assistant", "content": content},
        }
        return dumps(
            {
                **self._envelope("chat.completion", [choice]),
                "usage": self._usage(finished),
                "timings": timings_json(finished.timings),
            }
        )

    def failure(self, message: str) -> bytes:
        return sse(error_body(Refusal(500, "server_error", message)))

    def _chunk(self, delta: Body, finish_reason: str | None = None) -> dict[str, Any]:
        choice = {"finish_reason": finish_reason, "index": 0, "delta": delta}
        return self._envelope("chat.completion.chunk", [choice])

    def _envelope(self, kind: str, choices: list[Body]) -> dict[str, Any]:
        return {
            "choices": choices,
            "created": int(time.time()),
            "id": self._id,
            "model": self._serving.alias,
            "system_fingerprint": self._serving.build,
            "object": kind,
        }

    def _usage(self, finished: Finished) -> Body:
        prompt, predicted = len(self.wanted.prompt), finished.timings.predicted_n
        return {
            "completion_tokens": predicted,
            "prompt_tokens": prompt,
            "total_tokens": prompt + predicted,
            "prompt_tokens_details": {"cached_tokens": finished.timings.cache_n},
        }


def _finish_reason(finished: Finished) -> str:
    return "length" if finished.stop_type == "limit" else "stop"
