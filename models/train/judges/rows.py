"""Labelled rows in one shape: read, cleaned, without repetitions, and split so that nothing leaks.

`load` reads every permitted source into memory (some 200,000 rows, 0.5 GB). Three rules hold for what it returns:

- a text is labelled once: of two equal texts (`typography.fingerprint`, with the prompt for heads that depend on it)
  the later one keeps only heads that the earlier one does not know, and goes where none remain;
- rows of a pair, and rows that share a prompt, have one split, that of the most of them;
- rows of barred sources, and rows marked evaluation-only inside permitted ones, come only where they were asked for.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from . import typography
from .sources import EVALUATION_ONLY, HARMS, HEADS, OF_THE_PROMPT, SOURCES, Raw, Source

#: Beside the repository.
DEFAULT_DATA = Path(__file__).resolve().parents[4] / "shared" / "data"
#: Rows that no weight, threshold or calibration has seen: the held-back rows of seen sources.
HELD_BACK = frozenset({"dev", "test"})
SPLITS = ("train", "dev", "test", "eval_only")


class DataMissingError(Exception):
    """The data, or a file of it, is not where it was looked for; the message says what to do."""


@dataclass(frozen=True)
class Row:
    """One text to judge.

    Attributes:
        prompt: empty where there is none.
        response: the judged text; never empty.
        labels: a number in [0, 1] for each head that is known; a head that is absent is unknown.
        source: the file's name; `name/parent` for derived sources.
        family: sources left out of training together.
        split: train, dev, test or eval_only.
        pair: shared by rows that belong together, unique across sources; empty for single rows.
        weight: share of its source in an epoch.
        licence: of the source.
        barred: empty, or why the row never reaches shipped weights.
        answer: an assistant's answer, not a post or a request.
        prompt_groups: its prompt ties it to the rows with the same one.
    """

    prompt: str
    response: str
    labels: dict[str, float]
    source: str
    family: str
    split: str
    pair: str = ""
    weight: float = 1.0
    licence: str = ""
    barred: str = ""
    answer: bool = False
    prompt_groups: bool = True

    @property
    def alarming(self) -> bool:
        """Something that a judge should raise: a harm, a refusal, an answer beside the prompt or in pieces."""
        known = self.labels
        return any(known.get(head, 0.0) >= 0.5 for head in (*HARMS, "refusal")) or any(
            known.get(head, 1.0) < 0.5 for head in ("relevance", "coherence")
        )


@dataclass
class Loaded:
    """What `load` read.

    Attributes:
        rows: in the order of the table of sources, then of the file.
        duplicates: rows left out because an earlier row said all they say, by source.
        conflicts: labels left out because an earlier equal text has another one, by source.
        moved: rows whose split changed so that a pair or a prompt stays whole, by source.
    """

    rows: list[Row]
    duplicates: Counter[str] = field(default_factory=Counter)
    conflicts: Counter[str] = field(default_factory=Counter)
    moved: Counter[str] = field(default_factory=Counter)


def load(
    data: Path,
    *,
    sources: Sequence[Source] = SOURCES,
    include: frozenset[str] = frozenset(),
    unlabelled: bool = False,
    limit: int | None = None,
) -> Loaded:
    """Every permitted row of `sources`.

    Args:
        data: folder that holds the files of the table.
        include: bars of `sources.BARS` to lift. Weights trained on such rows must not be shipped (`shippable`).
        unlabelled: rows without a label too, for distillation and false alarms.
        limit: about so many rows of each file, always the same ones, pairs and prompts whole.

    Raises:
        DataMissingError: the folder or a file is not there.
    """
    found = Loaded([])
    if not unlabelled:
        sources = [source for source in sources if source.feeds]
    rows = read(data, sources=sources, include=include, limit=limit)
    if not unlabelled:
        rows = (row for row in rows if row.labels)
    found.rows = _kept_together(_without_repetitions(rows, found), found)
    return found


def shippable(rows: Iterable[Row]) -> None:
    """Return if weights trained on these rows may be shipped.

    Raises:
        ValueError: a row is barred or evaluation-only; the message names the sources.
    """
    wrong = sorted(
        {f"{row.source} ({row.barred or row.split})" for row in rows if row.barred or row.split != "train"}
    )
    if wrong:
        raise ValueError("rows that must not reach shipped weights: " + ", ".join(wrong))


def read(
    data: Path,
    *,
    sources: Sequence[Source] = SOURCES,
    include: frozenset[str] = frozenset(),
    limit: int | None = None,
) -> Iterator[Row]:
    """The rows of each file as they stand there: cleaned, but with repetitions and the file's own splits."""
    if not data.is_dir():
        raise DataMissingError(
            f"{data}: no such folder: the training data is not part of the repository; name its folder with --data"
        )
    parents = {source.name: source for source in SOURCES} | {source.name: source for source in sources}
    for source in sources:
        if source.barred and source.barred not in include:
            continue
        path = data / source.file
        if not path.is_file():
            raise DataMissingError(f"{path}: no such file, though the table of sources names it")
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for raw in _limited(map(json.loads, lines), source, limit):
                row = _row(raw, source, parents)
                if row is None or (row.barred and row.barred not in include):
                    continue
                if row.split == "eval_only" and EVALUATION_ONLY not in include:
                    continue
                yield row


def _limited(lines: Iterable[Raw], source: Source, limit: int | None) -> Iterable[Raw]:
    """About `limit` of the lines, those of a pair or a prompt all or none: the lowest by a hash of what ties them."""
    if limit is None:
        return lines
    held = list(lines)
    if len(held) <= limit:
        return held
    ties = (source.pair(raw) or str(raw.get("prompt") or raw.get("text", "")) for raw in held)
    marks = [zlib.crc32(tie.encode("utf-8", "replace")) for tie in ties]
    most = sorted(marks)[limit - 1]
    return (raw for raw, mark in zip(held, marks, strict=True) if mark <= most)


def _row(raw: Raw, source: Source, parents: dict[str, Source]) -> Row | None:
    labels = source.read(raw)
    judged: str = source.response(raw) if source.response else raw.get("response") or raw.get("text") or ""
    response = typography.clean(source.tidy(judged))
    if labels is None or not response:
        return None
    if not labels.keys() <= set(source.feeds):
        raise ValueError(
            f"{source.name}: labels {sorted(labels)} where the table says {sorted(source.feeds)}"
        )
    prompt = raw.get("prompt") or (raw.get("context", "") if source.context_is_prompt else "")
    pair = source.pair(raw)
    owner = parents[raw[source.parts]] if source.parts else source
    return Row(
        prompt=typography.clean(source.tidy(prompt)),
        response=response,
        labels=labels,
        source=f"{source.name}/{owner.name}" if source.parts else source.name,
        family=owner.family,
        split="eval_only" if source.barred == EVALUATION_ONLY else raw["split"],
        pair="" if pair is None else f"{source.name}:{pair}",
        weight=source.weight,
        licence=owner.licence,
        barred=source.barred or owner.barred,
        # A file of prompts with their answers holds both; what has no prompt field is judged as text.
        answer=source.kind == "answer" and "response" in raw,
        prompt_groups=source.prompt_groups,
    )


def key(*texts: str) -> bytes:
    """Sixteen bytes that equal texts share, whatever their case, spaces and punctuation."""
    digest = hashlib.blake2b(digest_size=16)
    for text in texts:
        digest.update(typography.fingerprint(text).encode("utf-8", "replace") + b"\0")
    return digest.digest()


def _without_repetitions(rows: Iterable[Row], found: Loaded) -> list[Row]:
    alone: dict[bytes, dict[str, float]] = defaultdict(dict)
    prompted: dict[bytes, dict[str, float]] = defaultdict(dict)
    kept = []
    for row in rows:
        known_alone = alone[key(row.response)]
        seen = key(row.prompt, row.response)
        repeated = seen in prompted
        known_prompted = prompted[seen]
        fresh = {}
        for head, value in row.labels.items():
            known = known_prompted if head in OF_THE_PROMPT else known_alone
            if head not in known:
                known[head] = fresh[head] = value
            elif abs(known[head] - value) >= 0.5:
                found.conflicts[row.source] += 1
        if not fresh and (row.labels or repeated):
            found.duplicates[row.source] += 1
            continue
        kept.append(row if len(fresh) == len(row.labels) else replace(row, labels=fresh))
    return kept


def groups(rows: Sequence[Row]) -> list[int]:
    """For each row the number of its group: rows tied by a pair or by a prompt, directly or through others."""
    parent = list(range(len(rows)))

    def root(at: int) -> int:
        while parent[at] != at:
            parent[at] = parent[parent[at]]
            at = parent[at]
        return at

    first: dict[tuple[str, object], int] = {}
    for at, row in enumerate(rows):
        ties: list[tuple[str, object]] = []
        if row.pair:
            ties.append(("pair", row.pair))
        if row.prompt and row.prompt_groups:
            ties.append(("prompt", key(row.prompt)))
        for tie in ties:
            other = first.setdefault(tie, at)
            a, b = root(at), root(other)
            parent[max(a, b)] = min(a, b)
    return [root(at) for at in range(len(rows))]


def _kept_together(rows: list[Row], found: Loaded) -> list[Row]:
    members: dict[int, list[int]] = defaultdict(list)
    for at, group in enumerate(groups(rows)):
        members[group].append(at)
    out = list(rows)
    for ats in members.values():
        votes = Counter(rows[at].split for at in ats if rows[at].split != "eval_only")
        if len(ats) == 1 or not votes:
            continue
        # What was set apart for measuring on its own stays apart, and takes the group out of training.
        if any(rows[at].split == "eval_only" for at in ats):
            votes.pop("train", None)
        most = max(sorted(votes), key=lambda split: votes[split]) if votes else "dev"
        for at in ats:
            if rows[at].split not in ("eval_only", most):
                out[at] = replace(rows[at], split=most)
                found.moved[rows[at].source] += 1
    return out


def known(row: Row) -> list[str]:
    """The heads of which the row says something, in the order of `HEADS`."""
    return [head for head in HEADS if head in row.labels]
