"""``stonechat.record``: what reaches an agent, and that no agent, no value and no fork can hurt the application."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import enum
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from tests.ports import free_port

from stonechat import client
from stonechat.client import Client, Recording


class Agent:
    """A server that takes what comes and answers as it is told to; ``lines`` are the records of all bodies."""

    def __init__(self, answer: bytes | None = None, *, port: int = 0, hang: bool = False) -> None:
        self.lines: list[dict[str, Any]] = []
        self.heads: list[bytes] = []
        self._answer = answer
        self._hang = hang
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        # A thread in accept() is not woken by closing the socket.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(60)
        self._listener.close()
        for connection in self._open:
            connection.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            if self._hang:
                self._open.append(connection)
                continue
            with connection, contextlib.suppress(OSError):
                self._take(connection)

    def _take(self, connection: socket.socket) -> None:
        received = b""
        while b"\r\n\r\n" not in received:
            received += connection.recv(65536)
        head, _, body = received.partition(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        while len(body) < length:
            body += connection.recv(65536)
        lines = [json.loads(line) for line in body.splitlines()]
        self.heads.append(head)
        self.lines += lines
        answer = self._answer
        if answer is None:
            told = json.dumps({"accepted": len(lines), "rejected": []}).encode()
            answer = b"HTTP/1.1 202 Accepted\r\nContent-Length: %d\r\n\r\n%s" % (len(told), told)
        connection.sendall(answer)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No answer is given up because this machine is busy."""
    monkeypatch.setattr(client, "_TIMEOUT_SECONDS", 60.0)


@pytest.fixture
def agent() -> Iterator[Agent]:
    running = Agent()
    yield running
    running.close()


def run(program: str, timeout: float = 120, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def test_a_record_reaches_the_agent(agent: Agent) -> None:
    sender = Client(agent.url)
    before = time.time() * 1000
    sender.record(model="m:1b", prompt="Hello?", response="Hello!", duration=1.5, user=None)
    assert sender.flush(60)
    (line,) = agent.lines
    assert line.pop("start") == pytest.approx(before - 1500, abs=60_000)
    assert line == {"model": "m:1b", "prompt": "Hello?", "response": "Hello!", "duration": 1.5}
    assert b"Content-Type: application/x-ndjson" in agent.heads[0]
    assert sender.counts() == (1, 1, 0, 0)


def test_the_package_itself_has_the_functions(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STONECHAT_URL", agent.url)
    import stonechat

    stonechat.record(prompt="Hello?", finish="stop")
    with stonechat.recording(model="m") as call:
        call.response = "Hello!"
    assert stonechat.flush(60)
    assert [line.get("prompt", line.get("model")) for line in agent.lines] == ["Hello?", "m"]
    assert agent.lines[0]["finish"] == "stop"  # to be refused by the agent, not by the application
    assert stonechat.counts().accepted >= 2
    with pytest.raises(AttributeError):
        stonechat.nothing  # noqa: B018


def test_an_absent_agent_costs_the_records_alone() -> None:
    sender = Client(f"http://127.0.0.1:{free_port()}")
    began = time.monotonic()
    for _ in range(client.MAX_WAITING + 100):
        sender.record(prompt="Hello?")
    assert not sender.flush(1)
    assert time.monotonic() - began < 30
    recorded, accepted, rejected, dropped = sender.counts()
    assert (recorded, accepted, rejected) == (client.MAX_WAITING + 100, 0, 0)
    assert dropped >= 1


def test_records_wait_for_an_agent_that_starts_again() -> None:
    port = free_port()
    sender = Client(f"http://127.0.0.1:{port}")
    sender.record(prompt="Hello?")
    assert not sender.flush(1)
    agent = Agent(port=port)
    assert sender.flush(60)
    assert sender.counts() == (1, 1, 0, 0)
    agent.close()


def test_records_do_not_wait_for_ever(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "MAX_AGE_SECONDS", -1.0)
    sender = Client(agent.url)
    sender.record(prompt="Hello?")
    assert sender.flush(60)
    assert agent.lines == []
    assert sender.counts().dropped == 1


def test_a_hung_agent_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_TIMEOUT_SECONDS", 0.5)
    agent = Agent(hang=True)
    sender = Client(agent.url)
    began = time.monotonic()
    sender.record(prompt="Hello?")
    assert not sender.flush(0.1)
    assert time.monotonic() - began < 30
    # What was sent and not answered may have been taken: it is not sent once more.
    assert sender.flush(60)
    assert sender.counts() == (1, 0, 0, 1)
    agent.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"garbage",
        b"\0" * 100_000,
        b"HTTP/1.1 202 Accepted\r\n\r\n{}",
        b"HTTP/1.1 202 Accepted\r\n\r\nnull",
        b'HTTP/1.1 202 Accepted\r\n\r\n{"accepted": 99, "rejected": []}',
        b'HTTP/1.1 202 Accepted\r\n\r\n{"accepted": "1", "rejected": []}',
        b'HTTP/1.1 202 Accepted\r\n\r\n{"accepted": -1, "rejected": [1, 2]}',
        b'HTTP/1.1 202 Accepted\r\n\r\n{"accepted": 1, "rejected": [], "more_rejected": "x"}',
        b"HTTP/1.1 202 Accepted\r\n\r\n" + b"[" * 50_000,
        b"HTTP/1.1 xxx\r\n\r\n{}",
        b"HTTP/1.1 404 Not Found\r\n\r\nno such path",
        b"HTTP/1.1 301 Moved\r\nLocation: http://evil.example/\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
    ],
)
def test_an_agent_that_answers_nonsense_is_no_agent(answer: bytes) -> None:
    agent = Agent(answer)
    sender = Client(agent.url)
    sender.record(prompt="Hello?")
    assert sender.flush(60)
    assert sender.counts() == (1, 0, 0, 1)
    agent.close()


def test_an_agent_that_is_full_is_asked_again() -> None:
    agent = Agent(b"HTTP/1.1 503 Service Unavailable\r\n\r\n{}")
    sender = Client(agent.url)
    sender.record(prompt="Hello?")
    assert not sender.flush(5)
    agent._answer = None
    assert sender.flush(60)
    assert sender.counts() == (1, 1, 0, 0)
    agent.close()


def test_a_refusal_is_counted_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    reason = "no key 'respons' is known: did you mean 'response'?"
    told = json.dumps({"accepted": 0, "rejected": [{"line": 1, "reason": reason}]}).encode()
    agent = Agent(b"HTTP/1.1 400 Bad Request\r\n\r\n" + told)
    sender = Client(agent.url)
    with caplog.at_level(logging.WARNING, "stonechat"):
        for _ in range(3):
            sender.record(respons="Hello!")
            assert sender.flush(60)
    assert caplog.messages == [f"exchange not recorded: {reason}"]
    assert sender.counts() == (3, 0, 3, 0)
    agent.close()


@pytest.mark.parametrize(
    "url", ["", "http://", "127.0.0.1:8401", "https://127.0.0.1:8401", "http://a b:1", "http://x:99999"]
)
def test_an_address_that_is_none_is_said_once(url: str, caplog: pytest.LogCaptureFixture) -> None:
    if not url:
        return
    sender = Client(url)
    with caplog.at_level(logging.WARNING, "stonechat"):
        sender.record(prompt="Hello?")
        assert sender.flush(60)
    assert caplog.messages == ["exchange not recorded: STONECHAT_URL must be http://host:port"]
    assert sender.counts().dropped == 1


class Evil:
    def __str__(self) -> str:
        raise RuntimeError("evil")

    __repr__ = __str__


class EvilNumber(Evil):
    def __float__(self) -> float:
        raise RuntimeError("evil")


class Colour(enum.Enum):
    RED = "red"


def test_values_that_json_does_not_know_hurt_nobody(agent: Agent) -> None:
    sender = Client(agent.url)
    circular: list[Any] = []
    circular.append(circular)
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    dropped = 0
    for hopeless in (circular, deep, EvilNumber()):
        sender.record(response=hopeless)
        dropped += 1
    for value in (
        Evil(),
        object(),
        Colour.RED,
        b"\xff",
        {1, 2},
        {(1, 2): 3},
        float("nan"),
        "\ud800",
        "\0",
        1 << 20_000,
    ):
        sender.record(response=value, messages=[{"role": "user", "content": value}])
    zone = datetime.timezone.utc
    moment = datetime.datetime(2026, 1, 31, 12, tzinfo=zone)
    sender.record(
        start=moment, duration=datetime.timedelta(seconds=2), messages=({"role": "user", "content": "x"},)
    )
    sender.record(messages="none", **{"": 1, "a b": 2})
    assert sender.flush(60)
    shown = [line.get("response") for line in agent.lines]
    assert shown[:4] == ["<Evil>", "<object>", "<Colour>", "\ufffd"]
    assert "\ud800" in shown
    last = agent.lines[-2]
    assert (last["start"], last["duration"]) == ("2026-01-31T12:00:00+00:00", 2.0)
    counts = sender.counts()
    assert counts.accepted == len(agent.lines)
    assert counts.accepted + counts.dropped == counts.recorded
    assert counts.dropped >= dropped


def test_no_more_is_sent_than_the_agent_keeps(agent: Agent) -> None:
    sender = Client(agent.url)
    image = {"type": "image_url", "image_url": {"url": "data:" + "A" * 3_000_000}}
    messages = [{"role": "user", "content": [{"type": "text", "text": "What is this?"}, image]}]
    sender.record(messages=messages, response="x" * 1_000_000)
    sender.record(messages=[{"role": "user", "content": "y" * 70_000}] * 100)
    sender.record(messages=messages, tools=["z" * 1_000_000])
    assert sender.flush(60)
    line, long = agent.lines
    assert (long["messages"], long["cut"]) == ([{"role": "user", "content": "y" * client.MAX_TEXT}], True)
    assert line["messages"][0]["content"][1] == {"type": "image_url"}
    assert (len(line["response"]), line["cut"]) == (client.MAX_TEXT, True)
    assert messages[0]["content"][1] is image
    assert sender.counts() == (3, 2, 0, 1)


def test_what_is_changed_after_the_call_was_told_as_it_was(agent: Agent) -> None:
    sender = Client(agent.url)
    messages = [{"role": "user", "content": "Hello?"}]
    sender.record(messages=messages)
    messages.append({"role": "assistant", "content": "Hello!"})
    assert sender.flush(60)
    assert len(agent.lines[0]["messages"]) == 1


def test_ten_thousand_records_in_a_burst_are_sent_or_counted(agent: Agent) -> None:
    sender = Client(agent.url)
    for number in range(10_000):
        sender.record(prompt="Hello?", response=str(number))
    assert sender.flush(60)
    recorded, accepted, rejected, dropped = sender.counts()
    assert (recorded, rejected) == (10_000, 0)
    assert accepted == len(agent.lines)
    assert accepted >= client.MAX_WAITING
    assert accepted + dropped == 10_000
    answers = [int(line["response"]) for line in agent.lines]
    assert answers == sorted(set(answers))


def test_the_bytes_that_wait_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_TIMEOUT_SECONDS", 0.5)
    agent = Agent(hang=True)
    sender = Client(agent.url)
    for _ in range(500):
        sender.record(prompt="x" * 50_000)
    assert sender.counts().dropped > 300
    agent.close()


def test_many_threads_record_at_once(agent: Agent) -> None:
    sender = Client(agent.url)

    def work(name: int) -> None:
        for number in range(100):
            sender.record(prompt=f"{name}.{number}")
            if number % 50 == 0:
                sender.flush(60)

    threads = [threading.Thread(target=work, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sender.flush(60)
    assert sender.counts() == (800, 800, 0, 0)
    assert len({line["prompt"] for line in agent.lines}) == 800


def test_the_thread_ends_when_nothing_waits_and_begins_anew(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_IDLE_SECONDS", 0.05)
    sender = Client(agent.url)
    for round_number in range(1, 4):
        sender.record(prompt="Hello?")
        assert sender.flush(60)
        until = time.monotonic() + 60
        while sender._running and time.monotonic() < until:
            time.sleep(0.01)
        assert not sender._running
        assert sender.flush(0)
        assert len(agent.lines) == round_number


def test_no_thread_to_be_had_is_a_dropped_record(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    sender = Client(agent.url)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        sender.record(prompt="lost")
        assert sender.flush(0.1)
    sender.record(prompt="kept")
    assert sender.flush(60)
    assert [line["prompt"] for line in agent.lines] == ["kept"]
    assert sender.counts() == (2, 1, 0, 1)


@pytest.mark.parametrize("timeout", [-1, 0, float("nan"), "soon", None])
def test_flush_takes_any_timeout_without_raising(timeout: Any, agent: Agent) -> None:
    sender = Client(agent.url)
    sender.record(prompt="Hello?")
    assert sender.flush(timeout) in (True, False)
    assert sender.flush(60)


def test_a_recording_measures_and_tells(agent: Agent) -> None:
    sender = Client(agent.url)
    with Recording(sender, {"model": "m", "user": "ann"}) as call:
        time.sleep(0.02)
        for piece in ("Hel", "lo!"):
            call.token(piece)
        call.output_tokens = 2
        call.model = "m:2"
        assert call.model == "m:2"
        assert call.anything is None
    assert sender.flush(60)
    (line,) = agent.lines
    assert line["response"] == "Hello!"
    assert (line["model"], line["user"], line["output_tokens"]) == ("m:2", "ann", 2)
    assert (line["streamed"], line["chunks"]) == (True, 2)
    assert 0.02 <= line["time_to_first_token"] <= line["duration"] < 60
    assert "error" not in line


def test_an_error_of_the_application_is_told_and_passes_untouched(agent: Agent) -> None:
    sender = Client(agent.url)
    raised = ValueError("the model answered 503: queue is full")
    with pytest.raises(ValueError) as caught, Recording(sender, {"token": 1, "_client": 2}) as call:
        call.token()
        raise raised
    assert caught.value is raised
    assert caught.value.__context__ is None

    async def cancelled() -> None:
        async with Recording(sender, {"prompt": "Hello?"}):
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())
    for error in (TimeoutError("late"), ConnectionRefusedError(), EvilError()):
        with pytest.raises(type(error)), Recording(sender, {}):
            raise error
    assert sender.flush(60)
    first, second, *others = agent.lines
    assert first["error"] == "ValueError: the model answered 503: queue is full"
    assert second["outcome"] == "aborted"
    assert [line.get("error_type") for line in others] == ["timeout", "engine_refused", None]
    assert others[2]["error"] == "EvilError"


class EvilError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("evil")


def test_a_recording_whose_agent_fails_leaves_the_application_alone() -> None:
    class Broken(Client):
        def record(self, **told: Any) -> None:
            raise RuntimeError("a fault of ours")

    with Recording(Broken("http://127.0.0.1:1"), {}) as call:
        call.response = "Hello!"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork(2) here")
def test_a_forked_child_sends_its_own_records_and_not_its_parents(agent: Agent) -> None:
    done = run(
        """
        import os, stonechat, threading
        from stonechat import client
        stonechat.record(prompt="before")
        assert stonechat.flush(60)
        stonechat.record(prompt="parent")
        child = client._default
        with child._lock:  # as if another thread were in the middle of recording
            threading.Thread(target=lambda: None).start()
            pid = os.fork()
            if pid == 0:
                stonechat.record(prompt="child")
                os._exit(0 if stonechat.flush(60) and stonechat.counts().recorded == 1 else 1)
        assert os.waitpid(pid, 0)[1] == 0
        assert stonechat.flush(60)
        """,
        STONECHAT_URL=agent.url,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(line["prompt"] for line in agent.lines) == ["before", "child", "parent"]


def test_what_was_recorded_last_is_sent_at_the_interpreters_exit(agent: Agent) -> None:
    done = run(
        """
        import stonechat
        from stonechat import client
        client._EXIT_SECONDS = 60
        for number in range(100):
            stonechat.record(prompt=str(number))
        """,
        STONECHAT_URL=agent.url,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert len(agent.lines) == 100


@pytest.mark.parametrize("hang", [True, False])
def test_the_interpreters_exit_waits_for_no_agent(hang: bool) -> None:
    agent = Agent(hang=True) if hang else None
    url = agent.url if agent else f"http://127.0.0.1:{free_port()}"
    program = "import stonechat; from stonechat import client; client._TIMEOUT_SECONDS = 600; "
    done = run(program + "stonechat.record(prompt='Hello?')", STONECHAT_URL=url)  # within its own time limit
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    if agent:
        agent.close()


def test_recording_as_the_interpreter_ends_is_silent(agent: Agent) -> None:
    done = run(
        """
        import atexit, stonechat
        from stonechat import client
        client._EXIT_SECONDS = 60
        class Late:
            def __del__(self):
                stonechat.record(prompt="from a finaliser")
        late = Late()
        late.itself = late
        atexit.register(lambda: stonechat.record(prompt="at exit"))
        stonechat.record(prompt="before")
        """,
        STONECHAT_URL=agent.url,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert "before" in {line["prompt"] for line in agent.lines}


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no interval timers here")
def test_a_signal_handler_may_record_in_the_middle_of_a_record(agent: Agent) -> None:
    done = run(
        """
        import signal, stonechat, time
        told = 0
        def handle(*_):
            global told
            told += 1
            stonechat.record(prompt="handler")
        signal.signal(signal.SIGALRM, handle)
        signal.setitimer(signal.ITIMER_REAL, 0.005, 0.005)
        ends = time.monotonic() + 1.5
        n = 0
        while time.monotonic() < ends:
            stonechat.record(prompt="main")
            n += 1
        signal.setitimer(signal.ITIMER_REAL, 0)
        assert stonechat.flush(60)
        counts = stonechat.counts()
        assert told > 10 and counts.recorded >= n, counts
        """,
        STONECHAT_URL=agent.url,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("letter", ["x", "\u8bdd"])
@pytest.mark.parametrize("in_parts", [False, True])
def test_a_conversation_however_long_is_sent_with_its_latest_turns(letter: str, in_parts: bool) -> None:
    """No record is lost because much was said before it: the agent keeps the latest 65,536 characters all the same."""
    texts = [f"{number} " + letter * 9_000 for number in range(100)]
    told = [
        {"role": "user", "content": [{"type": "text", "text": text}] if in_parts else text} for text in texts
    ]
    line = client._line({"messages": told, "response": letter * 65_536, "reasoning": letter * 16_000})
    assert line is not None
    record = json.loads(line)
    assert record["cut"]
    content = [
        message["content"][0]["text"] if in_parts else message["content"] for message in record["messages"]
    ]
    assert content[-1] == texts[-1]
    assert sum(map(len, content)) == client.MAX_TEXT
    assert "cut" not in json.loads(client._line({"messages": told[:3]}) or b"{}")
