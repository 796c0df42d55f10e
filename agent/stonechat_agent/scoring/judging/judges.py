"""The judges: loads the models that there are, and makes verdicts of their logits."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from stonechat.errors import ConfigError, StonechatError
from stonechat_agent.scoring.judging.card import HEADS, TIERS, Card, Label, load
from stonechat_agent.scoring.tier0.languages import language
from stonechat_models import ModelError, model_path, read_card, shipped, verify

if TYPE_CHECKING:
    # numpy may be absent where onnxruntime is: then every model is refused with the reason, and nothing else fails.
    import numpy as np
    from numpy.typing import NDArray

    from stonechat_agent.scoring.judging.encoder import Encoder
    from stonechat_agent.scoring.judging.glance import Glance

Pairs = Sequence[tuple[str, str]]

PLACES = 4
"""Places of a score."""

_NEAR = 1.0
"""Distance in log-odds from a threshold within which a score is uncertain, where the card gives no bounds."""

_CLASSIFIER = "classifier"
_BLANK = " \t\n\r\v\f\u00a0\u200b\u200c\u200d\ufeff"
_MOST_FAULTS = 32


class NoModel(StonechatError):
    """A model that was asked for is not there, or was refused: `Judges.faults` says why."""


class Judged(NamedTuple):
    """What the models of a tier say of one answer."""

    scores: dict[str, float]
    """0 to 1 by head, to four places; only what could be judged."""
    withheld: dict[str, str]
    """Why the others have none, by head: `language`, `no_prompt`, `empty` or `failed`."""
    flags: tuple[str, ...]
    """Heads at their threshold or beyond it, in the order of `HEADS`."""
    tier: int


class Judges:
    """The models of tier 1 and 2, and those that were dropped in. Several threads may ask at once.

    Cards and checksums are looked at when it is made, a graph when its tier is first asked for. A model that cannot be
    used is refused with a reason in `faults`; the others go on. Scores of a refused one are withheld as `failed`.
    """

    def __init__(self, folders: Sequence[str | Path] = (), threads: int = 1) -> None:
        """
        Args:
            folders: models that were dropped in. One of kind `glance` or `judge` takes the place of the shipped one, as
                long as it can be used.
            threads: of each run.
        """
        self._threads = threads
        self._faults: list[str] = []
        self._lock = threading.RLock()
        self._cards: dict[str, Card] = {}
        self._models: dict[str, Glance | Encoder] = {}
        self._chosen: dict[str, str] = {}
        """By kind, the name of the glance and of the judge that are asked."""
        self._instead: dict[str, Card] = {}
        """By name of one that was dropped in, the one whose place it took."""
        self._shipped: set[Path] = set()
        for name in shipped():
            if read_card(name).get("kind") in TIERS:
                self._take(model_path(name), is_shipped=True)
        for folder in folders:
            self._take(Path(folder), is_shipped=False)

    @property
    def faults(self) -> tuple[str, ...]:
        """One sentence for each model that was refused, and for runs that failed; the latest come last."""
        return tuple(self._faults)

    @property
    def models(self) -> dict[str, str]:
        """Versions by name of the models that can be asked, as far as is known before their graphs are opened."""
        return {card.name: card.version for card in self._cards.values()}

    @property
    def cards(self) -> tuple[Card, ...]:
        """The cards of the same models."""
        return tuple(self._cards.values())

    @property
    def dimensions(self) -> int:
        """How many numbers `embed` gives of a text; 0 without a model for it."""
        glance = self._glance()
        return glance.dimensions if glance is not None else 0

    def models_of(self, tier: int) -> dict[str, str]:
        """Versions by name of the models whose word a verdict of this tier is. Opens their graphs."""
        glance, judge = self._glance(), self._judge() if tier > 1 else None
        if tier > 1 and judge is None:
            return {}
        asked = [judge, glance if tier == 1 or self._combines(judge, glance) else None]
        return {model.card.name: model.card.version for model in asked if model is not None}

    def glance(self, pairs: Pairs) -> list[Judged]:
        """Return tier 1's verdict on each (prompt, answer)."""
        glance = self._glance()
        if glance is None:
            return [_failed(HEADS, 1) for _ in pairs]

        def logits(chosen: Pairs) -> _Found:
            found = glance.run(chosen).logits
            return _Found([_calibrated(label, found[:, label.column]) for label in glance.card.labels], None)

        return self._verdicts(glance.card, 1, pairs, logits)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return tier 1's embedding of each text: float32, (texts, `dimensions`), length 1 (0 without a word).

        Raises:
            NoModel: there is no model of tier 1 that can be used, or it failed.
        """
        import numpy as np

        glance = self._glance()
        if glance is None:
            raise NoModel(
                "no model of tier 1 can be used: " + ("; ".join(self._faults) or "none is installed")
            )
        try:
            found = glance.run([("", text) for text in texts]).embedding
        except Exception as error:
            # Its kind alone, here and below: the message may quote what was judged, and faults are logged.
            self._fault(glance.card.name, type(error).__name__, what="failed")
            raise NoModel(self._faults[-1]) from error
        lengths = np.linalg.norm(found, axis=1, keepdims=True)
        return (found / np.where(lengths > 0, lengths, 1)).astype(np.float32)

    def judge(self, pairs: Pairs) -> list[Judged]:
        """Return tier 2's verdict on each (prompt, answer), tier 1's word included where the card weighs it."""
        judge, glance = self._judge(), self._glance()
        if judge is None:
            return [_failed(HEADS, 2) for _ in pairs]
        combines = self._combines(judge, glance)

        def logits(chosen: Pairs) -> _Found:
            own, windows = judge.run(chosen)
            columns: list[NDArray[np.floating[Any]]] = []
            of_glance = glance.run(chosen).logits if combines and glance is not None else None
            places = {label.name: label.column for label in glance.card.labels} if glance is not None else {}
            for label in judge.card.labels:
                weights = judge.card.combine.get(label.name)
                column = own[:, label.column]
                if weights is None or of_glance is None or label.name not in places:
                    columns.append(_calibrated(label, column))
                    continue
                other = of_glance[:, places[label.name]]
                columns.append(weights.judge * column + weights.glance * other + weights.shift)
            return _Found(columns, windows)

        return self._verdicts(judge.card, 2, pairs, logits)

    def classify(self, folder_name: str, pairs: Pairs) -> list[Judged]:
        """Return what a classifier that was dropped in says of each (prompt, answer).

        Args:
            folder_name: the name in its card, or that of its folder.

        Raises:
            NoModel: there is none of that name, or it was refused.
        """
        card = next(
            (
                c
                for c in self._cards.values()
                if c.kind == _CLASSIFIER and folder_name in (c.name, c.folder.name)
            ),
            None,
        )
        model = cast("Encoder | None", self._open(card.name)) if card is not None else None
        if card is None or model is None:
            raise NoModel(
                f"no classifier {folder_name!r} can be used: " + ("; ".join(self._faults) or "there is none")
            )

        def logits(chosen: Pairs) -> _Found:
            found, windows = model.run(chosen)
            return _Found([_calibrated(label, found[:, label.column]) for label in card.labels], windows)

        return self._verdicts(card, 2, pairs, logits)

    def is_uncertain(self, judged: Judged) -> bool:
        """Whether some score of a glance or a judge lies where its card says that it is not to be trusted.

        That is between the label's `uncertain` bounds; without them, near its threshold: within 1 in log-odds.
        """
        card = self._cards.get(self._chosen.get("glance" if judged.tier == 1 else "judge", ""))
        return card is not None and any(
            _is_uncertain(label, judged.scores[label.name])
            for label in card.labels
            if label.name in judged.scores
        )

    def unload(self, tier: int) -> None:
        """Let go of the open graphs of a tier; they are opened again when they are asked for."""
        with self._lock:
            for name in [name for name in self._models if self._cards[name].tier == tier]:
                del self._models[name]

    def open_all(self) -> None:
        """Open every graph now, so that `faults` and `models` are complete."""
        for name in list(self._cards):
            self._open(name)

    def _take(self, folder: Path, *, is_shipped: bool) -> None:
        try:
            card = load(folder)
            verify(folder)
        except (ModelError, ConfigError) as error:
            self._fault(str(folder), str(error))
            return
        before = self._cards.pop(self._chosen.get(card.kind, ""), None)
        if card.name in self._cards:
            taken = self._cards[card.name].folder
            self._fault(
                str(folder), f"its name, {card.name!r}, is that of the model in {taken}; give it another one"
            )
            if before is not None:
                self._cards[before.name] = before
            return
        self._cards[card.name] = card
        if before is not None:
            self._instead[card.name] = before
        if card.kind != _CLASSIFIER:
            self._chosen[card.kind] = card.name
        if is_shipped:
            self._shipped.add(card.folder)

    def _glance(self) -> Glance | None:
        return cast("Glance | None", self._open(self._chosen.get("glance", "")))

    def _judge(self) -> Encoder | None:
        return cast("Encoder | None", self._open(self._chosen.get("judge", "")))

    def _open(self, name: str) -> Glance | Encoder | None:
        with self._lock:
            model, card = self._models.get(name), self._cards.get(name)
            if model is not None or card is None:
                return model
            try:
                model = opened(card, self._threads)
            # Whatever a file of strangers makes of the libraries that read it, the other models go on.
            except Exception as error:
                self._fault(f"{card.name} ({card.folder})", _reason(error))
                del self._cards[name]
                before = self._instead.pop(name, None)
                if before is None:
                    return None
                self._cards[before.name] = before
                self._chosen[before.kind] = before.name
                return self._open(before.name)
            self._models[name] = model
            return model

    def _combines(self, judge: Encoder | None, glance: Glance | None) -> bool:
        """Whether the judge's weights are those of this glance: models that came together were trained together."""
        if judge is None or glance is None or not judge.card.combine:
            return False
        return (judge.card.folder in self._shipped) == (glance.card.folder in self._shipped)

    def _verdicts(self, card: Card, tier: int, pairs: Pairs, run: Callable[[Pairs], _Found]) -> list[Judged]:
        names = [label.name for label in card.labels]
        results = [_withheld(card, prompt_answer[1], names, tier) for prompt_answer in pairs]
        left = [place for place, result in enumerate(results) if result is None]
        if left:
            chosen = [pairs[place] for place in left]
            try:
                found = run(chosen)
            except Exception as error:
                self._fault(card.name, type(error).__name__, what="failed")
                return [result or _failed(names, tier) for result in results]
            for row, place in enumerate(left):
                results[place] = _judged(
                    card, tier, found, row, has_prompt=bool(chosen[row][0].strip(_BLANK))
                )
        return [result for result in results if result is not None]

    def _fault(self, what_of: str, reason: str, what: str = "refused") -> None:
        sentence = f"model {what_of} {what}: " + " ".join(reason.split())
        if sentence not in self._faults and len(self._faults) < _MOST_FAULTS:
            self._faults.append(sentence)


class _Found(NamedTuple):
    """Log-odds of each label, (pairs,), and how many windows each pair had, where there are windows."""

    columns: list[NDArray[np.floating[Any]]]
    windows: NDArray[np.int64] | None


def opened(card: Card, threads: int) -> Glance | Encoder:
    """Open the model of a card, which has been verified.

    Raises:
        Exception: of whichever library cannot use it; the message says why.
    """
    if card.kind == "glance":
        from stonechat_agent.scoring.judging.glance import Glance

        return Glance(card, threads)
    from stonechat_agent.scoring.judging.encoder import Encoder

    return Encoder(card, threads)


def _reason(error: Exception) -> str:
    if isinstance(error, ImportError):
        return f"it needs a package that cannot be imported: {error}; install stonechat with its dependencies"
    return str(error) or type(error).__name__


def _calibrated(label: Label, column: NDArray[np.float32]) -> NDArray[np.float32]:
    return label.scale * column + label.shift


def _withheld(card: Card, answer: str, names: Sequence[str], tier: int) -> Judged | None:
    """Why an answer cannot be judged at all, or None. A language that is not certain counts as one of the card's."""
    if not answer.strip(_BLANK):
        return Judged({}, dict.fromkeys(names, "empty"), (), tier)
    if card.languages and (spoken := language(answer)) is not None and spoken not in card.languages:
        return Judged({}, dict.fromkeys(names, "language"), (), tier)
    return None


def _failed(names: Sequence[str], tier: int) -> Judged:
    return Judged({}, dict.fromkeys(names, "failed"), (), tier)


def _judged(card: Card, tier: int, found: _Found, row: int, *, has_prompt: bool) -> Judged:
    if found.windows is not None and not found.windows[row]:
        return Judged({}, {label.name: "empty" for label in card.labels}, (), tier)
    scores: dict[str, float] = {}
    withheld: dict[str, str] = {}
    flags = []
    for label, column in zip(card.labels, found.columns, strict=True):
        odds = float(column[row])
        if label.needs_prompt and not has_prompt:
            withheld[label.name] = "no_prompt"
        elif not math.isfinite(odds):
            withheld[label.name] = "failed"
        else:
            scores[label.name] = score = round(_sigmoid(odds), PLACES)
            if label.flags(score):
                flags.append(label.name)
    flags.sort(key=_rank)
    return Judged({name: scores[name] for name in sorted(scores, key=_rank)}, withheld, tuple(flags), tier)


def _rank(name: str) -> int:
    """The place of a head in the order of all; a classifier's own labels keep theirs."""
    return HEADS.index(name) if name in HEADS else len(HEADS)


def _sigmoid(odds: float) -> float:
    return 1 / (1 + math.exp(-max(-700.0, min(700.0, odds))))


def _is_uncertain(label: Label, score: float) -> bool:
    if label.uncertain is not None:
        return label.uncertain[0] <= score <= label.uncertain[1]
    return label.threshold is not None and abs(_log_odds(score) - _log_odds(label.threshold)) < _NEAR


def _log_odds(share: float) -> float:
    share = min(max(share, 1e-6), 1 - 1e-6)
    return math.log(share / (1 - share))
