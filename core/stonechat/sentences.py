"""Events in words: a sentence for every kind. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from stonechat.event import EventKind
from stonechat.judgements import finding_words

Attributes = Mapping[str, Any]


def sentence(kind: str, key: str, attributes: Attributes, count: int = 1) -> str:
    """Say what an event tells of. ``count`` is how many alike it stands for."""
    say = _SENTENCES.get(kind)
    # A later version may know more kinds, and a damaged attribute must not hide the rest of the log.
    try:
        said = say(key, attributes) if say is not None else _of_unknown_kind(kind, key, attributes)
    except (KeyError, TypeError, ValueError):
        said = _of_unknown_kind(kind, key, attributes)
    return said if count == 1 else f"{said} ({count} times)"


def _of_unknown_kind(kind: str, key: str, attributes: Attributes) -> str:
    plain = [f"{name}={value}" for name, value in attributes.items() if not isinstance(value, list | dict)]
    return " ".join([kind.replace("_", " "), key, *plain]).strip()


def _loss(key: str, attributes: Attributes) -> str:
    number, stream = attributes["lost"], attributes["stream"]
    many = f"{number} {stream}s are" if number != 1 else f"1 {stream} is"
    return f"{many} lost before a collector had them: {_words(attributes['reason'])}"


def _clock_stepped(key: str, attributes: Attributes) -> str:
    step = attributes["step_ms"]
    return f"the clock was set {'forward' if step > 0 else 'back'} by {_span(abs(step))}"


def _engine_changed(key: str, attributes: Attributes) -> str:
    changed = []
    for name, after in attributes.items():
        if name.endswith("_after"):
            before = attributes.get(f"{name[:-6]}_before")
            changed.append(f"{_words(name[:-6])} {_shown(before)} -> {_shown(after)}")
    model = f", model {attributes['model']}" if "model" in attributes else ""
    return f"{_engine(key)} has changed{model}: {', '.join(changed) or 'no longer as it was'}"


def _engine(key: str) -> str:
    """An engine by its name; one that goes by the default needs none."""
    return "the engine" if key == "engine" else f"engine {key}"


def _flagged(key: str, attributes: Attributes) -> str:
    subject, verb = _answers(attributes)
    return f"{subject} {verb} flagged as {finding_words(key)}{_score(attributes)}"


def _guideline_broken(key: str, attributes: Attributes) -> str:
    return f"{_answers(attributes)[0]} broke the guideline {key}{_score(attributes)}"


def _answers(attributes: Attributes) -> tuple[str, str]:
    """(The answers that were judged, "was" or "were")."""
    number = int(attributes.get("answers") or 1)
    of = f" of {attributes['model']}" if attributes.get("model") else ""
    return (f"an answer{of}", "was") if number == 1 else (f"{number} answers{of}", "were")


def _score(attributes: Attributes) -> str:
    score = attributes.get("score")
    which = "the latest with score" if int(attributes.get("answers") or 1) > 1 else "score"
    return "" if score is None else f", {which} {score:.2f}"


def _scorer_restarted(key: str, attributes: Attributes) -> str:
    how = {
        "killed": "was killed",
        "crashed": "crashed",
        "hung": "hung",
        "not_started": "could not be started",
    }
    failed = how.get(attributes["reason"], "ended before its time")
    return f"the scorer {failed}, and is started again after {_span(1000 * attributes['wait_seconds'])}"


def _scorer_over_memory(key: str, attributes: Attributes) -> str:
    memory, bound = (attributes[name] / 1048576 for name in ("memory", "max_memory"))
    wait = _span(1000 * attributes["wait_seconds"])
    return f"the scorer had {memory:.0f} MiB of {bound:.0f}, was ended and is started again after {wait}"


def _scorer_gave_up(key: str, attributes: Attributes) -> str:
    return (
        f"the scorer fails whenever it is started ({_words(attributes['reason'])}) "
        f"and is tried every {_span(1000 * attributes['wait_seconds'])}; answers go unjudged"
    )


def _scorer_impaired(key: str, attributes: Attributes) -> str:
    faults = attributes["faults"]
    many = "a model or a guideline" if faults == 1 else f"{faults} models or guidelines"
    return f"the scorer works without {many}: stonechat status says why"


def _rejected(key: str, attributes: Attributes) -> str:
    reason = attributes.get("reason")
    return f"the collector took no {key}" + (f": {_words(str(reason))}" if reason else "")


def _description(key: str, attributes: Attributes) -> str:
    return f"the device describes itself anew, as {key}"


def _shown(value: object) -> str:
    return "unknown" if value is None else str(value)


def _span(ms: float) -> str:
    """A time in its two largest units: ``1.5s``, ``1m30s``, ``2h00m``, ``3d04h``."""
    seconds = round(ms / 1000)
    for unit, name, part, part_name in _SPANS:
        if seconds >= unit:
            return f"{seconds // unit}{name}{seconds % unit // part:02}{part_name}"
    return f"{ms / 1000:.3g}s"


def _words(name: str) -> str:
    return name.replace("_", " ")


_SPANS = ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "m"), (60, "m", 1, "s"))

_SENTENCES: dict[str, Callable[[str, Attributes], str]] = {
    EventKind.STARTED: lambda key, attributes: "the agent has started",
    EventKind.STOPPED: lambda key, attributes: "the agent has stopped",
    EventKind.DESCRIPTION: _description,
    EventKind.LOSS: _loss,
    EventKind.SPOOL_QUARANTINED: lambda key, attributes: (
        f"the spool was damaged and is put aside as {attributes['file']} ({attributes['reason']}); a new one is begun"
    ),
    EventKind.SPOOL_UNWRITABLE: lambda key, attributes: (
        f"the spool cannot be written ({attributes['reason']}); windows are kept in memory"
    ),
    EventKind.SPOOL_RECOVERED: lambda key, attributes: "the spool can be written again",
    EventKind.JOURNAL_PUT_ASIDE: lambda key, attributes: (
        "the journal was damaged and is put aside; a new one is begun"
    ),
    EventKind.CLOCK_STEPPED: _clock_stepped,
    EventKind.RESUMED: lambda key, attributes: (
        f"the device woke after {_span(attributes['suspended_ms'])} of suspend"
    ),
    EventKind.ENGINE_DOWN: lambda key, attributes: f"{_engine(key)} is down",
    EventKind.ENGINE_UP: lambda key, attributes: f"{_engine(key)} is up",
    EventKind.ENGINE_RESTARTED: lambda key, attributes: f"{_engine(key)} was restarted",
    EventKind.ENGINE_CHANGED: _engine_changed,
    EventKind.FLAGGED: _flagged,
    EventKind.GUIDELINE_BROKEN: _guideline_broken,
    EventKind.SCORER_RESTARTED: _scorer_restarted,
    EventKind.SCORER_OVER_MEMORY: _scorer_over_memory,
    EventKind.SCORER_GAVE_UP: _scorer_gave_up,
    EventKind.SCORER_BACK: lambda key, attributes: "the scorer judges answers again",
    EventKind.SCORER_IMPAIRED: _scorer_impaired,
    EventKind.DUPLICATE_IDENTITY: lambda key, attributes: (
        "two machines use this device's id at the same time"
    ),
    EventKind.PARTIAL_OVERLAP: lambda key, attributes: (
        f"a {key} was told twice in different covers, and refused"
    ),
    EventKind.REJECTED: _rejected,
    EventKind.DEVICE_OFFLINE: lambda key, attributes: "the collector lost sight of this device",
    EventKind.DEVICE_ONLINE: lambda key, attributes: "the collector sees this device again",
}
