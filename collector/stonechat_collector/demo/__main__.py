"""``./dev demo``: starts the fleet, says where to look, and stops everything in the end."""

from __future__ import annotations

import argparse
import http.client
import json
import random
import socket
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stonechat_collector.demo import engines
from stonechat_collector.demo.fleet import CHARACTERS, Device, Ports
from stonechat_collector.demo.processes import Died, Processes

WEB_PORT = 8400
DEMO_MODEL = "stonechat-demo-lm"
"""What the demo engine calls its model; requests in Ollama's dialect have to name it."""
START_SECONDS = 120.0
_PORTS = range(10_240, 32_768)
"""Below what kernels give away by themselves, so that a port is still free when its process begins to listen."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo, and return the exit code."""
    arguments = _parser().parse_args(argv)
    if arguments.json and not arguments.headless:
        print("demo: --json goes with --headless", file=sys.stderr)
        return 2
    engine, model = arguments.engine, DEMO_MODEL
    if engine:
        found = engines.first_model(engine)
        if found is None:
            print(f"demo: no engine answers {engine}/v1/models\n  hint: is it running?", file=sys.stderr)
            return 1
        model = found
    elif (known := engines.look()) is not None:
        engine, model = _offer(known, ask=not arguments.headless and sys.stdin.isatty())
    with tempfile.TemporaryDirectory(prefix="stonechat-demo-") as state:
        processes = Processes(Path(state))
        try:
            return _run(arguments, processes, Path(state), engine, model)
        except Died as error:
            print(f"demo: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            return 0
        finally:
            _say(arguments, "stopping")
            processes.stop()


def _run(arguments: argparse.Namespace, processes: Processes, state: Path, engine: str, model: str) -> int:
    web, broker, *rest = _free_ports(2 + 3 * len(CHARACTERS), first=arguments.port)
    config = state / "collector.toml"
    config.write_text(
        f"""\
[web]
listen = "127.0.0.1:{web}"
[store]
url = "sqlite:///{state / "fleet.db"}"
[broker]
embedded = true
listen = "127.0.0.1:{broker}"
"""
    )
    processes.start("collector", ["-m", "stonechat_agent", "collector", "--config", str(config)])
    _wait_for_web(processes, web)
    devices = [
        Device(
            character,
            Ports(*rest[3 * i : 3 * i + 3]),
            broker=broker,
            state=state,
            processes=processes,
            engine=engine if not i else "",
        )
        for i, character in enumerate(CHARACTERS)
    ]
    for seed, device in enumerate(devices):
        device.start(model if engine and not seed else DEMO_MODEL, seed)
    _say(arguments, f"\n  fleet page   http://127.0.0.1:{web}/\n")
    for device in devices:
        where = f"agent pid {processes.pid(device.agent)}, applications ask {device.relay_url}"
        _say(arguments, f"  {device.character.name:15} {device.character.what}\n  {'':15} {where}")
    _say(arguments, "\n  Ctrl-C stops everything. Kill an agent by its pid to see it go offline.\n")
    end = time.monotonic() + arguments.seconds if arguments.seconds else None
    while end is None or time.monotonic() < end:
        for device in devices:
            device.tick()
        processes.check("collector", *(d.engine for d in devices if not d.character.erring))
        time.sleep(0.2)
    if arguments.json:
        print(json.dumps(_get(web, "/api/v1/devices"), indent=2))
    for device in devices:
        device.stop()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="./dev demo",
        description="A collector and three devices with real engines: one healthy, one starved of CPU, one erring.",
    )
    parser.add_argument("--headless", action="store_true", help="ask nothing and print no address")
    parser.add_argument("--seconds", type=float, default=0, help="end by itself after so long")
    parser.add_argument("--json", action="store_true", help="with --headless: print the fleet in the end")
    parser.add_argument("--port", type=int, default=WEB_PORT, help=f"of the fleet page (default {WEB_PORT})")
    parser.add_argument(
        "--engine", default="", metavar="URL", help="let the first device relay this engine instead"
    )
    return parser


def _offer(found: engines.Found, *, ask: bool) -> tuple[str, str]:
    """The engine and model for the first device: the one that was found, when the user wants it."""
    print(f"{found.kind} answers on {found.url} ({found.model}).", file=sys.stderr)
    if ask:
        if input("Relay it on the first device instead of the demo engine? [y/N] ").strip().lower() in (
            "y",
            "yes",
        ):
            return found.url, found.model
    else:
        print(
            f"  hint: ./dev demo --engine {found.url} relays it instead of the demo engine", file=sys.stderr
        )
    return "", DEMO_MODEL


def _say(arguments: argparse.Namespace, text: str) -> None:
    if not arguments.headless:
        print(text, flush=True)


def _free_ports(count: int, first: int) -> list[int]:
    """Free ports of loopback, the first one ``first`` when that is free and not 0."""
    held: list[socket.socket] = []
    wanted = [first] if first else []
    wanted += random.sample(_PORTS, len(_PORTS))
    try:
        for port in wanted:
            listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                listener.close()
                continue
            held.append(listener)
            if len(held) == count:
                break
        return [listener.getsockname()[1] for listener in held]
    finally:
        for listener in held:
            listener.close()


def _wait_for_web(processes: Processes, port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        processes.check("collector")
        try:
            _get(port, "/healthz")
            return
        except (OSError, http.client.HTTPException, ValueError):
            if time.monotonic() > deadline:
                said = processes.said("collector")
                raise Died(f"the collector did not answer within {START_SECONDS:.0f} s:\n{said}") from None
            time.sleep(0.1)


def _get(port: int, path: str) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise ValueError(f"{path} answered {answer.status}")
        return json.loads(body)
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
