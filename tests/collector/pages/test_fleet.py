"""The fleet page's state and what it makes of the devices."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

from hypothesis import given
from hypothesis import strategies as st
from tests.collector.pages.fleets import a_device, a_fleet, overview

from stonechat_collector.pages import fleet
from stonechat_collector.pages.fleet import Query

MIXED = overview(
    [
        a_device("kiosk-1", "slow"),
        a_device("kiosk-2"),
        a_device("kiosk-3", "offline", labels={"site": "oslo"}),
        a_device("kiosk-4", "unknown"),
        a_device("kiosk-5", "failing", model=None),
    ]
)["devices"]


def read(address: str) -> Query:
    return Query.read(dict(parse_qsl(urlsplit(address).query)))


@given(
    st.builds(
        Query,
        status=st.sampled_from(("", "slow", "attention", "offline")),
        text=st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc", "Z")), max_size=20),
        sort=st.sampled_from(sorted(fleet.SORTS)),
        down=st.booleans(),
        group=st.sampled_from(("model", "hardware", "label:site", "none")),
        cohort=st.sampled_from(("", "a b&c=d")),
        page=st.integers(1, 999),
    )
)
def test_the_address_holds_the_state(query: Query) -> None:
    assert read(query.address(page=query.page)) == query


def test_a_change_of_the_filter_leads_to_the_first_page() -> None:
    assert read(Query(page=3).address(status="slow")) == Query(status="slow")
    assert Query().address() == "/"


def test_what_makes_no_sense_in_an_address_is_as_if_it_were_not_there() -> None:
    nonsense = {"status": "splendid", "sort": "colour", "page": "-3", "dir": "sideways"}
    assert Query.read(nonsense) == Query()


def test_those_that_need_somebody_are_named_worst_first_and_unknown_ones_are_not() -> None:
    attention = fleet.build(MIXED, Query()).attention
    assert [(group.status, group.total) for group in attention] == [
        ("offline", 1),
        ("failing", 1),
        ("slow", 1),
    ]


def test_many_of_one_status_are_named_in_part_and_counted_in_full() -> None:
    devices = overview([a_device(f"d-{index}", "slow") for index in range(50)])["devices"]
    (group,) = fleet.build(devices, Query()).attention
    assert len(group.devices) == fleet.ATTENTION_ROWS
    assert len(group.devices) + group.more == group.total == 50
    assert [device["since"] for device in group.devices] == sorted(device["since"] for device in devices)[
        : fleet.ATTENTION_ROWS
    ]


def test_the_table_is_filtered_by_status_text_and_cohort() -> None:
    def ids(**state: str) -> list[str]:
        return [device["id"] for device in fleet.build(MIXED, Query(**state)).rows]  # type: ignore[arg-type]

    assert ids() == [device["id"] for device in MIXED]
    assert ids(status="slow") == ["kiosk-1"]
    assert ids(status="attention") == ["kiosk-3", "kiosk-5", "kiosk-1"]
    assert ids(text="site=oslo") == ["kiosk-3"]
    assert ids(text="KIOSK-2") == ["kiosk-2"]
    assert ids(text="kiosk pressure") == ["kiosk-1"]
    assert ids(group="label:site", cohort="oslo") == ["kiosk-3"]
    assert ids(text="nothing of the kind") == []


def test_unknown_figures_sort_last_in_both_directions() -> None:
    for down in (False, True):
        rows = fleet.build(MIXED, Query(sort="ttft", down=down)).rows
        figures = [device["metrics"]["ttft_p50_seconds"] for device in rows]
        assert figures[-1] is None
        assert figures[:-1] == sorted(figures[:-1], reverse=down)


def test_the_table_is_cut_to_pages_and_a_page_beyond_the_last_is_the_last() -> None:
    page = fleet.build(overview(a_fleet(250))["devices"], Query(page=99))
    assert (page.query.page, page.pages, page.first, len(page.rows)) == (3, 3, 200, 50)


def test_the_strip_has_every_device_once_and_keeps_its_place() -> None:
    devices = overview(a_fleet(500))["devices"]
    page = fleet.build(devices, Query())
    cells = [cell for cohort in page.cohorts for cell in cohort.cells]
    assert sorted(cell.device for cell in cells) == sorted(device["id"] for device in devices)
    changed = [{**device, "status": "slow"} if device["status"] == "well" else device for device in devices]
    again = [cell for cohort in fleet.build(changed, Query()).cohorts for cell in cohort.cells]
    assert [cell.device for cell in again] == [cell.device for cell in cells]


def test_a_fleet_larger_than_the_strip_has_cells_of_several_devices_of_one_status() -> None:
    devices = overview(
        [a_device(f"d-{index}", "slow" if index % 100 == 0 else "well") for index in range(9000)]
    )
    page = fleet.build(devices["devices"], Query(group="none"))
    (cohort,) = page.cohorts
    assert page.per_cell == 3
    assert len(cohort.cells) == 30 + 2970
    assert cohort.cells[0].label == "all devices: 3 devices slow"
    assert read(cohort.cells[0].address.partition("#")[0]).status == "slow"


def test_small_groups_beyond_the_bound_are_shown_together() -> None:
    devices = [a_device(f"d-{index}", labels={"shop": f"shop-{index:02d}"}) for index in range(40)]
    cohorts = fleet.build(devices, Query(group="label:shop")).cohorts
    assert len(cohorts) == fleet.MAX_COHORTS + 1
    assert cohorts[-1].name == "16 smaller groups"
    assert sum(cohort.total for cohort in cohorts) == 40


def test_a_column_that_no_device_knows_is_left_out() -> None:
    columns = [column.key for column in fleet.build(MIXED, Query()).columns]
    assert "gpu" not in columns
    assert "heat" in columns
