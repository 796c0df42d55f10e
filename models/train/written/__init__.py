"""Examples of the project's own writing, for what gathered data lacks: contrast sets from templates and word lists.

Nothing in it is copied, and nobody in it is real. Harm is recognisable and never instructive. Read `template` for the
language of the templates and for what is held out, and one file for each kind.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from train.written import (
    bad_answers,
    contradiction,
    hate,
    insult,
    refusal,
    relevance,
    self_harm,
    settings,
    sexual,
    spelling,
    threat,
    violence,
)
from train.written.rows import Row, rows_of
from train.written.template import HEADS, Kind

_PLAIN = (self_harm.KIND, violence.KIND, threat.KIND, sexual.KIND, hate.KIND, insult.KIND)
KINDS: tuple[Kind, ...] = (
    *_PLAIN,
    settings.KIND,
    spelling.disguised(_PLAIN),
    refusal.KIND,
    bad_answers.KIND,
    contradiction.KIND,
    relevance.KIND,
)

ROWS_PER_KIND = 4000
SEED = 9


def rows(*, per_kind: int = ROWS_PER_KIND, seed: int = SEED, kinds: Sequence[Kind] = KINDS) -> Iterator[Row]:
    """Yield about `per_kind` rows of each kind, the same for the same arguments on every machine and Python."""
    for kind in kinds:
        yield from rows_of(kind, count=per_kind, seed=seed)


__all__ = ["HEADS", "KINDS", "ROWS_PER_KIND", "Row", "SEED", "rows"]
