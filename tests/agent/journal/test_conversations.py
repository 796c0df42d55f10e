"""Which exchanges are one conversation."""

from __future__ import annotations

import re
from itertools import count
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from stonechat.transcript import ToolCall, Transcript, Turn
from stonechat_agent.journal import Conversations, Pseudonyms
from stonechat_agent.journal import conversations as module

KEY = bytes(range(32))


class Talk:
    """An agent's conversations, and ids for exchanges."""

    def __init__(self) -> None:
        self.conversations = Conversations(Pseudonyms(KEY))
        self._ids = map(str, count())

    def say(self, *texts: str, answer: str = "ok", system: str = "", **more: Any) -> str | None:
        """One exchange whose texts are of user and assistant in turn."""
        turns = [Turn("system", system)] if system else []
        turns += [Turn("assistant" if at % 2 else "user", text) for at, text in enumerate(texts)]
        return self.conversations.of(next(self._ids), Transcript(turns, answer=answer, **more))


def test_a_dialogue_is_one_conversation() -> None:
    talk = Talk()
    first = talk.say("hello", answer="Hi!")
    assert first is not None
    assert re.fullmatch(r"c-[0-9a-z]{12}", first)
    assert talk.say("hello", "Hi!", "how are you?", answer="Fine.") == first
    assert talk.say("hello", "Hi!", "how are you?", "Fine.", "bye") == first


def test_two_who_only_say_hello_are_two() -> None:
    talk = Talk()
    one, other = talk.say("hello", answer="Hi!"), talk.say("hello", answer="Hi!")
    assert one != other
    assert {
        talk.say("hello", "Hi!", "cats?", answer="Yes."),
        talk.say("hello", "Hi!", "dogs?", answer="No."),
    } == {one, other}
    assert talk.say("hello", "Hi!", "cats?", "Yes.", "why?") != talk.say(
        "hello", "Hi!", "dogs?", "No.", "why?"
    )


def test_users_that_are_named_are_never_mixed() -> None:
    talk = Talk()
    ann, bob = talk.say("hello", answer="Hi!", user="ann"), talk.say("hello", answer="Hi!", user="bob")
    assert talk.say("hello", "Hi!", "more", user="bob") == bob
    assert talk.say("hello", "Hi!", "more", user="ann") == ann


def test_one_who_asks_differently_from_the_same_point_stays() -> None:
    talk = Talk()
    first = talk.say("hello", answer="Hi!")
    assert talk.say("hello", "Hi!", "cats?", answer="Yes.") == first
    assert talk.say("hello", "Hi!", "dogs?", answer="No.") == first
    assert talk.say("hello", "Hi!", "dogs?", "No.", "why?") == first


def test_what_clients_change_on_the_way_does_not_count() -> None:
    talk = Talk()
    first = talk.say("hello\n there", answer="<think>\nA greeting.\n</think>\n\nHi!  ", system="It is 12:00.")
    assert talk.say("hello there ", "Hi!", "more", system="It is 12:01.") == first


def test_a_loop_of_tools_is_one_conversation() -> None:
    talk = Talk().conversations
    asked = [Turn("user", "weather?")]
    call = Transcript(asked, tool_calls=[ToolCall("weather", "{}")])
    first = talk.of("1", call)
    told = [*asked, Turn("assistant", ""), Turn("tool", "rain")]
    assert talk.of("2", Transcript(told, answer="It rains.")) == first


def test_a_name_of_the_client_counts_most() -> None:
    talk = Talk()
    named = talk.say("hello", conversation="thread-7", user="ann")
    assert talk.say("something else", conversation="thread-7", user="ann") == named
    assert talk.say("hello", conversation="thread-7", user="bob") != named
    assert talk.say("hello", conversation="thread-8", user="ann") != named
    assert "thread" not in str(named)


def test_after_a_restart_a_conversation_goes_on_as_one() -> None:
    before, after = Talk(), Talk()
    before.say("hello", answer="Hi!")
    first = after.say("hello", "Hi!", "more", answer="Yes.")
    assert after.say("hello", "Hi!", "more", "Yes.", "even more") == first


def test_nothing_said_is_none() -> None:
    assert Talk().conversations.of("1", Transcript()) is None


def test_an_answer_that_never_came_is_no_history() -> None:
    talk = Talk()
    first = talk.say("hello", answer="")
    assert talk.say("hello", answer="Hi!") != first


def test_memory_is_bounded() -> None:
    talk = Talk()
    first = talk.say("first", answer="Hi!")
    for n in range(module.KNOWN):
        talk.say(f"hello {n}", answer="Hi!")
    for _ in range(50):
        talk.say("hello 0", answer="Hi!")
    assert len(talk.conversations._known) == module.KNOWN
    assert max(len(one.waiting) for one in talk.conversations._known.values()) <= 8
    assert talk.say("first", "Hi!", "more") != first


@given(st.lists(st.integers(0, 4), min_size=1, max_size=40))
def test_dialogues_at_the_same_time_are_told_apart(order: list[int]) -> None:
    """People talk in any interleaving, each with words of their own but all with the same answers."""
    talk = Talk()
    said: dict[int, list[str]] = {}
    named: dict[int, set[str | None]] = {}
    for who in order:
        texts = said.setdefault(who, [])
        named.setdefault(who, set()).add(talk.say(*texts, f"this is {who}", answer="ok"))
        texts += [f"this is {who}", "ok"]
    assert all(len(names) == 1 for names in named.values())
    assert len(set().union(*named.values())) == len(named)


@given(st.lists(st.text(max_size=5), min_size=1, max_size=6), st.text(min_size=1, max_size=5))
def test_any_texts_chain(texts: list[str], answer: str) -> None:
    talk = Talk()
    history: list[str] = []
    names = set()
    for text in texts:
        names.add(talk.say(*history, text, answer=answer))
        history += [text, answer]
    assert len(names) == 1
