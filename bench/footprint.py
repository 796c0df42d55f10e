"""What the agent costs its device: memory, CPU, disk and payload, idle and under traffic, beside a peer.

    ./dev bench footprint [--minutes N] [--traffic-minutes N]

The real agent at its defaults (1 Hz, windows of a minute) with a TLS uplink to a mosquitto and the real collector
behind it: N minutes idle, then N minutes with a user who asks a demo engine through the relay (default 3). CPU time,
bytes written and payload are the kernel's and the broker's figures of those spans. In the end everything but the agent
stops, this program turns into a shell, and that reads the agent's PSS, so that no other Python shares its pages. The
peer is node_exporter, scraped once a second, where it is installed (apt-get install prometheus-node-exporter).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from stonechat_collector.demo.load import User, openai_chat

PAGE_KIB = os.sysconf("SC_PAGE_SIZE") / 1024
TICKS = os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Run the phases, print the table, and become the shell that reads the memory."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--minutes", type=float, default=3, help="length of each phase")
    parser.add_argument(
        "--traffic-minutes", type=float, help="length of the phase with traffic, where it differs"
    )
    asked = parser.parse_args()
    seconds = asked.minutes * 60
    traffic_seconds = seconds if asked.traffic_minutes is None else asked.traffic_minutes * 60
    for program in ("mosquitto", "openssl"):
        if shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin") is None:
            sys.exit(f"footprint: {program} is not installed\n  hint: apt-get install {program}")
    os.environ["PATH"] += ":/usr/sbin"
    state = Path(tempfile.mkdtemp(prefix="stonechat-footprint-"))
    broker, engine, relay, local, web, peer = ports(6)
    certificates(state)
    write_settings(state, broker=broker, engine=engine, relay=relay, local=local, web=web)
    with contextlib.ExitStack() as rest:
        rest.enter_context(running("mosquitto", "-c", str(state / "mosquitto.conf")))
        wait_for(broker)
        rest.enter_context(stonechat("collector", "--config", str(state / "collector.toml")))
        rest.enter_context(stonechat("demo-engine", "--listen", f"127.0.0.1:{engine}"))
        payloads = rest.enter_context(listening(state, broker))
        exporter = rest.enter_context(scraped(peer))
        agent = subprocess.Popen(
            [sys.executable, "-m", "stonechat_agent", "agent", "--config", str(state / "agent.toml")],
            stderr=(state / "agent.log").open("wb"),
        )
        wait_for(relay)
        wait_for(engine)
        time.sleep(10)
        print(f"{'phase':22} {'CPU, % of a core':>17} {'written, B/s':>13} {'payload, B a window':>20}")
        phase("idle", agent.pid, seconds, payloads)
        if exporter is not None:
            begun, cpu = time.monotonic(), cpu_seconds(exporter)
            time.sleep(30)
            share = 100 * (cpu_seconds(exporter) - cpu) / (time.monotonic() - begun)
            print(f"{'  node_exporter at 1 Hz':22} {share:17.2f} {'':13} {'':20} PSS {pss(exporter):.1f} MiB")
        user = User(
            f"http://127.0.0.1:{relay}",
            seed=1,
            tokens=48,
            think_seconds=4.0,
            model="demo",
            asks=(openai_chat,),
        )
        user.start()
        phase("ten exchanges a minute", agent.pid, traffic_seconds, payloads)
        user.stop()
        print(f"{'':22} answers {user.answers}, failures {user.failures}")
        time.sleep(6)
        before = pss(agent.pid)
    time.sleep(1)
    script = f"""
        awk '/^Pss:/ {{ printf "PSS, no other Python running: %.1f MiB (target 32)\\n", $2 / 1024 }}' \\
            /proc/{agent.pid}/smaps_rollup
        awk '/^VmHWM:/ {{ h = $2 }} /^VmRSS:/ {{ r = $2 }}
            END {{ printf "resident %.1f MiB, its peak %.1f MiB\\n", r / 1024, h / 1024 }}' /proc/{agent.pid}/status
        kill {agent.pid}; sleep 2; rm -rf {state}"""
    print(f"\nPSS beside other Python processes: {before:.1f} MiB", flush=True)
    os.execv("/bin/sh", ["/bin/sh", "-c", script])


def phase(name: str, pid: int, seconds: float, payloads: list[int]) -> None:
    """Let time pass, and print what the agent used meanwhile."""
    begun, cpu, written, seen = time.monotonic(), cpu_seconds(pid), bytes_written(pid), len(payloads)
    time.sleep(seconds)
    span = time.monotonic() - begun
    cpu, written = cpu_seconds(pid) - cpu, bytes_written(pid) - written
    sizes = payloads[seen:]
    payload = f"{statistics.median(sizes):.0f} (of {len(sizes)})" if sizes else "none"
    print(f"{name:22} {100 * cpu / span:17.2f} {written / span:13.0f} {payload:>20}", flush=True)


def cpu_seconds(pid: int) -> float:
    """User and system time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def bytes_written(pid: int) -> int:
    """Bytes that a process caused to be written to storage."""
    for line in Path(f"/proc/{pid}/io").read_text().splitlines():
        if line.startswith("write_bytes:"):
            return int(line.split()[1])
    return 0


def pss(pid: int) -> float:
    """Proportional set size in MiB."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0


def ports(count: int) -> list[int]:
    """Free ports of loopback."""
    with contextlib.ExitStack() as held:
        found = []
        for _ in range(count):
            one = held.enter_context(socket.socket())
            one.bind(("127.0.0.1", 0))
            found.append(int(one.getsockname()[1]))
    return found


def certificates(state: Path) -> None:
    """A CA that is the broker's certificate too."""
    subprocess.run(
        [
            *(
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-days",
                "2",
                "-subj",
                "/CN=localhost",
            ),
            *(
                "-addext",
                "subjectAltName=IP:127.0.0.1",
                "-keyout",
                str(state / "key.pem"),
                "-out",
                str(state / "ca.pem"),
            ),
        ],
        check=True,
        capture_output=True,
    )
    for name in ("key.pem", "ca.pem"):
        (state / name).chmod(0o644)
    state.chmod(0o755)


def write_settings(state: Path, *, broker: int, engine: int, relay: int, local: int, web: int) -> None:
    """Configurations of broker, collector and agent."""
    (state / "mosquitto.conf").write_text(
        f"listener {broker} 127.0.0.1\nallow_anonymous true\ncertfile {state}/ca.pem\nkeyfile {state}/key.pem\n"
    )
    link = f'url = "mqtts://127.0.0.1:{broker}"\nca_file = "{state}/ca.pem"\n'
    (state / "collector.toml").write_text(
        f'[web]\nlisten = "127.0.0.1:{web}"\n[store]\nurl = "sqlite:///{state}/fleet.db"\n'
        f"[broker]\nembedded = false\n{link}"
    )
    (state / "agent.toml").write_text(
        f'[device]\nid = "bench"\n[engine]\nupstream = "http://127.0.0.1:{engine}"\nlisten = "127.0.0.1:{relay}"\n'
        f'[spool]\npath = "{state}/spool"\n[mqtt]\n{link}[local]\nlisten = "127.0.0.1:{local}"\n'
    )


@contextlib.contextmanager
def running(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is ended in the end."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def stonechat(*arguments: str) -> contextlib.AbstractContextManager[subprocess.Popen[bytes]]:
    """One of our own commands."""
    return running(sys.executable, "-m", "stonechat_agent", *arguments)


def wait_for(port: int) -> None:
    """Wait until something listens."""
    for _ in range(300):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    sys.exit(f"footprint: nothing listens on 127.0.0.1:{port}")


@contextlib.contextmanager
def listening(state: Path, broker: int) -> Iterator[list[int]]:
    """Sizes of the payloads that the broker sees on up/window."""
    sizes: list[int] = []
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.tls_set(str(state / "ca.pem"))
    client.on_connect = lambda c, *_: c.subscribe("stonechat/1/+/+/up/window", 0)
    client.on_message = lambda _c, _u, message: sizes.append(len(message.payload))
    client.connect("127.0.0.1", broker)
    client.loop_start()
    try:
        yield sizes
    finally:
        client.disconnect()
        client.loop_stop()


@contextlib.contextmanager
def scraped(port: int) -> Iterator[int | None]:
    """The process id of a node_exporter that is scraped once a second; None where there is none."""
    program = shutil.which("prometheus-node-exporter") or shutil.which("node_exporter")
    if program is None:
        print("no peer: prometheus-node-exporter is not installed\n")
        yield None
        return
    over = threading.Event()

    def scrape() -> None:
        while not over.wait(1.0):
            with (
                contextlib.suppress(OSError),
                urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer,
            ):
                answer.read()

    with running(program, f"--web.listen-address=127.0.0.1:{port}") as process:
        threading.Thread(target=scrape, daemon=True).start()
        yield process.pid
        over.set()


if __name__ == "__main__":
    main()
