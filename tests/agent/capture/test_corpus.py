"""Every recorded connection, whole and in pieces: the exchanges are the same, and known beforehand."""

from __future__ import annotations

from bisect import bisect_left

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.agent.capture.corpus import (
    CORPUS,
    Played,
    Recorded,
    cut,
    instants,
    play,
    play_bytewise,
    summary,
    timed,
)

from stonechat_agent.capture import ROUTES

each_recorded = pytest.mark.parametrize("recorded", CORPUS, ids=lambda recorded: recorded.name)


def check(recorded: Recorded, played: Played) -> None:
    assert [summary(exchange) for exchange in played.exchanges] == recorded.exchanges
    assert played.counts.dropped == ({recorded.dropped: 1} if recorded.dropped else {})
    assert played.counts.opaque == recorded.opaque
    assert played.counts.lost == recorded.lost
    assert played.counts.in_flight == 0
    assert played.budget.used == 0
    assert played.budget.texts.used == 0


def test_the_corpus_is_there() -> None:
    assert len(CORPUS) >= 140
    dialects = {found.dialect.name for found in ROUTES.values() if found.dialect is not None}
    seen = [exchange for recorded in CORPUS for exchange in recorded.exchanges]
    assert {exchange["dialect"] for exchange in seen if "dialect" in exchange} == dialects
    for name in dialects:
        mine = [exchange for exchange in seen if exchange.get("dialect") == name]
        assert any(
            exchange["outcome"] == "error" and "error" in exchange.get("transcript", {}) for exchange in mine
        ), name
        assert any(exchange.get("streamed") is False and exchange["outcome"] == "ok" for exchange in mine), (
            name
        )
        if not name.endswith(("embed", "embeddings")):
            assert any(exchange.get("streamed") and exchange["outcome"] == "ok" for exchange in mine), name
            assert any(exchange["outcome"] == "aborted" for exchange in mine), name


@each_recorded
def test_whole_spans_give_the_known_exchanges(recorded: Recorded) -> None:
    check(recorded, play(timed(recorded.spans()), recorded.end, recorded.bounds))


@each_recorded
def test_single_bytes_give_the_known_exchanges_and_instants(recorded: Recorded) -> None:
    spans = recorded.spans()
    played = play(
        timed(cut(spans, range(sum(len(data) for _, data in spans)))), recorded.end, recorded.bounds
    )
    check(recorded, played)
    for instant, place in recorded.marks.items():
        # Fed byte by byte, an instant is the number of the byte that brought it; marks count the response's bytes.
        assert getattr(played.exchanges[0], instant) == len(recorded.request) + place + 1, instant


@each_recorded
def test_two_pieces_cut_anywhere_give_the_same(recorded: Recorded) -> None:
    spans = recorded.spans()
    size = sum(len(data) for _, data in spans)
    # A head of 70 kB says nothing new at every byte; its edges do.
    places = range(1, size) if size < 20_000 else [*range(1, 100), *range(size - 200, size)]
    for place in places:
        check(recorded, play(timed(cut(spans, [place])), recorded.end, recorded.bounds))


@each_recorded
@settings(max_examples=max(30, settings().max_examples // 4))
@given(seed=st.randoms(use_true_random=False))
def test_random_pieces_give_the_same_and_instants_within_the_piece(recorded: Recorded, seed) -> None:  # type: ignore[no-untyped-def]
    spans = recorded.spans()
    size = sum(len(data) for _, data in spans)
    places = [seed.randrange(size) for _ in range(seed.randrange(12))]
    pieces = timed(cut(spans, places))
    played = play(pieces, recorded.end, recorded.bounds)
    check(recorded, played)

    exact = play_bytewise(recorded)
    ends = [piece.now_ns for piece in pieces]
    for coarse, fine in zip(played.exchanges, exact.exchanges, strict=True):
        for name, instant in instants(fine).items():
            if instant is None or instant in (0, size + 1):
                assert getattr(coarse, name) == instant, name
            else:
                assert getattr(coarse, name) == ends[bisect_left(ends, instant)], name


@each_recorded
@settings(max_examples=max(30, settings().max_examples // 4))
@given(seed=st.randoms(use_true_random=False))
def test_requests_sent_ahead_of_answers_give_the_same(recorded: Recorded, seed) -> None:  # type: ignore[no-untyped-def]
    if recorded.opaque or recorded.dropped:
        return  # what follows a change of protocol cannot be sent ahead of it
    sent = [
        cut([(True, data)], [seed.randrange(len(data) + 1) for _ in range(3)]) for data, _ in recorded.turns
    ]
    got = [
        cut([(False, data)], [seed.randrange(len(data) + 1) for _ in range(3)]) for _, data in recorded.turns
    ]
    client = [(turn, span) for turn, spans in enumerate(sent) for span in spans]
    engine = [(turn, span) for turn, spans in enumerate(got) for span in spans]
    merged = []
    while client or engine:
        may_answer = engine and (not client or client[0][0] > engine[0][0])
        source = engine if may_answer and (not client or seed.random() < 0.5) else client
        merged.append(source.pop(0)[1])
    check(recorded, play(timed(merged), recorded.end, recorded.bounds))
