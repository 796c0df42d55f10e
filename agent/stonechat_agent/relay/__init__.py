"""Relaying an engine's traffic byte for byte, and reading a copy of it as it passes."""

from .addresses import AddressError, Endpoint, listen_sockets, parse_endpoint
from .relay import Relay, RelayStats

__all__ = ["AddressError", "Endpoint", "Relay", "RelayStats", "listen_sockets", "parse_endpoint"]
