"""The settings by which a program reaches an MQTT broker: the same keys for the agent and for the collector."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from stonechat import kinds
from stonechat.config import Conflict, option
from stonechat.kinds import Url

_TEXT = kinds.string(r"[^\0\r\n]{0,1024}", "text on one line")

LINK_FILES = ("password_file", "ca_file", "cert_file", "key_file")
"""The options of `Link` that name files."""


@dataclass(frozen=True)
class Link:
    """A broker's address, and what to show it."""

    url: Url | None = option(
        kinds.url_or_none({"mqtt": 1883, "mqtts": 8883}, "mqtts://broker.example:8883"),
        "",
        "the broker; empty: none",
    )
    username: str = option(_TEXT, "", "user name at the broker")
    password_file: str = option(kinds.path(), "", "file that holds the password, or credential:NAME")
    ca_file: str = option(kinds.path(), "", "CA certificates to check the broker by; default: the system's")
    cert_file: str = option(kinds.path(), "", "certificate to show to the broker")
    key_file: str = option(kinds.path(), "", "private key of that certificate, or credential:NAME")
    protocol: str = option(
        kinds.one_of("5", "3.1.1"), "5", "version of MQTT; where a broker does not speak 5, 3.1.1 is tried"
    )

    def conflicts(self, given: set[str]) -> Iterator[Conflict]:
        if self.url is not None and self.url.path:
            yield Conflict("url", "must have no path")
        if self.url is not None and self.url.scheme == "mqtt":
            for key in ("ca_file", "cert_file", "key_file"):
                if getattr(self, key):
                    yield Conflict(key, "has no effect on an mqtt:// URL", "write mqtts:// in url")
        if bool(self.cert_file) != bool(self.key_file):
            lone, missing = ("cert_file", "key_file") if self.cert_file else ("key_file", "cert_file")
            yield Conflict(lone, f"needs {missing} beside it")
        if self.password_file and not self.username:
            yield Conflict("password_file", "needs username beside it")
