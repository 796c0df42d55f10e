"""The command ``stonechat``: reads the arguments, and imports what the named command needs, only then.

Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from stonechat import __version__
from stonechat.errors import ConfigError, StonechatError
from stonechat_agent.commands.arguments import COMMANDS, WrongUsage

FAILED = 1
WRONG_USAGE = 2

_EXAMPLES = """\
examples:
  stonechat agent                         relay and watch the engine on http://127.0.0.1:8080
  stonechat collector                     take windows and show the fleet on http://127.0.0.1:8400
  stonechat check /etc/stonechat/agent.toml
  stonechat status --json
  stonechat requests --where 'ttft > 2s and outcome != ok' --last 1h

`stonechat COMMAND --help` says more about one of them.
"""


class _Parser(argparse.ArgumentParser):
    """Says what was wrong in one line, the nearest command, and where help is."""

    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: {message}\n  hint: {self.prog} --help", file=sys.stderr)
        raise SystemExit(WRONG_USAGE)


def _formatter(prog: str) -> argparse.HelpFormatter:
    """As argparse has it, without the import of shutil, which costs a tenth of the start."""
    columns = os.environ.get("COLUMNS", "")
    try:
        width = int(columns) if columns else os.get_terminal_size(1).columns
    except (ValueError, OSError):
        width = 80
    return argparse.RawDescriptionHelpFormatter(prog, width=max(40, width or 80) - 2)


def build_parser(only: str | None = None) -> argparse.ArgumentParser:
    """Return the parser of the whole command line; ``only``: the one command whose arguments will be asked for."""
    parser = _Parser(
        prog="stonechat",
        description="Watches language models that run on the device, and shows the fleet.",
        epilog=_EXAMPLES,
        formatter_class=_formatter,
    )
    parser.add_argument("--version", action="version", version=f"stonechat {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")

    def add(name: str, summary: str, example: str, run: Callable[[argparse.Namespace], int]) -> _Parser:
        command = subparsers.add_parser(
            name,
            help=summary,
            description=summary[0].upper() + summary[1:] + ".",
            epilog=f"example:\n  {example}",
            formatter_class=_formatter,
        )
        command.set_defaults(run=run)
        return command

    agent = add(
        "agent",
        "run the agent of this device in the foreground",
        "stonechat agent --config /etc/stonechat/agent.toml",
        _agent,
    )
    _add_config(agent, "agent.toml")
    collector = add(
        "collector",
        "run the collector of a fleet in the foreground",
        "stonechat collector --config /etc/stonechat/collector.toml",
        _collector,
    )
    _add_config(collector, "collector.toml")
    check = add(
        "check", "say everything that is wrong with a configuration", "stonechat check agent.toml", _check
    )
    check.add_argument("file", nargs="?", metavar="FILE", help="default: those of /etc/stonechat/ that exist")
    check.add_argument(
        "--kind",
        choices=("agent", "collector"),
        help="whose file it is; default: by its name, then its tables",
    )
    status = add("status", "show what the agent of this device is doing", "stonechat status --json", _status)
    _add_config(status, "agent.toml")
    status.add_argument("--json", action="store_true", help="print JSON")
    for command in COMMANDS:
        child = add(command.name, command.summary, command.example, command.run)
        if only in (None, command.name):
            command.fill(child)
            if command.has_config:
                _add_config(child, "agent.toml")
    add(
        "demo-engine",
        "serve a small real model, to try things with",
        "stonechat demo-engine --help",
        lambda _: _demo_engine([]),
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line, and return the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["demo-engine"]:
        return _guarded(lambda: _demo_engine(arguments[1:]))
    parser = build_parser(next(iter(arguments), ""))
    try:
        _refuse_unknown_command(parser, arguments)
        parsed = parser.parse_args(arguments)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else FAILED
    if parsed.command is None:
        parser.print_help(sys.stderr)
        return WRONG_USAGE
    return _guarded(lambda: parsed.run(parsed))


def _guarded(run: Callable[[], int]) -> int:
    """Turn what a command raises on purpose into a message and an exit code."""
    try:
        return run()
    except ConfigError as error:
        print(error, file=sys.stderr)
        return WRONG_USAGE
    except StonechatError as error:
        print(f"stonechat: {error}", file=sys.stderr)
        return WRONG_USAGE if isinstance(error, WrongUsage) else FAILED
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output has gone (`stonechat status | head -1`). Python would complain once more at exit.
        sys.stderr.close()
        return FAILED


def _refuse_unknown_command(parser: argparse.ArgumentParser, arguments: list[str]) -> None:
    word = next(iter(arguments), "-")
    known = _command_names(parser)
    if word.startswith("-") or word in known:
        return
    from stonechat.kinds import nearest  # only a mistyped command pays for it

    meant = nearest(word, known)
    parser.error(
        f"no command '{word}'; " + (f"did you mean '{meant}'?" if meant else f"there are {', '.join(known)}")
    )


def _command_names(parser: argparse.ArgumentParser) -> list[str]:
    return [
        name
        for action in parser._actions
        if isinstance(action, argparse._SubParsersAction)
        for name in action.choices
    ]


def _add_config(parser: argparse.ArgumentParser, name: str) -> None:
    parser.add_argument(
        "--config",
        metavar="FILE",
        help=f"configuration; default: /etc/stonechat/{name} where it exists, else the defaults of every key",
    )


def _agent(arguments: argparse.Namespace) -> int:
    from stonechat_agent import settings

    loaded = settings.load(arguments.config)
    from stonechat_agent import daemon  # after the file is known to be right: it costs most of the start

    return daemon.main(loaded)


def _collector(arguments: argparse.Namespace) -> int:
    loaded = _of_collector("settings").load(arguments.config)
    code: int = _of_collector("app").main(loaded)
    return code


def _of_collector(module: str) -> Any:
    """Import a module of the collector by name: the agent's code depends on none of it, and its extra may be absent.

    Raises:
        StonechatError: a package of the extra ``collector`` is not installed.
    """
    try:
        return importlib.import_module(f"stonechat_collector.{module}")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("stonechat"):
            raise
        raise StonechatError(
            f"the collector needs the package '{error.name}', which is not installed\n"
            "  hint: in a clone of the repository: pip install '.[collector]'"
        ) from error


def _check(arguments: argparse.Namespace) -> int:
    from stonechat_agent import check

    return check.main(arguments.file, arguments.kind)


def _status(arguments: argparse.Namespace) -> int:
    from stonechat_agent import status

    return status.main(arguments)


def _demo_engine(arguments: list[str]) -> int:
    from stonechat_agent import demo_engine

    return demo_engine.main(arguments)
