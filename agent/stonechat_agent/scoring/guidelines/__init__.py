"""The owner's own rules for answers. How they are written: docs/guidelines.md."""

from stonechat_agent.scoring.guidelines.guidelines import THRESHOLD, Checked, Guidelines
from stonechat_agent.scoring.guidelines.sentences import sentences

__all__ = ["THRESHOLD", "Checked", "Guidelines", "sentences"]
