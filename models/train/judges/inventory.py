"""Prints what the judges are trained on: rows, positives and negatives by head, source, licence and split.

python -m train.judges.inventory                       # the table of the model card
python -m train.judges.inventory --include check       # what experiments could add; never shipped
python -m train.judges.inventory --sources             # the meaning and the faults of each source
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .rows import DEFAULT_DATA, SPLITS, DataMissingError, Loaded, Row, load
from .sources import BARS, HEADS, SOURCES


def counted(rows: Sequence[Row]) -> dict[str, Any]:
    """Rows by split, and for each head positives and negatives by source.

    Returns:
        ``{"sources": {name: {"licence", "barred", "family", "splits": {split: rows}, "heads": {head: [positives,
        negatives]}}}, "heads": {head: [positives, negatives]}, "licences": {licence: rows}, "splits": {split: rows}}``,
        numbers of rows; a label from 0.5 on is positive.
    """
    sources: dict[str, Any] = {}
    heads: dict[str, list[int]] = {head: [0, 0] for head in HEADS}
    for row in rows:
        entry = sources.setdefault(
            row.source,
            {
                "licence": row.licence,
                "barred": row.barred,
                "family": row.family,
                "splits": Counter(),
                "heads": defaultdict(lambda: [0, 0]),
            },
        )
        entry["splits"][row.split] += 1
        for head, value in row.labels.items():
            entry["heads"][head][value < 0.5] += 1
            heads[head][value < 0.5] += 1
    return {
        "sources": sources,
        "heads": heads,
        "licences": Counter(row.licence for row in rows),
        "splits": Counter(row.split for row in rows),
    }


def markdown(loaded: Loaded) -> str:
    """The tables of `counted` as Markdown, with what was left out and why."""
    counts = counted(loaded.rows)
    lines = ["| head | positives | negatives |", "|---|---:|---:|"]
    lines += [
        f"| {head} | {positives:,} | {negatives:,} |"
        for head, (positives, negatives) in counts["heads"].items()
    ]
    lines += [
        "",
        "| source | licence | family | train | dev | test | eval only | heads, positives/negatives |",
    ]
    lines += ["|---|---|---|---:|---:|---:|---:|---|"]
    for name, entry in counts["sources"].items():
        splits = " | ".join(f"{entry['splits'][split]:,}" for split in SPLITS)
        heads = "; ".join(
            f"{head} {entry['heads'][head][0]}/{entry['heads'][head][1]}"
            for head in HEADS
            if head in entry["heads"]
        )
        licence = entry["licence"] + (
            f" (**{entry['barred']}: not for shipped weights**)" if entry["barred"] else ""
        )
        lines.append(f"| {name} | {licence} | {entry['family']} | {splits} | {heads} |")
    lines += ["", "| licence | rows |", "|---|---:|"]
    lines += [f"| {licence} | {rows:,} |" for licence, rows in counts["licences"].most_common()]
    lines += [
        "",
        f"{len(loaded.rows):,} rows of {len(counts['sources'])} sources: "
        + ", ".join(f"{split} {counts['splits'][split]:,}" for split in SPLITS)
        + f". Left out: {sum(loaded.duplicates.values()):,} rows that an earlier one repeats, "
        f"{sum(loaded.conflicts.values()):,} labels that contradict an earlier equal text. "
        f"{sum(loaded.moved.values()):,} rows changed their split so that a pair or a prompt stays whole.",
    ]
    return "\n".join(lines)


def described() -> str:
    """The table of sources as Markdown: what the labels mean, and what is done about their faults."""
    lines = [
        "| source | licence | feeds | share | meaning | faults -> what is done |",
        "|---|---|---|---:|---|---|",
    ]
    for source in SOURCES:
        licence = source.licence + (f" (**{source.barred}**)" if source.barred else "")
        feeds = ", ".join(source.feeds) or "no head"
        lines.append(
            f"| {source.name} | {licence} | {feeds} | {source.weight:g} | {source.meaning} | {source.problems} |"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="train.judges.inventory", description=__doc__.split("\n", maxsplit=1)[0]
    )
    parser.add_argument(
        "--data", type=Path, default=DEFAULT_DATA, help="folder of the data (default: %(default)s)"
    )
    parser.add_argument("--rows", type=int, help="about so many rows of each file (default: all)")
    parser.add_argument(
        "--include",
        nargs="*",
        choices=BARS,
        default=[],
        help="experiments only: rows that must not reach shipped weights",
    )
    parser.add_argument("--sources", action="store_true", help="the table of sources; needs no data")
    parser.add_argument("--json", action="store_true", help="the counts as JSON")
    options = parser.parse_args(arguments)
    if options.sources:
        print(described())
        return 0
    try:
        loaded = load(options.data, include=frozenset(options.include), limit=options.rows)
    except DataMissingError as error:
        print(error, file=sys.stderr)
        return 1
    if options.include:
        print(f"with {', '.join(options.include)} rows: not for shipped weights", file=sys.stderr)
    print(json.dumps(counted(loaded.rows), indent=1) if options.json else markdown(loaded))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
