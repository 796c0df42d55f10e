"""``stonechat replay``: recorded exchanges through the agent's pipeline, with the recording's own clock."""

from __future__ import annotations

from stonechat_agent.replay.command import main

__all__ = ["main"]
