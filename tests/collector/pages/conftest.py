"""An application that serves the pages over made-up devices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient
from tests.collector.pages.fleets import NOW, MadeUpViews

from stonechat_collector.pages import build_router

Serve = Callable[[Sequence[dict[str, Any]]], TestClient]


@pytest.fixture
def serve() -> Serve:
    """A client of the pages of these devices; its ``app.state.views`` are the views."""

    def start(devices: Sequence[dict[str, Any]]) -> TestClient:
        app = FastAPI()
        app.state.views = MadeUpViews(devices)
        app.include_router(build_router(app.state.views, app.state.views, None, clock=lambda: NOW))
        return TestClient(app)

    return start
