"""Reading exchanges from the bytes of a connection: HTTP/1, server-sent events, JSON lines, and the engines' dialects.

Everything here is pure: bytes and instants in, exchanges out. The relay is the shell around it.
"""

from .bounds import DROP_REASONS, Bounds, Budget, Counts
from .connection import Connection
from .dialects import ROUTES, Dialect, Route, route
from .errors import ERROR_TYPES, FINISH_REASONS

__all__ = [
    "DROP_REASONS",
    "ERROR_TYPES",
    "FINISH_REASONS",
    "ROUTES",
    "Bounds",
    "Budget",
    "Connection",
    "Counts",
    "Dialect",
    "Route",
    "route",
]
