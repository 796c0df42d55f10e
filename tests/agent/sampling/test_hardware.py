"""What the machine is; and that nothing tells it from its twins."""

from __future__ import annotations

import json
import platform
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from stonechat_agent.sampling.hardware import describe

if TYPE_CHECKING:
    from tests.agent.sampling.conftest import Plant, Planted


def facts(tree: Planted, architecture: str = "x86_64", **more: Any) -> dict[str, Any]:
    root = tree.root
    return describe(
        proc=tree.proc,
        sys=tree.sys,
        dev=str(root / "dev"),
        etc=str(root / "etc"),
        architecture=architecture,
        **more,
    )


def test_a_pc(plant: Plant) -> None:
    described = facts(plant("x86"))
    assert described == {
        "class": "x86_64-4c-16g",
        "arch": "x86_64",
        "cpu": "Intel(R) Core(TM) i5-10400T CPU @ 2.00GHz",
        "cores": 4,
        "memory_mib": 15936,
        "board": "LENOVO ThinkCentre M70q",
        "kernel": "6.1.0-28-amd64",
        "os": "debian",
        "os_version": "12",
    }


def test_a_raspberry_pi(plant: Plant) -> None:
    described = facts(plant("raspberry_pi_5"), "aarch64")
    assert described == {
        "class": "raspberry-pi-5",
        "arch": "aarch64",
        "cpu": "Cortex-A76",
        "cores": 4,
        "memory_mib": 8064,
        "board": "Raspberry Pi 5 Model B Rev 1.0",
        "kernel": "6.6.51+rpt-rpi-2712",
        "os": "debian",
        "os_version": "12",
    }


@pytest.mark.parametrize("name", ["x86", "raspberry_pi_5"])
def test_nothing_tells_one_machine_from_its_twins(plant: Plant, name: str) -> None:
    text = json.dumps(facts(plant(name))).lower()
    for secret in ("secret", "deadbeef", "0123456789abcdef"):
        assert secret not in text


@pytest.mark.parametrize(
    ("model", "compatible", "name"),
    [
        ("Raspberry Pi 4 Model B Rev 1.4", "raspberrypi,4-model-b", "raspberry-pi-4"),
        ("Raspberry Pi 400 Rev 1.0", "raspberrypi,400", "raspberry-pi-400"),
        ("Raspberry Pi Zero 2 W Rev 1.0", "raspberrypi,model-zero-2-w", "raspberry-pi-zero-2-w"),
        (
            "Raspberry Pi Compute Module 4 Rev 1.1",
            "raspberrypi,4-compute-module",
            "raspberry-pi-compute-module-4",
        ),
        ("Raspberry Pi 3 Model B Plus Rev 1.3", "raspberrypi,3-model-b-plus", "raspberry-pi-3"),
        ("NVIDIA Jetson AGX Orin Developer Kit", "nvidia,p3737\0nvidia,tegra234", "jetson-agx-orin"),
        (
            "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super",
            "nvidia,p3768\0nvidia,tegra234",
            "jetson-orin-nano",
        ),
        ("NVIDIA Orin NX Developer Kit", "nvidia,p3509\0nvidia,tegra234", "jetson-orin-nx"),
        ("Radxa ROCK 5B", "radxa,rock-5b", "radxa-rock-5b"),
    ],
)
def test_a_board_is_its_class(plant: Plant, model: str, compatible: str, name: str) -> None:
    tree = plant("none")
    tree.write("proc/device-tree/model", f"{model}\0")
    tree.write("proc/device-tree/compatible", f"{compatible}\0")
    assert facts(tree, "aarch64")["class"] == name


def test_big_and_little_cores_are_both_named(plant: Plant) -> None:
    tree = plant("none")
    core = "processor : {}\nCPU implementer : 0x41\nCPU part : {}\n\n"
    tree.write("proc/cpuinfo", core.format(0, "0xd05") + core.format(1, "0xd0b") + core.format(2, "0xfff"))
    described = facts(tree, "aarch64")
    assert described["cpu"] == "Cortex-A55+Cortex-A76+0x41/0xfff"
    assert described["cores"] == 3


def test_what_a_maker_did_not_fill_in_is_left_out(plant: Plant) -> None:
    assert facts(plant("broken")) == {"arch": "x86_64", "memory_mib": 3904, "class": "x86_64-4g"}


def test_every_text_is_bounded_and_printable(plant: Plant) -> None:
    tree = plant("x86")
    tree.write("sys/class/dmi/id/product_name", "\x1b[31m" + "Ünïcode\n" * 1000)
    tree.write("etc/os-release", 'ID="' + "x" * 100_000 + '"\n')
    for value in facts(tree).values():
        if isinstance(value, str):
            assert len(value) <= 96
            assert value.isascii()
            assert value.isprintable()


def test_gpus_are_named_and_tell_the_class(plant: Plant) -> None:
    class Lost(Exception):
        pass

    def handle(index: int) -> int:
        if index == 1:
            raise Lost
        return index

    nvml = SimpleNamespace(
        NVMLError=Lost,
        nvmlInit=lambda: None,
        nvmlShutdown=lambda: None,
        nvmlDeviceGetCount=lambda: 2,
        nvmlDeviceGetHandleByIndex=handle,
        nvmlSystemGetDriverVersion=lambda: b"550.90.07",
        nvmlDeviceGetName=lambda handle: "NVIDIA GeForce RTX 4090",
        nvmlDeviceGetMemoryInfo=lambda handle: SimpleNamespace(total=24 << 30),
    )
    tree = plant("x86")
    tree.write("dev/nvidia0", "")
    described = facts(tree, load=lambda: nvml)
    assert described["gpus"] == [
        {"name": "NVIDIA GeForce RTX 4090", "memory_mib": 24576, "driver": "550.90.07"},
        {"driver": "550.90.07"},
    ]
    assert described["class"] == "x86_64-4c-16g-2x-geforce-rtx-4090"


def test_a_card_of_amds_tells_the_class_and_a_processors_own_gpu_does_not(plant: Plant) -> None:
    tree = plant("x86")
    device = "sys/class/drm/card1/device"
    tree.write(f"{device}/uevent", "DRIVER=amdgpu\nPCI_ID=1002:744C\nPCI_SLOT_NAME=0000:03:00.0\n")
    tree.write(f"{device}/mem_info_vram_total", f"{24 << 30}\n")
    uevent = "DRIVER=i915\nPCI_ID=8086:9BC8\nPCI_SLOT_NAME=0000:00:02.0\n"
    tree.write("sys/class/drm/card0/device/uevent", uevent)
    tree.write("sys/class/drm/card2/device/uevent", "DRIVER=ast\nPCI_ID=1A03:2000\n")
    described = facts(tree)
    assert described["gpus"] == [
        {"driver": "i915", "name": "Intel 9bc8", "integrated": True},
        {"driver": "amdgpu", "name": "AMD 744c", "memory_mib": 24576},
    ]
    assert described["class"] == "x86_64-4c-16g-amd-744c"
    tree.write(f"{device}/product_name", "Radeon RX 7900 XTX\n")
    assert facts(tree)["class"] == "x86_64-4c-16g-radeon-rx-7900-xtx"


@pytest.mark.parametrize(
    ("status", "modes", "expected"),
    [
        ("pmode:0002 fmode:quiet", "< POWER_MODEL ID=2 NAME=MAXN_SUPER >\n", "MAXN_SUPER"),
        ("pmode:0002", "< POWER_MODEL ID=12 NAME=15W >\n", "mode 2"),
        ("pmode:0000", "", "mode 0"),
        ("nonsense", "< POWER_MODEL ID=0 NAME=MAXN >\n", None),
    ],
)
def test_the_power_mode_of_a_jetson(plant: Plant, status: str, modes: str, expected: str | None) -> None:
    tree = plant("none")
    tree.write("var/lib/nvpmodel/status", f"{status}\n")
    tree.write("etc/nvpmodel.conf", modes)
    assert facts(tree, "aarch64", var=str(tree.root / "var")).get("power_mode") == expected


def test_a_machine_without_proc_is_described_by_psutil(plant: Plant) -> None:
    described = facts(plant("none"), "arm64")
    assert described["memory_mib"] % 64 == 0
    assert described["cores"] == psutil.cpu_count()
    assert described["os"] == platform.system().lower()
    assert described["class"] == f"arm64-{described['cores']}c-{-(-described['memory_mib'] // 1024)}g"


def test_this_machine_is_described() -> None:
    described = describe()
    assert described["cores"] >= 1
    assert described["memory_mib"] > 0
    assert described["class"]
