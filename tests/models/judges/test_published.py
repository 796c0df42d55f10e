"""The tables of docs/models.md are those of the shipped models and of what the benchmark kept beside them.

``UPDATE_DOCS=1 ./dev test -n 0 tests/models/judges/test_published.py`` writes them.
"""

import json
import os
import re
from pathlib import Path

import pytest

from stonechat_models import model_path, read_card
from train.judges import published
from train.judges.sources import HEADS

DOCUMENT = Path(__file__).parents[3] / "docs/models.md"
CARDS = {kind: read_card(kind) for kind in ("judge", "glance")}
FOLDS = json.loads((Path(published.__file__).parent / "folds.json").read_text(encoding="utf-8"))
EVAL = json.loads((model_path("judge") / "eval.json").read_text(encoding="utf-8"))


def test_the_tables_of_the_model_card_are_current() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    current = published.filled(text, published.tables(EVAL, CARDS, FOLDS))
    if os.environ.get("UPDATE_DOCS"):
        DOCUMENT.write_text(current, encoding="utf-8")
        text = current
    assert text == current, "stale: run UPDATE_DOCS=1 ./dev test -n 0 tests/models/judges/test_published.py"


def test_every_table_of_the_document_is_made() -> None:
    named = re.findall(r"<!-- generated: (.*?) -->", DOCUMENT.read_text(encoding="utf-8"))
    assert set(named) == set(published.tables(EVAL, CARDS, FOLDS))
    assert len(named) == len(set(named))


def test_the_figures_are_of_the_shipped_versions() -> None:
    versions = {card["name"]: card["version"] for card in CARDS.values()}
    assert EVAL["models"] == versions
    assert json.loads((model_path("glance") / "eval.json").read_text(encoding="utf-8"))["models"] == versions


def test_every_head_has_a_meaning() -> None:
    assert tuple(published.MEANING) == HEADS


def test_a_missing_mark_is_named() -> None:
    with pytest.raises(ValueError, match="no <!-- generated: costs -->"):
        published.filled("text", {"costs": "| |"})
    assert published.filled("<!-- generated: a -->\nold\n<!-- end: a -->\n", {"a": "new"}) == (
        "<!-- generated: a -->\n\nnew\n\n<!-- end: a -->\n"
    )
