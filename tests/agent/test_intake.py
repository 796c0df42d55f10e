"""What applications and files tell of an exchange: which of it is taken, and what is refused with which reason."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stonechat.exchange import Exchange, Operation, Outcome, Provenance, Quantity, Source
from stonechat.exchange_row import FIELDS, to_row
from stonechat.ids import exchange_id
from stonechat.transcript import Turn
from stonechat_agent import intake
from stonechat_agent.commands.plain import plain
from stonechat_agent.intake import Unfit, to_exchange
from stonechat_agent.journal import Entry, Texts
from stonechat_agent.scoring.tier0 import Tier0

NOW_NS, NOW_MS = 10**15, 1_769_860_800_000


def taken(told: object, engines: tuple[str, ...] = ("llama", "ollama"), **changed: Any) -> Exchange:
    source = changed.get("source", Source.RECORD)
    return to_exchange(told, source=source, engines=engines, now_ns=NOW_NS, now_ms=NOW_MS)


def refused(told: object, **changed: Any) -> str:
    with pytest.raises(Unfit) as error:
        taken(told, **changed)
    return str(error.value)


WHOLE: dict[str, Any] = {
    "model": "qwen:0.5b",
    "request_model": "qwen",
    "messages": [{"role": "developer", "content": "Be kind."}, {"role": "user", "content": "Hello?"}],
    "response": "Hello!",
    "reasoning": "They greet.",
    "tool_calls": [{"function": {"name": "clock", "arguments": {"zone": "UTC"}}}],
    "tools": ["clock"],
    "start": "2026-01-31T12:00:00Z",
    "duration": 2.5,
    "time_to_first_token": 0.5,
    "queue": 0.125,
    "prefill": 0.25,
    "input_tokens": 12,
    "output_tokens": 40,
    "output_tokens_from": "engine",
    "finish_reason": "end_turn",
    "operation": "chat",
    "engine": "ollama",
    "user": "ann@example.org",
    "conversation": "till 3, 12:00",
    "streamed": True,
    "status": 200,
}


def test_a_whole_record_becomes_an_exchange() -> None:
    exchange = taken(WHOLE)
    row = to_row(exchange)
    assert row == {
        "start": 1_769_860_800_000,
        "engine": "ollama",
        "model": "qwen:0.5b",
        "request_model": "qwen",
        "operation": "chat",
        "source": "record",
        "streamed": True,
        "outcome": "ok",
        "status": 200,
        "finish_reason": "stop",
        "ttft": 500_000,
        "duration": 2_500_000,
        "queue": 125_000,
        "queue_from": "observed",
        "prefill": 250_000,
        "prefill_from": "observed",
        "decode": 2_000_000,
        "decode_from": "estimated",
        "input_tokens": 12,
        "input_tokens_from": "observed",
        "output_tokens": 40,
        "output_tokens_from": "engine",
        "context_tokens": 52,
        "tool_calls": 1,
    }
    transcript = exchange.transcript
    assert transcript is not None
    assert [tuple(turn) for turn in transcript.turns] == [("system", "Be kind."), ("user", "Hello?")]
    assert (transcript.answer, transcript.reasoning, transcript.tools) == (
        "Hello!",
        "They greet.",
        ("clock",),
    )
    assert [tuple(call) for call in transcript.tool_calls] == [("clock", '{"zone": "UTC"}')]
    # As they came: the pipeline makes pseudonyms of them.
    assert (transcript.user, transcript.conversation) == ("ann@example.org", "till 3, 12:00")
    assert (exchange.user, exchange.conversation) == (None, None)


def test_what_is_not_told_is_unknown() -> None:
    exchange = taken({"prompt": "a", "response": "b", "duration": None})
    assert exchange.engine == "llama"
    assert exchange.operation is Operation.CHAT
    assert (exchange.duration_ns, exchange.first_token_ns, exchange.input_tokens) == (None, None, None)
    assert (exchange.status, exchange.streamed, exchange.finish_reason) == (None, None, None)
    assert exchange.wall_ms == NOW_MS


def test_an_exchange_without_a_start_began_its_duration_ago() -> None:
    exchange = taken({"duration": 90})
    assert exchange.wall_ms == NOW_MS - 90_000
    assert exchange.last_byte_ns == NOW_NS
    assert exchange.duration_ns == 90 * 10**9


@pytest.mark.parametrize(
    ("start", "after_ms"),
    [
        ("2026-01-31T12:00:00Z", 0),
        ("2026-01-31 12:00:00.5z", 500),
        ("2026-01-31T13:00:00,123456789+0100", 123),
        ("2026-01-31T06:30:00.001-05:30", 1),
        (NOW_MS, 0),
        (NOW_MS + 0.9, 0),
    ],
)
def test_when_it_began(start: object, after_ms: int) -> None:
    assert taken({"start": start}).wall_ms == NOW_MS + after_ms


@pytest.mark.parametrize(
    ("told", "outcome", "error_type"),
    [
        ({"error": "CUDA error: out of memory"}, Outcome.ERROR, "out_of_memory"),
        ({"error": "it broke"}, Outcome.ERROR, None),
        ({"error_type": "timeout"}, Outcome.ERROR, "timeout"),
        ({"error_type": "KeyError: ann"}, Outcome.ERROR, None),
        ({"status": 503}, Outcome.ERROR, "http_5xx"),
        ({"error": "gone", "outcome": "aborted"}, Outcome.ABORTED, None),
        ({"response": "fine", "status": 200}, Outcome.OK, None),
    ],
)
def test_how_it_ended(told: dict[str, Any], outcome: Outcome, error_type: str | None) -> None:
    exchange = taken(told)
    assert (exchange.outcome, exchange.error_type) == (outcome, error_type)


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ([], "must be an object"),
        ({}, "is empty"),
        ({"model": None}, "is empty"),
        ({"respons": "x"}, "no key 'respons' is known: did you mean 'response'?"),
        ({"ttft": 1}, "no key 'ttft' is known: did you mean 'time_to_first_token'?"),
        ({"prompt_tokens": 1}, "did you mean 'input_tokens'?"),
        ({"call me on 0123 456": 1}, "no key 'that' is known"),
        ({"prompt": "a", "messages": []}, "prompt: must not be given together with messages"),
        ({"prompt": 3}, "prompt: must be text"),
        ({"messages": ["hello"]}, "messages: must be a list"),
        ({"duration": "3s"}, "duration: must be seconds"),
        ({"duration": -1}, "duration: must be seconds"),
        ({"duration": float("nan")}, "duration: must be seconds"),
        ({"duration": True}, "duration: must be seconds"),
        ({"duration": 1, "time_to_first_token": 2}, "must not be beyond duration"),
        ({"input_tokens": 1.5}, "input_tokens: must be a whole number"),
        ({"input_tokens": 1, "input_tokens_from": "guess"}, "input_tokens_from: must be one of engine"),
        ({"start": "yesterday"}, "start: must be ISO 8601"),
        ({"start": ""}, "start: must be ISO 8601"),
        ({"start": "2026-02-30T12:00:00Z"}, "start: must be ISO 8601"),
        ({"start": "2026-01-31T12:00:00+99:00"}, "start: must be ISO 8601"),
        ({"start": "2026-01-31T12:00:00"}, "start: must name its time zone"),
        ({"start": True}, "start: must be ISO 8601"),
        ({"start": float("inf")}, "start: must be ISO 8601"),
        ({"engine": "vllm"}, "engine: must be one of the agent's engines: llama, ollama"),
        ({"operation": "talk"}, "operation: must be one of chat"),
        ({"outcome": []}, "outcome: must be one of ok"),
        ({"status": 20}, "status: must be a status of HTTP"),
        ({"streamed": 1}, "streamed: must be true or false"),
        ({"tool_calls": "clock"}, "tool_calls: must be a list"),
        ({"user": "x" * 257}, "user: must be text of 256 characters at most"),
        ({"id": "mine", "model": "m"}, "id: must be the id of an exchange"),
        ({"id": "0" * 13, "duration": 1.5}, "duration: must be whole microseconds"),
        ({"id": "0" * 13, "scores": {"toxic": 2}}, "scores: must be numbers from 0 to 1"),
    ],
)
def test_what_is_refused_and_why(told: object, reason: str) -> None:
    assert reason in refused(told)


def test_a_reason_never_holds_a_text() -> None:
    secret = "my card is 4111"
    for key in sorted(intake.RECORD_KEYS):
        for value in (secret, [secret], {"a": secret}):
            reason = ""
            try:
                taken({key: value})
            except Unfit as error:
                reason = str(error)
            assert "4111" not in reason
    assert "4111" not in refused({secret: 1})


def test_names_of_strangers_are_identifiers_or_other() -> None:
    told = {"model": "my model!", "dialect": "x y", "tools": ["a b"], "tool_calls": [{"name": "c d"}]}
    exchange = taken(told)
    assert exchange.transcript is not None
    assert (exchange.response_model, exchange.dialect) == ("other", "other")
    assert exchange.transcript.tools == ("other",)
    assert exchange.transcript.tool_calls[0].name == "other"


def test_texts_are_bounded_and_the_latest_turns_stay() -> None:
    turns = [{"role": "user", "content": f"{number} " + "x" * 40_000} for number in range(4)]
    exchange = taken({"messages": turns, "response": "y" * 100_000})
    transcript = exchange.transcript
    assert transcript is not None
    assert transcript.cut
    assert transcript.prompt.startswith("3 ")
    assert len(transcript.answer) == intake.ANSWER_CHARACTERS
    assert transcript.size < 150_000


def test_parts_that_are_no_text_stand_as_words() -> None:
    content = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": "data:"}},
    ]
    transcript = taken({"messages": [{"role": "user", "content": content}]}).transcript
    assert transcript is not None
    assert transcript.prompt == "What is this?\n[image]"


def test_lone_surrogates_are_replaced_and_pairs_are_kept() -> None:
    told = json.loads('{"response": "\\ud83d\\ude00 \\ud800", "user": "\\udc00"}')
    transcript = taken(told).transcript
    assert transcript is not None
    assert transcript.answer == "\U0001f600 \ufffd"
    assert transcript.user == "\ufffd"


def test_a_row_reads_back_as_it_was() -> None:
    exchange = taken(WHOLE)
    exchange.id = "0123456789abc"
    exchange.source = Source.REPLAY
    exchange.user, exchange.conversation = "u-1a2b1a2b1a2b", "c-3d4e3d4e3d4e"
    exchange.findings, exchange.scores = ("repetition",), {"repetition": 0.75}
    exchange.notes = {"context_full"}
    exchange.cached_tokens = Quantity(3, Provenance.ENGINE)
    exchange.error_type, exchange.outcome = "timeout", Outcome.ERROR
    exchange.connected_ns = exchange.accepted_ns + 7_000
    exchange.closed_ns = exchange.accepted_ns + 9_000_000
    exchange.chunks, exchange.context_limit = 9, 4096
    exchange.request_bytes, exchange.response_bytes = 80, 900
    row = to_row(exchange)
    assert {field.name for field in FIELDS} - set(row) == {
        *("dialect", "request_complete", "ttfb", "ttfc", "load", "load_from"),
        *("reasoning_tokens", "reasoning_tokens_from"),
    }
    assert to_row(taken(row, source=Source.REPLAY)) == row


def test_texts_of_a_row_are_read_as_export_writes_them() -> None:
    texts = Texts([("system", "Be kind."), ("user", "Hello?")], "Hello!", "", [("clock", "{}")], "late", True)
    row = {"id": "0123456789abc", "start": NOW_MS, "outcome": "ok", "tool_calls": 1, "user": "u-0123456789ab"}
    entry = Entry(1, row, "kept", texts, None, False)
    exchange = taken(json.loads(json.dumps(plain(entry, texts=True))), source=Source.REPLAY)
    transcript = exchange.transcript
    assert transcript is not None
    assert [tuple(turn) for turn in transcript.turns] == texts.prompt
    assert (transcript.answer, transcript.error, transcript.cut) == ("Hello!", "late", True)
    assert [tuple(call) for call in transcript.tool_calls] == texts.tool_calls
    assert (exchange.outcome, exchange.tool_calls, exchange.user) == (Outcome.OK, 1, "u-0123456789ab")
    assert taken(plain(entry, texts=False), source=Source.REPLAY).tool_calls == 1


def test_a_row_without_texts_has_no_transcript() -> None:
    exchange = taken({"id": "0123456789abc", "tool_calls": 2, "user": "u-0123456789ab"}, source=Source.REPLAY)
    assert (exchange.transcript, exchange.tool_calls, exchange.user) == (None, 2, "u-0123456789ab")


@pytest.mark.parametrize("name", ["ann@example.org", "u-1", "u-ann-example1", "c-0123456789ab?"])
def test_a_name_in_a_row_is_no_pseudonym_unless_it_looks_like_one(name: str) -> None:
    """Else whoever adds an id to a record would send names of people to the collector."""
    exchange = taken({"id": "0123456789abc", "user": name, "conversation": name})
    assert (exchange.user, exchange.conversation) == (None, None)
    assert exchange.transcript is not None  # the pipeline makes pseudonyms of them
    assert (exchange.transcript.user, exchange.transcript.conversation) == (name, name)


@pytest.mark.parametrize(
    ("told", "findings"),
    [
        (
            {"model": "m", "input_tokens": 12, "output_tokens": 40, "duration": 2.5, "finish_reason": "stop"},
            None,
        ),
        ({"prompt": "Hello?", "user": "ann"}, None),
        ({"prompt": "Hello?", "response": ""}, ("empty",)),
    ],
)
def test_an_answer_that_was_not_told_of_is_not_an_empty_one(
    told: dict[str, Any], findings: tuple[str, ...] | None
) -> None:
    found = Tier0(b"key").check(taken(told))
    assert (found.findings if found is not None else None) == findings


def test_an_application_cannot_choose_an_id() -> None:
    assert taken({"id": "0123456789abc", "model": "m"}).id == ""


def test_a_recording_of_another_device_keeps_its_engines() -> None:
    assert taken({"engine": "elsewhere"}, engines=()).engine == "elsewhere"
    assert taken({"model": "m"}, engines=()).engine == "engine"
    assert "an identifier" in refused({"engine": "else where"}, engines=())


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.dictionaries(st.sampled_from(sorted(intake.RECORD_KEYS | intake.ROW_KEYS)), _json, max_size=6) | _json
)
def test_anything_is_taken_or_unfit(told: object) -> None:
    try:
        row = to_row(taken(told))
    except Unfit:
        return
    json.dumps(row, allow_nan=False).encode()


def test_the_docs_name_every_key() -> None:
    page = (Path(__file__).parents[2] / "docs/record.md").read_text()
    table = page[page.index("## What can be told") : page.index("Names of models")]
    named = {
        key
        for line in table.splitlines()
        if line.startswith("| `")
        for key in re.findall(r"`(\w+)`", line[:75].split(" | ")[0])
    }
    assert named == {key for key in intake.RECORD_KEYS if not key.endswith("_from")}


def test_the_examples_of_the_docs_are_right() -> None:
    page = (Path(__file__).parents[2] / "docs/record.md").read_text()
    examples = re.findall(r"-d '(.*?)'", page)
    assert examples
    for example in examples:
        taken(json.loads(example))


def test_of_a_list_without_end_a_bounded_part_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read on the relay's loop, which a megabyte of empty messages held up for a third of a second."""
    looked = 0

    def counting(role: str, text: str) -> Turn:
        nonlocal looked
        looked += 1
        return Turn(role, text)

    monkeypatch.setattr(intake, "Turn", counting)
    transcript = taken({"messages": [{}] * 300_000 + [{"content": "last"}], "response": "x"}).transcript
    assert transcript is not None
    assert (transcript.cut, transcript.prompt) == (True, "last")
    assert looked < 5000
    parts = taken({"messages": [{"content": [{"type": "image"}] * 300_000}]}).transcript
    assert parts is not None
    assert parts.cut
    assert parts.prompt.count("[image]") <= intake.MAX_TURNS


def test_an_application_brings_no_judgements_of_its_own() -> None:
    row = {
        "id": exchange_id(5, 7),
        "findings": ["repetition"],
        "notes": ["parser_failed"],
        "scores": {"refusal": 1},
    }
    told = taken(row, source=Source.RECORD)
    assert (told.id, told.findings, told.notes, told.scores) == ("", (), set(), {})
    again = taken(row, source=Source.REPLAY)
    assert (again.id, again.findings) == (row["id"], ("repetition",))
    assert again.scores == {"refusal": 1.0}
