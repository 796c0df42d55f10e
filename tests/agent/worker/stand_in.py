"""The real worker with judges that need no model: what an answer says decides what becomes of it.

It runs at normal priority, so that tests on a busy machine do not wait for a processor that nobody else wants.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import types
from collections.abc import Sequence
from typing import NamedTuple

from stonechat_agent.scoring.worker import child


class Judged(NamedTuple):
    scores: dict[str, float]
    withheld: dict[str, str]
    flags: tuple[str, ...]
    tier: int


class Judges:
    """Answers with "awful" are toxic to both tiers, with "odd" unsure to the first."""

    def __init__(self, folders: Sequence[str] = (), threads: int = 1) -> None:
        self.faults: tuple[str, ...] = tuple(f"model {folder} refused: it is damaged" for folder in folders)
        self.models = {"small": "1", "large": "1"}
        self._held: list[bytes] = []

    def glance(self, pairs: Sequence[tuple[str, str]]) -> list[Judged]:
        return [self._judged(answer, 1) for _, answer in pairs]

    def judge(self, pairs: Sequence[tuple[str, str]]) -> list[Judged]:
        return [self._judged(answer, 2) for _, answer in pairs]

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        return [[0.6, -0.8] for _ in texts]

    def is_uncertain(self, judged: Judged) -> bool:
        return judged.scores["toxic"] == 0.5

    def _judged(self, answer: str, tier: int) -> Judged:
        if answer.startswith("die"):
            os.kill(os.getpid(), signal.SIGKILL)
        if answer.startswith("hang"):
            time.sleep(60)
        if answer.startswith("spin"):
            while True:
                pass
        if answer.startswith("eat"):
            self._held.append(b"x" * (200 << 20))
        if answer.startswith("break"):
            raise ValueError(answer)
        score = 0.9 if "awful" in answer else 0.5 if "odd" in answer else round(len(answer) / 1e7, 4)
        return Judged({"toxic": score}, {"relevance": "no_prompt"}, ("toxic",) if score > 0.8 else (), tier)


def main() -> None:
    module = types.ModuleType("stonechat_agent.scoring.judging")
    module.Judges = Judges  # type: ignore[attr-defined]
    sys.modules[module.__name__] = module
    child.stand_back = lambda: None
    child.main()


if __name__ == "__main__":
    main()
