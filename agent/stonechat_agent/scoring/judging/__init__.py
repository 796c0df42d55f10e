"""Models that judge answers: tier 1 (`glance`), tier 2 (`judge`), and classifiers that were dropped in.

Loaded by the worker's process and by the commands that score, never by the agent's main process: what it runs on,
numpy and onnxruntime, takes tens of megabytes.
"""

from stonechat_agent.scoring.judging.card import HEADS, Card
from stonechat_agent.scoring.judging.judges import Judged, Judges, NoModel

__all__ = ["HEADS", "Card", "Judged", "Judges", "NoModel"]
