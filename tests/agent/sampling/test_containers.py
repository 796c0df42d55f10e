"""Engines in containers, and version 1 of control groups: on trees, and with real namespaces and groups."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.ports import free_port

from stonechat_agent.sampling import Clock, EngineMatch, cgroups, containers
from stonechat_agent.sampling.engine import Engine
from stonechat_agent.sampling.engine_search import Search

if TYPE_CHECKING:
    from tests.agent.sampling.conftest import Named, Plant, Planted

SECOND = 1_000_000_000
HEX = "0123456789abcdef" * 4
OTHER = "fedcba9876543210" * 4
LISTENS = (
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
    "   0: {}:{:04X} 00000000:0000 {} 00000000:00000000 00:00000000 00000000  {uid}        0 911 1 0 100 0 0 10 0\n"
)
TRIE = "Local:\n  +-- 0.0.0.0/0 3 0 5\n     |-- {}\n        /32 host LOCAL\n"


def process(
    tree: Planted, pid: int, comm: str, command: str, group: str, parent: int = 1, start: int = 100
) -> None:
    numbers = " ".join(map(str, ["S", parent, *[0] * 16, 2, 0, start, 0, 50, *[0] * 28]))
    tree.write(f"proc/{pid}/stat", f"{pid} ({comm}) {numbers}\n")
    tree.write(f"proc/{pid}/cmdline", command.replace(" ", "\0") + "\0")
    tree.write(f"proc/{pid}/comm", f"{comm}\n")
    tree.write(f"proc/{pid}/cgroup", f"{group}\n")


def network(tree: Planted, pid: int, port: int, address: str = "172.17.0.2", state: str = "0A") -> None:
    tree.write(f"proc/{pid}/net/tcp", LISTENS.format("00000000", port, state, uid="   0"))
    tree.write(f"proc/{pid}/net/fib_trie", TRIE.format(address))


def proxy(tree: Planted, port: int, to: str, to_port: int) -> None:
    options = f"-proto tcp -host-ip 0.0.0.0 -host-port {port} -container-ip {to} -container-port {to_port}"
    process(tree, 500, "docker-proxy", f"/usr/bin/docker-proxy {options}", "0::/system.slice/docker.service")
    tree.write("proc/net/tcp", LISTENS.format("00000000", port, "0A", uid="   0"))


def found(tree: Planted, host: str = "127.0.0.1", port: int = 8080) -> int | None:
    match = Search(EngineMatch("e", host=host, port=port), tree.proc, tree.sys).find()
    return None if match is None else match.pid


@pytest.mark.parametrize(
    "group",
    [
        f"0::/system.slice/docker-{HEX}.scope",
        f"0::/docker/{HEX}",
        f"5:memory:/docker/{HEX}\n0::/",
        f"0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{HEX}.scope/container",
        f"0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-{HEX}.scope",
        f"4:cpuacct,cpu:/kubepods/burstable/pod1/{HEX}",
    ],
)
def test_a_container_is_known_by_its_group(plant: Plant, group: str) -> None:
    tree = plant("none")
    process(tree, 700, "llama-server", "/app/llama-server --port 8080", group)
    process(tree, 701, "bash", "bash", "0::/user.slice/session-1.scope")
    assert containers.containers(tree.proc) == [containers.Container(HEX, (700,))]


def test_dockers_proxy_tells_which_of_two_containers_it_is(plant: Plant) -> None:
    tree = plant("none")
    proxy(tree, 8080, "172.17.0.3", 80)
    for pid, name, address in ((700, HEX, "172.17.0.2"), (710, OTHER, "172.17.0.3")):
        process(tree, pid, "sh", "sh /start.sh", f"0::/docker/{name}", start=100)
        process(tree, pid + 1, "ollama", "/bin/ollama serve", f"0::/docker/{name}", parent=pid, start=200)
        for member in (pid, pid + 1):
            network(tree, member, 80, address)
    assert found(tree) == 711


def test_a_container_of_which_no_program_is_known_is_its_oldest_process(plant: Plant) -> None:
    tree = plant("none")
    proxy(tree, 8080, "172.17.0.2", 8000)
    process(tree, 700, "python3", "python3 serve.py", f"0::/docker/{HEX}")
    process(tree, 701, "python3", "python3 serve.py", f"0::/docker/{HEX}", parent=700)
    for pid in (700, 701):
        network(tree, pid, 8000)
    assert found(tree) == 700


def test_without_a_proxy_the_same_port_and_a_containers_own_address_tell(plant: Plant) -> None:
    tree = plant("none")
    process(tree, 700, "llama-server", "/app/llama-server", f"0::/docker/{HEX}")
    network(tree, 700, 8080)
    assert found(tree) == 700
    assert found(tree, host="172.17.0.2") == 700
    assert found(tree, host="172.17.0.9") is None
    assert found(tree, port=8081) is None
    network(tree, 700, 8080, state="01")
    assert found(tree) is None, "a connection is no listener"


def test_two_containers_that_could_be_it_are_none(plant: Plant) -> None:
    tree = plant("none")
    for pid, name in ((700, HEX), (710, OTHER)):
        process(tree, pid, "ollama", "/bin/ollama serve", f"0::/docker/{name}")
        network(tree, pid, 8080)
    assert found(tree) is None
    process(tree, 710, "nginx", "nginx", f"0::/docker/{OTHER}")
    assert found(tree) == 700, "of these only one is an engine by its name"


def test_what_listens_on_this_machine_itself_is_looked_for_in_no_container(plant: Plant) -> None:
    tree = plant("none")
    tree.write("proc/net/tcp", LISTENS.format("0100007F", 8080, "0A", uid=" 998"))
    process(tree, 700, "ollama", "/bin/ollama serve", f"0::/docker/{HEX}")
    network(tree, 700, 8080)
    assert found(tree) is None or os.stat(tree.root).st_uid == 998


def test_the_group_of_a_container_gives_its_figures(plant: Plant, named: Named, clock: Clock) -> None:
    tree = plant("none")
    tree.write("sys/fs/cgroup/cgroup.controllers", "cpu io memory\n")
    group = f"sys/fs/cgroup/system.slice/docker-{HEX}.scope"
    tree.write(f"{group}/memory.current", f"{1 << 30}\n")
    tree.write(f"{group}/cpu.stat", "usage_usec 1000000\n")
    tree.write(f"{group}/cgroup.procs", "700\n")
    process(tree, 700, "ollama", "/bin/ollama serve", f"0::/system.slice/docker-{HEX}.scope")
    network(tree, 700, 8080)
    engine = Engine(EngineMatch("e", host="127.0.0.1", port=8080), tree.proc, tree.sys, clock)
    engine.open()
    list(engine.read(10 * SECOND))
    tree.write(f"{group}/cpu.stat", "usage_usec 1500000\n")
    readings = named(engine.read(11 * SECOND))
    engine.close()
    assert readings["stonechat.engine.cpu.utilization e"] == 5000
    assert readings["stonechat.engine.memory.charged e"] == 1 << 20


def test_version_1_accounts_by_controller(plant: Plant, named: Named, clock: Clock) -> None:
    tree = plant("none")
    base = "sys/fs/cgroup"
    tree.write(f"{base}/memory/docker/{HEX}/memory.usage_in_bytes", f"{2 << 30}\n")
    tree.write(f"{base}/cpuacct/docker/{HEX}/cpuacct.usage", "1000000000\n")
    io = f"{base}/blkio/docker/{HEX}/blkio.throttle.io_service_bytes"
    tree.write(io, "8:0 Read 4096\n8:0 Write 512\n8:0 Total 4608\n253:0 Read 4096\nTotal 8704\n")
    (tree.root / "sys/dev/block").mkdir(parents=True)
    (tree.root / "sys/dev/block/253:0").symlink_to("../../devices/virtual/block/dm-0")
    for controller in ("memory", "cpuacct", "blkio"):
        tree.write(f"{base}/{controller}/docker/{HEX}/cgroup.procs", "700\n")
    lines = f"7:blkio:/docker/{HEX}\n4:memory:/docker/{HEX}\n3:cpu,cpuacct:/docker/{HEX}\n1:name=systemd:/docker/{HEX}"
    process(tree, 700, "ollama", "/bin/ollama serve", lines)
    engine = Engine(EngineMatch("e", process="ollama"), tree.proc, tree.sys, clock)
    engine.open()
    list(engine.read(10 * SECOND))
    tree.write(f"{base}/cpuacct/docker/{HEX}/cpuacct.usage", "1250000000\n")
    tree.write(io, "8:0 Read 12288\n8:0 Write 512\n8:0 Total 12800\n253:0 Read 12288\nTotal 12800\n")
    readings = named(engine.read(11 * SECOND))
    engine.close()
    assert readings["stonechat.engine.cpu.utilization e"] == 2500
    assert readings["stonechat.engine.memory.charged e"] == 2 << 20
    assert readings["stonechat.engine.io.read e"] == 8192


# With what this machine gives: root and version 1's hierarchies.

LEGACY = Path("/sys/fs/cgroup/memory")


@pytest.fixture
def legacy_group() -> Iterator[Path]:
    """Give a real memory group under /docker, as a container's would be named, and as no other test's is."""
    place = LEGACY / "docker" / secrets.token_hex(32)
    made = not place.parent.exists()
    try:
        place.mkdir(parents=True)
    except OSError as error:
        pytest.skip(f"no version 1 memory group can be made here: {error.strerror}")
    yield place
    until(lambda: _removed(place))
    if made:
        with contextlib.suppress(OSError):  # another test has a group in it
            place.parent.rmdir()


def _removed(directory: Path) -> bool:
    try:
        directory.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.02)


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare")
def test_a_real_server_in_a_network_of_its_own_is_found_and_accounted(
    legacy_group: Path, named: Named
) -> None:
    """By another user too: what is needed of another's process is open to all."""
    port = free_port()  # no other server has it, in whatever network: all of them are searched
    # A group is charged for the pages that its members touch once they are in it, so the server takes memory when told.
    server = (
        "import socket, sys, time\n"
        "sys.stdin.readline()\n"
        "memory = b'x' * (16 << 20)\n"
        "s = socket.create_server(('0.0.0.0', int(sys.argv[1])))\n"
        "print('up', flush=True)\n"
        "time.sleep(60)\n"
    )
    child = subprocess.Popen(
        ["unshare", "--net", sys.executable, "-c", server, str(port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        (legacy_group / "cgroup.procs").write_text(f"{child.pid}\n")
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(b"go\n")
        child.stdin.flush()
        if child.stdout.readline() != b"up\n":
            pytest.skip("no network namespace can be made here")
        engine = Engine(EngineMatch("e", host="127.0.0.1", port=port), "/proc", "/sys", Clock())
        engine.open()
        readings = named(engine.read(SECOND))
        assert engine.pids == {child.pid}
        assert readings["stonechat.engine.up e"] == 10_000
        assert readings["stonechat.engine.memory.charged e"] >= 16 << 10
        assert cgroups.legacy_groups("/proc", "/sys", child.pid)["memory"] == str(legacy_group)
        engine.close()
        code = (
            "import os, sys\n"
            "from stonechat_agent.sampling import EngineMatch\n"
            "from stonechat_agent.sampling.engine_search import Search\n"
            "os.setgid(65534); os.setuid(65534)\n"
            "print(Search(EngineMatch('e', host='127.0.0.1', port=int(sys.argv[1])), '/proc', '/sys').find().pid)\n"
        )
        told = subprocess.run(
            [sys.executable, "-c", code, str(port)], capture_output=True, text=True, check=False
        )
        assert told.stdout.strip() == str(child.pid), told.stderr
    finally:
        child.kill()
        child.wait()
