"""What the documents say of the API, the figures, the statuses and the metrics is what the code has."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from tests.collector.making import NOW, window, windows_message

from stonechat.exchange import FINDINGS
from stonechat.judgements import MEANINGS
from stonechat_collector import metrics, models, rollup
from stonechat_collector.api import create_app
from stonechat_collector.exchange_views import WHY_NOT
from stonechat_collector.figures import NOW_FIGURES, RECENT_FIGURES
from stonechat_collector.ingest import Ingest
from stonechat_collector.status import STATUSES
from stonechat_collector.store import Store

DOCS = Path(__file__).parents[2] / "docs"
API = (DOCS / "api.md").read_text("utf-8")
OPERATE = (DOCS / "operate.md").read_text("utf-8")


def test_every_address_is_documented_and_no_other(store: Store) -> None:
    paths = set(create_app(store).openapi()["paths"])
    assert set(re.findall(r"\| `GET (/[^`]+)` \|", API)) == paths


def test_every_figure_is_documented_and_has_its_place_in_the_model() -> None:
    figures = {*NOW_FIGURES, *RECENT_FIGURES}
    assert figures <= set(re.findall(r"`([a-z0-9_]+)`", API))
    assert figures == set(models.Metrics.model_fields)


def test_every_status_is_documented() -> None:
    assert tuple(
        re.findall(r"^\| `(\w+)` \| ", API.partition("| status |")[2].partition("`metrics` has")[0], re.M)
    ) == (STATUSES)
    assert get_args(models.StatusWord) == STATUSES


def test_every_metric_is_documented_and_no_other(store: Store) -> None:
    Ingest(store, lambda: NOW).take([windows_message([window(1)])])
    rollup.advance(store, NOW)
    known = {name for _, name, _ in (*metrics._COUNTERS, *metrics._FLEET)}
    known |= set(re.findall(r"^# TYPE (\S+)", metrics.exposition(store, NOW), re.M)) | {
        "stonechat_collector_rejected_total"
    }
    assert set(re.findall(r"`(stonechat_\w+)`", OPERATE)) == known


def test_every_reason_for_absent_texts_is_documented() -> None:
    table = API.partition("| `no_texts` | why |")[2].partition("\n\n")[0]
    assert set(
        re.findall(r"`([a-z_]+)`", "\n".join(line.split("|")[1] for line in table.split("\n")[2:]))
    ) == set(WHY_NOT)


def test_every_finding_of_the_docs_has_its_words_on_the_pages() -> None:
    table = (DOCS / "findings.md").read_text("utf-8").partition("| finding |")[2].partition("\n\n")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.M)) == set(FINDINGS) <= set(MEANINGS)


def test_every_code_of_an_error_is_documented() -> None:
    source = Path(str(__import__("stonechat_collector.api", fromlist=["api"]).__file__)).read_text("utf-8")
    codes = set(re.findall(r'_error\(\s*[\w.]+,\s*"(\w+)"', source))
    assert {"invalid_parameter", "no_such_device"} <= codes
    assert codes <= set(re.findall(r"`([a-z_]+)`", API))
