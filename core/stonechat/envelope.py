"""The outer form of every payload: version, dictionary, compressed MessagePack. Bounded both ways.

::

    +---------+------------+-----------------------------------+
    | version | dictionary | raw deflate of a MessagePack list |
    | 1 byte  | 1 byte     | at most MAX_PAYLOAD - 2 bytes     |
    +---------+------------+-----------------------------------+

The list's first item is the message's type (``wire``). Dictionary 0 is none; the others are preset dictionaries of
deflate (RFC 1951 by way of zlib's ``zdict``), shipped with the code and never changed once released.
"""

from __future__ import annotations

import zlib
from typing import Any

import msgpack

from stonechat._dictionary import DICTIONARIES
from stonechat.errors import Refused

VERSION = 1
DICTIONARY = max(DICTIONARIES)
"""The dictionary that is written. Every shipped one is read."""

MAX_PAYLOAD = 128 * 1024
"""Bytes of a payload: what the smallest bound among the common hosted brokers lets through."""

MAX_BODY = 4 * 1024 * 1024
"""Bytes of a decompressed body; a bomb is stopped here."""

_HEAD = 2


def compress(body: bytes, dictionary: int = DICTIONARY) -> bytes:
    """Raw deflate of a body with a shipped dictionary (0: none)."""
    if dictionary:
        deflate = zlib.compressobj(
            9, zlib.DEFLATED, -15, 9, zlib.Z_DEFAULT_STRATEGY, DICTIONARIES[dictionary]
        )
    else:
        deflate = zlib.compressobj(9, zlib.DEFLATED, -15, 9)
    return deflate.compress(body) + deflate.flush()


def decompress(data: bytes, dictionary: int) -> bytes:
    """The body of ``compress``. Raises Refused for what is damaged, unfinished, too large or of another dictionary."""
    if dictionary and dictionary not in DICTIONARIES:
        raise Refused("dictionary", f"dictionary {dictionary} is not known, {sorted(DICTIONARIES)} are")
    inflate = zlib.decompressobj(-15, DICTIONARIES[dictionary]) if dictionary else zlib.decompressobj(-15)
    try:
        body = inflate.decompress(data, MAX_BODY)
    except zlib.error as error:
        raise Refused("deflate", str(error)) from error
    if not inflate.eof:
        reason = "oversized" if inflate.unconsumed_tail else "truncated"
        raise Refused(reason, f"{len(data)} bytes of deflate gave {len(body)} and no end")
    if inflate.unused_data:
        raise Refused("trailing", f"{len(inflate.unused_data)} bytes after the end of the deflate stream")
    return body


def seal(message: list[Any], dictionary: int = DICTIONARY) -> bytes:
    """A message as payload. Raises ValueError when it exceeds ``MAX_PAYLOAD``: the sender has to split it."""
    payload = bytes((VERSION, dictionary)) + compress(msgpack.packb(message), dictionary)
    if len(payload) > MAX_PAYLOAD:
        raise ValueError(f"payload of {len(payload)} bytes, at most {MAX_PAYLOAD} are allowed")
    return payload


def unseal(payload: bytes) -> list[Any]:
    """The message of a payload. Raises Refused with a short reason for anything that is not one."""
    if len(payload) > MAX_PAYLOAD:
        raise Refused("oversized", f"payload of {len(payload)} bytes, at most {MAX_PAYLOAD} are allowed")
    if len(payload) <= _HEAD:
        raise Refused("truncated", f"payload of {len(payload)} bytes")
    if payload[0] != VERSION:
        raise Refused("version", f"version {payload[0]}, this one reads {VERSION}")
    message = unpack(decompress(payload[_HEAD:], payload[1]))
    if type(message) is not list or not message or type(message[0]) is not int:
        raise Refused("message", "not a list that begins with its type")
    return message


def unpack(body: bytes) -> Any:
    """One MessagePack object. Raises Refused for anything else."""
    try:
        return msgpack.unpackb(body, raw=False, strict_map_key=False, max_ext_len=0)
    except (
        Exception
    ) as error:  # the unpacker raises a dozen kinds, ValueError and UnicodeDecodeError among them
        raise Refused("msgpack", type(error).__name__) from error
