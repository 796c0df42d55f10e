"""Values and tables of a `card.toml`."""

from __future__ import annotations

import json
from collections.abc import Mapping


def toml(value: object) -> str:
    """A string, number, truth or list as TOML has it; floats to five places."""
    if isinstance(value, float):
        value = round(value, 5)
    # JSON's are TOML's.
    return json.dumps(value, ensure_ascii=False)


def table(name: str, entries: Mapping[str, object]) -> list[str]:
    """The lines of a table, an empty one before it. What is None is not known and left out: TOML has no null."""
    known = {key: value for key, value in entries.items() if value is not None}
    return ["", f"[{name}]", *(f"{key} = {toml(value)}" for key, value in known.items())]
