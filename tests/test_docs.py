"""The docs say what the code says: settings, commands, dependencies.

The tables of docs/configure.md are generated: ``UPDATE_DOCS=1 ./dev test tests/test_docs.py`` writes them.
"""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path
from typing import Any

import pytest

from stonechat import config, kinds
from stonechat_agent import cli
from stonechat_agent import settings as agent_settings
from stonechat_collector import settings as collector_settings

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
CONFIGURE = DOCS / "configure.md"
FILES: dict[str, Any] = {"agent.toml": agent_settings.Settings, "collector.toml": collector_settings.Settings}


def reference(settings: Any) -> str:
    """Return the tables of a file's keys as Markdown."""
    lines: list[str] = []
    for table in config.tables_of(settings):
        heading = f"`[{table.key}]` or several `[[{table.key}]]`" if table.many else f"`[{table.key}]`"
        summary = (table.cls.__doc__ or "").strip().splitlines()[0]
        lines += [
            f"### {heading}",
            "",
            summary,
            "",
            "| key | takes | default | meaning |",
            "|---|---|---|---|",
        ]
        for option in table.options:
            cells = (
                f"`{option.key}`",
                option.kind.expected,
                f"`{kinds.toml_text(option.default)}`",
                option.help,
            )
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        lines.append("")
    return "\n".join(lines)


@pytest.mark.parametrize("name", FILES)
def test_the_reference_of_settings_is_current(name: str) -> None:
    text = CONFIGURE.read_text()
    begin, end = f"<!-- generated: {name} -->\n", f"<!-- end: {name} -->\n"
    before, _, rest = text.partition(begin)
    written, _, after = rest.partition(end)
    current = f"\n{reference(FILES[name])}\n"
    if os.environ.get("UPDATE_DOCS") and written != current:
        CONFIGURE.write_text(before + begin + current + end + after)
        written = current
    assert written == current, "stale: run UPDATE_DOCS=1 ./dev test -n 0 tests/test_docs.py"


def test_examples_of_configuration_are_right(tmp_path: Path) -> None:
    blocks = re.findall(r"```toml\n# (agent|collector)\.toml\n(.*?)```", CONFIGURE.read_text(), re.DOTALL)
    assert {name for name, _ in blocks} == {"agent", "collector"}
    for name, text in blocks:
        faults = config.read_text(FILES[f"{name}.toml"], text.encode(), f"{name}.toml")[1]
        assert not faults, "\n".join(map(str, faults))


def commands() -> list[str]:
    parser = cli.build_parser()
    (choices,) = [
        action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction)
    ]
    return list(choices)


@pytest.mark.parametrize("command", commands())
def test_every_command_is_in_the_docs(command: str) -> None:
    assert any(f"stonechat {command}" in page.read_text() for page in DOCS.glob("*.md"))


def test_no_page_names_a_command_that_is_not_there() -> None:
    known = {*commands(), "COMMAND"}
    wrong = [
        f"{page.name}: stonechat {word}"
        for page in [ROOT / "README.md", *DOCS.glob("*.md")]
        for word in re.findall(
            r"^(?:\$ )?(?:sudo )?(?:\S*/)?stonechat ([a-z-]+)", page.read_text(), re.MULTILINE
        )
        if word not in known
    ]
    assert not wrong


def dependencies() -> set[str]:
    """The names in pyproject.toml: of the base and of every extra."""
    project = config.parse_toml((ROOT / "pyproject.toml").read_bytes(), "pyproject.toml")["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    return {re.split(r"[<>=!~;\[ ]", line)[0] for group in groups for line in group}


def test_every_dependency_has_its_line() -> None:
    explained = set(re.findall(r"^\| `([a-z0-9-]+)`", (DOCS / "dependencies.md").read_text(), re.MULTILINE))
    assert explained == dependencies()


def test_every_dependency_is_pinned() -> None:
    pinned = set(re.findall(r"^([a-z0-9-]+)==", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    assert not dependencies() - pinned


def test_links_between_pages_lead_somewhere() -> None:
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in [ROOT / "README.md", ROOT / "CHANGELOG.md", *DOCS.glob("*.md")]
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text())
        if not (page.parent / target).exists()
    ]
    assert not broken
