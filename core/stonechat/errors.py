"""The errors that Stonechat raises, split by what the caller does next.

Each module may add a child where it defines it; the children here are those that several modules raise.
"""

from __future__ import annotations

from typing import NamedTuple


class StonechatError(Exception):
    """Base of every error that Stonechat raises on purpose."""


class Fault(NamedTuple):
    """One thing that is wrong with a configuration."""

    source: str
    """The file, or where else the value came from."""
    key: str
    """Dotted path such as ``mqtt.url`` or ``engine[1].listen``; "" for the file as a whole."""
    found: str
    """What stands there, as it would be written in the file; "" where nothing stands."""
    expected: str
    """What may stand there, as the rest of a sentence: "must be ..."."""
    hint: str = ""
    """What to do about it; "" where ``expected`` says all there is to say."""

    def __str__(self) -> str:
        where = ": ".join(part for part in (self.source, self.key) if part)
        line = f"{where} = {self.found}: {self.expected}" if self.found else f"{where}: {self.expected}"
        return f"{line}\n  hint: {self.hint}" if self.hint else line


class ConfigError(StonechatError):
    """A configuration that cannot be used, with every fault in it. Cure: change the file."""

    def __init__(self, faults: list[Fault] | tuple[Fault, ...]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))


class WireError(StonechatError):
    """Bytes from the network that cannot be taken. ``reason`` is a short word that a counter can be keyed by."""

    def __init__(self, reason: str, detail: str = "") -> None:
        self.reason = reason
        super().__init__(f"{reason}: {detail}" if detail else reason)


class Refused(WireError):
    """These bytes will never be taken: count them with their reason and let them go."""


class FoldError(StonechatError):
    """Two values or records that do not fold: other kinds, accuracies, descriptions or catalogues."""
