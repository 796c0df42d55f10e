"""The command: asks, and prints what was found as text or JSON."""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from stonechat_agent import status as status_command
from stonechat_agent.settings import Settings, load

from .checkup import Area, examine
from .finding import Patient, State, user_name

STATUS_SECONDS = 1.5
"""How long the agent may take to say what it sees."""

_WIDTH = 110
_INDENT = " " * 29


def main(arguments: argparse.Namespace) -> int:
    """Print what is found. Returns 0, or 1 where something is at fault.

    Args:
        arguments: ``config``, a file or None, and ``json``, whether to print JSON.

    Raises:
        ConfigError: the configuration is faulty.
    """
    settings = load(arguments.config, as_service=False)
    areas = examine(Patient(settings, _status(settings)))
    if arguments.json:
        print(json.dumps(as_json(areas), indent=2))
    else:
        sys.stdout.write(render(areas))
    return 1 if count(areas, State.FAULT) else 0


def _status(settings: Settings) -> dict[str, Any] | None:
    """Return what the running agent says; None where none answers in time."""
    answers: list[dict[str, Any]] = []

    def ask() -> None:
        with suppress(status_command.NoAgent):
            answers.append(status_command.fetch(settings))

    # In a thread that is not waited for to its end: what listens there may be anything.
    asking = threading.Thread(target=ask, name="doctor.status", daemon=True)
    asking.start()
    asking.join(STATUS_SECONDS)
    told = answers[0] if answers else None
    needed = {"engines", "sources", "spool", "uplink", "version", "sentence"}
    return told if isinstance(told, dict) and needed <= told.keys() else None


def count(areas: Sequence[Area], state: State) -> int:
    """Return how many findings are in a state."""
    return sum(finding.state is state for area in areas for finding in area.findings)


def as_json(areas: Sequence[Area]) -> dict[str, Any]:
    """Return the report for other programs."""
    return {
        "faults": count(areas, State.FAULT),
        "missing": count(areas, State.MISSING),
        "user": user_name(),
        "findings": [
            {
                "area": area.name,
                "name": finding.name,
                "state": finding.state.value,
                "text": finding.text,
                "costs": finding.costs,
                "do": finding.do,
            }
            for area in areas
            for finding in area.findings
        ],
    }


def render(areas: Sequence[Area]) -> str:
    """Return the report as text, the answer first."""
    faults, missing = count(areas, State.FAULT), count(areas, State.MISSING)
    answer = f"{faults} at fault" if faults else "nothing is at fault"
    lines = [f"{answer}, {missing} missing, seen as {user_name()}"]
    for area in areas:
        lines += ["", area.name]
        for finding in area.findings:
            # What costs nothing here needs one line, not three.
            idle = finding.state is State.MISSING and finding.costs.startswith("nothing")
            text = f"{finding.text} (costs {finding.costs})" if idle else finding.text
            lines.append(_wrapped(f"  {finding.state.value:8} {finding.name:18}", text))
            if finding.state is not State.OK:
                lines += [_wrapped(f"{_INDENT}costs: ", finding.costs)] if finding.costs and not idle else []
                lines += [_wrapped(f"{_INDENT}do: ", finding.do)] if finding.do else []
    return "\n".join(lines) + "\n"


def _wrapped(head: str, text: str) -> str:
    printable = "".join(char if char.isprintable() else "?" for char in text)
    return textwrap.fill(
        printable,
        _WIDTH,
        initial_indent=head.ljust(len(_INDENT)),
        subsequent_indent=_INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )
