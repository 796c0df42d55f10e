"""The command as a process: what it prints, and its exit codes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from stonechat import __version__
from stonechat_agent import cli, settings

COMMANDS = cli._command_names(cli.build_parser())


def stonechat(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "stonechat_agent", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", **environ},
        check=False,
    )


def test_the_version() -> None:
    done = stonechat("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"stonechat {__version__}\n", "")


def test_help_names_every_command_with_an_example() -> None:
    done = stonechat("--help")
    assert done.returncode == 0
    assert {"agent", "collector", "check", "status", "demo-engine"} <= set(COMMANDS)
    for name in COMMANDS:
        assert f"  {name}" in done.stdout
    assert "examples:\n  stonechat agent" in done.stdout


@pytest.mark.parametrize("name", sorted({*COMMANDS} - {"demo-engine"}))
def test_each_command_helps_with_an_example(name: str) -> None:
    done = stonechat(name, "--help")
    assert done.returncode == 0
    assert f"example:\n  stonechat {name}" in done.stdout


def test_no_command_is_wrong_usage() -> None:
    done = stonechat()
    assert (done.returncode, done.stdout) == (2, "")
    assert "usage: stonechat" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["agnt"], "stonechat: no command 'agnt'; did you mean 'agent'?\n  hint: stonechat --help\n"),
        (
            ["zzz"],
            f"stonechat: no command 'zzz'; there are {', '.join(COMMANDS)}\n  hint: stonechat --help\n",
        ),
        (
            ["agent", "--confg", "x"],
            "stonechat: unrecognized arguments: --confg x\n  hint: stonechat --help\n",
        ),
        (
            ["agent", "--config"],
            "stonechat agent: argument --config: expected one argument\n  hint: stonechat agent --help\n",
        ),
    ],
)
def test_wrong_usage_is_one_line_and_a_hint(arguments: list[str], message: str) -> None:
    done = stonechat(*arguments)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", message)


BROKEN = """\
[engine]
upstram = "http://127.0.0.1:8080"
listen = 8089
[window]
length = "7s"
"""
FAULTS = """\
{file}: engine.upstram: unknown key
  hint: did you mean upstream?
{file}: engine.listen = 8089: must be an address such as "127.0.0.1:8089" or "[::1]:8089"
  hint: delete the line for the default, "127.0.0.1:8089"
{file}: window.length = "7s": must divide a day into equal windows
  hint: such as "60s", "5m" or "1h"
"""


@pytest.mark.parametrize("command", [["check"], ["agent", "--config"], ["status", "--config"]])
def test_a_broken_configuration_tells_every_fault(tmp_path: Path, command: list[str]) -> None:
    file = tmp_path / "agent.toml"
    file.write_text(BROKEN)
    done = stonechat(*command, str(file))
    assert (done.returncode, done.stdout, done.stderr) == (2, "", FAULTS.format(file=file))


def test_check_says_what_differs_from_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "agent.toml"
    file.write_text(
        '[device]\nid = "kiosk-017"\n[window]\nlength = "60s"\n[spool]\npath = "/s"\nmax_size = "1GiB"\n'
    )
    done = stonechat("check", str(file))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        f'{file}: ok\n  device.id = "kiosk-017"\n  journal.path = "/s"\n'
        '  spool.path = "/s"\n  spool.max_size = "1GiB"\n'
    )


def test_check_never_prints_a_secret(tmp_path: Path) -> None:
    file = tmp_path / "agent.toml"
    file.write_text('[mqtt]\nurl = "mqtts://ann:hunter2@broker"\npassword = "hunter2"\n')
    done = stonechat("check", str(file))
    assert done.returncode == 2
    assert "hunter2" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("agent.toml", "", "agent"),
        ("my-collector.toml", "", "collector"),
        ("a.toml", "[device]\n[mqtt]\n", "agent"),
        ("a.toml", "[broker]\n[store]\n", "collector"),
        ("agent-and-collector.toml", "[web]\n", "collector"),
    ],
)
def test_check_tells_whose_file_it_is(tmp_path: Path, name: str, text: str, kind: str) -> None:
    (tmp_path / name).write_text(text)
    done = stonechat("check", str(tmp_path / name))
    assert (done.returncode, done.stderr) == (0, "")
    assert ("device.id" in done.stdout) == (kind == "agent")


def test_check_asks_where_it_cannot_tell(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text("")
    done = stonechat("check", str(file))
    assert done.returncode == 2
    assert done.stderr == f"{file}: neither name nor tables tell whose file it is\n  hint: add --kind agent\n"
    assert stonechat("check", "--kind", "collector", str(file)).returncode == 0


def test_check_of_a_missing_file(tmp_path: Path) -> None:
    for name in ("agent.toml", "a.toml"):
        done = stonechat("check", str(tmp_path / name))
        assert done.returncode == 2
        assert done.stderr.startswith(f"{tmp_path / name}: cannot be read: no such file or directory\n")


def test_check_without_a_file_looks_at_the_default_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from stonechat_collector import settings as collector_settings

    monkeypatch.setattr(settings, "DEFAULT_FILE", str(tmp_path / "agent.toml"))
    monkeypatch.setattr(collector_settings, "DEFAULT_FILE", str(tmp_path / "collector.toml"))
    assert cli.main(["check"]) == 0
    assert (
        capsys.readouterr().out
        == f"{tmp_path}/agent.toml and {tmp_path}/collector.toml: not there; the defaults apply\n"
    )
    (tmp_path / "agent.toml").write_text("")
    (tmp_path / "collector.toml").write_text("[nothing]\n")
    assert cli.main(["check"]) == 2
    printed = capsys.readouterr()
    assert f"{tmp_path}/agent.toml: ok\n" in printed.out
    assert printed.err.startswith(f"{tmp_path}/collector.toml: nothing: unknown table\n")


def test_the_collector_without_its_extra_says_how_to_install_it() -> None:
    # None in sys.modules is what Python itself offers to make a package absent.
    program = (
        "import sys; sys.modules['fastapi'] = sys.modules['sqlalchemy'] = None\n"
        "from stonechat_agent import cli; sys.exit(cli.main(['collector']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert (
        "which is not installed\n  hint: in a clone of the repository: pip install '.[collector]'\n"
        in done.stderr
    )


@pytest.mark.parametrize("command", [["--version"], ["--help"], ["check"]])
def test_light_commands_load_nothing_heavy(command: list[str]) -> None:
    heavy = [
        "numpy",
        "onnxruntime",
        "fastapi",
        "sqlalchemy",
        "asyncio",
        "ssl",
        "multiprocessing",
        "paho",
        "psutil",
    ]
    program = (
        f"import sys; from stonechat_agent import cli; cli.main({command!r})\n"
        f"print([name for name in {heavy!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr == "[]\n"


def test_the_start_imports_no_command() -> None:
    program = (
        "import sys; from stonechat_agent import cli; cli.main(['--help'])\n"
        "names = {name for name in sys.modules if name.startswith('stonechat') or name == 'shutil'}\n"
        "print(sorted(names), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr == (
        "['stonechat', 'stonechat.errors', 'stonechat_agent', 'stonechat_agent.cli',"
        " 'stonechat_agent.commands', 'stonechat_agent.commands.arguments']\n"
    )
