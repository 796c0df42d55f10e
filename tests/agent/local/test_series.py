"""Ten minutes by the second: what is read, what is left out, and that the ring never grows."""

from __future__ import annotations

import sys

from stonechat.catalog import metric_id
from stonechat.exchange import Exchange, Outcome, Provenance, Quantity
from stonechat_agent.local.series import COLUMNS, SPAN_SECONDS, Series
from stonechat_agent.sampling import Reading

NS = 1_000_000_000
CPU = metric_id("system.cpu.utilization")
TEMPERATURE = metric_id("hw.temperature")
IN_FLIGHT = metric_id("stonechat.engine.requests.in_flight")


def answered(*, ttft: float = 0.5, tokens: int = 11, decode: float = 2.0) -> Exchange:
    exchange = Exchange("engine")
    exchange.first_token_ns = round(ttft * NS)
    exchange.output_tokens = Quantity(tokens, Provenance.ENGINE)
    exchange.decode_duration = Quantity(round(decode * NS), Provenance.ENGINE)
    return exchange


def test_what_nobody_read_is_unknown_and_counts_of_exchanges_are_zero() -> None:
    series = Series()
    series.sampled(5 * NS, [Reading(CPU, 2500)])
    assert series.since(-1, 7 * NS) == {"t": [5], "cpu": [0.25], "exchanges": [0.0], "failed": [0.0]}
    assert Series().since(-1, 7 * NS) == {"t": []}


def test_a_second_is_told_once_it_is_over_and_only_once() -> None:
    series = Series()
    for second in range(5, 9):
        series.sampled(second * NS + 3, [Reading(CPU, second)])
    assert series.since(-1, 8 * NS + 5)["t"] == [5, 6, 7]
    assert series.since(6, 8 * NS + 5)["t"] == [7]
    assert series.since(7, 8 * NS + 5)["t"] == []
    assert series.since(7, 9 * NS)["t"] == [8]


def test_a_gap_is_a_gap() -> None:
    series = Series()
    series.sampled(5 * NS, [Reading(CPU, 1000)])
    series.sampled(9 * NS, [Reading(TEMPERATURE, 512)])
    told = series.since(-1, 10 * NS)
    assert told["t"] == [5, 9]
    assert told["cpu"] == [0.1, None]
    assert told["temperature"] == [None, 51.2]


def test_the_ring_holds_ten_minutes_and_no_more() -> None:
    series = Series()
    for second in range(3 * SPAN_SECONDS):
        series.sampled(second * NS, [Reading(CPU, second)])
    told = series.since(-1, 3 * SPAN_SECONDS * NS)["t"]
    assert told == list(range(2 * SPAN_SECONDS + 1, 3 * SPAN_SECONDS))
    size = sum(sys.getsizeof(column) for column in (*series._columns, series._seconds))
    assert size < 8 * SPAN_SECONDS * (len(COLUMNS) + 1) + 2000


def test_after_a_long_silence_nothing_old_is_told() -> None:
    series = Series()
    series.sampled(5 * NS, [Reading(CPU, 1)])
    assert series.since(-1, 10_000 * NS)["t"] == []


def test_engines_and_gpus_are_put_together() -> None:
    series = Series()
    readings = [
        Reading(IN_FLIGHT, 2, "a"),
        Reading(IN_FLIGHT, 3, "b"),
        Reading(TEMPERATURE, 512),
        Reading(metric_id("hw.gpu.temperature"), 700),
        Reading(metric_id("stonechat.engine.cpu.utilization"), 9, "a"),
    ]
    series.sampled(5 * NS, readings)
    told = series.since(-1, 6 * NS)
    assert (told["in_flight"], told["temperature"], told.get("cpu")) == ([5.0], [70.0], None)


def test_exchanges_of_a_second_are_counted_and_averaged() -> None:
    series = Series()
    series.ended(5 * NS, answered(ttft=0.5, tokens=11))
    series.ended(5 * NS + 9, answered(ttft=1.5, tokens=31))
    failed = answered(ttft=9)
    failed.outcome = Outcome.ERROR
    series.ended(5 * NS + 10, failed)
    series.ended(6 * NS, Exchange("engine"))
    series.ended(7 * NS, answered(ttft=0.25, tokens=3))
    told = series.since(-1, 8 * NS)
    assert told["exchanges"] == [3.0, 1.0, 1.0]
    assert told["failed"] == [1.0, 0.0, 0.0]
    assert told["ttft"] == [1.0, None, 0.25]
    assert told["speed"] == [10.0, None, 1.0]
    series.ended(8 * NS, answered(ttft=0.5))
    series.ended(8 * NS, answered(ttft=0.75))
    assert series.since(7, 9 * NS)["ttft"] == [0.625]


def test_verdicts_are_counted_in_the_second_in_which_they_come() -> None:
    series = Series()
    series.ended(5 * NS, answered(ttft=0.5, tokens=11))
    series.judged(6 * NS, flagged=False)
    series.judged(6 * NS + 9, flagged=True)
    series.sampled(7 * NS, [Reading(CPU, 1)])
    told = series.since(-1, 8 * NS)
    assert told["judged"] == [None, 2.0, None]
    assert told["flagged"] == [None, 1.0, None]
