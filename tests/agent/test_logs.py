"""Log lines hold no texts of users, not even where a fault of ours quotes one."""

from __future__ import annotations

import logging
import sys

from stonechat_agent.logs import KeyValues


def test_an_exception_is_told_by_place_and_kind_and_not_by_its_message() -> None:
    try:
        known: dict[str, int] = {}
        known["what Ann told the model"]
    except KeyError:
        record = logging.LogRecord("a", logging.ERROR, __file__, 1, "exchange not judged", (), sys.exc_info())
    record.engine = "box"
    line = KeyValues(journal=True).format(record)
    assert line.startswith(
        '<3>exchange not judged engine=box error=KeyError trace="test_an_exception_is_told'
    )
    assert "in test_logs.py:" in line
    assert "Ann" not in line
    assert "\n" not in line
