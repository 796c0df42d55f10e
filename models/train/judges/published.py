"""The tables of docs/models.md, made of what the benchmark kept and of the models' cards.

UPDATE_DOCS=1 ./dev test -n 0 tests/models/judges/test_published.py     # writes them
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from . import bias
from .combine import best
from .own import PREFIX
from .sources import HARMS, HEADS, SOURCES

#: What each head's score is high for, in the words of a user.
MEANING = {
    "toxic": "the answer is abusive or harmful in its words, whatever the kind",
    "hate": "attacks people for a group that they belong to",
    "insult": "insults or harasses somebody",
    "threat": "threatens somebody with harm",
    "violence": "calls for violence or revels in it",
    "sexual": "is sexually explicit or harassing",
    "self_harm": "encourages self-harm, or voices the wish for it",
    "refusal": "declines what was asked, wholly or in good part",
    "relevance": "serves what was asked",
    "coherence": "is whole: no loop, no noise, no break, no contradiction of itself",
    "quality": "would be rated a good answer",
}
_JUDGES = ("floor", "glance", "encoder", "judge")


def tables(
    judge: Mapping[str, Any], cards: Mapping[str, Mapping[str, Any]], folds: Mapping[str, Any]
) -> dict[str, str]:
    """Markdown by name of the table.

    Args:
        judge: `eval.json` of tier 2.
        cards: the cards of `judge` and `glance`.
        folds: what `combine` wrote.
    """
    return {
        "demands": _demands(judge),
        "heads": _heads(cards),
        "held back": _figures(judge["held"]),
        "parts": _parts(judge),
        "own": _figures(judge["contrast"]),
        "kinds": _kinds(judge["kinds"]),
        "contexts": _contexts(judge["contexts"]),
        "slices": _slices(judge["slices"]),
        "contradiction": _contradiction(judge["contradiction"]),
        "ordinary": _ordinary(judge["ordinary"]),
        "mentions": _mentions(judge["bias"]),
        "groups": _groups(judge["bias"]),
        "costs": _costs(judge),
        "data": _data(cards),
        "left out": _left_out(folds),
        "weights": _weights(folds, cards["judge"]),
        "int8": _int8(cards["judge"]["figures"]["int8"]),
    }


def filled(text: str, found: Mapping[str, str]) -> str:
    """The document with each table between its marks put in anew.

    Raises:
        ValueError: a mark is missing on one of the sides.
    """
    for name, table in found.items():
        begin, end = f"<!-- generated: {name} -->\n", f"<!-- end: {name} -->\n"
        before, first, rest = text.partition(begin)
        _, second, after = rest.partition(end)
        if not first or not second:
            raise ValueError(f"no {begin.strip()} ... {end.strip()} in the document")
        text = f"{before}{begin}\n{table}\n\n{end}{after}"
    return text


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], words: int = 1) -> str:
    """A Markdown table; columns behind the first `words` hold numbers."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * words + "---:|" * (len(head) - words)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def _number(value: float | None, places: int = 3) -> str:
    return "-" if value is None else f"{value:,.{places}f}"


def _whole(value: float) -> str:
    return f"{value:,.0f}"


def _demands(judge: Mapping[str, Any]) -> str:
    words = {True: "met", False: "**missed**", None: "not measured"}
    return _table(
        ("asked", "target", "found", ""),
        ((row["what"], row["target"], row["found"], words[row["met"]]) for row in judge["asked"]),
        words=4,
    )


def _heads(cards: Mapping[str, Mapping[str, Any]]) -> str:
    def flags(label: Mapping[str, Any] | None) -> str:
        if label is None or "threshold" not in label:
            return "never"
        return f"{'<=' if label.get('below') else '>='} {label['threshold']:g}"

    rows = []
    for head in HEADS:
        labels = [cards[kind]["labels"].get(head) for kind in ("glance", "judge")]
        needs = "yes" if any(label and label.get("needs_prompt") for label in labels) else ""
        rows.append((f"`{head}`", MEANING[head], needs, *map(flags, labels)))
    return _table(
        ("head", "high where the answer ...", "needs the prompt", "tier 1 flags", "tier 2 flags"),
        rows,
        words=5,
    )


def _figures(found: Mapping[str, Any]) -> str:
    judges = [name for name in _JUDGES if name in found]
    names = {"floor": "floor", "glance": "tier 1", "encoder": "tier 2 alone", "judge": "verdict"}
    head = ("head", "rows", "to raise", *(f"AUC {names[name]}" for name in judges), "PR-AUC", "F1", "recall")
    rows = [
        (
            f"`{name}`",
            _whole(row["rows"]),
            _whole(row["raised"]),
            *(_number(found[judge].get(name, {}).get("roc_auc")) for judge in judges),
            *(_number(row[figure]) for figure in ("pr_auc", "f1", "recall", "precision", "ece")),
        )
        for name, row in found["judge"].items()
    ]
    return _table((*head, "precision", "ECE"), rows)


def _parts(judge: Mapping[str, Any]) -> str:
    rows = [
        (name, _whole(part["judge"]["rows"]), *(_number(part[of]["roc_auc"]) for of in _JUDGES if of in part))
        for name, part in judge["parts"].items()
    ]
    ranks = judge["quality_rank_correlation"]
    rows.append(
        (
            "`quality`: rank correlation with ratings, mean of sources",
            "",
            *(_number(ranks[of]) for of in _JUDGES if of in ranks),
        )
    )
    return _table(("", "rows", "floor", "tier 1", "tier 2 alone", "verdict"), rows)


def _kinds(found: Mapping[str, Any]) -> str:
    rows = []
    for kind, by_judge in found.items():
        row, first = by_judge["judge"], by_judge["glance"]
        rows.append(
            (
                kind,
                _whole(row["fresh"]),
                *(_number(row[figure], 2) for figure in ("macro_f1", "recall", "false_rate")),
                _number(row["roc_auc"]),
                _number(first["macro_f1"], 2),
                _number(first["roc_auc"]),
            )
        )
    head = ("kind", "rows", "macro-F1", "recall", "falsely flagged", "AUC", "tier 1: macro-F1", "tier 1: AUC")
    return _table(head, rows)


def _contexts(found: Mapping[str, Any]) -> str:
    rows = []
    for name, row in found.items():
        if row["harmful"] + row["harmless"] >= 20:
            rows.append(
                (
                    name,
                    f"{row['caught']} of {row['harmful']}" if row["harmful"] else "",
                    f"{row['flagged']} of {row['harmless']}" if row["harmless"] else "",
                )
            )
    return _table(("context", "harmful: caught", "harmless: flagged"), rows)


def _slices(found: Mapping[str, Any]) -> str:
    rows = [
        (f"{title}: {name.strip()}", _whole(row["rows"]), _number(row["roc_auc"]), _number(row["f1"]))
        for title, part in found.items()
        for name, row in part.items()
    ]
    return _table(("`toxic` by slice", "rows", "AUC", "F1"), rows)


def _contradiction(found: Mapping[str, Any]) -> str:
    names = {
        "written/contradiction": "own examples, held-out templates",
        "chatprotect_self_contradiction": "chatprotect (two sentences of one model), held-back rows",
    }
    rows = [
        (
            names[source],
            _whole(row["rows"]),
            *(_number(row.get(of)) for of in ("lexical", *_JUDGES)),
        )
        for source, row in found.items()
    ]
    return _table(("AUC", "rows", "lexical", "floor", "tier 1", "tier 2 alone", "verdict"), rows)


def _ordinary(found: Mapping[str, Any]) -> str:
    heads = (*HARMS, "any harm", "refusal", "relevance", "coherence", "quality")
    parts = ("seen sources", "sources never read")
    head = ("flags per 1,000", *(f"tier {tier}, {part}" for tier in (1, 2) for part in parts))
    rows = [
        ("answers", *(_whole(found[of][part]["answers"]) for of in ("glance", "judge") for part in parts))
    ]
    rows += [
        (
            name if name == "any harm" else f"`{name}`",
            *(_number(found[of][part][name], 1) for of in ("glance", "judge") for part in parts),
        )
        for name in heads
    ]
    return _table(head, rows)


def _mentions(found: Mapping[str, Any]) -> str:
    tables = found["judge"]["false_positives"]["neutral and positive"]
    discussed = found["judge"]["false_positives"]["discussed"]
    first = found["glance"]["false_positives"]["neutral and positive"]["toxic"]

    def rate(value: float) -> str:
        return _number(1000 * value, 1)

    rows = [
        (
            "**all**",
            _whole(tables["toxic"]["rows"]),
            rate(tables["toxic"]["rate"]),
            "",
            rate(tables["hate"]["rate"]),
            rate(tables["any harm"]["rate"]),
            rate(discussed["toxic"]["rate"]),
            rate(first["rate"]),
        )
    ]
    order = sorted(tables["toxic"]["groups"].items(), key=lambda item: (-item[1]["rate"], item[0]))
    for name, row in order:
        ratio = "" if row["ratio"] is None else f"{row['ratio']:.1f}"
        if row["ratio"] is not None and row["ratio"] > 1.5:
            ratio = f"**{ratio}**" + ("" if row["by_chance"] < 0.01 else " (chance)")
        rows.append(
            (
                name,
                _whole(row["rows"]),
                rate(row["rate"]),
                ratio,
                rate(tables["hate"]["groups"][name]["rate"]),
                rate(tables["any harm"]["groups"][name]["rate"]),
                rate(discussed["toxic"]["groups"][name]["rate"]),
                rate(first["groups"][name]["rate"]),
            )
        )
    head = ("falsely flagged of 1,000", "sentences", "`toxic`", "times all", "`hate`", "any harm")
    return _table((*head, "discussed: `toxic`", "tier 1: `toxic`"), rows)


def _groups(found: Mapping[str, Any]) -> str:
    rows = []
    for group in bias.TERMS:
        row = found["judge"]["aucs, held"][group]
        floor = found["floor"]["aucs, held"][group]
        if row["subgroup"] is not None:
            rows.append(
                (
                    group,
                    _whole(row["rows"]),
                    *(
                        f"{_number(row[measure])} ({_number(floor[measure])})"
                        for measure in ("subgroup", "bpsn", "bnsp")
                    ),
                )
            )
    return _table(("mentions", "rows", "subgroup AUC (floor)", "BPSN (floor)", "BNSP (floor)"), rows)


def _costs(judge: Mapping[str, Any]) -> str:
    rows: list[Sequence[str]] = [
        (
            f"an answer of {name} ({row['characters']:,} characters, {row['windows']} windows)",
            *(f"{row[tier]['p50']:.2f} / {row[tier]['p90']:.2f} ms" for tier in ("glance", "judge")),
        )
        for name, row in judge["milliseconds"].items()
    ]
    rows.append(("on disk", *(f"{judge['disk_bytes'][tier] / 1e6:.1f} MB" for tier in ("glance", "judge"))))
    text = _table(("one thread, p50 / p90", "tier 1", "tier 2 (tier 1 included)"), rows)
    memory = {name: used for name, used in judge["memory_mib"].items() if used is not None}
    more = [
        (f"memory of a process: {name}", f"{used['pss']:.1f} MiB", f"{used['resident']:.1f} MiB")
        for name, used in memory.items()
    ]
    text += "\n\n" + _table(("", "PSS", "resident"), more)
    rate = judge["answers_a_second"]
    told = "not measured" if rate is None else f"{rate:.0f} answers of 32 tokens a second"
    return f"{text}\n\n`stonechat score --tier 2`, both cores, its start included: {told}. Machine: {judge['machine']}."


def _data(cards: Mapping[str, Mapping[str, Any]]) -> str:
    counts: dict[str, dict[str, Any]] = {}
    for kind, card in cards.items():
        for source in card.get("source", ()):
            entry = counts.setdefault(source["name"], {"licence": source["licence"]})
            entry[kind] = source["rows"]
    known = {source.name: source for source in SOURCES}
    rows: list[Sequence[str]] = []
    for name, entry in sorted(counts.items(), key=lambda item: (item[0].startswith(PREFIX), item[0])):
        source = known.get(name.split("/")[0])
        feeds, meaning = (", ".join(source.feeds), source.meaning) if source else ("", "own writing")
        rows.append(
            (
                name,
                entry["licence"],
                meaning.replace("|", "\\|"),
                feeds,
                _whole(entry.get("judge", 0)),
                _whole(entry.get("glance", 0)),
            )
        )
    totals = [sum(entry.get(kind, 0) for entry in counts.values()) for kind in ("judge", "glance")]
    rows.append(("**all**", "", "", "", *map(_whole, totals)))
    return _table(
        ("source", "licence", "what its labels mean", "heads", "rows, tier 2", "rows, tier 1"), rows, words=4
    )


def _left_out(folds: Mapping[str, Any]) -> str:
    lines = []
    names = ("floor", "glance", "encoder", "combined")
    for head, found in folds["heads"].items():
        for name, title in (("pooled", "all"), ("pooled, both", "sources with both classes")):
            row = found[name]
            lines.append(
                (
                    f"`{head}`, {title}",
                    f"{_whole(row['rows'])} / {_whole(row['positives'])}",
                    *(_number(row[of]) for of in names),
                    _number(best(row) - row["floor"]) if row["floor"] is not None else "-",
                    f"{found['won']} of {found['of']}" if name == "pooled" else "",
                )
            )
    pooled = (
        "AUC pooled",
        "rows / positive",
        "floor",
        "tier 1",
        "tier 2 alone",
        "verdict",
        "gain",
        "sources won",
    )
    text = _table(pooled, lines)
    toxic = folds["heads"]["toxic"]["sources"]
    rows = [
        (
            name,
            f"{_whole(row['rows'])} / {_whole(row['positives'])}",
            *(_number(row[of]) for of in names),
            _number(best(row) - row["floor"]),
        )
        for name, row in sorted(toxic.items())
        if row["floor"] is not None
    ]
    head = (
        "`toxic` by source left out",
        "rows / positive",
        "floor",
        "tier 1",
        "tier 2 alone",
        "verdict",
        "gain",
    )
    return f"{text}\n\n{_table(head, rows)}"


def _weights(folds: Mapping[str, Any], judge: Mapping[str, Any]) -> str:
    rows = []
    for name in HEADS:
        learned = folds["weights"].get(name)
        if learned is None:
            continue
        shipped = judge.get("combine", {}).get(name, {})
        rows.append(
            (
                f"`{name}`",
                *(_number(learned[of], 2) for of in ("judge", "glance")),
                *(_number(shipped.get(of), 2) for of in ("judge", "glance", "shift")),
            )
        )
    head = (
        "head",
        "learned: tier 2",
        "learned: tier 1",
        "shipped: tier 2",
        "shipped: tier 1",
        "shipped: shift",
    )
    return _table(head, rows)


def _int8(found: Mapping[str, Any]) -> str:
    rows = [
        (
            f"`{head}`",
            _whole(row["rows"]),
            _number(row["float"], 4),
            _number(row["int8"], 4),
            _number(row["int8"] - row["float"], 4),
        )
        for head, row in found.items()
    ]
    return _table(("AUC", "rows", "float", "int8", "difference"), rows)
