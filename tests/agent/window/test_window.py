"""Windows: when they are cut, and what an exchange adds to them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stonechat import columns, sketch
from stonechat.catalog import BY_ID, BY_NAME, Kind, metric_id
from stonechat.exchange import Exchange, Operation, Outcome, Provenance, Quantity
from stonechat.records import DEVICE, OTHER, Flag, Record, Series, fold_values, to_plain
from stonechat.slots import Slots
from stonechat.values import WEIGHT_ONE, Value, counter, tally
from stonechat_agent.clocks import Clocks, Instant
from stonechat_agent.sampling.reading import Reading
from stonechat_agent.scoring.verdict import GuidelineResult, Verdict
from stonechat_agent.window import Centroids, Cutter, WindowBuilder

LENGTH = 60_000
WALL = 1_700_000_040_000  # a whole minute


def at(ms: int, *, wall: int = 0, asleep: int = 0, synced: bool = True) -> Instant:
    return Instant(100_000 + ms - asleep, 500_000 + ms, WALL + ms + wall, synced)


def test_a_window_ends_at_the_whole_minute_of_a_synchronised_clock() -> None:
    cutter = Cutter(LENGTH)
    cutter.opened(at(12_000))
    assert cutter.due(at(12_000)) == 48_000
    assert cutter.look(at(59_999)) is None
    cut = cutter.look(at(60_000))
    assert cut is not None
    assert cut.flags == Flag(0)


def test_without_a_clock_a_window_ends_at_multiples_of_the_boottime() -> None:
    cutter = Cutter(LENGTH)
    now = at(0, synced=False)
    cutter.opened(now)
    assert cutter.due(now) == LENGTH - now.boottime % LENGTH


@pytest.mark.parametrize("step", [-86_400_000, -1_500, 1_500, 10**12])
def test_a_step_of_the_wall_clock_cuts_the_window(step: int) -> None:
    cutter = Cutter(LENGTH)
    cutter.opened(at(1_000))
    cut = cutter.look(at(2_000, wall=step))
    assert cut is not None
    assert (cut.flags, cut.step_ms) == (Flag.CUT_CLOCK, step)


def test_slewing_does_not_cut() -> None:
    cutter = Cutter(LENGTH)
    cutter.opened(at(0))
    for second in range(1, 59):
        assert cutter.look(at(second * 1000, wall=second * 5)) is None


def test_waking_from_suspend_cuts_the_window() -> None:
    cutter = Cutter(LENGTH)
    cutter.opened(at(1_000))
    cut = cutter.look(at(30_000, asleep=25_000))
    assert cut is not None
    assert (cut.flags, cut.suspended_ms) == (Flag.CUT_SUSPEND, 25_000)


def builder(slots: Slots | None = None) -> WindowBuilder:
    return WindowBuilder(at(0), order=3, description=b"describe", slots=slots or Slots(), length_ms=LENGTH)


def answered(**changed: object) -> Exchange:
    exchange = Exchange(
        "engine",
        operation=Operation.CHAT,
        dialect="openai.chat",
        request_model="asked",
        response_model="answers",
        streamed=True,
    )
    exchange.accepted_ns = 10**9
    exchange.first_byte_ns = exchange.accepted_ns + 200_000_000
    exchange.first_token_ns = exchange.accepted_ns + 210_000_000
    exchange.last_byte_ns = exchange.accepted_ns + 2_000_000_000
    exchange.finish_reason = "stop"
    exchange.input_tokens = Quantity(30, Provenance.ENGINE)
    exchange.cached_tokens = Quantity(10, Provenance.ENGINE)
    exchange.output_tokens = Quantity(101, Provenance.ENGINE)
    exchange.prefill_duration = Quantity(200_000_000, Provenance.ENGINE)
    exchange.decode_duration = Quantity(2_000_000_000, Provenance.ENGINE)
    for name, value in changed.items():
        setattr(exchange, name, value)
    return exchange


def quantile(record: Record, series: Series, name: str) -> float | None:
    return sketch.quantile(record.values[series][metric_id(name)][1:], 0.5)  # type: ignore[arg-type]


def test_an_exchange_counts_under_the_model_that_answered() -> None:
    window = builder()
    window.add_exchange(answered())
    record = window.build(at(LENGTH))
    series = Series("engine", "answers", "chat")
    assert set(record.values) == {series}
    assert quantile(record, series, "gen_ai.server.time_to_first_token") == pytest.approx(210_000, rel=0.02)
    assert quantile(record, series, "stonechat.decode.rate") == pytest.approx(50_000, rel=0.02)
    assert quantile(record, series, "gen_ai.server.time_per_output_token") == pytest.approx(20_000, rel=0.02)
    assert quantile(record, series, "stonechat.prefill.rate") == pytest.approx(100_000, rel=0.02)
    assert (record.last_order, record.last_boottime) == (3, 560_000)
    assert (record.step, record.observed, record.cover, record.start) == (LENGTH, LENGTH, (), None)


def test_a_failed_exchange_counts_as_error_and_not_as_a_fast_answer() -> None:
    window = builder()
    window.add_exchange(answered(outcome=Outcome.ERROR, error_type="http_5xx", finish_reason=None))
    metrics = window.build(at(LENGTH)).values[Series("engine", "answers", "chat")]
    assert metrics[metric_id("stonechat.exchanges.failed")] == (1, 1)
    assert metrics[metric_id("error.type")] == (5, "http_5xx", 1)
    assert metric_id("gen_ai.server.request.duration") not in metrics
    assert metric_id("gen_ai.server.time_to_first_token") not in metrics


def test_what_is_unknown_adds_nothing() -> None:
    window = builder()
    window.add_exchange(Exchange("engine"))
    metrics = window.build(at(LENGTH)).values[Series("engine", "", "other")]
    assert set(metrics) == {metric_id("stonechat.exchanges"), metric_id("stonechat.exchange.outcomes")}


def test_answers_that_were_checked_are_counted_beside_what_was_found() -> None:
    window = builder()
    window.add_exchange(answered(scores={"refusal": 0.1, "repetition": 0.9}, findings=("repetition",)))
    window.add_exchange(answered(scores={"refusal": 0.0}))
    window.add_exchange(answered())
    metrics = window.build(at(LENGTH)).values[Series("engine", "answers", "chat")]
    assert metrics[metric_id("stonechat.answers.checked")] == (1, 2)
    assert metrics[metric_id("stonechat.findings")] == (5, "repetition", 1)


def test_absurd_figures_never_outgrow_what_a_record_can_hold() -> None:
    """An engine's or an application's figures are its own word, and a window that cannot be written ends the agent."""
    window = builder()
    figure = Quantity((1 << 53) - 1, Provenance.ENGINE)
    moment = Quantity(1, Provenance.ENGINE)
    for _ in range(3000):
        absurd = dict.fromkeys(("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens"), figure)
        window.add_exchange(
            answered(**absurd, queue_duration=figure, load_duration=figure, decode_duration=moment)
        )
        window.add_exchange(
            answered(input_tokens=Quantity(1 << 40, Provenance.ENGINE), prefill_duration=moment)
        )
    record = window.build(at(LENGTH))
    assert msgpack.packb(to_plain(record))
    values = record.values[Series("engine", "answers", "chat")]
    assert values[metric_id("stonechat.exchanges")] == (1, 6000)
    assert quantile(
        record, Series("engine", "answers", "chat"), "gen_ai.usage.output_tokens"
    ) == pytest.approx(101, rel=0.02)


def test_models_beyond_the_slots_count_as_other() -> None:
    window = builder()
    for number in range(40):
        window.add_exchange(answered(response_model=f"m{number}"))
    record = window.build(at(LENGTH))
    assert len(record.values) == 17
    assert record.values[OTHER][metric_id("stonechat.exchanges")] == (1, 24)


@given(st.lists(st.integers(0, 10**9), min_size=2, max_size=40), st.integers(1, 39))
def test_two_windows_fold_into_what_one_would_have_held(values: list[int], cut: int) -> None:
    cpu, faults = metric_id("system.cpu.utilization"), metric_id("system.paging.faults")
    cut = min(cut, len(values) - 1)
    parts = []
    for group in (values, values[:cut], values[cut:]):
        window = builder()
        for value in group:
            window.add_sample([Reading(cpu, value), Reading(faults, value), Reading(45, value, "engine")])
        parts.append(window.build(at(LENGTH)).values)
    whole, one, other = parts
    folded = fold_values(one, other)
    last = whole[DEVICE][cpu][5]
    assert folded[DEVICE].get(faults) == whole[DEVICE].get(faults)
    assert folded[DEVICE][cpu][1:5] == whole[DEVICE][cpu][1:5]
    assert last == values[-1]


def test_a_source_never_feeds_a_metric_that_only_scores_fill() -> None:
    with pytest.raises(ValueError, match="histogram"):
        builder().add_reading(Reading(BY_NAME["stonechat.score.toxic"].id, 1))


def test_a_window_without_a_sure_clock_says_so() -> None:
    window = WindowBuilder(
        at(0, synced=False), order=1, description=b"describe", slots=Slots(), length_ms=LENGTH
    )
    assert window.build(at(LENGTH)).flags == Flag.UNSYNCED


def test_the_clocks_are_read_in_milliseconds() -> None:
    clocks = Clocks()
    one, other = clocks.now(), clocks.now()
    assert one.monotonic <= other.monotonic <= one.monotonic + 5_000
    assert one.boottime >= one.monotonic
    assert one.wall > 1_760_000_000_000


def judgement(**changed: Any) -> Verdict:
    known: dict[str, Any] = {
        "id": "01",
        "engine": "engine",
        "model": "answers",
        "operation": "chat",
        "tier": 2,
        "weight": WEIGHT_ONE,
        "scores": {"toxic": 0.97, "relevance": 0.15, "of_a_classifier": 0.5},
        "withheld": {},
        "flags": ("toxic",),
        "guidelines": (),
        "embedding": (),
    }
    return Verdict(**{**known, **changed})


CHAT = Series("engine", "answers", "chat")


def judged_values(*verdicts: Verdict, window: WindowBuilder | None = None) -> dict[str, Value]:
    window = window or builder()
    for verdict in verdicts:
        window.add_verdict(verdict)
    found = window.build(at(60_000)).values.get(CHAT, {})
    return {BY_ID[metric].name: value for metric, value in found.items()}


def test_a_verdict_counts_with_its_weight_for_the_answers_that_it_stands_for() -> None:
    values = judged_values(
        judgement(embedding=(3, -4)), judgement(weight=19 * WEIGHT_ONE, scores={"toxic": 0.04}, flags=())
    )
    toxic = values["stonechat.score.toxic"]
    assert toxic[:3] == (Kind.HISTOGRAM, 2, 19 * WEIGHT_ONE)
    assert toxic[-1] == WEIGHT_ONE
    assert values["stonechat.score.relevance"][2 + 3] == WEIGHT_ONE  # 0.15 begins the fourth bin
    assert values["stonechat.answers.weight"] == counter(20 * WEIGHT_ONE)
    assert values["stonechat.flags"] == tally({"any": WEIGHT_ONE, "toxic": WEIGHT_ONE})
    # Where there is no small model there is no embedding.
    assert values["stonechat.answers.judged"] == tally({"glance": 1, "judge": 2})


def test_an_answer_that_another_stands_for_is_judged_and_in_no_rate() -> None:
    values = judged_values(judgement(tier=1, weight=0))
    assert values == {"stonechat.answers.judged": tally({"glance": 1})}


@pytest.mark.parametrize(
    ("withheld", "reasons"),
    [
        ({"toxic": "language", "relevance": "no_prompt"}, {"language": 1}),
        ({"relevance": "no_prompt"}, {"no_prompt": 1}),
        ({"toxic": "empty", "relevance": "empty"}, {"empty": 1}),
    ],
)
def test_an_answer_without_a_score_counts_by_the_reason(
    withheld: dict[str, str], reasons: dict[str, int]
) -> None:
    values = judged_values(judgement(tier=1, scores={}, flags=(), withheld=withheld))
    assert values == {"stonechat.scores.skipped": tally(reasons)}


def test_guidelines_count_where_they_were_held_and_where_they_were_broken() -> None:
    held = GuidelineResult("no-prices", "warning", 0.1, broken=False, why="")
    broken = GuidelineResult("no-dosage", "critical", 0.9, broken=True, why="forbidden:1")
    values = judged_values(judgement(tier=0, scores={}, flags=(), guidelines=(held, broken)))
    assert values == {
        "stonechat.guidelines.checked": tally({"no-dosage": 1, "no-prices": 1}),
        "stonechat.guidelines.broken": tally({"no-dosage": 1}),
    }


def test_embeddings_travel_only_in_company_and_wait_for_it_over_windows() -> None:
    centroids = Centroids()

    def window() -> WindowBuilder:
        return WindowBuilder(
            at(0), order=3, description=b"describe", slots=Slots(), length_ms=LENGTH, centroids=centroids
        )

    one = judgement(embedding=(3, -4))
    assert "stonechat.answer.embedding" not in judged_values(*[one] * 19, window=window())
    last = window()
    assert judged_values(one, window=last)["stonechat.answer.embedding"] == (Kind.VECTOR, 20, 60, -80)
    assert "stonechat.answer.embedding" in judged_values(window=last)  # looking at it tells nothing
    centroids.told()
    assert "stonechat.answer.embedding" not in judged_values(one, window=window())


def test_an_embedding_of_another_model_begins_anew() -> None:
    centroids = Centroids()
    for _ in range(19):
        centroids.add(CHAT, (1, 1))
    for _ in range(20):
        centroids.add(CHAT, (1, 1, 1))
    assert dict(centroids.ripe()) == {CHAT: (Kind.VECTOR, 20, 20, 20, 20)}


def test_what_a_judged_window_holds_travels() -> None:
    window = builder()
    for _ in range(20):
        window.add_verdict(judgement(embedding=tuple(range(64))))
    record = replace(window.build(at(60_000)), cover=((7, 1, 1),), start=WALL)
    assert columns.decode(columns.encode([record])) == [record]
