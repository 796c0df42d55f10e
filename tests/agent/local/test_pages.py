"""What the page of the agent's own endpoint is, and what it reads, over the real endpoint."""

from __future__ import annotations

import json
import re
import time
import urllib.request

from tests.agent.local.device import Device, serving

from stonechat_agent.local import pages
from stonechat_agent.local.series import SPAN_SECONDS


def get(address: str) -> tuple[dict[str, str], bytes]:
    with urllib.request.urlopen(address, timeout=60) as answer:
        return dict(answer.headers), answer.read()


def test_the_page_is_one_small_file_that_names_no_other_host() -> None:
    body = pages.FILE.read_bytes()
    assert len(body) < 60_000
    hosts = set(re.findall(rb"(?:https?:)?//[a-z0-9.-]+", body.replace(b"// ", b"")))
    assert hosts == {b"http://www.w3.org"}  # the name of SVG
    for word in (b"innerHTML", b"outerHTML", b"insertAdjacentHTML", b"document.write", b"eval("):
        assert word not in body


def test_the_pages_policy_names_its_script_and_style_and_nothing_else() -> None:
    with serving(Device()) as address:
        headers, body = get(address + "/")
    policy = headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert policy.count("sha256-") == body.count(b"<script>") + body.count(b"<style>") == 2
    assert headers["X-Frame-Options"] == "DENY"


def test_recent_tells_only_what_is_new() -> None:
    device = Device()
    device.fill(5)
    with serving(device) as address:
        first = json.loads(get(address + "/v1/recent")[1])
        assert len(first["exchanges"]) == 5
        assert first["events"][0]["kind"] == "clock_stepped"
        assert first["events"][0]["text"].startswith("the clock was set forward by")
        assert abs(first["now"] - time.time() * 1000) < 60_000
        assert SPAN_SECONDS - 100 < len(first["series"]["t"]) < SPAN_SECONDS
        query = f"?after={first['series']['t'][-1]}&seen={first['version']}"
        second = json.loads(get(address + "/v1/recent" + query)[1])
        assert "exchanges" not in second
        assert len(second["series"]["t"]) <= 3
        device.exchange()
        third = json.loads(get(address + "/v1/recent" + query)[1])
        assert len(third["exchanges"]) == 6
        assert third["version"] != first["version"]
        for nonsense in ("?after=x", "?after=-5", "?after=" + "9" * 30, "?seen=%00", "?after=1&after=2"):
            get(address + "/v1/recent" + nonsense)


def test_recent_has_no_texts() -> None:
    device = Device()
    device.exchange(prompt="Where is the exit?", response="Over there.", user="ann")
    with serving(device) as address:
        body = get(address + "/v1/recent")[1]
    assert b"exit" not in body
    assert b"there." not in body
    assert b"ann" not in body.replace(b"cannot", b"")
