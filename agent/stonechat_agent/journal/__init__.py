"""The device's own log of exchanges and events: written by the agent, read and forgotten by commands."""

from stonechat_agent.journal.conversations import Conversations
from stonechat_agent.journal.eraser import Erased, Eraser
from stonechat_agent.journal.journal import Journal, Recent, Redact, Stats
from stonechat_agent.journal.layout import FILE, KEPT, WHY
from stonechat_agent.journal.pseudonyms import KEY_FILE, Pseudonyms, load_key
from stonechat_agent.journal.reader import JournalUnreadable, NotFound, Reader, SearchError
from stonechat_agent.journal.rows import Entry, JournalEvent, Texts

__all__ = [
    "FILE",
    "KEPT",
    "KEY_FILE",
    "WHY",
    "Conversations",
    "Entry",
    "Erased",
    "Eraser",
    "Journal",
    "JournalEvent",
    "JournalUnreadable",
    "NotFound",
    "Pseudonyms",
    "Reader",
    "Recent",
    "Redact",
    "SearchError",
    "Stats",
    "Texts",
    "load_key",
]
