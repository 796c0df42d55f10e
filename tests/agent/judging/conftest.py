"""Tests of the judges have the models that they make, and none that ships."""

from __future__ import annotations

import pytest

from stonechat_agent.scoring.judging import judges


@pytest.fixture(autouse=True)
def nothing_ships(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judges, "shipped", tuple)
