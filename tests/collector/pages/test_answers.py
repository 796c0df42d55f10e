"""What the device page makes of answers: rates by weight, reasons, and unknown that stays unknown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from starlette.testclient import TestClient
from tests.collector.pages.fleets import MINUTE, NOW, a_device, an_exchange

from stonechat_collector.pages import answers, device
from stonechat_collector.pages.answers import SPARKS, AnswersPart
from stonechat_collector.pages.device import Range, shown
from stonechat_collector.pages.events import Query
from stonechat_collector.pages.words import per_thousand

Serve = Callable[[Sequence[dict[str, Any]]], TestClient]
TIMES = [place * MINUTE for place in range(SPARKS)]


def course(**metrics: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Points by the last part of a metric's name."""
    names = {
        "checked": "stonechat.answers.checked",
        "judged": "stonechat.answers.judged",
        "weight": "stonechat.answers.weight",
        "flags": "stonechat.flags",
        "toxic": "stonechat.score.toxic",
        "skipped": "stonechat.scores.skipped",
        "losses": "stonechat.agent.losses",
        "broken": "stonechat.guidelines.broken",
        "held": "stonechat.guidelines.checked",
        "findings": "stonechat.findings",
    }
    found = {names[name]: {"unit": "", "kind": "", "points": points} for name, points in metrics.items()}
    return {"step": MINUTE, "spans": [], "metrics": found}


def part_of(told: Sequence[dict[str, Any]] = (), **metrics: Sequence[dict[str, Any]]) -> AnswersPart:
    return answers.build("kiosk-1", course(**metrics), TIMES, MINUTE, told)


def test_where_nothing_was_said_nothing_is_known() -> None:
    part = part_of()
    assert not part.known
    assert (part.checked, part.judged_ratio, part.flagged_ratio, part.broken) == (None, None, None, None)


def test_checks_alone_say_nothing_of_models() -> None:
    part = part_of(
        checked=[{"time": 0, "sum": 20.0}],
        findings=[{"time": 0, "counts": {"repetition": 1, "truncated": 3}}],
    )
    assert (part.checked, part.judged_ratio, part.flagged_ratio) == (20, None, None)
    assert [(rate.words, rate.flagged_ratio) for rate in part.findings] == [
        ("truncated", 0.15),
        ("repetition", 0.05),
    ]


def test_rates_are_by_weight_and_over_time() -> None:
    part = part_of(
        checked=[{"time": 0, "sum": 10.0}, {"time": 2 * MINUTE, "sum": 10.0}],
        judged=[
            {"time": 0, "counts": {"glance": 9, "judge": 2}},
            {"time": 2 * MINUTE, "counts": {"glance": 9}},
        ],
        weight=[{"time": 0, "sum": 9.0}, {"time": 2 * MINUTE, "sum": 11.0}],
        flags=[{"time": 2 * MINUTE, "counts": {"any": 5.0, "toxic": 5.0}}],
        toxic=[{"time": 0, "weight": 9.0, "mean": 0.1}, {"time": 2 * MINUTE, "weight": 11.0, "mean": 0.5}],
        held=[{"time": 0, "counts": {"no-dosage": 9}}],
        broken=[{"time": 0, "counts": {"no-dosage": 1}}],
    )
    assert part.judged == [("the small model", 18), ("the large one", 2)]
    assert part.judged_words == "The small model judged 18, the large one judged 2."
    assert (part.judged_ratio, part.flagged_ratio, part.broken) == (0.9, 0.25, 1)
    (toxic,) = part.heads
    assert (toxic.words, toxic.flagged_ratio, toxic.answers, toxic.of) == ("toxic", 0.25, 5.0, 20.0)
    assert toxic.mean == pytest.approx(0.32)
    # A part of the time without an answer has no bar, one without a flag has one of no height.
    assert toxic.bars == [(0, 0.0), (2, 1.0)]
    assert toxic.told.startswith("per 1,000, oldest first: 0, –, 455, –")
    (guideline,) = part.guidelines
    assert (guideline.name, guideline.words, guideline.flagged_ratio) == (
        "guideline:no-dosage",
        "no-dosage",
        1 / 9,
    )


def test_answers_that_no_model_reached_are_covered_by_none_and_the_reason_is_told() -> None:
    part = part_of(
        checked=[{"time": 0, "sum": 4.0}],
        losses=[{"time": 0, "counts": {"score.overflow": 2, "score.overflow_risky": 1, "window.full": 9}}],
        skipped=[{"time": 0, "counts": {"language": 1}}],
    )
    assert part.judged_ratio == 0
    assert part.flagged_ratio is None
    assert part.skipped == [
        ("for lack of time: too many waited", 3),
        ("in a language that the model does not know", 1),
    ]


def test_flagged_exchanges_are_named_with_their_scores() -> None:
    part = part_of([an_exchange(2), an_exchange(12)])
    assert [one.address for one in part.latest] == [
        f"/devices/kiosk-1/exchanges/{an_exchange(number)['id']}" for number in (2, 12)
    ]
    assert [one.name for one in part.latest[0].found] == ["guideline:no-dosage", "toxic", "insult"]
    assert part.known


def test_flags_are_none_where_answers_were_judged_and_unknown_where_not() -> None:
    span = Range("", 0, 3 * MINUTE, MINUTE)
    found = course(
        weight=[{"time": 0, "sum": 4.0}, {"time": MINUTE, "sum": 4.0}],
        flags=[{"time": MINUTE, "counts": {"any": 2.0}}],
    )
    page = device.build(a_device("kiosk-1"), found, [], span)
    flagged = next(chart for chart in page.data["charts"] if chart["key"] == "flagged")
    assert flagged["series"][0]["values"] == [0.0, 2.0, None]


@pytest.mark.parametrize(
    ("ratio", "words"),
    [(0, "0"), (0.00002, "< 0.1"), (0.0021, "2.1"), (0.002, "2"), (0.04, "40.0"), (1, "1,000")],
)
def test_what_is_rare_is_told_of_a_thousand(ratio: float, words: str) -> None:
    assert str(per_thousand(ratio)) == words


def test_an_event_leads_to_its_exchange() -> None:
    event = {
        "time": NOW,
        "device": "kiosk-1",
        "severity": "warning",
        "kind": "flagged",
        "key": "toxic",
        "count": 1,
        "attributes": {
            "exchange": an_exchange(2)["id"],
            "model": "qwen2.5",
            "score": 0.97,
            "engine": "llama",
        },
    }
    told = shown(event)
    assert told["words"] == "an answer of qwen2.5 was flagged as toxic, score 0.97"
    assert told["detail"] == "engine llama"
    assert told["exchange"] == f"/devices/kiosk-1/exchanges/{an_exchange(2)['id']}"
    assert shown({**event, "attributes": {"exchange": "<script>"}})["exchange"] == ""
    assert shown({**event, "attributes": {}})["exchange"] == ""


def test_events_are_kept_to_a_kind_that_there_is() -> None:
    query = Query.read({"kind": "flagged", "device": "kiosk-1"})
    assert query.address("1.2") == "/events?device=kiosk-1&kind=flagged&cursor=1.2"
    assert Query.read({"kind": "'; DROP TABLE"}).kind == ""


def test_the_pages_show_flags_in_words(serve: Serve) -> None:
    client = serve(
        [a_device("kiosk-1"), a_device("kiosk-2", metrics=dict.fromkeys(a_device("x")["metrics"]))]
    )
    client.app.state.views.told = [an_exchange(2), an_exchange(1)]  # type: ignore[attr-defined]
    html = client.get("/devices/kiosk-1").text
    assert "Whether models judged any is not known" in html
    assert "Latest flagged" in html
    assert 'value="guideline:no-dosage"' in html
    assert "guideline no-dosage" in html
    assert "insulting" in html
    one = client.get(f"/devices/kiosk-1/exchanges/{an_exchange(2)['id']}").text
    assert (
        "guideline no-dosage (a rule of the device&#39;s owner), toxic (rude, hateful or threatening" in one
    )
    fleet = client.get("/?sort=flagged&dir=down").text
    assert fleet.index('data-device="kiosk-1"') < fleet.index('data-device="kiosk-2"')
    assert 'data-label="Flagged \u2030"><span><span class="n">2.1</span>' in fleet
