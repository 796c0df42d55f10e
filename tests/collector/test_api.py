"""The API as a client sees it: through a real uvicorn, over a real store."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import uvicorn
from pydantic import BaseModel
from tests.collector.making import (
    CHAT,
    MINUTE,
    NOW,
    event,
    events_message,
    exchange_row,
    exchanges_message,
    state_message,
    window,
    windows_message,
)

from stonechat import description, sketch
from stonechat.catalog import Kind
from stonechat.records import DEVICE
from stonechat.values import HISTOGRAM_BINS, WEIGHT_ONE, counter, gauge, histogram, tally
from stonechat.wire import Told
from stonechat_collector import live, models, rollup, views
from stonechat_collector.api import create_app
from stonechat_collector.hosts import host_of, is_loopback
from stonechat_collector.ingest import Ingest
from stonechat_collector.store import Store
from stonechat_collector.watch import Watch

BODY = {
    "labels": {"site": "berlin"},
    "hardware": {"class": "raspberry-pi-5", "cores": 4},
    "engines": {"engine": {"dialect": "openai.chat", "build": "b1"}},
    "agent": {"version": "0.1.0"},
}


def busy_window(seq: int, *, rate: int = 20_000, failed: int = 0) -> Any:
    boottime = seq * MINUTE + MINUTE
    chat = {
        1: counter(10),
        2: tally({"error": failed, "ok": 10 - failed} if failed else {"ok": 10}),
        8: counter(failed),
        11: (Kind.SKETCH, *sketch.of([200_000] * 10)),
        15: (Kind.SKETCH, *sketch.of([rate] * 10)),
        21: (Kind.SKETCH, *sketch.of([100] * 10)),
    }
    device = {60: gauge([5000], 1, boottime), 80: counter(30_000_000)}
    return window(seq, values={DEVICE: device, CHAT: chat}, description=description.hash_of(BODY))


@pytest.fixture
def served(store: Store) -> Iterator[httpx.Client]:
    """A fleet of two devices behind a real server, whose clock stands at NOW."""
    ingest = Ingest(store, lambda: NOW)
    for name, rate, failed in (("kiosk-1", 20_000, 0), ("kiosk-2", 19_000, 5)):
        ingest.take(
            [
                state_message(True, 1, 1, device=name, description=BODY),
                windows_message(
                    [busy_window(seq, rate=rate, failed=failed) for seq in range(165, 180)], device=name
                ),
                events_message([event(1, start=NOW - 5000), event(2, start=NOW - 4000)], device=name),
            ]
        )
    while rollup.advance(store, NOW):
        pass
    Watch(store).round(NOW)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(
            create_app(store, clock_ms=lambda: NOW), log_level="warning", timeout_graceful_shutdown=1
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])), daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        with httpx.Client(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=60) as client:
            yield client
        server.should_exit = True
        thread.join(60)
        assert not thread.is_alive()


def read(client: httpx.Client, path: str, model: type[BaseModel]) -> dict[str, Any]:
    """The JSON of an address, which must be as the OpenAPI description says."""
    response = client.get(path)
    assert response.status_code == 200, response.text
    model.model_validate_json(response.text, strict=True)
    found: dict[str, Any] = response.json()
    return found


def error_of(response: httpx.Response) -> tuple[int, str]:
    models.Error.model_validate_json(response.text, strict=True)
    return response.status_code, response.json()["error"]["code"]


def test_devices_are_listed_worst_first_with_their_figures(served: httpx.Client) -> None:
    found = read(served, "/api/v1/devices", models.Devices)
    assert found["summary"]["sentence"] == "1 of 2 devices is well. 1 failing."
    failing, well = found["devices"]
    assert (failing["id"], failing["status"]) == ("kiosk-2", "failing")
    assert failing["reason"] == "50% of 150 exchanges failed"
    assert (well["id"], well["status"], well["reason"]) == ("kiosk-1", "well", "")
    assert well["labels"] == {"site": "berlin"}
    assert well["engine"] == {"name": "engine", "dialect": "openai.chat", "build": "b1"}
    assert well["model"] == "model"
    assert well["agent_version"] == "0.1.0"
    assert well["metrics"]["tokens_per_second"] == pytest.approx(20, rel=0.02)
    assert well["metrics"]["ttft_p95_seconds"] == pytest.approx(0.2, rel=0.02)
    assert well["metrics"]["cpu_utilization"] == 0.5
    assert well["metrics"]["cpu_pressure"] == 0.5
    assert well["metrics"]["gpu_utilization"] is None


def judged_window(seq: int, *, toxic: int = 1, silent: bool = False) -> Any:
    """Ten answers of which one was judged for itself and one for nine; ``silent``: models were never spoken of."""
    bins = [0] * HISTOGRAM_BINS
    bins[19], bins[0] = toxic * WEIGHT_ONE, (10 - toxic) * WEIGHT_ONE
    judged = {
        200: histogram(2, bins),
        240: tally({"language": 1}),
        244: tally({"no-dosage": 1}),
        245: tally({"no-dosage": 9}),
        246: tally({"glance": 9, "judge": 2}),
        247: counter(10 * WEIGHT_ONE),
        248: tally({"any": toxic * WEIGHT_ONE, "toxic": toxic * WEIGHT_ONE}) if toxic else tally({}),
    }
    answers = {1: counter(10), 242: counter(10), 243: tally({"repetition": 1})}
    return window(seq, values={CHAT: answers if silent else {**answers, **judged}})


def test_answers_are_judged_flagged_and_covered_and_unknown_where_nothing_was_said(store: Store) -> None:
    ingest = Ingest(store, lambda: NOW)
    ingest.take([windows_message([judged_window(seq, toxic=seq % 2) for seq in (176, 177)])])
    ingest.take([windows_message([judged_window(177, silent=True)], device="kiosk-2")])
    while rollup.advance(store, NOW):
        pass
    found = views.device(store, "kiosk-1", NOW)
    assert found is not None
    models.DeviceDetail.model_validate_json(json.dumps(found), strict=True)
    metrics = found["metrics"]
    assert (metrics["answers_checked"], metrics["judged_ratio"], metrics["flagged_ratio"]) == (20, 0.9, 0.05)
    assert metrics["guidelines_broken"] == 2
    assert found["answers"]["judged"] == {"glance": 18, "judge": 4}
    assert found["answers"]["skipped"] == {"language": 2}
    assert found["answers"]["heads"] == {"toxic": {"flagged_ratio": 0.05, "mean": 0.0725}}
    assert found["answers"]["guidelines"] == {"no-dosage": {"held": 18, "broken": 2}}
    silent = views.device(store, "kiosk-2", NOW)
    assert silent is not None
    assert silent["metrics"]["answers_checked"] == 10
    assert {silent["metrics"][name] for name in ("judged_ratio", "flagged_ratio", "guidelines_broken")} == {
        None
    }
    course = views.device_windows(store, "kiosk-1", NOW - 60 * MINUTE, NOW)["metrics"]
    assert course["stonechat.flags"]["points"][-1]["counts"] == {"any": 1.0, "toxic": 1.0}
    assert course["stonechat.answers.weight"]["points"][0]["sum"] == 10
    toxic = course["stonechat.score.toxic"]["points"][-1]
    assert (toxic["count"], toxic["weight"], toxic["bins"][19]) == (2, 10, 1)


def test_a_device_has_its_series_and_counts(served: httpx.Client) -> None:
    found = read(served, "/api/v1/devices/kiosk-1", models.DeviceDetail)
    assert [(row["model"], row["exchanges"]) for row in found["series"]] == [("model", 150)]
    assert found["counts"] == {"windows": 15, "expired": 0, "refused": 0, "rejected": 0}
    assert error_of(served.get("/api/v1/devices/kiosk-9")) == (404, "no_such_device")
    assert error_of(served.get("/api/v1/devices/KIOSK")) == (400, "invalid_parameter")


@pytest.mark.parametrize(("step", "source", "points"), [(60_000, "windows", 15), (600_000, "rollups", 2)])
def test_a_course_has_points_where_anything_was_measured(
    served: httpx.Client, step: int, source: str, points: int
) -> None:
    path = f"/api/v1/devices/kiosk-1/windows?from={NOW - 60 * MINUTE}&to={NOW}&step={step}"
    found = read(served, path, models.Course)
    assert found["source"] == source
    ttft = found["metrics"]["gen_ai.server.time_to_first_token"]
    assert (ttft["unit"], ttft["kind"]) == ("s", "sketch")
    assert len(ttft["points"]) == len(found["spans"]) == points
    assert sum(point["count"] for point in ttft["points"]) == 150
    assert ttft["points"][0]["p50"] == pytest.approx(0.2, rel=0.02)
    assert [row["model"] for row in ttft["series"]] == ["model"]
    assert sum(point["sum"] for point in found["metrics"]["stonechat.exchanges"]["points"]) == 150
    assert found["metrics"]["system.cpu.utilization"]["points"][0]["mean"] == 0.5


def test_exchanges_are_listed_filtered_and_read_one_by_one(served: httpx.Client, store: Store) -> None:
    texts = {"prompt": [["user", "Open?"]], "answer": "At nine."}
    told = [
        Told(exchange_row(1, findings=["repetition"], scores={"toxic": 0.1}), texts, "flagged", "kept"),
        Told(exchange_row(2, outcome="error", error_type="timeout"), None, "failed", "not_flagged"),
    ]
    Ingest(store, lambda: NOW).take([exchanges_message(told, upload="flagged")])
    path = "/api/v1/devices/kiosk-1/exchanges"
    found = read(served, path, models.Exchanges)
    assert [item["id"] for item in found["exchanges"]] == [item.row["id"] for item in told]
    assert found["exchanges"][0]["duration"] == 2_000_000
    assert found["exchanges"][1]["no_texts"] == "not_flagged"
    for query, number in (
        ("model=model&min_duration_seconds=2", 2),
        ("min_duration_seconds=2.000001", 0),
        ("min_ttft_seconds=0.5&finding=any", 1),
        ("outcome=error&error_type=timeout", 1),
        ("q=at%20NINE", 1),
        (f"from={NOW - 1500}", 1),
        (f"to={NOW - 1500}&sort=ttft&dir=up", 1),
    ):
        assert len(read(served, f"{path}?{query}", models.Exchanges)["exchanges"]) == number, query
    first = read(served, f"{path}?limit=1", models.Exchanges)
    second = read(served, f"{path}?limit=1&cursor={first['next']}", models.Exchanges)
    assert (second["exchanges"][0]["id"], second["next"]) == (told[1].row["id"], None)
    one = read(served, f"{path}/{told[0].row['id']}", models.ExchangeDetail)
    assert (one["texts"], one["texts_allowed"], one["chosen"]) == (texts, "flagged", "flagged")
    other = read(served, f"{path}/{told[1].row['id']}", models.ExchangeDetail)
    assert (other["texts"], other["no_texts_key"]) == (None, "privacy.journal")
    assert error_of(served.get(f"{path}/{'0' * 13}")) == (404, "no_such_exchange")
    assert error_of(served.get("/api/v1/devices/kiosk-9/exchanges")) == (404, "no_such_device")
    for query in ("model=two%20words", "outcome=well", "cursor=x", "sort=row", "q=", "min_ttft_seconds=nan"):
        assert error_of(served.get(f"{path}?{query}")) == (400, "invalid_parameter"), query


def test_a_fleets_course_counts_devices(served: httpx.Client) -> None:
    found = read(served, f"/api/v1/fleet?from={NOW - 60 * MINUTE}&to={NOW}&fleet=shops", models.Course)
    assert {span["devices"] for span in found["spans"]} == {2}
    assert sum(p["sum"] for p in found["metrics"]["stonechat.exchanges.failed"]["points"]) == 75


def test_events_page_backwards_without_a_gap(served: httpx.Client) -> None:
    first = read(served, "/api/v1/events?limit=3", models.Events)
    second = read(served, f"/api/v1/events?limit=3&cursor={first['next']}", models.Events)
    assert second["next"] is None
    times = [item["time"] for item in [*first["events"], *second["events"]]]
    assert times == [NOW - 4000, NOW - 4000, NOW - 5000, NOW - 5000]
    one = read(served, "/api/v1/events?device=kiosk-1&severity=critical", models.Events)
    assert one["events"] == []


@pytest.mark.parametrize(
    "query",
    [
        "from=yesterday",
        "from=5&to=4",
        "step=0",
        "step=1000",
        "step=tiny",
        "to=99999999999999999999",
        "from=0",
    ],
)
def test_a_question_that_cannot_be_answered_says_why(served: httpx.Client, query: str) -> None:
    path = f"/api/v1/devices/kiosk-1/windows?{query}"
    assert error_of(served.get(path)) == (400, "invalid_parameter")


def test_unknown_addresses_and_methods_are_errors_of_the_same_form(served: httpx.Client) -> None:
    assert error_of(served.get("/api/v1/nothing")) == (404, "not_found")
    assert error_of(served.post("/api/v1/devices")) == (405, "method_not_allowed")
    assert error_of(served.get("/api/v1/events?severity=loud")) == (400, "invalid_parameter")
    for cursor in ("x", "9" * 40 + ".1", "1." + "9" * 40, "1.2.3", "١.٢"):
        assert error_of(served.get(f"/api/v1/events?cursor={cursor}")) == (400, "invalid_parameter"), cursor


def test_openapi_describes_every_route_with_its_model(served: httpx.Client) -> None:
    document = served.get("/api/v1/openapi.json").json()
    assert document["openapi"].startswith("3.")
    for path in (
        "/devices",
        "/devices/{device_id}",
        "/devices/{device_id}/windows",
        "/fleet",
        "/events",
        "/devices/{device_id}/exchanges",
        "/devices/{device_id}/exchanges/{exchange_id}",
    ):
        answer = document["paths"][f"/api/v1{path}"]["get"]["responses"]["200"]
        name = answer["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        assert document["components"]["schemas"][name]["properties"]
    references = [part.split('"')[0] for part in json.dumps(document).split("#/components/schemas/")[1:]]
    assert set(references) <= document["components"]["schemas"].keys()


def test_metrics_are_prometheus_text(served: httpx.Client) -> None:
    response = served.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = response.text.splitlines()
    assert 'stonechat_collector_devices{fleet="shops",status="failing"} 1' in lines
    assert 'stonechat_collector_records_total{process="ingest"} 30' in lines
    assert "stonechat_collector_rollup_pending_records 0" in lines
    named = {line.split()[2] for line in lines if line.startswith("# TYPE")}
    assert all(line.startswith("#") or line.partition("{")[0].split()[0] in named for line in lines)


def test_healthz_says_what_is_wrong(served: httpx.Client) -> None:
    response = served.get("/healthz")
    assert (response.status_code, response.json()) == (200, {"status": "ok", "problems": []})


def test_a_name_that_resolves_to_this_machine_is_refused(served: httpx.Client) -> None:
    for host in ("evil.example", "127.0.0.1.evil.example", ""):
        assert error_of(served.get("/api/v1/devices", headers={"host": host})) == (421, "wrong_host")
    assert served.get("/api/v1/devices", headers={"host": "localhost:1"}).status_code == 200


@pytest.mark.parametrize(
    ("header", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.0.1:80", True),
        ("[::1]:8400", True),
        ("LOCALHOST:8400", True),
        ("localhost.evil.example:8400", False),
        ("0.0.0.0:8400", False),
        ("10.0.0.1", False),
        ("", False),
    ],
)
def test_only_names_of_this_machine_are_loopback(header: str, loopback: bool) -> None:
    assert is_loopback(host_of(header)) is loopback


def test_the_stream_tells_what_changes(
    served: httpx.Client, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "POLL_SECONDS", 0.05)
    known = threading.Event()
    newest_event = views.newest_event

    def noted(of: Store) -> int:
        found = newest_event(of)
        known.set()  # from now on what changes is told
        return found

    monkeypatch.setattr(views, "newest_event", noted)
    ingest = Ingest(store, lambda: NOW + 1000)
    with served.stream("GET", "/api/v1/stream") as response:
        lines = response.iter_lines()
        assert next(lines) == "retry: 2000"
        assert known.wait(60)
        ingest.take([windows_message([window(200)]), events_message([event(9)])])
        told: dict[str, Any] = {}
        kind = ""
        for line in lines:
            if line.startswith("event: "):
                kind = line[7:]
            elif line.startswith("data: "):
                told[kind] = json.loads(line[6:])
                if len(told) == 2:
                    break
    assert told["devices"]["devices"] == ["kiosk-1"]
    assert [item["kind"] for item in told["events"]["events"]] == ["engine_down"]


def test_the_fleet_page_is_served_beside_the_api(served: httpx.Client) -> None:
    response = served.get("/", headers={"accept": "text/html"})
    assert response.status_code == 200
    assert "kiosk-2" in response.text
    assert served.get("/devices/kiosk-1").status_code == 200
