"""What the engines say of themselves, by tables: whole, in part, and as nonsense."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stonechat.description import canonical
from stonechat.ids import identifier
from stonechat_agent.passive import Facts, Model, parsers
from stonechat_agent.passive.parsers import Answer, name_of, quantization


def said(content: object, status: int = 200, server: str = "") -> Answer:
    return Answer(status, server, json.dumps(content).encode())


PROPS = {
    "default_generation_settings": {"params": {}, "n_ctx": 4096},
    "total_slots": 2,
    "model_alias": "qwen3-4b",
    "model_ftype": "Q4_K - Medium",
    "model_path": "/home/someone/models/Qwen3-4B.gguf",
    "endpoint_slots": True,
    "chat_template": "{{ messages }}",
    "build_info": "b6709-9a8d4e1",
    "is_sleeping": False,
}
MODELS = {
    "object": "list",
    "data": [{"id": "qwen3-4b", "meta": {"n_params": 4_022_468_096, "size": 2_497_280_256}}],
}


def test_a_llamacpp_server() -> None:
    facts = parsers.llamacpp(said(PROPS), said(MODELS))
    (model,) = facts.models
    assert facts.describe() == {
        "kind": "llama.cpp",
        "build": "b6709-9a8d4e1",
        "slots": 2,
        "model": "qwen3-4b",
        "digest": model.digest,
        "quantization": "Q4_K_M",
        "context": 4096,
        "template": "745fb34e7658ad80",
    }
    assert model.digest is not None
    assert model.digest.startswith("id:")
    assert facts.slots_readable
    assert facts.sleeping is False


@pytest.mark.parametrize(
    ("key", "value"),
    [("model_path", "/models/other.gguf"), ("model_ftype", "Q8_0"), ("chat_template", "{{ other }}")],
)
def test_the_identity_of_a_model_is_its_file_its_type_and_its_template(key: str, value: str) -> None:
    before = parsers.llamacpp(said(PROPS), said(MODELS)).models[0].digest
    assert parsers.llamacpp(said(PROPS | {key: value}), said(MODELS)).models[0].digest != before
    # Where the file lies, what it is called by and how much context it has do not make another model.
    moved = {"model_path": "/srv/Qwen3-4B.gguf", "model_alias": "q", "total_slots": 4}
    assert parsers.llamacpp(said(PROPS | moved), said(MODELS)).models[0].digest == before


def test_an_old_build_tells_less() -> None:
    props = {"default_generation_settings": {"n_ctx": 2048}, "total_slots": 1, "chat_template": ""}
    facts = parsers.llamacpp(said(props), said({}, 404))
    assert facts.describe() == {"kind": "llama.cpp", "slots": 1, "context": 2048}
    assert facts.slots_readable
    assert facts.sleeping is None


def test_a_server_that_wants_a_key_or_loads_is_known_by_its_name() -> None:
    locked = said({"error": {"code": 401, "type": "authentication_error"}}, 401, "llama.cpp")
    assert parsers.is_llamacpp(locked)
    assert parsers.llamacpp(locked, None) == Facts("llama.cpp")
    loading = said({"error": {"code": 503, "type": "unavailable_error"}}, 503, "llama.cpp")
    assert parsers.llamacpp(loading, None) == Facts("llama.cpp", loading=True)
    assert not parsers.is_llamacpp(said({"detail": "Not Found"}, 404, "uvicorn"))


def test_a_router_tells_its_loaded_models() -> None:
    props = {
        "role": "router",
        "build_info": "b1-abc",
        "default_generation_settings": {"n_ctx": 0},
        "model_path": "none",
    }
    meta = {"n_params": 7, "size": 14, "n_ctx": 512, "ftype": "F16"}
    listed = {
        "data": [
            {"id": "org/a:Q4", "status": {"value": "loaded", "args": ["/secret/path"]}, "meta": meta},
            {"id": "b", "status": {"value": "unloaded"}},
            {"id": "c", "status": {"value": "sleeping"}},
        ]
    }
    facts = parsers.llamacpp(said(props), said(listed))
    assert facts.swaps
    assert [(model.name, model.quantization, model.context) for model in facts.models] == [
        ("org/a:Q4", "F16", 512),
        ("c", None, None),
    ]


def test_ollama() -> None:
    digest = "a" * 60 + "0123"
    loaded = {
        "models": [
            {
                "name": "llama3.2:1b",
                "model": "llama3.2:1b",
                "size": 1_000,
                "size_vram": 400,
                "digest": digest,
                "details": {"quantization_level": "Q8_0"},
                "context_length": 4096,
            }
        ]
    }
    facts = parsers.ollama(said({"version": "0.12.3"}), said(loaded))
    assert facts is not None
    assert facts.describe() == {
        "kind": "ollama",
        "build": "0.12.3",
        "model": "llama3.2:1b",
        "digest": "sha256:" + "a" * 16,
        "quantization": "Q8_0",
        "context": 4096,
    }
    assert facts.models[0].vram == 4_000
    assert parsers.ollama(said({"error": "not found"}, 404), None) is None


def test_lmstudio_lists_what_is_on_the_disk_too() -> None:
    data = [
        {"id": "qwen/qwen3-4b", "quantization": "4bit", "state": "loaded", "loaded_context_length": 8192,
         "max_context_length": 40960},
        {"id": "other", "quantization": "Q4_K_M", "state": "not-loaded", "max_context_length": 4096},
    ]  # fmt: skip
    facts = parsers.lmstudio(said({"data": data}))
    assert facts is not None
    assert facts.models == (Model("qwen/qwen3-4b", quantization="4bit", context=8192),)
    assert parsers.lmstudio(said({"error": "Unexpected endpoint or method. (GET /api/v0/models)"})) is None


def test_vllm_and_its_adapters() -> None:
    data = [
        {
            "id": "Qwen/Qwen3-4B",
            "owned_by": "vllm",
            "root": "/models/q",
            "parent": None,
            "max_model_len": 32768,
        },
        {"id": "adapter", "owned_by": "vllm", "parent": "Qwen/Qwen3-4B"},
    ]
    facts = parsers.vllm(said({"version": "0.11.0"}), said({"data": data}))
    assert facts is not None
    assert facts.describe() == {"kind": "vllm", "build": "0.11.0", "model": "Qwen/Qwen3-4B", "context": 32768}
    assert parsers.vllm(said({"version": "1"}), said({"data": [{"id": "a", "owned_by": "x"}]})) is None


def test_others() -> None:
    listed = {"object": "list", "data": [{"id": "mlx-community/a", "object": "model", "created": 1}]}
    names = frozenset({"mlx-community/a"})
    assert parsers.other(said(listed, server="basehttp/0.6 python/3.12.1")) == Facts("mlx", names=names)
    assert parsers.other(said(listed, server="other")) == Facts(
        "unknown", models=(Model("mlx-community/a"),), names=names
    )
    assert parsers.other(said({}, 404)) == Facts("unknown")


def test_names_are_of_all_models_that_an_engine_lists() -> None:
    props = said({"build_info": "b1-a", "model_alias": "tiny"})
    listed = said(
        {"data": [{"id": "tiny", "aliases": ["small", 1]}, {"id": "/home/me/b.gguf"}, {"id": "a b"}]}
    )
    assert parsers.llamacpp(props, listed).names == {"tiny", "small", "b.gguf"}
    version, loaded = said({"version": "1"}), said({"models": [{"name": "pulled:latest"}]})
    tags = said({"models": [{"name": "llama3:latest"}, {"name": "qwen:0.5b"}, {}, 7]})
    ollama = parsers.ollama(version, loaded, tags)
    assert ollama is not None
    assert ollama.names == {"pulled:latest", "llama3:latest", "qwen:0.5b"}
    disk = said({"data": [{"id": "a", "state": "loaded"}, {"id": "b", "state": "not-loaded"}]})
    lmstudio = parsers.lmstudio(disk)
    assert lmstudio is not None
    assert lmstudio.names == {"a", "b"}
    adapters = said(
        {"data": [{"id": "base", "owned_by": "vllm"}, {"id": "lora", "owned_by": "vllm", "parent": "base"}]}
    )
    vllm = parsers.vllm(version, adapters)
    assert vllm is not None
    assert vllm.names == {"base", "lora"}


def test_slots() -> None:
    idle = {"id": 0, "n_ctx": 2048, "is_processing": False}
    busy = {"id": 1, "is_processing": True, "next_token": [{"n_decoded": 5}]}
    assert parsers.llamacpp_slots(said([idle, busy])) == (1, 2)
    nonsense: object
    for nonsense in ([], {}, [1], [{}], [{"is_processing": 1}], None):
        assert parsers.llamacpp_slots(said(nonsense)) is None
    assert parsers.llamacpp_slots(said([busy], 503)) is None


@pytest.mark.parametrize(
    ("told", "name"),
    [("/home/someone/a.gguf", "a.gguf"), ("a sentence of somebody", "other"), ("", None), (7, None)],
)
def test_names_are_identifiers_and_never_paths(told: object, name: str | None) -> None:
    assert name_of(told) == name


@pytest.mark.parametrize(
    ("told", "short"),
    [
        ("Q4_K - Medium", "Q4_K_M"),
        ("Q3_K - Large", "Q3_K_L"),
        ("IQ2_XXS - 2.0625 bpw", "IQ2_XXS"),
        ("IQ3_S mix - 3.66 bpw", "other"),
        ("all F32", "F32"),
        ("(guessed) Q8_0", "Q8_0"),
        ("BF16", "BF16"),
        ("unknown", None),
        (None, None),
        ("/home/canary", "other"),
        ("of my own making", "other"),
    ],
)
def test_quantizations_have_their_usual_names(told: str | None, short: str | None) -> None:
    assert quantization(told) == short


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just("/home/canary"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)


@given(st.data())
def test_any_json_in_any_field_gives_plain_facts(data: st.DataObject) -> None:
    def bent(content: Any) -> Any:
        """The content with some of its parts replaced by anything."""
        if data.draw(st.integers(0, 5)) == 0:
            return data.draw(JSON)
        if isinstance(content, dict):
            return {key: bent(value) for key, value in content.items()}
        if isinstance(content, list):
            return [bent(value) for value in content]
        return content

    version = said(bent({"version": "1"}))
    ollama = {"models": [{"name": "a", "digest": "0" * 64, "size": 5, "size_vram": 3, "details": {}}]}
    vllm = {"data": [{"id": "a", "owned_by": "vllm", "max_model_len": 5}]}
    studio = {"data": [{"id": "a", "state": "loaded", "quantization": "x", "max_context_length": 5}]}
    props, models = said(bent(PROPS)), said(bent(MODELS))
    parsers.is_llamacpp(props)
    parsers.llamacpp_slots(said(bent([{"is_processing": True}])))
    for facts in (
        parsers.llamacpp(props, models),
        parsers.ollama(version, said(bent(ollama))),
        parsers.vllm(version, said(bent(vllm))),
        parsers.lmstudio(said(bent(studio))),
        parsers.other(models),
    ):
        if facts is not None:
            entry = facts.describe()
            canonical({"engines": {"e": entry}})
            assert "/home/canary" not in str(entry)
            for value in entry.values():
                assert type(value) in {int, str, dict}
                assert not isinstance(value, str) or identifier(value) == value


@pytest.mark.parametrize("body", [b"", b"{", b"[" * 100_000, b"\xff\xfe", b"1" * 5_000, b'"' + b"x" * 1_000])
def test_bodies_that_are_no_json_object_say_nothing(body: bytes) -> None:
    answer = Answer(200, "", body)
    assert answer.mapping() == {}
    assert parsers.llamacpp(answer, answer).models == ()
    assert parsers.ollama(answer, answer) is None
