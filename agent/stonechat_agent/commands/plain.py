"""An exchange as JSON: names and units of ``stonechat.exchange_row``, texts as `stonechat replay` reads them."""

from __future__ import annotations

from typing import Any

from stonechat_agent.journal import Entry, Texts


def plain(entry: Entry, *, texts: bool) -> dict[str, Any]:
    """The fields that are known of an exchange, and its texts where they are wanted and kept.

    With texts, ``tool_calls`` is the list of calls instead of their count.
    """
    found = dict(entry.row)
    if texts and entry.texts is not None:
        found.update(texts_of(entry.texts))
    return found


def texts_of(texts: Texts) -> dict[str, Any]:
    """Texts by name; what is empty is absent."""
    found = {
        "messages": [{"role": role, "content": text} for role, text in texts.prompt],
        "response": texts.answer,
        "reasoning": texts.reasoning,
        "tool_calls": [{"name": name, "arguments": given} for name, given in texts.tool_calls],
        "error": texts.error,
        "cut": texts.cut,
    }
    return {name: value for name, value in found.items() if value}
