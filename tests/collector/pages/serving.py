"""The real application on a free port of loopback, in a thread, and the browser that looks at it."""

from __future__ import annotations

import contextlib
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn

from stonechat_collector.api import create_app
from stonechat_collector.store import Store

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
)


def browser_path() -> str | None:
    """The browser's program, None where there is none."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


@contextlib.contextmanager
def serving(store: Store, clock_ms: Callable[[], int]) -> Iterator[str]:
    """The address at which the application over a store is served."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(
        create_app(store, clock_ms=clock_ms), log_level="warning", timeout_graceful_shutdown=1, lifespan="on"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],), name="pages.server", daemon=True)
    thread.start()
    try:
        until = time.monotonic() + 60
        while not server.started:
            if time.monotonic() > until or not thread.is_alive():
                raise RuntimeError("the application did not start")
            time.sleep(0.02)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(60)
        listener.close()


@contextlib.contextmanager
def browsing() -> Iterator[Any]:
    """A headless Chromium, as playwright's Browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path(), args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()
