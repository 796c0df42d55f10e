"""Pictures of the pages: the README's by default, every state and size of them with --all.

The store is filled by made-up devices through the real ingest, roll-up and watch, and the real application serves it
to a real Chromium. Needs chromium on PATH.

    ./dev bench screenshots                  writes docs/images/fleet.png
    ./dev bench screenshots --all DIRECTORY  every page, state, size and colour scheme
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.collector.pages.serving import browser_path, browsing, serving  # noqa: E402
from tests.collector.pages.synthetic import Synthetic, a_fleet, fill  # noqa: E402

from stonechat.ids import exchange_id  # noqa: E402
from stonechat_collector.store import Store  # noqa: E402

NOW = 1_795_602_784_000  # 2026-11-25 10:33:04 UTC: the same pictures on any day
SIZES = {"phone": (360, 800), "laptop": (1440, 900), "wall": (3840, 2160)}
SCHEMES = ("light", "dark")


FLAGGED, FAILED = 1, 3
"""Numbers of exchanges that a made-up device tells of: see ``tests.collector.pages.told``."""


def an_exchange(device: str, number: int) -> str:
    """The address of an exchange that a made-up device told of."""
    return f"/devices/{device}/exchanges/{exchange_id(NOW - number * 180_000 - 7_000, number)}"


class Shot(NamedTuple):
    """One picture: its name, the path of the page, and what is done before it is taken."""

    name: str
    path: str
    whole: bool = False
    """The whole page rather than what fits the window."""
    hover: str = ""
    """A selector that the pointer rests on."""


STATES = {
    "empty": (0, 0.0, [Shot("fleet", "/")]),
    "few": (3, 0.34, [Shot("fleet", "/")]),
    "normal": (
        412,
        0.03,
        [
            Shot("fleet", "/", whole=True),
            Shot("fleet-top", "/"),
            Shot("fleet-sorted", "/?status=attention&sort=rate&group=label:site#devices"),
            Shot("fleet-nothing", "/?q=zebra#devices"),
            Shot("device", "/devices/till-001", whole=True),
            Shot("device-top", "/devices/till-001", hover=".canvas"),
            Shot("device-day", "/devices/till-001?range=24h", whole=True),
            Shot("device-well", "/devices/robot-002"),
            Shot("exchange", an_exchange("till-001", FLAGGED), whole=True),
            Shot("exchange-failed", an_exchange("robot-002", FAILED), whole=True),
            Shot("exchanges-nothing", "/devices/robot-002?finding=zebra#exchanges"),
            Shot("no-exchange", "/devices/robot-002/exchanges/0000000000000"),
            Shot("events", "/events"),
            Shot("no-device", "/devices/kiosk-999"),
            Shot("no-page", "/nothing/here"),
        ],
    ),
    "full": (2000, 0.03, [Shot("fleet", "/", whole=True), Shot("fleet-top", "/")]),
}


@contextmanager
def a_collector(directory: Path, total: int, troubled: float) -> Iterator[tuple[str, Store, Path]]:
    """The address of a collector with so many devices, and its database."""
    file = directory / f"fleet-{total}.db"
    store = Store(f"sqlite:///{file}")
    devices = a_fleet(total, troubled=troubled, hours=2.0 if total < 1000 else 0.3)
    if devices:
        devices[0] = Synthetic(devices[0].name, "slow", hours=26, trouble_minutes=25)
        devices[1:2] = [Synthetic(device.name, "well", hours=3) for device in devices[1:2]]
    fill(store, devices, NOW)
    try:
        with serving(store, lambda: NOW) as address:
            yield address, store, file
    finally:
        store.close()


def take(browser: Any, address: str, shot: Shot, file: Path, look: tuple[tuple[int, int], str]) -> list[str]:
    """Take one picture; what the browser complained of comes back."""
    size, scheme = look
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, timezone_id="UTC", locale="en-GB"
    )
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(address + shot.path)
    page.wait_for_load_state()
    if shot.hover:
        page.locator(shot.hover).first.hover()
    page.wait_for_timeout(400)
    page.screenshot(path=str(file), full_page=shot.whole)
    context.close()
    return complaints


def every_one(directory: Path, states: list[str]) -> int:
    """All states, sizes and schemes into a directory; 1 when a page had a script error."""
    complaints: list[str] = []
    with browsing() as browser, tempfile.TemporaryDirectory() as scratch:
        for state in states:
            total, troubled, shots = STATES[state]
            with a_collector(Path(scratch), total, troubled) as (address, store, database):
                for kind, size in SIZES.items():
                    for scheme in SCHEMES:
                        for shot in shots:
                            file = directory / f"{state}-{shot.name}-{kind}-{scheme}.png"
                            complaints += take(browser, address, shot, file, (size, scheme))
                            print(file, flush=True)
                if state == "few":
                    _break(store, database)
                    for kind, size in SIZES.items():
                        for scheme in SCHEMES:
                            file = directory / f"broken-fleet-{kind}-{scheme}.png"
                            complaints += take(browser, address, Shot("fleet", "/"), file, (size, scheme))
                            print(file, flush=True)
    for complaint in complaints:
        print(f"script error: {complaint}", file=sys.stderr)
    return 1 if complaints else 0


def _break(store: Store, database: Path) -> None:
    """As a failing disk would: what is read back is no database."""
    for suffix in ("-wal", "-shm"):
        Path(f"{database}{suffix}").unlink(missing_ok=True)
    database.write_bytes(b"\xff" * 65_536)
    store.close()  # its next connection finds what is there now


def readme(file: Path) -> int:
    """The fleet page at 1440 x 900 for the README."""
    file.parent.mkdir(parents=True, exist_ok=True)
    total, troubled, _ = STATES["normal"]
    with (
        browsing() as browser,
        tempfile.TemporaryDirectory() as scratch,
        a_collector(Path(scratch), total, troubled) as (address, _, _),
    ):
        complaints = take(browser, address, Shot("fleet", "/"), file, (SIZES["laptop"], "light"))
    print(file)
    return 1 if complaints else 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Pictures of the pages.")
    parser.add_argument(
        "--all", type=Path, metavar="DIRECTORY", help="every page, state, size and scheme, into it"
    )
    parser.add_argument(
        "--state", choices=sorted(STATES), action="append", help="only this state, with --all"
    )
    arguments = parser.parse_args()
    if browser_path() is None:
        print("screenshots: no chromium on PATH; install it: apt-get install chromium", file=sys.stderr)
        return 1
    if arguments.all is None:
        return readme(ROOT / "docs" / "images" / "fleet.png")
    arguments.all.mkdir(parents=True, exist_ok=True)
    return every_one(arguments.all, arguments.state or list(STATES))


if __name__ == "__main__":
    sys.exit(main())
