"""Messages between agent and worker, however they arrive."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stonechat_agent.scoring.worker.frames import MAX_ANSWER, Decoder, FrameError, encode

MESSAGES = st.lists(
    st.dictionaries(
        st.text(max_size=5),
        st.one_of(
            st.integers(-(2**63), 2**64 - 1),
            st.binary(max_size=50),
            st.text(max_size=20),
            st.booleans(),
            st.lists(st.floats(allow_nan=False), max_size=3),
        ),
        max_size=4,
    ),
    max_size=4,
)


@given(MESSAGES, st.integers(1, 40))
def test_messages_come_out_as_they_went_in_whatever_the_pieces(
    messages: list[dict[str, Any]], size: int
) -> None:
    stream = b"".join(map(encode, messages))
    decoder = Decoder()
    found = []
    for at in range(0, len(stream), size):
        decoder.feed(stream[at : at + size])
        while (message := decoder.next()) is not None:
            found.append(message)
    assert found == messages


@given(st.binary(max_size=64))
def test_bytes_of_any_kind_are_a_message_or_refused(data: bytes) -> None:
    decoder = Decoder()
    decoder.feed(len(data).to_bytes(4, "big") + data)
    message: object = {}
    with suppress(FrameError):
        message = decoder.next()
    assert isinstance(message, dict)


def test_a_frame_beyond_the_bound_is_refused_before_it_is_there() -> None:
    decoder = Decoder(MAX_ANSWER)
    decoder.feed((MAX_ANSWER + 1).to_bytes(4, "big"))
    with pytest.raises(FrameError, match="bound"):
        decoder.next()


def test_what_is_too_long_is_not_sent() -> None:
    with pytest.raises(FrameError, match="bound"):
        encode({"answer": bytes(65 << 20)})
