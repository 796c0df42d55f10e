"""Windows: samples and exchanges of a span of time, folded into one record."""

from __future__ import annotations

from stonechat_agent.window.builder import WindowBuilder
from stonechat_agent.window.centroids import Centroids
from stonechat_agent.window.cutter import Cut, Cutter

__all__ = ["Centroids", "Cut", "Cutter", "WindowBuilder"]
