"""The catalogue, and docs/metrics.md, which is made of it: ``UPDATE_DOCS=1 ./dev test tests/core/test_catalog.py``."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stonechat.catalog import METRICS, SCORE_NAMES, VERSION, Kind, Scope

DOC = Path(__file__).parents[2] / "docs/metrics.md"

_HEAD = f"""# Metrics

Every metric that a window can hold, out of `core/stonechat/catalog.py` (catalogue version {VERSION}). The id stands on
the wire and is never reused. Values are whole numbers of the wire's unit, so that folding is exact; pages, the API and
Prometheus show the base unit. `us` is microseconds, `1e-4` ten-thousandths of the whole, `dCel` tenths of a degree,
`KiBy` and `MiBy` binary kilobytes and megabytes.

A *counter* adds increments. A *gauge* keeps count, sum, least, greatest and last reading. A *sketch* is a distribution
whose quantiles are within 2 % (DDSketch). A *tally* counts short identifiers, at most 16 and `other`. A *histogram*
holds weights of scores in 20 bins of [0, 1]. A *vector* is a sum of embeddings, of 20 or more.
"""

_SCOPES = {
    Scope.SERIES: "Per engine, model and operation",
    Scope.ENGINE: "Per engine",
    Scope.DEVICE: "Per device",
}


def render() -> str:
    """The page as it has to be."""
    parts = [_HEAD]
    for scope, title in _SCOPES.items():
        parts.append(
            f"\n## {title}\n\n| id | name | kind | wire unit | base unit | what it is |\n|---:|---|---|---|---|---|\n"
        )
        parts.extend(
            f"| {m.id} | `{m.name}` | {m.kind.name.lower()} | `{m.unit}` | `{m.base_unit}` | {m.help} |\n"
            for m in METRICS
            if m.scope is scope
        )
    return "".join(parts)


def test_the_page_of_metrics_is_that_of_the_catalogue() -> None:
    if os.environ.get("UPDATE_DOCS"):
        DOC.write_text(render())
    assert DOC.read_text() == render(), "stale: UPDATE_DOCS=1 ./dev test tests/core/test_catalog.py"


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_metric_is_well_formed(metric: object) -> None:
    from stonechat.catalog import Metric

    assert isinstance(metric, Metric)
    assert 0 < metric.id < 1 << 32
    assert metric.help.endswith(".")
    assert metric.name == metric.name.lower()
    assert metric.kind is not Kind.HISTOGRAM or metric.name.rpartition(".")[2] in SCORE_NAMES
    if metric.unit == "1e-4" and metric.kind is Kind.GAUGE:
        assert metric.base_unit == "1"
