"""Sampling: the device's state once a second, as readings of the catalogue (docs/sampling.md)."""

from __future__ import annotations

from .build import build
from .engine_search import EngineMatch
from .reading import Absent, Clock, Reading, Source
from .sampler import Sample, Sampler, SamplingThread, SourceStatus, State

__all__ = [
    "Absent",
    "Clock",
    "EngineMatch",
    "Reading",
    "Sample",
    "Sampler",
    "SamplingThread",
    "Source",
    "SourceStatus",
    "State",
    "build",
]
