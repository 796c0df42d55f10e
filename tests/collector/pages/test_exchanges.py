"""Exchanges on the pages: the list of a device, the page of one, and its waterfall."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from starlette.testclient import TestClient
from tests.collector.pages.fleets import MINUTE, NOW, a_device, an_exchange
from tests.collector.pages.test_routes import Outline

from stonechat.waterfall import Span, lay_out
from stonechat_collector.exchange_views import WHY_NOT, Filter
from stonechat_collector.pages import exchanges
from stonechat_collector.pages.device import Range
from stonechat_collector.pages.exchanges import Query, headline

Serve = Callable[[Sequence[dict[str, Any]]], TestClient]
S = 1_000_000


def site(serve: Serve, *told: dict[str, Any]) -> TestClient:
    client = serve([a_device("kiosk-1")])
    client.app.state.views.told = list(told)  # type: ignore[attr-defined]
    return client


def page_of(serve: Serve, exchange: dict[str, Any]) -> str:
    answer = site(serve, exchange).get(f"/devices/kiosk-1/exchanges/{exchange['id']}")
    assert answer.status_code == 200
    return str(answer.text)


def test_a_waterfall_is_told_in_words() -> None:
    fall = lay_out({"prefill": 310_000, "ttft": 310_000, "decode": 2_100_000, "duration": 2_410_000})
    assert fall is not None
    assert exchanges.phases_words(fall) == "prefill 310 ms, decode 2.10 s, of 2.41 s"
    assert fall.spans[0] == Span("prefill", 0, 310_000, "")


# The list


def test_the_device_page_lists_exchanges_with_their_phases_in_words(serve: Serve) -> None:
    html = site(serve, an_exchange(1), an_exchange(3)).get("/devices/kiosk-1").text
    page = Outline(html)
    rows = [row for row in page.all("tr") if "data-row" in row]
    assert [row["data-row"] for row in rows] == [an_exchange(1)["id"], an_exchange(3)["id"]]
    labels = [svg["aria-label"] for svg in page.all("svg") if svg.get("role") == "img"]
    assert "prefill" in str(labels[0])
    assert labels[1] == "request 1.00 ms, unattributed 30.0 s, of 30.0 s"
    assert f'href="/devices/kiosk-1/exchanges/{an_exchange(1)["id"]}"' in html
    assert "failed: timeout" in html
    assert html.index('id="course"') < html.index('id="exchanges"') < html.index('id="events"')


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("", "The device has told of no exchange yet."),
        ("?outcome=error", "No exchange matches."),
        (f"?from={NOW - 9 * MINUTE}&to={NOW - MINUTE}", "The device told of no exchange in this time."),
        (f"?from={NOW - 9 * MINUTE}&to={NOW - MINUTE}&model=x", "No exchange matches in this time."),
    ],
)
def test_an_empty_list_says_why_and_what_to_do(serve: Serve, query: str, words: str) -> None:
    assert words in site(serve).get(f"/devices/kiosk-1{query}").text


def test_filters_orders_and_pages_keep_each_other_and_the_range(serve: Serve) -> None:
    client = site(serve, *(an_exchange(number) for number in range(1, 80)))
    html = client.get("/devices/kiosk-1?range=6h&outcome=ok&least=1.5&sort=duration").text
    assert 'name="range" value="6h"' in html
    assert 'name="sort" value="duration"' in html
    assert 'name="least" value="1.5"' in html
    assert '<option value="ok" selected>' in html
    assert 'aria-sort="descending"' in html
    assert "?range=6h&amp;outcome=ok&amp;least=1.5&amp;sort=duration&amp;dir=up#exchanges" in html
    assert "?range=6h&amp;outcome=ok&amp;least=1.5&amp;sort=ttft#exchanges" in html
    assert "?range=6h&amp;outcome=ok&amp;least=1.5&amp;sort=duration&amp;cursor=" in html
    assert html.count("data-row=") == exchanges.ROWS


def test_texts_can_be_looked_for_only_where_there_are_any(serve: Serve) -> None:
    assert 'name="q"' not in site(serve, an_exchange(1)).get("/devices/kiosk-1").text
    html = site(serve, an_exchange(1, texts={"answer": "x"}, has_texts=True)).get("/devices/kiosk-1").text
    assert 'name="q"' in html
    assert "they stay on the device" not in html


@pytest.mark.parametrize(
    "query",
    [
        "?model=%3Cscript%3E",
        "?outcome=well&finding=two%20words&error=%00",
        "?least=nan&first=-5&sort=row&dir=sideways",
        "?least=1e400&first=1_0",
        "?cursor=%27%3B--",
        "?q=" + "x" * 5000,
    ],
)
def test_an_address_that_makes_no_sense_is_the_whole_list(serve: Serve, query: str) -> None:
    answer = site(serve, an_exchange(1)).get(f"/devices/kiosk-1{query}")
    assert answer.status_code == 200
    assert "data-row=" in answer.text
    assert "<script>alert" not in answer.text


def test_a_fixed_span_keeps_what_began_in_it_and_a_moving_one_keeps_all() -> None:
    query = Query.read({"least": "2.5", "finding": "any", "q": " open "})
    fixed = Range.read({"from": str(NOW - 60 * MINUTE), "to": str(NOW)}, NOW)
    assert query.filter(fixed) == Filter(
        finding="any", min_duration=2_500_000, text="open", from_ms=fixed.start, to_ms=fixed.end
    )
    assert query.filter(Range.read({}, NOW)).from_ms is None


# The page of one


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"outcome": "ok", "duration": 2 * S, "ttft": S, "streamed": True},
            "Answered in 2.00 s, first token after 1.00 s.",
        ),
        ({"outcome": "ok", "duration": 2 * S}, "Answered in 2.00 s."),
        ({"outcome": "ok"}, "Answered."),
        (
            {"outcome": "error", "error_type": "engine_reset", "duration": S},
            "Failed after 1.00 s: engine reset.",
        ),
        ({"outcome": "aborted", "closed": 3 * S}, "The client left after 3.00 s."),
        ({"duration": S}, "How it ended is not known."),
    ],
)
def test_the_page_opens_with_what_became_of_it(fields: dict[str, Any], words: str) -> None:
    assert headline(fields) == words


def test_the_page_says_what_is_known_and_how(serve: Serve) -> None:
    html = page_of(serve, an_exchange(1))
    assert Outline(html).texts["h1"].startswith("Answered in ")
    assert "Found in it: repetition (the same words over and over)." in html
    assert "because something was found in its answer" in html
    assert "as seen on the wire" in html
    assert "as the engine says" in html
    assert "Charts around it" in html
    assert f"from={NOW - MINUTE - exchanges.AROUND_MS}&amp;to=" in html
    assert "0.93" in html


@pytest.mark.parametrize("why", sorted(WHY_NOT))
def test_where_texts_are_absent_the_page_says_why(serve: Serve, why: str) -> None:
    key = "privacy.journal" if "privacy.journal" in WHY_NOT[why] else None
    html = page_of(serve, an_exchange(1, no_texts=why, no_texts_because=WHY_NOT[why], no_texts_key=key))
    assert WHY_NOT[why].replace('"', "&#34;") in html
    assert ("set <code>privacy.journal</code>" in html) is (key is not None)


def test_texts_of_strangers_are_shown_and_run_nothing(serve: Serve) -> None:
    hostile = "<script>alert(1)</script><img src=x onerror=alert(2)>"
    texts = {
        "prompt": [["user", hostile]],
        "answer": hostile,
        "reasoning": hostile,
        "tool_calls": [[hostile[:60], hostile]],
        "error": hostile,
        "cut": True,
    }
    html = page_of(serve, an_exchange(1, texts=texts))
    assert hostile not in html
    assert html.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 5
    assert "Some text is missing" in html
    assert not [tag for tag, _ in Outline(html).tags if tag == "img" and _.get("src") == "x"]


def test_an_exchange_of_which_little_is_known_is_a_page_too(serve: Serve) -> None:
    bare = dict.fromkeys(an_exchange(1))
    known = {
        "id": an_exchange(1)["id"],
        "start": 1 << 52,
        "received": NOW,
        "chosen": "",
        "no_texts_because": "No.",
    }
    html = page_of(serve, {**bare, **known, "has_texts": False})
    assert "Nothing is known of its time." in html
    assert "No count of tokens is known." in html
    assert "No window of that time is here" in html


@pytest.mark.parametrize("name", ["0000000000000", "x", "%3Cscript%3E", "A" * 13])
def test_an_exchange_that_is_not_here_is_a_page_with_what_to_do(serve: Serve, name: str) -> None:
    answer = site(serve).get(f"/devices/kiosk-1/exchanges/{name}")
    assert answer.status_code == 404
    assert "What to do" in answer.text
