"""Completion in real shells: the script of each is sourced, and asked what it would offer."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from stonechat.exchange_row import BY_NAME
from stonechat_agent import cli
from stonechat_agent.commands import completion

COMMANDS = cli._command_names(cli.build_parser())


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    directory = tmp_path_factory.mktemp("completion")
    found = completion.commands_of(cli.build_parser())
    for shell in ("bash", "zsh", "fish"):
        (directory / shell).write_text(completion.script(shell, found))
    return {shell: directory / shell for shell in ("bash", "zsh", "fish")}


def ask(shell: str, program: str, directory: Path) -> list[str]:
    found = shutil.which(shell)
    if found is None:
        pytest.skip(f"{shell} is not installed")
    done = subprocess.run(
        [found, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=directory,
        env={"PATH": "/usr/bin:/bin", "HOME": str(directory), "TERM": "xterm"},
        check=False,
    )
    assert done.stderr == ""
    return done.stdout.split("\n")[:-1]


def bash(scripts: dict[str, Path], *words: str) -> list[str]:
    line = " ".join(f"'{word}'" for word in words)
    program = (
        f"source {scripts['bash']}; COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; "
        '_stonechat 2>/dev/null; for found in "${COMPREPLY[@]}"; do echo "$found"; done'
    )
    return ask("bash", program, scripts["bash"].parent)


def fish(scripts: dict[str, Path], line: str) -> list[str]:
    program = f"source {scripts['fish']}; complete -C '{line}'"
    return [found.split("\t")[0] for found in ask("fish", program, scripts["fish"].parent)]


def zsh(scripts: dict[str, Path], typed: str) -> str:
    """What stands on the line of a real zsh after a tab."""
    found = shutil.which("zsh")
    if found is None:
        pytest.skip("zsh is not installed")
    directory = scripts["zsh"].parent
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [found, "-f", "-i"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=directory,
        env={"PATH": "/usr/bin:/bin", "HOME": str(directory), "TERM": "dumb", "PS1": "READY> "},
        start_new_session=True,
    )
    os.close(theirs)
    seen = ""

    def until(mark: str) -> str:
        """What came before a mark; that is not kept."""
        nonlocal seen
        ends = time.monotonic() + 60
        while mark not in seen:
            assert time.monotonic() < ends, seen
            if select.select([ours], [], [], 0.1)[0]:
                seen += os.read(ours, 65536).decode()
        before, _, seen = seen.partition(mark)
        return before

    try:
        until("READY> ")
        # A key that shows the line as it is by now: what the terminal shows depends on how zsh redraws.
        show = 'show() { print -r -- "{{$BUFFER}""}" }; zle -N show; bindkey "^X" show'
        setup = f"autoload -Uz compinit; compinit -u -D; source {scripts['zsh']}; {show}; print 'set' up"
        os.write(ours, setup.encode() + b"\n")
        until("set up")
        until("READY> ")
        os.write(ours, typed.encode() + b"\t\x18")
        until("{{")
        return until("}}")
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def test_bash_offers_commands(scripts: dict[str, Path]) -> None:
    assert bash(scripts, "stonechat", "") == [*COMMANDS, "--help", "--version"]
    assert bash(scripts, "stonechat", "che") == ["check"]


def test_bash_offers_the_options_of_a_command(scripts: dict[str, Path]) -> None:
    assert bash(scripts, "stonechat", "check", "--k") == ["--kind"]
    assert "--config" in bash(scripts, "stonechat", "status", "-")


def test_bash_offers_choices(scripts: dict[str, Path]) -> None:
    assert bash(scripts, "stonechat", "check", "--kind", "") == ["agent", "collector"]
    assert bash(scripts, "stonechat", "completion", "") == ["bash", "zsh", "fish"]


def test_bash_offers_fields(scripts: dict[str, Path]) -> None:
    assert bash(scripts, "stonechat", "requests", "--sort", "ttf") == ["ttfb", "ttft", "ttfc"]
    assert bash(scripts, "stonechat", "requests", "--group-by", "outc") == ["outcome"]
    assert bash(scripts, "stonechat", "requests", "--group-by", "model,outc") == ["model,outcome"]
    assert set(bash(scripts, "stonechat", "requests", "--group-by", "")) <= set(BY_NAME)


def test_bash_offers_files(scripts: dict[str, Path]) -> None:
    assert bash(scripts, "stonechat", "agent", "--config", "ba") == ["bash"]
    assert bash(scripts, "stonechat", "check", "fi") == ["fish"]


def test_bash_offers_each_argument_in_its_place(scripts: dict[str, Path]) -> None:
    (scripts["bash"].parent / "folder").mkdir(exist_ok=True)
    assert bash(scripts, "stonechat", "models", "") == ["list", "verify", "add"]
    assert bash(scripts, "stonechat", "models", "add", "fo") == ["folder"]
    assert bash(scripts, "stonechat", "models", "verify", "a", "fo") == ["folder"]


def test_bash_offers_nothing_where_nothing_is_known(scripts: dict[str, Path]) -> None:
    assert bash(scripts, "stonechat", "requests", "--search", "") == []


def test_fish_offers_commands_options_choices_and_fields(scripts: dict[str, Path]) -> None:
    assert fish(scripts, "stonechat che") == ["check"]
    assert sorted(fish(scripts, "stonechat ")) == sorted(COMMANDS)
    assert fish(scripts, "stonechat check --k") == ["--kind"]
    assert fish(scripts, "stonechat check --kind ") == ["agent", "collector"]
    assert sorted(fish(scripts, "stonechat requests --sort ttf")) == ["ttfb", "ttfc", "ttft"]
    assert fish(scripts, "stonechat requests --group-by model,outc") == ["model,outcome"]
    assert fish(scripts, "stonechat agent --config ba") == ["bash"]


def test_the_scripts_name_every_command_and_option(scripts: dict[str, Path]) -> None:
    for command in completion.commands_of(cli.build_parser()):
        for script in scripts.values():
            text = script.read_text()
            assert command.name in text
            for option in command.options:
                long = option.names[-1].lstrip("-")
                assert long in text, f"{script.name}: {command.name} {long}"


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("stonechat che", "stonechat check "),
        ("stonechat check --k", "stonechat check --kind "),
        ("stonechat check --kind col", "stonechat check --kind collector "),
        ("stonechat requests --sort duratio", "stonechat requests --sort duration "),
        ("stonechat requests --group-by outc", "stonechat requests --group-by outcome"),
        ("stonechat requests --group-by model,outc", "stonechat requests --group-by model,outcome"),
        ("stonechat completion fi", "stonechat completion fish "),
        ("stonechat agent --config ba", "stonechat agent --config bash "),
    ],
)
def test_zsh_completes(scripts: dict[str, Path], typed: str, completed: str) -> None:
    # What zsh adds of itself, and takes away again with the next key: a space, or the comma of a list.
    assert zsh(scripts, typed).rstrip(" ,") == completed.rstrip()
