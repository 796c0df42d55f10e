"""What is gathered of texts: whose, how much, and in which places names are looked for."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.agent.capture.corpus import Played, play, timed

from stonechat.transcript import ROLES, Transcript, Turn
from stonechat_agent.capture import ROUTES, Bounds, Budget, Connection, Counts
from stonechat_agent.capture.asked import begin, messages, prompts, role
from stonechat_agent.capture.bounds import Pool
from stonechat_agent.capture.texts import Room, plain, storable

CHAT = "/v1/chat/completions"


def chat(
    request: dict[str, Any], pieces: list[dict[str, Any]], bounds: Bounds | None = None, path: str = CHAT
) -> Played:
    body = json.dumps(request).encode()
    got = b"".join(b"data: %b\n\n" % json.dumps(piece).encode() for piece in pieces)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n" % len(got)
    sent = b"POST %b HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (path.encode(), len(body), body)
    return play(timed([(True, sent), (False, head + got)]), "client_closed", bounds or Bounds())


def delta(**fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": None}]}


def transcript(played: Played) -> Transcript:
    found = played.exchanges[0].transcript
    assert found is not None
    return found


def asked(request: dict[str, Any], headers: dict[bytes, bytes] | None = None) -> Transcript:
    return begin(request, headers or {}, [], Room(1000, Pool(1000)))


def test_an_answer_over_the_bound_is_cut_and_grows_no_more() -> None:
    pieces = [delta(content=letter * 10) for letter in "abcdefghij"] + [delta(content="z")]
    played = chat({}, pieces, Bounds(answer_chars=55))
    assert transcript(played).answer == "a" * 10 + "b" * 10 + "c" * 10 + "d" * 10 + "e" * 10 + "f" * 5
    assert transcript(played).cut
    assert played.exchanges[0].chunks == 11, "figures count on"


def test_reasoning_does_not_crowd_out_the_answer_nor_the_answer_the_calls() -> None:
    call = {"index": 0, "id": "c", "function": {"name": "look", "arguments": "{}"}}
    pieces = [delta(reasoning="r" * 100), delta(content="a" * 100), delta(tool_calls=[call])]
    found = transcript(chat({}, pieces, Bounds(answer_chars=50)))
    assert (found.reasoning, found.answer, found.tool_calls) == ("r" * 50, "a" * 50, [("look", "{}")])
    assert found.cut


def test_arguments_over_the_bound_are_cut() -> None:
    calls = [{"index": 0, "function": {"name": "look", "arguments": "x" * 30}}] * 3
    found = transcript(chat({}, [delta(tool_calls=[call]) for call in calls], Bounds(answer_chars=50)))
    # The name is of the same room, and said three times over: it is one name in pieces.
    assert sum(len(call.name) + len(call.arguments) for call in found.tool_calls) == 50
    assert found.cut


def test_calls_beyond_the_most_are_counted_no_further() -> None:
    calls = [{"index": at, "function": {"name": "f", "arguments": ""}} for at in range(300)]
    played = chat({}, [delta(tool_calls=calls)])
    assert played.exchanges[0].tool_calls == 128
    assert len(transcript(played).tool_calls) == 128


def test_a_long_prompt_keeps_its_system_turn_and_its_latest_turns() -> None:
    turns = [{"role": "system", "content": "rules"}]
    turns += [{"role": "user", "content": f"{at:04d}" + "." * 96} for at in range(100)]
    found = transcript(chat({"messages": turns}, [], Bounds(prompt_chars=1000)))
    assert found.cut
    assert found.turns[0] == Turn("system", "rules")
    assert [turn.text[:4] for turn in found.turns[1:]] == ["0094", "0095", "0096", "0097", "0098", "0099"]
    assert found.prompt.startswith("0099")
    assert sum(len(turn.text) + 64 for turn in found.turns) <= 1000


def test_of_a_turn_that_does_not_fit_the_beginning_and_the_end_are_kept() -> None:
    text = "Read this: " + "x" * 5000 + " What does it say?"
    found = transcript(chat({"messages": [{"role": "user", "content": text}]}, [], Bounds(prompt_chars=200)))
    assert found.prompt.startswith("Read this: ")
    assert found.prompt.endswith(" What does it say?")
    assert len(found.prompt) <= 200 - 64
    assert found.cut


def test_a_system_prompt_leaves_half_for_what_was_asked() -> None:
    turns = [{"role": "system", "content": "s" * 9000}, {"role": "user", "content": "u" * 9000}]
    found = transcript(chat({"messages": turns}, [], Bounds(prompt_chars=1000)))
    assert [len(turn.text) for turn in found.turns] == [436, 436]


def test_turns_without_text_cost_something_too() -> None:
    found = transcript(chat({"messages": [{"role": "user", "content": ""}] * 20_000}, []))
    assert len(found.turns) == 64 * 1024 // 64
    assert found.cut


@given(
    sizes=st.lists(st.tuples(st.sampled_from(ROLES), st.integers(0, 400)), max_size=30),
    limit=st.integers(0, 2000),
)
def test_a_prompt_is_never_over_its_bound_and_cut_only_where_it_must_be(
    sizes: list[tuple[str, int]], limit: int
) -> None:
    turns = [Turn(who, chr(97 + at % 26) * size) for at, (who, size) in enumerate(sizes)]
    pool = Pool(1 << 20)
    room = Room(limit, pool)
    found = begin({}, {}, turns, room)
    cost = sum(len(turn.text) + 64 for turn in turns)
    assert sum(len(turn.text) + 64 for turn in found.turns) <= limit
    assert found.cut == (cost > limit)
    if not found.cut:
        assert found.turns == turns
    room.close()
    assert pool.used == 0


@given(st.lists(st.text(max_size=50), max_size=40), st.integers(0, 300), st.integers(0, 9000))
def test_a_room_gives_prefixes_and_takes_no_more_than_it_may(
    texts: list[str], limit: int, budget: int
) -> None:
    pool = Pool(budget)
    room = Room(limit, pool)
    kept = "".join(room.fit(text) for text in texts)
    whole = "".join(texts)
    assert whole.startswith(kept)
    assert pool.used <= min(limit, budget)
    if len(whole) <= limit <= budget:
        assert kept == whole
        assert not room.cut
    else:
        assert room.cut == (kept != whole)
    room.close()
    assert pool.used == 0
    assert room.fit("more") == ""


def test_a_text_that_was_cut_does_not_go_on_when_there_is_room_again() -> None:
    pool = Pool(5000)
    room, other = Room(9000, pool), Room(9000, pool)
    other.fit("x" * 4096)
    assert room.fit("begins ") == ""
    other.close()
    assert room.fit("ends") == ""
    assert room.cut


def test_all_connections_together_are_bounded_and_figures_go_on() -> None:
    budget = Budget(text_chars=10_000)
    counts = Counts()
    connections = [Connection("e", bounds=Bounds(), budget=budget, counts=counts) for _ in range(3)]
    request = b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 15\r\n\r\n" + b'{"stream":true}'
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
    event = b"data: " + json.dumps(delta(content="x" * 1000)).encode() + b"\n\n"
    for connection in connections:
        connection.client_bytes(request, 1)
        connection.engine_bytes(head + event * 8, 2)
        assert budget.texts.used <= 10_000
    found = [exchange for connection in connections for exchange in connection.client_closed(3)]
    assert [exchange.chunks for exchange in found] == [8, 8, 8]
    said = [exchange.transcript for exchange in found if exchange.transcript is not None]
    assert [len(one.answer) for one in said] == [8000, 0, 0]
    assert [one.cut for one in said] == [False, True, True]
    assert budget.texts.used == budget.used == 0


def test_nothing_is_gathered_where_that_is_switched_off() -> None:
    call = {"index": 0, "id": "c", "function": {"name": "look", "arguments": "{}"}}
    played = chat(
        {"messages": [{"role": "user", "content": "hi"}]},
        [delta(content="a", tool_calls=[call])],
        Bounds(texts=False),
    )
    exchange = played.exchanges[0]
    assert exchange.transcript is None
    assert exchange.tool_calls == 1
    assert exchange.chunks == 1


def test_a_request_that_cannot_be_read_has_no_transcript() -> None:
    played = chat({}, [delta(content="a")], Bounds(body_bytes=1))
    assert played.exchanges[0].transcript is None
    assert played.exchanges[0].notes == {"request_body_over_bound", "body_over_bound"}


def test_texts_of_an_exchange_cut_off_by_a_dropped_parser_say_so() -> None:
    connection = Connection("e", bounds=Bounds(), budget=Budget(), counts=Counts())
    request = b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 15\r\n\r\n" + b'{"stream":true}'
    connection.client_bytes(request, 1)
    event = b"data: " + json.dumps(delta(content="x")).encode() + b"\n\n"
    connection.engine_bytes(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + event, 2)
    (exchange,) = connection.fall_behind(3)
    assert exchange.transcript is not None
    assert exchange.transcript.answer == "x"
    assert exchange.transcript.cut


@pytest.mark.parametrize(
    ("request_body", "headers", "user", "conversation"),
    [
        ({}, {}, "", ""),
        ({"user": "a", "safety_identifier": "b"}, {}, "b", ""),
        ({"metadata": {"user_id": "c", "conversation_id": "d"}}, {}, "c", "d"),
        ({"conversation": "e", "session_id": "f"}, {}, "", "e"),
        ({"conversation": {"id": "g"}}, {}, "", "g"),
        ({"thread_id": "h"}, {}, "", "h"),
        ({"chat_id": 7, "user": 8}, {}, "8", "7"),
        ({"previous_response_id": "i"}, {}, "", ""),
        ({"user": "a"}, {b"x-user-id": b"z", b"x-session-id": b" s "}, "a", "s"),
        ({}, {b"x-session-id": b"s", b"x-conversation-id": b"c"}, "", "c"),
        ({}, {b"openai-conversation-id": b"o", b"x-openwebui-user-id": b"w"}, "w", "o"),
        ({}, {b"x-openwebui-chat-id": b"\xffc"}, "", "\ufffdc"),
        ({"user": ["a"], "conversation": {"id": []}, "metadata": "x"}, {}, "", ""),
        ({"user": "\ud800" + "x" * 300}, {}, "\ufffd" + "x" * 255, ""),
    ],
)
def test_where_user_and_conversation_are_named(
    request_body: dict[str, Any], headers: dict[bytes, bytes], user: str, conversation: str
) -> None:
    found = asked(request_body, headers)
    assert (found.user, found.conversation) == (user, conversation)


@pytest.mark.parametrize(
    ("request_body", "wanted"),
    [
        ({"response_format": {"type": "json_object"}}, True),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, True),
        ({"response_format": {"type": "text"}}, False),
        ({"format": "json"}, True),
        ({"format": {"type": "object"}}, True),
        ({"format": ""}, False),
        ({"format": {}}, False),
        ({"text": {"format": {"type": "json_schema"}}}, True),
        ({"text": {"format": {"type": "text"}}}, False),
        ({"output_config": {"format": {"type": "json_schema"}}}, True),
        ({"output_format": {"type": "json_schema"}}, True),
        ({"json_schema": {"type": "object"}}, True),
        ({"guided_json": {"type": "object"}}, True),
        ({"structured_outputs": {"json": "{}"}}, True),
        ({"response_format": "json", "text": [], "structured_outputs": 7}, False),
    ],
)
def test_who_wants_json(request_body: dict[str, Any], wanted: bool) -> None:
    assert asked(request_body).wants_json is wanted


def test_names_of_tools_are_bounded_and_only_texts() -> None:
    tools = [{"function": {"name": f"t{at}"}} for at in range(200)]
    found = asked({"tools": tools})
    assert found.tools == tuple(f"t{at}" for at in range(128))
    assert found.cut
    mixed = [
        {"name": "a"},
        {"function": {"name": 7}},
        {"type": "web_search"},
        3,
        None,
        {"name": "\udc00" * 2},
    ]
    found = asked(
        {
            "tools": mixed,
            "functions": [{"name": "old"}],
            "integrations": [{"allowed_tools": ["m", 1]}, "x"],
            "mcp_servers": [{"allowed_tools": ["n"]}],
        }
    )
    assert found.tools == ("a", "web_search", "\ufffd\ufffd", "old", "m", "n")


def test_roles_are_of_a_closed_set() -> None:
    said: list[object] = [
        "system",
        "Developer",
        "user",
        "assistant",
        "model",
        "tool",
        "function",
        "narrator",
        "",
        None,
        7,
        [],
    ]
    assert [role(word) for word in said] == [
        *("system",) * 2,
        "user",
        *("assistant",) * 2,
        *("tool",) * 2,
        *("other",) * 5,
    ]
    assert set(map(role, said)) == set(ROLES)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("a", "a"),
        (["a", {"type": "text", "text": "b"}], "a\nb"),
        (
            [{"type": "image_url"}, {"type": "input_audio"}, {"type": "video"}, {"type": 7}, 7, None, {}],
            "[image]\n[audio]\n[file]",
        ),
        ({"type": "text", "text": "a"}, "a"),
        ({"type": "message", "content": "a"}, "a"),
        ([{"type": "thinking", "thinking": "secret"}, {"type": "refusal", "refusal": "No."}], "No."),
        (7, ""),
        (None, ""),
        ([[["deep"]]], ""),
    ],
)
def test_the_text_of_parts(content: object, text: str) -> None:
    assert plain(content) == text


def test_messages_of_any_shape() -> None:
    old = {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}}
    result = {"role": "user", "content": [{"type": "tool_result", "content": "r"}]}
    found = messages([old, "no message", None, {}, result, {"role": "user", "content": []}])
    assert found == [
        Turn("assistant", "f({})"),
        Turn("other", ""),
        Turn("tool", "r"),
        Turn("user", ""),
    ]
    assert messages("no list") == []


@given(st.text(alphabet=st.characters(codec=None), max_size=40))
def test_storable_texts_can_be_stored_and_good_ones_are_as_they_were(text: str) -> None:
    stored = storable(text)
    stored.encode()
    if not any("\ud800" <= character <= "\udfff" for character in text):
        assert stored == text


def test_of_a_list_without_end_the_first_and_the_latest_are_looked_at() -> None:
    """It is read on the relay's loop, which a mebibyte of empty messages held up for more than a second."""
    asked = [{"role": "system", "content": "first"}, *[{}] * 300_000, {"role": "user", "content": "last"}]
    turns = messages(asked)
    assert len(turns) < 3000
    assert (turns[0], turns[-1]) == (Turn("system", "first"), Turn("user", "last"))
    assert len(prompts(["a"] * 300_000)) < 3000
    assert len(plain([{"type": "image"}] * 300_000)) < 30_000
    assert len(messages([{"role": "user", "content": [{"type": "tool_result"}] * 300_000}])) < 3000
    responses = ROUTES["/v1/responses"].dialect
    assert responses is not None
    assert len(responses.read_request({"input": [{"type": "function_call"}] * 300_000})) < 3000
    found = transcript(chat({"messages": [{}] * 5000 + [{"role": "user", "content": "last"}]}, []))
    assert found.cut
    assert found.prompt == "last"
