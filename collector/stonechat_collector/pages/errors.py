"""Pages for what went wrong: what happened, whether anything was lost, and what to do."""

from __future__ import annotations

from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from stonechat_collector.pages.rendering import Renderer
from stonechat_collector.pages.respond import page


class Trouble(NamedTuple):
    """What an error page says."""

    status: int
    title: str
    happened: str
    lost: str
    steps: tuple[str, ...]
    retry: bool = False


NOT_FOUND = Trouble(
    404,
    "No such page",
    "There is nothing at this address.",
    "Nothing was lost.",
    ("Check the address for a typing error.", "Or look for the device on the fleet page."),
)
NO_STORE = Trouble(
    503,
    "The store does not answer",
    "The collector runs, but its database could not be read.",
    "Nothing is lost: each device keeps its windows until this collector has stored them, and sends them again.",
    (
        "On the collector's machine, check that the disk is not full and that the database file can be written.",
        "Look at the collector's log for the reason: journalctl -u stonechat-collector",
        "This page tries again by itself.",
    ),
    retry=True,
)
BROKEN = Trouble(
    500,
    "This page could not be made",
    "The collector met an error of its own while it made this page.",
    "Nothing is lost: taking windows from the devices does not depend on the pages.",
    (
        "Reload the page; if it stays, the collector's log has the reason: journalctl -u stonechat-collector",
        "Report it with those lines; they hold no prompts and no answers.",
    ),
)


def no_device(device_id: str) -> Trouble:
    """For an address that names a device that the store has never heard of."""
    return Trouble(
        404,
        f"No device {device_id[:63]}",
        "The collector has not heard from a device of this name.",
        "Nothing was lost: a device that sends under another name is on the fleet page.",
        (
            "On the device, stonechat status says its id, and whether it reaches the broker.",
            "A device appears here seconds after its first connection.",
        ),
    )


def no_exchange(device_id: str, exchange_id: str) -> Trouble:
    """For an address that names an exchange that is not here."""
    return Trouble(
        404,
        f"No exchange {exchange_id[:13]}",
        f"The collector holds no exchange of this id from {device_id[:63]}.",
        "A device tells only of some of its exchanges, and they go after a while, the earliest first.",
        (
            f"On the device, stonechat requests {exchange_id[:13]} shows it: its journal keeps each for a while.",
            "Or look for it among the exchanges on the device's page.",
        ),
    )


def trouble_page(request: Request, render: Renderer, trouble: Trouble) -> Response:
    """The answer for a trouble, as a page."""
    headers = {"retry-after": "10"} if trouble.retry else None
    return page(request, render("trouble.html", trouble=trouble, live=False), trouble.status, headers)
