"""The tables of the collector's database, drawn once.

::

    meta          what the database is: store id (8 bytes, names this store to devices), migrations applied
    devices       one row a device, for as long as it is known: its fleet, its latest state, the figures that mean *now*
                  with the (order, boottime) of the record they come from, the figures of the recent span, its status
    receipts      (device, epoch, stream) -> which sequence numbers were ever taken; kept as long as the device
    windows       the records, appended under (device, start, epoch, first seq) and never replaced: uniqueness is the
                  receipts' duty. ``payload`` is MessagePack of ``stonechat.records.to_plain``
    pending       records that the roll-up has still to merge, in the order of their taking
    rollups       (scope, name, step, start) -> the fold of every record that begins in that bucket and is no longer
                  than its step; ``payload`` is described in ``rollup``
    events        what happened, from devices and from the collector itself
    descriptions  hash -> MessagePack of the description in canonical form; immutable
    exchanges     (device, id) -> an exchange that a device told of: its fields as JSON by the names of
                  ``stonechat.exchange_row``, and as columns what lists are filtered and sorted by
    exchange_texts  (device, id) -> its texts, where the device sent any; with ``allowed``, the word of its
                  privacy.upload by which they came, and ``folded``, all of them in one, for search
    rejected      a bounded ring of messages that could not be taken, with the reason
    rejections    how many messages were rejected, by reason; never pruned
    processes     one row a process of the collector: its heartbeat and its counters, for /metrics and /healthz

Who writes what, so that no two processes write one column: ingest appends to ``windows``, ``pending`` and ``events``
and owns the columns of ``devices`` up to ``runs``; the roll-up deletes ``pending`` and owns ``rollups`` and
``devices.recent``; the watch owns ``devices.status*``. ``devices.changed`` is set by all of them.

Times are ms since 1970, lengths are ms. ``*_start`` of records and events is what the device said, everything else is
the collector's clock. An epoch has 64 bits without a sign, which SQL integers lack, so it stands as 16 hexadecimal
digits. Retention deletes windows, rollups and events by time in bounded steps, and never a receipt. Exchanges are no
part of any total, so nothing is remembered of those that are gone; they go by age and, when a device has sent too many,
the earliest taken first.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
)

metadata = MetaData()

_JSON = JSON(none_as_null=True)
# SQLite gives row ids only to INTEGER; elsewhere a busy fleet outgrows 32 bits.
_ID = BigInteger().with_variant(Integer, "sqlite")

meta = Table(
    "meta",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", LargeBinary, nullable=False),
)

devices = Table(
    "devices",
    metadata,
    Column("id", Text, primary_key=True),
    Column("fleet", Text, nullable=False),
    Column("first_seen", BigInteger, nullable=False),
    Column("last_seen", BigInteger, nullable=False),
    Column("online", Boolean),  # None: no birth and no will yet
    Column("state_order", BigInteger, nullable=False),
    Column("state_connect", BigInteger, nullable=False),
    Column("state_at", BigInteger, nullable=False),
    Column("description", LargeBinary),
    Column("now_order", BigInteger, nullable=False),
    Column("now_boottime", BigInteger, nullable=False),
    Column("now", _JSON),  # figures.now_of the newest record; None: never a window
    Column("windows", BigInteger, nullable=False),  # taken, whether stored or too old to be
    Column("expired", BigInteger, nullable=False),  # of those, too old to be stored
    Column("refused", BigInteger, nullable=False),  # refused for good
    Column("rejected", BigInteger, nullable=False),  # messages that could not be read
    Column("runs", _JSON, nullable=False),  # identity.Run, the current one first
    Column("recent", _JSON),  # figures.recent_of the last buckets; None: none yet
    Column("recent_until", BigInteger),
    Column("status", Text),
    Column("status_since", BigInteger),
    Column("status_reason", Text),
    Column("changed", BigInteger, nullable=False),
    Index("devices_fleet", "fleet"),
    Index("devices_changed", "changed"),
)

receipts = Table(
    "receipts",
    metadata,
    Column("device", Text, primary_key=True),
    Column("epoch", Text, primary_key=True),
    Column("stream", Integer, primary_key=True),
    Column("ranges", LargeBinary, nullable=False),  # MessagePack [low, high, low, high, ...]
)

windows = Table(
    "windows",
    metadata,
    Column("device", Text, primary_key=True),
    Column("start", BigInteger, primary_key=True),
    Column("epoch", Text, primary_key=True),
    Column("seq", BigInteger, primary_key=True),
    Column("step", BigInteger, nullable=False),
    Column("windows", BigInteger, nullable=False),
    Column("description", LargeBinary, nullable=False),
    Column("flags", Integer, nullable=False),  # record.Flag
    Column("future", Boolean, nullable=False),  # claimed to begin later than the collector's clock allows
    Column("payload", LargeBinary, nullable=False),
)

pending = Table(
    "pending",
    metadata,
    Column("id", _ID, primary_key=True, autoincrement=True),
    Column("device", Text, nullable=False),
    Column("start", BigInteger, nullable=False),
    Column("epoch", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
)

rollups = Table(
    "rollups",
    metadata,
    Column("scope", Text, primary_key=True),  # "device" or "fleet"
    Column("name", Text, primary_key=True),
    Column("step", BigInteger, primary_key=True),
    Column("start", BigInteger, primary_key=True),
    Column("records", BigInteger, nullable=False),
    Column("windows", BigInteger, nullable=False),
    Column("observed", BigInteger, nullable=False),
    Column(
        "devices", BigInteger, nullable=False
    ),  # distinct ones that a fleet's bucket holds; 1 for a device's
    Column("payload", LargeBinary, nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("id", _ID, primary_key=True, autoincrement=True),
    Column("device", Text, nullable=False),
    Column("fleet", Text, nullable=False),
    Column("origin", Text, nullable=False),  # "device" or "collector"
    Column("kind", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("severity", Integer, nullable=False),
    Column("start", BigInteger, nullable=False),
    Column("last", BigInteger, nullable=False),
    Column("count", BigInteger, nullable=False),
    Column("received", BigInteger, nullable=False),
    Column("attributes", _JSON, nullable=False),
    Index("events_start", "start", "id"),
    Index("events_device", "device", "start", "id"),
)

descriptions = Table(
    "descriptions",
    metadata,
    Column("hash", LargeBinary, primary_key=True),
    Column("body", LargeBinary, nullable=False),
)

exchanges = Table(
    "exchanges",
    metadata,
    Column("device", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("start", BigInteger, nullable=False),
    Column("received", BigInteger, nullable=False),
    Column("model", Text),
    Column("outcome", Text),
    Column("error_type", Text),
    Column("findings", Text),  # " a b ": the charset of words has no space
    Column("duration", BigInteger),  # us, as everything of a row
    Column("ttft", BigInteger),
    Column("output_tokens", BigInteger),
    Column("fields", _JSON, nullable=False),
    Column("chosen", Text, nullable=False),  # why the device told of it
    Column("kept", Text, nullable=False),  # what its journal had of the texts
    Column("journal", Text, nullable=False),  # its privacy settings when it sent
    Column("upload", Text, nullable=False),
    Column("texts", Boolean, nullable=False),  # whether texts came with it, be they still here or not
    Index("exchanges_start", "device", "start", "id"),
    Index("exchanges_received", "device", "received", "id"),  # all that the bound in number looks at
    Index("exchanges_age", "received"),
)

exchange_texts = Table(
    "exchange_texts",
    metadata,
    Column("device", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("received", BigInteger, nullable=False),
    Column("allowed", Text, nullable=False),
    Column("size", BigInteger, nullable=False),  # characters
    Column("body", _JSON, nullable=False),  # stonechat.exchange_texts
    Column("folded", Text, nullable=False),
    Index(
        "exchange_texts_received", "device", "received", "id", "size"
    ),  # likewise, of the bound in characters
)

rejected = Table(
    "rejected",
    metadata,
    Column("id", _ID, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("topic", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("digest", LargeBinary, nullable=False),
)

rejections = Table(
    "rejections",
    metadata,
    Column("reason", Text, primary_key=True),
    Column("count", BigInteger, nullable=False),
)

processes = Table(
    "processes",
    metadata,
    Column("name", Text, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("figures", _JSON, nullable=False),
)
