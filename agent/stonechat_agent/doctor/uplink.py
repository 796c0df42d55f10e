"""The way to the collector: files, and whether the broker takes connections."""

from __future__ import annotations

from collections.abc import Iterator

from stonechat.link import LINK_FILES

from .engines import reach
from .finding import SERVICE_USER, Finding, Patient, State, user_name


def check(patient: Patient) -> Iterator[Finding]:
    mqtt = patient.settings.mqtt
    if mqtt.url is None:
        yield Finding(
            "broker",
            State.MISSING,
            "none configured",
            "windows stay on this device, within the spool's bound",
            '[mqtt] url = "mqtts://broker.example:8883"',
        )
        return
    yield from _files(patient)
    told = (patient.status or {}).get("uplink", {})
    if told.get("url") == str(mqtt.url) and told.get("connected"):
        yield Finding("broker", State.OK, str(told["sentence"]))
        return
    why = reach(mqtt.url.host, mqtt.url.port)
    said = str(told.get("sentence", "")) if told.get("url") == str(mqtt.url) else ""
    if why:
        yield Finding(
            "broker",
            State.FAULT,
            f"{mqtt.url}: {why}",
            "windows wait on this device",
            "see name, port and firewall; the agent goes on trying",
        )
    elif said:
        cure = "the broker takes connections: see user, password, certificates and its own log"
        yield Finding("broker", State.FAULT, said, "windows wait on this device", cure)
    else:
        yield Finding("broker", State.OK, f"{mqtt.url} takes connections; no agent runs that would log in")


def _files(patient: Patient) -> Iterator[Finding]:
    mqtt = patient.settings.mqtt
    for key in LINK_FILES:
        path = getattr(mqtt, key)
        if not path:
            continue
        name = f"mqtt.{key}"
        try:
            with open(path, "rb") as file:
                file.read(1)
            if key == "ca_file":
                import ssl  # only where there is a broker by TLS

                ssl.create_default_context(cafile=path)
        except PermissionError:
            yield Finding(
                name,
                State.MISSING,
                f"{path}: not for {user_name()}",
                "nothing, if the agent's user may read it",
                f"sudo -u {SERVICE_USER} stonechat doctor",
            )
        except OSError as error:  # ssl's errors are among them
            why = error.strerror or str(error)
            cure = "name a file in PEM format"
            yield Finding(name, State.FAULT, f"{path}: {why}", "the agent cannot connect", cure)
        else:
            yield Finding(name, State.OK, path)
