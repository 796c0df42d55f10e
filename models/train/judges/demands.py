"""What the project asks of its judges, and whether the figures of a run meet it."""

from __future__ import annotations

from typing import Any, NamedTuple

from . import bias

#: False positives of a group over those of all that count as equal treatment.
MOST_UNEQUAL = 1.5


class Asked(NamedTuple):
    """One demand of the project on its judges: `met` is None where this run could not measure it."""

    what: str
    target: str
    found: str
    met: bool | None


def demands(results: dict[str, Any]) -> list[Asked]:
    """Every demand, with what was found."""
    return [
        *_left_out(results.get("folds")),
        *_held_back(results),
        *_own(results),
        _int8(results.get("int8")),
        _ordinary(results.get("ordinary")),
        *_bias(results["bias"]),
        *_costs(results),
    ]


def _at_least(what: str, value: float | None, target: float, beside: str = "") -> Asked:
    found = "not measured" if value is None else f"{value:.3f}{beside}"
    return Asked(what, f">= {target:g}", found, None if value is None else value >= target)


def _left_out(folds: dict[str, Any] | None) -> list[Asked]:
    what = "toxic on sources left out, pooled: ROC-AUC above the floor"
    if folds is None or "toxic" not in folds["heads"]:
        return [
            Asked(what, ">= 0.04", "not measured", None),
            Asked("the same, sources won", ">= 9 of 10", "-", None),
        ]
    toxic = folds["heads"]["toxic"]
    found = []
    for name, how in (("pooled", ""), ("pooled, both", ", two-class ones")):
        row = toxic[name]
        best = row["encoder"] if row["combined"] is None else row["combined"]
        gain = best - row["floor"]
        found.append(
            Asked(what + how, ">= 0.04", f"{gain:+.3f} ({best:.3f} against {row['floor']:.3f})", gain >= 0.04)
        )
    share = toxic["won"] / toxic["of"] if toxic["of"] else 0.0
    found.append(
        Asked("the same, sources won", ">= 9 of 10", f"{toxic['won']} of {toxic['of']}", share >= 0.9)
    )
    return found


def _held_back(results: dict[str, Any]) -> list[Asked]:
    held = results.get("held", {}).get("judge", {})
    floor = results.get("held", {}).get("floor", {})
    parts = results.get("parts", {})

    def auc(figures: dict[str, Any], name: str) -> float | None:
        return figures[name]["roc_auc"] if name in figures else None

    def against(name: str) -> str:
        return f" (floor {floor[name]['roc_auc']:.3f})" if floor.get(name, {}).get("roc_auc") else ""

    def part(name: str) -> tuple[float | None, str]:
        figures = parts.get(name, {})
        below = auc(figures, "floor")
        return auc(figures, "judge"), "" if below is None else f" (floor {below:.3f})"

    return [
        _at_least(
            "toxic on held-back rows of seen sources: ROC-AUC", auc(held, "toxic"), 0.93, against("toxic")
        ),
        _at_least("refusal on held-back rows: ROC-AUC", auc(held, "refusal"), 0.98, against("refusal")),
        _at_least("degeneration on held-back rows: ROC-AUC", *_then(part("degeneration"), 0.98)),
        _at_least(
            "relevance with hard negatives, held-back rows: ROC-AUC",
            *_then(part("relevance, hard negatives"), 0.93),
        ),
    ]


def _then(found: tuple[float | None, str], target: float) -> tuple[float | None, float, str]:
    return found[0], target, found[1]


def _own(results: dict[str, Any]) -> list[Asked]:
    own = results["contrast"]["judge"]
    found = [
        _at_least(f"{head} on held-out templates: ROC-AUC", own[head]["roc_auc"], 0.90)
        for head in ("self_harm", "sexual", "violence")
    ]
    scores = {kind: row["judge"]["macro_f1"] for kind, row in results["kinds"].items()}
    missed = {kind: value for kind, value in scores.items() if value is None or value < 0.85}
    told = f"{len(scores) - len(missed)} of {len(scores)} kinds"
    if missed:
        told += "; not " + ", ".join(
            kind if value is None else f"{kind} {value:.2f}" for kind, value in missed.items()
        )
    return [*found, Asked("own contrast sets, macro-F1 in every kind", ">= 0.85", told, not missed)]


def _int8(int8: dict[str, Any] | None) -> Asked:
    what = "int8 against the float graph, ROC-AUC of every head, held-back rows"
    if not int8:
        return Asked(what, "within 0.005", "not measured", None)
    gaps = {head: abs(row["float"] - row["int8"]) for head, row in int8.items()}
    worst = max(gaps, key=gaps.__getitem__)
    return Asked(what, "within 0.005", f"{gaps[worst]:.4f} at most ({worst})", gaps[worst] <= 0.005)


def _ordinary(found: dict[str, Any] | None) -> Asked:
    what = "ordinary answers flagged toxic, per 1,000"
    if found is None:
        return Asked(what, "<= 2", "not measured", None)
    never, seen = found["judge"]["sources never read"], found["judge"]["seen sources"]
    told = f"{never['toxic']:.2f} of {never['answers']} of sources never read"
    told += f" ({seen['toxic']:.2f} of {seen['answers']} of those that set the thresholds)"
    return Asked(what, "<= 2", told, never["toxic"] <= 2)


def _bias(found: dict[str, Any]) -> list[Asked]:
    asked = []
    for head in ("toxic", "hate", "any harm"):
        table = found["judge"]["false_positives"]["neutral and positive"][head]
        over = bias.unequal(table, MOST_UNEQUAL)
        surely = [name for name in over if table["groups"][name]["by_chance"] < 0.01]
        told = f"{1000 * table['rate']:.1f} per 1,000 over all; beyond: {len(over)} of {len(table['groups'])} groups"
        told += f", {len(surely)} of them not by chance" if over else ""
        asked.append(
            Asked(
                f"false positives of {head} on mentions of a group, within 1.5 times",
                "every group",
                told,
                not over,
            )
        )
    return asked


def _costs(results: dict[str, Any]) -> list[Asked]:
    times, memory = results["milliseconds"], results["memory_mib"]["both tiers"]
    first, second = times["128 tokens"]["glance"]["p50"], times["128 tokens"]["judge"]["p50"]
    rate = results["answers_a_second"]
    sizes = {kind: size / 1e6 for kind, size in results["disk_bytes"].items()}
    return [
        Asked("tier 1, an answer of 128 tokens, one thread", "<= 0.3 ms", f"{first:.2f} ms", first <= 0.3),
        Asked("tier 2, an answer of 128 tokens, one thread", "<= 12 ms", f"{second:.1f} ms", second <= 12),
        Asked(
            "stonechat score --tier 2, answers of 32 tokens, two cores",
            ">= 150/s",
            "not measured" if rate is None else f"{rate:.0f}/s",
            None if rate is None else rate >= 150,
        ),
        Asked(
            "memory of a process with both tiers, PSS",
            "<= 90 MiB",
            "not measured" if memory is None else f"{memory['pss']:.1f} MiB",
            None if memory is None else memory["pss"] <= 90,
        ),
        Asked("tier 1 on disk", "<= 3 MB", f"{sizes['glance']:.1f} MB", sizes["glance"] <= 3),
        Asked("tier 2 on disk", "<= 24 MB", f"{sizes['judge']:.1f} MB", sizes["judge"] <= 24),
    ]
