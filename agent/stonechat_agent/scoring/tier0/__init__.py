"""Checks of every answer that need no model: cheap, and rarely wrong. What each means: docs/findings.md."""

from stonechat.exchange import FINDINGS
from stonechat_agent.scoring.tier0.tier0 import THRESHOLD, Findings, Tier0

__all__ = ["FINDINGS", "THRESHOLD", "Findings", "Tier0"]
