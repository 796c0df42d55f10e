"""The routes of the pages. Handlers are plain functions: the store blocks, so each runs in a worker thread."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, NamedTuple, Protocol

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from stonechat.ids import is_device_id, is_exchange_id
from stonechat_collector.exchange_views import Filter
from stonechat_collector.pages import device, events, exchanges, fleet
from stonechat_collector.pages.assets import Assets
from stonechat_collector.pages.errors import BROKEN, NO_STORE, NOT_FOUND, no_device, no_exchange, trouble_page
from stonechat_collector.pages.rendering import Renderer
from stonechat_collector.pages.respond import SECURITY_HEADERS, page, takes_gzip
from stonechat_collector.store import StoreUnavailable

log = logging.getLogger("stonechat.pages")


class Connect(NamedTuple):
    """How a device reaches the broker: what the empty fleet page tells to paste."""

    url: str = "mqtt://127.0.0.1:1883"
    loopback_only: bool = True
    """Whether only programs on this machine reach it."""


class Views(Protocol):
    """What the pages read: the functions of ``stonechat_collector.views``, which says what they hold."""

    def fleet_overview(self, store: Any, now_ms: int, *, fleet: str | None = None) -> dict[str, Any]: ...
    def device(self, store: Any, device_id: str, now_ms: int) -> dict[str, Any] | None: ...
    def device_windows(
        self, store: Any, device_id: str, from_ms: int, to_ms: int, step: int
    ) -> dict[str, Any]: ...
    def events(
        self,
        store: Any,
        *,
        device: str | None = None,
        kind: str | None = None,
        severity: str | None = None,
        from_ms: int | None = None,
        to_ms: int | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> list[dict[str, Any]]: ...
    def cursor_of(self, event: Mapping[str, Any]) -> str: ...


class ExchangeViews(Protocol):
    """What the pages read of single exchanges: the functions of ``stonechat_collector.exchange_views``."""

    def exchanges_page(
        self,
        store: Any,
        device: str,
        wanted: Filter,
        *,
        sort: str = "start",
        up: bool = False,
        cursor: str | None = None,
        limit: int = 100,
    ) -> dict[str, Any]: ...
    def exchange(self, store: Any, device: str, id: str) -> dict[str, Any] | None: ...
    def choices(self, store: Any, device: str) -> dict[str, Any]: ...


def wall_ms() -> int:
    """Now, in ms since 1970."""
    return time.time_ns() // 1_000_000


def build_router(
    views: Views,
    exchange_views: ExchangeViews,
    store: Any,
    *,
    clock: Callable[[], int] = wall_ms,
    connect: Connect = Connect(),  # noqa: B008 - immutable
    assets: Assets | None = None,
) -> APIRouter:
    """The routes ``/``, ``/devices/{id}``, ``/devices/{id}/exchanges/{id}``, ``/events`` and ``/assets/``.

    Args:
        views: the module ``stonechat_collector.views``, or what has its functions.
        exchange_views: the module ``stonechat_collector.exchange_views``, or what has its functions.
        store: handed to the views as it is.
        clock: now in ms since 1970.
        connect: how devices reach the broker.
    """
    held = assets or Assets()
    render = Renderer(held)
    router = APIRouter(include_in_schema=False)

    def guarded(make: Callable[..., Response]) -> Callable[..., Response]:
        """A page that cannot be made is answered by a page that says why; the error is logged here, once."""

        @wraps(make)
        def handle(request: Request, **path: str) -> Response:
            try:
                return make(request, **path)
            except StoreUnavailable as error:
                log.warning("store unavailable", extra={"cause": str(error), "path": request.url.path})
                return trouble_page(request, render, NO_STORE)
            except Exception:
                log.exception("page failed", extra={"path": request.url.path})
                return trouble_page(request, render, BROKEN)

        return handle

    @router.get("/")
    @guarded
    def fleet_page(request: Request) -> Response:
        now = clock()
        query = fleet.Query.read(request.query_params)
        overview = views.fleet_overview(store, now, fleet=query.fleet or None)
        if not overview["devices"] and not query.fleet:
            return page(request, render("empty.html", connect=connect, now=now, live=True))
        built = fleet.build(overview["devices"], query)
        html = render(
            "fleet.html", page=built, summary=overview["summary"], now=now, live=True, SORTS=fleet.SORTS
        )
        return page(request, html)

    @router.get("/devices/{device_id}")
    @guarded
    def device_page(request: Request, device_id: str) -> Response:
        now = clock()
        found = views.device(store, device_id, now) if is_device_id(device_id) else None
        if found is None:
            return trouble_page(request, render, no_device(device_id))
        span = device.Range.read(request.query_params, now, device.window_of(found))
        windows = views.device_windows(store, device_id, span.start, span.end, span.step)
        happened = views.events(store, device=device_id, from_ms=span.start, to_ms=span.end, limit=200)
        flagged = exchange_views.exchanges_page(
            store, device_id, exchanges.flagged_filter(span), limit=exchanges.ROWS
        )
        built = device.build(found, windows, happened, span, flagged["exchanges"])
        query = exchanges.Query.read(request.query_params)
        listed = exchanges.build_list(
            device_id,
            exchange_views.exchanges_page(
                store,
                device_id,
                query.filter(span),
                sort=query.sort,
                up=query.up,
                cursor=query.cursor or None,
                limit=exchanges.ROWS,
            ),
            exchange_views.choices(store, device_id),
            query,
            span,
        )
        html = render("device.html", page=built, device=found, exchanges=listed, now=now, live=True)
        return page(request, html)

    @router.get("/devices/{device_id}/exchanges/{exchange_id}")
    @guarded
    def exchange_page(request: Request, device_id: str, exchange_id: str) -> Response:
        known = is_device_id(device_id) and is_exchange_id(exchange_id)
        found = exchange_views.exchange(store, device_id, exchange_id) if known else None
        if found is None:
            return trouble_page(request, render, no_exchange(device_id, exchange_id))
        start = found["start"]
        windows: dict[str, Any] = {}
        if abs(start) < exchanges.MOST_MS:
            minute = start - start % device.MINUTE
            windows = views.device_windows(
                store, device_id, minute - device.MINUTE, minute + 2 * device.MINUTE, device.MINUTE
            )
        built = exchanges.build_page(device_id, found, windows)
        html = render("exchange.html", page=built, exchange=found, device=device_id, now=clock(), live=False)
        return page(request, html)

    @router.get("/events")
    @guarded
    def events_page(request: Request) -> Response:
        now = clock()
        query = events.Query.read(request.query_params)
        found = views.events(
            store,
            device=query.device or None,
            kind=query.kind or None,
            severity=query.severity or None,
            cursor=query.cursor or None,
            limit=events.ROWS + 1,
        )
        built = events.build(found, query, views.cursor_of)
        return page(request, render("events.html", page=built, now=now, live=False))

    @router.get("/assets/{digest}/{name}")
    def asset(request: Request, digest: str, name: str) -> Response:
        found = held.by_path.get(f"{digest}/{name}")
        if found is None:
            return trouble_page(request, render, NOT_FOUND)
        headers = {
            **SECURITY_HEADERS,
            "cache-control": "public, max-age=31536000, immutable",
            "etag": found.etag,
            "vary": "accept-encoding",
        }
        if request.headers.get("if-none-match") == found.etag:
            return Response(status_code=304, headers=headers)
        if takes_gzip(request):
            return Response(
                found.packed, headers={**headers, "content-encoding": "gzip"}, media_type=found.media_type
            )
        return Response(found.body, headers=headers, media_type=found.media_type)

    return router
