"""``stonechat doctor``: what this device lets the agent see, what is at fault, and what would open the rest.

It works with the agent running and without, as any user, and does not change anything. Each area is a check: a function
in a file here, and a row in the table of ``checkup``.
"""

from __future__ import annotations

from .checkup import examine
from .finding import Finding, State
from .report import main

__all__ = ["Finding", "State", "examine", "main"]
