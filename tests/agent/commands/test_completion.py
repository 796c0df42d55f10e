"""Completion in real shells: the script of each is sourced, and asked what it would offer."""

from __future__ import annotations

import shutil
import subprocess
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
        timeout=30,
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


# compadd is what adds candidates in zsh; a function of that name tells what it was given. Driving the line editor
# itself would need a pseudo terminal and its timing.
ZSH = """\
autoload -Uz compinit; compinit -u -D; source {script}
compadd() {{
    local -a names; local -i after=0
    while (( $# )); do
        case $1 in
            --) after=1; shift; break ;;
            -a) shift; names+=(${{(P)1}}); shift ;;
            -[DOAX]) return 1 ;;
            -*) shift ;;
            *) break ;;
        esac
    done
    print -rl -- "${{names[@]}}" "$@"
}}
"""


def zsh_is_sound(script: Path) -> None:
    found = shutil.which("zsh")
    if found is None:
        pytest.skip("zsh is not installed")
    subprocess.run([found, "-n", str(script)], check=True, timeout=30)


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


def test_zsh_can_read_its_script(scripts: dict[str, Path]) -> None:
    zsh_is_sound(scripts["zsh"])
