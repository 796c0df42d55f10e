"""When the worker may score: not while the engine decodes, the device is hot, or its battery low. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from stonechat.catalog import metric_id
from stonechat_agent.sampling.reading import Reading

COOLER = 5.0
"""Degrees below the bound at which a device that was too hot is cool enough."""
FULLER = 5.0
"""Percent above the bound at which a battery that was too low is full enough."""
KNOWN_SECONDS = 60.0
"""How long a figure holds that is not told again: not every sample has it."""
QUIET_SECONDS = 0.5
"""For so long an engine has to have had nothing to do: between the rounds of an agent it has milliseconds."""

_TEMPERATURE = metric_id("hw.temperature")
_CHARGE = metric_id("hw.battery.charge")
_BATTERY_POWER = metric_id("hw.battery.power")


class Conditions(NamedTuple):
    """What a sample tells of heat and battery. None: it tells nothing."""

    temperature_c: float | None
    battery_percent: float | None
    on_battery: bool | None


def conditions_of(readings: Iterable[Reading]) -> Conditions:
    """Pick the conditions from the readings of a sample."""
    found = {r.metric: r.value for r in readings if r.metric in (_TEMPERATURE, _CHARGE, _BATTERY_POWER)}
    temperature, charge, power = found.get(_TEMPERATURE), found.get(_CHARGE), found.get(_BATTERY_POWER)
    return Conditions(
        None if temperature is None else temperature / 10,
        None if charge is None else charge / 100,
        None if power is None else power > 0,
    )


class Gate:
    """Says why the worker has to wait, if it has to. Not for several threads at once."""

    def __init__(self, *, always: bool, max_temperature: float, min_battery: float) -> None:
        """
        Args:
            always: also while the engine decodes.
            max_temperature: degrees Celsius from which it is too hot.
            min_battery: percent below which a battery that is in use is too low.
        """
        self._always = always
        self._max_temperature = max_temperature
        self._min_battery = min_battery
        self._told: dict[str, tuple[float, float]] = {}  # value and when it was told
        self._hot = self._low = False
        self._busy_at: float | None = None

    def tell(self, conditions: Conditions, now: float) -> None:
        """Take what a sample tells. ``now`` is seconds of a monotonic clock, here and below."""
        for name, value in conditions._asdict().items():
            if value is not None:
                self._told[name] = (float(value), now)

    def why_not(self, in_flight: int, now: float) -> str:
        """Return ``decoding``, ``heat`` or ``battery``; "" where the worker may score.

        ``in_flight``: exchanges that the engine is busy with.
        """
        if in_flight > 0:
            self._busy_at = now
        temperature, percent = self._known("temperature_c", now), self._known("battery_percent", now)
        # What is not known is no reason to wait: most devices have no battery, and some no sensor.
        bound = self._max_temperature - (COOLER if self._hot else 0.0)
        self._hot = temperature is not None and temperature >= bound
        bound = self._min_battery + (FULLER if self._low else 0.0)
        self._low = percent is not None and percent < bound and self._known("on_battery", now) == 1.0
        if self._hot:
            return "heat"
        if self._low:
            return "battery"
        decoding = self._busy_at is not None and now - self._busy_at < QUIET_SECONDS
        return "decoding" if not self._always and (in_flight > 0 or decoding) else ""

    def _known(self, name: str, now: float) -> float | None:
        value, told = self._told.get(name, (0.0, -KNOWN_SECONDS))
        return value if now - told < KNOWN_SECONDS else None


class Backoff:
    """How long to wait before a worker that failed is started again."""

    def __init__(self, steps: tuple[float, ...], stable: float) -> None:
        """
        Args:
            steps: seconds to wait after the first failure, the second, ...; the last one holds for all further ones.
            stable: seconds that a worker has to live for its failure to count as the first again.
        """
        self._steps = steps
        self._stable = stable
        self._failures = 0

    def failed(self, lived: float) -> tuple[float, bool, bool]:
        """Note a failure of a worker that lived for some seconds.

        Returns the seconds to wait, whether they are more than the last time (or the first), and whether they are the
        last step, when giving up is what it amounts to.
        """
        if lived >= self._stable:
            self._failures = 0
        step = min(self._failures, len(self._steps) - 1)
        rises = self._failures < len(self._steps)
        self._failures += 1
        return self._steps[step], rises, step == len(self._steps) - 1
