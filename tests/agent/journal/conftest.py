from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from stonechat_agent.journal import journal


@pytest.fixture
def directory() -> Iterator[Path]:
    """In memory where the system has a directory for it; its path is open to other users."""
    shared = "/dev/shm"
    base = shared if os.access(shared, os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=base, prefix="stonechat-") as name:
        os.chmod(name, 0o755)
        yield Path(name)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches come twenty times as often, for tests wait for them."""
    monkeypatch.setattr(journal, "BATCH_SECONDS", journal.BATCH_SECONDS / 20)
    monkeypatch.setattr(journal, "SLOW_BATCH_SECONDS", journal.SLOW_BATCH_SECONDS / 20)
