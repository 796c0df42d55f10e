"""The project's own written examples as rows: one source a kind, in training whatever else is left out."""

from __future__ import annotations

from train import written

from .rows import Row

PREFIX = "written/"


def own_rows(*, per_kind: int = written.ROWS_PER_KIND, seed: int = written.SEED) -> list[Row]:
    """Rows of every kind; those of held-out templates and groups have the split `test`, all others `train`."""
    return [
        Row(
            prompt=row["prompt"],
            response=row["response"],
            labels={head: float(value) for head, value in row["labels"].items()},
            source=PREFIX + row["kind"],
            family=PREFIX + row["kind"],
            split="test" if row["held_out"] else "train",
            pair=f"{PREFIX}{row['set']}",
            licence="Apache-2.0",
            weight=0.7,
            answer=True,
            prompt_groups=False,
        )
        for row in written.rows(per_kind=per_kind, seed=seed)
        if row["response"].strip()
    ]
