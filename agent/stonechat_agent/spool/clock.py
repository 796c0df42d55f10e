"""What the clocks show, as the spool knows it."""

from stonechat_agent.clocks import Instant

__all__ = ["Instant"]
