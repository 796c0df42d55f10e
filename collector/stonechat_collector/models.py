"""The answers of the JSON API as its OpenAPI description states them. The values come from ``views``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from stonechat import exchange_row
from stonechat.exchange_row import FieldKind

Time = Field(description="ms since 1970")
StatusWord = Literal["offline", "failing", "slow", "hot", "well", "unknown"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class Metrics(_Model):
    """Figures of a device in base units; null is unknown. Those of exchanges are of the recent span."""

    exchanges: int | None
    errors: int | None
    error_ratio: float | None
    aborted: int | None
    cut: int | None = Field(description="answers that ended at the token limit")
    tokens_per_second: float | None = Field(description="generated, p50 over exchanges")
    ttft_p50_seconds: float | None
    ttft_p95_seconds: float | None
    duration_p50_seconds: float | None
    duration_p95_seconds: float | None
    input_tokens: int | None
    output_tokens: int | None
    answers_checked: int | None = Field(description="answers that the checks of every answer saw")
    judged_ratio: float | None = Field(description="share of them that a model judged")
    flagged_ratio: float | None = Field(description="share beyond a model's threshold, by sampling weight")
    guidelines_broken: int | None
    span_seconds: float | None = Field(description="how much time the figures of exchanges are of")
    cpu_utilization: float | None
    cpu_frequency_ratio: float | None
    cpu_steal: float | None
    memory_utilization: float | None
    memory_used_bytes: float | None
    memory_total_bytes: float | None
    swap_used_bytes: float | None
    temperature_celsius: float | None
    throttled: float | None
    power_watts: float | None
    battery_charge: float | None
    filesystem_utilization: float | None
    gpu_utilization: float | None
    gpu_memory_used_bytes: float | None
    gpu_memory_total_bytes: float | None
    gpu_temperature_celsius: float | None
    gpu_power_watts: float | None
    cpu_pressure: float | None
    memory_pressure: float | None
    io_pressure: float | None
    engine_up: float | None
    engine_memory_bytes: float | None
    engine_cpu_cores: float | None
    engine_run_delay: float | None
    engine_major_faults: int | None
    slots_busy: float | None
    slots_total: float | None
    requests_in_flight: float | None
    agent_memory_bytes: float | None
    agent_cpu_utilization: float | None
    window_seconds: float | None = Field(description="length of the newest window")


class Device(_Model):
    """A device as it is now."""

    id: str
    fleet: str
    status: StatusWord
    reason: str = Field(description="why, in words; empty where there is nothing to say")
    since: int | None = Time
    last_seen: int = Time
    labels: dict[str, Any]
    hardware: dict[str, Any] | None
    engine: dict[str, Any] | None
    model: str | None
    agent_version: str | None
    metrics: Metrics


class SeriesFigures(_Model):
    """Figures of the recent exchanges of one engine, model and operation."""

    engine: str
    model: str
    operation: str
    exchanges: int | None
    errors: int | None
    error_ratio: float | None
    aborted: int | None
    cut: int | None
    tokens_per_second: float | None
    ttft_p50_seconds: float | None
    ttft_p95_seconds: float | None
    duration_p50_seconds: float | None
    duration_p95_seconds: float | None
    input_tokens: int | None
    output_tokens: int | None
    answers_checked: int | None
    judged_ratio: float | None
    flagged_ratio: float | None
    guidelines_broken: int | None


class Head(_Model):
    """What a model's head says of recent answers."""

    flagged_ratio: float = Field(description="share beyond the head's threshold, by sampling weight")
    mean: float = Field(description="mean score, to the middle of a bin of a twentieth")


class Guideline(_Model):
    """What became of one of the owner's guidelines."""

    held: int | None = Field(description="answers that were held to it")
    broken: int = Field(description="answers that broke it")


class Answers(_Model):
    """What is known of recent answers; null or absent is unknown."""

    checked: int | None
    judged: dict[str, int] = Field(description="answers that a model judged: glance, judge")
    judged_ratio: float | None
    skipped: dict[str, int] = Field(description="answers that were not judged, by reason")
    findings: dict[str, int] = Field(description="answers in which the checks found something, by name")
    flagged_ratio: float | None
    heads: dict[str, Head]
    guidelines: dict[str, Guideline]


class Counts(_Model):
    """What became of all that a device ever sent."""

    windows: int = Field(description="taken")
    expired: int = Field(description="of those, too old to be stored when they came")
    refused: int = Field(description="records and events refused for good")
    rejected: int = Field(description="messages that could not be read")


class DeviceDetail(Device):
    """A device with all that is known of it."""

    first_seen: int = Time
    online: bool | None = Field(description="whether its connection stands; null: never said")
    series: list[SeriesFigures]
    answers: Answers | None = Field(description="of the recent span; null: the device said nothing of them")
    counts: Counts
    description: dict[str, Any] | None


class Summary(_Model):
    """The fleet in a sentence."""

    total: int
    by_status: dict[StatusWord, int]
    sentence: str


class Devices(_Model):
    """All devices, worst first."""

    time: int = Time
    summary: Summary
    devices: list[Device]


class Span(_Model):
    """One step of a course in which anything was measured."""

    time: int = Time
    span: int = Field(description="its length in ms: longer than the step for what a device folded")
    windows: int
    observed: int = Field(description="ms that were really measured, of all devices")
    uncertain: bool = Field(description="whether the time of any of it is not certain")
    devices: int | None = Field(description="of a fleet: how many")


class Point(BaseModel):
    """One step of one metric. Which figures it has depends on the metric's kind; a step without any has no point."""

    model_config = ConfigDict(extra="forbid")

    time: int = Time
    span: int | None = Field(None, description="its length in ms, where that is not the step")
    uncertain: bool | None = Field(None, description="true where its time is not certain")
    count: int | None = None
    sum: float | None = None
    rate: float | None = Field(None, description="a second of the time observed")
    mean: float | None = None
    min: float | None = None
    max: float | None = None
    last: float | None = None
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None
    weight: float | None = Field(None, description="how many values these stand for")
    bins: list[float] | None = Field(None, description="weights in twentieths of 0 to 1")
    counts: dict[str, float] | None = Field(None, description="by key; weights where the unit is scaled")


class SeriesCourse(_Model):
    """The course of one engine, model and operation."""

    engine: str
    model: str
    operation: str
    points: list[Point]


class MetricCourse(_Model):
    """The course of one metric of the catalogue."""

    unit: str = Field(description="UCUM base unit")
    kind: Literal["counter", "gauge", "sketch", "histogram", "tally"]
    points: list[Point] = Field(description="all series together")
    series: list[SeriesCourse]


class Course(_Model):
    """Metrics over time."""

    from_: int = Field(alias="from", description="ms since 1970")
    to: int = Time
    step: int = Field(description="ms")
    source: Literal["windows", "rollups"]
    spans: list[Span]
    metrics: dict[str, MetricCourse]


class Event(_Model):
    """Something that happened at an instant, or several times alike."""

    id: int
    time: int = Time
    last: int = Field(description="when it happened last, ms since 1970")
    device: str
    fleet: str
    origin: Literal["device", "collector"]
    kind: str
    key: str
    severity: Literal["info", "warning", "critical"]
    count: int
    received: int = Time
    attributes: dict[str, Any]


class Events(_Model):
    """A page of events, newest first."""

    events: list[Event]
    next: str | None = Field(description="cursor of the next page, null on the last")


class Health(_Model):
    """Whether the collector does its work."""

    status: Literal["ok", "degraded"]
    problems: list[str]


class ErrorBody(_Model):
    """What went wrong, and what to do."""

    code: str
    message: str
    hint: str


class Error(_Model):
    """The body of every answer that is not a success."""

    error: ErrorBody


_TYPES: Mapping[FieldKind, Any] = {
    FieldKind.ID: str,
    FieldKind.WORD: str,
    FieldKind.COUNT: int,
    FieldKind.FLAG: bool,
    FieldKind.TIME: int,
    FieldKind.DURATION: int,
    FieldKind.OFFSET: int,
    FieldKind.WORDS: list[str],
    FieldKind.SCORES: dict[str, float],
}
_UNITS: Mapping[FieldKind, str] = {
    FieldKind.TIME: " ms since 1970.",
    FieldKind.DURATION: " Microseconds.",
    FieldKind.OFFSET: " Microseconds since the request was accepted.",
}


def _field(field: exchange_row.Field) -> tuple[Any, Any]:
    kind = _TYPES[field.kind]
    about = Field(description=field.help + _UNITS.get(field.kind, ""))
    return (kind, about) if field.name in ("id", "start") else (kind | None, about)


if TYPE_CHECKING:
    _Row = _Model
else:
    _Row = create_model(
        "_Row", __base__=_Model, **{field.name: _field(field) for field in exchange_row.FIELDS}
    )


class Exchange(_Row):
    """An exchange that a device told of; null is unknown."""

    received: int = Field(description="when the collector took it, ms since 1970")
    chosen: str = Field(description='why the device told of it: "flagged", "failed", "slow" or "sampled"')
    has_texts: bool = Field(description="whether its texts are here")
    no_texts: str | None = Field(description="why they are not, as a word; null where they are")


class Exchanges(_Model):
    """A page of the exchanges of a device."""

    exchanges: list[Exchange]
    next: str | None = Field(description="the cursor of the next page; null on the last")


class Texts(_Model):
    """What was said in an exchange, as the device redacted it. What is empty is absent."""

    prompt: list[tuple[str, str]] = Field([], description="role and text of each turn, oldest first")
    answer: str = ""
    reasoning: str = ""
    tool_calls: list[tuple[str, str]] = Field([], description="name and arguments of each call")
    error: str = ""
    cut: bool = Field(False, description="whether some text is missing")


class ExchangeDetail(Exchange):
    """An exchange with all that is here of it."""

    texts: Texts | None
    texts_received: int | None = Field(description="when they came, ms since 1970")
    texts_allowed: str | None = Field(
        description="the word of the device's privacy.upload by which they came"
    )
    no_texts_because: str | None = Field(description="why there are none, as a sentence")
    no_texts_key: str | None = Field(description="the key of the device's configuration that changes it")
