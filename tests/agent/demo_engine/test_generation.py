from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stonechat_agent.demo_engine.dialect import Message, render
from stonechat_agent.demo_engine.generation import (
    Finished,
    Generation,
    Piece,
    Progress,
    Started,
    TextStream,
    generate,
)
from stonechat_agent.demo_engine.model import BATCH_TOKENS, Cache, LanguageModel, Sampler

STORY = [
    Message("user", "Tell me a long story about a small bird that lives near the sea, and about its friends.")
]


def _wanted(model: LanguageModel, **changes: Any) -> Generation:
    defaults: dict[str, Any] = {
        "prompt": tuple(render(model, STORY)),
        "max_tokens": 24,
        "temperature": 0.0,
        "top_k": 40,
        "top_p": 0.95,
        "seed": 1,
        "stop": (),
        "ignore_eos": True,
        "cache_prompt": True,
    }
    return Generation(**{**defaults, **changes})


def _run(
    model: LanguageModel, wanted: Generation, cache: Cache | None = None, context: int = 1024
) -> tuple[list[Piece], Finished]:
    events = list(
        generate(
            model,
            cache or model.new_cache(),
            wanted,
            slot=0,
            context=context,
            progress=Progress(),
            cancelled=lambda: False,
            on_decode=lambda: None,
        )
    )
    assert isinstance(events[0], Started)
    end = events[-1]
    assert isinstance(end, Finished)
    return [event for event in events if isinstance(event, Piece)], end


def _tokens(pieces: list[Piece]) -> list[int]:
    return [token for piece in pieces for token in piece.tokens]


def test_temperature_0_repeats_whatever_the_seed(model: LanguageModel) -> None:
    first, _ = _run(model, _wanted(model, seed=1))
    second, _ = _run(model, _wanted(model, seed=2))
    assert _tokens(first) == _tokens(second)
    assert len(_tokens(first)) == 24


def test_equal_seeds_draw_alike_and_others_differ(model: LanguageModel) -> None:
    drawn = [_tokens(_run(model, _wanted(model, temperature=1.0, seed=seed))[0]) for seed in (5, 5, 6)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_repeated_prompt_comes_from_the_cache(model: LanguageModel) -> None:
    cache = model.new_cache()
    wanted = _wanted(model)
    _, cold = _run(model, wanted, cache)
    _, warm = _run(model, wanted, cache)
    length = len(wanted.prompt)
    assert (cold.timings.cache_n, cold.timings.prompt_n) == (0, length)
    assert (warm.timings.cache_n, warm.timings.prompt_n) == (length - 1, 1)
    _, fresh = _run(model, _wanted(model, cache_prompt=False), cache)
    assert fresh.timings.cache_n == 0


def test_the_next_turn_reuses_the_answer_too(model: LanguageModel) -> None:
    cache = model.new_cache()
    pieces, first = _run(model, _wanted(model), cache)
    # The last token drawn was never read by the model.
    assert first.tokens_cached == len(_wanted(model).prompt) + 23
    following = (*_wanted(model).prompt, *_tokens(pieces), model.end, model.user)
    _, second = _run(model, _wanted(model, prompt=following), cache)
    assert second.timings.cache_n == first.tokens_cached


def test_a_cut_cache_continues_as_a_fresh_one(model: LanguageModel) -> None:
    prompt = render(model, STORY)
    cut, whole = model.new_cache(), model.new_cache()
    model.feed(cut, prompt[:10])
    model.feed(cut, [99, 98, 97])
    cut.keep(10)
    assert cut.tokens == prompt[:10]
    resumed = model.feed(cut, prompt[10:])
    model.feed(whole, prompt[:10])
    np.testing.assert_array_equal(resumed, model.feed(whole, prompt[10:]))


def test_positions_count_on_across_batches(model: LanguageModel) -> None:
    prompt = [model.user, *model.tokenizer.encode("one two three four five six seven " * 30), model.end]
    assert len(prompt) > BATCH_TOKENS
    whole, split = model.new_cache(), model.new_cache()
    expected = model.feed(whole, prompt)
    model.feed(split, prompt[:BATCH_TOKENS])
    got = model.feed(split, prompt[BATCH_TOKENS:])
    # Activations are quantized a batch at a time, so the two are not equal to the last bit.
    cosine = float(expected @ got / np.linalg.norm(expected) / np.linalg.norm(got))
    assert cosine > 0.99
    assert whole.tokens == split.tokens


def test_the_end_of_the_context_ends_the_answer_as_truncated(model: LanguageModel) -> None:
    prompt = _wanted(model).prompt
    pieces, end = _run(model, _wanted(model, max_tokens=None), context=len(prompt) + 5)
    assert (end.stop_type, end.truncated, end.timings.predicted_n) == ("limit", True, 5)
    assert len(_tokens(pieces)) == 5


def test_a_limit_inside_the_context_is_no_truncation(model: LanguageModel) -> None:
    _, end = _run(model, _wanted(model, max_tokens=5))
    assert (end.stop_type, end.truncated, end.timings.predicted_n) == ("limit", False, 5)


def test_no_tokens_wanted_reads_the_prompt_only(model: LanguageModel) -> None:
    pieces, end = _run(model, _wanted(model, max_tokens=0))
    assert not pieces
    assert end.timings.predicted_n == end.timings.predicted_ns == 0
    assert end.timings.prompt_n == len(_wanted(model).prompt)


def test_a_stop_string_is_cut_off_and_named(model: LanguageModel) -> None:
    plain = "".join(piece.text for piece in _run(model, _wanted(model))[0])
    word = plain[12:18]
    pieces, end = _run(model, _wanted(model, stop=("never-said", word)))
    assert (end.stop_type, end.stopping_word) == ("word", word)
    assert "".join(piece.text for piece in pieces) == plain[: plain.index(word)]


def test_a_cancelled_answer_ends_without_an_end(model: LanguageModel) -> None:
    stop = threading.Event()
    seen = []
    progress = Progress()
    for event in generate(
        model,
        model.new_cache(),
        _wanted(model),
        slot=0,
        context=1024,
        progress=progress,
        cancelled=stop.is_set,
        on_decode=lambda: None,
    ):
        seen.append(event)
        if progress.decoded == 3:
            stop.set()
    assert progress.decoded == 3
    assert not any(isinstance(event, Finished) for event in seen)


def test_timings_count_and_add_up(model: LanguageModel) -> None:
    pieces, end = _run(model, _wanted(model))
    counts = [piece.timings.predicted_n for piece in pieces]
    assert counts == sorted(counts)
    assert end.timings.predicted_n == 24
    assert end.timings.prompt_ns > 0
    assert end.timings.predicted_ns >= pieces[-1].timings.predicted_ns > 0


LOGITS = np.array([0.0, 3.0, 1.0, 2.5, -1.0], dtype=np.float32)


def _sampler(**changes: Any) -> Sampler:
    return Sampler(**{"temperature": 1.0, "top_k": 0, "top_p": 1.0, "seed": 3, "banned": None, **changes})


@pytest.mark.parametrize(
    "only_one", [{"temperature": 0.0}, {"top_k": 1}, {"top_p": 0.0}, {"temperature": 1e-6}]
)
def test_narrow_settings_take_the_likeliest(only_one: dict[str, float]) -> None:
    sampler = _sampler(**only_one)
    assert {sampler.draw(LOGITS) for _ in range(50)} == {1}


def test_draws_follow_the_softmax() -> None:
    sampler = _sampler()
    drawn = np.bincount([sampler.draw(LOGITS) for _ in range(4000)], minlength=5) / 4000
    weights = np.exp(LOGITS) / np.exp(LOGITS).sum()
    np.testing.assert_allclose(drawn, weights, atol=0.03)


def test_top_k_and_top_p_cut_the_tail() -> None:
    assert {_sampler(seed=i, top_k=2).draw(LOGITS) for i in range(100)} == {1, 3}
    # 0.52 + 0.32 > 0.8: the second one crosses the bound and stays.
    assert {_sampler(seed=i, top_p=0.8).draw(LOGITS) for i in range(100)} == {1, 3}


def test_a_banned_token_is_never_drawn() -> None:
    assert _sampler(temperature=0.0, banned=1).draw(LOGITS) == 3
    assert 1 not in {_sampler(seed=i, banned=1).draw(LOGITS) for i in range(100)}


BYTES = st.binary(max_size=4) | st.lists(st.sampled_from([97, 98, 10, 0xC3, 0xA9, 122]), max_size=4).map(
    bytes
)


@example([b"a", b"a", b"b"], "aab")
@given(st.lists(BYTES), st.sampled_from(["ab", "aab", "é", "b\n", "zz"]))
def test_text_leaves_up_to_the_stop_string_however_it_is_cut(parts: list[bytes], stop: str) -> None:
    stream = TextStream((stop,))
    left = "".join(stream.push(part) for part in parts) + stream.finish()
    before, found, _ = b"".join(parts).decode("utf-8", errors="replace").partition(stop)
    assert left == before
    assert stream.stopped_by == (stop if found else None)


@given(st.text(st.sampled_from("abé🐦"), max_size=30))
def test_text_fed_byte_by_byte_leaves_character_by_character(text: str) -> None:
    stream = TextStream(())
    left = [stream.push(bytes([byte])) for byte in text.encode()]
    assert [part for part in left if part] == list(text)
    assert stream.finish() == ""


def test_the_possible_start_of_a_stop_string_is_held_back() -> None:
    stream = TextStream(("END.",))
    assert [stream.push(part) for part in (b"The E", b"ND", b" of ", b"END", b".")] == [
        "The ",
        "",
        "END of ",
        "",
        "",
    ]
    assert stream.stopped_by == "END."
    assert stream.push(b"more") == stream.finish() == ""
