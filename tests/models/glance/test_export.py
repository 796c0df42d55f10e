"""The graph that ships: what it computes, in plain numpy beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from stonechat_agent.scoring.judging import hashing
from train.glance import export
from train.glance.corpus import hashed

SPEC = hashing.Spec(word_bits=6, piece_bits=7)
PAIRS = [
    ("What time is it?", "It is late, and you should go to bed."),
    ("", "Nobody asked."),
    ("A prompt alone", ""),
    ("", ""),
    ("Same", "words " * 50),
]

Floats = NDArray[np.float32]

TOPIC = 3


def random_weights(word: int = 5, piece: int = 4, topic: int = TOPIC, hidden: int = 6) -> dict[str, Floats]:
    rng = np.random.default_rng(3)
    pooled, seen = word + piece, word + piece + len(hashing.MEASURES) + topic + 1
    shapes = {
        "words": (65, word),
        "pieces": (129, piece),
        "harm_hidden.weight": (hidden, pooled),
        "harm_hidden.bias": (hidden,),
        "harm.weight": (7, hidden + pooled),
        "harm.bias": (7,),
        "other_hidden.weight": (hidden, seen),
        "other_hidden.bias": (hidden,),
        "other.weight": (4, hidden + seen),
        "other.bias": (4,),
    }
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def expected(weights: Mapping[str, Floats], pair: tuple[str, str]) -> tuple[Floats, Floats]:
    fed = {name: values[0] for name, values in hashing.feed([pair], SPEC).items()}

    def pooled(side: str) -> Floats:
        parts = []
        for name in ("words", "pieces"):
            values, scale = export.quantized(np.vstack([np.zeros_like(weights[name][:1]), weights[name][1:]]))
            there = fed[f"{side}_{name}"][fed[f"{side}_{name}"] > 0]
            parts.append(values[there].astype(np.int64).sum(0) * scale / np.sqrt(1 + len(there)))
        return np.concatenate(parts)

    def embedded(given: Floats) -> Floats:
        raw = given[:TOPIC]
        return np.asarray(raw / max(float(np.linalg.norm(raw)), 1e-6))

    def layers(name: str, given: Floats) -> Floats:
        inner = weights[f"{name}_hidden.weight"] @ given + weights[f"{name}_hidden.bias"]
        both = np.concatenate([np.maximum(inner, 0), given])
        return np.asarray(weights[f"{name}.weight"] @ both + weights[f"{name}.bias"])

    said, asked = pooled("answer"), pooled("prompt")
    shared = embedded(said) * embedded(asked)
    seen = np.concatenate([said, fed["measures"], 4 * shared, [shared.sum()]])
    return np.concatenate([layers("harm", said), layers("other", seen)]), embedded(said)


@pytest.fixture(scope="module")
def weights() -> dict[str, Floats]:
    return random_weights()


@pytest.fixture(scope="module")
def session(weights: dict[str, Floats]) -> Any:
    model = export.graph(weights, TOPIC).SerializeToString()
    return onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])


def test_the_graph_computes_what_the_network_is(weights: dict[str, Floats], session: Any) -> None:
    logits, embedding = session.run(["logits", "embedding"], hashing.feed(PAIRS, SPEC))
    for at, pair in enumerate(PAIRS):
        wanted_logits, wanted_embedding = expected(weights, pair)
        np.testing.assert_allclose(logits[at], wanted_logits, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(embedding[at], wanted_embedding, rtol=1e-4, atol=1e-4)


def test_a_row_scores_the_same_whatever_it_is_batched_with(session: Any) -> None:
    together = session.run(["logits"], hashing.feed(PAIRS, SPEC))[0]
    for at, pair in enumerate(PAIRS):
        alone = session.run(["logits"], hashing.feed([pair], SPEC))[0][0]
        np.testing.assert_allclose(together[at], alone, rtol=1e-5, atol=1e-5)


def test_an_embedding_has_length_one_unless_there_is_no_word(session: Any) -> None:
    embedding = session.run(["embedding"], hashing.feed(PAIRS, SPEC))[0]
    np.testing.assert_allclose(np.linalg.norm(embedding, axis=1), [1, 1, 0, 0, 1], atol=1e-5)


def test_rows_hashed_for_training_feed_the_graph_as_the_agent_does(session: Any) -> None:
    texts = hashed(PAIRS, SPEC)
    for at, pair in enumerate(PAIRS):
        for name, values in hashing.feed([pair], SPEC).items():
            np.testing.assert_array_equal(texts.fed(at)[name], values)


def test_one_value_far_out_does_not_coarsen_the_others() -> None:
    table = np.random.default_rng(0).normal(size=(20_000, 2)).astype(np.float32)
    table[7, 0] = 1000
    values, scale = export.quantized(table)
    assert values.dtype == np.int8
    assert scale[0] < 0.05
    inner = np.abs(table) < 3
    assert np.abs(values * scale - table)[inner].max() <= 0.51 * scale.max()
