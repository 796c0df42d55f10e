"""The client and the agent's endpoint understand each other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from stonechat.client import Client, Counts, Recording
from stonechat.exchange import Exchange, Outcome
from stonechat_agent.local.endpoint import Endpoint
from stonechat_agent.local.exchanges import ExchangeIntake


def taken(use: Callable[[Client], None]) -> tuple[list[Exchange], Counts]:
    """What an agent took of what a client was told, and what the client counted."""
    exchanges: list[Exchange] = []

    async def run() -> Counts:
        takes = {"/v1/exchanges": ExchangeIntake(exchanges.append, lambda: ("llama",))}
        endpoint = Endpoint({}, takes=takes)
        sender = Client(f"http://127.0.0.1:{await endpoint.start('127.0.0.1', 0)}")
        try:
            use(sender)
            assert await asyncio.get_running_loop().run_in_executor(None, sender.flush, 60)
            return sender.counts()
        finally:
            await endpoint.stop()

    counts = asyncio.run(run())
    return exchanges, counts


def test_what_an_application_tells_arrives() -> None:
    def use(sender: Client) -> None:
        sender.record(
            model="m:1b", messages=[{"role": "user", "content": "Hello?"}], response="\ud83d \U0001f600"
        )
        with Recording(sender, {"model": "m:1b"}) as call:
            call.token("Hel")
            call.token("lo!")
            call.output_tokens, call.output_tokens_from = 2, "engine"
        with pytest.raises(TimeoutError), Recording(sender, {"prompt": "Hello?"}):
            raise TimeoutError("after 30 s")

    (told, measured, failed), counts = taken(use)
    assert counts == (3, 3, 0, 0)
    assert told.transcript is not None
    assert (told.transcript.prompt, told.transcript.answer) == ("Hello?", "\ufffd \U0001f600")
    assert measured.transcript is not None
    assert measured.transcript.answer == "Hello!"
    assert (measured.streamed, measured.chunks) == (True, 2)
    assert measured.duration_ns is not None
    assert measured.elapsed(measured.first_token_ns) is not None
    assert (failed.outcome, failed.error_type) == (Outcome.ERROR, "timeout")


def test_a_key_that_is_none_is_the_agents_to_refuse(caplog: pytest.LogCaptureFixture) -> None:
    exchanges, counts = taken(lambda sender: sender.record(respons="Hello!"))
    assert exchanges == []
    assert counts == (1, 0, 1, 0)
    assert "did you mean 'response'?" in caplog.text


def test_a_burst_of_ten_thousand_is_taken_or_counted() -> None:
    def use(sender: Client) -> None:
        for number in range(10_000):
            sender.record(response=str(number), output_tokens=number)

    exchanges, counts = taken(use)
    assert counts.accepted == len(exchanges) >= 2_000
    assert counts.accepted + counts.dropped == 10_000
