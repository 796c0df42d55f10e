"""Which fields of an exchange the commands sort and group by, and which scores they know by name."""

from __future__ import annotations

from stonechat.catalog import SCORE_NAMES
from stonechat.exchange_row import FIELDS, FieldKind

_SIMPLE = (FieldKind.WORD, FieldKind.FLAG)

GROUPABLE = tuple(
    field.name
    for field in FIELDS
    if field.kind in (*_SIMPLE, FieldKind.WORDS) or field.name in ("status", "tool_calls")
)
SORTABLE = (
    *(field.name for field in FIELDS if field.kind not in (FieldKind.WORDS, FieldKind.SCORES)),
    "decode_rate",
)

CHECKS = (
    "empty",
    "truncated",
    "repetition",
    "degenerate",
    "garbage",
    "language",
    "refusal",
    "tool_call",
    "not_json",
    "prompt_leak",
    "prompt_echo",
    "same_answer",
    "unclosed",
    "template",
)
"""As ``scoring.tier0.FINDINGS`` has them, whose import would cost more than a whole command. A test compares."""

SCORES = tuple(dict.fromkeys((*SCORE_NAMES, *CHECKS)))
