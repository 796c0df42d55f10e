"""What watches on a device leaves nothing behind at its end, and speaks of a collector only if there is one."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from stonechat.exchange import Exchange, Outcome
from stonechat_agent.local.series import Series
from stonechat_agent.settings import load
from stonechat_agent.spool import Spool
from stonechat_agent.watch import Watch


def watch(directory: Path, more: str = "") -> Watch:
    file = directory / "agent.toml"
    file.write_text(
        f'[device]\nid = "tested"\n[[engine]]\npassive = false\n[spool]\npath = "{directory}"\nmin_free = "0B"\n'
        f'[journal]\npath = "{directory}"\n{more}'
    )
    return Watch(load(str(file)), {}, dict, Series())


def test_a_watch_that_ends_while_it_begins_leaves_no_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Spool.open

    def slowly(*arguments: object, **named: object) -> Spool:
        time.sleep(0.5)  # a disk that has much to recover
        return opened(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(Spool, "open", slowly)
    before = set(threading.enumerate())
    one = watch(tmp_path, '[mqtt]\nurl = "mqtt://127.0.0.1:9"\n')
    one.start()
    one.stop()
    assert not {thread.name for thread in set(threading.enumerate()) - before} & {
        "outbox",
        "pipeline",
        "journal",
    }


@pytest.mark.parametrize(("more", "told"), [("", False), ('[mqtt]\nurl = "mqtt://127.0.0.1:9"\n', True)])
def test_where_there_is_no_collector_nothing_is_kept_from_it(tmp_path: Path, more: str, told: bool) -> None:
    one = watch(tmp_path, more)
    one.start()
    for _ in range(200):
        one.pipeline.put(Exchange("engine", outcome=Outcome.ERROR, error_type="timeout", wall_ms=0))
    one.stop()
    assert bool(one.untold()) is told
