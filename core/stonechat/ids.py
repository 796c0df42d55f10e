"""Names of devices and fleets, and identifiers that strangers chose.

A device id and a fleet stand in MQTT topics, file names and URLs, so their charset needs quoting in none of them.
"""

from __future__ import annotations

import re
from hashlib import blake2b

DEVICE_ID_PATTERN = r"[a-z0-9][a-z0-9-]{0,62}"
IDENTIFIER_LIMIT = 64

_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32, in lower case
_DEVICE_ID = re.compile(DEVICE_ID_PATTERN, re.ASCII)
_IDENTIFIER = re.compile(r"[A-Za-z0-9._:/@+-]+", re.ASCII)
_PATH = re.compile(r"[/~.]|[A-Za-z]:[/\\]|.*\\|.*\.(gguf|safetensors|bin)/?\Z", re.ASCII | re.DOTALL)
_SEPARATOR = re.compile(r"[/\\]", re.ASCII)
_MACHINE_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)


def is_device_id(text: str) -> bool:
    """Tell whether text may name a device (or a fleet: the same charset): 1 to 63 of ``a-z``, ``0-9``, ``-``."""
    return _DEVICE_ID.fullmatch(text) is not None


def device_id_from_machine_id(machine_id: str) -> str:
    """Return ``"dev-"`` and 12 hexadecimal digits for the text of ``/etc/machine-id``.

    machine-id(5) forbids showing the id itself to a network, so this is a keyed hash of it for this application
    alone: stable on the machine, and of no use to find it elsewhere. 48 bits: among 100,000 devices two agree with a
    probability of 2e-5, and then the collector raises ``duplicate identity``.

    Raises:
        ValueError: not 32 lower-case hexadecimal digits, or the all-zero id of an image that was never booted.
    """
    text = machine_id.strip()
    if _MACHINE_ID.fullmatch(text) is None or text == "0" * 32:
        raise ValueError("a machine id must be 32 hexadecimal digits, not all zero")
    return "dev-" + blake2b(bytes.fromhex(text), digest_size=6, person=b"stonechat-device").hexdigest()


def exchange_id(wall_ms: int, random: int) -> str:
    """Return the id of an exchange: 13 characters of ``0-9a-z`` without i, l, o and u, that sort by time.

    Args:
        wall_ms: ms since 1970 (its low 43 bits count: they last until 2248).
        random: 22 random bits, so that ids of one millisecond differ.
    """
    number = (wall_ms & ((1 << 43) - 1)) << 22 | (random & ((1 << 22) - 1))
    return "".join(_DIGITS[number >> shift & 31] for shift in range(60, -1, -5))


def is_exchange_id(text: str) -> bool:
    """Tell whether text has the form of ``exchange_id``."""
    return len(text) == 13 and all(character in _DIGITS for character in text)


def is_pseudonym(text: str) -> bool:
    """Tell whether text has the form of a pseudonym of a user (``u-``) or a conversation (``c-``), as a device's
    journal gives it: 12 characters of those of ``exchange_id``."""
    return len(text) == 14 and text[:2] in ("u-", "c-") and all(c in _DIGITS for c in text[2:])


def identifier(text: str, limit: int = IDENTIFIER_LIMIT) -> str | None:
    """Return text if it may stand as an identifier in a metric's key, else None (counted as ``other``).

    Model names, tool names, paths and finish reasons come from whoever talks to the engine. Only 1 to ``limit``
    characters of ``A-Z a-z 0-9 . _ : / @ + -`` pass. Nothing is repaired, so that two names cannot become one and a
    sentence never passes as a name.
    """
    if len(text) > limit or _IDENTIFIER.fullmatch(text) is None:
        return None
    return text


def model_name(text: str) -> str | None:
    """Return the name of a model as an identifier: of a path its last part, None where that is none (``other``).

    llama-server calls a model by the path of its file unless it was told an alias, and a path tells what the owner's
    folders are called. ``org/model`` is a name; what begins with a root, a home, a dot or a drive, has a backslash, or
    ends as a file of weights, is a path.
    """
    if _PATH.match(text) is not None:
        text = _SEPARATOR.split(text.rstrip("/\\"))[-1]
    return identifier(text)
