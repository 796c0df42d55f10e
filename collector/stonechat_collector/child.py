"""A process of the collector: ``python -m stonechat_collector.child ROLE`` with its settings as JSON on standard input.

The supervisor holds the other end of standard input: when that closes, the supervisor is gone and the child ends. On
standard output a child says ``ready`` once, and then ``beat`` every few seconds while its main loop turns. A child
that cannot work at all exits with 1 and says why in one line.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from stonechat.errors import StonechatError
from stonechat_collector import logs

log = logging.getLogger("stonechat.collector")

READY = b"ready\n"
BEAT = b"beat\n"
BEAT_SECONDS = 5.0

IDLE_SECONDS = 0.5

_lock = threading.Lock()


def collect_by_hand() -> Callable[[], None]:
    """Turn the cyclic garbage collector off, and return what collects.

    It starts with every few hundred new tuples and walks all of them: half of the roll-up's time and a tenth of
    ingest's went there, for rows that hold no cycles. What the libraries leave behind is little, and can wait.
    """
    gc.collect()
    gc.freeze()
    gc.disable()

    def collect() -> None:
        gc.collect()

    return collect


def say(word: bytes) -> None:
    """Tell the supervisor. One that is gone is noticed on standard input."""
    try:
        with _lock:
            os.write(1, word)
    except OSError:
        pass


class Stop:
    """Set by SIGTERM, by SIGINT, and by the supervisor's end."""

    def __init__(self) -> None:
        self._event = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._event.set())

    def __call__(self) -> bool:
        return self._event.is_set()

    def wait(self, seconds: float) -> None:
        """Wait, unless it is time to stop."""
        self._event.wait(seconds)


def _follow_supervisor() -> None:
    """End with the supervisor: standard input closes when it is gone, however it went."""

    def watch() -> None:
        while os.read(0, 1024):
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(4)
        os._exit(1)

    threading.Thread(target=watch, name="supervisor", daemon=True).start()


def broker(arguments: dict[str, Any]) -> None:
    """The embedded broker, on a listening socket that it inherits."""
    from stonechat_collector.broker import serve

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        beats = loop.create_task(_beats(), name="broker.beats")
        await serve(socket.socket(fileno=arguments["fd"]), stop, lambda: say(READY))
        beats.cancel()

    asyncio.run(main())


async def _beats() -> None:
    while True:
        say(BEAT)
        await asyncio.sleep(BEAT_SECONDS)


def ingest(arguments: dict[str, Any]) -> None:
    """The MQTT client and `Ingest`."""
    from stonechat_collector.ingest import Ingest
    from stonechat_collector.link import Link, Target
    from stonechat_collector.store import Store

    stop = Stop()
    store = Store(arguments["store"])
    name = arguments["name"]
    taking = Ingest(store, wall_ms, retention_ms=arguments["retention_ms"], name=name)
    link = Link(
        Target(**arguments["target"]),
        taking,
        client_id=f"stonechat-{store.store_id.hex()}-{name}",
        batch=arguments["batch"],
        wait_ms=arguments["wait_ms"],
    )
    collect = collect_by_hand()

    def beat() -> None:
        collect()
        say(BEAT)

    link.run(stop, beat, lambda: say(READY))
    store.close()


def rollup(arguments: dict[str, Any]) -> None:
    """The roll-up, the watch over the devices' status, and retention, in turns."""
    from stonechat_collector.rolling import Rolling
    from stonechat_collector.store import Store

    os.nice(5)  # behind ingest: what is not merged now is merged later, what is not taken waits on a device
    stop = Stop()
    store = Store(arguments["store"])
    rolling = Rolling(
        store,
        wall_ms,
        windows_ms=arguments["windows_ms"],
        rollups_ms=arguments["rollups_ms"],
        events_ms=arguments["events_ms"],
        exchanges_ms=arguments["exchanges_ms"],
    )
    collect = collect_by_hand()
    say(READY)
    next_beat = 0.0
    while not stop():
        if time.monotonic() >= next_beat:
            next_beat = time.monotonic() + BEAT_SECONDS
            collect()
            say(BEAT)
        if not rolling.turn(time.monotonic()):
            stop.wait(IDLE_SECONDS)
    store.close()


def web(arguments: dict[str, Any]) -> None:
    """The pages and the API, on a listening socket that they inherit."""
    import uvicorn

    from stonechat_collector.api import create_app
    from stonechat_collector.pages import Connect
    from stonechat_collector.store import Store

    store = Store(arguments["store"])
    app = create_app(
        store,
        loopback_only=arguments["loopback_only"],
        connect=Connect(arguments["broker_url"], arguments["broker_loopback_only"]),
    )
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=1,
        timeout_keep_alive=30,
        server_header=False,
        h11_max_incomplete_event_size=32 * 1024,
    )

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            say(READY)

    async def main() -> None:
        beats = asyncio.get_running_loop().create_task(_beats(), name="web.beats")
        await Server(config).serve([socket.socket(fileno=arguments["fd"])])
        beats.cancel()

    asyncio.run(main())
    store.close()


def wall_ms() -> int:
    """Now, in ms since 1970."""
    return time.time_ns() // 1_000_000


ROLES: dict[str, Callable[[dict[str, Any]], None]] = {
    "broker": broker,
    "ingest": ingest,
    "rollup": rollup,
    "web": web,
}


def main() -> int:
    """Run the role that the command line names."""
    logs.set_up()
    role = sys.argv[1]
    line = b""
    while not line.endswith(b"\n"):
        part = os.read(0, 1)
        if not part:
            return 1
        line += part
    arguments = json.loads(line)
    _follow_supervisor()
    try:
        ROLES[role](arguments)
    except StonechatError as error:
        print(f"stonechat collector: {role}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
