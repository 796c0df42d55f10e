"""Rows that decide thresholds, and rows that tell what came of it."""

from train.judges import held
from train.judges.rows import Row


def _rows(source: str, count: int, split: str = "dev") -> list[Row]:
    return [Row("", f"{source} {n}", {"toxic": 0.0}, source, source, split) for n in range(count)]


def test_some_rows_of_each_source_and_always_the_same() -> None:
    rows = [*_rows("one", 400), *_rows("two", 5)]
    chosen = held.some(rows, 100)
    assert [row.source for row in chosen].count("one") == 100
    assert [row.source for row in chosen].count("two") == 5
    assert held.some(rows[::-1], 100) == chosen
    assert held.some(rows, 50)[:50] == chosen[:50]


def test_what_sets_thresholds_is_held_back_and_leaves_others_fresh() -> None:
    permitted = [*_rows("davidson", 600), *_rows("davidson", 50, "train"), *_rows("gsm8k_solutions", 1000)]
    own = [*_rows("written/hate", 800, "test"), *_rows("written/hate", 30, "train")]
    used = held.calibrating(permitted, own)
    counts = {source: sum(row.source == source for row in used) for source in ("davidson", "gsm8k_solutions")}
    assert counts == {"davidson": 250, "gsm8k_solutions": 900}
    assert sum(row.source == "written/hate" for row in used) == 300
    assert all(row.split != "train" for row in used)
    every = [row for row in (*permitted, *own) if row.split != "train"]
    assert sum(not is_fresh for is_fresh in held.fresh(every, used)) == len(used) == 1450
