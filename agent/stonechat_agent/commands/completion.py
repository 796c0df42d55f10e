"""``stonechat completion``: scripts for shells, made from the parser of the command line: the two cannot differ."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from stonechat_agent.commands import fields

FILES = "files"
DIRECTORIES = "directories"

_BY_DESTINATION: dict[str, tuple[tuple[str, ...], bool]] = {
    "group_by": (fields.GROUPABLE, True),
    "sort": (fields.SORTABLE, False),
}


class Value(NamedTuple):
    """What may follow an option, or stand as a plain argument."""

    words: tuple[str, ...] = ()
    many: bool = False
    """Whether several may follow each other, with commas between."""
    paths: str = ""
    """FILES, DIRECTORIES or ""."""


class Option(NamedTuple):
    """An option by all its names; ``value`` is None for a switch."""

    names: tuple[str, ...]
    help: str
    value: Value | None


class Command(NamedTuple):
    """A command of the command line."""

    name: str
    help: str
    options: tuple[Option, ...]
    arguments: tuple[Value, ...]


def main(arguments: argparse.Namespace) -> int:
    """Print the script for a shell."""
    from stonechat_agent import cli

    sys.stdout.write(script(arguments.shell, commands_of(cli.build_parser())))
    return 0


def script(shell: str, commands: Sequence[Command]) -> str:
    """The script for bash, zsh or fish."""
    lines = {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](commands)
    return "\n".join(lines) + "\n"


def commands_of(parser: argparse.ArgumentParser) -> list[Command]:
    """Every command of a parser, in its order."""
    (sub,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    helps = {choice.dest: choice.help or "" for choice in sub._choices_actions}
    return [_command(name, helps[name], child) for name, child in sub.choices.items()]


def _command(name: str, help: str, parser: argparse.ArgumentParser) -> Command:
    options, arguments = [], []
    for action in parser._actions:
        takes = None if action.nargs == 0 else _value(action)
        if action.option_strings:
            options.append(Option(tuple(action.option_strings), action.help or "", takes))
        elif takes is not None:
            arguments.append(takes)
    return Command(name, help, tuple(options), tuple(arguments))


def _value(action: argparse.Action) -> Value:
    if action.choices is not None:
        return Value(tuple(map(str, action.choices)))
    words, many = _BY_DESTINATION.get(action.dest, ((), False))
    paths = {"FILE": FILES, "DIR": DIRECTORIES}.get(str(action.metavar), "")
    return Value(words, many, paths)


# bash


def _bash(commands: Sequence[Command]) -> Iterator[str]:
    yield '# bash completion of stonechat. To have it: eval "$(stonechat completion bash)"'
    yield "_stonechat() {"
    yield '    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command="" word words="" lead=""'
    yield "    local -i place=-1  # plain words after the command"
    yield '    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do'
    yield "        if [[ $word != -* ]]; then command=${command:-$word}; place+=1; fi"
    yield "    done"
    yield "    COMPREPLY=()"
    yield "    case $command:$prev in"
    for command in commands:
        for option in command.options:
            if option.value is not None:
                names = "|".join(f"{command.name}:{name}" for name in option.names)
                yield f"        {names}) {_bash_value(option.value)}; return ;;"
    yield "    esac"
    yield "    case $command in"
    names = " ".join(command.name for command in commands)
    yield f"        '') words='{names} --help --version' ;;"
    for command in commands:
        flags = " ".join(name for option in command.options for name in option.names)
        yield f"        {command.name})"
        yield f"            words='{flags}'"
        for place, value in enumerate(command.arguments):
            if value.words or value.paths:
                here = f" && place -eq {place}" if value is not command.arguments[-1] else ""
                yield f"            if [[ $cur != -*{here} ]]; then {_bash_value(value)}; return; fi"
        yield "            ;;"
    yield "    esac"
    yield '    COMPREPLY=($(compgen -W "$words" -- "$cur"))'
    yield "}"
    yield "complete -F _stonechat stonechat"


def _bash_value(value: Value) -> str:
    if value.paths:
        kind = "-d" if value.paths == DIRECTORIES else "-f"
        return f'compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen {kind} -- "$cur"))'
    if not value.words:
        return ":"  # nothing is known of it
    words = " ".join(value.words)
    if not value.many:
        return f"COMPREPLY=($(compgen -W '{words}' -- \"$cur\"))"
    return (
        "[[ $cur == *,* ]] && lead=${cur%,*},; "
        f'COMPREPLY=($(compgen -P "$lead" -W \'{words}\' -- "${{cur##*,}}")); compopt -o nospace 2>/dev/null'
    )


# zsh


def _zsh(commands: Sequence[Command]) -> Iterator[str]:
    yield "#compdef stonechat"
    yield "# zsh completion of stonechat: a file named _stonechat in a directory of $fpath, or source it."
    yield "_stonechat() {"
    yield "    local context state state_descr line"
    yield "    typeset -A opt_args"
    yield "    _arguments -C '(-h --help)'{-h,--help}'[say more]' '--version[the version]' \\"
    yield "        '1: :->command' '*:: :->arguments'"
    yield "    case $state in"
    yield "        command)"
    yield "            local -a commands=("
    for command in commands:
        yield f"                {_quoted(command.name + ':' + command.help)}"
    yield "            )"
    yield "            _describe command commands ;;"
    yield "        arguments)"
    yield "            case $words[1] in"
    for command in commands:
        specs = [spec for option in command.options for spec in _zsh_option(option)]
        specs += [
            _quoted(f"{'*' if n else '1'}: :{_zsh_action(value)}")
            for n, value in enumerate(command.arguments)
        ]
        yield f"                {command.name})"
        yield "                    _arguments \\"
        yield " \\\n".join(f"                        {spec}" for spec in specs) + " ;;"
    yield "            esac ;;"
    yield "    esac"
    yield "}"
    yield 'if [[ $funcstack[1] = _stonechat ]]; then _stonechat "$@"; else compdef _stonechat stonechat; fi'


def _zsh_option(option: Option) -> Iterator[str]:
    help = option.help.replace("[", "(").replace("]", ")").replace(":", ";")
    others = f"({' '.join(option.names)})" if len(option.names) > 1 else ""
    for name in option.names:
        takes = f":value:{_zsh_action(option.value)}" if option.value is not None else ""
        yield _quoted(f"{others}{name}[{help}]{takes}")


def _zsh_action(value: Value) -> str:
    if value.paths:
        return "_files -/" if value.paths == DIRECTORIES else "_files"
    words = " ".join(value.words)
    if value.many:
        return f"_values -s , field {words}"
    return f"({words})" if words else " "


# fish


def _fish(commands: Sequence[Command]) -> Iterator[str]:
    yield "# fish completion of stonechat: ~/.config/fish/completions/stonechat.fish"
    yield "complete -c stonechat -f"
    yield "complete -c stonechat -n __fish_use_subcommand -s h -l help -d 'say more'"
    yield "complete -c stonechat -n __fish_use_subcommand -l version -d 'the version'"
    for command in commands:
        described = _quoted(command.help)
        yield f"complete -c stonechat -n __fish_use_subcommand -a {command.name} -d {described}"
    for command in commands:
        when = f"complete -c stonechat -n '__fish_seen_subcommand_from {command.name}'"
        for option in command.options:
            names = " ".join(
                f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names
            )
            takes = "" if option.value is None else f" -x {_fish_value(option.value)}"
            yield f"{when} {names}{takes.rstrip()} -d {_quoted(option.help)}"
        for value in command.arguments:
            if value.words or value.paths:
                yield f"{when} {_fish_value(value)}"


def _fish_value(value: Value) -> str:
    if value.paths:
        return (
            "-a '(__fish_complete_directories)'"
            if value.paths == DIRECTORIES
            else "-a '(__fish_complete_path)'"
        )
    if value.many:
        return f"-a '(__fish_append , {' '.join(value.words)})'"
    return f"-a '{' '.join(value.words)}'" if value.words else ""


def _quoted(text: str) -> str:
    # One form for the three: fish reads a backslash within quotes, bash and zsh do not, so there must be none.
    return "'" + text.replace("\\", "/").replace("'", "'\\''") + "'"
