"""MQTT topics: ``stonechat/1/{fleet}/{device}/{up|down}/{leaf}``."""

from __future__ import annotations

from typing import NamedTuple

from stonechat.ids import is_device_id

ROOT = "stonechat/1"
UP = ("state", "window", "event", "exchange", "reply")
DOWN = ("ack", "config", "command")


class Topic(NamedTuple):
    """The parts of a topic name."""

    fleet: str
    device: str
    direction: str
    leaf: str


def up(fleet: str, device: str, leaf: str) -> str:
    """Topic name of what a device sends."""
    return f"{ROOT}/{fleet}/{device}/up/{leaf}"


def down(fleet: str, device: str, leaf: str) -> str:
    """Topic name of what a device is sent."""
    return f"{ROOT}/{fleet}/{device}/down/{leaf}"


def up_filter(leaf: str, share: str = "") -> str:
    """Topic filter for what all devices send, shared between the collectors of ``share`` when that is not empty."""
    plain = f"{ROOT}/+/+/up/{leaf}"
    return f"$share/{share}/{plain}" if share else plain


def parse(name: str) -> Topic | None:
    """The parts of a topic name, None when it is not one of ours."""
    parts = name.split("/")
    if len(parts) != 6 or "/".join(parts[:2]) != ROOT:
        return None
    topic = Topic(*parts[2:])
    if not is_device_id(topic.fleet) or not is_device_id(topic.device):
        return None
    return topic if topic.leaf in {"up": UP, "down": DOWN}.get(topic.direction, ()) else None
