"""The agent's durable, bounded store of windows and events that no collector has acknowledged."""

from stonechat_agent.clocks import Instant
from stonechat_agent.spool.acks import AckResult
from stonechat_agent.spool.lock import SpoolInUse
from stonechat_agent.spool.spool import Candidate, Kept, Offer, Spool, Stats
from stonechat_agent.spool.store import Source

__all__ = ["AckResult", "Candidate", "Instant", "Kept", "Offer", "Source", "Spool", "SpoolInUse", "Stats"]
