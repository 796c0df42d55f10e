"""What happens to an exchange before its window counts it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stonechat.exchange import Exchange, Operation, Outcome, Source
from stonechat.ids import is_exchange_id
from stonechat.transcript import Transcript, Turn
from stonechat_agent.clocks import Instant
from stonechat_agent.desk import Desk
from stonechat_agent.journal import Pseudonyms
from stonechat_agent.models import KnownModels
from stonechat_agent.outbox import Chooser
from stonechat_agent.scoring.tier0 import Tier0
from stonechat_agent.scoring.verdict import GuidelineResult, Verdict
from stonechat_agent.settings import Exchanges

NOW = Instant(monotonic=50_000, boottime=60_000, wall=1_790_000_000_000, synced=True)
KEY = bytes(range(32))


class Kept:
    """A desk, and what it had kept, asked and told."""

    def __init__(self, *, worth_waiting: bool = False) -> None:
        self.kept: list[tuple[Exchange, str | None]] = []
        self.asked: list[str] = []
        self.used: list[str] = []
        self.judged: list[tuple[str, Transcript | None, tuple[str, ...]]] = []
        self.amended: list[tuple[str, Mapping[str, float], Sequence[str], str | None]] = []
        self.desk = Desk(
            random_bits=lambda n: (1 << n) - 100,  # near the end, where it begins anew
            models=KnownModels({"box": ["qwen"]}),
            ask=lambda engine: self.asked.append(engine) or worth_waiting,  # type: ignore[func-returns-value]
            used=self.used.append,
            pseudonyms=Pseudonyms(KEY),
            checks=Tier0(KEY),
            chooser=Chooser(Exchanges(sample=0.0), random=lambda: 0.5, clock=lambda: 0.0),
            keep=lambda exchange, chosen: self.kept.append((exchange, chosen)),
            judge=lambda exchange: self.judged.append((exchange.id, exchange.transcript, exchange.findings)),
            amend=lambda *verdict: self.amended.append(verdict),
        )

    def take(self, **fields: Any) -> tuple[Exchange, str | None]:
        self.desk.take(exchange(**fields), NOW)
        return self.kept[-1]


def exchange(**fields: Any) -> Exchange:
    said = Transcript(
        [Turn("user", "Which bird is that on the heath?")], "A stonechat, by its call.", user="anna"
    )
    known: dict[str, Any] = {"operation": Operation.CHAT, "accepted_ns": 48_000_000_000, "transcript": said}
    return Exchange("box", **{**known, **fields})


def test_an_exchange_is_named_by_its_time_and_its_people_by_pseudonyms() -> None:
    desk = Kept()
    taken, chosen = desk.take(response_model="qwen")
    assert is_exchange_id(taken.id)
    assert taken.wall_ms == NOW.wall - 2_000
    assert taken.user is not None
    assert taken.user.startswith("u-")
    assert "anna" not in taken.user
    assert taken.conversation is not None
    assert taken.conversation.startswith("c-")
    assert taken.response_model == "qwen"
    assert (chosen, desk.used) == (None, ["box"])
    again, _ = desk.take()
    assert again.user == taken.user
    assert again.id != taken.id


def test_ids_of_one_instant_differ() -> None:
    desk = Kept()
    taken = {desk.take(wall_ms=5, source=Source.RECORD)[0].id for _ in range(300)}
    assert len(taken) == 300


def test_a_completion_is_no_conversation_unless_its_client_says_so() -> None:
    desk = Kept()
    assert desk.take(operation=Operation.COMPLETION)[0].conversation is None
    said = Transcript([Turn("user", "Once upon a time")], "there was a heath.", conversation="story")
    named, _ = desk.take(operation=Operation.COMPLETION, transcript=said)
    assert named.conversation is not None


def test_what_an_application_says_of_the_time_stays() -> None:
    taken, _ = Kept().take(wall_ms=5, source=Source.RECORD)
    assert taken.wall_ms == 5


def test_findings_flag_an_exchange_and_choose_it() -> None:
    said = Transcript([Turn("user", "Name a bird.")], "bird " * 400)
    taken, chosen = Kept().take(transcript=said)
    assert "repetition" in taken.findings
    assert taken.scores["repetition"] >= 0.5
    assert chosen == "flagged"


def test_a_failed_exchange_tells_nothing_of_its_engine_and_is_chosen() -> None:
    desk = Kept()
    taken, chosen = desk.take(
        outcome=Outcome.ERROR, error_type="http_5xx", transcript=None, response_model="qwen"
    )
    assert (chosen, desk.used) == ("failed", [])
    assert taken.user is None


def test_names_of_strangers_are_other_and_may_wait_for_the_engine_to_tell() -> None:
    desk = Kept(worth_waiting=True)
    assert not desk.desk.defers(exchange(response_model="qwen"))
    assert not desk.desk.defers(exchange(request_model="new"))
    assert desk.asked == []
    assert desk.desk.defers(exchange(response_model="new"))
    assert desk.asked == ["box"]
    assert desk.take(response_model="new")[0].response_model == "other"
    desk.desk.listed("box", ["new"])
    assert not desk.desk.defers(exchange(response_model="new"))
    assert desk.take(response_model="new")[0].response_model == "new"


def test_what_the_hour_had_no_room_for_is_counted() -> None:
    desk = Kept()
    desk.desk._chooser = Chooser(
        Exchanges(sample=0.0, most_per_hour=0), random=lambda: 0.5, clock=lambda: 0.0
    )
    desk.take(outcome=Outcome.ERROR, error_type="http_5xx", transcript=None)
    assert desk.desk.untold() == {"failed": 1}


def test_an_answer_is_judged_by_its_id_and_with_what_the_checks_found() -> None:
    desk = Kept()
    said = Transcript([Turn("user", "Say something.")], "")
    taken, _ = desk.take(transcript=said, finish_reason="stop")
    assert desk.judged == [(taken.id, said, ("empty",))]


def verdict(*flags: str, broken: bool = False, **scores: float) -> Verdict:
    guideline = GuidelineResult("no-dosage", "critical", 0.9 if broken else 0.1, broken, "")
    return Verdict("01", "box", "qwen", "chat", 2, 10_000, scores, {}, flags, (guideline,), ())


def test_what_the_models_say_later_is_kept_and_told_where_it_flags() -> None:
    desk = Kept()
    desk.desk.judged(verdict(toxic=0.02))
    desk.desk.judged(verdict("toxic", toxic=0.97))
    desk.desk.judged(verdict(broken=True, toxic=0.02))
    assert desk.amended == [
        ("01", {"toxic": 0.02, "guideline:no-dosage": 0.1}, (), None),
        ("01", {"toxic": 0.97, "guideline:no-dosage": 0.1}, ("toxic",), "flagged"),
        ("01", {"toxic": 0.02, "guideline:no-dosage": 0.9}, ("guideline:no-dosage",), "flagged"),
    ]


def test_a_verdict_that_says_nothing_changes_nothing() -> None:
    desk = Kept()
    desk.desk.judged(verdict()._replace(guidelines=()))
    assert not desk.amended


def test_what_is_replayed_keeps_what_models_and_people_said_of_it() -> None:
    desk = Kept()
    taken, _ = desk.take(
        scores={"refusal": 0.9, "toxic": 0.8, "empty": 0.7, "helpful": 1.0},
        findings=("refusal", "toxic", "empty", "guideline:no-dosage"),
    )
    assert (taken.scores["refusal"], taken.scores["toxic"], taken.scores["helpful"]) == (0.9, 0.8, 1.0)
    assert taken.scores["empty"] == 0.0  # a check is made anew
    assert taken.findings == ("refusal", "toxic", "guideline:no-dosage")
