"""Which held-back rows decide calibration and thresholds, so that the others can tell what came of it."""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Sequence

from . import rows as data
from .calibrate import ORDINARY
from .rows import HELD_BACK, Row

#: Rows of each source of ordinary answers, of each other one, and of each kind of the own examples.
_ORDINARY, _OTHERS, _OWN = 900, 250, 300


def some(rows: Sequence[Row], most: int) -> list[Row]:
    """At most `most` rows of each source, chosen by a hash of the text, whatever else is there."""
    of_source: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        of_source[row.source].append(row)
    out = []
    for name in sorted(of_source):
        chosen = sorted(of_source[name], key=lambda row: zlib.crc32(data.key(row.prompt, row.response)))
        out += chosen[:most]
    return out


def calibrating(permitted: Sequence[Row], own: Sequence[Row]) -> list[Row]:
    """What calibrates and thresholds are found on: some of each source, all ordinary answers, some of our own."""
    held = [row for row in permitted if row.split in HELD_BACK]
    plain = [row for row in held if row.source in ORDINARY]
    others = [row for row in held if row.source not in ORDINARY]
    return (
        some(plain, _ORDINARY)
        + some(others, _OTHERS)
        + some([row for row in own if row.split in HELD_BACK], _OWN)
    )


def fresh(rows: Sequence[Row], used: Sequence[Row]) -> list[bool]:
    """For each row whether it decided nothing: it is not among those `used`."""
    keys = {data.key(row.source, row.prompt, row.response) for row in used}
    return [data.key(row.source, row.prompt, row.response) not in keys for row in rows]
