"""Where the models of this device lie: those that the configuration names, and those that were added."""

from __future__ import annotations

from pathlib import Path

from stonechat_agent.settings import Settings

_CARD = "card.toml"


def place(settings: Settings) -> Path:
    """Return the directory that `stonechat models add` fills: `models` in that of the spool, the state directory."""
    return Path(settings.spool.path) / "models"


def folders(settings: Settings) -> list[str]:
    """Return the folders of all models that did not ship with Stonechat: those of `[scoring] models`, then added ones.

    A directory that cannot be read, or is not there, holds none.
    """
    try:
        added = sorted(str(card.parent) for card in place(settings).glob(f"[!.]*/{_CARD}"))
    except OSError:
        added = []
    return list(dict.fromkeys([*settings.scoring.models, *added]))
