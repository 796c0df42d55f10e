"""The pages in a real Chromium, served by the real application over a store that real messages filled."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from tests.collector.pages.serving import browser_path, browsing, serving
from tests.collector.pages.synthetic import Synthetic, farewell, fill
from tests.collector.pages.told import told

from stonechat import topics, wire
from stonechat_collector import exchange_views
from stonechat_collector.ingest import Ingest
from stonechat_collector.messages import Message
from stonechat_collector.store import Store
from stonechat_collector.watch import Watch

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(browser_path() is None, reason="no chromium on PATH: apt-get install chromium"),
]

FLEET = (
    *(Synthetic(f"kiosk-{number:03d}") for number in range(1, 9)),
    Synthetic("robot-1", "slow", hours=2, labels={"site": "oslo"}),
    Synthetic("robot-2", "down"),
    Synthetic("till-1", "offline"),
    Synthetic("till-2", "unknown"),
)
SLOW = "robot-1"


class Site:
    """A served fleet: its address, its store, and a clock that stands still until a test moves it."""

    def __init__(self, store: Store, address: str, now: int) -> None:
        self.store = store
        self.address = address
        self.now = now

    def exchange(self, name: str, **fields: object) -> str:
        """The address of the newest exchange of a device that has these fields."""
        for found in exchange_views.exchanges_page(self.store, name)["exchanges"]:
            if all(found[field] == value for field, value in fields.items()):
                return f"/devices/{name}/exchanges/{found['id']}"
        raise AssertionError(f"no exchange of {name} with {fields}")

    def tells(self, name: str, number: int) -> str:
        """Let a device tell of one more exchange, and return its id."""
        item = told(name, "a-model", number, self.now)
        payload = wire.encode_exchanges(
            wire.Header(7, 3, self.now, 1), [item], wire.Privacy("flagged", "none")
        )
        message = Message(topics.up("shops", name, "exchange"), payload)
        Ingest(self.store, lambda: self.now, name="test").take([message])
        return str(item.row["id"])

    def goes_away(self, name: str) -> None:
        """Let a device's will arrive."""
        Ingest(self.store, lambda: self.now, name="test").take([farewell(name)])
        Watch(self.store).round(self.now)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with browsing() as opened:
        yield opened


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """A database with the fleet in it, and the instant up to which it was filled."""
    file = tmp_path_factory.mktemp("filled") / "fleet.db"
    now = now_ms()
    store = Store(f"sqlite:///{file}")
    fill(store, FLEET, now)
    store.close()
    return file, now


@pytest.fixture
def site(tmp_path: Path, filled: tuple[Path, int]) -> Iterator[Site]:
    file, now = filled
    shutil.copy(file, tmp_path / "fleet.db")
    store = Store(f"sqlite:///{tmp_path}/fleet.db")
    with serving(store, lambda: now) as address:
        yield Site(store, address, now)
    store.close()


Open = Callable[..., Any]


@pytest.fixture
def visit(browser: Any, site: Site) -> Iterator[Open]:
    """Opens a page; at the end, no page has complained, and none has asked another host for anything."""
    contexts: list[Any] = []
    complaints: list[str] = []
    foreign: list[str] = []

    def start(path: str, *, width: int = 1440, height: int = 900, **options: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console",
            lambda message: complaints.append(message.text) if message.type in {"error", "warning"} else None,
        )
        page.on(
            "request",
            lambda request: None if request.url.startswith(site.address) else foreign.append(request.url),
        )
        page.goto(site.address + path)
        return page

    yield start
    for context in contexts:
        context.close()
    assert complaints == []
    assert foreign == []


def test_the_fleet_page_answers_at_once(visit: Open) -> None:
    page = visit("/")
    assert (
        page.locator("h1").inner_text()
        == "8 of 12 devices are well. 1 offline, 1 failing, 1 slow, 1 unknown."
    )
    needs = page.locator(".needs").inner_text()
    assert "till-1" in needs
    assert "the engine is down" in needs
    assert "memory pressure" in needs
    assert page.locator("#cohorts .c").count() == 12
    assert page.title() == "3 devices need somebody - Stonechat"


def test_filter_and_sort_live_in_the_address_and_back_works(visit: Open) -> None:
    page = visit("/")
    page.locator("select[name=status]").select_option("attention")
    page.wait_for_url("**/?status=attention#devices")
    assert page.locator("tbody tr[data-device]").count() == 3
    page.get_by_role("columnheader", name="Memory").get_by_role("link").click()
    page.wait_for_url("**sort=memory**")
    assert page.locator("tbody tr").first.get_attribute("data-device") == SLOW
    assert page.locator("[aria-sort]").inner_text().startswith("Memory")
    page.go_back()
    page.wait_for_url("**/?status=attention#devices")
    page.go_back()
    page.wait_for_url(lambda url: "status" not in url)
    assert page.locator("tbody tr[data-device]").count() == 12


def test_search_finds_by_label(visit: Open) -> None:
    page = visit("/")
    page.get_by_role("searchbox").fill("site=oslo")
    page.keyboard.press("Enter")
    page.wait_for_url("**q=site%3Doslo**")
    assert [row.get_attribute("data-device") for row in page.locator("tbody tr").all()] == [SLOW]


def test_everything_is_reached_by_keyboard(visit: Open) -> None:
    page = visit("/?group=none")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.matches('#cohorts .c')"):
            break
    assert page.evaluate("document.activeElement.dataset.cell") == "kiosk-001"
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.dataset.cell") == "kiosk-002"
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    page.wait_for_url("**/devices/till-1")
    assert page.locator("h1").inner_text().strip().startswith("till-1 is offline")


def test_one_tab_leaves_the_strip(visit: Open) -> None:
    page = visit("/?group=none")
    page.locator("#cohorts .c").first.focus()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.name") == "q"


def test_a_change_appears_by_itself_and_nothing_jumps(visit: Open, site: Site) -> None:
    page = visit("/?sort=id#devices")
    page.get_by_text("live", exact=False).first.wait_for()
    row = page.locator("tr[data-device=kiosk-005]")
    row.scroll_into_view_if_needed()
    page.mouse.move(300, 300)
    before = row.bounding_box()
    page.wait_for_timeout(1500)
    site.goes_away("kiosk-005")
    # A hand is on the page, so that lists keep their length while the facts in them change.
    for turn in range(400):
        page.mouse.move(300, 300 + turn % 2)
        if row.locator(".w", has_text="offline").count():
            break
        page.wait_for_timeout(150)
    assert row.bounding_box() == before
    assert "c-offline" in (page.locator("[data-cell=kiosk-005]").get_attribute("class") or "")
    assert page.locator("h1").inner_text().startswith("7 of 12 devices are well. 2 offline")
    assert page.locator("#said").inner_text().startswith("7 of 12 devices are well.")
    # Once nobody moves, the list of those that need somebody follows.
    page.locator(".needs", has_text="kiosk-005").wait_for(timeout=60_000)


def test_the_first_device_appears_on_the_empty_page_by_itself(browser: Any, tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path}/empty.db")
    now = now_ms()
    with serving(store, lambda: now) as address:
        context = browser.new_context()
        page = context.new_page()
        page.goto(address)
        assert page.locator("h1").inner_text() == "No device has connected yet."
        assert "stonechat agent --config agent.toml" in page.locator("#command").inner_text()
        page.wait_for_timeout(1500)
        fill(store, [Synthetic("kiosk-1")], now)
        page.locator("h1", has_text="The only device is well.").wait_for(timeout=60_000)
        context.close()
    store.close()


def test_charts_share_one_cursor_and_a_drag_chooses_the_range(visit: Open) -> None:
    page = visit(f"/devices/{SLOW}?range=6h")
    assert page.locator(".uplot").count() >= 6
    first = page.locator(".u-over").first
    box = first.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + 40)
    lines = page.locator(".u-cursor-x")
    places = {round(line.bounding_box()["x"]) for line in lines.all()}
    assert len(places) == 1
    assert "from then" in page.locator("#at").inner_text()
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.97, box["y"] + 40, steps=5)
    page.mouse.up()
    page.wait_for_url("**from=*&to=*")
    assert page.locator("h2#course").inner_text().startswith("From ")


def test_exchanges_are_filtered_sorted_and_read_and_back_works(visit: Open) -> None:
    page = visit(f"/devices/{SLOW}")
    page.locator("select[name=outcome]").select_option("error")
    page.wait_for_url("**outcome=error#exchanges")
    rows = page.locator("[data-row]")
    assert all("failed: timeout" in text for text in rows.all_inner_texts())
    page.go_back()
    page.get_by_role("columnheader", name="Took").get_by_role("link").click()
    page.wait_for_url("**sort=duration#exchanges")
    assert page.locator("[aria-sort]").inner_text().startswith("Took")
    page.locator("[data-row] a").first.click()
    page.wait_for_url("**/exchanges/*")
    assert page.locator("h1").inner_text().startswith(("Answered in", "Failed after", "The client left"))
    page.get_by_role("link", name="Charts around it").click()
    page.wait_for_url("**from=*&to=*")
    assert page.locator(".uplot").count() >= 6
    assert page.locator("[data-row]").count() >= 1


FLAGGED = ["toxic", "insult", "guideline:no-dosage"]


def test_a_flagged_answer_is_found_from_its_rate_down_to_its_scores(visit: Open) -> None:
    page = visit("/?sort=flagged&dir=down")
    assert page.locator("[aria-sort]").inner_text().startswith("Flagged ‰")
    page.locator(f"tr[data-device={SLOW}] a").first.click()
    page.wait_for_url(f"**/devices/{SLOW}")
    part = page.locator("[data-part=answers]")
    assert "The small model judged" in part.inner_text()
    assert part.locator(".spark").count() >= 4
    part.get_by_role("link", name="toxic", exact=True).click()
    page.wait_for_url("**finding=toxic#exchanges")
    rows = page.locator("[data-row]")
    assert rows.count() >= 1
    assert all("guideline no-dosage 1.00, toxic 0.97" in text for text in rows.all_inner_texts())
    rows.locator("a").first.click()
    page.wait_for_url("**/exchanges/*")
    assert "toxic (rude, hateful or threatening in any way)" in page.locator(".why").inner_text()
    judged = page.locator("section[aria-labelledby=judgements] tbody tr").all_inner_texts()
    assert [text.split("\n")[0].split("\t")[0].strip() for text in judged[:3]] == [
        "guideline no-dosage",
        "toxic",
        "insult",
    ]


def test_events_are_kept_to_flagged_answers_and_lead_to_them(visit: Open) -> None:
    page = visit("/events")
    page.locator("select[name=kind]").select_option("flagged")
    page.wait_for_url("**/events?kind=flagged")
    assert page.locator("tbody tr").count() == 1
    page.get_by_role("link", name="the exchange").click()
    page.wait_for_url(f"**/devices/{SLOW}/exchanges/*")


def test_what_is_said_is_found(visit: Open) -> None:
    page = visit(f"/devices/{SLOW}")
    page.get_by_label("in the texts").fill("NEAREST lift")
    page.keyboard.press("Enter")
    page.wait_for_url("**q=NEAREST+lift**")
    assert page.locator("[data-row]").count() >= 1
    page.locator("[data-row] a").first.click()
    page.wait_for_url("**/exchanges/*")
    assert "Where is the nearest lift?" in page.locator(".said").inner_text()


def test_a_new_exchange_appears_by_itself_once_nobody_moves(visit: Open, site: Site) -> None:
    page = visit("/devices/kiosk-002")
    page.get_by_text("live", exact=False).first.wait_for()
    page.mouse.move(300, 300)
    page.wait_for_timeout(1500)
    new = site.tells("kiosk-002", 41)
    row = page.locator(f"[data-row='{new}']")
    for turn in range(10):
        page.mouse.move(300, 300 + turn % 2)
        page.wait_for_timeout(300)
    assert row.count() == 0
    row.wait_for(timeout=60_000)
    assert page.locator("[data-row]").first.get_attribute("data-row") == new


def test_the_charts_figures_stand_in_a_table_too(visit: Open) -> None:
    page = visit(f"/devices/{SLOW}")
    page.get_by_text("The charts' figures as a table").click()
    table = page.locator("details table")
    assert table.locator("tbody tr").count() > 30
    heads = table.locator("thead th").all_inner_texts()
    assert heads[:4] == ["From", "Time to first token, p50", "Time to first token, p95", "Exchanges"]


def test_without_javascript_the_pages_say_the_same(visit: Open) -> None:
    page = visit("/", java_script_enabled=False)
    assert page.locator("h1").inner_text().startswith("8 of 12 devices are well.")
    page.locator("select[name=status]").select_option("slow")
    page.get_by_role("button", name="Show").click()
    assert [row.get_attribute("data-device") for row in page.locator("tbody tr").all()] == [SLOW]
    page.locator("tbody a").click()
    assert page.locator("h1").inner_text().strip().startswith(f"{SLOW} is slow since")
    assert page.locator("noscript").count() == 1


@pytest.mark.parametrize("width", [320, 360, 768, 1440, 3840])
def test_no_page_scrolls_sideways(visit: Open, site: Site, width: int) -> None:
    one = site.exchange(SLOW, outcome="ok", findings=["repetition"])
    for path in ("/", f"/devices/{SLOW}", "/events", one):
        page = visit(path, width=width)
        page.wait_for_timeout(200)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1440])
def test_axe_finds_nothing(visit: Open, site: Site, scheme: str, width: int) -> None:
    axe = Axe()
    told_of = [
        site.exchange(SLOW, outcome="ok", findings=["repetition"]),
        site.exchange(SLOW, findings=FLAGGED),
        site.exchange("kiosk-001", outcome="ok"),
    ]
    for path in ("/", f"/devices/{SLOW}", "/events", "/?q=zebra", *told_of, f"/devices/{SLOW}?finding=zebra"):
        page = visit(path, width=width, color_scheme=scheme)
        page.wait_for_timeout(300)
        for summary in page.locator("summary").all():
            summary.click()
        # Axe's own script is put into the page, which its policy would forbid: so through the debugger.
        results = axe.run(page)
        assert results.violations_count == 0, f"{path}: {results.generate_report()}"


def test_reduced_motion_is_respected(visit: Open) -> None:
    page = visit("/", reduced_motion="reduce")
    name = page.evaluate(
        "(() => { const row = document.querySelector('tbody tr'); row.classList.add('changed');"
        " return getComputedStyle(row).animationName; })()"
    )
    assert name == "none"
