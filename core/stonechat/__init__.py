"""What the agent and the collector agree on: metrics, records, folding, receipts, the wire, configuration.

Everything in this package is pure: values come in, values go out. No module here opens a file or a socket, starts
a thread, reads a clock or draws a random number; time and randomness are arguments. The one exception is ``client``,
by which applications tell the agent of their exchanges: ``stonechat.record(...)``.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["__version__", "counts", "flush", "record", "recording"]

if TYPE_CHECKING:
    from stonechat.client import counts, flush, record, recording


def __getattr__(name: str) -> Any:
    """The client's functions, loaded when one of them is first used."""
    if name in ("counts", "flush", "recording"):
        from stonechat import client

        return getattr(client, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


_found: Any = None


def _find() -> Any:
    """The client's ``record``; in its place something that does nothing, where it cannot be had at this moment: in a
    signal handler while it is loaded, or in a finaliser at the interpreter's end."""
    global _found  # noqa: PLW0603
    try:
        from stonechat import client

        _found = client.record
    except (ImportError, AttributeError):
        return lambda **_: None
    return _found


class _Package(ModuleType):
    """This package as a module, in which ``record`` is the function for applications at all times.

    Importing the module ``stonechat.record`` would otherwise put that in its place.
    """

    @property
    def record(self) -> Any:
        """``stonechat.client.record``."""
        return _found if _found is not None else _find()

    @record.setter
    def record(self, module: ModuleType) -> None:
        """Leave ``stonechat.record`` to what imports it by its whole name."""


sys.modules[__name__].__class__ = _Package
