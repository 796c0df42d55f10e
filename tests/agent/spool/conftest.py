"""A device whose spool lies in memory where the system has a directory for it: most tests commit by the hundred."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.agent.spool.making import Device


@pytest.fixture
def directory() -> Iterator[Path]:
    shared = "/dev/shm"
    base = shared if os.access(shared, os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=base, prefix="stonechat-") as name:
        yield Path(name)


@pytest.fixture
def device(directory: Path) -> Device:
    return Device(directory / "spool")
