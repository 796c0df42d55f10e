"""Single exchanges: taken once, bounded, and found again by what one asks."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import msgpack
import pytest
from sqlalchemy import func, inspect, select
from tests.collector.making import (
    NOW,
    ack_of,
    exchange_row,
    exchanges_message,
    window,
    windows_message,
)

from stonechat import envelope, topics
from stonechat.exchange_row import FIELDS
from stonechat.exchange_texts import MAX_SIZE
from stonechat.wire import Told
from stonechat_collector import exchange_views, exchanges, retention, schema, views
from stonechat_collector import store as stores
from stonechat_collector.exchange_views import WHY_NOT, Filter, exchanges_page
from stonechat_collector.ingest import Ingest
from stonechat_collector.messages import Message
from stonechat_collector.store import Store
from stonechat_collector.views import BadRequest

TEXTS = {"prompt": [["user", "Wann öffnet ihr?"]], "answer": "Um 9 % früher: at_nine\\sharp", "error": "50%"}


def take(store: Store, *told: Told, now: int = NOW, **where: Any) -> None:
    assert Ingest(store, lambda: now).take([exchanges_message(told, **where)]) == []


def count(store: Store, table: Any) -> int:
    with store.reading() as connection:
        return connection.scalar(select(func.count()).select_from(table)) or 0


def listed(store: Store, wanted: Filter | None = None, **options: Any) -> list[str]:
    """The ids of a device's exchanges, as a list gives them."""
    return [
        found["id"] for found in exchanges_page(store, "kiosk-1", wanted or Filter(), **options)["exchanges"]
    ]


def ids(*numbers: int) -> list[str]:
    return [exchange_row(number)["id"] for number in numbers]


def test_an_exchange_comes_back_as_it_was_told(store: Store) -> None:
    row = exchange_row(1, findings=["repetition", "empty"], scores={"toxic": 0.25}, streamed=True)
    take(store, Told(row, None, "flagged", "kept"))
    (found,) = exchanges_page(store, "kiosk-1")["exchanges"]
    assert {name: found[name] for name in row} == row
    assert set(found) == {field.name for field in FIELDS} | {"received", "chosen", "has_texts", "no_texts"}
    assert (found["queue"], found["received"], found["chosen"]) == (None, NOW, "flagged")
    assert exchange_views.exchange(store, "kiosk-1", "0" * 13) is None
    assert exchange_views.exchange(store, "kiosk-2", row["id"]) is None


def test_one_that_is_sent_again_is_taken_once(store: Store) -> None:
    ingest = Ingest(store, lambda: NOW)
    message = exchanges_message([Told(exchange_row(1)), Told(exchange_row(2))])
    for batch in ([message, message], [message]):
        assert ingest.take(batch) == []
    assert count(store, schema.exchanges) == 2
    assert (ingest.counts["exchanges"], ingest.counts["exchanges_repeated"]) == (2, 4)
    take(store, Told(exchange_row(1)), device="kiosk-2")
    assert count(store, schema.exchanges) == 3


LATE = {"findings": ["toxic"], "scores": {"toxic": 0.97, "insult": 0.4}}


@pytest.mark.parametrize("order", [(0, 1), (1, 0), (0, 1, 0, 1), (1, 1, 0)])
@pytest.mark.parametrize("together", [False, True])
def test_a_later_verdict_takes_the_place_of_the_earlier_in_whatever_order_they_come(
    store: Store, order: tuple[int, ...], together: bool
) -> None:
    early = exchanges_message([Told(exchange_row(1), None, "slow", "not_flagged")], upload="all")
    late = exchanges_message([Told(exchange_row(1, **LATE), TEXTS, "flagged", "kept")], upload="all")
    messages = [(early, late)[which] for which in order]
    ingest = Ingest(store, lambda: NOW)
    for batch in [messages] if together else [[message] for message in messages]:
        ingest.take(batch)
    found = exchange_views.exchange(store, "kiosk-1", ids(1)[0])
    assert found is not None
    assert (found["findings"], found["scores"], found["chosen"]) == (["toxic"], LATE["scores"], "flagged")
    assert found["texts"] == TEXTS
    assert listed(store, Filter(finding="toxic")) == ids(1)
    assert count(store, schema.exchanges) == count(store, schema.exchange_texts) == 1
    assert sum(ingest.counts.get(name, 0) for name in COUNTED) == len(order)


COUNTED = ("exchanges", "exchanges_updated", "exchanges_repeated")


def test_a_verdict_takes_nothing_away(store: Store) -> None:
    take(store, Told(exchange_row(1, start=5), TEXTS, "slow", "kept"), upload="all")
    take(store, Told(exchange_row(1, start=5, **LATE), None, "flagged", "forgotten"), now=NOW + 9_000)
    found = exchange_views.exchange(store, "kiosk-1", ids(1)[0])
    assert found is not None
    assert (found["received"], found["texts"], found["findings"]) == (NOW, TEXTS, ["toxic"])


def test_exchanges_change_no_total_and_no_receipt(store: Store) -> None:
    Ingest(store, lambda: NOW).take([windows_message([window(1)])])
    before = count(store, schema.receipts), count(store, schema.pending)
    take(store, Told(exchange_row(1)), now=NOW + 5_000)
    found = views.device(store, "kiosk-1", NOW + 5_000)
    assert found is not None
    assert (found["counts"]["windows"], found["last_seen"]) == (1, NOW + 5_000)
    assert (count(store, schema.receipts), count(store, schema.pending)) == before


def test_a_device_of_another_fleet_is_turned_away(store: Store) -> None:
    take(store, Told(exchange_row(1)))
    ingest = Ingest(store, lambda: NOW)
    (answer,) = ingest.take([exchanges_message([Told(exchange_row(2))], fleet="robbers")])
    assert [reason for _, reason in ack_of([answer]).rejected] == ["fleet"]
    assert listed(store) == ids(1)


@pytest.mark.parametrize(
    ("leaf", "payload", "reason"),
    [
        ("exchange", windows_message([window(1)]).payload, "type"),
        ("window", exchanges_message([Told(exchange_row(1))]).payload, "type"),
        ("exchange", bytes(envelope.MAX_PAYLOAD + 1), "oversized"),
        ("exchange", b"\x01\x00garbage", "deflate"),
    ],
)
def test_what_does_not_belong_there_is_rejected(store: Store, leaf: str, payload: bytes, reason: str) -> None:
    (answer,) = Ingest(store, lambda: NOW).take([Message(topics.up("shops", "kiosk-1", leaf), payload)])
    assert [word for _, word in ack_of([answer]).rejected] == [reason]
    assert count(store, schema.exchanges) == 0


def hostile(body: list[Any]) -> Message:
    plain = [5, [7, 1, NOW, 1, []], *body]
    payload = b"\x01\x00" + envelope.compress(msgpack.packb(plain, unicode_errors="surrogatepass"), 0)
    return Message(topics.up("shops", "bad", "exchange"), payload)


GOOD = {1: exchange_row(1)["id"], 2: NOW}
WORDS = ["flagged", "all"]


@pytest.mark.parametrize(
    "message",
    [
        hostile([[[dict.fromkeys(range(1_000_000), 1), None, "", ""]], WORDS]),
        hostile([[[GOOD, {"answer": "\ud800"}, "", ""]], WORDS]),
        hostile([[[GOOD, {"answer": "x" * (MAX_SIZE + 1)}, "", ""]], WORDS]),
        hostile([[[GOOD, {"prompt": [["user", "x"]] * 300}, "", ""]], WORDS]),
        hostile([[[GOOD, None, "", ""]] * 65, WORDS]),
        hostile([[[GOOD, None, "'; DROP TABLE exchanges; --", ""]], WORDS]),
        hostile([[[{**GOOD, 4: "<script>"}, None, "", ""]], WORDS]),
        hostile([[[{**GOOD, 62: {"toxic": 10_001}}, None, "", ""]], WORDS]),
        hostile([[[{**GOOD, 25: 1 << 60}, None, "", ""]], WORDS]),
        hostile([]),
    ],
)
def test_hostile_exchanges_are_rejected_and_those_beside_them_taken(store: Store, message: Message) -> None:
    ingest = Ingest(store, lambda: NOW)
    (answer,) = ingest.take([message, exchanges_message([Told(exchange_row(1))])])
    assert len(ack_of([answer]).rejected) == 1
    assert listed(store) == ids(1)
    assert count(store, schema.exchanges) == 1


def test_texts_stand_apart_with_when_and_why_they_came(store: Store) -> None:
    take(store, Told(exchange_row(1), {**TEXTS, "reasoning": "a\0b"}, "flagged", "kept"), upload="all")
    found = exchange_views.exchange(store, "kiosk-1", ids(1)[0])
    assert found is not None
    assert found["texts"] == {**TEXTS, "reasoning": "a\ufffdb"}
    assert (found["texts_received"], found["texts_allowed"]) == (NOW, "all")
    assert (found["has_texts"], found["no_texts"], found["no_texts_because"]) == (True, None, None)


@pytest.mark.parametrize(
    ("kept", "upload", "findings", "why", "key"),
    [
        ("kept", "none", ["repetition"], "upload_none", "privacy.upload"),
        ("kept", "flagged", None, "upload_flagged", "privacy.upload"),
        ("not_flagged", "none", None, "not_flagged", "privacy.journal"),
        ("not_sampled", "all", None, "not_sampled", "privacy.journal"),
        ("none", "none", None, "none", "privacy.journal"),
        ("no_texts", "all", None, "no_texts", None),
        ("over_bound", "all", None, "over_bound", None),
        ("a_later_word", "all", None, "unknown", None),
        ("", "all", None, "unknown", None),
    ],
)
def test_where_texts_are_absent_the_answer_says_why_and_which_key_changes_it(
    store: Store, kept: str, upload: str, findings: list[str] | None, why: str, key: str | None
) -> None:
    take(
        store,
        Told(exchange_row(1, **({"findings": findings} if findings else {})), None, "slow", kept),
        upload=upload,
    )
    found = exchange_views.exchange(store, "kiosk-1", ids(1)[0])
    assert found is not None
    assert (found["texts"], found["no_texts"], found["no_texts_key"]) == (None, why, key)
    assert found["no_texts_because"].startswith(WHY_NOT[why])
    assert key is None or key in found["no_texts_because"]
    assert ("privacy.upload" in found["no_texts_because"]) is (upload == "none" or key == "privacy.upload")


def test_a_device_keeps_so_many_and_the_earliest_taken_go_first(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchanges, "MAX_EXCHANGES", 5)
    take(
        store, Told(exchange_row(1, start=1 << 52), TEXTS, "", "kept"), upload="all"
    )  # a clock in the far future
    for number in range(2, 9):
        take(store, Told(exchange_row(number)), now=NOW + number)
    take(store, Told(exchange_row(1)), device="kiosk-2")
    assert listed(store) == ids(4, 5, 6, 7, 8)
    assert count(store, schema.exchange_texts) == 0
    assert count(store, schema.exchanges) == 6


def test_texts_are_bounded_and_the_exchange_outlasts_them(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchanges, "MAX_TEXT", 200)
    for number in range(1, 5):
        take(
            store,
            Told(exchange_row(number), {"answer": "x" * 90}, "", "kept"),
            now=NOW + number,
            upload="all",
        )
    assert len(listed(store)) == 4
    found = [exchange_views.exchange(store, "kiosk-1", id) for id in ids(1, 2, 3, 4)]
    assert [one["no_texts"] for one in found if one] == ["expired", "expired", None, None]


def test_retention_goes_by_when_they_came(store: Store) -> None:
    take(store, Told(exchange_row(1, start=5), TEXTS, "", "kept"), upload="all")
    take(store, Told(exchange_row(2)), now=NOW + 60_000)
    ages = {"windows_ms": 10**12, "rollups_ms": 10**12, "events_ms": 10**12, "exchanges_ms": 50_000}
    assert retention.prune(store, NOW + 50_000, **ages) == 0
    assert retention.prune(store, NOW + 50_001, **ages) == 1
    assert retention.prune(store, NOW + 50_001, **ages) == 0
    assert listed(store) == ids(2)
    assert count(store, schema.exchange_texts) == 0


def fill(store: Store) -> None:
    take(
        store,
        Told(exchange_row(1, model="a", duration=9_000_000)),
        Told(exchange_row(2, model="b", outcome="error", error_type="timeout", duration=None, ttft=None)),
        Told(
            exchange_row(3, model="a", findings=["repetition", "toxic"], output_tokens=7), TEXTS, "", "kept"
        ),
        Told(exchange_row(4, model="a_b", findings=["to"], ttft=1_500_000)),
        upload="all",
    )


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        (Filter(), (1, 2, 3, 4)),
        (Filter(model="a"), (1, 3)),
        (Filter(outcome="error"), (2,)),
        (Filter(error_type="timeout"), (2,)),
        (Filter(finding="to"), (4,)),
        (Filter(finding="any"), (3, 4)),
        (Filter(finding="t_"), ()),
        (Filter(finding="%"), ()),
        (Filter(min_duration=5_000_000), (1,)),
        (Filter(min_ttft=1_500_000), (4,)),
        (Filter(from_ms=NOW - 2000), (1, 2)),
        (Filter(to_ms=NOW - 2000), (3, 4)),
        (Filter(model="a", finding="any"), (3,)),
        (Filter(text="WANN ÖFFNET"), (3,)),
        (Filter(text="9 % früher"), (3,)),
        (Filter(text="at_nine\\"), (3,)),
        (Filter(text="%"), (3,)),
        (Filter(text="w_nn"), ()),
        (Filter(text="9%früher"), ()),
        (Filter(text="atXnine"), ()),
        (Filter(text="50/"), ()),
        (Filter(text="\0"), ()),
        (Filter(text="' OR 1=1 --"), ()),
    ],
)
def test_a_filter_lets_through_what_it_says(store: Store, wanted: Filter, numbers: tuple[int, ...]) -> None:
    fill(store)
    assert listed(store, wanted) == ids(*numbers)


@pytest.mark.parametrize(
    ("sort", "up", "numbers"),
    [
        ("start", False, (1, 2, 3, 4)),
        ("start", True, (4, 3, 2, 1)),
        ("duration", False, (1, 3, 4, 2)),
        ("duration", True, (2, 4, 3, 1)),
        ("output_tokens", True, (3, 4, 2, 1)),
        ("ttft", False, (4, 1, 3, 2)),
    ],
)
def test_pages_follow_each_other_in_every_order(
    store: Store, sort: str, up: bool, numbers: tuple[int, ...]
) -> None:
    fill(store)
    seen: list[str] = []
    cursor: str | None = None
    for _ in range(9):
        page = exchanges_page(store, "kiosk-1", sort=sort, up=up, cursor=cursor, limit=1)
        seen += [found["id"] for found in page["exchanges"]]
        cursor = page["next"]
        if cursor is None:
            break
    # Equal ones stand by id, whose order is that of time.
    assert seen == ids(*numbers)


@pytest.mark.parametrize(
    ("sort", "cursor"),
    [("row", None), ("start", "x"), ("start", "9" * 40 + "." + ids(1)[0]), ("start", "5."), ("ttft", "-2.x")],
)
def test_questions_that_cannot_be_answered_say_so(store: Store, sort: str, cursor: str | None) -> None:
    with pytest.raises(BadRequest):
        listed(store, sort=sort, cursor=cursor)


def test_choices_are_what_the_latest_exchanges_hold(store: Store) -> None:
    assert exchange_views.choices(store, "kiosk-1") == {
        "models": [],
        "error_types": [],
        "findings": [],
        "texts": False,
    }
    fill(store)
    assert exchange_views.choices(store, "kiosk-1") == {
        "models": ["a", "a_b", "b"],
        "error_types": ["timeout"],
        "findings": ["repetition", "to", "toxic"],
        "texts": True,
    }


def test_a_store_of_the_version_before_opens_with_what_it_held(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path}/old.db"
    with monkeypatch.context() as before:
        before.setattr(stores, "MIGRATIONS", stores.MIGRATIONS[:1])
        old = Store(url)
        with old.writing() as connection:
            assert not inspect(connection).has_table("exchanges")
        old_id = old.store_id
        old.close()
    store = Store(url)
    try:
        assert store.store_id == old_id
        take(store, Told(exchange_row(1), TEXTS, "", "kept"), upload="all")
        assert listed(store) == ids(1)
        with store.reading() as connection:
            found = inspect(connection)
            for table in (schema.exchanges, schema.exchange_texts):
                assert {index["name"] for index in found.get_indexes(table.name)} == {
                    i.name for i in table.indexes
                }
    finally:
        store.close()
    Store(url).close()  # nothing is left to migrate


def test_the_statements_are_ones_that_postgresql_understands() -> None:
    from sqlalchemy.dialects import postgresql
    from sqlalchemy.schema import CreateTable

    for table in (schema.exchanges, schema.exchange_texts):
        statement = str(CreateTable(table).compile(dialect=postgresql.dialect()))  # type: ignore[no-untyped-call]
        assert "BIGINT" in statement
        assert "JSON" in statement


def test_a_flood_of_random_exchanges_does_no_harm(store: Store) -> None:
    rng = random.Random(5)
    ingest = Ingest(store, lambda: NOW)
    poison: list[Callable[[], Any]] = [
        lambda: None,
        lambda: rng.randrange(1 << 64),
        lambda: -1,
        lambda: "x" * rng.randrange(100),
        lambda: ["a", "a"],
        lambda: {"a": rng.randrange(20_000)},
        lambda: True,
        lambda: 0.5,
    ]
    for number in range(1, 200):
        row = {**GOOD, **{rng.randrange(70): rng.choice(poison)() for _ in range(2)}}
        ingest.take([hostile([[[row, rng.choice(poison)(), "", ""]], WORDS])])
        ingest.take([exchanges_message([Told(exchange_row(number))])])
    assert len(listed(store, limit=500)) == 199
    for found in exchanges_page(store, "bad", limit=500)["exchanges"]:
        exchange_views.exchange(store, "bad", found["id"])
