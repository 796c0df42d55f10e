"""Events in words: every kind has a sentence, and damage does not hide the rest."""

from __future__ import annotations

from typing import Any

import pytest

from stonechat.event import EventKind
from stonechat.sentences import sentence

KINDS = [value for name, value in vars(EventKind).items() if name.isupper()]
ATTRIBUTES: dict[str, dict[str, Any]] = {
    EventKind.LOSS: {"stream": "window", "reason": "too_full", "lost": 3, "cover": [["0" * 16, 1, 3]]},
    EventKind.SPOOL_QUARANTINED: {"file": "spool.db.bad-1", "reason": "DatabaseError"},
    EventKind.SPOOL_UNWRITABLE: {"reason": "OperationalError"},
    EventKind.CLOCK_STEPPED: {"step_ms": 3_600_000},
    EventKind.RESUMED: {"suspended_ms": 7_200_000},
    EventKind.SCORER_RESTARTED: {"reason": "killed", "status": -9, "wait_seconds": 10.0},
    EventKind.SCORER_OVER_MEMORY: {"memory": 300 << 20, "max_memory": 160 << 20, "wait_seconds": 1.0},
    EventKind.SCORER_GAVE_UP: {"reason": "hung", "wait_seconds": 3600.0},
    EventKind.SCORER_IMPAIRED: {"faults": 2},
    EventKind.ENGINE_CHANGED: {"digest_before": "sha256:aa", "digest_after": "sha256:bb", "model": "qwen"},
    EventKind.FLAGGED: {"exchange": "06jzq8w3k4m5n", "model": "qwen", "score": 0.934},
    EventKind.GUIDELINE_BROKEN: {"exchange": "06jzq8w3k4m5n"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_sentence(kind: str) -> None:
    said = sentence(kind, "engine", ATTRIBUTES.get(kind, {}))
    assert not said.startswith(kind.replace("_", " "))  # what is said of kinds that nobody knows
    assert len(said.split()) > 2
    assert "{" not in said


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (EventKind.LOSS, "3 windows are lost before a collector had them: too full"),
        (EventKind.CLOCK_STEPPED, "the clock was set forward by 1h00m"),
        (EventKind.RESUMED, "the device woke after 2h00m of suspend"),
        (EventKind.SCORER_RESTARTED, "the scorer was killed, and is started again after 10s"),
        (
            EventKind.SCORER_OVER_MEMORY,
            "the scorer had 300 MiB of 160, was ended and is started again after 1s",
        ),
        (
            EventKind.SCORER_GAVE_UP,
            "the scorer fails whenever it is started (hung) and is tried every 1h00m; answers go unjudged",
        ),
        (EventKind.ENGINE_CHANGED, "the engine has changed, model qwen: digest sha256:aa -> sha256:bb"),
        (EventKind.FLAGGED, "an answer of qwen was flagged as engine, score 0.93"),
        (EventKind.GUIDELINE_BROKEN, "an answer broke the guideline engine"),
    ],
)
def test_sentences_with_figures(kind: str, said: str) -> None:
    assert sentence(kind, "engine", ATTRIBUTES[kind]) == said


def test_a_kind_that_is_not_known_and_attributes_that_are_damaged() -> None:
    assert (
        sentence("engine_flew_off", "engine", {"height": 3, "list": []}) == "engine flew off engine height=3"
    )
    assert sentence(EventKind.LOSS, "window.full", {}) == "loss window.full"
    assert sentence(EventKind.STARTED, "agent", {}, 3) == "the agent has started (3 times)"


def test_flags_are_said_in_words() -> None:
    assert sentence(EventKind.FLAGGED, "relevance", {"score": 0.1}, 4) == (
        "an answer was flagged as off topic, score 0.10 (4 times)"
    )
    several = {"model": "qwen", "score": 0.97, "answers": 3}
    assert sentence(EventKind.FLAGGED, "toxic", several) == (
        "3 answers of qwen were flagged as toxic, the latest with score 0.97"
    )
    assert (
        sentence(EventKind.GUIDELINE_BROKEN, "no-dosage", {"answers": 2})
        == "2 answers broke the guideline no-dosage"
    )
    assert sentence(EventKind.FLAGGED, "toxic", {"score": "high"}) == "flagged toxic score=high"


@pytest.mark.parametrize(
    ("ms", "said"),
    [(400, "0.4s"), (1_500, "1.5s"), (90_000, "1m30s"), (7_200_000, "2h00m"), (273_600_000, "3d04h")],
)
def test_spans_in_their_two_largest_units(ms: int, said: str) -> None:
    assert said in sentence(EventKind.RESUMED, "device", {"suspended_ms": ms})
