"""Holds answers to guidelines: by patterns, by what sentences are about, and by classifiers that were dropped in.

It runs in the process of the worker, where the judges are. Nothing that it returns or reports holds a text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from stonechat_agent.patterns import Patterns
from stonechat_agent.privacy.folding import Folded
from stonechat_agent.scoring.guidelines.sentences import sentences
from stonechat_agent.scoring.tier0.texts import bounded
from stonechat_agent.settings import Guideline

THRESHOLD = 0.5
"""A score of this or more is a broken guideline, as with the checks of tier 0."""

_QUOTES = {0x2018: "'", 0x2019: "'", 0x201C: '"', 0x201D: '"'}


class Judged(Protocol):
    """What a model says of an answer: scores by label, and why others have none."""

    @property
    def scores(self) -> dict[str, float]: ...
    @property
    def withheld(self) -> dict[str, str]: ...


class Judges(Protocol):
    """The models that guidelines ask. Both methods may raise where a model cannot be used."""

    def embed(self, texts: Sequence[str]) -> Any:
        """Return an array, (texts, numbers), whose rows have length 1."""
        ...

    def classify(self, folder_name: str, pairs: Sequence[tuple[str, str]]) -> Sequence[Judged]:
        """Return what the model of a folder says of each (prompt, answer)."""
        ...


class Checked(NamedTuple):
    """How an answer does by one guideline."""

    name: str
    score: float
    """0 to 1, to three places: `THRESHOLD` or more is broken."""
    broken: bool
    why: str
    """What broke it: ``forbidden:2`` is the second pattern of ``forbidden``, and so with ``required`` and ``examples``;
    ``model``; "" where it is not broken. An identifier, never a text."""


class _Reason(NamedTuple):
    score: float
    why: str


class Guidelines:
    """Holds answers to guidelines. Any of a guideline's ways of being broken breaks it; its score is the highest.

    A way that cannot be tried gives nothing: a pattern that was too slow is off from then on, a model may be absent or
    not know the language. `faults` says so. A guideline of which no way could be tried is not checked, which is not the
    same as kept.
    """

    def __init__(self, guidelines: Sequence[Guideline]) -> None:
        """
        Raises:
            re.error: a pattern is none; settings that were loaded have been checked for that.
        """
        self._guidelines = tuple(guidelines)
        patterns = {}
        for guideline in self._guidelines:
            for way, number, pattern in _patterns(guideline):
                patterns[f"{guideline.name} {way}:{number}"] = pattern
        self._patterns = Patterns(patterns)
        self._examples = [text for guideline in self._guidelines for text in guideline.examples]
        self._embedded: tuple[object, Any, Any] | None = None
        self._faults: dict[str, None] = {}

    @property
    def faults(self) -> tuple[str, ...]:
        """One sentence for each way that is off or could not be tried, in the order in which they were met."""
        return tuple(self._faults)

    def check(
        self, prompt: str, answer: str, judges: Judges | None = None, *, complete: bool = True
    ) -> list[Checked]:
        """Return how an answer does by each guideline that applies and could be checked, in their order.

        Args:
            prompt: "" where it is not known; then nothing that is bound to prompts applies.
            judges: None where no model can be asked; then examples and models break nothing.
            complete: whether the answer ended by itself. One that was cut or broken off breaks no ``required``.
        """
        if not answer.strip():
            return []
        texts, asked = _forms(answer), _forms(prompt)
        models: dict[str, Judged | None] = {}
        similar = self._similar(answer, judges)
        first = 0
        checked = []
        for guideline in self._guidelines:
            own = slice(first, first := first + len(guideline.examples))
            if guideline.applies_to and not self._found(f"{guideline.name} applies_to:1", asked):
                continue
            reasons = [
                *self._by_patterns(guideline, texts, complete),
                *(
                    _Reason(_scaled(cosine, guideline.similarity), f"examples:{number}")
                    for number, cosine in enumerate(similar[own] if similar else (), 1)
                ),
                *self._by_model(guideline, prompt, answer, judges, models),
            ]
            if reasons:
                score, why = max(reasons, key=lambda reason: reason.score)  # of equals the first
                broken = score >= THRESHOLD
                checked.append(Checked(guideline.name, score, broken, why if broken else ""))
        return checked

    def _by_patterns(self, guideline: Guideline, texts: list[str], complete: bool) -> Iterator[_Reason]:
        for number in range(1, len(guideline.forbidden) + 1):
            why = f"forbidden:{number}"
            found = self._found(f"{guideline.name} {why}", texts)
            if found is not None:
                yield _Reason(float(found), why)
                if found:
                    return  # none of the rest can change more than the reason
        for number in range(1, len(guideline.required) + 1 if complete else 1):
            why = f"required:{number}"
            found = self._found(f"{guideline.name} {why}", texts)
            if found is not None:
                yield _Reason(float(not found), why)

    def _found(self, name: str, texts: list[str]) -> bool | None:
        for text in texts:
            found = self._patterns.found(name, text)
            if found is None:
                guideline, _, way = name.partition(" ")
                self._fault(f"guideline {guideline}: {way} is off: it took too long for a text")
                return None
            if found:
                return True
        return False

    def _similar(self, answer: str, judges: Judges | None) -> list[float] | None:
        """Return, for each example of all guidelines in their order, how similar the sentence is that is nearest.

        1 is the same, 0 no nearer than the nearest of `ordinary.txt`: cosines by themselves mean another thing with
        each version of a model.
        """
        said = sentences(answer) if self._examples and judges is not None else []
        if not said or judges is None:
            return None
        try:
            # The judges as part of the key: other ones embed otherwise.
            if self._embedded is None or self._embedded[0] is not judges:
                self._embedded = judges, *_embedded(self._examples, judges)
            _, examples, usual = self._embedded
            cosines = (examples @ judges.embed(said).T).max(axis=1)
            return [
                float((cosine - least) / (1 - least)) for cosine, least in zip(cosines, usual, strict=True)
            ]
        except Exception as error:  # a model that cannot be used must not stop the patterns
            self._fault(f"examples of guidelines are not compared: {type(error).__name__}")
            return None

    def _by_model(
        self,
        guideline: Guideline,
        prompt: str,
        answer: str,
        judges: Judges | None,
        models: dict[str, Judged | None],
    ) -> Iterator[_Reason]:
        name = guideline.model
        if not name or judges is None:
            return
        if name not in models:
            try:
                (models[name],) = judges.classify(name, [(prompt, answer)])
            except Exception as error:  # as above
                models[name] = None
                self._fault(f"model {name} of guideline {guideline.name} is not used: {type(error).__name__}")
        judged = models[name]
        if judged is None:
            return
        if guideline.label in judged.scores:
            yield _Reason(_scaled(judged.scores[guideline.label], guideline.threshold), "model")
        elif guideline.label not in judged.withheld:
            self._fault(f"model {name} of guideline {guideline.name} has no label {guideline.label}")

    def _fault(self, sentence: str) -> None:
        self._faults.setdefault(sentence)


def _embedded(examples: Sequence[str], judges: Judges) -> tuple[Any, Any]:
    """Return the embeddings of examples, and of each the cosine of the ordinary sentence that is nearest, below 1."""
    embedded = judges.embed(examples)
    ordinary = judges.embed((Path(__file__).parent / "ordinary.txt").read_text("utf-8").splitlines())
    # An example that is itself an ordinary sentence is still met by its own words.
    return embedded, (embedded @ ordinary.T).max(axis=1).clip(0.0, 0.99)


def _patterns(guideline: Guideline) -> Iterator[tuple[str, int, str]]:
    for way in ("forbidden", "required"):
        for number, pattern in enumerate(getattr(guideline, way), 1):
            yield way, number, pattern
    if guideline.applies_to:
        yield "applies_to", 1, guideline.applies_to


def _forms(text: str) -> list[str]:
    """Return a text as patterns see it: as it is and, if that differs, in plain spaces, digits, hyphens and quotes."""
    text = bounded(text)
    plain = Folded(text).text
    if not plain.isascii():
        plain = plain.translate(_QUOTES)
    return [text] if plain == text else [text, plain]


def _scaled(value: float, threshold: float) -> float:
    """Return a value in [0, 1], to three places, with its threshold at `THRESHOLD`."""
    value = min(1.0, max(0.0, value))
    if value < threshold:
        # Rounding must not lift it to what breaks.
        return min(round(THRESHOLD * value / threshold, 3), THRESHOLD - 0.001)
    return round(
        1.0 if threshold >= 1 else THRESHOLD + (1 - THRESHOLD) * (value - threshold) / (1 - threshold), 3
    )
