"""Preset dictionaries of the wire's deflate, by id. A released one never changes."""

from __future__ import annotations

DICTIONARIES: dict[int, bytes] = {1: bytes(16)}
