"""Which answers tier 1 sends on."""

from __future__ import annotations

import numpy as np
import pytest

from train.glance.card import RECALL, doubts
from train.judges.calibrate import Calibration
from train.judges.rows import Row
from train.judges.scored import Scored
from train.judges.sources import HEADS


@pytest.fixture
def scored() -> Scored:
    rng = np.random.default_rng(1)
    rows, logits = [], []
    for at in range(4000):
        bad = at % 4 == 0
        rows.append(
            Row(
                prompt="p",
                response=f"text {at}",
                labels={"toxic": float(bad), "relevance": float(not bad)},
                source="toxigen_annotated" if bad else "gpteacher_roleplay",
                family="f",
                split="dev",
                answer=True,
            )
        )
        line = np.zeros(len(HEADS), np.float32)
        line[HEADS.index("toxic")] = rng.normal(2 if bad else -2)
        line[HEADS.index("relevance")] = rng.normal(-2 if bad else 2)
        logits.append(line)
    return Scored.of(rows, np.array(logits), np.zeros((len(rows), 0), np.float32))


def test_so_many_positives_go_on_and_few_others(scored: Scored) -> None:
    found = doubts(scored, {"toxic": Calibration(1.0, 0.0, 0.9), "relevance": Calibration(1.0, 0.0, 0.1)})
    assert found["toxic"].high == 1.0
    assert found["relevance"].low == 0.0
    for doubt in found.values():
        assert RECALL <= doubt.recall < RECALL + 0.02
        # Of two normal distributions four apart, 1 in 110 lies beyond the other's 5 % mark.
        assert doubt.ordinary == pytest.approx(0.009, abs=0.006)


def test_a_head_without_positives_has_no_bounds(scored: Scored) -> None:
    assert doubts(scored, {"sexual": Calibration(1.0, 0.0, 0.9)}) == {}
