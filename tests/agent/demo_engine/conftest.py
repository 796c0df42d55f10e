"""Starts real engines: a process for what a client sees, the model itself for what generation does."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx
import pytest

from stonechat_agent.demo_engine.model import LanguageModel
from stonechat_models import model_path


@dataclass
class Engine:
    process: subprocess.Popen[str]
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


StartEngine = Callable[..., contextlib.AbstractContextManager[Engine]]


@contextlib.contextmanager
def _start(*arguments: str) -> Iterator[Engine]:
    command = [sys.executable, "-m", "stonechat_agent.demo_engine", "--listen", "127.0.0.1:0", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        first = process.stdout.readline()
        found = re.fullmatch(
            r"demo-engine: listening on http://127\.0\.0\.1:(\d+), loading the model\n", first
        )
        assert found, first
        second = process.stdout.readline()
        assert second.startswith("demo-engine: ready: model "), second
        yield Engine(process, int(found[1]))
    finally:
        process.terminate()
        assert process.wait(60) == 0
        assert process.stdout is not None
        process.stdout.close()


@pytest.fixture(scope="session")
def start_engine() -> StartEngine:
    return _start


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    with _start() as started:
        yield started


@pytest.fixture
def client(engine: Engine) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=engine.url, timeout=60) as made:
        yield made


@pytest.fixture(scope="session")
def model() -> LanguageModel:
    return LanguageModel(model_path("demo_lm"), threads=1)
