"""The worker itself, with real models as small as they can be: what it says, what it spares, what it never does."""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.agent.judging import making

from stonechat_agent.scoring.worker.process import Ended, Process

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at what Linux tells of a process")

SECRET = "4711-kiwi"
NORMAL = (
    "-c",
    "from stonechat_agent.scoring.worker import child; child.stand_back = lambda: None; child.main()",
)
"""The worker at normal priority: at idle priority tests would wait on a busy machine."""


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Process]]:
    """Workers to be ended; they have a home of their own to litter."""
    home = tmp_path / "home"
    home.mkdir()
    for name in ("HOME", "TMPDIR"):
        monkeypatch.setenv(name, str(home))
    workers: list[Process] = []
    yield workers
    for worker in workers:
        worker.end(0.0)


def say(worker: Process, message: dict[str, Any]) -> dict[str, Any]:
    end = time.monotonic() + 120

    def look() -> None:
        assert time.monotonic() < end

    return worker.ask(message, look, 0.1)


def job(answer: bytes, prompt: bytes = b"why", *, deep: bool = False) -> dict[str, Any]:
    return {"id": 7, "prompt": prompt, "answer": answer, "complete": True, "deep": deep}


def small_models(folder: Path) -> list[str]:
    glance = making.glance(folder / "glance")
    judge = making.judge(folder / "judge")
    return [str(glance), str(judge)]


def faults_of(said: dict[str, Any], folder: Path) -> list[str]:
    """What is wrong with the models of a test, whatever is with those that ship."""
    return [fault for fault in said["faults"] if str(folder) in fault]


def test_answers_are_judged_by_both_tiers(started: list[Process], tmp_path: Path) -> None:
    worker = Process(command=NORMAL)
    started.append(worker)
    hello = say(worker, {"models": small_models(tmp_path), "guidelines": []})
    assert hello["ready"]
    assert hello["models"] == {"test-glance": "2", "test-judge": "1"}
    assert not faults_of(hello, tmp_path)
    plain = say(worker, job(b"the answer is fine"))
    assert (plain["id"], plain["tier"], plain["flags"]) == (7, 1, [])
    assert 0 < len(plain["embedding"]) <= 64
    assert abs(sum(number * number for number in plain["embedding"]) ** 0.5 - 10_000) < 50
    assert "models" not in plain  # nothing changed
    bad = say(worker, job(b"the answer is bad worse"))
    assert (bad["tier"], bad["deep"], bad["flags"]) == (2, True, ["toxic"])
    assert say(worker, job(b"the answer is fine", deep=True))["tier"] == 2


def test_texts_that_are_no_utf8_and_very_long_ones_are_judged(started: list[Process], tmp_path: Path) -> None:
    worker = Process(command=NORMAL)
    started.append(worker)
    say(worker, {"models": small_models(tmp_path), "guidelines": []})
    assert say(worker, job(b"\xff\xfe bad \xed\xa0\x80 worse", deep=True))["scores"]["toxic"] > 0.5
    assert say(worker, job(b"fine " * 50_000, b"why " * 100_000, deep=True))["tier"] == 2


def test_a_damaged_model_is_refused_and_the_others_go_on(started: list[Process], tmp_path: Path) -> None:
    models = small_models(tmp_path)
    graph = Path(models[1], "model.onnx")
    graph.write_bytes(graph.read_bytes()[:-10])
    worker = Process(command=NORMAL)
    started.append(worker)
    hello = say(worker, {"models": models, "guidelines": []})
    (fault,) = faults_of(hello, tmp_path)
    assert "model.onnx" in fault
    found = say(worker, job(b"bad worse"))
    assert found["deep"]
    assert "toxic" in found["scores"]


def test_a_graph_that_is_none_is_found_out_when_it_is_needed(started: list[Process], tmp_path: Path) -> None:
    """Its checksum is right. What else there is judges on: the shipped model of its tier, or the small one alone."""
    glance = making.glance(tmp_path / "glance")
    judge = making.judge(tmp_path / "judge")
    (judge / "model.onnx").write_bytes(b"no graph")
    making.sealed(judge, making_card(judge))
    worker = Process(command=NORMAL)
    started.append(worker)
    hello = say(worker, {"models": [str(glance), str(judge)], "guidelines": []})
    assert not faults_of(hello, tmp_path)
    found = say(worker, job(b"bad worse", deep=True))
    assert found["tier"] >= 1
    assert "toxic" in found["scores"]
    assert len(faults_of(found, tmp_path)) == 1
    assert "test-judge" not in found["models"]
    assert "faults" not in say(worker, job(b"bad worse", deep=True))


def making_card(folder: Path) -> dict[str, Any]:
    from stonechat.config import parse_toml

    card = parse_toml((folder / "card.toml").read_bytes(), "card.toml")
    del card["files"]
    return card


def test_it_stands_back_behind_everything_else(
    started: list[Process], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/notify")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials")
    worker = Process()
    started.append(worker)
    say(worker, {"models": small_models(tmp_path), "guidelines": []})
    say(worker, job(b"the answer is fine", deep=True))
    pid = worker.pid
    process = psutil.Process(pid)
    assert os.sched_getscheduler(pid) == os.SCHED_IDLE
    assert process.nice() == 19
    assert process.ionice().ioclass == psutil.IOPRIO_CLASS_IDLE
    assert Path(f"/proc/{pid}/oom_score_adj").read_text() == "1000\n"
    assert resource.prlimit(pid, resource.RLIMIT_CORE) == (1, 1)
    assert process.num_threads() == 1
    environment = process.environ()
    assert "NOTIFY_SOCKET" not in environment
    assert "CREDENTIALS_DIRECTORY" not in environment


def test_it_opens_no_connection_and_writes_no_file(
    started: list[Process], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a model breaks on a text, and where what it gets is no message."""
    monkeypatch.chdir(tmp_path / "home")
    inherited = os.open(tmp_path / "inherited", os.O_WRONLY | os.O_CREAT)
    os.set_inheritable(inherited, True)
    breaking = (
        "-c",
        "from stonechat_agent.scoring.worker import child, cascade\n"
        "child.stand_back = lambda: None\n"
        "whole = cascade._scores\n"
        "def scores(judges, prompt, answer, wanted):\n"
        "    assert 'break' not in answer, answer\n"
        "    return whole(judges, prompt, answer, wanted)\n"
        "cascade._scores = scores\n"
        "child.main()",
    )
    worker = Process(command=breaking)
    started.append(worker)
    heard = [say(worker, {"models": small_models(tmp_path), "guidelines": []})]
    heard += [say(worker, job(text + SECRET.encode())) for text in (b"fine ", b"bad worse ", b"break ")]
    assert heard[-1] == {"id": 7, "failed": "AssertionError"}
    assert SECRET not in repr(heard)
    os.close(inherited)
    files = open_files(worker.pid)
    assert sum("socket" in name for name in files) == 1
    assert not {name for name, writes in files.items() if writes} - {"/dev/null", socket_of(files)}
    with pytest.raises(Ended):
        say(
            worker,
            {"id": SECRET, "prompt": "no bytes"} | {"answer": {}, "complete": 1, "deep": object.__doc__},
        )
        worker._socket.send(b"\xff\xff\xff\xff" + SECRET.encode())
        say(worker, job(b"fine"))
    worker.end(60.0)
    assert worker.status == 1
    litter = [path for path in (tmp_path / "home").rglob("*") if path.is_file()]
    assert not litter


def open_files(pid: int) -> dict[str, bool]:
    """What a process has open, and whether to write."""
    found = {}
    for number in os.listdir(f"/proc/{pid}/fd"):
        flags = Path(f"/proc/{pid}/fdinfo/{number}").read_text().split("flags:")[1].split()[0]
        found[os.readlink(f"/proc/{pid}/fd/{number}")] = bool(int(flags, 8) & (os.O_WRONLY | os.O_RDWR))
    return found


def socket_of(files: dict[str, bool]) -> str:
    return next(name for name in files if "socket" in name)


def test_it_ends_by_itself_when_nobody_talks_to_it_any_more(started: list[Process]) -> None:
    worker = Process(command=NORMAL)
    started.append(worker)
    say(worker, {"models": [], "guidelines": []})
    worker.end(60.0)
    assert worker.status == 0


def test_what_is_light_for_the_agent() -> None:
    """The agent's side loads nothing that is there for the worker, and no module for processes."""
    import subprocess

    program = (
        "import sys, stonechat_agent.scoring.worker.keeper, stonechat_agent.scoring.verdict;"
        "print(*sorted(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {"numpy", "onnxruntime", "subprocess", "multiprocessing", "ctypes", "asyncio"}
    assert not any(name.startswith("stonechat_agent.scoring.judging") for name in loaded)
    assert "stonechat_agent.scoring.guidelines" not in loaded
