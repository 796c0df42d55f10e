"""How facts join, and which differences are changes."""

from __future__ import annotations

from stonechat_agent.passive import Change, Facts, Model, changes, event_attributes
from stonechat_agent.passive.facts import MOST_MODELS, join

A = Model("a", "sha256:1", "Q4_0", 2048)
B = Model("b", "sha256:2", "Q8_0", 4096)


def test_what_is_unknown_is_left_out() -> None:
    assert Facts().describe() == {"kind": "unknown"}
    assert Facts("vllm", models=(Model("a"),)).describe() == {"kind": "vllm", "model": "a"}


def test_several_models_stand_by_name() -> None:
    assert Facts("ollama", models=(A, Model(None, vram=5))).describe() == {
        "kind": "ollama",
        "models": {"a": {"digest": "sha256:1", "quantization": "Q4_0", "context": 2048}, "other": {}},
    }


def test_a_model_that_was_unloaded_stays_known_where_the_engine_swaps_them() -> None:
    one = join(None, Facts("ollama", models=(A,), swaps=True))
    none = join(one, Facts("ollama", swaps=True))
    assert none.models == (A,)
    both = join(none, Facts("ollama", models=(B,), swaps=True))
    assert both.models == (A, B)
    again = join(both, Facts("ollama", models=(A,), swaps=True))
    assert set(again.models) == {A, B}
    assert join(both, Facts("llama.cpp", models=(B,))).models == (B,)
    assert join(Facts("vllm", models=(A,)), Facts("vllm", models=(B,))).models == (B,)


def test_models_are_bounded_and_the_longest_unseen_goes() -> None:
    facts = None
    for number in range(MOST_MODELS + 2):
        facts = join(facts, Facts("ollama", models=(Model(f"m{number}"),), swaps=True))
    assert facts is not None
    assert [model.name for model in facts.models] == [f"m{number}" for number in range(2, MOST_MODELS + 2)]


def test_another_digest_and_build_are_changes() -> None:
    before = Facts("llama.cpp", "b1", models=(A,)).describe()
    after = Facts("llama.cpp", "b2", models=(Model("a", "sha256:9", "Q4_0", 2048),)).describe()
    found = changes(before, after)
    assert found == [Change("build", "b1", "b2"), Change("digest", "sha256:1", "sha256:9")]
    assert event_attributes(found) == {
        "build_before": "b1",
        "build_after": "b2",
        "digest_before": "sha256:1",
        "digest_after": "sha256:9",
    }


def test_what_is_first_learned_or_not_told_any_more_is_no_change() -> None:
    entry = Facts("llama.cpp", "b1", models=(A,)).describe()
    assert changes({}, entry) == []
    assert changes(entry, Facts("llama.cpp").describe()) == []
    assert changes(entry, entry) == []


def test_a_further_model_is_no_change_but_an_altered_one_is() -> None:
    one = Facts("ollama", "1", models=(A,), swaps=True).describe()
    two = Facts("ollama", "1", models=(A, B), swaps=True).describe()
    assert changes(one, two) == []
    pulled = Facts("ollama", "1", models=(A, Model("b", "sha256:3", "Q8_0", 4096)), swaps=True).describe()
    found = changes(two, pulled)
    assert found == [Change("digest", "sha256:2", "sha256:3", "b")]
    assert event_attributes(found) == {
        "model": "b",
        "digest_before": "sha256:2",
        "digest_after": "sha256:3",
    }
