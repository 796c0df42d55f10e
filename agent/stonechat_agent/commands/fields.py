"""Which fields of an exchange the commands sort and group by, and which scores they know by name."""

from __future__ import annotations

from stonechat.catalog import SCORE_NAMES
from stonechat.exchange import FINDINGS
from stonechat.exchange_row import FIELDS, FieldKind

_SIMPLE = (FieldKind.WORD, FieldKind.FLAG)

GROUPABLE = tuple(
    field.name
    for field in FIELDS
    if field.kind in (*_SIMPLE, FieldKind.WORDS) or field.name in ("status", "tool_calls")
)
SCORES = tuple(dict.fromkeys((*SCORE_NAMES, *FINDINGS)))

SORTABLE = (
    *(field.name for field in FIELDS if field.kind not in (FieldKind.WORDS, FieldKind.SCORES)),
    "decode_rate",
    "concern",
    *SCORES,
)
