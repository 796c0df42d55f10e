"""``stonechat forget``: delete exchanges, or only their texts, from the journal of this device."""

from __future__ import annotations

import argparse
import os
import re
import sys
from typing import NamedTuple

from stonechat.errors import StonechatError
from stonechat_agent.commands import figures
from stonechat_agent.commands.arguments import WrongUsage
from stonechat_agent.commands.selection import instant_ms, now_ms
from stonechat_agent.commands.terminal import harmless
from stonechat_agent.journal import KEPT, KEY_FILE, Eraser, Pseudonyms, Reader, load_key
from stonechat_agent.settings import Settings, load

_COUNT = f"""
    SELECT count(*), min(start), max(start), sum(texts = '{KEPT}'), sum(sent) FROM exchanges WHERE
"""  # noqa: S608 - no part of it is anybody's input
_PSEUDONYM = re.compile("[uc]-[0-9a-hjkmnp-tv-z]{12}", re.ASCII)


class _Target(NamedTuple):
    """What is to go, as `Eraser.forget` and a WHERE clause take it."""

    kind: str
    value: str
    condition: str
    parameter: object
    words: str


def main(arguments: argparse.Namespace) -> int:
    """Say what will go, ask, and delete it."""
    settings = load(arguments.config, as_service=False)
    eraser = Eraser(settings.journal.path)
    with Reader(settings.journal.path) as reader:
        target = _target(arguments, settings, reader)
        condition = target.condition + (f" AND texts = '{KEPT}'" if arguments.texts_only else "")
        (found,) = reader.select(_COUNT + condition, (target.parameter,))
    number, first, last, with_texts, sent = found
    print(f"{target.words}: {_amount(number, first, last, with_texts or 0, texts_only=arguments.texts_only)}")
    if number and not arguments.yes and not _agreed(number, texts_only=arguments.texts_only):
        print("nothing was deleted", file=sys.stderr)
        return 1
    # Also where nothing is found: an agent that runs may have something in memory, and lets go of it.
    erased = eraser.forget(target.kind, target.value, texts_only=arguments.texts_only)
    what = "the texts of " if arguments.texts_only else ""
    events = f", {erased.events} events" if erased.events else ""
    print(f"deleted: {what}{_exchanges(erased.exchanges)}{events}")
    for line in _elsewhere(settings, sent or 0):
        print(line)
    if erased.left:
        raise StonechatError(f"deleted bytes may still stand in the file: {erased.left}")
    return 0


def _target(arguments: argparse.Namespace, settings: Settings, reader: Reader) -> _Target:
    if arguments.id is not None:
        id = reader.get(arguments.id).row["id"]
        return _Target("id", id, "id = ?", id, f"exchange {id}")
    if arguments.conversation is not None:
        name = arguments.conversation
        if not _PSEUDONYM.fullmatch(name) or not name.startswith("c-"):
            raise WrongUsage(
                f"--conversation {harmless(name)}: must be a pseudonym, c- and 12 characters\n"
                "  hint: stonechat requests ID shows that of an exchange"
            )
        return _Target("conversation", name, "conversation = ?", name, f"conversation {name}")
    if arguments.user is not None:
        name = _pseudonym(arguments.user, settings)
        return _Target("user", name, '"user" = ?', name, f"user {name}")
    if arguments.before is not None:
        moment = instant_ms(arguments.before, "--before", now_ms())
        words = f"everything before {figures.moment(moment)}"
    else:
        # Also what a clock that was wrong has dated ahead of now.
        ((latest,),) = reader.select("SELECT max(start) FROM exchanges")
        moment = max(now_ms(), latest or 0) + 1
        words = "everything"
    return _Target("before", str(moment), "start < ?", moment, words)


def _pseudonym(name: str, settings: Settings) -> str:
    if _PSEUDONYM.fullmatch(name) and name.startswith("u-"):
        return name
    key = os.path.join(settings.journal.path, KEY_FILE)
    if not os.access(key, os.R_OK):
        # load_key would make a new one, under which nobody is found.
        raise StonechatError(
            f"{key}: cannot be read, and without it no name becomes a pseudonym\n"
            "  hint: run this as root or as the agent's user, or give the pseudonym (stonechat requests ID shows it)"
        )
    found = Pseudonyms(load_key(settings.journal.path)).user(name)
    if found is None:
        raise WrongUsage("--user: must be a name or a pseudonym")
    return found


def _amount(number: int, first: int, last: int, with_texts: int, *, texts_only: bool) -> str:
    if not number:
        return "nothing is found in the journal"
    span = f"from {figures.moment(first)} to {figures.moment(last)}"
    if texts_only:
        return f"the texts of {_exchanges(number)}, {span}"
    return f"{_exchanges(number)}, {with_texts} of them with texts, {span}"


def _exchanges(number: int) -> str:
    return f"{number} exchange{'s' if number != 1 else ''}"


def _agreed(number: int, *, texts_only: bool) -> bool:
    if not sys.stdin.isatty():
        raise WrongUsage(
            "nobody is there to ask: standard input is no terminal\n  hint: --yes deletes without asking"
        )
    print(f"delete {'these texts' if texts_only else 'this'} for good? [y/N] ", end="", flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _elsewhere(settings: Settings, sent: int) -> list[str]:
    if not sent:
        return []
    texts = (
        f'privacy.upload is "{settings.privacy.upload}", so their texts may be there as well'
        if settings.privacy.upload != "none"
        else "their texts were not sent unless privacy.upload was on at the time"
    )
    return [
        f"{sent} of them went to the collector, which keeps its own copy: {texts}",
        "  hint: it deletes exchanges by age, [retention] exchanges; its operator can delete them from its database",
    ]
