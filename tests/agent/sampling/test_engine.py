"""Finding an engine's processes and following them: on trees, and with real processes that this test starts."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.ports import free_port

from stonechat_agent.sampling import Clock, EngineMatch, engine_search, processes
from stonechat_agent.sampling.engine import Engine
from stonechat_agent.sampling.engine_search import Listener, Search, _addresses
from stonechat_agent.sampling.processes import PROCESSES, Tree, descendants, parse_stat

if TYPE_CHECKING:
    from tests.agent.sampling.conftest import Named, Plant, Planted

SECOND = 1_000_000_000
UP = "stonechat.engine.up e"
RESTARTS = "stonechat.engine.restarts e"
FAULTS = "stonechat.engine.paging.faults e"


def engine_of(tree: Planted, clock: Clock, **how: str | int) -> Engine:
    made = Engine(EngineMatch("e", **how), tree.proc, tree.sys, clock)  # type: ignore[arg-type]
    made.open()
    return made


def change(tree: Planted, path: str, old: str, new: str) -> None:
    text = (tree.root / path).read_text()
    assert old in text
    tree.write(path, text.replace(old, new))


def remove(place: Path) -> None:
    """End a process of a tree: its files, as its descriptors, say no more."""
    for path in sorted(place.rglob("*"), reverse=True):
        if path.is_dir():
            path.rmdir()
        else:
            path.write_bytes(b"")
            path.unlink()
    place.rmdir()


@pytest.mark.parametrize(
    "how",
    [
        {"unit": "ollama.service"},
        {"unit": "ollama"},
        {"process": "ollama"},
        {"process": "ollama serve"},
        {"process": "/usr/local/bin/ollama"},
    ],
)
def test_an_engine_is_found_by(plant: Plant, clock: Clock, named: Named, how: dict[str, str]) -> None:
    engine = engine_of(plant("x86"), clock, **how)
    assert named(engine.read(SECOND))[UP] == 10000
    assert engine.pids == {900, 950}
    engine.close()


@pytest.mark.parametrize(
    "how",
    [{"unit": "llama"}, {"process": "ollam"}, {"process": "llama-server"}, {"pid_file": "/nowhere"}, {}],
)
def test_what_cannot_be_told_is_unknown_not_down(plant: Plant, clock: Clock, how: dict[str, str]) -> None:
    engine = engine_of(plant("x86"), clock, **how)
    for second in range(8):
        assert list(engine.read(second * SECOND)) == []
    engine.close()


def test_a_pid_file(plant: Plant, clock: Clock) -> None:
    tree = plant("x86")
    tree.write("run/ollama.pid", "900\n")
    engine = engine_of(tree, clock, pid_file=str(tree.root / "run/ollama.pid"))
    list(engine.read(SECOND))
    assert engine.pids == {900, 950}
    engine.close()


@pytest.mark.parametrize("content", ["", "x", "-1", "0", "999999", "950 junk", "9" * 5000])
def test_a_pid_file_with_something_else_in_it(plant: Plant, clock: Clock, content: str) -> None:
    tree = plant("x86")
    tree.write("run/pid", content)
    engine = engine_of(tree, clock, pid_file=str(tree.root / "run/pid"))
    assert list(engine.read(SECOND)) == []


def test_a_name_longer_than_the_kernel_keeps(plant: Plant, clock: Clock) -> None:
    tree = plant("x86")
    tree.write("proc/900/comm", "text-generation\n")
    tree.write("proc/900/cmdline", "/opt/text-generation-server\0--port\0")
    tree.write("proc/950/comm", "text-generation\n")
    tree.write("proc/950/cmdline", "/opt/text-generation-other\0")
    assert Search(EngineMatch("e", process="text-generation-server"), tree.proc, tree.sys).find() == (
        900,
        5000,
        None,
    )
    assert Search(EngineMatch("e", process="text-generation-launcher"), tree.proc, tree.sys).find() is None


def test_a_unit_of_many_processes_is_bounded_and_its_group_still_its_own(
    plant: Plant, clock: Clock, named: Named
) -> None:
    tree = plant("x86")
    line = "{0} (worker) S 900 0 0 0 -1 0 0 0 0 0 1 1 0 0 20 0 1 0 {0} 1 1 1\n"
    workers = range(1000, 1000 + 2 * PROCESSES)
    for pid in workers:
        tree.write(f"proc/{pid}/stat", line.format(pid))
    group = "sys/fs/cgroup/system.slice/ollama.service"
    tree.write(f"{group}/cgroup.procs", "".join(f"{pid}\n" for pid in workers))
    tree.write(f"{group}/main/cgroup.procs", "900\n")
    engine = engine_of(tree, clock, unit="ollama")
    readings = named(engine.read(SECOND))
    assert len(engine.pids) == PROCESSES
    assert 900 in engine.pids
    assert readings["stonechat.engine.memory.charged e"] == 4194304
    engine.close()


def test_a_unit_with_a_dot_in_its_name(plant: Plant, clock: Clock) -> None:
    tree = plant("x86")
    slice_ = tree.root / "sys/fs/cgroup/system.slice"
    (slice_ / "ollama.service").rename(slice_ / "llama-3.1.service")
    assert Search(EngineMatch("e", unit="llama-3.1"), tree.proc, tree.sys).find() is not None


def test_a_unit_under_version_1_of_control_groups(plant: Plant, clock: Clock, named: Named) -> None:
    tree = plant("x86")
    os.unlink(tree.root / "sys/fs/cgroup/cgroup.controllers")
    (tree.root / "sys/fs/cgroup/system.slice").rename(tree.root / "sys/fs/cgroup/moved")
    tree.write(
        "sys/fs/cgroup/systemd/user.slice/user-1000.slice/app.slice/ollama.service/cgroup.procs", "900\n"
    )
    tree.write(
        "sys/fs/cgroup/systemd/user.slice/user-1000.slice/app.slice/ollama.service/sub/cgroup.procs", "950\n"
    )
    engine = engine_of(tree, clock, unit="ollama")
    readings = named(engine.read(SECOND))
    assert engine.pids == {900, 950}
    assert "stonechat.engine.memory.charged e" not in readings
    engine.close()


def test_a_group_that_holds_more_than_the_engine_is_not_its_own(
    plant: Plant, clock: Clock, named: Named
) -> None:
    tree = plant("x86")
    tree.write("proc/800/stat", "800 (bash) S 1 800 800 0 -1 0 0 0 0 0 1 1 0 0 20 0 1 0 100 1 1 1\n")
    tree.write("sys/fs/cgroup/system.slice/ollama.service/cgroup.procs", "800\n900\n950\n")
    engine = engine_of(tree, clock, process="ollama")
    list(engine.read(0))
    tree.later()
    readings = named(engine.read(SECOND))
    assert "stonechat.engine.memory.charged e" not in readings
    # By the processes' own ticks: 3 and 120 of them.
    assert readings["stonechat.engine.cpu.utilization e"] == 12300
    engine.close()


def test_another_process_under_the_same_number_is_a_restart(plant: Plant, clock: Clock, named: Named) -> None:
    tree = plant("x86")
    tree.write("proc/900/cgroup", "0::/\n")
    engine = engine_of(tree, clock, process="ollama")
    list(engine.read(0))
    # Started after boot + 120 s, when the tree was last looked at: all its faults are of its own.
    change(tree, "proc/900/stat", " 0 40 0 1000 200 0 0 20 0 2 0 5000 ", " 0 12 0 5 5 0 0 20 0 2 0 12100 ")
    readings = named(engine.read(6 * SECOND))
    assert readings[UP] == 10000
    assert readings[RESTARTS] == 1
    assert readings[FAULTS] == 12
    assert "stonechat.engine.cpu.utilization e" not in readings
    change(tree, "proc/900/stat", " 0 12 0 5 5 ", " 0 14 0 105 5 ")
    readings = named(engine.read(7 * SECOND))
    assert RESTARTS not in readings
    assert readings[FAULTS] == 2
    assert readings["stonechat.engine.cpu.utilization e"] == 10000
    engine.close()


def test_opening_the_source_anew_is_no_restart(plant: Plant, clock: Clock, named: Named) -> None:
    engine = engine_of(plant("x86"), clock, process="ollama")
    list(engine.read(0))
    engine.close()
    engine.open()
    readings = named(engine.read(SECOND))
    assert readings[UP] == 10000
    assert RESTARTS not in readings
    assert FAULTS not in readings
    engine.close()


def test_an_engine_that_nobody_buried_is_down(plant: Plant, clock: Clock, named: Named) -> None:
    tree = plant("x86")
    engine = engine_of(tree, clock, process="ollama")
    list(engine.read(0))
    change(tree, "proc/900/stat", "(ollama) S", "(ollama) Z")
    change(tree, "proc/950/stat", "(ollama (runner)) R", "(ollama (runner)) Z")
    assert named(engine.read(SECOND)) == {UP: 0}
    assert engine.pids == frozenset()
    engine.close()


def test_a_child_that_died_or_gave_its_number_away_counts_no_more(plant: Plant, clock: Clock) -> None:
    tree = plant("x86")
    followed = Tree(tree.proc, clock.boottime_ns, tasks=False)
    for old, new in (("(runner)) R", "(runner)) Z"), ("1 0 6000 ", "1 0 7000 ")):
        followed.renew([900, 950])
        assert followed.pids == {900, 950}
        change(tree, "proc/950/stat", old, new)
        assert followed.read().threads == 2
        assert followed.pids == {900}
        change(tree, "proc/950/stat", new, old)
    followed.close()


def test_an_engine_that_goes_is_down_and_is_looked_for_every_five_seconds(
    plant: Plant, clock: Clock, named: Named, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = plant("x86")
    engine = engine_of(tree, clock, process="ollama")
    list(engine.read(0))
    for pid in (900, 950):
        remove(tree.root / f"proc/{pid}")
    searches = 0
    find = Search.find

    def counted(search: Search) -> object:
        nonlocal searches
        searches += 1
        return find(search)

    monkeypatch.setattr(Search, "find", counted)
    for second in range(1, 21):
        assert named(engine.read(second * SECOND)) == {UP: 0}
    assert engine.pids == frozenset()
    assert searches == 4
    engine.close()


def test_an_engine_that_goes_while_something_listens_at_its_port_is_not_said_to_be_down(
    plant: Plant, clock: Clock, named: Named
) -> None:
    plant("listeners")
    tree = plant("x86")
    engine = engine_of(tree, clock, process="ollama", host="127.0.0.1", port=11434)
    assert named(engine.read(0))[UP] == 10000
    for pid in (900, 950):
        remove(tree.root / f"proc/{pid}")
    assert list(engine.read(6 * SECOND)) == []
    change(tree, "proc/net/tcp", "0100007F:2CAA", "0100007F:2CAB")
    # Asked as often as the engine is looked for.
    assert list(engine.read(7 * SECOND)) == []
    assert named(engine.read(11 * SECOND)) == {UP: 0}
    engine.close()


@pytest.mark.skipif(sys.byteorder == "big", reason="the table was written by a little-endian kernel")
@pytest.mark.parametrize(
    ("host", "port", "inodes"),
    [
        ("127.0.0.1", 11434, {b"4711"}),
        ("localhost", 11434, {b"4711"}),
        ("192.168.1.5", 11434, {b"4714"}),
        ("192.168.1.6", 11434, set()),
        ("engine.example", 11434, set()),
        ("127.0.0.1", 8081, set()),
        ("127.0.0.1", 11435, {b"4811"}),
        ("192.168.1.5", 11435, {b"4811"}),
        # Another machine: what listens here at the same port is not it.
        ("192.168.1.6", 11435, set()),
        ("engine.example", 11435, set()),
        ("::1", 11436, {b"4812"}),
        ("[::1]", 11436, {b"4812"}),
        ("127.0.0.1", 11437, {b"4813"}),
        ("127.0.0.1", 0, set()),
    ],
)
def test_listeners_at_the_upstream(
    plant: Plant, monkeypatch: pytest.MonkeyPatch, host: str, port: int, inodes: set[bytes]
) -> None:
    monkeypatch.setattr(engine_search, "_is_here", lambda address: address == "192.168.1.5")
    tree = plant("listeners")
    assert Search(EngineMatch("e", host=host, port=port), tree.proc, tree.sys).listeners() == {
        Listener(inode, 998) for inode in inodes
    }


def test_a_listener_is_told_by_its_descriptor_unless_it_holds_the_port_for_another(
    plant: Plant, clock: Clock
) -> None:
    plant("listeners")
    tree = plant("x86")
    for pid in (900, 950):
        (tree.root / f"proc/{pid}/fd").mkdir()
        (tree.root / f"proc/{pid}/fd/3").symlink_to("socket:[4711]")
    search = Search(EngineMatch("e", host="127.0.0.1", port=11434), tree.proc, tree.sys)
    assert search.find() == (900, 5000, None)
    for pid in (900, 950):
        change(tree, f"proc/{pid}/stat", "(ollama", "(docker-proxy")
        change(tree, f"proc/{pid}/cmdline", "ollama", "docker-proxy")
    change(tree, "proc/950/stat", "(docker-proxy (runner))", "(docker-proxy)")
    assert search.find() is None


def test_of_several_programs_of_one_name_the_one_at_the_port_is_taken(plant: Plant, clock: Clock) -> None:
    plant("listeners")
    tree = plant("none")
    line = "{0} (llama-server) S 1 0 0 0 -1 0 0 0 0 0 1 1 0 0 20 0 1 0 {0} 1 1 1\n"
    for pid, port in ((70, 8080), (71, 18081), (72, 8081)):
        tree.write(f"proc/{pid}/stat", line.format(pid))
        tree.write(f"proc/{pid}/cmdline", f"/usr/bin/llama-server\0--port\0{port}\0")

    def found(port: int) -> tuple[int, int, None]:
        match = EngineMatch("e", process="llama-server", host="127.0.0.1", port=port)
        return Search(match, tree.proc, tree.sys).find()  # type: ignore[return-value]

    assert found(8081) == (72, 72, None)
    assert found(0) == (70, 70, None)
    # What holds the socket goes before what the command line says: 11434 is that of inode 4711.
    (tree.root / "proc/71/fd").mkdir()
    (tree.root / "proc/71/fd/3").symlink_to("socket:[4711]")
    assert found(11434) == (71, 71, None)


@pytest.mark.parametrize(
    ("command_lines", "found"),
    [
        (["/usr/bin/llama-server -m x.gguf", "/bin/sh"], 70),
        (["/bin/sh", "/usr/local/bin/ollama serve"], 71),
        (["/usr/bin/python3 /opt/vllm/bin/vllm serve x", "/bin/sh"], 70),
        (["/usr/bin/python3 -m vllm.entrypoints.openai.api_server", "/bin/sh"], 70),
        (["/opt/own-engine --port 11434", "/bin/sh"], 70),
        (["/opt/own-engine --port=11434", "/bin/sh"], 70),
        (["/usr/bin/llama-server --port 8080", "/usr/bin/llama-server --port 11434"], 71),
        # Who it is cannot be told.
        (["/usr/bin/llama-server", "/usr/bin/llama-server"], None),
        (["/opt/own-engine --port 114345", "/bin/sh"], None),
        (["/usr/bin/docker-proxy -host-port 11434", "/bin/sh"], None),
        (["/usr/bin/curl http://127.0.0.1:11434/", "/bin/sh"], None),
    ],
)
def test_another_users_engine_is_told_by_the_sockets_user_and_its_own_name(
    plant: Plant, command_lines: list[str], found: int | None
) -> None:
    plant("listeners")
    tree = plant("none")
    change(tree, "proc/net/tcp", "   998 ", f"   {os.getuid()} ")
    for pid, command_line in zip((70, 71), command_lines, strict=True):
        tree.write(f"proc/{pid}/stat", f"{pid} (x) S 1 0 0 0 -1 0 0 0 0 0 1 1 0 0 20 0 1 0 {pid} 1 1 1\n")
        tree.write(f"proc/{pid}/cmdline", command_line.replace(" ", "\0") + "\0")
    search = Search(EngineMatch("e", host="127.0.0.1", port=11434), tree.proc, tree.sys)
    assert search.find() == (None if found is None else (found, found, None))


def test_an_engine_of_another_user_than_the_sockets_is_not_taken(plant: Plant) -> None:
    plant("listeners")
    tree = plant("none")
    change(tree, "proc/net/tcp", "   998 ", f"   {os.getuid() + 1} ")
    tree.write("proc/70/stat", "70 (ollama) S 1 0 0 0 -1 0 0 0 0 0 1 1 0 0 20 0 1 0 70 1 1 1\n")
    tree.write("proc/70/cmdline", "/usr/bin/ollama\0serve\0")
    assert Search(EngineMatch("e", host="127.0.0.1", port=11434), tree.proc, tree.sys).find() is None


@pytest.mark.parametrize(("took_s", "again_s"), [(0.0, 5), (0.04, 20)])
def test_a_search_that_takes_long_is_made_more_seldom(
    plant: Plant, monkeypatch: pytest.MonkeyPatch, took_s: float, again_s: int
) -> None:
    now = 0
    searched = []

    def slow(search: Search) -> None:
        nonlocal now
        searched.append(now)
        now += round(took_s * SECOND)

    monkeypatch.setattr(Search, "find", slow)
    engine = engine_of(plant("x86"), Clock(lambda: now, lambda: now), process="none")
    for second in range(45):
        now = max(now, second * SECOND)
        list(engine.read(now))
    gaps = {round((after - before) / SECOND) for before, after in itertools.pairwise(searched)}
    assert gaps == {again_s}


@pytest.mark.parametrize(
    ("address", "here"),
    [("127.0.0.1", True), ("192.0.2.1", False), ("2001:db8::1", False), ("localhost", False), ("1", False)],
)
def test_an_address_is_this_machines_own(address: str, here: bool) -> None:
    """192.0.2.0/24 and 2001:db8::/32 are for documentation, and no machine's."""
    assert engine_search._is_here(address) is here


def test_every_spelling_of_loopback_is_the_same() -> None:
    spellings = ["localhost", "127.0.0.1", "::1", "[::1]", "0.0.0.0", ""]
    assert all(b"0100007F" in _addresses(host) or sys.byteorder == "big" for host in spellings)


def test_a_name_may_hold_anything() -> None:
    line = b"7 (a) R 9 (b) S 1 7 7 0 -1 4194560 1000 0 40 0 1000 200 0 0 20 0 2 0 5000 2147483648 10000 1\n"
    stat = parse_stat(line)
    assert (stat.comm, stat.state, stat.parent, stat.start) == (b"a) R 9 (b", b"S", 1, 5000)


@pytest.mark.parametrize("line", [b"", b"7", b"7 (x", b"7 (x) S", b"7 )x( S 1", b"7 (x) " + b"x " * 30])
def test_another_text_than_a_stat_line_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError):
        parse_stat(line)


def test_children_without_their_own_file(plant: Plant) -> None:
    """CONFIG_PROC_CHILDREN may be off."""
    tree = plant("x86")
    for path in tree.root.glob("proc/*/task/*/children"):
        path.unlink()
    tree.write("proc/960/stat", "960 (x) S 950 1 1 0 -1 0 0 0 0 0 1 1 0 0 20 0 1 0 9000 1 1 1\n")
    tree.write("proc/970/stat", "970 (x) S 1 1 1 0 -1 0 0 0 0 0 1 1 0 0 20 0 1 0 9000 1 1 1\n")
    assert descendants(tree.proc, 900) == [900, 950, 960]


def test_a_tree_is_bounded(plant: Plant) -> None:
    tree = plant("none")
    tree.write("proc/1000/task/1000/children", " ".join(str(pid) for pid in range(2000, 2500)))
    assert len(descendants(tree.proc, 1000)) == PROCESSES


def test_many_threads_are_asked_more_seldom_and_nothing_is_lost(
    plant: Plant, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "THREADS", 4)
    tree = plant("none")
    threads = 3 * 4
    tree.write("proc/5/stat", f"5 (x) S 1 5 5 0 -1 0 0 0 0 0 1 1 0 0 20 0 {threads} 0 100 1 1 1\n")

    def run(second: int) -> None:
        for tid in range(5, 5 + threads):
            tree.write(f"proc/5/task/{tid}/schedstat", f"0 {1000 * second} 1\n")
            tree.write(f"proc/5/task/{tid}/status", f"Name: x\nnonvoluntary_ctxt_switches: {second}\n")

    followed = Tree(tree.proc, clock.boottime_ns, tasks=True)
    followed.renew([5])
    delays, switches = {}, {}
    for second in range(1, 32):
        run(second)
        usage = followed.read()
        if usage.run_delay_ns is not None:
            delays[second] = usage.run_delay_ns
        if usage.preemptions is not None:
            switches[second] = usage.preemptions
    assert delays == dict.fromkeys(range(6, 32, 3), 3000 * threads)
    assert switches == {16: 15 * threads, 31: 15 * threads}
    followed.close()


# Real processes from here on.

SERVER = """
import os, signal, socket, sys, threading, time
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
for _ in range(3):
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
if os.fork() == 0:
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(120)
    while os.getppid() != 1:
        sum(range(10000))
    os._exit(0)
print(listener.getsockname()[1], os.getpid(), flush=True)
time.sleep(120)
"""


# Each of a name of its own: the child of one that was killed may still be there when the next test begins.
_numbers = itertools.count()


class Server:
    """A small server with a child that is busy, as an engine is."""

    def __init__(self, port: int = 0, name: str = "") -> None:
        self.name = name or f"test-engine-{os.getpid()}-{next(_numbers)}"
        arguments = [self.name, "-c", SERVER, str(port)]
        self.process = subprocess.Popen(
            arguments, executable=sys.executable, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        assert self.process.stdout is not None
        self.port, self.pid = (int(word) for word in self.process.stdout.readline().split())

    def stop(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(port: int = 0, name: str = "") -> Server:
        servers.append(Server(port, name))
        return servers[-1]

    yield start
    for server in servers:
        if server.process.poll() is None:
            server.stop()


@pytest.mark.parametrize("by", ["port", "process", "pid_file"])
def test_a_real_engine_is_followed_through_a_restart(
    serve: Callable[..., Server], named: Named, tmp_path: Path, by: str
) -> None:
    server = serve(free_port())  # which the other one is given too
    pid_file = tmp_path / "pid"
    pid_file.write_text(f"{server.pid}\n")
    how = {
        "port": EngineMatch("e", host="127.0.0.1", port=server.port),
        "process": EngineMatch("e", process=server.name),
        "pid_file": EngineMatch("e", pid_file=str(pid_file)),
    }[by]
    engine = Engine(how, "/proc", "/sys", Clock())
    engine.open()

    def read(after_s: float = 0.0) -> dict[str, int]:
        time.sleep(after_s)
        return named(engine.read(time.monotonic_ns()))

    first = read()
    assert first[UP] == 10000
    assert len(engine.pids) == 2
    assert first["stonechat.engine.threads e"] == 5
    assert first["stonechat.engine.memory.rss e"] > 4096
    second = read(0.5)
    # On a busy machine the child gets less than a core, but it gets something, and then it waits.
    assert second["stonechat.engine.cpu.utilization e"] > 100
    assert second["stonechat.engine.cpu.run_delay e"] >= 0
    assert second["stonechat.engine.io.read e"] >= 0

    server.stop()
    # Until the child, killed too, has let go of the socket, something listens there.
    deadline = time.monotonic() + 60
    while not (gone := read(0.01)):
        assert time.monotonic() < deadline
    assert gone == {UP: 0}
    assert engine.pids == frozenset()
    other = serve(server.port, server.name)
    pid_file.write_text(f"{other.pid}\n")
    # The next search comes five seconds after the last one, or more where that took long.
    later = named(engine.read(time.monotonic_ns() + 60 * SECOND))
    assert later[UP] == 10000
    assert later[RESTARTS] == 1
    assert other.pid in engine.pids
    assert server.pid not in engine.pids
    assert RESTARTS not in named(engine.read(time.monotonic_ns() + 61 * SECOND))
    engine.close()


def test_a_child_that_is_born_and_dies_is_followed_without_a_restart(
    serve: Callable[..., Server], named: Named
) -> None:
    server = serve(0)
    engine = Engine(EngineMatch("e", process=server.name), "/proc", "/sys", Clock())
    engine.open()
    now = time.monotonic_ns()
    list(engine.read(now))
    (child,) = engine.pids - {server.pid}
    os.kill(child, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while len(engine.pids) == 2 and time.monotonic() < deadline:
        now += SECOND
        readings = named(engine.read(now))
    assert engine.pids == {server.pid}
    assert readings[UP] == 10000
    assert RESTARTS not in readings
    engine.close()


def test_the_listener_of_this_process_itself_is_no_engine() -> None:
    """The relay listens too; it must not find itself when someone gives its own port as the upstream."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        search = Search(EngineMatch("e", host="127.0.0.1", port=port), "/proc", "/sys")
        assert len(search.listeners()) == 1
        found = search.find()
        # Where another engine of this user runs, that one is likely: this process never is.
        assert found is None or found.pid != os.getpid()
