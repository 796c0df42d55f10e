"""What each source says when things come, go, wrap and break."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stonechat_agent.sampling import Absent
from stonechat_agent.sampling.cpu import POLICIES, Cpu
from stonechat_agent.sampling.disk import Disk, is_storage
from stonechat_agent.sampling.files import File
from stonechat_agent.sampling.filesystem import Filesystem
from stonechat_agent.sampling.memory import Memory
from stonechat_agent.sampling.network import Network
from stonechat_agent.sampling.power import Battery, Rapl
from stonechat_agent.sampling.pressure import Pressure
from stonechat_agent.sampling.temperature import Temperature

if TYPE_CHECKING:
    from tests.agent.sampling.conftest import Named, Plant, Planted

SECOND = 1_000_000_000


def change(tree: Planted, path: str, *pairs: tuple[str, str]) -> None:
    text = (tree.root / path).read_text()
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    tree.write(path, text)


def test_a_core_that_is_unplugged_and_comes_back(plant: Plant, named: Named) -> None:
    tree = plant("x86")
    source = Cpu(tree.proc, tree.sys)
    source.open()
    list(source.read(0))
    whole = (tree.root / "proc/stat").read_text()
    tree.write("proc/stat", whole.replace("cpu3 10000", "cqu3 10000").replace("cpu0 10000", "cpu0 10050"))
    readings = named(source.read(SECOND))
    assert readings["system.cpu.core.utilization.max"] == 10000
    assert readings["system.cpu.load_1m"] == 2800  # of three cores
    tree.write(
        "proc/stat",
        whole.replace("cpu3 10000", "cpu3 99999").replace(
            "cpu1 10000 100 5000 250000", "cpu1 10010 100 5000 250030"
        ),
    )
    # What cpu3 did before it was unplugged is not of the last second.
    assert named(source.read(2 * SECOND))["system.cpu.core.utilization.max"] == 2500
    source.close()


def test_idle_time_that_steps_back_is_nothing(plant: Plant, named: Named) -> None:
    tree = plant("x86")
    source = Cpu(tree.proc, tree.sys)
    source.open()
    list(source.read(0))
    change(tree, "proc/stat", ("cpu  40000 400 20000 1000000", "cpu  40010 400 20000 999990"))
    assert named(source.read(SECOND))["system.cpu.utilization"] == 10000
    source.close()


def test_a_line_that_the_read_cut_is_left_out(plant: Plant, named: Named) -> None:
    tree = plant("none")
    line = "cpu{} {} 0 0 100 0 0 0 1234 0 0\n"
    text = line.format(" ", 100) + line.format("0", 100)
    tree.write("proc/stat", text)
    source = Cpu(tree.proc, tree.sys)
    source._stat = File(f"{tree.proc}/stat", head=text.rindex("34"))
    source.open()
    list(source.read(0))
    tree.write("proc/stat", line.format(" ", 150) + line.format("0", 150))
    assert named(source.read(SECOND)) == {"system.cpu.utilization": 10000, "system.cpu.steal": 0}
    source.close()


def test_frequencies_of_cores_that_are_offline_are_left_out(plant: Plant, named: Named) -> None:
    tree = plant("x86")
    source = Cpu(tree.proc, tree.sys)
    source.open()
    os.unlink(tree.root / "sys/devices/system/cpu/cpufreq/policy2/scaling_cur_freq")
    assert named(source.read(0))["system.cpu.frequency.ratio"] == 5000
    source.close()


def test_many_frequency_domains_are_read_by_a_bounded_choice(plant: Plant) -> None:
    tree = plant("x86")
    for core in range(128):
        place = f"sys/devices/system/cpu/cpufreq/policy{core}"
        tree.write(f"{place}/scaling_cur_freq", "1000")
        tree.write(f"{place}/cpuinfo_max_freq", "2000")
    source = Cpu(tree.proc, tree.sys)
    source.open()
    assert 0 < len(source._frequencies) <= POLICIES
    source.close()


def test_memory_without_available_or_swap(plant: Plant, named: Named) -> None:
    tree = plant("none")
    tree.write("proc/meminfo", "MemTotal: 2048000 kB\n")
    source = Memory(tree.proc)
    source.open()
    assert named(source.read(0)) == {"system.memory.limit": 2000}
    source.close()


def test_more_memory_available_than_there_is_is_nonsense(plant: Plant, named: Named) -> None:
    tree = plant("none")
    tree.write(
        "proc/meminfo", "MemTotal: 2048000 kB\nMemAvailable: 4096000 kB\nSwapTotal: 1024 kB\nSwapFree: 9 kB\n"
    )
    source = Memory(tree.proc)
    source.open()
    assert named(source.read(0)) == {"system.memory.limit": 2000, "system.paging.usage": 0}
    source.close()


def test_page_faults_of_a_32_bit_kernel_wrap(plant: Plant, named: Named) -> None:
    tree = plant("x86")
    source = Memory(tree.proc, wraps_at=1 << 32)
    source.open()
    tree.write("proc/vmstat", f"pgmajfault {(1 << 32) - 3}\n")
    list(source.read(0))
    tree.write("proc/vmstat", "pgmajfault 4\n")
    assert named(source.read(SECOND))["system.paging.faults"] == 7
    source.close()


def test_pressure_that_is_built_in_but_disabled_is_absent(plant: Plant) -> None:
    class Disabled(File):
        def read(self) -> bytes:
            raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    source = Pressure(plant("x86").proc)
    source._files = dict.fromkeys(source._files, Disabled(""))
    with pytest.raises(Absent, match="psi=1"):
        source.open()


def test_pressure_of_an_old_kernel_has_no_full_line_for_the_cpu(plant: Plant, named: Named) -> None:
    tree = plant("none")
    tree.write("proc/pressure/cpu", "some avg10=0.00 avg60=0.00 avg300=0.00 total=10\n")
    source = Pressure(tree.proc)
    source.open()
    list(source.read(0))
    tree.write("proc/pressure/cpu", "some avg10=0.00 avg60=0.00 avg300=0.00 total=25\n")
    assert named(source.read(SECOND)) == {"system.pressure.cpu.some": 15}
    source.close()


def test_a_disk_that_is_pulled_and_another_one_that_is_put_in(plant: Plant, named: Named) -> None:
    tree = plant("x86")
    source = Disk(tree.proc, tree.sys)
    source.open()
    list(source.read(0))
    whole = (tree.root / "proc/diskstats").read_text()
    tree.write("proc/diskstats", "\n".join(line for line in whole.splitlines() if " sda" not in line))
    assert named(source.read(SECOND)) == {"system.disk.io.read": 0, "system.disk.io.write": 0}
    tree.write("proc/diskstats", whole.replace("64000", "99000"))
    assert named(source.read(2 * SECOND)) == {"system.disk.io.read": 0, "system.disk.io.write": 0}
    tree.write("proc/diskstats", whole.replace("64000", "99004"))
    assert named(source.read(3 * SECOND)) == {"system.disk.io.read": 4 * 512, "system.disk.io.write": 0}
    source.close()


def test_sectors_of_a_32_bit_kernel_wrap(plant: Plant, named: Named) -> None:
    tree = plant("x86")
    change(tree, "proc/diskstats", ("500 10 64000", f"500 10 {(1 << 32) - 1}"))
    source = Disk(tree.proc, tree.sys, wraps_at=1 << 32)
    source.open()
    list(source.read(0))
    change(tree, "proc/diskstats", (f"500 10 {(1 << 32) - 1}", "500 10 9"))
    assert named(source.read(SECOND))["system.disk.io.read"] == 10 * 512
    source.close()


@pytest.mark.parametrize(
    ("name", "storage"),
    [
        ("sda", True),
        ("sda1", False),
        ("nvme0n1", True),
        ("nvme0n1p2", False),
        ("mmcblk0", True),
        ("mmcblk0p1", False),
    ]
    + [(name, False) for name in ("loop3", "ram0", "zram0", "dm-1", "md0", "nvme0c0n1", "sr0")],
)
def test_without_sys_a_disk_is_known_by_its_name(tmp_path: Path, name: str, storage: bool) -> None:
    assert is_storage(str(tmp_path), name) is storage


def test_a_virtual_disk_is_known_by_its_place_whatever_its_name(plant: Plant) -> None:
    tree = plant("none")
    place = tree.root / "sys/devices/virtual/block/nullb0"
    place.mkdir(parents=True)
    (tree.root / "sys/block").mkdir()
    (tree.root / "sys/block/nullb0").symlink_to(place)
    assert not is_storage(tree.sys, "nullb0")


def test_an_nvme_disk_under_native_multipath_counts_once(plant: Plant) -> None:
    tree = plant("none")
    place = tree.root / "sys/devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n1"
    place.mkdir(parents=True)
    (tree.root / "sys/block").mkdir()
    (tree.root / "sys/block/nvme0n1").symlink_to(place)
    assert is_storage(tree.sys, "nvme0n1")
    assert not is_storage(tree.sys, "nvme0c0n1")


def test_a_network_card_that_is_pulled_and_whose_driver_begins_anew(plant: Plant, named: Named) -> None:
    tree = plant("x86")
    source = Network(tree.proc, tree.sys)
    source.open()
    list(source.read(0))
    whole = (tree.root / "proc/net/dev").read_text()
    tree.write("proc/net/dev", "\n".join(line for line in whole.splitlines() if "wlp2s0" not in line))
    assert named(source.read(SECOND))["system.network.io.receive"] == 0
    tree.write("proc/net/dev", whole.replace("700000000", "500"))
    # Both cards' counters are new: what they count up to now is of no known time.
    assert "system.network.io.receive" not in named(source.read(2 * SECOND))
    tree.write("proc/net/dev", whole.replace("700000000", "700"))
    assert named(source.read(3 * SECOND))["system.network.io.receive"] == 200
    source.close()


@pytest.mark.parametrize(("sessions", "received"), [("", 103), ("00000A 00:11:22:33:44:55 eth0\n", 100)])
def test_a_modem_counts_unless_its_line_is_ethernet(
    plant: Plant, named: Named, sessions: str, received: int
) -> None:
    tree = plant("none")
    line = "{}: {} 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
    tree.write("sys/class/net/eth0/device/uevent", "")
    tree.write("proc/net/pppoe", "Id       Address              Device\n" + sessions)
    tree.write("proc/net/dev", line.format("eth0", 1) + line.format("ppp0", 1))
    source = Network(tree.proc, tree.sys)
    source.open()
    list(source.read(0))
    tree.write("proc/net/dev", line.format("eth0", 101) + line.format("ppp0", 4))
    assert named(source.read(SECOND))["system.network.io.receive"] == received
    source.close()


def test_in_a_container_the_only_interface_counts_though_it_is_virtual(plant: Plant, named: Named) -> None:
    tree = plant("none")
    line = "{}: {} 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
    tree.write("proc/net/dev", line.format("lo", 1) + line.format("eth0", 1))
    source = Network(tree.proc, tree.sys)
    source.open()
    list(source.read(0))
    tree.write("proc/net/dev", line.format("lo", 9) + line.format("eth0", 4))
    assert named(source.read(SECOND))["system.network.io.receive"] == 3
    source.close()


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"class/thermal/thermal_zone0": ("type", "x86_pkg_temp", "temp", "45000")}, 450),
        ({"class/thermal/thermal_zone0": ("type", "cpu-thermal", "temp", "45250")}, 452),
        ({"class/thermal/thermal_zone0": ("type", "CPU-therm", "temp", "51000")}, 510),
        ({"class/thermal/thermal_zone3": ("type", "tj-thermal", "temp", "62000")}, 620),
        ({"class/thermal/thermal_zone0": ("type", "soc-thermal", "temp", "-5000")}, -50),
        ({"class/thermal/thermal_zone0": ("type", "acpitz", "temp", "30000")}, 300),
        ({"class/thermal/thermal_zone0": ("type", "iwlwifi_1", "temp", "30000")}, None),
        ({"class/thermal/thermal_zone0": ("type", "gpu-thermal", "temp", "30000")}, None),
        ({"class/hwmon/hwmon0": ("name", "nvme", "temp1_input", "30000")}, None),
        # Tctl may be shifted; where Tdie is there, it is what was measured.
        (
            {
                "class/hwmon/hwmon0": (
                    "name",
                    "k10temp",
                    "temp1_label",
                    "Tctl",
                    "temp1_input",
                    "90000",
                    "temp2_label",
                    "Tdie",
                    "temp2_input",
                    "70000",
                )
            },
            700,
        ),
        ({"class/hwmon/hwmon0": ("name", "k10temp", "temp1_label", "Tctl", "temp1_input", "66125")}, 661),
        (
            {
                "class/hwmon/hwmon0": (
                    "name",
                    "coretemp",
                    "temp2_label",
                    "Core 0",
                    "temp2_input",
                    "40000",
                    "temp3_label",
                    "Core 1",
                    "temp3_input",
                    "48000",
                )
            },
            480,
        ),
        # The chip is there but nonsense: no value, rather than that of a sensor of another kind.
        ({"class/hwmon/hwmon0": ("name", "coretemp", "temp1_input", "-273000")}, "nothing"),
    ],
)
def test_the_processor_sensor_is_chosen(
    plant: Plant, named: Named, files: dict[str, tuple[str, ...]], expected: int | str | None
) -> None:
    tree = plant("none")
    for place, pairs in files.items():
        for name, content in zip(pairs[::2], pairs[1::2], strict=True):
            tree.write(f"sys/{place}/{name}", content + "\n")
    source = Temperature(tree.sys)
    if expected is None:
        with pytest.raises(Absent):
            source.open()
        return
    source.open()
    readings = named(source.read(0))
    source.close()
    assert readings == ({} if expected == "nothing" else {"hw.temperature": expected})


def test_a_sensor_whose_driver_is_unloaded_is_absent(plant: Plant) -> None:
    tree = plant("raspberry_pi_5")
    source = Temperature(tree.sys)
    source.open()
    os.unlink(tree.root / "sys/class/hwmon/hwmon0/temp1_input")
    with pytest.raises(Absent):
        list(source.read(0))
    source.close()


def test_energy_that_was_reset_during_suspend_is_no_wrap(plant: Plant, named: Named) -> None:
    tree = plant("x86")
    source = Rapl(tree.sys)
    source.open()
    list(source.read(0))
    list(source.read(SECOND))
    tree.write("sys/class/powercap/intel-rapl:0/energy_uj", "60000000000\n")  # 60 kJ in a second
    readings = named(source.read(2 * SECOND))
    assert readings == {"hw.power": 0, "hw.energy": 0}  # the memory's counter goes on
    source.close()


def test_fractions_of_a_millijoule_are_not_lost(plant: Plant, named: Named) -> None:
    tree = plant("x86")
    source = Rapl(tree.sys)
    source.open()
    total = 0
    for second in range(11):
        tree.write("sys/class/powercap/intel-rapl:0:1/energy_uj", f"{1_000_000 + 300 * second}\n")
        total += named(source.read((1 + second) * SECOND)).get("hw.energy", 0)
    assert total == 3
    source.close()


def test_energy_that_only_root_may_read_is_absent_with_the_cure(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = plant("x86")
    opened = os.open

    def refuse(path: str, *args: int) -> int:
        if path.endswith("energy_uj"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return opened(path, *args)

    # Tests may run as root, whom no file's mode refuses.
    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(Absent, match="tmpfiles"):
        Rapl(tree.sys).open()


def test_the_battery_is_asked_seldom(plant: Plant, named: Named) -> None:
    tree = plant("x86")
    source = Battery(tree.sys)
    source.open()
    assert named(source.read(0)) == {"hw.battery.charge": 8700}
    tree.write("sys/class/power_supply/BAT0/capacity", "86\n")
    assert named(source.read(9 * SECOND)) == {}
    assert named(source.read(10 * SECOND)) == {"hw.battery.charge": 8600}
    source.close()


def test_the_file_system_of_a_spool_that_is_not_there_yet(tmp_path: Path, named: Named) -> None:
    readings = named(Filesystem(str(tmp_path / "not" / "yet")).read(0))
    figures = os.statvfs(tmp_path)
    assert abs(readings["system.filesystem.free"] - (figures.f_bavail * figures.f_frsize >> 20)) < 64
    assert 0 <= readings["system.filesystem.utilization"] <= 10000
