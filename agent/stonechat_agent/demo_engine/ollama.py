"""Ollama's `/api/chat`, `/api/generate`, and what it says about its models. Streams are JSON lines, durations ns."""

from __future__ import annotations

import time
from datetime import datetime, timezone

from stonechat_agent.demo_engine.dialect import (
    Answer,
    Body,
    Message,
    Refusal,
    Serving,
    dumps,
    fits,
    flag,
    generation,
    invalid,
    messages,
    render,
    table,
    text,
)
from stonechat_agent.demo_engine.generation import Finished, Generation, Piece

QUEUE_FULL = "server busy, please try again.  maximum pending requests exceeded"
# What Ollama shows for a model that is never unloaded lies some 292 years ahead, too.
_NEVER = "2318-01-01T00:00:00Z"


def error_body(refusal: Refusal) -> Body:
    """An error as Ollama words it: a string."""
    return {"error": refusal.message}


def parse_chat(body: Body, serving: Serving, *, arrived_ns: int) -> OllamaAnswer:
    """Read a chat request. Older messages are dropped until the prompt fits, but for the system's, as Ollama does.

    Args:
        arrived_ns: the monotonic instant at which the request was complete.

    Raises:
        Refusal: a field is missing or wrong, no such model, or the last message alone does not fit.
    """
    _check_model(body, serving)
    chat = messages({"messages": [], **body})
    prompt = render(serving.model, chat)
    while len(prompt) >= serving.context and (oldest := _oldest_but_system(chat)) is not None:
        del chat[oldest]
        prompt = render(serving.model, chat)
    return _answer(body, serving, prompt, chat=True, empty=not chat, arrived_ns=arrived_ns)


def parse_generate(body: Body, serving: Serving, *, arrived_ns: int) -> OllamaAnswer:
    """Read a generate request: `prompt` and `system` through the chat template, or `prompt` alone with `raw`.

    Raises:
        Refusal: a field is missing or wrong, no such model, or the prompt does not fit.
    """
    _check_model(body, serving)
    written = text(body, "prompt", "")
    system = text(body, "system", "")
    if flag(body, "raw", False):
        prompt = serving.model.tokenizer.encode(written, special=True)
    else:
        chat = [Message("system", system)] if system else []
        prompt = render(serving.model, [*chat, Message("user", written)])
    return _answer(body, serving, prompt, chat=False, empty=not written, arrived_ns=arrived_ns)


def _check_model(body: Body, serving: Serving) -> None:
    name = text(body, "model", "")
    if not name:
        raise invalid("model is required")
    if name.removesuffix(":latest") != serving.alias.removesuffix(":latest"):
        raise Refusal(404, "not_found_error", f"model '{name}' not found")
    for field in ("tools", "format", "images"):
        if body.get(field):
            raise invalid(f"{serving.alias!r} does not support {field}")


def _oldest_but_system(chat: list[Message]) -> int | None:
    """The place of the message to drop next; the last one stays."""
    return next((i for i, message in enumerate(chat[:-1]) if message.role != "system"), None)


def _answer(
    body: Body, serving: Serving, prompt: list[int], *, chat: bool, empty: bool, arrived_ns: int
) -> OllamaAnswer:
    options = table(body, "options")
    try:
        wanted = generation(options, fits(serving, prompt), limits=("num_predict",), top_p=0.9)
    except Refusal as refusal:
        if refusal.kind == "exceed_context_size_error":
            raise Refusal(400, refusal.kind, "the input length exceeds the context length") from refusal
        raise
    return OllamaAnswer(
        serving, wanted, stream=flag(body, "stream", True), chat=chat, load_only=empty, arrived_ns=arrived_ns
    )


class OllamaAnswer(Answer):
    """An answer of either endpoint. With `load_only` nothing is generated: Ollama loads its model and says so."""

    early_header = False
    stream_type = "application/x-ndjson"

    def __init__(
        self,
        serving: Serving,
        wanted: Generation,
        *,
        stream: bool,
        chat: bool,
        load_only: bool,
        arrived_ns: int,
    ) -> None:
        super().__init__(wanted, stream=stream)
        self.load_only = load_only
        self._serving = serving
        self._chat = chat
        self._arrived_ns = arrived_ns
        # The model is loaded already: what is left of "loading" is reading the request.
        self._load_ns = time.monotonic_ns() - arrived_ns

    def piece(self, piece: Piece) -> bytes:
        return dumps({**self._head(piece.text), "done": False}) + b"\n" if piece.text else b""

    def end(self, finished: Finished) -> bytes:
        return dumps(self._final("", finished)) + b"\n"

    def whole(self, content: str, tokens: list[int], finished: Finished) -> bytes:
        return dumps(self._final(content, finished))

    def failure(self, message: str) -> bytes:
        return dumps({"error": message}) + b"\n"

    def loaded(self) -> bytes:
        """The answer to a request without a prompt."""
        return dumps({**self._head(""), "done": True, "done_reason": "load"})

    def _head(self, content: str) -> Body:
        said = {"message": {"role": "assistant", "content": content}} if self._chat else {"response": content}
        return {"model": self._serving.alias, "created_at": _now(), **said}

    def _final(self, content: str, finished: Finished) -> Body:
        timings = finished.timings
        final = {
            **self._head(content),
            "done": True,
            "done_reason": "length" if finished.stop_type == "limit" else "stop",
            "total_duration": time.monotonic_ns() - self._arrived_ns,
            "load_duration": self._load_ns,
            "prompt_eval_count": timings.cache_n + timings.prompt_n,
            "prompt_eval_duration": timings.prompt_ns,
            "eval_count": timings.predicted_n,
            "eval_duration": timings.predicted_ns,
        }
        if timings.cache_n:
            final["prompt_eval_cached_count"] = timings.cache_n
        return final


def _now() -> str:
    nanoseconds = time.time_ns()
    whole = datetime.fromtimestamp(nanoseconds // 10**9, tz=timezone.utc)
    return f"{whole:%Y-%m-%dT%H:%M:%S}.{nanoseconds % 10**9:09d}Z"


def _described(serving: Serving) -> Body:
    name = serving.alias if ":" in serving.alias else serving.alias + ":latest"
    return {
        "name": name,
        "model": name,
        "size": serving.model.file_bytes,
        "digest": serving.model.card["files"]["model.onnx"],
        "details": {
            "parent_model": "",
            "format": "onnx",
            "family": "llama",
            "families": ["llama"],
            "parameter_size": f"{serving.model.parameters / 1e6:.2f}M",
            "quantization_level": "INT8",
        },
    }


def tags_json(serving: Serving) -> Body:
    changed = datetime.fromtimestamp((serving.model.folder / "model.onnx").stat().st_mtime, tz=timezone.utc)
    return {"models": [{**_described(serving), "modified_at": changed.isoformat()}]}


def ps_json(serving: Serving) -> Body:
    return {
        "models": [
            {**_described(serving), "expires_at": _NEVER, "size_vram": 0, "context_length": serving.context},
        ]
    }
