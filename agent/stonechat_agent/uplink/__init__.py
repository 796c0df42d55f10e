"""The way to the collector: what is published when (``session``), and the MQTT connection that carries it."""

from stonechat_agent.uplink.backoff import Backoff
from stonechat_agent.uplink.session import Publish, Uplink

__all__ = ["Backoff", "Publish", "Uplink"]
