"""The description of this device: what changes seldom, out of the settings and the hardware."""

from __future__ import annotations

from typing import Any

from stonechat import __version__
from stonechat.catalog import VERSION
from stonechat_agent.sampling.hardware import describe as hardware
from stonechat_agent.settings import Settings


def describe(settings: Settings) -> dict[str, Any]:
    """Return the description. Asks a GPU's driver where there is one, which may take seconds."""
    return {
        "labels": dict(settings.device.labels),
        "hardware": hardware(proc=settings.sampling.proc_root, sys=settings.sampling.sys_root),
        "engines": {engine.name: {} for engine in settings.engines},
        "agent": {
            "version": __version__,
            "catalog": VERSION,
            "window_ms": settings.window.length_ns // 1_000_000,
        },
    }
