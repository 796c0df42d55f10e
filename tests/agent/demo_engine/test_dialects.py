"""Each dialect over a real socket, against a real process; the forms are those of a real llama-server and Ollama."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

ASK = {"messages": [{"role": "user", "content": "What do birds eat in winter?"}], "temperature": 0}
MODEL = "stonechat-demo-lm"
TIMINGS = {
    "cache_n",
    "prompt_n",
    "prompt_ms",
    "prompt_per_token_ms",
    "prompt_per_second",
    "predicted_n",
    "predicted_ms",
    "predicted_per_token_ms",
    "predicted_per_second",
}


def _sse(response: httpx.Response) -> list[Any]:
    assert response.headers["content-type"] == "text/event-stream"
    frames = response.text.split("\n\n")
    assert frames.pop() == ""
    assert all(frame.startswith("data: ") for frame in frames)
    return [json.loads(frame[6:]) if frame != "data: [DONE]" else "[DONE]" for frame in frames]


def _ndjson(response: httpx.Response) -> list[Any]:
    assert response.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in response.text.splitlines()]


def _plausible(timings: dict[str, float]) -> None:
    assert set(timings) == TIMINGS
    assert timings["prompt_ms"] > 0
    if timings["predicted_n"] > 1:
        steps = timings["predicted_n"] - 1
        assert timings["predicted_per_second"] == pytest.approx(
            1e3 * steps / timings["predicted_ms"], rel=0.01
        )
        assert timings["predicted_per_token_ms"] == pytest.approx(timings["predicted_ms"] / steps, rel=0.01)


def test_chat_answers_whole(client: httpx.Client) -> None:
    answer = client.post("/v1/chat/completions", json={**ASK, "max_tokens": 7, "ignore_eos": True}).json()
    assert set(answer) == {
        "choices",
        "created",
        "id",
        "model",
        "object",
        "system_fingerprint",
        "timings",
        "usage",
    }
    assert answer["object"] == "chat.completion"
    assert answer["model"] == MODEL
    assert answer["id"].startswith("chatcmpl-")
    (choice,) = answer["choices"]
    assert set(choice) == {"finish_reason", "index", "message"}
    assert choice["message"]["role"] == "assistant"
    assert choice["message"]["content"]
    assert choice["finish_reason"] == "length"
    usage, timings = answer["usage"], answer["timings"]
    assert usage["completion_tokens"] == timings["predicted_n"] == 7
    assert usage["prompt_tokens"] == timings["cache_n"] + timings["prompt_n"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + 7
    assert usage["prompt_tokens_details"] == {"cached_tokens": timings["cache_n"]}
    _plausible(timings)


def test_chat_streams_a_role_then_text_then_the_end(client: httpx.Client) -> None:
    whole = client.post("/v1/chat/completions", json={**ASK, "max_tokens": 12, "cache_prompt": False}).json()
    *chunks, done = _sse(
        client.post(
            "/v1/chat/completions", json={**ASK, "max_tokens": 12, "cache_prompt": False, "stream": True}
        )
    )
    assert done == "[DONE]"
    assert all(chunk["object"] == "chat.completion.chunk" for chunk in chunks)
    assert len({chunk["id"] for chunk in chunks}) == 1
    first, *middle, last = (chunk["choices"][0] for chunk in chunks)
    assert first == {"finish_reason": None, "index": 0, "delta": {"role": "assistant", "content": None}}
    assert (
        "".join(choice["delta"]["content"] for choice in middle) == whole["choices"][0]["message"]["content"]
    )
    assert last["delta"] == {}
    assert last["finish_reason"] == whole["choices"][0]["finish_reason"]
    assert not any("usage" in chunk for chunk in chunks)
    assert [("timings" in chunk) for chunk in chunks] == [False] * (len(chunks) - 1) + [True]


def test_chat_usage_comes_in_a_chunk_of_its_own(client: httpx.Client) -> None:
    asked = {**ASK, "max_tokens": 3, "stream": True, "stream_options": {"include_usage": True}}
    *_, last, usage, done = _sse(client.post("/v1/chat/completions", json=asked))
    assert done == "[DONE]"
    assert last["choices"][0]["finish_reason"]
    assert "timings" not in last
    assert usage["choices"] == []
    assert usage["usage"]["completion_tokens"] <= 3
    _plausible(usage["timings"])


def test_chat_timings_per_token(client: httpx.Client) -> None:
    asked = {**ASK, "max_tokens": 4, "ignore_eos": True, "stream": True, "timings_per_token": True}
    chunks = _sse(client.post("/v1/chat/completions", json=asked))[:-1]
    counts = [chunk["timings"]["predicted_n"] for chunk in chunks if "timings" in chunk]
    assert counts == sorted(counts)
    assert counts[-1] == 4
    assert len(counts) >= 3


def test_a_repeated_prompt_is_counted_as_cached(client: httpx.Client) -> None:
    asked = {
        "messages": [{"role": "user", "content": "A prompt that no other test sends, twice."}],
        "max_tokens": 1,
    }
    client.post("/v1/chat/completions", json=asked)
    again = client.post("/v1/chat/completions", json=asked).json()
    assert again["timings"]["prompt_n"] == 1
    assert again["usage"]["prompt_tokens_details"]["cached_tokens"] == again["usage"]["prompt_tokens"] - 1


def test_chat_takes_text_parts_and_a_system_message(client: httpx.Client) -> None:
    parts = [{"type": "text", "text": "What do birds eat"}, {"type": "text", "text": "in winter?"}]
    chat = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": parts}]
    answer = client.post("/v1/chat/completions", json={"messages": chat, "max_tokens": 2})
    assert answer.status_code == 200


def test_completion_answers_whole(client: httpx.Client) -> None:
    asked = {
        "prompt": "<|user|>Hi<|end|><|assistant|>",
        "n_predict": 6,
        "temperature": 0,
        "return_tokens": True,
    }
    answer = client.post("/completion", json={**asked, "ignore_eos": True}).json()
    assert answer["stop"] is True
    assert answer["prompt"] == asked["prompt"]
    assert answer["stop_type"] == "limit"
    assert answer["truncated"] is False
    assert answer["tokens_evaluated"] == answer["timings"]["prompt_n"] + answer["timings"]["cache_n"]
    assert len(answer["tokens"]) == answer["tokens_predicted"] == 6
    # The last token drawn has not been read.
    assert answer["tokens_cached"] == answer["tokens_evaluated"] + 5
    assert answer["generation_settings"]["n_predict"] == 6
    assert answer["stopping_word"] == ""
    _plausible(answer["timings"])


def test_completion_streams_tokens_with_a_running_count(client: httpx.Client) -> None:
    asked = {
        "prompt": "Once upon a time",
        "n_predict": 6,
        "temperature": 0,
        "ignore_eos": True,
        "stream": True,
    }
    *pieces, last = _sse(client.post("/completion", json=asked))
    assert set(pieces[0]) == {
        "index",
        "content",
        "tokens",
        "stop",
        "id_slot",
        "tokens_predicted",
        "tokens_evaluated",
    }
    assert [piece["stop"] for piece in pieces] == [False] * len(pieces)
    assert sum(len(piece["tokens"]) for piece in pieces) == 6
    assert pieces[-1]["tokens_predicted"] == 6
    assert last["stop"] is True
    assert last["content"] == ""
    assert last["tokens"] == []
    assert last["id_slot"] in (0, 1)


def test_completion_takes_token_ids(client: httpx.Client) -> None:
    assert (
        client.post("/completion", json={"prompt": [1, 50, 0], "n_predict": 1}).json()["tokens_evaluated"]
        == 3
    )
    for wrong in ([-1], [4096], [True], 5, ["a"]):
        refused = client.post("/completion", json={"prompt": wrong})
        assert refused.status_code == 400
        assert refused.json()["error"]["type"] == "invalid_request_error"


def test_completion_stops_at_a_word(client: httpx.Client) -> None:
    asked = {"prompt": "Once upon a time", "n_predict": 20, "temperature": 0, "ignore_eos": True}
    content = client.post("/completion", json=asked).json()["content"]
    word = content[8:12]
    stopped = client.post("/completion", json={**asked, "stop": [word]}).json()
    assert (stopped["stop_type"], stopped["stopping_word"]) == ("word", word)
    assert stopped["content"] == content[: content.index(word)]


def test_the_end_of_the_context_is_said_to_be_truncation(client: httpx.Client) -> None:
    asked = {"prompt": "bird " * 500, "ignore_eos": True}
    answer = client.post("/completion", json=asked).json()
    assert (answer["stop_type"], answer["truncated"]) == ("limit", True)
    assert answer["tokens_evaluated"] + answer["tokens_predicted"] == 1024


@pytest.mark.parametrize("path", ["/api/chat", "/api/generate"])
def test_ollama_streams_by_default(client: httpx.Client, path: str) -> None:
    chat = [{"role": "user", "content": "Hi"}]
    asked = {
        "model": MODEL,
        "prompt": "Hi",
        "messages": chat,
        "options": {"num_predict": 5, "temperature": 0},
    }
    *parts, last = _ndjson(client.post(path, json=asked))
    whole = client.post(path, json={**asked, "stream": False})
    assert whole.headers["content-type"].startswith("application/json")

    def said(part: dict[str, Any]) -> str:
        return str(part["message"]["content"] if path == "/api/chat" else part["response"])

    assert all(part["done"] is False and part["model"] == MODEL for part in parts)
    assert "".join(map(said, parts)) == said(whole.json())
    for final in (last, whole.json()):
        assert final["done"] is True
        assert final["done_reason"] in ("stop", "length")
        assert 1 <= final["eval_count"] <= 5
        assert final["prompt_eval_count"] >= 4
        spent = final["load_duration"] + final["prompt_eval_duration"] + final["eval_duration"]
        assert 0 < spent <= final["total_duration"] < 30e9


def test_ollama_counts_the_cached_part(client: httpx.Client) -> None:
    asked = {
        "model": MODEL,
        "prompt": "Another prompt of its own.",
        "stream": False,
        "options": {"num_predict": 1},
    }
    first = client.post("/api/generate", json=asked).json()
    second = client.post("/api/generate", json=asked).json()
    assert second["prompt_eval_count"] == first["prompt_eval_count"]
    assert second["prompt_eval_cached_count"] == first["prompt_eval_count"] - 1


def test_ollama_raw_and_system(client: httpx.Client) -> None:
    base = {"model": MODEL + ":latest", "prompt": "Hi", "stream": False, "options": {"num_predict": 1}}
    raw = client.post("/api/generate", json={**base, "raw": True}).json()
    plain = client.post("/api/generate", json=base).json()
    system = client.post("/api/generate", json={**base, "system": "Be kind."}).json()
    assert raw["prompt_eval_count"] < plain["prompt_eval_count"] < system["prompt_eval_count"]


def test_ollama_loads_when_nothing_is_asked(client: httpx.Client) -> None:
    for path, key in (("/api/chat", "message"), ("/api/generate", "response")):
        answer = client.post(path, json={"model": MODEL}).json()
        assert answer["done_reason"] == "load"
        assert key in answer


def test_ollama_drops_the_oldest_messages_that_do_not_fit(client: httpx.Client) -> None:
    chat = [{"role": "system", "content": "Be kind."}]
    chat += [{"role": "user", "content": f"{i} " + "bird " * 30} for i in range(50)]
    answer = client.post(
        "/api/chat", json={"model": MODEL, "messages": chat, "stream": False, "options": {"num_predict": 1}}
    ).json()
    assert 900 < answer["prompt_eval_count"] < 1024


def _too_long() -> str:
    return "bird " * 1100


LLAMA_ERRORS = [
    ("/v1/chat/completions", b"{", 500, "server_error"),
    ("/v1/chat/completions", b"[]", 400, "invalid_request_error"),
    ("/v1/chat/completions", b"{}", 400, "invalid_request_error"),
    ("/v1/chat/completions", b'{"messages":[]}', 400, "invalid_request_error"),
    ("/v1/chat/completions", b'{"messages":[{"role":"cat","content":"x"}]}', 400, "invalid_request_error"),
    ("/v1/chat/completions", b'{"messages":[{"role":"user"}]}', 400, "invalid_request_error"),
    (
        "/v1/chat/completions",
        b'{"messages":[{"role":"user","content":"x"}],"n":2}',
        400,
        "invalid_request_error",
    ),
    (
        "/v1/chat/completions",
        b'{"messages":[{"role":"user","content":"x"}],"max_tokens":"9"}',
        400,
        "invalid_request_error",
    ),
    (
        "/v1/chat/completions",
        b'{"messages":[{"role":"user","content":"x"}],"temperature":NaN}',
        400,
        "invalid_request_error",
    ),
    (
        "/v1/chat/completions",
        b'{"messages":[{"role":"user","content":"x"}],"max_tokens":1e999}',
        400,
        "invalid_request_error",
    ),
    (
        "/v1/chat/completions",
        b'{"messages":[{"role":"user","content":"x"}],"tools":[{}]}',
        400,
        "invalid_request_error",
    ),
    ("/completion", b"nonsense", 500, "server_error"),
    ("/completion", b"[" * 100_000, 500, "server_error"),
    ("/completion", b"{}", 400, "invalid_request_error"),
    ("/completion", b'{"prompt":"x","stop":[1]}', 400, "invalid_request_error"),
    ("/nothing", b"{}", 404, "not_found_error"),
    ("/health", b"{}", 404, "not_found_error"),
]


@pytest.mark.parametrize(("path", "body", "status", "kind"), LLAMA_ERRORS)
def test_llama_errors(client: httpx.Client, path: str, body: bytes, status: int, kind: str) -> None:
    refused = client.post(path, content=body)
    assert refused.status_code == status
    assert refused.headers["connection"] == "close"
    error = refused.json()["error"]
    assert (error["code"], error["type"]) == (status, kind)
    assert error["message"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_prompt_beyond_the_context_is_a_plain_error(client: httpx.Client, stream: bool) -> None:
    chat = [{"role": "user", "content": _too_long()}]
    for path, asked in (
        ("/v1/chat/completions", {"messages": chat}),
        ("/completion", {"prompt": _too_long()}),
    ):
        refused = client.post(path, json={**asked, "stream": stream})
        assert refused.status_code == 400
        error = refused.json()["error"]
        assert error["type"] == "exceed_context_size_error"
        assert error["n_ctx"] == 1024 <= error["n_prompt_tokens"]


OLLAMA_ERRORS = [
    (b"", 400, "missing request body"),
    (b"{", 400, "invalid JSON"),
    (b"{}", 400, "model is required"),
    (b'{"model":"other"}', 404, "model 'other' not found"),
    (b'{"model":"stonechat-demo-lm","prompt":"x","messages":7,"options":7}', 400, "must be an"),
    (b'{"model":"stonechat-demo-lm","tools":[{}]}', 400, "does not support tools"),
]


@pytest.mark.parametrize("path", ["/api/chat", "/api/generate"])
@pytest.mark.parametrize(("body", "status", "message"), OLLAMA_ERRORS)
def test_ollama_errors_are_strings(
    client: httpx.Client, path: str, body: bytes, status: int, message: str
) -> None:
    refused = client.post(path, content=body)
    assert refused.status_code == status
    assert message in refused.json()["error"]


def test_ollama_refuses_one_message_that_does_not_fit(client: httpx.Client) -> None:
    chat = {"model": MODEL, "messages": [{"role": "user", "content": _too_long()}]}
    for path, asked in (("/api/chat", chat), ("/api/generate", {"model": MODEL, "prompt": _too_long()})):
        refused = client.post(path, json=asked)
        assert refused.status_code == 400
        assert refused.json() == {"error": "the input length exceeds the context length"}


def test_what_the_engine_says_of_itself(client: httpx.Client) -> None:
    assert client.get("/health").json() == {"status": "ok"}
    props = client.get("/props").json()
    assert props["total_slots"] == 2
    assert props["default_generation_settings"]["n_ctx"] == 1024
    assert props["model_alias"] == MODEL
    (listed,) = client.get("/v1/models").json()["data"]
    assert listed["id"] == MODEL
    assert listed["meta"]["n_params"] > 3_000_000
    assert listed["meta"]["n_vocab"] == 4096
    (tag,) = client.get("/api/tags").json()["models"]
    (loaded,) = client.get("/api/ps").json()["models"]
    assert tag["digest"] == loaded["digest"]
    assert len(tag["digest"]) == 64
    assert loaded["context_length"] == 1024
    assert "version" in client.get("/api/version").json()


def test_metrics_count_what_was_served(client: httpx.Client) -> None:
    def read() -> dict[str, float]:
        answer = client.get("/metrics")
        assert answer.headers["content-type"] == "text/plain; version=0.0.4"
        lines = [line for line in answer.text.splitlines() if not line.startswith("#")]
        assert len(lines) == 15
        return {name: float(value) for name, value in (line.split(" ") for line in lines)}

    before = read()
    asked = {"prompt": "Count me in, please", "n_predict": 9, "ignore_eos": True, "cache_prompt": False}
    answer = client.post("/completion", json=asked).json()
    after = read()

    def grown(name: str) -> float:
        return after[f"llamacpp:{name}"] - before[f"llamacpp:{name}"]

    assert grown("tokens_predicted_total") == 9
    assert grown("prompt_tokens_total") == answer["tokens_evaluated"]
    assert grown("n_decode_total") == 9
    assert grown("prompt_seconds_total") > 0
    # A rate covers the time since the last scrape only.
    assert after["llamacpp:predicted_tokens_seconds"] > 0
    assert read()["llamacpp:predicted_tokens_seconds"] == 0
    assert after["llamacpp:n_busy_slots_per_decode"] >= 1


def test_slots_show_the_last_answer(client: httpx.Client) -> None:
    asked = {"prompt": "Show me a slot", "n_predict": 3, "ignore_eos": True}
    number = client.post("/completion", json=asked).json()["id_slot"]
    slot = client.get("/slots").json()[number]
    assert slot["is_processing"] is False
    assert slot["next_token"][0]["n_decoded"] == 3
    assert slot["n_prompt_tokens_processed"] + slot["n_prompt_tokens_cache"] + 3 == slot["n_prompt_tokens"]
