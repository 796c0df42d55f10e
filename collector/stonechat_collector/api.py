"""The web application: the JSON API, health, metrics, live updates and the pages.

Handlers are plain functions, so that each runs in a worker thread while it waits for the store. The API's answers are
the dicts of ``views`` as they are; ``models`` states their shape in the OpenAPI description.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timezone
from typing import Annotated, Any, Literal

from fastapi import APIRouter, FastAPI, Path, Query
from fastapi.exceptions import RequestValidationError
from fastapi.responses import StreamingResponse
from sqlalchemy import select
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from stonechat import __version__
from stonechat.ids import DEVICE_ID_PATTERN
from stonechat_collector import exchange_views, metrics, models, rollup, schema, views
from stonechat_collector.hosts import LoopbackHost
from stonechat_collector.live import Changes
from stonechat_collector.pages import Assets, Connect, build_router
from stonechat_collector.pages.errors import NO_STORE, NOT_FOUND, trouble_page
from stonechat_collector.pages.rendering import Renderer
from stonechat_collector.store import Store, StoreUnavailable
from stonechat_collector.views import BadRequest

log = logging.getLogger("stonechat.web")

HOUR_MS = 3_600_000
SILENT_MS = 60_000
"""A process of the collector that has not worked for so long is not well."""

MAX_ROLLUP_LAG_MS = 600_000

_DEVICE = Path(pattern=f"^{DEVICE_ID_PATTERN}$", description="id of the device")
_FLEET = Query(pattern=f"^{DEVICE_ID_PATTERN}$", description="only this fleet")
_FROM = Query(alias="from", description="ms since 1970, or ISO 8601; default: an hour before the end")
_TO = Query(description="ms since 1970, or ISO 8601; default: now")
_WORD = r"^[A-Za-z0-9._:/@+-]{1,64}$"
_EXCHANGE = Path(pattern="^[0-9a-z]{13}$", description="id of the exchange")
_SINCE = Query(alias="from", description="ms since 1970, or ISO 8601")
_UNTIL = Query(description="ms since 1970, or ISO 8601")
_STEP = Query(description='ms between two points; "auto", or "window" for each window by itself')

_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": models.Error} for status in (400, 404, 421, 503)
}


class _Json(Response):
    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return json.dumps(content, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def create_app(
    store: Store,
    *,
    loopback_only: bool = True,
    connect: Connect = Connect(),  # noqa: B008 - immutable
    clock_ms: Callable[[], int] | None = None,
) -> FastAPI:
    """The application over an open store, which stays its caller's to close.

    Args:
        loopback_only: refuse requests whose Host header does not name this machine.
        connect: what the empty fleet page says about reaching the broker.
        clock_ms: now in ms since 1970; None: the system's clock.
    """
    clock = clock_ms or (lambda: time.time_ns() // 1_000_000)
    changes = Changes(store, clock)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await changes.close()

    app = FastAPI(
        title="Stonechat collector",
        version=__version__,
        description="The fleet, its devices and what happened to them. Times are ms since 1970; null is unknown.",
        openapi_url="/api/v1/openapi.json",
        docs_url=None,  # those pages load scripts from other hosts
        redoc_url=None,
        lifespan=lifespan,
    )
    if loopback_only:
        app.add_middleware(LoopbackHost)
    assets = Assets()
    _add_errors(app, Renderer(assets))
    app.include_router(_api(store, clock, changes))
    app.include_router(_operations(store, clock))
    app.include_router(
        build_router(views, exchange_views, store, clock=clock, connect=connect, assets=assets)
    )
    return app


def _api(store: Store, clock: Callable[[], int], changes: Changes) -> APIRouter:
    api = APIRouter(prefix="/api/v1", tags=["fleet"], responses=_ERRORS)

    @api.get("/devices", response_model=models.Devices)
    def devices(fleet: Annotated[str | None, _FLEET] = None) -> Response:
        """All devices, worst first."""
        return _Json(views.fleet_overview(store, clock(), fleet=fleet))

    @api.get("/devices/{device_id}", response_model=models.DeviceDetail)
    def device(device_id: Annotated[str, _DEVICE]) -> Response:
        """One device."""
        found = views.device(store, device_id, clock())
        return _Json(found) if found is not None else _no_device(device_id)

    @api.get("/devices/{device_id}/windows", response_model=models.Course)
    def windows(
        device_id: Annotated[str, _DEVICE],
        from_: Annotated[str | None, _FROM] = None,
        to: Annotated[str | None, _TO] = None,
        step: Annotated[str, _STEP] = views.AUTO,
    ) -> Response:
        """The course of a device's metrics."""
        start, end = _span(from_, to, clock())
        if views.device(store, device_id, clock()) is None:
            return _no_device(device_id)
        return _Json(views.device_windows(store, device_id, start, end, _step(step)))

    @api.get("/devices/{device_id}/exchanges", response_model=models.Exchanges)
    def device_exchanges(
        *,
        device_id: Annotated[str, _DEVICE],
        model: Annotated[str | None, Query(pattern=_WORD)] = None,
        outcome: Annotated[Literal["ok", "error", "aborted"] | None, Query()] = None,
        error_type: Annotated[str | None, Query(pattern=_WORD)] = None,
        finding: Annotated[
            str | None, Query(pattern=_WORD, description='"any": any; "flagged": any that flags')
        ] = None,
        min_duration_seconds: Annotated[float | None, Query(ge=0, le=1e9)] = None,
        min_ttft_seconds: Annotated[float | None, Query(ge=0, le=1e9)] = None,
        q: Annotated[str | None, Query(min_length=1, max_length=200, description="in the texts")] = None,
        from_: Annotated[str | None, _SINCE] = None,
        to: Annotated[str | None, _UNTIL] = None,
        sort: Annotated[Literal["start", "duration", "ttft", "output_tokens"], Query()] = "start",
        dir: Annotated[Literal["down", "up"], Query(description="the greatest first, or the least")] = "down",
        cursor: Annotated[str | None, Query(max_length=64, description="``next`` of the page before")] = None,
        limit: Annotated[int, Query(ge=1, le=exchange_views.MAX_ROWS)] = 100,
    ) -> Response:
        """Single exchanges that a device told of: those with findings, that failed or were slow, and a sample."""
        if views.device(store, device_id, clock()) is None:
            return _no_device(device_id)
        wanted = exchange_views.Filter(
            model=model,
            outcome=outcome,
            error_type=error_type,
            finding=finding,
            min_duration=_microseconds(min_duration_seconds),
            min_ttft=_microseconds(min_ttft_seconds),
            from_ms=None if from_ is None else _instant(from_),
            to_ms=None if to is None else _instant(to),
            text=q,
        )
        page = exchange_views.exchanges_page(
            store, device_id, wanted, sort=sort, up=dir == "up", cursor=cursor, limit=limit
        )
        return _Json(page)

    @api.get("/devices/{device_id}/exchanges/{exchange_id}", response_model=models.ExchangeDetail)
    def device_exchange(
        device_id: Annotated[str, _DEVICE], exchange_id: Annotated[str, _EXCHANGE]
    ) -> Response:
        """One exchange, with its texts where the device sent them."""
        found = exchange_views.exchange(store, device_id, exchange_id)
        if found is None:
            return _error(
                404,
                "no_such_exchange",
                f"no exchange {exchange_id} of {device_id}",
                "a device tells only of some, and the collector keeps them for a time",
            )
        return _Json(found)

    @api.get("/fleet", response_model=models.Course)
    def fleet_course(
        from_: Annotated[str | None, _FROM] = None,
        to: Annotated[str | None, _TO] = None,
        step: Annotated[str, _STEP] = views.AUTO,
        fleet: Annotated[str | None, _FLEET] = None,
    ) -> Response:
        """The course of a fleet's metrics, or of all fleets'."""
        start, end = _span(from_, to, clock())
        return _Json(views.fleet_windows(store, start, end, _step(step), fleet=fleet))

    @api.get("/events", response_model=models.Events)
    def events(
        *,
        device: Annotated[str | None, Query(pattern=f"^{DEVICE_ID_PATTERN}$")] = None,
        fleet: Annotated[str | None, _FLEET] = None,
        kind: Annotated[str | None, Query(max_length=256)] = None,
        severity: Annotated[str | None, Query(description="the least: info, warning or critical")] = None,
        from_: Annotated[str | None, _SINCE] = None,
        to: Annotated[str | None, _UNTIL] = None,
        cursor: Annotated[str | None, Query(max_length=64, description="``next`` of the page before")] = None,
        limit: Annotated[int, Query(ge=1, le=views.MAX_EVENTS - 1)] = 100,
    ) -> Response:
        """Events, newest first."""
        page = views.events_page(
            store,
            device=device,
            fleet=fleet,
            kind=kind,
            severity=severity,
            from_ms=None if from_ is None else _instant(from_),
            to_ms=None if to is None else _instant(to),
            cursor=cursor,
            limit=limit,
        )
        return _Json(page)

    @api.get(
        "/stream",
        response_class=StreamingResponse,
        responses={200: {"content": {"text/event-stream": {}}, "description": "Server-sent events."}},
    )
    async def stream() -> Response:
        """Which devices change and what happens, as server-sent events ``devices`` and ``events``."""
        if changes.full:
            return _error(
                503, "too_many_streams", "no further live stream fits", "close one, or poll /api/v1/devices"
            )
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(changes.stream(), media_type="text/event-stream", headers=headers)

    return api


def _operations(store: Store, clock: Callable[[], int]) -> APIRouter:
    router = APIRouter(tags=["operation"])

    @router.get("/healthz", response_model=models.Health, responses={503: {"model": models.Health}})
    def healthz() -> Response:
        """Whether the store answers, and whether ingest and roll-up do their work."""
        try:
            problems = _problems(store, clock())
        except StoreUnavailable as error:
            problems = [f"store: {error}"]
        body = {"status": "degraded" if problems else "ok", "problems": problems}
        return _Json(body, status_code=503 if problems else 200)

    @router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    def prometheus() -> Response:
        """The collector and its fleets in the Prometheus text format."""
        return Response(metrics.exposition(store, clock()), media_type=metrics.CONTENT_TYPE)

    return router


def _problems(store: Store, now: int) -> list[str]:
    with store.reading() as connection:
        rows = connection.execute(select(schema.processes.c.name, schema.processes.c.at)).all()
        behind = rollup.lag_of(connection, now)
    problems = [
        f"{row.name}: silent for {(now - row.at) // 1000} s" for row in rows if now - row.at > SILENT_MS
    ]
    if behind.age > MAX_ROLLUP_LAG_MS:
        problems.append(f"rollup: {behind.records} records behind, the oldest {behind.age // 1000} s")
    return problems


def _add_errors(app: FastAPI, render: Renderer) -> None:
    def wants_page(request: Request) -> bool:
        if request.url.path.startswith(("/api/", "/metrics", "/healthz")):
            return False
        return "text/html" in request.headers.get("accept", "")

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        if error.status_code == 404 and wants_page(request):
            return trouble_page(request, render, NOT_FOUND)
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "http_error")
        hint = "the addresses are in /api/v1/openapi.json" if error.status_code == 404 else ""
        answer = _error(error.status_code, code, str(error.detail), hint)
        answer.headers.update(error.headers or {})
        return answer

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"][1:])
        return _error(400, "invalid_parameter", f"{name}: {first['msg']}", "see /api/v1/openapi.json")

    @app.exception_handler(BadRequest)
    async def bad_request(_: Request, error: BadRequest) -> Response:
        return _error(400, "invalid_parameter", str(error), error.hint)

    @app.exception_handler(StoreUnavailable)
    async def no_store(request: Request, error: StoreUnavailable) -> Response:
        log.warning("store unavailable", extra={"cause": str(error), "path": request.url.path})
        if wants_page(request):
            return trouble_page(request, render, NO_STORE)
        answer = _error(503, "store_unavailable", "the database did not answer", "ask again in some seconds")
        answer.headers["retry-after"] = "5"
        return answer

    @app.exception_handler(Exception)
    async def broken(_: Request, __: Exception) -> Response:
        # The server logs the exception itself, after this answer.
        return _error(500, "internal", "the collector met an error of its own", "its log has the reason")


def _error(status: int, code: str, message: str, hint: str = "") -> Response:
    return _Json({"error": {"code": code, "message": message, "hint": hint}}, status_code=status)


def _no_device(device_id: str) -> Response:
    return _error(
        404, "no_such_device", f"no device {device_id}", "GET /api/v1/devices lists those that are known"
    )


def _span(from_: str | None, to: str | None, now: int) -> tuple[int, int]:
    end = now if to is None else _instant(to)
    return (end - HOUR_MS if from_ is None else _instant(from_)), end


def _instant(text: str) -> int:
    """ms since 1970 of a number of them or of ISO 8601, which without an offset is UTC."""
    try:
        ms = int(text)
    except ValueError:
        try:
            moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
            ms = round((moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp() * 1000)
        except (ValueError, OverflowError):
            raise BadRequest(
                f"{text[:64]!r} is no instant", "use ms since 1970, or such as 2026-11-25T10:00:00Z"
            ) from None
    if not -(1 << 52) < ms < 1 << 52:
        raise BadRequest(f"{text[:64]} is too far away", "use ms since 1970, not seconds or nanoseconds")
    return ms


def _microseconds(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1_000_000)


def _step(text: str) -> int | str:
    if text in (views.AUTO, views.WINDOW):
        return text
    if text.isascii() and text.isdigit() and len(text) < 16:
        return int(text)
    raise BadRequest(f"{text[:64]!r} is no step", 'use "auto", "window", or a number of ms')
