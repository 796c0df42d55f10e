"""The page of the agent's own endpoint in a real Chromium, over the real endpoint."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from tests.agent.local.device import Device, serving
from tests.collector.pages.serving import browser_path, browsing
from tests.ports import free_port

browser_only = [
    pytest.mark.system,
    pytest.mark.skipif(browser_path() is None, reason="no chromium on PATH: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with browsing() as opened:
        yield opened


Open = Callable[..., Any]


@pytest.fixture
def visit(browser: Any) -> Iterator[Open]:
    """Opens the page; at the end it has not complained, and has asked no other host for anything."""
    contexts: list[Any] = []
    complaints: list[str] = []
    foreign: list[str] = []

    def start(
        address: str, *, width: int = 1440, height: int = 900, quiet: bool = True, **options: Any
    ) -> Any:
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        if quiet:
            # At its end a test stops the endpoint before the page is closed.
            page.on(
                "console",
                lambda message: None if "ERR_CONNECTION" in message.text else complaints.append(message.text),
            )
        page.on("request", lambda r: None if r.url.startswith((address, "data:")) else foreign.append(r.url))
        page.goto(address + "/")
        page.locator("#live", has_text="live, as of").wait_for()
        return page

    yield start
    for context in contexts:
        context.close()
    assert complaints == []
    assert foreign == []


@pytest.fixture
def device() -> Device:
    filled = Device()
    filled.fill()
    return filled


def quiet(page: Any, device: Device) -> int:
    """How often the page had asked once a question that was under way had come."""
    asked = -1
    while len(device.asked) != asked:
        asked = len(device.asked)
        page.wait_for_timeout(500)
    return asked


def asks_again(page: Any, device: Device, asked: int) -> None:
    """Wait until it has asked more often."""
    for _ in range(600):
        if len(device.asked) > asked:
            return
        page.wait_for_timeout(100)
    raise AssertionError("it asks no more")


class TestPage:
    pytestmark = browser_only

    def test_it_answers_first(self, device: Device, visit: Open) -> None:
        with serving(device) as address:
            page = visit(address)
            assert page.locator("h1").inner_text() == "All well on kiosk-017."
            assert page.title() == "kiosk-017 - Stonechat"
            figures = page.locator("#figures").inner_text()
            assert "40\nin 10 min, 4 failed" in figures
            assert page.locator("#rows tr").count() == 12
            page.get_by_role("button", name="Show all 40").click()
            assert page.locator("#rows tr").count() == 40
            assert "critical: " in page.locator("#events").inner_text()

    def test_an_engine_that_was_not_seen_is_not_called_well(self, visit: Open) -> None:
        with serving(Device(engines={"engine": None})) as address:
            page = visit(address)
            assert "engine not seen yet" in page.locator("h1").inner_text()
            assert page.locator("#parts .s-unknown").count() == 1
            assert "curl http://127.0.0.1:" in page.locator("#curl").inner_text()
            assert "http://127.0.0.1:8089 in place of" in page.locator("#relays").inner_text()

    def test_a_new_exchange_comes_by_itself(self, device: Device, visit: Open) -> None:
        with serving(device) as address:
            page = visit(address)
            device.exchange(model="fresh:1b")
            # At once: it is marked for two seconds only.
            page.locator("#rows tr.changed:first-child", has_text="fresh:1b").wait_for()
            assert page.locator("#rows tr.changed").count() <= 1

    def test_nothing_moves_under_the_pointer(self, device: Device, visit: Open) -> None:
        with serving(device) as address:
            page = visit(address)
            before = page.locator("#rows tr").first.inner_text()
            page.locator("#rows tr").nth(3).hover()
            device.exchange(model="fresh:1b")
            page.get_by_role("button", name="Show 1 newer exchange").wait_for()
            assert page.locator("#rows tr").first.inner_text() == before
            page.get_by_role("button", name="Show 1 newer exchange").click()
            page.locator("#rows tr").first.get_by_text("fresh:1b").wait_for()
            assert not page.locator("#newer").is_visible()

    def test_an_exchange_opens_by_keyboard_and_stays_open(self, device: Device, visit: Open) -> None:
        with serving(device) as address:
            page = visit(address)
            page.locator("#rows .open").nth(2).focus()
            page.keyboard.press("Enter")
            detail = page.locator("#rows .detail")
            assert "stonechat requests " in detail.inner_text()
            assert "queue\n50.0 ms, observed" in detail.locator(".phases:not(.judged)").inner_text()
            assert "privacy.journal keeps the texts of flagged exchanges" in detail.inner_text()
            page.wait_for_timeout(2_500)
            assert page.evaluate("document.activeElement.getAttribute('aria-expanded')") == "true"
            page.keyboard.press("Enter")
            assert page.locator("#rows .detail").count() == 0

    def test_all_charts_are_read_at_one_instant(self, device: Device, visit: Open) -> None:
        with serving(device) as address:
            page = visit(address)
            page.locator(".plot:visible").nth(3).hover(position={"x": 250, "y": 60})
            assert " ago" in page.locator("#h-charts").inner_text()
            assert page.locator(".plot .cursor").count() == 6
            page.mouse.move(0, 0)
            assert page.locator(".plot .cursor").count() == 0
            page.locator("#charts").focus()
            page.keyboard.press("Home")
            for _ in range(3):
                page.keyboard.press("PageDown")
            said = page.locator("#said").inner_text()
            assert re.match(r"\d\d:\d\d:\d\d: Speed ", said)
            assert "CPU and memory CPU " in said
            page.keyboard.press("Escape")
            assert page.locator(".plot .cursor").count() == 0

    def test_gaps_are_gaps_and_events_are_marks(self, device: Device, visit: Open) -> None:
        with serving(device) as address:
            page = visit(address)
            lines = page.locator(".plot:visible").nth(3).locator("path")
            assert [line.get_attribute("d").count("M") for line in lines.all()][:2] == [2, 2]
            assert page.locator(".plot:visible").nth(3).locator(".event").count() == 4
            assert "to 60.0 %" in page.locator(".plot:visible").nth(3).get_attribute("aria-label")

    def test_sensors_that_the_device_lacks_have_no_chart(self, visit: Open) -> None:
        device = Device()
        for ago in range(20):
            device.sample(time.monotonic_ns() - (20 - ago) * 10**9, sensors=False)
        with serving(device) as address:
            page = visit(address)
            titles = [title.inner_text() for title in page.locator("#charts h3").all() if title.is_visible()]
            assert titles == ["Speed", "Time to first token", "Exchanges", "CPU and memory"]

    def test_the_figures_are_a_table_too(self, device: Device, visit: Open) -> None:
        with serving(device) as address:
            page = visit(address)
            page.locator("#table summary").click()
            page.locator("#minutes tbody tr").nth(9).wait_for()
            assert page.locator("#minutes tbody tr").count() == 10
            assert "62.0 %" in page.locator("#minutes tbody tr").first.inner_text()

    def test_it_says_when_the_agent_is_away_and_asks_less_often(self, device: Device, visit: Open) -> None:
        with serving(device) as address:
            page = visit(address, quiet=False)
            device.broken = True
            page.locator("#away").wait_for()
            assert "has not answered since" in page.locator("#away").inner_text()
            page.get_by_text("trying again every 4 s").wait_for()
            device.broken = False
            page.locator("#away").wait_for(state="hidden")

    def test_an_agent_that_starts_again_is_found_again(self, device: Device, visit: Open) -> None:
        port = free_port()
        with serving(device, port) as address:
            page = visit(address, quiet=False)
        page.locator("#away").wait_for()
        with serving(device, port):
            page.locator("#away").wait_for(state="hidden")
            assert page.locator("#rows tr").count() == 12

    def test_a_paused_page_asks_nothing(self, device: Device, visit: Open) -> None:
        with serving(device) as address:
            page = visit(address)
            page.get_by_role("button", name="Pause").click()
            asked = quiet(page, device)
            page.wait_for_timeout(2_500)
            assert len(device.asked) == asked
            page.get_by_role("button", name="Resume").click()
            asks_again(page, device, asked)

    def test_a_hidden_page_asks_nothing(self, device: Device, visit: Open) -> None:
        with serving(device) as address:
            page = visit(address)
            hide = "Object.defineProperty(document, 'hidden', {configurable: true, get: () => %s});"
            page.evaluate(hide % "true")
            page.wait_for_timeout(1_500)
            asked = quiet(page, device)
            page.wait_for_timeout(2_500)
            assert len(device.asked) == asked
            page.evaluate(hide % "false" + "document.dispatchEvent(new Event('visibilitychange'));")
            asks_again(page, device, asked)

    def test_names_of_strangers_stay_text(self, visit: Open) -> None:
        # None of them is an identifier, so none can come this far; the page must not depend on that.
        hostile = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
        device = Device(engines={"engine": True, hostile: False})
        device.fill(3)
        for row in device.exchanges:
            for name in (
                "model",
                "engine",
                "error_type",
                "finish_reason",
                "dialect",
                "user",
                "conversation",
                "texts",
            ):
                row[name] = hostile
            row["findings"], row["notes"], row["scores"] = [hostile], [hostile], {hostile: 0.5}
            row["outcome"], row["queue_from"] = "error", hostile
        device.event(hostile, 3, 5, key=hostile)
        device.losses = {hostile: 4}
        with serving(device) as address:
            page = visit(address)
            page.locator("#rows .open").first.click()
            page.wait_for_timeout(500)
            assert page.locator("img, #rows script, #events script").count() == 0
            assert page.title() == "kiosk-017 - Stonechat"
            for part in ("#rows", "#events", "#parts", "#answer"):
                assert "<img src=x" in page.locator(part).inner_text()

    def test_no_script_but_its_own_can_run(self, device: Device, visit: Open) -> None:
        with serving(device) as address:
            page = visit(address, quiet=False)
            page.evaluate(
                """() => {
                  const script = document.createElement('script');
                  try { script.textContent = "document.title = 'owned'"; document.body.append(script); } catch {}
                }"""
            )
            assert page.title() == "kiosk-017 - Stonechat"

    @pytest.mark.parametrize("width", [320, 360, 768, 1024, 1440, 1920])
    def test_nothing_is_wider_than_the_window(self, width: int, device: Device, visit: Open) -> None:
        device.exchange(model="a-model-with-a-name/that-is-as-long-as-names.may:be-" + "x" * 12)
        with serving(device) as address:
            page = visit(address, width=width, height=800)
            page.locator("#rows .open").first.click()
            page.locator("#table summary").click()
            assert page.evaluate("document.documentElement.scrollWidth") <= width

    @pytest.mark.parametrize(
        ("state", "scheme"),
        [("normal", "light"), ("normal", "dark"), ("empty", "light"), ("broken", "dark"), ("phone", "light")],
    )
    def test_axe_finds_nothing(self, scheme: str, state: str, device: Device, visit: Open) -> None:
        shown = Device(engines={"engine": None}) if state == "empty" else device
        with serving(shown) as address:
            width = 360 if state == "phone" else 1440
            page = visit(address, quiet=state != "broken", color_scheme=scheme, width=width)
            if state != "empty":
                page.locator("#rows .open").nth(2).click()
                page.locator("#table summary").click()
            if state == "broken":
                shown.broken = True
                page.locator("#away").wait_for()
            page.wait_for_timeout(2_600)  # until no row is marked as changed
            # The page's policy keeps axe out; it comes in by the debugger, as part of the page's own world.
            found = Axe().run(page)
            assert found.violations_count == 0, found.generate_report()
