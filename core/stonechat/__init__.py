"""What the agent and the collector agree on: metrics, records, folding, receipts, the wire, configuration.

Everything in this package is pure: values come in, values go out. No module here opens a file or a socket, starts
a thread, reads a clock or draws a random number; time and randomness are arguments. The one exception is ``client``,
by which applications tell the agent of their exchanges: ``stonechat.record(...)``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["__version__", "counts", "flush", "record", "recording"]

if TYPE_CHECKING:
    from stonechat.client import counts, flush, record, recording


def __getattr__(name: str) -> Any:
    """The client's functions, loaded when one of them is first used.

    Where they cannot be had at this moment (in a signal handler while they are loaded, or in a finaliser at the
    interpreter's end), ``record`` is something that does nothing: it must never break its application.
    """
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from stonechat import client

        found = getattr(client, name)
    except (ImportError, AttributeError):
        if name != "record":
            raise
        return lambda **_: None
    globals()[name] = found
    return found
