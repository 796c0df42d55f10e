"""The agent's own endpoint on the device: status, health and Prometheus metrics."""

from __future__ import annotations

from stonechat_agent.local.endpoint import Endpoint, Page

__all__ = ["Endpoint", "Page"]
