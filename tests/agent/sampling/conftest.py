"""Trees of /proc and /sys planted in a directory (trees/README.md), and clocks that stand still."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import pytest

from stonechat.catalog import BY_ID
from stonechat_agent.sampling import Clock, Reading

TREES = Path(__file__).parent / "trees"
SECOND = 1_000_000_000


class Planted(NamedTuple):
    """A tree in a directory."""

    root: Path
    name: str

    @property
    def proc(self) -> str:
        return str(self.root / "proc")

    @property
    def sys(self) -> str:
        return str(self.root / "sys")

    def write(self, path: str, content: str | bytes) -> None:
        """Change a file in place, as the kernel does: who has it open reads the new content."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())

    def later(self) -> None:
        """Change what changed a second later."""
        self._grow(f"{self.name}.later")

    def _grow(self, name: str) -> None:
        _, *parts = re.split(r"^=== (.*)\n", (TREES / f"{name}.txt").read_text(), flags=re.M)
        for head, content in zip(parts[::2], parts[1::2], strict=True):
            path, _, target = head.partition(" -> ")
            if target:
                (self.root / path).parent.mkdir(parents=True, exist_ok=True)
                (self.root / path).symlink_to(target)
            elif path.endswith("/"):
                (self.root / path).mkdir(parents=True, exist_ok=True)
            else:
                self.write(path, content)


Plant = Callable[[str], Planted]
Named = Callable[[Iterable[Reading]], dict[str, int]]


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    """Give a function that plants a tree by its name; an unknown name is an empty tree."""

    def grow(name: str) -> Planted:
        planted = Planted(tmp_path, name)
        if (TREES / f"{name}.txt").exists():
            planted._grow(name)
        return planted

    return grow


@pytest.fixture
def clock() -> Clock:
    """Give clocks that stand at one second, and at a boot of two minutes."""
    return Clock(monotonic_ns=lambda: SECOND, boottime_ns=lambda: 120 * SECOND)


@pytest.fixture
def named() -> Named:
    """Give a function that turns readings into a dictionary by metric name, with engine and key where they are."""

    def by_name(readings: Iterable[Reading]) -> dict[str, int]:
        table: dict[str, int] = {}
        for reading in readings:
            words = (BY_ID[reading.metric].name, reading.engine, reading.key)
            name = " ".join(word for word in words if word)
            assert name not in table, f"{name} stands twice"
            table[name] = reading.value
        return table

    return by_name
