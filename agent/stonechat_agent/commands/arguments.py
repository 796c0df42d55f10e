"""The commands of this package: what each is for, its arguments, and where it is. Imports nothing that they need."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable
from typing import NamedTuple

from stonechat.errors import StonechatError

SHELLS = ("bash", "zsh", "fish")
TIERS = ("0", "1", "2", "auto")
SEVERITIES = ("info", "warning", "critical")

_LAST = "only those of the last time, such as 30m, 1h or 7d"
_JSON = "print JSON, one object a line; durations are microseconds, times are milliseconds since 1970"


class WrongUsage(StonechatError):
    """Arguments that cannot be used, or not together. The text says which, and what to do."""


class Command(NamedTuple):
    """One command. ``fill`` adds its arguments, all but those that say which configuration counts."""

    name: str
    summary: str
    example: str
    module: str
    fill: Callable[[argparse.ArgumentParser], None]
    has_config: bool = True

    def run(self, arguments: argparse.Namespace) -> int:
        """Import the module of the command, and run it."""
        code: int = importlib.import_module(f"stonechat_agent.{self.module}").main(arguments)
        return code


def _requests(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "id", nargs="?", metavar="ID", help="show all of this one; the beginning of an id is enough"
    )
    _add_selection(parser)
    parser.add_argument(
        "--group-by", metavar="FIELD[,FIELD]", help="figures of each group, such as model,outcome"
    )
    parser.add_argument(
        "--sort", metavar="FIELD[:asc]", help="by this field, the largest first; default: by time"
    )
    parser.add_argument(
        "--limit", metavar="N", type=_natural, default=20, help="how many at most; 0: all; default: 20"
    )
    parser.add_argument(
        "--follow", action="store_true", help="go on and show new ones as they end, until Ctrl-C"
    )
    parser.add_argument("--texts", action="store_true", help="with the texts that the journal keeps")
    parser.add_argument("--json", action="store_true", help=_JSON)


def _top(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--once", action="store_true", help="print one picture and end")


def _log(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--last", metavar="TIME", help=_LAST)
    parser.add_argument(
        "--severity", choices=SEVERITIES, default="info", help="only those of at least this severity"
    )
    parser.add_argument(
        "--limit", metavar="N", type=_natural, default=50, help="how many at most; 0: all; default: 50"
    )
    parser.add_argument(
        "--follow", action="store_true", help="go on and show new ones as they happen, until Ctrl-C"
    )
    parser.add_argument("--json", action="store_true", help=_JSON)


def _export(parser: argparse.ArgumentParser) -> None:
    _add_selection(parser)
    parser.add_argument(
        "--texts", action="store_true", help="with the texts that the journal keeps; JSON lines only"
    )
    parser.add_argument("--format", choices=("jsonl", "csv"), default="jsonl", help="default: jsonl")
    parser.add_argument("-o", "--output", metavar="FILE", help="default: standard output")
    parser.add_argument("--force", action="store_true", help="replace FILE where it exists")


def _forget(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("id", nargs="?", metavar="ID", help="this one; the beginning of an id is enough")
    what.add_argument("--conversation", metavar="C", help="all of one conversation, by its pseudonym")
    what.add_argument(
        "--user", metavar="U", help="all of one user, by the pseudonym or the name that the client gave"
    )
    what.add_argument("--before", metavar="TIME", help="what began before 2026-05-01, or longer ago than 30d")
    what.add_argument("--all", action="store_true", help="everything")
    parser.add_argument("--texts-only", action="store_true", help="delete the texts, keep the figures")
    parser.add_argument("--yes", action="store_true", help="do not ask")


def _doctor(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


def _replay(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file", metavar="FILE", help="exchanges as JSON lines, such as `stonechat export` writes"
    )
    parser.add_argument("--into", metavar="DIR", help="directory of the journal and the spool that it fills")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _score(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--tier",
        choices=TIERS,
        default="auto",
        help="0: checks without a model; 1: the small model; 2: the large one; auto (default): the large one where the"
        " others find something or are not sure",
    )
    parser.add_argument("--reasons", action="store_true", help='also say why scores are null, as "withheld"')


def _models(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "action", choices=("list", "verify", "add"), metavar="ACTION", help="list, verify or add"
    )
    parser.add_argument(
        "which",
        nargs="*",
        metavar="DIR",
        help="the folder to add; names or folders to verify, all of them without any",
    )
    parser.add_argument(
        "--replace", action="store_true", help="add: in place of the added model of the same name"
    )
    parser.add_argument("--json", action="store_true", help="list: print JSON, one object a line")


def _completion(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help=", ".join(SHELLS))


COMMANDS = (
    Command(
        "requests",
        "list, search and group the exchanges of this device",
        "stonechat requests --where 'ttft > 2s and outcome != ok' --last 1h\n"
        "  stonechat requests --group-by model --last 1d\n"
        "  stonechat requests 06jzq",
        "commands.requests",
        _requests,
    ),
    Command("top", "watch engines, device and exchanges live", "stonechat top", "commands.top", _top),
    Command(
        "log",
        "show what happened: the agent's events",
        "stonechat log --last 1d --severity warning",
        "commands.log",
        _log,
    ),
    Command(
        "export",
        "write exchanges to a file, for other tools and for replay",
        "stonechat export --last 7d --format csv -o week.csv",
        "commands.export",
        _export,
    ),
    Command(
        "forget",
        "delete exchanges and their texts from this device",
        "stonechat forget --user ann@example.org\n  stonechat forget --before 30d --texts-only",
        "commands.forget",
        _forget,
    ),
    Command(
        "doctor",
        "say what this device lets the agent see, and what would open the rest",
        "stonechat doctor",
        "doctor",
        _doctor,
    ),
    Command(
        "replay",
        "run recorded exchanges through the pipeline, with their own clock",
        "stonechat replay week.jsonl --into /tmp/replayed",
        "replay",
        _replay,
    ),
    Command(
        "score",
        "score answers: JSON lines in, JSON lines out",
        "stonechat score --tier 2 < answers.jsonl > scores.jsonl\n"
        """  echo '{"prompt": "Why?", "response": "Because."}' | stonechat score""",
        "commands.score",
        _score,
    ),
    Command(
        "models",
        "list, verify and add the models that judge answers",
        "stonechat models list\n  stonechat models add ./my-spam-classifier",
        "commands.models",
        _models,
    ),
    Command(
        "completion",
        "print a script that completes this command in a shell",
        "stonechat completion bash > /etc/bash_completion.d/stonechat",
        "commands.completion",
        _completion,
        has_config=False,
    ),
)


def _add_selection(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--where",
        metavar="EXPR",
        help="a condition, such as 'ttft > 2s and outcome != ok'; docs/commands.md has all of it",
    )
    parser.add_argument("--search", metavar="WORDS", help="only those whose kept texts hold these words")
    parser.add_argument("--last", metavar="TIME", help=_LAST)


def _natural(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise argparse.ArgumentTypeError(f"'{text}' is no whole number of 0 or more")
    return int(text)
