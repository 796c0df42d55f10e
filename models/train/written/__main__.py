"""Write the examples as JSON lines, count them, or show some.

In a checkout, with `models` on the path::

    python -m train.written --out FILE [--seed N] [--per-kind N] [--held-out]
    python -m train.written --out bench/contrast.jsonl.gz --held-out     # what ./dev bench judges measures on
    python -m train.written inventory
    python -m train.written show KIND [--count N]
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from random import Random

from train.written import HEADS, KINDS, ROWS_PER_KIND, SEED, Row, rows


def inventory(examples: Iterable[Row]) -> str:
    """Return a table: rows, held-out rows, sets and templates by kind, then 1/0 counts by head."""
    total: Counter[str] = Counter()
    held: Counter[str] = Counter()
    labels: Counter[tuple[str, str, int]] = Counter()
    sets: dict[str, set[str]] = {}
    templates: dict[str, set[str]] = {}
    for row in examples:
        kind = row["kind"]
        total[kind] += 1
        held[kind] += row["held_out"]
        sets.setdefault(kind, set()).add(row["set"])
        templates.setdefault(kind, set()).add(row["template"])
        labels.update((kind, head, value) for head, value in row["labels"].items())
    lines = [
        f"{'kind':14}{'rows':>7}{'held out':>10}{'sets':>7}{'templates':>11}  heads with both labels (1/0)"
    ]
    for kind, count in total.items():
        both = [
            f"{head} {labels[kind, head, 1]}/{labels[kind, head, 0]}"
            for head in HEADS
            if labels[kind, head, 1]
        ]
        lines.append(
            f"{kind:14}{count:7}{held[kind]:10}{len(sets[kind]):7}{len(templates[kind]):11}  {', '.join(both)}"
        )
    lines.append(f"{'all':14}{total.total():7}{held.total():10}")
    return "\n".join(lines)


def write(examples: Iterable[Row], path: Path) -> None:
    """Write one JSON object a line, compressed where the name ends in ``.gz``; equal rows give equal bytes."""
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in examples).encode()
    path.write_bytes(gzip.compress(lines, mtime=0) if path.suffix == ".gz" else lines)


def main(argv: list[str] | None = None) -> int:
    """Return the exit code: 0, or 2 for wrong usage."""
    parser = argparse.ArgumentParser(prog="python -m train.written", description=__doc__.partition("\n")[0])
    parser.add_argument("command", nargs="?", choices=("inventory", "show"))
    parser.add_argument("kind", nargs="?", choices=[kind.name for kind in KINDS], help="for show")
    parser.add_argument("--out", type=Path, help="file for all rows, one JSON object a line")
    parser.add_argument("--held-out", action="store_true", help="only rows that training never sees")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument(
        "--per-kind", type=int, default=ROWS_PER_KIND, help="rows of each kind (default %(default)s)"
    )
    parser.add_argument("--count", type=int, default=20, help="rows to show (default %(default)s)")
    args = parser.parse_args(argv)
    if args.command is None and args.out is None:
        parser.error("nothing to do: give --out FILE, inventory or show KIND")
    if args.command == "show" and args.kind is None:
        parser.error("show needs a kind")
    if args.command == "show":
        chosen = [kind for kind in KINDS if kind.name == args.kind]
        found = list(rows(per_kind=args.per_kind, seed=args.seed, kinds=chosen))
        for row in Random(args.seed).sample(found, min(args.count, len(found))):
            ones = ", ".join(head for head, value in row["labels"].items() if value) or "-"
            print(f"--- {row['context']} | {ones}{' | held out' if row['held_out'] else ''}")
            print(f"> {row['prompt']}\n{row['response']}")
        return 0
    examples = [
        row for row in rows(per_kind=args.per_kind, seed=args.seed) if row["held_out"] or not args.held_out
    ]
    if args.out is not None:
        write(examples, args.out)
    if args.command == "inventory":
        print(inventory(examples))
    return 0


if __name__ == "__main__":
    sys.exit(main())
