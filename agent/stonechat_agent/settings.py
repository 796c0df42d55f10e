"""The agent's settings: the tables of agent.toml, and where the file and the state lie.

`load` is the one entry: it reads a file, fills in what depends on the machine (device id, state directory, the files
that hold secrets) and raises every fault at once. Durations are nanoseconds, sizes are bytes.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stonechat import config, ids, kinds, units
from stonechat.config import Conflict, option
from stonechat.errors import ConfigError, Fault
from stonechat.kinds import Address, Url
from stonechat.link import LINK_FILES, Link
from stonechat.places import CREDENTIAL, named_file, state_directory
from stonechat.records import MAX_TALLY_KEYS

DEFAULT_FILE = "/etc/stonechat/agent.toml"

_DAY_NS = 86_400 * units.NS_PER_SECOND
_NAME = kinds.string(ids.DEVICE_ID_PATTERN, 'a name of 1 to 63 of a-z, 0-9 and "-", such as "kiosk-017"')
_NAME_OR_NONE = kinds.string(f"({ids.DEVICE_ID_PATTERN})?", _NAME.expected)


@dataclass(frozen=True)
class Device:
    """Who this device is in its fleet."""

    id: str = option(_NAME_OR_NONE, "", "name of the device; default: made from /etc/machine-id")
    fleet: str = option(_NAME, "default", "name of the fleet that it belongs to")
    labels: dict[str, str] = option(kinds.labels(32), {}, "labels to filter and compare devices by")


@dataclass(frozen=True)
class Engine:
    """One LLM server on the device, and the relay in front of it."""

    name: str = option(_NAME, "engine", "name of the engine, where there are several")
    upstream: Url = option(
        kinds.url({"http": 80}, "http://127.0.0.1:8080"), "http://127.0.0.1:8080", "where the engine answers"
    )
    listen: Address = option(
        kinds.address(), "127.0.0.1:8089", "where the relay listens: give applications this address"
    )
    unit: str = option(
        kinds.string(r"[A-Za-z0-9:_.@\\-]{0,250}", 'a systemd unit such as "ollama.service"'),
        "",
        "the engine's systemd unit; its control group tells memory, faults and pressure",
    )
    pid_file: str = option(
        kinds.absolute_path(), "", "file with the engine's process id, if unit finds nothing"
    )
    process: str = option(
        kinds.string(r"[^\0\r\n]{0,255}", 'the name of a program such as "llama-server"'),
        "",
        "name of the engine's program, or a part of its command line, if these find nothing; at last, the port counts",
    )
    max_body_bytes: int = option(
        kinds.size("4KiB", "64MiB"),
        "1MiB",
        "how much of one body is parsed; the rest is only relayed and counted",
    )

    passive: bool = option(
        kinds.boolean(),
        True,
        "whether the engine is asked for its build, model and slots, without disturbing it",
    )
    api_key_file: str = option(
        kinds.path(),
        "",
        "file with the key that the engine wants to be asked with, if it wants one, or credential:NAME",
    )
    models: tuple[str, ...] = option(
        kinds.names(64), [], "models of an engine that does not list its own; other names count as 'other'"
    )

    def conflicts(self, given: set[str]) -> Iterator[Conflict]:
        if self.upstream.path:
            yield Conflict("upstream", "must have no path: the relay forwards each request's own")
        elif (self.upstream.host, self.upstream.port) == tuple(self.listen):
            yield Conflict("listen", "must differ from upstream: the relay would dial itself")


@dataclass(frozen=True)
class Sampling:
    """How the device is read."""

    interval_ns: int = option(kinds.duration("100ms", "1m"), "1s", "time between two samples")
    proc_root: str = option(kinds.absolute_path(), "/proc", "where the kernel's process files are")
    sys_root: str = option(kinds.absolute_path(), "/sys", "where the kernel's device files are")


@dataclass(frozen=True)
class Window:
    """How samples and exchanges are folded."""

    length_ns: int = option(
        kinds.duration("1s", "1h"), "60s", "length of a window; a day is a whole number of them"
    )

    def conflicts(self, given: set[str]) -> Iterator[Conflict]:
        if _DAY_NS % self.length_ns:
            yield Conflict("length", "must divide a day into equal windows", 'such as "60s", "5m" or "1h"')


@dataclass(frozen=True)
class Scoring:
    """How answers are judged by models and guidelines, in a process of its own that is there while it has work."""

    enabled: bool = option(
        kinds.boolean(), True, "whether they are; the checks that need no model are made in any case"
    )
    when: str = option(
        kinds.one_of("idle", "always"),
        "idle",
        '"idle": not while an engine works; answers wait meanwhile. "always": at any time, at idle priority',
    )
    sample: float = option(
        kinds.number(0, 1),
        0.05,
        "share of answers that the large model sees whatever they are like, from which rates are estimated",
    )
    models: tuple[str, ...] = option(
        kinds.absolute_paths(16), [], "folders of models of your own, each with its card.toml"
    )
    max_memory_bytes: int = option(
        kinds.size("32MiB", "16GiB"), "160MiB", "memory beyond which the process is ended and started anew"
    )
    exit_after_ns: int = option(
        kinds.duration("1s", "1d"), "2m", "time without an answer to judge after which the process ends"
    )
    max_backlog_bytes: int = option(
        kinds.size("256KiB", "1GiB"), "4MiB", "bound of the texts that wait; some are lost beyond it"
    )
    max_temperature: int = option(
        kinds.integer(20, 150), 85, "degrees Celsius of the processor from which answers wait"
    )
    min_battery: int = option(
        kinds.integer(0, 100), 20, "percent of charge below which answers wait, on battery"
    )


MOST_GUIDELINES = MAX_TALLY_KEYS
"""A window counts by so many names: with more, some guidelines would be counted as ``other``."""


@dataclass(frozen=True)
class Guideline:
    """One of the owner's own rules for answers, which each way of breaking it that is given can break."""

    name: str = option(
        kinds.string(
            r"([a-z][a-z0-9-]{0,39})?", 'a name of 1 to 40 of a-z, 0-9 and "-", such as "price-promises"'
        ),
        "",
        "name of the guideline, in events, figures and pages: it leaves the device; must be given",
    )
    severity: str = option(
        kinds.one_of("info", "warning", "critical"),
        "warning",
        "severity of the event of an answer that breaks it",
    )
    description: str = option(
        kinds.string(r"[^\0\r]{0,512}", "a text of at most 512 characters"),
        "",
        "what it asks for, in words; stays on the device",
    )
    forbidden: tuple[str, ...] = option(
        kinds.expressions(64, 4096), [], "patterns of which none may match in an answer"
    )
    required: tuple[str, ...] = option(
        kinds.expressions(64, 4096), [], "patterns of which each must match in an answer that is whole"
    )
    applies_to: str = option(
        kinds.expression_or_none(4096),
        "",
        "pattern in the prompt; answers to other prompts are not held to it",
    )
    examples: tuple[str, ...] = option(
        kinds.texts(64, 512), [], "sentences such as no answer may hold, compared by what they are about"
    )
    similarity: float = option(
        kinds.number(0.05, 1),
        0.5,
        "how similar to an example a sentence must be to break it: 1 is the same, 0 as near as ordinary ones come",
    )
    model: str = option(
        kinds.string(r"[A-Za-z0-9._-]{0,64}", 'the name of a model that was added, such as "spam"'),
        "",
        "classifier that was dropped in and whose score breaks it",
    )
    label: str = option(
        kinds.string(r"[A-Za-z0-9._:/@+-]{0,64}", "the name of a label of the model"),
        "",
        "which of the model's scores it is",
    )
    threshold: float = option(
        kinds.number(0.001, 1), 0.5, "the model's score from which on an answer breaks it"
    )

    def conflicts(self, given: set[str]) -> Iterator[Conflict]:
        if not self.name:
            yield Conflict("name", "must be given", 'such as name = "price-promises"')
        ways = ("forbidden", "required", "examples", "model")
        if not any(getattr(self, way) for way in ways):
            yield Conflict(
                "name", "has nothing that breaks it", "give it " + ", ".join(ways[:-1]) + " or model"
            )
        if self.model and not self.label:
            yield Conflict("label", "must be given: a model may have several", "its card.toml lists them")
        for key, way in (("similarity", "examples"), ("label", "model"), ("threshold", "model")):
            if key in given and not getattr(self, way):
                yield Conflict(key, f"has no effect without {way}", f"give it {way}, or delete the line")


@dataclass(frozen=True)
class Privacy:
    """Which texts of users and models are kept on the device, and which leave it."""

    journal: str = option(
        kinds.one_of("none", "flagged", "sampled", "all"),
        "flagged",
        "exchanges whose texts the journal keeps, redacted; the figures of every exchange are kept",
    )
    sample: float = option(
        kinds.number(0, 1), 0.02, 'share of exchanges whose texts are kept where journal is "sampled"'
    )
    upload: str = option(
        kinds.one_of("none", "flagged", "all"),
        "none",
        "exchanges whose texts, as the journal has them, go to the collector with what else is known of them",
    )
    patterns: dict[str, str] = option(
        kinds.patterns(32), {}, "own regular expressions by name; what they match is redacted as [NAME]"
    )

    def conflicts(self, given: set[str]) -> Iterator[Conflict]:
        if self.upload != "none" and self.journal == "none":
            yield Conflict("upload", 'must be "none" where journal is "none": only what is kept can be sent')


@dataclass(frozen=True)
class Journal:
    """The log of exchanges and events on the device."""

    path: str = option(kinds.absolute_path(), "", "directory of the journal; default: that of the spool")
    max_size_bytes: int = option(
        kinds.size("1MiB", "1TiB"), "64MiB", "bound of the journal; the oldest goes first"
    )
    max_age_ns: int = option(kinds.duration("1m", "3650d"), "30d", "age at which an entry is deleted")


@dataclass(frozen=True)
class Exchanges:
    """Which exchanges are told to the collector one by one, without texts unless privacy.upload says otherwise."""

    sample: float = option(
        kinds.number(0, 1), 0.01, "share of all exchanges that is sent, whatever they are like"
    )
    slow_ns: int = option(
        kinds.duration("10ms", "1h"), "30s", "duration from which an exchange is slow, and sent"
    )
    most_per_hour: int = option(
        kinds.integer(0, 100_000), 60, "exchanges that are sent in an hour at most; 0: none"
    )


@dataclass(frozen=True)
class Spool:
    """The durable store of what no collector has acknowledged."""

    path: str = option(kinds.absolute_path(), "", "directory of the spool; default: the state directory")
    max_size_bytes: int = option(
        kinds.size("1MiB", "1TiB"),
        "64MiB",
        "bound of the spool; older windows fold into coarser ones before it",
    )
    min_free_bytes: int = option(
        kinds.size("0B", "1TiB"), "64MiB", "free space of the disk below which the spool stops growing"
    )


@dataclass(frozen=True)
class Mqtt(Link):
    """The way to the collector. Without a url, windows stay on the device."""

    keep_alive_ns: int = option(
        kinds.duration("5s", "18h"), "60s", "time after which a silent link counts as lost"
    )

    def conflicts(self, given: set[str]) -> Iterator[Conflict]:
        yield from super().conflicts(given)
        if self.keep_alive_ns % units.NS_PER_SECOND:
            yield Conflict("keep_alive", "must be whole seconds: MQTT counts in them")


@dataclass(frozen=True)
class Local:
    """The agent's own endpoint, on the device."""

    listen: Address = option(kinds.address(), "127.0.0.1:8401", "where status, health and metrics are served")


@dataclass(frozen=True)
class Settings:
    """All of agent.toml."""

    device: Device = config.table(Device)
    engines: tuple[Engine, ...] = config.tables(Engine, key="engine")
    sampling: Sampling = config.table(Sampling)
    window: Window = config.table(Window)
    scoring: Scoring = config.table(Scoring)
    guidelines: tuple[Guideline, ...] = config.tables(Guideline, key="guideline", least=0)
    privacy: Privacy = config.table(Privacy)
    journal: Journal = config.table(Journal)
    exchanges: Exchanges = config.table(Exchanges)
    spool: Spool = config.table(Spool)
    mqtt: Mqtt = config.table(Mqtt)
    local: Local = config.table(Local)
    file: str = ""
    """The file that was read, to read it again on SIGHUP; "" where defaults apply."""

    def conflicts(self, given: set[str]) -> Iterator[Conflict]:
        taken: dict[str, str] = {}
        listeners = {f"engine[{i}]": engine.listen for i, engine in enumerate(self.engines)}
        for where, listen in {**listeners, "local": self.local.listen}.items():
            if listen.port and str(listen) in taken:
                yield Conflict(f"{where}.listen", f"{listen} is taken by {taken[str(listen)]}.listen")
            taken.setdefault(str(listen), where)
        yield from _same_names("engine", [engine.name for engine in self.engines])
        yield from _same_names("guideline", [guideline.name for guideline in self.guidelines])
        if len(self.guidelines) > MOST_GUIDELINES:
            expected = f"at most {MOST_GUIDELINES}, and there are {len(self.guidelines)}"
            yield Conflict("guideline", expected, "join some: each takes up to 64 patterns and 64 examples")


def _same_names(key: str, names: list[str]) -> Iterator[Conflict]:
    first: dict[str, int] = {}
    for index, name in enumerate(names):
        if name in first:
            expected = f'"{name}" names {key}[{first[name]}] already'
            yield Conflict(f"{key}[{index}].name", expected, f"give each [[{key}]] a name of its own")
        first.setdefault(name, index)


def load(
    path: str | None = None, environ: Mapping[str, str] = os.environ, *, as_service: bool = True
) -> Settings:
    """Read the settings from a file, or from `DEFAULT_FILE` where path is None; that one may be missing.

    What depends on the machine is filled in: the device id, the directory of the spool, the paths of secrets.
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
    device, spool, mqtt = settings.device, settings.spool, settings.mqtt
    if not device.id:
        device = replace(device, id=_own_device_id(file, faults))
    if not spool.path:
        system = os.geteuid() == 0 or os.access("/var/lib/stonechat", os.W_OK)
        spool = replace(spool, path=state_directory("stonechat", environ, system=system))
    journal = replace(settings.journal, path=settings.journal.path or spool.path)

    def found(name: str, key: str) -> str:
        place = named_file(name, file, environ)
        if as_service or not name.startswith(CREDENTIAL):
            faults.extend(_unreadable(place, file, key, as_service))
        return place

    files: dict[str, Any] = {
        key: found(name, f"mqtt.{key}") for key in LINK_FILES if (name := getattr(mqtt, key))
    }
    several = len(settings.engines) > 1
    engines = tuple(
        replace(
            engine,
            api_key_file=found(engine.api_key_file, f"engine{f'[{number}]' if several else ''}.api_key_file"),
        )
        if engine.api_key_file
        else engine
        for number, engine in enumerate(settings.engines)
    )
    if faults:
        raise ConfigError(faults)
    mqtt = replace(mqtt, **files)
    return replace(
        settings, device=device, engines=engines, spool=spool, journal=journal, mqtt=mqtt, file=file
    )


def _unreadable(path: str, source: str, key: str, as_service: bool) -> Iterator[Fault]:
    try:
        with open(path, "rb"):
            pass
    except OSError as error:
        if as_service or not isinstance(error, PermissionError):
            yield config.unreadable(source, error, key)


def _own_device_id(source: str, faults: list[Fault]) -> str:
    for file in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
        try:
            return ids.device_id_from_machine_id(Path(file).read_text("ascii"))
        except (OSError, ValueError):
            continue
    # Containers and other systems than Linux have no machine id; there the host's name is what tells them apart.
    name = socket.gethostname().split(".")[0].lower()
    if ids.is_device_id(name) and name != "localhost":
        return name
    hint = 'set it in the file: [device] id = "kiosk-017"'
    faults.append(
        Fault(source, "device.id", "", "this machine has neither a machine id nor a host name to use", hint)
    )
    return ""
