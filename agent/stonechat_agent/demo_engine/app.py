"""Routes: which request goes to which dialect, and how an answer's events become HTTP."""

from __future__ import annotations

import contextlib
import json
import logging
import time
from collections.abc import Callable
from functools import partial

from stonechat_agent.demo_engine import llamacpp, ollama, openai
from stonechat_agent.demo_engine.dialect import Answer, Body, Refusal, Serving, dumps, error_body, invalid
from stonechat_agent.demo_engine.generation import Failed, Finished, Piece, Started
from stonechat_agent.demo_engine.http import Headers, Request, Response
from stonechat_agent.demo_engine.scheduler import QueueFullError, Scheduler

log = logging.getLogger(__name__)

JSON = "application/json; charset=utf-8"
_SERVER: Headers = (("Server", "llama.cpp"),)
_LOADING = Refusal(503, "unavailable_error", "Loading model")
_NOT_FOUND = Refusal(404, "not_found_error", "File Not Found")

# OpenAI clients and llama-server's own name the same endpoint in several ways.
_POST = {
    "/v1/chat/completions": "openai.chat",
    "/chat/completions": "openai.chat",
    "/completion": "llamacpp.completion",
    "/api/chat": "ollama.chat",
    "/api/generate": "ollama.generate",
}
_GET = {
    "/health": "health",
    "/v1/health": "health",
    "/props": "props",
    "/slots": "slots",
    "/metrics": "metrics",
    "/v1/models": "models",
    "/models": "models",
    "/api/tags": "tags",
    "/api/ps": "ps",
    "/api/version": "version",
}


class App:
    """Handles requests. Until `ready` is called everything but `/api/version` says that the model is loading."""

    def __init__(self, version: str) -> None:
        self._version = version
        self._serving: Serving | None = None
        self._scheduler: Scheduler | None = None
        self._metrics: llamacpp.Metrics | None = None
        self._started = int(time.time())
        self._started_us = time.monotonic_ns() // 1000

    def ready(self, serving: Serving, scheduler: Scheduler) -> None:
        self._serving = serving
        self._scheduler = scheduler
        self._metrics = llamacpp.Metrics(scheduler)

    @staticmethod
    def reject(status: int, reason: str) -> tuple[str, bytes]:
        """The body for what is not HTTP, or too large."""
        return JSON, dumps(error_body(Refusal(status, "invalid_request_error", reason)))

    async def handle(self, request: Request, response: Response) -> None:
        is_ollama = request.path.startswith("/api/")
        try:
            if request.method == "POST" and request.path in _POST:
                await self._answer(_POST[request.path], request, response)
            elif request.method in ("GET", "HEAD") and request.path in _GET:
                await self._show(_GET[request.path], request, response)
            else:
                raise _NOT_FOUND
        except Refusal as refusal:
            await _refuse(response, refusal, is_ollama=is_ollama)
        except ConnectionError:
            raise
        except Exception:
            log.exception("request failed", extra={"path": request.path})
            # An answer that has begun just breaks off: its connection is closed.
            if not response.started:
                await _refuse(response, Refusal(500, "server_error", "internal error"), is_ollama=is_ollama)

    async def _show(self, what: str, request: Request, response: Response) -> None:
        if what == "version":
            await response.send(200, JSON, dumps({"version": self._version}))
            return
        if self._serving is None or self._scheduler is None or self._metrics is None:
            raise _LOADING
        if what == "metrics":
            await response.send(
                200,
                "text/plain; version=0.0.4",
                self._metrics.render(),
                # Microseconds of the monotonic clock, whatever the name says: as in llama-server.
                headers=(*_SERVER, ("Process-Start-Time-Unix", str(self._started_us))),
            )
            return
        if (
            what == "slots"
            and "fail_on_no_slot=" in request.query
            and self._scheduler.processing == len(self._scheduler.slots)
        ):
            raise Refusal(503, "unavailable_error", "no slot available")
        shown: dict[str, Callable[[], Body | list[Body]]] = {
            "health": lambda: {"status": "ok"},
            "props": partial(llamacpp.props_json, self._serving),
            "slots": partial(llamacpp.slots_json, self._scheduler),
            "models": partial(llamacpp.models_json, self._serving, self._started),
            "tags": partial(ollama.tags_json, self._serving),
            "ps": partial(ollama.ps_json, self._serving),
        }
        headers = () if request.path.startswith("/api/") else _SERVER
        await response.send(200, JSON, dumps(shown[what]()), headers=headers)

    async def _answer(self, dialect: str, request: Request, response: Response) -> None:
        arrived_ns = time.monotonic_ns()
        if self._serving is None or self._scheduler is None:
            raise _LOADING
        body = _decode(request.body, dialect)
        if dialect == "openai.chat":
            answer: Answer = openai.parse_chat(body, self._serving)
        elif dialect == "llamacpp.completion":
            answer = llamacpp.parse_completion(body, self._serving)
        else:
            parse = ollama.parse_chat if dialect == "ollama.chat" else ollama.parse_generate
            answer = parse(body, self._serving, arrived_ns=arrived_ns)
            if answer.load_only:
                await response.send(200, JSON, answer.loaded())
                return
        try:
            job = self._scheduler.submit(answer.wanted)
        except QueueFullError:
            message = (
                ollama.QUEUE_FULL
                if dialect.startswith("ollama.")
                else "all slots are busy and the queue is full"
            )
            raise Refusal(503, "unavailable_error", message) from None
        async with contextlib.aclosing(self._scheduler.events(job)) as events:
            content: list[str] = []
            tokens: list[int] = []
            async for event in events:
                if answer.stream:
                    await _stream(response, answer, event)
                elif isinstance(event, Piece):
                    content.append(event.text)
                    tokens.extend(event.tokens)
                elif isinstance(event, Finished):
                    headers = () if dialect.startswith("ollama.") else _SERVER
                    await response.send(
                        200, JSON, answer.whole("".join(content), tokens, event), headers=headers
                    )
                elif isinstance(event, Failed):
                    raise Refusal(500, "server_error", event.message)


async def _refuse(response: Response, refusal: Refusal, *, is_ollama: bool) -> None:
    body = ollama.error_body(refusal) if is_ollama else error_body(refusal)
    headers = () if is_ollama else _SERVER
    # llama-server closes the connection after an error, Ollama does not.
    await response.send(refusal.status, JSON, dumps(body), headers=headers, close=not is_ollama)


async def _stream(response: Response, answer: Answer, event: Started | Piece | Finished | Failed) -> None:
    if isinstance(event, Started):
        if answer.early_header:
            await response.start(200, answer.stream_type, headers=_SERVER)
        return
    if not response.started:
        if isinstance(event, Failed):
            raise Refusal(500, "server_error", event.message)
        await response.start(200, answer.stream_type)
    if isinstance(event, Piece):
        await response.write(answer.piece(event))
        return
    await response.write(answer.end(event) if isinstance(event, Finished) else answer.failure(event.message))
    await response.end()


def _decode(data: bytes, dialect: str) -> Body:
    # Each engine's own status for what is not JSON: llama-server says 500, Ollama 400.
    is_ollama = dialect.startswith("ollama.")
    if not data and is_ollama:
        raise invalid("missing request body")
    try:
        body = json.loads(data)
    except (ValueError, RecursionError) as error:
        if is_ollama:
            raise invalid(f"invalid JSON: {error}") from error
        raise Refusal(500, "server_error", f"parse error: {error}") from error
    if not isinstance(body, dict):
        raise invalid("the body must be a JSON object")
    return body
