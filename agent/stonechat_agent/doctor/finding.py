"""What a check finds, and what checks are told."""

from __future__ import annotations

import os
from enum import Enum
from typing import Any, NamedTuple

from stonechat_agent.settings import Settings


class State(Enum):
    """How bad it is. What is missing costs something and is no fault."""

    OK = "ok"
    MISSING = "missing"
    FAULT = "fault"


class Finding(NamedTuple):
    """One line of the report."""

    name: str
    state: State
    text: str
    """What is so."""
    costs: str = ""
    """What is lost by it; "" where nothing is."""
    do: str = ""
    """What changes it; "" where nothing needs to, or nothing can."""


class Patient(NamedTuple):
    """What is looked at. Roots are parameters, so that recorded trees test the checks."""

    settings: Settings
    status: dict[str, Any] | None
    """What the running agent says of itself; None where none answers."""
    dev: str = "/dev"

    @property
    def proc(self) -> str:
        return self.settings.sampling.proc_root

    @property
    def sys(self) -> str:
        return self.settings.sampling.sys_root


SERVICE_USER = "stonechat"


def user_name(uid: int | None = None) -> str:
    """Return the name of a user (default: who runs this), or its number as text."""
    if uid is None:
        uid = os.geteuid() if hasattr(os, "geteuid") else -1
    try:
        import pwd  # not on Windows

        return pwd.getpwuid(uid).pw_name
    except (ImportError, KeyError):
        return os.environ.get("USERNAME", str(uid)) if uid < 0 else str(uid)
