"""GPUs of AMD and Intel: what differs from the boards' trees; and devices by devfreq."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from stonechat_agent.sampling import Absent
from stonechat_agent.sampling.devfreq import Devfreq
from stonechat_agent.sampling.drm import Drm, memory_of, throttle_reasons
from stonechat_agent.sampling.files import File

if TYPE_CHECKING:
    from tests.agent.sampling.conftest import Named, Plant, Planted

SECOND = 1_000_000_000


def card(tree: Planted, number: int, driver: str, **files: object) -> str:
    place = f"sys/class/drm/card{number}"
    tree.write(f"{place}/device/uevent", f"DRIVER={driver}\nPCI_SLOT_NAME=0000:03:00.0\n")
    for name, content in files.items():
        tree.write(f"{place}/device/{name.replace('__', '/')}", f"{content}\n")
    return place


def drm_of(tree: Planted) -> Drm:
    source = Drm(tree.proc, tree.sys, str(tree.root / "dev"), dict)
    source.open()
    return source


def test_a_card_of_its_own_has_its_own_memory_and_power(plant: Plant, named: Named) -> None:
    tree = plant("none")
    gib = 1 << 30
    memory = {"mem_info_vram_used": 12 * gib, "mem_info_vram_total": 16 * gib, "mem_info_gtt_used": gib}
    place = card(tree, 0, "amdgpu", gpu_busy_percent=99, mem_info_gtt_total=32 * gib, **memory)
    tree.write(f"{place}/device/hwmon/hwmon3/power1_average", "250000000\n")
    tree.write(f"{place}/device/hwmon/hwmon3/temp1_input", "67000\n")
    source = drm_of(tree)
    assert named(source.read(SECOND)) == {
        "hw.gpu.utilization": 9900,
        "hw.gpu.memory.usage": 12 * 1024,
        "hw.gpu.memory.limit": 16 * 1024,
        "hw.gpu.temperature": 670,
        "hw.gpu.power": 250_000,
    }
    source.close()


def test_a_card_that_sleeps_is_not_woken(plant: Plant, named: Named) -> None:
    tree = plant("none")
    card(tree, 0, "amdgpu", gpu_busy_percent=50, mem_info_vram_used=5, power__runtime_status="suspended")
    source = drm_of(tree)
    assert named(source.read(SECOND)) == {"hw.gpu.utilization": 0}
    assert source._cards[0][1]._busy._fd < 0  # type: ignore[attr-defined]
    source.close()


def test_a_card_of_the_xe_driver(plant: Plant, named: Named) -> None:
    tree = plant("none")
    place = card(tree, 0, "xe")
    for gt, idle in (("gt0", 1000), ("gt1", 1000)):
        where = f"{place}/device/tile0/{gt}"
        tree.write(f"{where}/gtidle/idle_residency_ms", f"{idle}\n")
        tree.write(f"{where}/freq0/act_freq", "1400\n" if gt == "gt0" else "0\n")
        tree.write(f"{where}/freq0/rp0_freq", "2000\n")
        tree.write(f"{where}/freq0/throttle/status", "1\n" if gt == "gt0" else "0\n")
        for reason in ("pl1", "pl2", "pl4", "thermal", "prochot", "ratl", "vr_thermalert", "vr_tdc"):
            tree.write(f"{where}/freq0/throttle/reason_{reason}", "1\n" if reason == "thermal" else "0\n")
    tree.write(f"{place}/device/hwmon/hwmon2/energy1_input", "1000000\n")
    source = drm_of(tree)
    list(source.read(SECOND))
    tree.write(f"{place}/device/tile0/gt0/gtidle/idle_residency_ms", "1100\n")
    tree.write(f"{place}/device/tile0/gt1/gtidle/idle_residency_ms", "2000\n")
    tree.write(f"{place}/device/hwmon/hwmon2/energy1_input", "31000000\n")
    assert named(source.read(2 * SECOND)) == {
        "hw.gpu.utilization": 9000,
        "hw.gpu.clock.ratio": 7000,
        "hw.gpu.power": 30_000,
        "hw.gpu.energy": 30_000,
        "hw.gpu.throttle.reasons hardware_thermal": 1,
    }
    source.close()


def test_an_older_kernels_i915_has_no_directory_a_gt(plant: Plant, named: Named) -> None:
    tree = plant("none")
    place = card(tree, 0, "i915")
    tree.write(f"{place}/power/rc6_residency_ms", "500\n")
    tree.write(f"{place}/gt_act_freq_mhz", "0\n")
    tree.write(f"{place}/gt_max_freq_mhz", "1000\n")
    source = drm_of(tree)
    assert named(source.read(SECOND)) == {}  # asleep, it has no clock
    tree.write(f"{place}/power/rc6_residency_ms", "1250\n")
    tree.write(f"{place}/gt_act_freq_mhz", "900\n")
    assert named(source.read(2 * SECOND)) == {"hw.gpu.utilization": 2500, "hw.gpu.clock.ratio": 9000}
    source.close()


def test_beside_a_gpu_of_nvidias_the_processors_own_is_left_out(plant: Plant) -> None:
    tree = plant("none")
    card(tree, 0, "i915")
    tree.write("dev/nvidia0", "")
    with pytest.raises(Absent, match="NVIDIA"):
        drm_of(tree)


@pytest.mark.parametrize("driver", ["nouveau", "vc4", "panthor", "bochs", "ast"])
def test_cards_of_other_drivers_are_none(plant: Plant, driver: str) -> None:
    tree = plant("none")
    card(tree, 0, driver)
    with pytest.raises(Absent):
        drm_of(tree)


def test_a_card_that_is_pulled_is_absent(plant: Plant) -> None:
    tree = plant("none")
    place = card(tree, 0, "amdgpu", gpu_busy_percent=1)
    source = drm_of(tree)
    (tree.root / f"{place}/device").rename(tree.root / "pulled")
    with pytest.raises(Absent):
        list(source.read(SECOND))
    source.close()


@pytest.mark.parametrize(
    ("header", "at", "bits", "reasons"),
    [
        ((120, 1, 3), 112, 1 << 0, ("power_cap",)),
        ((120, 1, 3), 112, 1 << 17 | 1 << 36, ("current_limit", "hardware_thermal")),
        ((128, 2, 2), 120, 1 << 56, ("hardware_slowdown",)),
        ((128, 2, 2), 120, 0, ()),
        ((128, 2, 2), 120, (1 << 64) - 1, ()),  # not filled in
        ((104, 1, 1), 96, 1, ()),  # bits that differ from chip to chip
        ((264, 3, 0), 112, 1, ()),
    ],
)
def test_throttling_of_an_amd_gpu(
    plant: Plant, header: tuple[int, int, int], at: int, bits: int, reasons: tuple[str, ...]
) -> None:
    tree = plant("none")
    data = bytearray(header[0])
    struct.pack_into("<HBB", data, 0, *header)
    struct.pack_into("<Q", data, at, bits)
    tree.write("gpu_metrics", bytes(data))
    assert throttle_reasons(File(str(tree.root / "gpu_metrics"), head=1024)) == reasons
    tree.write("cut", bytes(data[: at + 4]))
    assert throttle_reasons(File(str(tree.root / "cut"), head=1024)) == ()


def test_memory_of_processes_on_a_gpu(plant: Plant) -> None:
    tree = plant("none")
    head = "pos:\t0\ndrm-driver:\tamdgpu\ndrm-pdev:\t0000:04:00.0\ndrm-client-id:\t"
    body = "drm-memory-vram:\t1024 KiB\ndrm-resident-vram:\t1024 KiB\ndrm-memory-gtt:\t3 MiB\ndrm-memory-cpu:\t9 MiB\n"
    tree.write("proc/7/fdinfo/5", f"{head}11\n{body}")
    tree.write("proc/7/fdinfo/6", f"{head}11\n{body}")  # the same client by a second descriptor
    tree.write("proc/8/fdinfo/3", f"{head}12\ndrm-resident-vram:\t4096\n")
    tree.write("proc/8/fdinfo/4", "pos:\t0\nflags:\t02\n")
    assert memory_of(tree.proc, frozenset({7, 8})) == (1 << 20) + (3 << 20) + 4096
    assert memory_of(tree.proc, frozenset({9})) is None


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        # A Jetson under JetPack 5, and one under 6.
        ({"17000000.ga10b/device/load": "500", "17000000.ga10b/cur_freq": "1"}, 5000),
        ({"17000000.gpu/device/load": "1001"}, None),
        ({"fb000000.gpu/load": "100@1000000000Hz"}, 10000),
        ({"fb000000.gpu/load": "101@1Hz"}, None),
        ({"fb000000.gpu-panthor/cur_freq": "1000"}, None),
        ({"ffe40000.mali/load": "nothing"}, None),
    ],
)
def test_load_by_devfreq(plant: Plant, named: Named, files: dict[str, str], expected: int | None) -> None:
    tree = plant("none")
    for name, content in files.items():
        tree.write(f"sys/class/devfreq/{name}", f"{content}\n")
    source = Devfreq(tree.proc, tree.sys)
    source.open()
    assert named(source.read(SECOND)).get("hw.gpu.utilization") == expected
    source.close()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("NPU load:  Core0: 12%, Core1:  0%, Core2:  0%,\n", 400),
        ("NPU load:  37%\n", 3700),
        ("NPU load: 999%\n", None),
    ],
)
def test_load_of_an_npu_without_a_gpu(plant: Plant, named: Named, content: str, expected: int | None) -> None:
    tree = plant("none")
    tree.write("proc/rknpu/load", content)
    source = Devfreq(tree.proc, tree.sys)
    source.open()
    assert named(source.read(SECOND)).get("hw.npu.utilization") == expected
    source.close()


def test_neither_gpu_nor_npu_is_absent(plant: Plant) -> None:
    tree = plant("none")
    tree.write("sys/class/devfreq/dmc/load", "20@1Hz\n")
    with pytest.raises(Absent):
        Devfreq(tree.proc, tree.sys).open()
