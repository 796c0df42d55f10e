"""Rails, meters and batteries: which sensor stands for the device, and what is unknown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from stonechat_agent.sampling import Absent
from stonechat_agent.sampling.fans import Fans
from stonechat_agent.sampling.power import Battery, Chip, Rails, Rapl, Widest

if TYPE_CHECKING:
    from tests.agent.sampling.conftest import Named, Plant, Planted

SECOND = 1_000_000_000


def rail(tree: Planted, chip: int, channel: int, label: str, millivolts: int, milliamperes: int) -> None:
    place = f"sys/class/hwmon/hwmon{chip}"
    tree.write(f"{place}/name", "ina3221\n")
    tree.write(f"{place}/in{channel}_label", f"{label}\n")
    tree.write(f"{place}/in{channel}_input", f"{millivolts}\n")
    tree.write(f"{place}/curr{channel}_input", f"{milliamperes}\n")


def test_the_rail_that_feeds_the_board_stands_for_it(plant: Plant, named: Named) -> None:
    """Orin Nano: VDD_IN feeds the other two."""
    tree = plant("none")
    rail(tree, 1, 1, "VDD_IN", 4984, 1856)
    rail(tree, 1, 2, "VDD_CPU_GPU_CV", 4984, 500)
    rail(tree, 1, 3, "VDD_SOC", 4984, 300)
    source = Rails(tree.sys)
    source.open()
    assert named(source.read(SECOND)) == {"hw.power": 9250}
    assert named(source.read(3 * SECOND)) == {"hw.power": 9250, "hw.energy": 18_500}
    source.close()


@pytest.mark.parametrize("nonsense", ["", "-5\n", "letters\n", "99999999999\n"])
def test_a_sum_without_one_of_its_parts_is_unknown(plant: Plant, named: Named, nonsense: str) -> None:
    tree = plant("none")
    rail(tree, 1, 1, "GPU", 5000, 1000)
    rail(tree, 1, 2, "CPU", 5000, 1000)
    source = Rails(tree.sys)
    source.open()
    assert named(source.read(0)) == {"hw.power": 10_000}
    tree.write("sys/class/hwmon/hwmon1/curr2_input", nonsense)
    assert named(source.read(SECOND)) == {}
    source.close()


def test_a_meter_of_the_whole_machine_comes_before_the_processors_counters(
    plant: Plant, named: Named
) -> None:
    tree = plant("x86")
    tree.write("sys/class/hwmon/hwmon9/name", "power_meter\n")
    tree.write("sys/class/hwmon/hwmon9/power1_average", "145000000\n")
    source = Widest("power", [Rails(tree.sys), Rapl(tree.sys), Chip(tree.sys)])
    source.open()
    assert named(source.read(SECOND)) == {"hw.power": 145_000}
    tree.write("sys/class/hwmon/hwmon9/name", "another\n")
    source.open()
    source.read(2 * SECOND)
    assert named(source.read(3 * SECOND)).keys() <= {"hw.power", "hw.energy"}
    source.close()


def test_without_any_sensor_all_reasons_are_said(plant: Plant) -> None:
    tree = plant("none")
    source = Widest("power", [Rails(tree.sys), Rapl(tree.sys), Chip(tree.sys)])
    with pytest.raises(Absent, match=r"hwmon; no package's energy .*; no AMD processor"):
        source.open()
    source.close()


def test_a_discrete_cards_power_is_not_the_machines(plant: Plant) -> None:
    tree = plant("none")
    tree.write("sys/class/hwmon/hwmon5/name", "amdgpu\n")
    tree.write("sys/class/hwmon/hwmon5/power1_average", "200000000\n")
    with pytest.raises(Absent):
        Chip(tree.sys).open()


@pytest.mark.parametrize(
    ("files", "power"),
    [
        ({"status": "Discharging", "power_now": "12500000"}, 12_500),
        ({"status": "Discharging", "power_now": "-12500000"}, 12_500),
        ({"status": "Discharging", "current_now": "2000000", "voltage_now": "11100000"}, 22_200),
        ({"status": "Charging", "power_now": "30000000"}, 0),
        ({"status": "Full"}, 0),
        ({"status": "Not charging"}, 0),
        ({"status": "Unknown", "power_now": "12500000"}, None),
        ({"status": "Discharging"}, None),
        ({"status": "Discharging", "power_now": "letters"}, None),
        ({"status": "Discharging", "power_now": "99999999999999"}, None),
        ({}, None),
    ],
)
def test_what_a_battery_gives(plant: Plant, named: Named, files: dict[str, str], power: int | None) -> None:
    tree = plant("none")
    tree.write("sys/class/power_supply/BAT0/type", "Battery\n")
    for name, content in files.items():
        tree.write(f"sys/class/power_supply/BAT0/{name}", f"{content}\n")
    source = Battery(tree.sys)
    source.open()
    assert named(source.read(0)).get("hw.battery.power") == power


def test_fans_are_asked_seldom_and_one_that_stalls_the_machine_never(plant: Plant, named: Named) -> None:
    tree = plant("none")
    tree.write("sys/class/hwmon/hwmon0/name", "dell_smm\n")
    tree.write("sys/class/hwmon/hwmon0/fan1_input", "5000\n")
    with pytest.raises(Absent):
        Fans(tree.sys).open()
    tree.write("sys/class/hwmon/hwmon1/name", "nct6775\n")
    tree.write("sys/class/hwmon/hwmon1/fan1_input", "0\n")
    tree.write("sys/class/hwmon/hwmon1/fan2_input", "4000000\n")
    source = Fans(tree.sys)
    source.open()
    assert named(source.read(0)) == {"hw.fan_speed": 0}  # one that stands still
    assert named(source.read(9 * SECOND)) == {}
    tree.write("sys/class/hwmon/hwmon1/fan1_input", "900\n")
    assert named(source.read(10 * SECOND)) == {"hw.fan_speed": 900}
