"""A real llama-server behind a real agent: the journal has the engine's own figures of every exchange."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from tests.engine.cases import BY_NAME, CASES, ENDLESS, Case
from tests.engine.conftest import Relays
from tests.engine.servers import CONTEXT, LlamaServer, busy, talk, until
from tests.engine.truth import differences, expected
from tests.ports import free_port


class Driven(NamedTuple):
    """A case that was driven, and its row in the journal."""

    response: bytes
    began: float
    took_us: float
    row: dict[str, Any]


@pytest.fixture(scope="module")
def driven(agent: Relays) -> dict[str, Driven]:
    """All cases, one after the other: the journal writes in batches, and is waited for once."""
    before, seen = agent.journal.last(), []
    for case in CASES:
        began = time.time()
        response = talk(agent.ports[case.form], case.request, case.leave, case.after_seconds)
        seen.append((response, began, (time.time() - began) * 1e6))
    with contextlib.suppress(AssertionError):  # which of them is missing is for its own test to say
        until(lambda: len(agent.journal.rows(before)) >= len(CASES), 60)
    rows = sorted(agent.journal.rows(before), key=lambda row: row["start"])
    assert len(rows) == len(CASES), [(row["dialect"], row["outcome"]) for row in rows]
    return {case.name: Driven(*one, row) for case, one, row in zip(CASES, seen, rows, strict=True)}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_journal_has_what_the_answer_said(case: Case, driven: dict[str, Driven]) -> None:
    response, began, took_us, row = driven[case.name]
    wanted = expected(case.path, response, left=bool(case.leaves))
    if case.leaves:
        # What the engine said while its client was leaving reached the relay and not the client.
        for figure in ("output_tokens", "decode"):
            assert row.get(figure, 0) >= wanted.pop(figure, 0)
    assert differences(row, wanted) == {}, row
    assert row["engine"] == case.form
    assert row["source"] == "relay"
    assert row["request_bytes"] == len(case.request)
    assert abs(row["start"] / 1000 - began) < 2
    assert row.get("notes", "").split() == (["context_full"] if "end_of_the_context" in case.name else [])
    # The instants that there are come in their order, and the answer ended when its client had it.
    instants = [row[name] for name in ("request_complete", "ttfb", "ttft", "duration") if name in row]
    assert instants == sorted(instants)
    if case.leaves:
        assert row["closed"] > 0
    else:
        assert 0 < row["duration"] <= took_us
        assert "closed" not in row
    if row.get("streamed") and row["outcome"] == "ok":
        assert row["ttft"] >= row["ttfb"] > 0  # equal where one segment brings both
        assert row["chunks"] >= 1
    if case.leaves == "decode":
        assert 1 <= row["output_tokens"] < 100


def test_phases_fill_the_time_that_the_client_saw(driven: dict[str, Driven]) -> None:
    row = driven["native_to_the_end_of_the_context"].row
    assert row["context_tokens"] >= CONTEXT - 10
    phases = row["prefill"] + row["decode"] + row.get("queue", 0)
    assert 0.9 * row["duration"] < phases <= row["duration"] + 1_000


def test_a_request_that_waits_for_a_slot_has_a_queue(agent: Relays) -> None:
    before = agent.journal.last()
    port, waiting = agent.ports["plain"], BY_NAME["native_stream"]
    with busy(port, ENDLESS.request, 2):
        time.sleep(0.2)
        late = threading.Thread(target=talk, args=(port, waiting.request))
        late.start()
        time.sleep(0.5)
    late.join()
    until(lambda: len(agent.journal.rows(before)) == 3)
    queues = sorted(row["queue"] for row in agent.journal.rows(before))
    assert queues[1] < 150_000
    assert queues[2] > 300_000


def test_an_engine_that_is_killed_in_the_middle_of_an_answer(
    started: Callable[..., LlamaServer], relays: Callable[..., Relays]
) -> None:
    server = started()
    agent = relays({"plain": server.port})
    seen: list[bytes] = []

    def killing(got: bytes) -> bool:
        if got.count(b"\ndata: ") >= 5 and not seen:
            seen.append(got)
            server.kill()
        return False

    with contextlib.suppress(ConnectionError):
        talk(agent.ports["plain"], BY_NAME["chat_left_in_decode"].request, killing)
    row = agent.journal.next(0)
    assert (row["outcome"], row["error_type"], row["status"]) == ("error", "engine_reset", 200)
    assert row["output_tokens"] >= 4  # of five events the first is only a role
    assert row["output_tokens_from"] == "estimated"


def test_an_engine_that_is_not_there(relays: Callable[..., Relays]) -> None:
    agent = relays({"plain": free_port()})
    answer = talk(agent.ports["plain"], BY_NAME["chat"].request)
    assert answer.startswith(b"HTTP/1.1 502")
    row = agent.journal.next(0)
    assert (row["outcome"], row["error_type"], row["status"]) == ("error", "engine_refused", 502)


def test_an_engine_that_still_loads(
    started: Callable[..., LlamaServer], relays: Callable[..., Relays]
) -> None:
    port = free_port()
    agent = relays({"plain": port})
    server = started(wait=False, port=port)
    answers: list[bytes] = []

    def answered() -> bool:
        answers.append(talk(agent.ports["plain"], BY_NAME["chat"].request))
        return answers[-1].startswith(b"HTTP/1.1 200")

    deadline = time.monotonic() + 20
    while not answered():
        assert time.monotonic() < deadline
        time.sleep(0.005)
    assert server.process is not None
    loading = [answer for answer in answers if answer.startswith(b"HTTP/1.1 503")]
    assert loading, "it was never seen loading"
    assert json.loads(loading[0].partition(b"\r\n\r\n")[2])["error"]["message"] == "Loading model"
    until(lambda: len(agent.journal.rows()) == len(answers))
    for row, answer in zip(agent.journal.rows(), answers, strict=True):
        if answer.startswith(b"HTTP/1.1 503"):
            assert (row["outcome"], row["error_type"]) == ("error", "loading")


def test_busy_slots_are_in_the_windows_while_they_are_busy(agent: Relays) -> None:
    with busy(agent.ports["plain"], ENDLESS.request, 2):
        until(lambda: b'stonechat_engine_slots_busy{engine="plain"} 2' in agent.get("/metrics")[1])


def test_another_model_behind_the_same_address_is_an_event(
    started: Callable[..., LlamaServer], relays: Callable[..., Relays]
) -> None:
    server = started()
    agent = relays({"plain": server.port})
    talk(agent.ports["plain"], BY_NAME["chat"].request)
    agent.wait(lambda: "engine changed" not in agent.log())
    time.sleep(1)
    server.kill()
    started("tools", port=server.port)
    agent.wait(lambda: bool(talk(agent.ports["plain"], BY_NAME["chat"].request)))
    agent.wait(lambda: "engine changed" in agent.log(), 90)
    assert "template_before" in agent.log()
