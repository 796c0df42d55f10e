"""What a GPU shows, whoever asks it, and how the catalogue wants the GPUs of a device: together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from stonechat.catalog import metric_id

from .reading import Reading

UTILIZATION = metric_id("hw.gpu.utilization")
MEMORY_USAGE = metric_id("hw.gpu.memory.usage")
MEMORY_LIMIT = metric_id("hw.gpu.memory.limit")
TEMPERATURE = metric_id("hw.gpu.temperature")
POWER = metric_id("hw.gpu.power")
ENERGY = metric_id("hw.gpu.energy")
CLOCK_RATIO = metric_id("hw.gpu.clock.ratio")
THROTTLE = metric_id("hw.gpu.throttle.reasons")
ERRORS = metric_id("hw.gpu.errors")
ENGINE_MEMORY = metric_id("stonechat.engine.gpu.memory")


class Figures(dict[int, int]):
    """What one GPU shows, by metric, in the catalogue's units, but memory in bytes.

    And beside them the reasons for which it is throttled, a closed set of words (``power_cap``, ``current_limit``,
    ``hardware_thermal``, ``software_thermal``, ``hardware_slowdown``, ``power_brake``, ``sync_boost``), and the bytes
    of its memory that each engine holds.
    """

    def __init__(self) -> None:
        self.reasons: tuple[str, ...] = ()
        self.engines: dict[str, int] = {}


def together(shown: Sequence[Figures]) -> Iterator[Reading]:
    """Give the GPUs' figures as the catalogue wants them: summed, the mean, or the hottest."""
    for metric in (UTILIZATION, CLOCK_RATIO):
        values = [figures[metric] for figures in shown if metric in figures]
        if values:
            yield Reading(metric, round(sum(values) / len(values)))
    for metric, shift in ((MEMORY_USAGE, 20), (MEMORY_LIMIT, 20), (POWER, 0), (ENERGY, 0), (ERRORS, 0)):
        values = [figures[metric] for figures in shown if metric in figures]
        if values:
            yield Reading(metric, sum(values) >> shift)
    temperatures = [figures[TEMPERATURE] for figures in shown if TEMPERATURE in figures]
    if temperatures:
        yield Reading(TEMPERATURE, max(temperatures))
    for reason in sorted({word for figures in shown for word in figures.reasons}):
        yield Reading(THROTTLE, 1, key=reason)
    for engine in sorted({name for figures in shown for name in figures.engines}):
        yield Reading(ENGINE_MEMORY, sum(figures.engines.get(engine, 0) for figures in shown) >> 20, engine)
