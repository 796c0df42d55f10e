"""What the device page shows of answers: how many models judged, what they and the checks found, and guidelines.

Pure: windows are the plain mappings of ``views.device_windows``. Rates are by weight, as ``stonechat.answers`` says;
where nothing was judged they are None, unknown, and not zero.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from stonechat.answers import ANY, GLANCE, JUDGE
from stonechat.catalog import SCORE_NAMES
from stonechat.judgements import GUIDELINE, Judgement, by_concern, finding_words, guideline_of, meaning
from stonechat_collector.pages.words import per_thousand

SPARKS = 24
"""Bars of a small chart in a table."""

LATEST = 5
"""Flagged exchanges that are named."""

MODELS: Mapping[str, str] = {GLANCE: "the small model", JUDGE: "the large one"}

REASONS: Mapping[str, str] = {
    "language": "in a language that the model does not know",
    "no_prompt": "without a prompt to compare with",
    "empty": "without a text",
    "failed": "because a model failed",
    "overflow": "for lack of time: too many waited",
    "poison": "because the model's process ended over them",
    "unable": "because there is no model",
    "stopped": "because the agent was stopped",
}
"""Why an answer, or one of its scores, was not judged, as the rest of a sentence."""

_LOST = "score."
"""What the losses of the agent begin with that are answers which nobody judged."""

SCORES = {name: f"stonechat.score.{name}" for name in SCORE_NAMES}

Windows = Mapping[str, Any]


class Rate(NamedTuple):
    """One line of a table: how often something was found, in all and over the page's time."""

    name: str
    words: str
    meaning: str
    flagged_ratio: float | None
    answers: float
    """Their number, by weight where they were sampled."""
    of: float | None
    """Answers that these are of, None where that is not known."""
    mean: float | None
    """Mean score, None where there is none."""
    bars: list[tuple[int, float]]
    """The small chart: place and height of each bar, of `SPARKS` and 1. A place without an answer has none."""
    told: str
    """The same in words."""


class Flagged(NamedTuple):
    """A flagged exchange of the latest."""

    exchange: Mapping[str, Any]
    address: str
    found: list[Judgement]


class AnswersPart(NamedTuple):
    """All that the template needs."""

    checked: int | None
    judged: list[tuple[str, int]]
    """Answers by the words of the model that judged them."""
    judged_ratio: float | None
    skipped: list[tuple[str, int]]
    """Answers by the words of why they, or some of their scores, were not judged; most first."""
    flagged_ratio: float | None
    broken: int | None
    heads: list[Rate]
    guidelines: list[Rate]
    findings: list[Rate]
    latest: list[Flagged]

    @property
    def judged_words(self) -> str:
        """How many which model judged, as a sentence."""
        parts = [f"{words} judged {number:,}" for words, number in self.judged]
        return ", ".join(parts)[:1].upper() + ", ".join(parts)[1:] + "."

    @property
    def known(self) -> bool:
        """Whether anything was said of answers."""
        return self.checked is not None or bool(self.judged or self.skipped or self.latest)


def build(
    device: str, windows: Windows, times: Sequence[int], step: int, told: Sequence[Mapping[str, Any]]
) -> AnswersPart:
    """The part of these windows; ``told``: flagged exchanges, newest first."""

    def sums(metric: str, key: str = "sum") -> dict[int, float]:
        return _by_spark(windows, metric, times, step, lambda point: point.get(key))

    def tallies(metric: str) -> dict[str, dict[int, float]]:
        return {name: tally(metric, name) for name in _names(windows, metric)}

    def tally(metric: str, name: str) -> dict[int, float]:
        return _by_spark(windows, metric, times, step, lambda point: _counted(point, name))

    checked, weight = sums("stonechat.answers.checked"), sums("stonechat.answers.weight")
    judged = {name: sum(counts.values()) for name, counts in tallies("stonechat.answers.judged").items()}
    skipped = _reasons(tallies("stonechat.scores.skipped"), tallies("stonechat.agent.losses"))
    flags = tallies("stonechat.flags")
    held = tallies("stonechat.guidelines.checked")
    broken = tallies("stonechat.guidelines.broken")
    total, whole = sum(checked.values()), sum(weight.values())
    heads = [
        _rate(name, flags.get(name, {}), weights, _mean(windows, metric))
        for name, metric in SCORES.items()
        if sum((weights := sums(metric, "weight")).values()) > 0
    ]
    ratio = min(1.0, max(judged.values(), default=0) / total) if total and (judged or skipped) else None
    return AnswersPart(
        checked=round(total) if checked else None,
        judged=[(words, round(judged[name])) for name, words in MODELS.items() if name in judged],
        judged_ratio=ratio,
        skipped=[
            (REASONS.get(name) or name.replace("_", " "), round(n))
            for name, n in sorted(skipped.items(), key=lambda item: -item[1])
        ],
        flagged_ratio=min(1.0, sum(flags.get(ANY, {}).values()) / whole) if whole else None,
        broken=round(sum(sum(counts.values()) for counts in broken.values())) if held or broken else None,
        heads=heads,
        guidelines=[
            _rate(GUIDELINE + name, broken.get(name, {}), held.get(name)) for name in sorted({*held, *broken})
        ],
        findings=sorted(
            (_rate(name, counts, checked or None) for name, counts in tallies("stonechat.findings").items()),
            key=lambda rate: -rate.answers,
        ),
        latest=[
            Flagged(
                exchange,
                f"/devices/{device}/exchanges/{exchange['id']}",
                [one for one in by_concern(exchange["findings"], exchange.get("scores") or {}) if one.found],
            )
            for exchange in told[:LATEST]
        ],
    )


def _reasons(
    skipped: Mapping[str, Mapping[int, float]], losses: Mapping[str, Mapping[int, float]]
) -> dict[str, float]:
    """How many answers were not judged, by reason: such as a model refused, and such as never reached one."""
    found = {name: sum(counts.values()) for name, counts in skipped.items()}
    for name, counts in losses.items():
        if name.startswith(_LOST):
            reason = name[len(_LOST) :].removesuffix("_risky")
            found[reason] = found.get(reason, 0.0) + sum(counts.values())
    return found


def _rate(
    name: str, found: Mapping[int, float], of: Mapping[int, float] | None, mean: float | None = None
) -> Rate:
    count, whole = sum(found.values()), sum(of.values()) if of is not None else 0
    ratios = {
        place: min(1.0, found.get(place, 0.0) / number)
        for place, number in sorted((of or {}).items())
        if number > 0
    }
    highest = max(ratios.values(), default=0.0)
    if not ratios:
        told = "no answers"
    elif not highest:
        told = "none at any time"
    else:
        told = "per 1,000, oldest first: " + ", ".join(
            str(per_thousand(ratios[place])) if place in ratios else "–" for place in range(SPARKS)
        )
    return Rate(
        name,
        guideline_of(name) or finding_words(name),
        meaning(name),
        min(1.0, count / whole) if whole else None,
        count,
        whole if of is not None else None,
        mean,
        [(place, round(ratio / highest, 3) if highest else 0.0) for place, ratio in ratios.items()],
        told,
    )


def _points(windows: Windows, metric: str) -> Sequence[Mapping[str, Any]]:
    found: Sequence[Mapping[str, Any]] = ((windows.get("metrics") or {}).get(metric) or {}).get(
        "points"
    ) or ()
    return found


def _names(windows: Windows, metric: str) -> list[str]:
    return sorted({name for point in _points(windows, metric) for name in point.get("counts") or ()})


def _counted(point: Mapping[str, Any], name: str) -> float | None:
    found: float | None = (point.get("counts") or {}).get(name)
    return found


def _by_spark(
    windows: Windows,
    metric: str,
    times: Sequence[int],
    step: int,
    value: Callable[[Mapping[str, Any]], float | None],
) -> dict[int, float]:
    """The sums of a figure in each of `SPARKS` parts of the page's time; a part without a point has none."""
    found: dict[int, float] = {}
    if not times:
        return found
    span = len(times) * step
    for point in _points(windows, metric):
        number = value(point)
        if number is not None:
            place = min(SPARKS - 1, max(0, (point["time"] - times[0]) * SPARKS // span))
            found[place] = found.get(place, 0.0) + number
    return found


def _mean(windows: Windows, metric: str) -> float | None:
    pairs = [
        (point["mean"], point.get("weight") or 0.0)
        for point in _points(windows, metric)
        if point.get("mean") is not None
    ]
    whole = sum(weight for _, weight in pairs)
    return sum(mean * weight for mean, weight in pairs) / whole if whole else None
