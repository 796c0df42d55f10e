"""What is known of an engine by its own account, how it stands in the description, and what became different."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

MOST_MODELS = 8
"""Models of one engine in the description: those beyond it go, the longest known first."""


@dataclass(frozen=True, slots=True)
class Model:
    """One model that an engine has, or had, loaded. None means unknown."""

    name: str | None = None
    digest: str | None = None
    """``sha256:`` and 16 digits where the engine knows a hash of the model's file. ``id:`` and 16 digits where it does
    not (llama.cpp): a hash of the file's name, its size, its parameters, its type and its chat template. That tells
    two models apart, and not whether a file was altered in place without its size changing."""
    quantization: str | None = None
    context: int | None = None
    """Tokens of context that one request may use."""
    template: str | None = None
    """Hash of the chat template, 16 digits."""
    vram: int | None = None
    """Ten-thousandths of the model that lie in the GPU's memory."""

    def describe(self) -> dict[str, Any]:
        """What of it changes seldom. Where its layers lie is decided anew each time it is loaded: not in here."""
        found = {
            "digest": self.digest,
            "quantization": self.quantization,
            "context": self.context,
            "template": self.template,
        }
        return {key: value for key, value in found.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Facts:
    """An engine's account of itself. None means unknown."""

    kind: str = "unknown"
    """``llama.cpp``, ``ollama``, ``vllm``, ``lmstudio``, ``mlx`` or ``unknown``."""
    build: str | None = None
    slots: int | None = None
    """Requests that it serves at once."""
    models: tuple[Model, ...] = ()
    swaps: bool = False
    """Whether it loads and unloads models by itself, so that one that is not loaded now is not gone."""
    slots_readable: bool = False
    """Whether it tells which of its slots are busy."""
    sleeping: bool | None = None
    """Whether it has unloaded its model for want of work."""
    names: frozenset[str] = frozenset()
    """Names of all models that it lists, loaded or not: what it may be asked for, and what its answers may name."""
    loading: bool = False
    """It is up but has nothing to tell before its model is loaded."""

    def describe(self) -> dict[str, Any]:
        """The engine's entry in the description: plain values, what is unknown left out.

        ``kind``, ``build`` and ``slots``; of a single model ``model``, ``digest``, ``quantization``, ``context``
        (tokens a request) and ``template``; of several the same under ``models`` by name.
        """
        entry: dict[str, Any] = {"kind": self.kind}
        if self.build is not None:
            entry["build"] = self.build
        if self.slots is not None:
            entry["slots"] = self.slots
        if len(self.models) == 1:
            (model,) = self.models
            if model.name is not None:
                entry["model"] = model.name
            entry.update(model.describe())
        elif self.models:
            entry["models"] = {model.name or "other": model.describe() for model in self.models}
        return entry


def join(before: Facts | None, now: Facts) -> Facts:
    """Return what is known after ``now`` was told: models that an engine has merely unloaded stay known."""
    if before is None or not now.swaps or before.kind != now.kind:
        return now
    known = {model.name: model for model in before.models}
    for model in now.models:
        known.pop(model.name, None)
        known[model.name] = model
    return replace(now, models=tuple(known.values())[-MOST_MODELS:], names=before.names | now.names)


class Change(NamedTuple):
    """Something about an engine that is different from before. Values are identifiers or whole numbers."""

    what: str
    """``kind``, ``build``, ``slots``, ``model``, ``digest``, ``quantization``, ``context`` or ``template``."""
    before: str | int
    after: str | int
    model: str | None = None
    """The model that it is about, where the engine has several."""


_OF_ENGINE = ("kind", "build", "slots", "model", "digest", "quantization", "context", "template")
_OF_MODEL = ("digest", "quantization", "context", "template")


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """Return what changed between two entries of ``Facts.describe``.

    What was unknown before, or is now, has not changed; a model that is met for the first time has not either. So an
    empty list stands for "first learned".
    """
    found = list(_compared(_OF_ENGINE, before, after, None))
    old, new = _models(before), _models(after)
    for name in old:
        if name in new and not (name == before.get("model") == after.get("model")):
            found += _compared(_OF_MODEL, old[name], new[name], name)
    return found


def event_attributes(changed: Iterable[Change]) -> dict[str, str | int]:
    """Return changes as the attributes of an event: ``digest_before``, ``digest_after`` and so on, and ``model`` where
    they are about one of several. Of several models only the first is told in full."""
    attributes: dict[str, str | int] = {}
    for change in changed:
        if change.model is not None and attributes.setdefault("model", change.model) != change.model:
            continue
        attributes[f"{change.what}_before"] = change.before
        attributes[f"{change.what}_after"] = change.after
    return attributes


def _compared(
    keys: Iterable[str], before: Mapping[str, Any], after: Mapping[str, Any], model: str | None
) -> Iterable[Change]:
    for key in keys:
        old, new = before.get(key), after.get(key)
        if old is not None and new is not None and old != new:
            yield Change(key, old, new, model)


def _models(entry: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    models = entry.get("models")
    if isinstance(models, Mapping):
        return models
    name = entry.get("model")
    return {name: entry} if isinstance(name, str) else {}
