"""docs/commands.md says what the commands take. ``UPDATE_DOCS=1`` writes its table of fields."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from tests.agent.commands.conftest import NOW_MS

from stonechat.exchange_row import FIELDS
from stonechat_agent import cli
from stonechat_agent.commands import completion, where

PAGE = Path(__file__).parents[3] / "docs" / "commands.md"
BEGIN, END = "<!-- generated: fields -->\n", "<!-- end: fields -->\n"


def table() -> str:
    lines = ["| field | holds | meaning |", "|---|---|---|"]
    lines += [f"| `{field.name}` | {field.kind.value} | {field.help} |" for field in FIELDS]
    return "\n" + "\n".join(lines) + "\n\n"


def test_the_table_of_fields_is_current() -> None:
    before, _, rest = PAGE.read_text().partition(BEGIN)
    written, _, after = rest.partition(END)
    if os.environ.get("UPDATE_DOCS") and written != table():
        PAGE.write_text(before + BEGIN + table() + END + after)
        written = table()
    assert written == table(), "stale: run UPDATE_DOCS=1 ./dev test -n 0 tests/agent/commands/test_page.py"


def conditions() -> list[str]:
    text = PAGE.read_text()
    section = text[text.index("### Conditions") : text.index("A mistake is shown")]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return [found for cell in cells for found in re.findall(r"`([^`]+)`", cell)]


@pytest.mark.parametrize("text", conditions())
def test_the_conditions_of_the_page_can_be_read(text: str) -> None:
    where.compile_condition(text, now_ms=NOW_MS)


def test_the_options_of_the_page_are_there() -> None:
    found = completion.commands_of(cli.build_parser())
    known = {name for command in found for option in command.options for name in option.names}
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", PAGE.read_text()))
    assert named <= known


def test_every_command_is_on_the_page() -> None:
    text = PAGE.read_text()
    for command in completion.commands_of(cli.build_parser()):
        if command.name not in ("agent", "collector", "demo-engine"):
            assert f"`stonechat {command.name}`" in text
