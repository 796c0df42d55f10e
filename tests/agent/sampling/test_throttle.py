"""Signs of throttling: each board's, and what they say together."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stonechat_agent.sampling import Absent
from stonechat_agent.sampling.cooling import DEVICES, Cooling
from stonechat_agent.sampling.over_current import OverCurrent
from stonechat_agent.sampling.raspberry_pi import RaspberryPi
from stonechat_agent.sampling.thermal_throttle import CORES, ThermalThrottle
from stonechat_agent.sampling.throttle import Probe, Throttle

if TYPE_CHECKING:
    from tests.agent.sampling.conftest import Named, Plant, Planted

PI_4 = "sys/devices/platform/soc/soc:firmware/get_throttled"
ALARM = "sys/class/hwmon/hwmon2"


def pi(plant: Plant) -> Planted:
    tree = plant("none")
    tree.write("proc/device-tree/compatible", "raspberrypi,4-model-b\0brcm,bcm2711\0")
    return tree


def probe_of(tree: Planted, **more: object) -> RaspberryPi:
    return RaspberryPi(tree.proc, tree.sys, str(tree.root / "dev"), **more)  # type: ignore[arg-type]


class Firmware:
    """The mailbox's other end: looks at the question as the kernel passes it on, and answers."""

    def __init__(self, word: int, status: int = 0x80000000) -> None:
        self.word, self.status = word, status
        self.asked = 0

    def __call__(self, fd: int, request: int, buffer: bytearray) -> None:
        # _IOWR(100, 0, char *), linux/ioctl.h: direction, size of a pointer, type, number.
        assert request == 0xC0006400 | struct.calcsize("P") << 16
        assert struct.unpack("=7I", buffer) == (28, 0, 0x00030046, 4, 0, 0, 0)
        self.asked += 1
        struct.pack_into("=7I", buffer, 0, 28, self.status, 0x00030046, 4, 0x80000004, self.word, 0)


@pytest.mark.parametrize(
    ("word", "reasons"),
    [
        (0, []),
        (0x50000, []),  # it was so once, and is no more
        (0x50005, ["under_voltage", "firmware"]),
        (0xF000F, ["under_voltage", "frequency_cap", "firmware", "soft_temperature_limit"]),
    ],
)
def test_the_firmware_of_a_raspberry_pi_is_asked_what_is_in_force(
    plant: Plant, word: int, reasons: list[str]
) -> None:
    tree = pi(plant)
    tree.write("dev/vcio", "")
    tree.write(PI_4, "1\n")
    firmware = Firmware(word)
    probe = probe_of(tree, ioctl=firmware)
    assert probe.open()
    assert probe.read() == reasons
    assert firmware.asked == 2
    probe.close()


@pytest.mark.parametrize(
    ("content", "reasons"),
    [
        ("0\n", []),
        ("50000\n", ["under_voltage", "firmware"]),  # since the kernel's last question
        ("e0008\n", ["frequency_cap", "firmware", "soft_temperature_limit"]),
        ("", None),
        ("words\n", None),
        ("-1\n", None),
    ],
)
def test_without_the_mailbox_the_kernels_own_word_is_read(
    plant: Plant, content: str, reasons: list[str] | None
) -> None:
    tree = pi(plant)
    tree.write(PI_4, content)
    probe = probe_of(tree)
    assert probe.open()
    assert probe.read() == reasons
    probe.close()


def test_a_mailbox_that_answers_with_an_error_is_not_used(plant: Plant) -> None:
    tree = pi(plant)
    tree.write("dev/vcio", "")
    tree.write(PI_4, "10001\n")
    probe = probe_of(tree, ioctl=Firmware(0xF, status=0x80000001))
    assert probe.open()
    assert probe.read() == ["under_voltage"]
    probe.close()


def test_a_file_is_no_mailbox(plant: Plant) -> None:
    """The real ioctl, which a plain file refuses."""
    tree = pi(plant)
    tree.write("dev/vcio", "")
    probe = probe_of(tree)
    assert not probe.open()
    assert probe.read() is None


def test_where_a_warning_is_a_panic_the_file_that_warns_is_never_read(plant: Plant) -> None:
    tree = pi(plant)
    tree.write(PI_4, "f\n")
    tree.write("proc/sys/kernel/panic_on_warn", "1\n")
    tree.write(f"{ALARM}/name", "rpi_volt\n")
    tree.write(f"{ALARM}/in0_lcrit_alarm", "1\n")
    probe = probe_of(tree)
    assert probe.open()
    assert probe.read() == ["under_voltage"]
    probe.close()


def test_another_board_is_asked_nothing(plant: Plant) -> None:
    tree = plant("none")
    tree.write("proc/device-tree/compatible", "radxa,rock-5b\0")
    tree.write("dev/vcio", "")
    tree.write(PI_4, "f\n")
    assert not probe_of(tree, ioctl=Firmware(0xF)).open()


def test_counters_tell_only_what_grew(plant: Plant) -> None:
    tree = plant("none")
    tree.write("sys/class/hwmon/hwmon4/name", "soctherm_oc\n")
    for number in (1, 2, 3):
        tree.write(f"sys/class/hwmon/hwmon4/oc{number}_event_cnt", "5\n")
    probe = OverCurrent(tree.sys)
    assert probe.open()
    assert probe.read() is None  # since when is unknown
    assert probe.read() == set()
    tree.write("sys/class/hwmon/hwmon4/oc1_event_cnt", "6\n")
    assert probe.read() == {"under_voltage"}
    tree.write("sys/class/hwmon/hwmon4/oc2_event_cnt", "6\n")
    tree.write("sys/class/hwmon/hwmon4/oc3_event_cnt", "letters\n")
    assert probe.read() == {"over_current"}
    tree.write("sys/class/hwmon/hwmon4/oc1_event_cnt", "0\n")  # a reset is no event
    assert probe.read() == set()
    probe.close()


def test_threads_of_a_core_count_once_and_cores_are_bounded(plant: Plant) -> None:
    tree = plant("none")
    for cpu in range(128):
        place = f"sys/devices/system/cpu/cpu{cpu}"
        tree.write(f"{place}/topology/core_id", f"{cpu % 64}\n")
        tree.write(f"{place}/topology/physical_package_id", "0\n")
        tree.write(f"{place}/thermal_throttle/core_throttle_count", "0\n")
        tree.write(f"{place}/thermal_throttle/package_throttle_count", "0\n")
    probe = ThermalThrottle(tree.sys)
    assert probe.open()
    assert len(probe._counts) == CORES + 1
    probe.close()


@pytest.mark.parametrize(
    ("kind", "state", "reasons"),
    [
        ("thermal-cpufreq-0", "2", ["thermal"]),
        ("cpufreq-cpu0", "1", ["thermal"]),
        ("Processor", "3", ["thermal"]),
        ("intel_powerclamp", "-1", []),
        ("intel_powerclamp", "20", ["thermal"]),
        ("devfreq-17000000.gpu", "1", ["thermal"]),
        ("cpu-throttle-alert", "1", ["thermal"]),
        ("thermal-cpufreq-0", "0", []),
        ("thermal-cpufreq-0", "hot", None),
        ("thermal-cpufreq-0", "", None),
    ],
)
def test_a_cooling_device_that_slows_down(
    plant: Plant, kind: str, state: str, reasons: list[str] | None
) -> None:
    tree = plant("none")
    tree.write("sys/class/thermal/cooling_device0/type", f"{kind}\n")
    tree.write("sys/class/thermal/cooling_device0/cur_state", f"{state}\n")
    probe = Cooling(tree.sys)
    assert probe.open()
    assert probe.read() == reasons
    probe.close()


@pytest.mark.parametrize("kind", ["pwm-fan", "Fan", "TCC Offset", "LCD", "iwlwifi", "hot-surface-alert"])
def test_what_cools_without_slowing_down_is_no_throttling(plant: Plant, kind: str) -> None:
    tree = plant("none")
    tree.write("sys/class/thermal/cooling_device0/type", f"{kind}\n")
    tree.write("sys/class/thermal/cooling_device0/cur_state", "3\n")
    assert not Cooling(tree.sys).open()


def test_cooling_devices_are_bounded(plant: Plant) -> None:
    tree = plant("none")
    for number in range(100):
        tree.write(f"sys/class/thermal/cooling_device{number}/type", "Processor\n")
        tree.write(f"sys/class/thermal/cooling_device{number}/cur_state", "0\n")
    probe = Cooling(tree.sys)
    assert probe.open()
    assert 0 < len(probe._states) <= DEVICES
    probe.close()


class Sign:
    """A probe that says what it was told, or raises it."""

    def __init__(self, *says: list[str] | OSError | None, present: bool = True) -> None:
        self._says = list(says)
        self._present = present

    def open(self) -> bool:
        return self._present

    def read(self) -> list[str] | None:
        said = self._says.pop(0)
        if isinstance(said, OSError):
            raise said
        return said

    def close(self) -> None:
        """Nothing is held."""


def readings(named: Named, *probes: Probe) -> dict[str, int]:
    source = Throttle(probes)
    source.open()
    return named(source.read(0))


def test_signs_together(named: Named) -> None:
    assert readings(named, Sign(["thermal"]), Sign(["thermal", "power_cap"])) == {
        "stonechat.throttled": 10000,
        "stonechat.throttle.reasons power_cap": 1,
        "stonechat.throttle.reasons thermal": 1,
    }
    assert readings(named, Sign([]), Sign(None)) == {"stonechat.throttled": 0}
    assert readings(named, Sign(None), Sign(None)) == {}, "unknown is not: not throttled"
    assert readings(named, Sign(OSError("gone")), Sign([])) == {"stonechat.throttled": 0}
    with pytest.raises(OSError, match="gone"):
        readings(named, Sign(OSError("gone")), Sign(None))
    with pytest.raises(Absent):
        readings(named, Sign(present=False))


def test_a_sensor_that_goes_is_told_by_the_probe(plant: Plant) -> None:
    tree = plant("none")
    tree.write("sys/class/thermal/cooling_device0/type", "Processor\n")
    state = "sys/class/thermal/cooling_device0/cur_state"
    tree.write(state, "0\n")
    probe = Cooling(tree.sys)
    assert probe.open()
    os.unlink(Path(tree.root) / state)
    with pytest.raises(FileNotFoundError):
        probe.read()
