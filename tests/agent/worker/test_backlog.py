"""Who waits, who goes first when there is no room, and who is judged next."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stonechat.records import Series
from stonechat_agent.scoring.worker.backlog import Backlog
from stonechat_agent.scoring.worker.job import OVERHEAD, Job

SERIES = Series("engine", "model", "chat")


def job(seq: int, kind: str = "plain", size: int = 0) -> Job:
    return Job(seq, f"x{seq}", SERIES, b"", b"x" * size, True, risky=kind == "risky")


def names(jobs: list[Job]) -> list[int]:
    return [one.seq for one in jobs]


def test_the_oldest_go_first_and_the_risky_ones_last() -> None:
    backlog = Backlog(1 << 20, 6)
    kinds = ["risky", "plain", "plain", "plain", "plain", "risky"]
    for seq, kind in enumerate(kinds):
        assert backlog.add(job(seq, kind)) == []
    gone = [seq for new in range(6, 12) for seq in names(backlog.add(job(new, "risky")))]
    assert gone == [1, 2, 3, 4, 0, 5]
    assert names(backlog.add(job(12, "plain"))) == [12]  # all that wait matter more


def test_risky_ones_are_judged_first_and_the_rest_as_they_came() -> None:
    backlog = Backlog(1 << 20, 10)
    for seq, kind in enumerate(["plain", "plain", "plain", "risky", "plain", "risky"]):
        backlog.add(job(seq, kind))
    taken = []
    while (one := backlog.take()) is not None:
        taken.append(one.seq)
    assert taken == [3, 5, 0, 1, 2, 4]


def test_what_was_put_back_is_the_next_again() -> None:
    backlog = Backlog(1 << 20, 10)
    for seq in range(3):
        backlog.add(job(seq))
    first = backlog.take()
    assert first is not None
    assert backlog.put_back(first) == []
    assert backlog.take() is first


def test_one_that_is_larger_than_all_the_room_costs_nobody_else_theirs() -> None:
    backlog = Backlog(10_000, 10)
    backlog.add(job(1, "risky"))
    assert names(backlog.add(job(2, "risky", size=10_000))) == [2]
    assert len(backlog) == 1


@given(
    st.lists(
        st.tuples(st.sampled_from(["plain", "risky"]), st.integers(0, 3000), st.booleans()),
        max_size=60,
    )
)
def test_the_bounds_hold_and_nobody_is_forgotten(steps: list[tuple[str, int, bool]]) -> None:
    backlog = Backlog(8_000, 7)
    waiting: dict[int, Job] = {}
    for seq, (kind, size, takes) in enumerate(steps):
        new = job(seq, kind, size)
        waiting[seq] = new
        for gone in backlog.add(new):
            del waiting[gone.seq]
        if takes and (taken := backlog.take()) is not None:
            del waiting[taken.seq]
        assert len(backlog) == len(waiting) <= 7
        assert backlog.bytes == sum(one.size for one in waiting.values()) <= 8_000
    assert sorted(names(backlog.clear())) == sorted(waiting)
    assert backlog.bytes == 0


def test_a_job_costs_its_texts_and_something_more() -> None:
    assert job(1, size=100).size == 100 + OVERHEAD
