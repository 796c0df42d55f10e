"""docs/engines.md names every dialect, path, error type and finish reason that the code has."""

from __future__ import annotations

import re
from pathlib import Path

from stonechat_agent.capture import ERROR_TYPES, FINISH_REASONS, ROUTES

PAGE = (Path(__file__).parents[3] / "docs" / "engines.md").read_text()


def words(text: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", text))


def test_every_dialect_stands_with_its_paths() -> None:
    rows = {
        line.split("`")[1]: words(line)
        for line in PAGE.splitlines()
        if re.match(r"\| `\w+\.\w+` \| `/", line)
    }
    expected: dict[str, set[str]] = {}
    for path, found in ROUTES.items():
        if found.dialect is not None:
            expected.setdefault(found.dialect.name, set()).add(path)
    assert {name: {word for word in row if word.startswith("/")} for name, row in rows.items()} == expected


def test_every_error_type_and_finish_reason_stands_there() -> None:
    section = PAGE.partition("## How an exchange ends")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    assert {word for row in rows for word in words(row.split("|")[1])} == set(ERROR_TYPES)
    assert words(section[section.index("Finish reasons") :]) == set(FINISH_REASONS)
