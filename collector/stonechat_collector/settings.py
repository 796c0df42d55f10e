"""The collector's settings: the tables of collector.toml, and where the file and the state lie.

`load` is the one entry: it reads a file, fills in what depends on the machine (state directory, the files that hold
secrets) and raises every fault at once. Durations are nanoseconds, sizes are bytes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stonechat import config, kinds
from stonechat.config import Conflict, option
from stonechat.errors import ConfigError, Fault
from stonechat.kinds import Address, Kind
from stonechat.link import LINK_FILES, Link
from stonechat.places import CREDENTIAL, named_file, state_directory

DEFAULT_FILE = "/etc/stonechat/collector.toml"


def _database() -> Kind[str]:
    """``"sqlite:///var/lib/stonechat-collector/fleet.db"`` as SQLAlchemy writes it: with four slashes."""
    expected = 'a URL such as "sqlite:///var/lib/stonechat-collector/fleet.db"'

    def read(value: object) -> str:
        if not isinstance(value, str):
            raise TypeError
        if not value:
            return value
        # Three slashes and a path without its first slash is relative for SQLAlchemy and absolute for everybody else.
        # A service has no working directory to speak of, so here the path is always absolute.
        scheme, separator, path = value.partition("://")
        if scheme != "sqlite" or not separator or not path.strip("/") or not path.startswith("/"):
            raise TypeError
        return f"sqlite:////{path.lstrip('/')}"

    return Kind("URL", expected, read)


@dataclass(frozen=True)
class Web:
    """The pages and the API."""

    listen: Address = option(kinds.address(), "127.0.0.1:8400", "where the pages and the API are served")


@dataclass(frozen=True)
class Store:
    """The database of the fleet."""

    url: str = option(_database(), "", "database; default: fleet.db in the state directory")


@dataclass(frozen=True)
class Broker(Link):
    """The MQTT broker that devices publish to. Without a url, one starts with the collector."""

    embedded: bool = option(kinds.boolean(), True, "start a broker with the collector, unless url names one")
    listen: Address = option(
        kinds.address(), "127.0.0.1:1883", "where the embedded broker listens; it lets in whoever reaches it"
    )

    @property
    def starts_embedded(self) -> bool:
        """Whether the collector starts a broker of its own."""
        return self.url is None

    def conflicts(self, given: set[str]) -> Iterator[Conflict]:
        yield from super().conflicts(given)
        if self.url is None:
            if not self.embedded:
                yield Conflict(
                    "embedded", "needs url beside it", 'set url, such as "mqtts://broker.example:8883"'
                )
            for key in ("username", *LINK_FILES):
                if getattr(self, key):
                    yield Conflict(key, "is for a broker of your own", "set url, or delete the line")
        else:
            if self.embedded and "embedded" in given:
                yield Conflict("embedded", "cannot stand with url", "delete one of the two")
            if "listen" in given:
                yield Conflict(
                    "listen", "is for the embedded broker, and url names another", "delete one of the two"
                )


@dataclass(frozen=True)
class Ingest:
    """How messages are taken."""

    batch: int = option(kinds.integer(1, 10_000), 256, "most messages in one commit")
    wait_ns: int = option(kinds.duration("0s", "5s"), "20ms", "how long a commit waits for more messages")
    share_group: str = option(
        kinds.string(r"[A-Za-z0-9_-]{0,64}", 'a name of A-Z, a-z, 0-9, "_" and "-"'),
        "",
        "share one subscription with the other collectors of this name; needs MQTT 5",
    )


@dataclass(frozen=True)
class Retention:
    """How long the store keeps what it holds."""

    windows_ns: int = option(kinds.duration("1d", "100000d"), "30d", "age at which single windows go")
    rollups_ns: int = option(kinds.duration("1d", "100000d"), "400d", "age at which roll-ups go")
    events_ns: int = option(kinds.duration("1d", "100000d"), "400d", "age at which events go")
    exchanges_ns: int = option(
        kinds.duration("1h", "100000d"), "30d", "age at which single exchanges go, with their texts"
    )

    def conflicts(self, given: set[str]) -> Iterator[Conflict]:
        if self.rollups_ns < self.windows_ns:
            yield Conflict("rollups", "must be at least windows: roll-ups are what remains of them")


@dataclass(frozen=True)
class Settings:
    """All of collector.toml."""

    web: Web = config.table(Web)
    store: Store = config.table(Store)
    broker: Broker = config.table(Broker)
    ingest: Ingest = config.table(Ingest)
    retention: Retention = config.table(Retention)
    file: str = ""
    """The file that was read; "" where defaults apply."""

    def conflicts(self, given: set[str]) -> Iterator[Conflict]:
        if self.broker.starts_embedded and self.web.listen.port and self.web.listen == self.broker.listen:
            yield Conflict("web.listen", f"{self.web.listen} is taken by broker.listen")
        if self.ingest.share_group and self.broker.protocol != "5":
            yield Conflict("ingest.share_group", 'needs broker.protocol = "5"')


def load(
    path: str | None = None, environ: Mapping[str, str] = os.environ, *, as_service: bool = True
) -> Settings:
    """Read the settings from a file, or from `DEFAULT_FILE` where path is None; that one may be missing.

    What depends on the machine is filled in: the database, the paths of secrets.
    Unless ``as_service``, the files that hold secrets need not be readable: other commands run as another user, and
    without the service's credentials.

    Raises:
        ConfigError: with every fault in the file, and of files that it names and that cannot be read.
    """
    file = DEFAULT_FILE if path is None else path
    try:
        content = Path(file).read_bytes()
    except OSError as error:
        if path is not None or not isinstance(error, FileNotFoundError):
            raise ConfigError([config.unreadable(file, error)]) from None
        content, file = b"", ""
    settings, faults = config.read_text(Settings, content, file)
    store, broker = settings.store, settings.broker
    if not store.url:
        system = os.geteuid() == 0 or os.access("/var/lib/stonechat-collector", os.W_OK)
        directory = state_directory("stonechat-collector", environ, system=system)
        store = replace(store, url=f"sqlite:////{directory.lstrip('/')}/fleet.db")
    files: dict[str, Any] = {}
    for key in LINK_FILES:
        if name := getattr(broker, key):
            files[key] = named_file(name, file, environ)
            if as_service or not name.startswith(CREDENTIAL):
                faults.extend(_unreadable(files[key], file, f"broker.{key}", as_service))
    if faults:
        raise ConfigError(faults)
    return replace(settings, store=store, broker=replace(broker, **files), file=file)


def _unreadable(path: str, source: str, key: str, as_service: bool) -> Iterator[Fault]:
    try:
        with open(path, "rb"):
            pass
    except OSError as error:
        if as_service or not isinstance(error, PermissionError):
            yield config.unreadable(source, error, key)
