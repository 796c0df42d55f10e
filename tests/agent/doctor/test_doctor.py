"""What the doctor finds: on trees of boards, on this machine, beside a running agent, and where all is wrong."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.ports import free_port

from stonechat_agent import doctor
from stonechat_agent.doctor import Finding, State, checkup, examine, report
from stonechat_agent.doctor.finding import Patient
from stonechat_agent.doctor.report import as_json, render
from stonechat_agent.settings import load
from stonechat_agent.status import NoAgent, fetch

BOARDS = Path(__file__).parents[2] / "fixtures/boards"


class Config:
    """A configuration whose addresses are free and whose directories are here."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.tables: dict[str, dict[str, Any]] = {
            "spool": {"path": str(root / "state"), "min_free": "1MiB", "max_size": "1MiB"},
            "journal": {"path": str(root / "state"), "max_size": "1MiB"},
            "engine": {
                "upstream": f"http://127.0.0.1:{free_port()}",
                "listen": f"127.0.0.1:{free_port()}",
            },
            "local": {"listen": f"127.0.0.1:{free_port()}"},
        }

    def board(self, name: str) -> None:
        shutil.copytree(BOARDS / name, self.root / "board")
        self.tables["sampling"] = {
            "proc_root": str(self.root / "board/proc"),
            "sys_root": str(self.root / "board/sys"),
        }

    def write(self) -> Path:
        lines: list[str] = []
        for table, keys in self.tables.items():
            lines.append(f"[{table}]")
            lines += [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
        file = self.root / "agent.toml"
        file.write_text("\n".join(lines) + "\n")
        return file

    def patient(self, status: dict[str, Any] | None = None) -> Patient:
        settings = load(str(self.write()), as_service=False)
        return Patient(settings, status, dev=str(self.root / "board/dev"))

    def findings(self, status: dict[str, Any] | None = None) -> dict[str, Finding]:
        areas = examine(self.patient(status))
        return {finding.name: finding for area in areas for finding in area.findings}


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No check counts as hanging because this machine is busy."""
    monkeypatch.setattr(examine, "__defaults__", (60.0,))


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(tmp_path)


@pytest.fixture
def directory() -> Iterator[Path]:
    """One that other users may read: pytest closes its own to them whenever it is started."""
    with tempfile.TemporaryDirectory(prefix="stonechat-") as name:
        os.chmod(name, 0o755)
        yield Path(name)


@pytest.fixture
def upstream(config: Config) -> Iterator[None]:
    """Let something take connections where the engine should."""
    host, _, port = config.tables["engine"]["upstream"].removeprefix("http://").rpartition(":")
    with socket.create_server((host, int(port))):
        yield


def test_a_raspberry_pi_lacks_pressure_power_and_its_real_time_clock(config: Config) -> None:
    config.board("raspberry-pi-5")
    found = config.findings()
    assert found["pressure"].state is State.MISSING
    assert "psi=1" in found["pressure"].do
    assert found["throttle"].state is found["fans"].state is found["temperature"].state is State.OK
    assert found["power"].state is found["rtc"].state is State.MISSING
    assert found["cgroups"].state is State.OK
    assert not [
        name for name, finding in found.items() if finding.state is State.FAULT and "engine" not in name
    ]


def test_a_board_whose_memory_controller_is_off_is_told_how_to_turn_it_on(config: Config) -> None:
    config.board("raspberry-pi-5")
    (config.root / "board/sys/fs/cgroup/cgroup.controllers").write_text("cpuset cpu io pids\n")
    found = config.findings()["cgroups"]
    assert (found.state, found.text) == (State.MISSING, "version 2 without memory")
    assert "cgroup_enable=memory" in found.do


def test_an_npu_that_only_root_may_read_is_said(config: Config) -> None:
    config.board("rockchip-rk3588")
    assert "npu" not in config.findings()
    shutil.rmtree(config.root / "board/sys/kernel/debug")
    assert config.findings()["npu"].state is State.MISSING


def test_an_engine_is_told_by_its_unit_and_its_figures_by_its_group(config: Config, upstream: None) -> None:
    config.board("raspberry-pi-5")
    config.tables["engine"]["unit"] = "llama-server.service"
    found = config.findings()
    assert found["engine upstream"].state is State.OK
    assert found["engine process"] == Finding("engine process", State.OK, "4190101 (llama-server)")
    assert found["engine figures"].text.endswith("by its control group /system.slice/llama-server.service")
    assert found["engine listen"].state is State.OK


def test_an_engine_that_is_misnamed_and_down_says_what_to_do(config: Config) -> None:
    config.board("raspberry-pi-5")
    config.tables["engine"]["process"] = "no-such-engine"
    found = config.findings()
    assert found["engine upstream"].state is State.FAULT
    assert "Connection refused" in found["engine upstream"].text
    assert found["engine process"].state is State.MISSING
    assert "'no-such-engine'" in found["engine process"].text
    assert "unit" in found["engine process"].do


def test_a_listen_address_that_is_taken_is_a_fault(config: Config) -> None:
    host, _, port = config.tables["engine"]["listen"].rpartition(":")
    with socket.create_server((host, int(port))):
        found = config.findings()["engine listen"]
    assert (found.state, found.text) == (State.FAULT, f"{host}:{port}: taken by another program")


def test_something_else_at_the_local_address_is_a_fault(config: Config) -> None:
    host, _, port = config.tables["local"]["listen"].rpartition(":")
    with socket.create_server((host, int(port))):
        began = time.monotonic()
        code = doctor.main(argparse.Namespace(config=str(config.write()), json=True))
        assert time.monotonic() - began < 60
        found = config.findings()["agent"]
    assert code == 1
    assert found.state is State.FAULT


def test_a_directory_that_cannot_be_written_is_a_fault(config: Config) -> None:
    blocked = config.root / "file"
    blocked.write_text("")
    config.tables["spool"]["path"] = str(blocked)
    found = config.findings()
    assert found["spool"].state is State.FAULT
    assert found["journal"].state is State.OK
    assert found["room"].state is State.OK


def test_a_disk_without_room_is_a_fault_and_one_with_little_is_not(config: Config) -> None:
    config.tables["spool"]["min_free"] = "1TiB"
    assert config.findings()["room"].state is State.FAULT
    config.tables["spool"].update(min_free="1MiB", max_size="1TiB")
    assert config.findings()["room"].state is State.MISSING


def test_a_broker_that_takes_no_connections_is_a_fault(config: Config) -> None:
    assert config.findings()["broker"].state is State.MISSING
    config.tables["mqtt"] = {"url": f"mqtt://127.0.0.1:{free_port()}"}
    found = config.findings()["broker"]
    assert (found.state, "Connection refused" in found.text) == (State.FAULT, True)
    with socket.create_server(("127.0.0.1", 0)) as broker:
        config.tables["mqtt"] = {"url": f"mqtt://127.0.0.1:{broker.getsockname()[1]}"}
        assert config.findings()["broker"].state is State.OK


def test_certificates_that_are_none_are_a_fault(config: Config) -> None:
    (config.root / "ca.pem").write_text("no certificate\n")
    config.tables["mqtt"] = {
        "url": f"mqtts://127.0.0.1:{free_port()}",
        "ca_file": str(config.root / "ca.pem"),
    }
    assert config.findings()["mqtt.ca_file"].state is State.FAULT


def test_without_proc_it_says_what_is_missing(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    """macOS and Windows have neither /proc nor /sys."""
    config.tables["sampling"] = {"proc_root": "/no/such/proc", "sys_root": "/no/such/sys"}
    found = config.findings()
    assert found["kernel"].state is State.MISSING
    for name in ("cpu", "memory", "disk", "network", "pressure", "self"):
        assert found[name].state is State.MISSING, found[name]
    faults = [name for name, finding in found.items() if finding.state is State.FAULT]
    assert faults == ["engine upstream"]


def test_a_source_that_fails_is_a_fault(config: Config) -> None:
    config.board("raspberry-pi-5")
    (config.root / "board/proc/stat").write_text("nonsense\n")
    found = config.findings()["cpu"]
    assert found.state is State.FAULT
    assert "ValueError" in found.text


def test_a_check_that_hangs_or_breaks_is_a_finding_and_delays_none(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()

    def hang(patient: Patient) -> Iterator[Finding]:
        yield Finding("before", State.OK, "said before it hung")
        release.wait(60)

    def break_off(patient: Patient) -> Iterator[Finding]:
        raise RuntimeError("odd")

    table = [("slow", hang), ("odd", break_off)]
    monkeypatch.setattr(checkup, "checks", lambda patient: table)
    began = time.monotonic()
    slow, odd = examine(config.patient(), seconds=0.3)
    assert time.monotonic() - began < 30
    release.set()
    assert report.STATUS_SECONDS + checkup.SECONDS < 5, "the command answers within five seconds"
    assert [finding.state for finding in slow.findings] == [State.OK, State.FAULT]
    assert "no answer" in slow.findings[1].text
    assert "RuntimeError: odd" in odd.findings[0].text


def test_the_report_says_the_answer_first_and_what_to_do(config: Config) -> None:
    config.board("raspberry-pi-5")
    areas = examine(config.patient())
    text = render(areas)
    assert text.startswith("1 at fault, ")
    assert "psi=1" in text
    assert max(map(len, text.splitlines())) < 200
    report = as_json(areas)
    assert report["faults"] == 1
    assert {finding["area"] for finding in report["findings"]} == {
        *("agent", "host", "sources", "engines", "keeping", "uplink")
    }
    for finding in report["findings"]:
        assert finding["state"] == "ok" or finding["costs"], finding
        assert finding["state"] != "fault" or finding["do"], finding


def status_of(config: Config, **sources: str) -> dict[str, Any]:
    """Return what an agent says that sees these sources, by the reason for which each is absent."""
    return {
        "version": "0",
        "sentence": "all well",
        "engines": [],
        "spool": {"path": config.tables["spool"]["path"], "in_memory": False},
        "uplink": {"url": None, "connected": False, "sentence": ""},
        "sources": [{"name": name, "state": "absent", "reason": reason} for name, reason in sources.items()],
    }


def test_what_the_running_agent_may_not_read_is_told_with_the_cure(config: Config) -> None:
    """The reasons are those that the sources give: test_sources.py and test_nvidia.py."""
    found = config.findings(
        status_of(
            config,
            power="/sys/class/powercap: energy_uj may be read by root alone; a tmpfiles rule opens it",
            nvidia="the package nvidia-ml-py is not installed",
            devfreq="/sys/kernel/debug/rknpu/load: may be read by root alone",
        )
    )
    assert "systemd-tmpfiles --create" in found["power"].do
    assert "install the package nvidia-ml-py" in found["nvidia"].do
    assert "as root" in found["devfreq"].do
    assert found["spool"].text.endswith("the running agent writes there")


def test_a_running_agent_that_cannot_write_or_send_is_at_fault(config: Config) -> None:
    with socket.create_server(("127.0.0.1", 0)) as broker:
        url = f"mqtt://127.0.0.1:{broker.getsockname()[1]}"
        config.tables["mqtt"] = {"url": url}
        status = status_of(config)
        status["spool"]["in_memory"] = True
        status["uplink"] = {
            "url": url,
            "connected": False,
            "sentence": f"not connected to {url}: not authorised",
        }
        found = config.findings(status)
    assert found["spool"].state is State.FAULT
    assert (found["broker"].state, found["broker"].text) == (State.FAULT, status["uplink"]["sentence"])
    assert "password" in found["broker"].do


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become another user"
)
def test_as_a_user_without_rights(config: Config, upstream: None, directory: Path) -> None:
    """The spool of another user cannot be told, and is no fault."""
    there = Config(directory)
    there.tables["engine"] = config.tables["engine"]
    state = Path(there.tables["spool"]["path"])
    state.mkdir()
    os.chown(state, 65533, 65533)
    state.chmod(0o750)
    code = (
        "import argparse, contextlib, io, os, sys\n"
        "from stonechat_agent import doctor\n"
        "doctor.examine.__defaults__ = (60.0,)\n"
        "arguments = argparse.Namespace(config=sys.argv[1], json=True)\n"
        # Once before, to import all that it needs: the interpreter may be root's alone.
        "with contextlib.redirect_stdout(io.StringIO()): doctor.main(arguments)\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "sys.exit(doctor.main(arguments))\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", code, str(there.write())],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    report = json.loads(told.stdout)
    found = {finding["name"]: finding for finding in report["findings"]}
    faults = [finding for finding in report["findings"] if finding["state"] == "fault"]
    assert told.returncode == 0, (faults, told.stderr)
    assert found["spool"]["state"] == "missing"
    assert "sudo -u" in found["spool"]["do"]
    assert found["cpu"]["state"] == "ok"


def test_it_changes_nothing(config: Config) -> None:
    config.board("raspberry-pi-5")
    config.write()
    before = sorted(config.root.rglob("*"))
    examine(config.patient())
    assert sorted(config.root.rglob("*")) == before


def test_several_engines_are_told_apart(config: Config, tmp_path: Path) -> None:
    file = config.write()
    engines = "".join(
        f'[[engine]]\nname = "{name}"\nupstream = "http://127.0.0.1:{free_port()}"\n'
        f'listen = "127.0.0.1:{free_port()}"\n'
        for name in ("one", "two")
    )
    table = file.read_text()
    start = table.index("[engine]")
    file.write_text(table[:start] + engines + table[table.index("[local]") :])
    settings = load(str(file), as_service=False)
    names = {f.name for area in examine(Patient(settings, None)) for f in area.findings}
    assert {"one upstream", "two upstream", "one listen", "two listen"} <= names


@pytest.mark.system
def test_beside_a_running_agent_it_says_what_that_sees(
    config: Config, upstream: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "STATUS_SECONDS", 30.0)
    file = config.write()
    command = [sys.executable, "-m", "stonechat_agent", "agent", "--config", str(file)]
    agent = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        settings = load(str(file), as_service=False)
        deadline = time.monotonic() + 60
        while True:
            try:
                if all(source["state"] != "new" for source in fetch(settings)["sources"]):
                    break
            except NoAgent:
                pass
            assert time.monotonic() < deadline, "the agent does not start"
            time.sleep(0.1)
        code = doctor.main(argparse.Namespace(config=str(file), json=True))
    finally:
        agent.terminate()
        agent.wait(60)
    told = json.loads(capsys.readouterr().out)["findings"]
    states = {finding["name"]: (finding["state"], finding["text"]) for finding in told}
    assert states["agent"][0] == "ok"
    assert states["engine listen"] == ("ok", f"the agent relays at {config.tables['engine']['listen']}")
    assert states["spool"] == ("ok", f"{config.tables['spool']['path']}: the running agent writes there")
    assert states["cpu"] == ("ok", "gives readings")
    assert code == 0, states


def test_the_command_on_this_machine(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    code = doctor.main(argparse.Namespace(config=str(config.write()), json=False))
    out = capsys.readouterr().out
    assert code == 1  # nothing answers at the engine's address
    assert "engine upstream" in out
