"""The way to the collector: what is published when (``session``).

``mqtt`` has the connection that carries it. It is imported where a broker is configured, because it brings ssl.
"""

from stonechat_agent.uplink.backoff import Backoff
from stonechat_agent.uplink.session import Publish, Uplink

__all__ = ["Backoff", "Publish", "Uplink"]
