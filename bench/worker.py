"""What the scoring worker costs while it scores everything: relay latency, the engine's tokens/s, memory.

    ./dev bench worker [--rounds N] [--seconds N] [--engine URL] [--json]

One process has a relay and a keeper, as the agent does. In turns the keeper scores without a pause, every answer by
both tiers and also while the engine decodes (`when = "always"`), and does nothing at all, its worker gone. In both the
relay is timed beside the direct path (as in `./dev bench relay`), and an engine is asked with as many users as it has
slots: the demo engine, or one that runs already, such as a llama-server (`--engine http://127.0.0.1:8080`). Tokens/s
are the engine's own account of its decoding. What "off" varies by from round to round is printed too: a difference
below that says nothing. In the end the worker is left alone until it exits.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import os
import platform
import random
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple
from urllib.parse import urlsplit

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from bench import relay as paths

PATIENCE_SECONDS = 300
TARGET_MEMORY_MIB, TARGET_SHARE = 90, 0.01
SENTENCE = (
    "the answer is that a bird of this kind sits on top of a bush and calls as soon as somebody comes near which it "
    "does with a sound like two stones so that most people know it by that before they see it"
)


async def serve(upstream: str) -> None:
    """Run relay and keeper: print the relay's port, then do what standard input says until it ends."""
    from stonechat.exchange import Exchange, Operation
    from stonechat.transcript import Transcript, Turn
    from stonechat_agent.relay import Relay, listen_sockets
    from stonechat_agent.scoring.worker.keeper import Keeper
    from stonechat_agent.settings import Scoring

    keeper = Keeper(
        Scoring(when="always", sample=1.0, exit_after_ns=2_000_000_000),
        on_verdict=lambda verdict: None,
        on_event=lambda *event: print(json.dumps(["event", *event]), file=sys.stderr, flush=True),
        in_flight=lambda: 0,
        random=random.random,
    )
    keeper.start()
    feeding = threading.Event()
    draw, words = random.Random(1), SENTENCE.split()

    def feed() -> None:
        while feeding.wait():
            if keeper.stats().waiting < 4:
                said = Transcript(
                    [Turn("user", " ".join(draw.choices(words, k=20)))], " ".join(draw.choices(words, k=100))
                )
                keeper.offer(
                    Exchange("bench", id="x", operation=Operation.CHAT, response_model="m", transcript=said)
                )
            time.sleep(0.002)

    threading.Thread(target=feed, daemon=True).start()
    listening = listen_sockets("127.0.0.1:0")

    def offer(exchange: Exchange) -> None:
        keeper.offer(exchange)

    server = Relay(engine="bench", listening=listening, upstream=upstream, on_exchange=offer)
    await server.start()
    print(listening[0].getsockname()[1], flush=True)
    loop = asyncio.get_running_loop()
    while word := (await loop.run_in_executor(None, sys.stdin.readline)).strip():
        if word == "on":
            feeding.set()
        elif word == "off":
            feeding.clear()
        print(json.dumps(keeper.stats()._asdict()), flush=True)
    keeper.stop()
    await server.stop(1.0)


class Agent:
    """The process of relay and keeper."""

    def __init__(self, child: subprocess.Popen[str]) -> None:
        self._child = child
        self.port = int(self._read())

    def says(self, word: str) -> dict[str, Any]:
        """Tell it something, and return the keeper's figures."""
        assert self._child.stdin is not None
        self._child.stdin.write(word + "\n")
        self._child.stdin.flush()
        found: dict[str, Any] = json.loads(self._read())
        return found

    def turn(self, state: str) -> None:
        """Have the keeper score, or wait until it does not."""
        before = self.says(state)
        until = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < until:
            now = self.says("how")
            if (now["scored"] > before["scored"] + 5) if state == "on" else (now["pid"] is None):
                return
            time.sleep(0.05)
        sys.exit(
            f"worker: not {state} after {PATIENCE_SECONDS} s; is this machine busy with something else? {now}"
        )

    def _read(self) -> str:
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        if not line:
            sys.exit("worker: the process of relay and keeper ended")
        return line


@contextmanager
def agent(upstream: str) -> Iterator[Agent]:
    child = subprocess.Popen(
        [sys.executable, __file__, "--serve", upstream],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Agent(child)
    finally:
        assert child.stdin is not None
        child.stdin.close()
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


@contextmanager
def demo_engine(slots: int) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    address = f"127.0.0.1:{port}"
    command = [sys.executable, "-m", "stonechat_agent", "demo-engine", "--listen", address]
    with subprocess.Popen([*command, "--slots", str(slots)], stdout=subprocess.DEVNULL) as child:
        try:
            until = time.monotonic() + 60
            while time.monotonic() < until:
                try:
                    paths.connect(port).close()
                    break
                except OSError:
                    time.sleep(0.1)
            yield f"http://{address}"
        finally:
            child.terminate()


def tokens_a_second(port: int, users: int, seconds: float) -> list[float]:
    """Ask with several users at once for some seconds; return the engine's pace of each answer."""
    found: list[float] = []
    until = time.monotonic() + seconds

    def ask(seed: int) -> None:
        draw = random.Random(seed)  # at each turn the same questions: short answers say little of the pace
        while time.monotonic() < until:
            client = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            prompt = f"Tell me all about {' '.join(draw.choices(SENTENCE.split(), k=8))}."
            question = {"prompt": prompt, "n_predict": 48, "temperature": 0.8, "seed": draw.getrandbits(16)}
            client.request("POST", "/completion", json.dumps(question), {"Content-Type": "application/json"})
            answer = json.loads(client.getresponse().read())
            client.close()
            if answer.get("timings", {}).get("predicted_n", 0) > 8:
                found.append(float(answer["timings"]["predicted_per_second"]))

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(users)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if not found:
        sys.exit("worker: the engine gave no answer of more than 8 tokens with its own timings")
    return found


class Paired(NamedTuple):
    """Medians of each round, without and with the worker at work."""

    off: list[float]
    on: list[float]

    @property
    def change(self) -> float:
        """How much more it is with the worker, as a share, over the medians of all rounds."""
        return statistics.median(self.on) / statistics.median(self.off) - 1

    @property
    def noise(self) -> float:
        """How far the rounds without it lie apart, as a share."""
        return (max(self.off) - min(self.off)) / statistics.median(self.off)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="rounds with and without (%(default)s)")
    parser.add_argument("--seconds", type=float, default=6, help="of asking the engine a round (%(default)s)")
    parser.add_argument("--requests", type=int, default=400, help="through the relay a round (%(default)s)")
    parser.add_argument("--slots", type=int, default=2, help="answers at a time (%(default)s)")
    parser.add_argument("--engine", help="an engine that runs, in place of the demo engine")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON only")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        asyncio.run(serve(asked.serve))
        return
    added = {"p50": Paired([], []), "p99": Paired([], [])}
    pace = Paired([], [])
    memory: list[int] = []
    with ExitStack() as stack:
        stand_in, _ = stack.enter_context(paths.process("engine"))
        engine = asked.engine or stack.enter_context(demo_engine(asked.slots))
        upstream = urlsplit(engine)
        timed = stack.enter_context(agent(f"127.0.0.1:{stand_in}"))
        asking = stack.enter_context(agent(f"{upstream.hostname}:{upstream.port}"))
        for number in range(asked.rounds):
            for state in ("off", "on") if number % 2 else ("on", "off"):
                timed.turn(state)
                figures = paths.measure({"direct": stand_in, "relay": timed.port}, asked.requests, kept=True)
                timed.turn("off")
                asking.turn(state)
                paces = tokens_a_second(asking.port, asked.slots, asked.seconds)
                if state == "on":
                    memory.append(asking.says("how")["memory"] or 0)
                asking.turn("off")
                for name, one in added.items():
                    key = f"first_byte_{name}_ms"
                    getattr(one, state).append(figures["relay"][key] - figures["direct"][key])
                getattr(pace, state).append(statistics.median(paces))
        asking.turn("on")
        begun = time.monotonic()
        asking.turn("off")
        gone = time.monotonic() - begun
        stats = asking.says("how")
    if asked.json:
        print(json.dumps({"added_ms": {k: v._asdict() for k, v in added.items()}, "tokens_a_second": pace._asdict(),
                          "memory_bytes": memory, "gone_seconds": gone}, indent=1))  # fmt: skip
        return
    cores = len(os.sched_getaffinity(0))
    print(
        f"worker: {cores} cores, {platform.machine()}, Python {platform.python_version()}; {asked.rounds} rounds"
    )
    print(f"models: {', '.join(f'{name} {version}' for name, version in stats['models'].items()) or 'none'}; "
          f"{stats['scored']} answers scored beside the engine, {stats['deep']} of them by tier 2")  # fmt: skip
    print(f"\n{'':34}{'off':>9}{'on':>9}{'change':>9}{'off varies by':>15}")
    for title, one in (
        ("relay, added to first byte, p50, ms", added["p50"]),
        ("relay, added to first byte, p99, ms", added["p99"]),
        (f"engine, tokens/s, {asked.slots} answers at once", pace),
    ):
        off, on = statistics.median(one.off), statistics.median(one.on)
        print(f"{title:<34}{off:>9.3f}{on:>9.3f}{one.change:>8.1%}{one.noise:>14.1%}")
    most = max(memory) / 1048576
    verdict = "met" if most <= TARGET_MEMORY_MIB else "missed"
    print(f"\nworker awake, both tiers: {most:.1f} MiB PSS (target <= {TARGET_MEMORY_MIB}): {verdict}")
    print(f"worker idle: gone {gone:.1f} s after the last answer (exit_after = 2 s)")
    verdict = "met" if -pace.change <= TARGET_SHARE else "missed"
    print(f"engine's tokens/s beside it: {pace.change:+.1%} (target within {TARGET_SHARE:.0%}): {verdict}")


if __name__ == "__main__":
    main()
