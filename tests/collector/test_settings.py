from __future__ import annotations

from pathlib import Path

import pytest

from stonechat.errors import ConfigError
from stonechat.kinds import Address, Url
from stonechat_collector import settings


def load(tmp_path: Path, text: str, **environ: str) -> settings.Settings:
    file = tmp_path / "collector.toml"
    file.write_text(text)
    return settings.load(str(file), {"HOME": str(tmp_path), **environ})


def test_an_empty_file_works(tmp_path: Path) -> None:
    loaded = load(tmp_path, "", STATE_DIRECTORY=str(tmp_path))
    assert loaded.web.listen == Address("127.0.0.1", 8400)
    assert loaded.broker.starts_embedded
    assert loaded.broker.listen == Address("127.0.0.1", 1883)
    assert loaded.store.url == f"sqlite:///{tmp_path}/fleet.db"


def test_a_broker_of_ones_own_replaces_the_embedded_one(tmp_path: Path) -> None:
    for extra in ("", "embedded = false\n"):
        loaded = load(tmp_path, f'[broker]\n{extra}url = "mqtts://broker.example"\n')
        assert loaded.broker.url == Url("mqtts", "broker.example", 8883, "")
        assert not loaded.broker.starts_embedded


@pytest.mark.parametrize("url", ["sqlite:///data/fleet.db", "sqlite:////data/fleet.db"])
def test_the_path_of_a_database_is_absolute(tmp_path: Path, url: str) -> None:
    # SQLAlchemy takes three slashes for a path relative to wherever the process was started.
    assert load(tmp_path, f'[store]\nurl = "{url}"\n').store.url == "sqlite:////data/fleet.db"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[broker]\nembedded = false", "broker.embedded: needs url beside it"),
        ('[broker]\nembedded = true\nurl = "mqtt://a"', "broker.embedded: cannot stand with url"),
        (
            '[broker]\nlisten = "127.0.0.1:1"\nurl = "mqtt://a"',
            "broker.listen: is for the embedded broker, and url names another",
        ),
        ('[broker]\nusername = "a"', "broker.username: is for a broker of your own"),
        ('[broker]\nlisten = "127.0.0.1:8400"', "web.listen: 127.0.0.1:8400 is taken by broker.listen"),
        (
            '[broker]\nurl = "mqtt://a"\nprotocol = "3.1.1"\n[ingest]\nshare_group = "a"',
            'ingest.share_group: needs broker.protocol = "5"',
        ),
        (
            '[retention]\nrollups = "1d"',
            "retention.rollups: must be at least windows: roll-ups are what remains of them",
        ),
        (
            '[store]\nurl = "sqlite:fleet.db"',
            'store.url: must be a URL such as "sqlite:///var/lib/stonechat-collector/fleet.db"',
        ),
        (
            '[store]\nurl = "sqlite://"',
            'store.url: must be a URL such as "sqlite:///var/lib/stonechat-collector/fleet.db"',
        ),
        (
            '[broker]\nurl = "mqtts://a"\nca_file = "/none"',
            "broker.ca_file: cannot be read: no such file or directory",
        ),
    ],
)
def test_what_cannot_work_is_refused(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    assert [f"{fault.key}: {fault.expected}" for fault in caught.value.faults] == [expected]
