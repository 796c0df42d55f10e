"""An exchange as a row: every field there and back over the wire, and nothing else taken."""

from __future__ import annotations

from typing import Any

import pytest

from stonechat.errors import Refused
from stonechat.exchange import Exchange, Operation, Outcome, Provenance, Quantity, Source
from stonechat.exchange_row import BY_NAME, FIELDS, pack, to_row, unpack
from stonechat.ids import exchange_id
from stonechat.transcript import ToolCall, Transcript, Turn

MS = 1_000_000
ID = exchange_id(1_790_000_000_000, 7)


def whole() -> Exchange:
    """An exchange of which everything is known."""
    return Exchange(
        engine="llama",
        id=ID,
        wall_ms=1_790_000_000_000,
        conversation="c1",
        user="u1",
        operation=Operation.CHAT,
        dialect="openai.chat",
        request_model="asked",
        response_model="answered",
        streamed=True,
        outcome=Outcome.ERROR,
        error_type="engine_reset",
        status=200,
        finish_reason="stop",
        accepted_ns=5 * MS,
        request_complete_ns=6 * MS,
        connected_ns=7 * MS,
        first_byte_ns=8 * MS,
        first_token_ns=9 * MS,
        first_content_ns=10 * MS,
        last_byte_ns=15 * MS,
        closed_ns=16 * MS,
        queue_duration=Quantity(MS, Provenance.OBSERVED),
        load_duration=Quantity(2 * MS, Provenance.ENGINE),
        prefill_duration=Quantity(3 * MS, Provenance.ENGINE),
        decode_duration=Quantity(4 * MS, Provenance.ESTIMATED),
        input_tokens=Quantity(10, Provenance.ENGINE),
        cached_tokens=Quantity(0, Provenance.ENGINE),
        output_tokens=Quantity(12, Provenance.ESTIMATED),
        reasoning_tokens=Quantity(2, Provenance.ENGINE),
        context_tokens=22,
        context_limit=4096,
        request_bytes=100,
        response_bytes=200,
        tool_calls=1,
        chunks=12,
        notes={"parser_failed", "context_full"},
        scores={"refusal": 0.25},
        findings=("repetition",),
        transcript=Transcript(
            [Turn("user", "secret words")], "secret answer", tool_calls=[ToolCall("t", "{}")]
        ),
    )


def test_every_field_goes_over_the_wire_and_no_text_does() -> None:
    row = to_row(whole())
    assert set(row) == set(BY_NAME)
    assert row["ttft"] == 4000
    assert row["duration"] == 10_000
    assert row["cached_tokens"] == 0, "known to be none, which is not unknown"
    assert unpack(pack(row)) == row
    assert "secret" not in repr(row)


def test_a_broken_guideline_is_a_finding_like_others() -> None:
    row = {
        **to_row(whole()),
        "findings": ["toxic", "guideline:no-dosage"],
        "scores": {"guideline:no-dosage": 1.0},
    }
    assert unpack(pack(row)) == row


def test_what_is_unknown_is_absent() -> None:
    assert to_row(Exchange(engine="llama")).keys() == {
        "engine", "operation", "source", "outcome", "request_bytes", "response_bytes",
    }  # fmt: skip


def test_ids_and_names_are_unique() -> None:
    assert len({field.id for field in FIELDS}) == len({field.name for field in FIELDS}) == len(FIELDS)


@pytest.mark.parametrize(
    ("number", "value"),
    [(1, "x"), (3, "a sentence of somebody"), (9, 1), (12, -1), (12, True), (12, 1 << 53), (25, 1.5), (60, ["a b"]),
     (60, ["a"] * 65), (62, {"toxic": 10_001}), (62, {"to xic": 1}), (14, "x" * 65), (2, None)],
)  # fmt: skip
def test_what_a_field_cannot_hold_is_refused(number: int, value: Any) -> None:
    with pytest.raises(Refused):
        unpack({**pack(to_row(whole())), number: value})


@pytest.mark.parametrize("plain", [None, [], "x", {}, {1: ID}, {2: 5}, dict.fromkeys(range(1000, 2000), 0)])
def test_what_is_no_row_is_refused(plain: Any) -> None:
    with pytest.raises(Refused):
        unpack(plain)


def test_fields_of_a_later_version_are_passed_over() -> None:
    row = to_row(whole())
    later: dict[Any, Any] = {**pack(row), 999: "later", "text": 1}
    assert unpack(later) == row


def test_a_transcript_says_what_was_asked_last() -> None:
    turns = [Turn("system", "s"), Turn("user", "first"), Turn("assistant", "a"), Turn("user", "second")]
    assert Transcript(turns).prompt == "second"
    assert Transcript([Turn("tool", "42")]).prompt == "42"
    assert Transcript().prompt == ""
    assert Transcript(turns, "answer").size > len("answer")


def test_bytes_that_nobody_counted_are_unknown_and_not_none() -> None:
    told = to_row(Exchange("engine", id=ID, source=Source.RECORD))
    assert not {"request_bytes", "response_bytes"} & told.keys()
    relayed = to_row(Exchange("engine", id=ID, source=Source.RELAY, request_bytes=80))
    assert (relayed["request_bytes"], relayed["response_bytes"]) == (80, 0)
