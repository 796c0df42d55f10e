"""`bench/contrast.jsonl.gz`: what the judges are measured on where no other data is."""

import gzip
import json
from pathlib import Path

from train.written import KINDS, ROWS_PER_KIND, SEED, Row
from train.written.__main__ import main
from train.written.rows import rows_of

CONTRAST = Path(__file__).parents[3] / "bench/contrast.jsonl.gz"


def _kept() -> list[Row]:
    with gzip.open(CONTRAST, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def test_the_contrast_set_holds_the_held_out_templates_as_they_stand() -> None:
    """Fails after a template has changed, which its key tells: write the set anew, and measure anew."""
    kept = _kept()
    assert all(row["held_out"] for row in kept)
    for kind in KINDS:
        keys = {f"{kind.name}/{frame.key}" for frame in kind.part(held_out=True)}
        found = {row["template"] for row in kept if row["kind"] == kind.name}
        assert found == keys or (kind.name == "spelling" and found <= keys)
    assert CONTRAST.stat().st_size < 400_000


def test_the_contrast_set_is_what_the_command_writes() -> None:
    kind = next(kind for kind in KINDS if kind.name == "hate")
    written = [row for row in rows_of(kind, count=ROWS_PER_KIND, seed=SEED) if row["held_out"]]
    assert [row for row in _kept() if row["kind"] == "hate"] == written


def test_equal_rows_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a.jsonl.gz", "b.jsonl.gz"):
        assert main(["--out", str(tmp_path / name), "--held-out", "--per-kind", "30"]) == 0
    assert (tmp_path / "a.jsonl.gz").read_bytes() == (tmp_path / "b.jsonl.gz").read_bytes()
    with gzip.open(tmp_path / "a.jsonl.gz", "rt", encoding="utf-8") as lines:
        assert all(json.loads(line)["held_out"] for line in lines)
