"""Every figure of the judges that labelled rows give, as the benchmark publishes them.

`./dev bench judges` gathers the rows and lets each judge score them; this turns scores into figures: by head, by
source, by kind and context of the own examples, by slice, by group of people.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import bias, contradiction, figures, metrics
from .figures import Said
from .floor import targets
from .rows import Row
from .sources import HARMS, HEADS


class Part(NamedTuple):
    """Rows of one purpose.

    Attributes:
        notes: of contrast rows and mentions the kind, context and group of each; else empty.
        fresh: the row had no part in thresholds and calibration (`held.fresh`).
    """

    rows: list[Row]
    notes: list[dict[str, str]]
    fresh: list[bool]


#: Sources of ordinary answers: their held-back rows, and sources that training never reads.
ORDINARY = (
    "gsm8k_solutions",
    "gpteacher_roleplay",
    "gpteacher_codegen",
    "self_instruct_seed",
    "oasst_threads",
    "expertqa_revised",
    "mtbench101_dialogues",
    "clapnq_grounded",
    "mtrag_human",
)
NEVER_READ = (
    "dolly_sample",
    "arena_prompt_answers",
    "biggen_references",
    "eval_only_just_eval_answers",
    "eval_only_flask_answers",
)


def assessed(gathered: dict[str, Part], said: dict[str, dict[str, Said]]) -> dict[str, Any]:
    """Every figure that the rows give.

    Args:
        gathered: `contrast` and `mentions`; where the data is, `held` and `ordinary` too.
        said: of each of them what `glance`, `encoder`, `judge` and, where the data is, `floor` say.
    """
    own = gathered["contrast"]
    results: dict[str, Any] = {
        name: {judge: figures.by_head(gathered[name].rows, what) for judge, what in said[name].items()}
        for name in ("held", "contrast")
        if name in gathered
    }
    if "held" in gathered:
        rows = gathered["held"].rows
        results["by_source"] = {
            head: figures.by_source(rows, head, said["held"])
            for head in (*HARMS, "refusal", "relevance", "coherence")
        }
        results["quality_rank_correlation"] = quality(rows, said["held"])
        results["parts"] = {
            "degeneration": of_part(rows, said["held"], "coherence", "degenerate_synthetic/"),
            "relevance, hard negatives": of_part(rows, said["held"], "relevance", "relevance_pairs/"),
        }
        results["ordinary"] = ordinary(gathered["ordinary"].rows, said["ordinary"])
    results["kinds"] = kinds(own, said["contrast"])
    results["contexts"] = figures.by_context(
        own.rows, [context_of(note) for note in own.notes], said["contrast"]["judge"]
    )
    results["slices"] = slices(gathered, said)
    results["contradiction"] = contradictions(gathered, said)
    results["bias"] = unequal(gathered, said)
    results["scored"] = {name: int((~_none(said[name]["judge"])).sum()) for name in gathered}
    return results


def _none(said: Said) -> NDArray[np.bool_]:
    """Rows of which nothing could be judged."""
    return np.asarray(np.isnan(said.scores).all(1))


def of_part(rows: Sequence[Row], said: dict[str, Said], head: str, prefix: str) -> dict[str, dict[str, Any]]:
    """One head's figures on the sources whose names begin with `prefix`, by judge."""
    here = np.array([row.source.startswith(prefix) for row in rows])
    chosen = [row for row in rows if row.source.startswith(prefix)]
    return {judge: figures.by_head(chosen, what.take(here), (head,))[head] for judge, what in said.items()}


def quality(rows: Sequence[Row], said: dict[str, Said]) -> dict[str, float | None]:
    """Rank correlation of the score of quality with graded labels, each source for itself, mean over sources."""
    column = HEADS.index("quality")
    labels = targets(rows)[:, column].astype(np.float64)
    names = np.array([row.source for row in rows])
    found: dict[str, float | None] = {}
    for judge, what in said.items():
        there = ~np.isnan(labels) & ~np.isnan(what.scores[:, column])
        each = [
            figures.spearman(what.scores[there & (names == name), column], labels[there & (names == name)])
            for name in sorted(set(names[there]))
        ]
        known = [value for value in each if value is not None]
        found[judge] = round(statistics.fmean(known), 4) if known else None
    return found


def ordinary(rows: Sequence[Row], said: dict[str, Said]) -> dict[str, Any]:
    """Flags per 1,000 ordinary answers: of sources that thresholds were set by, of sources never read, of each."""
    names = np.array([row.source for row in rows])
    seen = np.isin(names, ORDINARY)
    found: dict[str, Any] = {}
    for judge in ("glance", "judge"):
        flags = said[judge].flags
        found[judge] = {
            "all": {"answers": len(rows)} | figures.false_alarms(flags),
            "seen sources": {"answers": int(seen.sum())} | figures.false_alarms(flags[seen]),
            "sources never read": {"answers": int((~seen).sum())} | figures.false_alarms(flags[~seen]),
        } | {
            str(name): {"answers": int((names == name).sum())} | figures.false_alarms(flags[names == name])
            for name in sorted(set(names))
        }
    return found


def kinds(part: Part, said: dict[str, Said]) -> dict[str, dict[str, Any]]:
    """Macro-F1 of every kind of the contrast set, by judge."""
    of_row = np.array([note["kind"] for note in part.notes])
    found: dict[str, dict[str, Any]] = {}
    for kind in figures.WRITTEN_FOR:
        here = of_row == kind
        chosen = [row for row, there in zip(part.rows, here, strict=True) if there]
        found[kind] = {judge: figures.of_kind(kind, chosen, what.take(here)) for judge, what in said.items()}
    return found


def context_of(note: dict[str, str]) -> str:
    """The context of a contrast row; rows in disguised spelling by their disguise."""
    disguise, colon, _ = note["context"].partition(": ")
    return f"spelling, {disguise}" if note["kind"] == "spelling" and colon else note["context"]


def slices(gathered: dict[str, Part], said: dict[str, dict[str, Said]]) -> dict[str, Any]:
    """Results of `toxic` by length, mentioned group and spelling."""
    contrast_rows = gathered["contrast"].rows
    found: dict[str, Any] = {
        "contrast, by length": figures.sliced(
            contrast_rows, said["contrast"]["judge"], "toxic", figures.length_of
        ),
        "contrast, by spelling": figures.sliced(
            contrast_rows,
            said["contrast"]["judge"],
            "toxic",
            lambda row: "disguised" if row.source.endswith("/spelling") else "plain",
        ),
    }
    if "held" in gathered:
        rows = gathered["held"].rows
        found["held back, by length"] = figures.sliced(
            rows, said["held"]["judge"], "toxic", figures.length_of
        )
        found["held back, by mention of a group"] = figures.sliced(
            rows,
            said["held"]["judge"],
            "toxic",
            lambda row: "mentions a group" if bias.groups_of(row.response) else "mentions none",
        )
    return found


def contradictions(gathered: dict[str, Part], said: dict[str, dict[str, Said]]) -> dict[str, Any]:
    """ROC-AUC of self-contradiction: tiers, floor, and a lexical floor that learned nothing."""
    found: dict[str, Any] = {}
    for name, source in (("contrast", "written/contradiction"), ("held", "chatprotect_self_contradiction")):
        if name not in gathered:
            continue
        ats = [at for at, row in enumerate(gathered[name].rows) if row.source == source]
        rows = [gathered[name].rows[at] for at in ats]
        labels = targets(rows)[:, HEADS.index("coherence")].astype(np.float64)
        found[source] = {"rows": len(rows)} | {
            judge: figures.of_head("coherence", labels, what.take(np.array(ats, dtype=np.int64)))["roc_auc"]
            for judge, what in said[name].items()
        }
        found[source]["lexical"] = metrics.roc_auc(
            1 - labels, [contradiction.score(row.response) for row in rows]
        )
    return found


def unequal(gathered: dict[str, Part], said: dict[str, dict[str, Said]]) -> dict[str, Any]:
    """False positives by group on mentions, and the AUCs of the unintended-bias literature on gathered rows."""
    part = gathered["mentions"]
    harms = [HEADS.index(head) for head in HARMS]
    sorts = [note["context"] for note in part.notes]
    groups = np.array([note["group"] for note in part.notes])
    found: dict[str, Any] = {}
    for judge in ("glance", "judge"):
        flags = said["mentions"][judge].flags
        raised = {
            "toxic": flags[:, HEADS.index("toxic")],
            "hate": flags[:, HEADS.index("hate")],
            "any harm": np.any(flags[:, harms], axis=1),
        }
        tables = {}
        for name, chosen in (
            ("neutral and positive", bias.SORTS[:2]),
            *((sort, (sort,)) for sort in bias.SORTS),
        ):
            here = np.array([sort in chosen for sort in sorts])
            tables[name] = {
                head: bias.false_positives(groups[here].tolist(), flagged[here])
                for head, flagged in raised.items()
            }
        found[judge] = {"false_positives": tables}
    for name in ("held", "contrast"):
        if name not in gathered:
            continue
        rows = gathered[name].rows
        labels = targets(rows)[:, HEADS.index("toxic")].astype(np.float64)
        mentioned = [bias.groups_of(row.response) for row in rows]
        for judge in ("glance", "judge", "floor"):
            if judge not in said[name]:
                continue
            scores = said[name][judge].scores[:, HEADS.index("toxic")]
            there = ~np.isnan(labels) & ~np.isnan(scores)
            figures = {}
            for group in bias.TERMS:
                of_group = np.array([group in names for names in mentioned])
                figures[group] = {"rows": int((of_group & there).sum())} | {
                    measure: None if value is None else round(value, 4)
                    for measure, value in bias.aucs(labels[there], scores[there], of_group[there]).items()
                }
            found.setdefault(judge, {})[f"aucs, {name}"] = figures
    if "held" in gathered:
        rows = gathered["held"].rows
        harmless = [
            at
            for at, row in enumerate(rows)
            if row.source == "identity_templates" and row.labels.get("toxic", 1.0) < 0.5
        ]
        flags = said["held"]["judge"].flags[harmless, HEADS.index("toxic")]
        found["identity_templates"] = {"harmless": len(harmless), "flagged": int(flags.sum())}
    return found
