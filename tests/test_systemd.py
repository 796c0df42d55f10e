"""The units hold what the services rely on, and install.sh writes them twice as well as once."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

SYSTEMD = Path(__file__).parent.parent / "systemd"
UNITS = ("stonechat-agent.service", "stonechat-collector.service")


def unit(path: Path) -> dict[str, list[str]]:
    """Return the settings of a unit, as "Section.Key" with each of its values in order."""
    found: dict[str, list[str]] = {}
    section = ""
    for line in path.read_text().splitlines():
        if not line or line.startswith(("#", ";")):
            continue
        if match := re.fullmatch(r"\[(\w+)\]", line):
            section = match[1]
            continue
        key, separator, value = line.partition("=")
        assert separator == "=", line
        found.setdefault(f"{section}.{key}", []).append(value)
    return found


@pytest.mark.parametrize("name", UNITS)
def test_each_service_runs_as_its_own_user_without_rights(name: str) -> None:
    settings = unit(SYSTEMD / name)
    role = name.removeprefix("stonechat-").removesuffix(".service")
    user = "stonechat" if role == "agent" else f"stonechat-{role}"
    assert settings["Service.ExecStart"] == [f"/opt/stonechat/bin/stonechat {role}"]
    assert settings["Service.User"] == settings["Service.Group"] == [user]
    # A directory of each user's own: systemd gives the whole tree to the user of the unit that starts last.
    assert settings["Service.StateDirectory"] == [user]
    assert settings["Service.CapabilityBoundingSet"] == [""]
    assert settings["Service.NoNewPrivileges"] == ["yes"]
    assert settings["Service.ProtectSystem"] == ["strict"]
    assert settings["Service.Type"] == ["notify"]
    assert settings["Service.WatchdogSec"] == ["30"]
    assert settings["Service.Restart"] == ["on-failure"]
    assert settings["Service.RestartPreventExitStatus"] == ["2"]
    assert settings["Install.WantedBy"] == ["multi-user.target"]
    users = (SYSTEMD / "sysusers.d" / f"{user}.conf").read_text()
    assert re.search(rf"^u {user} ", users, re.MULTILINE)


def test_the_agent_goes_before_the_engine_and_sees_it() -> None:
    settings = unit(SYSTEMD / "stonechat-agent.service")
    assert int(settings["Service.OOMScoreAdjust"][0]) > 0
    # These would hide the GPU's nodes and the engine's process from it.
    assert not {"Service.PrivateDevices", "Service.ProtectClock", "Service.ProtectProc"} & settings.keys()


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree that install.sh wrote twice, with a stand-in for the program: pip's part has its own test in CI."""
    root = tmp_path_factory.mktemp("root")
    for _ in range(2):
        run_script("install.sh", "--all", "--prefix", "/srv/stonechat", "--root", str(root))
    return root


def run_script(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    root = arguments[-1]
    program = Path(root) / "srv/stonechat/bin/python"
    if name == "install.sh" and not program.exists():
        program.parent.mkdir(parents=True)
        program.write_text('#!/bin/sh\necho "$@" >>"$(dirname "$0")/calls"\n: >"$(dirname "$0")/stonechat"\n')
        program.chmod(0o755)
        (program.parent.parent / "pyvenv.cfg").touch()
    return subprocess.run(
        [str(SYSTEMD / name), *arguments], check=True, capture_output=True, text=True, timeout=60
    )


def test_install_writes_units_for_its_prefix(installed: Path) -> None:
    for name in UNITS:
        written = (installed / "etc/systemd/system" / name).read_text()
        assert written == (SYSTEMD / name).read_text().replace("/opt/stonechat", "/srv/stonechat")
    for folder in ("sysusers.d", "tmpfiles.d"):
        names = {path.name for path in (installed / "usr/lib" / folder).iterdir()}
        assert names == {"stonechat.conf", "stonechat-collector.conf"}
    calls = (installed / "srv/stonechat/bin/calls").read_text().splitlines()
    assert len(calls) == 2
    assert all(call.startswith("-m pip install ") and call.endswith("[collector]") for call in calls)


def test_install_keeps_a_configuration(tmp_path: Path) -> None:
    config = tmp_path / "etc/stonechat/agent.toml"
    config.parent.mkdir(parents=True)
    config.write_text("mine")
    run_script("install.sh", "--prefix", "/srv/stonechat", "--root", str(tmp_path))
    assert config.read_text() == "mine"
    assert not (tmp_path / "etc/systemd/system/stonechat-collector.service").exists()


def test_uninstall_keeps_configuration_and_state_until_purged(tmp_path: Path) -> None:
    run_script("install.sh", "--all", "--prefix", "/srv/stonechat", "--root", str(tmp_path))
    state = tmp_path / "var/lib/stonechat/spool.db"
    state.parent.mkdir(parents=True)
    state.touch()
    for _ in range(2):
        run_script("uninstall.sh", "--prefix", "/srv/stonechat", "--root", str(tmp_path))
        left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
        assert left == {
            "etc/stonechat/agent.toml",
            "etc/stonechat/collector.toml",
            "var/lib/stonechat/spool.db",
        }
    run_script("uninstall.sh", "--purge", "--prefix", "/srv/stonechat", "--root", str(tmp_path))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_uninstall_removes_no_folder_that_is_not_ours(tmp_path: Path) -> None:
    other = tmp_path / "srv/other/file"
    other.parent.mkdir(parents=True)
    other.touch()
    run_script("uninstall.sh", "--prefix", "/srv/other", "--root", str(tmp_path))
    assert other.exists()


@pytest.mark.parametrize("arguments", [["--prefix"], ["--prefix", "x"], ["--prefix", "/a b"], ["--what"]])
def test_wrong_options_write_nothing(arguments: list[str]) -> None:
    done = subprocess.run(
        [str(SYSTEMD / "install.sh"), *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "usage: systemd/install.sh" in done.stderr


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize("name", UNITS)
def test_systemd_reads_the_units(tmp_path: Path, name: str) -> None:
    # Its one complaint would be that the program is not installed on this machine.
    text = (SYSTEMD / name).read_text().replace("/opt/stonechat/bin/stonechat", "/bin/true")
    (tmp_path / name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / name)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "SYSTEMD_LOG_LEVEL": "notice"},
    )
    assert (done.returncode, name in done.stderr) == (0, False), done.stderr
