"""The whole command: load, busy, abort, wrong usage, signals. And what no healthy process shows: loading, failing."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from stonechat_agent.demo_engine.app import App
from stonechat_agent.demo_engine.dialect import Serving
from stonechat_agent.demo_engine.http import HttpServer
from stonechat_agent.demo_engine.model import Cache, LanguageModel, Logits
from stonechat_agent.demo_engine.scheduler import Scheduler
from stonechat_models import model_path

from .conftest import Engine, StartEngine

MODEL = "stonechat-demo-lm"
# As long as the context lets it be: some 0.6 s of work on an idle core.
LONG = {"prompt": "Once upon a time", "ignore_eos": True, "stream": True}
WHOLE = {"prompt": "Once upon a time", "ignore_eos": True, "n_predict": 30}
CHAT = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 3}
OLLAMA = {"model": MODEL, "prompt": "Hi", "options": {"num_predict": 3}}


def _post(path: str, body: object) -> bytes:
    data = json.dumps(body).encode()
    return f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data


def _connect(engine: Engine) -> socket.socket:
    return socket.create_connection(("127.0.0.1", engine.port), timeout=60)


def test_two_slots_keep_two_talks_apart(start_engine: StartEngine) -> None:
    with start_engine("--slots", "2") as engine:
        talks = [f"Talk number {word}: {word * 40}" for word in ("one ", "two ")]
        for turn in range(3):
            for talk in talks:
                answer = httpx.post(engine.url + "/completion", json={"prompt": talk, "n_predict": 1}).json()
                assert answer["timings"]["cache_n"] == (0 if turn == 0 else answer["tokens_evaluated"] - 1)


def test_alias_and_context_are_settings(start_engine: StartEngine) -> None:
    with start_engine("--alias", "tiny", "--ctx", "64", "--threads", "2") as engine:
        answer = httpx.post(engine.url + "/completion", json={"prompt": "a", "ignore_eos": True}).json()
        assert answer["model"] == "tiny"
        assert answer["tokens_evaluated"] + answer["tokens_predicted"] == 64
        assert httpx.post(engine.url + "/api/generate", json={**OLLAMA, "model": "tiny"}).status_code == 200


def test_sigterm_ends_an_answer_under_way_and_exits_0(start_engine: StartEngine) -> None:
    with start_engine() as engine, _connect(engine) as connection:
        connection.sendall(_post("/completion", LONG))
        connection.recv(1024)
        began = time.monotonic()
        engine.process.terminate()
        assert engine.process.wait(60) == 0
        assert time.monotonic() - began < 30


def _run(arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "stonechat_agent.demo_engine", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_port_in_use_is_said_plainly(engine: Engine) -> None:
    done = _run(["--listen", f"127.0.0.1:{engine.port}"])
    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1:{engine.port}: " in done.stderr
    assert "--listen HOST:PORT" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [["--listen", "8080"], ["--listen", "x:99999"], ["--slots", "0"], ["--queue", "-1"], ["--nope"]],
)
def test_wrong_usage_exits_2(arguments: list[str]) -> None:
    done = _run(arguments)
    assert done.returncode == 2
    assert arguments[0] in done.stderr


def test_a_damaged_model_is_named_and_exits_1(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(model_path("demo_lm"), folder)
    with (folder / "model.onnx").open("r+b") as stream:
        stream.write(b"\0\0\0\0")
    done = _run(["--listen", "127.0.0.1:0", "--model", str(folder)])
    assert done.returncode == 1
    assert f"{folder}/model.onnx: SHA-256 is" in done.stderr


def test_a_context_beyond_the_models_exits_1() -> None:
    done = _run(["--listen", "127.0.0.1:0", "--ctx", "99999"])
    assert done.returncode == 1
    assert "--ctx 99999: the model was trained for at most 1024 tokens" in done.stderr


@contextlib.asynccontextmanager
async def _served(app: App) -> AsyncIterator[httpx.AsyncClient]:
    server = HttpServer(app.handle, app.reject)
    host, port = await server.listen("127.0.0.1", 0)
    try:
        async with httpx.AsyncClient(base_url=f"http://{host}:{port}", timeout=60) as client:
            yield client
    finally:
        await server.close()


class _HeldModel(LanguageModel):
    """The real model, which after a few steps goes on only when it is told to."""

    def __init__(self) -> None:
        super().__init__(model_path("demo_lm"), threads=1)
        self.steps = 0
        self.go_on = threading.Event()

    def feed(self, cache: Cache, tokens: Sequence[int]) -> Logits:
        self.steps += 1
        if self.steps > 4:
            assert self.go_on.wait(60)
        return super().feed(cache, tokens)


@contextlib.asynccontextmanager
async def _held(
    *, slots: int = 1, queue: int = 16
) -> AsyncIterator[tuple[httpx.AsyncClient, Scheduler, threading.Event]]:
    """A client of an engine whose answers come to their end only once the event is set."""
    model = _HeldModel()
    scheduler = Scheduler(model, slots=slots, queue=queue, context=1024)
    app = App("0")
    app.ready(Serving(model=model, alias=MODEL, context=1024, slots=slots, build="test"), scheduler)
    try:
        async with _served(app) as client:
            yield client, scheduler, model.go_on
    finally:
        model.go_on.set()
        await scheduler.close()


async def _comes(condition: Callable[[], object]) -> None:
    ends = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < ends, "it did not come to pass"
        await asyncio.sleep(0.005)


def _is_cancelled(scheduler: Scheduler) -> bool:
    job = scheduler.slots[0].last
    return job is not None and job.cancelled.is_set()


def test_a_client_that_goes_away_stops_its_answer() -> None:
    async def scenario() -> None:
        async with _held() as (client, scheduler, go_on):
            async with client.stream("POST", "/completion", json={**WHOLE, "stream": True}) as answer:
                assert b"data: " in await anext(answer.aiter_raw())
            await _comes(lambda: _is_cancelled(scheduler))
            go_on.set()
            await _comes(lambda: scheduler.processing == 0)
            assert scheduler.totals.decodes < 10

    asyncio.run(scenario())


def test_a_client_that_goes_away_before_a_whole_answer_stops_it_too() -> None:
    async def scenario() -> None:
        async with _held() as (client, scheduler, go_on):
            asking = asyncio.ensure_future(client.post("/completion", json=WHOLE))
            await _comes(lambda: scheduler.processing == 1)
            asking.cancel()
            await _comes(lambda: _is_cancelled(scheduler))
            go_on.set()
            await _comes(lambda: scheduler.processing == 0)
            assert scheduler.totals.decodes < 10

    asyncio.run(scenario())


def test_a_full_queue_refuses_in_each_dialect_and_the_rest_is_served() -> None:
    async def scenario() -> None:
        async with _held(queue=1) as (client, scheduler, go_on):
            asking = [asyncio.ensure_future(client.post("/completion", json=WHOLE)) for _ in range(2)]
            await _comes(lambda: (scheduler.processing, scheduler.deferred) == (1, 1))
            refused = await client.post("/v1/chat/completions", json=CHAT)
            assert refused.status_code == 503
            assert refused.json()["error"]["type"] == "unavailable_error"
            refused = await client.post("/api/generate", json=OLLAMA)
            assert refused.status_code == 503
            assert refused.json() == {
                "error": "server busy, please try again.  maximum pending requests exceeded"
            }
            go_on.set()
            assert [answer.status_code for answer in await asyncio.gather(*asking)] == [200, 200]
            assert (await client.post("/v1/chat/completions", json=CHAT)).status_code == 200

    asyncio.run(scenario())


def test_a_queued_request_whose_client_left_is_forgotten() -> None:
    async def scenario() -> None:
        async with _held() as (client, scheduler, go_on):
            first, second = (asyncio.ensure_future(client.post("/completion", json=WHOLE)) for _ in range(2))
            await _comes(lambda: (scheduler.processing, scheduler.deferred) == (1, 1))
            assert (await client.get("/slots?fail_on_no_slot=1")).status_code == 503
            second.cancel()
            await _comes(lambda: scheduler.deferred == 0)
            assert scheduler.processing == 1, "it was not run either"
            go_on.set()
            assert (await first).status_code == 200

    asyncio.run(scenario())


def test_while_the_model_loads_every_dialect_says_so() -> None:
    async def scenario() -> None:
        async with _served(App("0")) as client:
            for answer in (
                await client.get("/health"),
                await client.get("/props"),
                await client.post("/v1/chat/completions", json=CHAT),
                await client.post("/completion", json=LONG),
            ):
                assert answer.status_code == 503
                assert answer.json() == {
                    "error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}
                }
            for path in ("/api/generate", "/api/chat"):
                answer = await client.post(path, json=OLLAMA)
                assert (answer.status_code, answer.json()) == (503, {"error": "Loading model"})
            assert (await client.get("/api/version")).json() == {"version": "0"}

    asyncio.run(scenario())


class _FailingModel(LanguageModel):
    """The real model, whose runtime fails at the fourth step of an answer, once."""

    steps = 0

    def feed(self, cache: Cache, tokens: Sequence[int]) -> Logits:
        self.steps += 1
        if self.steps == 4:
            raise RuntimeError("out of memory")
        return super().feed(cache, tokens)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/completion", "/api/generate"])
def test_a_failure_inside_a_stream_ends_it_with_an_error(path: str) -> None:
    async def scenario() -> None:
        model = _FailingModel(model_path("demo_lm"), threads=1)
        scheduler = Scheduler(model, slots=1, queue=0, context=1024)
        app = App("0")
        app.ready(Serving(model=model, alias=MODEL, context=1024, slots=1, build="test"), scheduler)
        asked: dict[str, Any] = {
            **CHAT,
            "max_tokens": 9,
            "ignore_eos": True,
            "stream": True,
            "temperature": 0,
        }
        asked |= {
            "prompt": "Hi",
            "model": MODEL,
            "n_predict": 9,
            "options": {"num_predict": 9, "ignore_eos": True},
        }
        async with _served(app) as client:
            broken = await client.post(path, json=asked)
            assert broken.status_code == 200
            assert "[DONE]" not in broken.text
            last = broken.text.strip().splitlines()[-1].removeprefix("data: ")
            message = "generation failed: out of memory"
            if path == "/api/generate":
                assert json.loads(last) == {"error": message}
            else:
                assert json.loads(last) == {
                    "error": {"code": 500, "message": message, "type": "server_error"}
                }
            # The slot goes on; what it had cached is not trusted.
            whole = await client.post(path, json={**asked, "stream": False})
            assert whole.status_code == 200
            assert scheduler.totals.cached_tokens == 0
        await scheduler.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/api/generate"])
def test_a_failure_before_a_whole_answer_is_status_500(path: str) -> None:
    async def scenario() -> None:
        model = _FailingModel(model_path("demo_lm"), threads=1)
        scheduler = Scheduler(model, slots=1, queue=0, context=1024)
        app = App("0")
        app.ready(Serving(model=model, alias=MODEL, context=1024, slots=1, build="test"), scheduler)
        asked = {**CHAT, "max_tokens": 9, "ignore_eos": True, "model": MODEL, "prompt": "Hi", "stream": False}
        async with _served(app) as client:
            answer = await client.post(
                path, json={**asked, "options": {"num_predict": 9, "ignore_eos": True}}
            )
            assert answer.status_code == 500
            assert "out of memory" in answer.text
        await scheduler.close()

    asyncio.run(scenario())
