"""Pseudonyms: who and which conversation, without saying so. Keyed with a secret of the device.

The same user has the same pseudonym on one device and another one on every other; without the key, nobody can try
names until one fits.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
from hashlib import blake2b

log = logging.getLogger(__name__)

KEY_FILE = "journal.key"
KEY_BYTES = 32

_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"
_LENGTH = 12


class Pseudonyms:
    """Names to pseudonyms, by a key of `KEY_BYTES` bytes."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def user(self, name: str) -> str | None:
        """``u-`` and 12 characters for whom a client named as its user; None for nobody."""
        return "u-" + self.digest("user", name) if name else None

    def digest(self, purpose: str, *parts: str) -> str:
        """12 characters (60 bits) for texts; those of different purposes tell nothing of each other."""
        hashed = blake2b(key=self._key, digest_size=8, person=purpose.encode("ascii"))
        for part in parts:
            encoded = part.encode("utf-8", "surrogatepass")
            hashed.update(len(encoded).to_bytes(8, "big"))
            hashed.update(encoded)
        number = int.from_bytes(hashed.digest(), "big")
        return "".join(_DIGITS[number >> 5 * place & 31] for place in range(_LENGTH))


def load_key(directory: str) -> bytes:
    """The key of a journal's directory, made at the first time. Never fails.

    A key that is damaged is replaced: pseudonyms from then on differ from those before. Where the disk refuses, the
    key lasts as long as the process.
    """
    path = os.path.join(directory, KEY_FILE)
    key = secrets.token_bytes(KEY_BYTES)
    try:
        with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
            found = file.read(KEY_BYTES + 1)
            if len(found) == KEY_BYTES and any(found):
                return found
            reason = f"{len(found)} bytes were found where {KEY_BYTES} random ones were expected"
            log.warning("journal key replaced", extra={"file": path, "reason": reason})
        _write(directory, path, key)
    except OSError as error:
        extra = {"file": path, "reason": error.strerror or type(error).__name__}
        log.warning("journal key lasts until the agent stops", extra=extra)
    return key


def _write(directory: str, path: str, key: bytes) -> None:
    os.makedirs(directory, mode=0o750, exist_ok=True)
    new = f"{path}.new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(new)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, key)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.replace(new, path)
