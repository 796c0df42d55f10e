"""The directories of spool and journal: whether the agent can write there, and whether there is room."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator

from .finding import SERVICE_USER, Finding, Patient, State, user_name


def check(patient: Patient) -> Iterator[Finding]:
    settings = patient.settings
    spool, journal = settings.spool, settings.journal
    told = (patient.status or {}).get("spool", {})
    if told.get("path") == spool.path and told.get("in_memory") is not None:
        if told["in_memory"]:
            yield Finding(
                "spool",
                State.FAULT,
                f"{spool.path}: the running agent cannot write there",
                "windows are in memory, and lost when the agent ends",
                f"chown -R {SERVICE_USER} {spool.path}, and see whether the disk is full or read-only",
            )
        else:
            yield Finding("spool", State.OK, f"{spool.path}: the running agent writes there")
    else:
        yield _writable(
            "spool", spool.path, "spool.path", "windows are kept in memory, and lost when the agent ends"
        )
    if journal.path != spool.path:
        yield _writable("journal", journal.path, "journal.path", "no log of exchanges")
    yield from _room(spool.path, spool.min_free_bytes, spool.max_size_bytes + journal.max_size_bytes)


def _existing(path: str) -> str:
    while not os.path.exists(path) and path != os.path.dirname(path):
        path = os.path.dirname(path)
    return path


def _writable(name: str, path: str, key: str, costs: str) -> Finding:
    place = _existing(path)
    try:
        # A file is made and gone again: neither modes nor access(2) know of read-only and full disks.
        with tempfile.TemporaryFile(dir=place, prefix=".stonechat-doctor-") as file:
            file.write(b"x" * 4096)
            file.flush()
    except OSError as error:
        why = error.strerror or str(error)
        if isinstance(error, PermissionError) and hasattr(os, "geteuid") and os.geteuid() != 0:
            owner = user_name(os.stat(place).st_uid)
            if owner not in (user_name(), "root"):
                return Finding(
                    name,
                    State.MISSING,
                    f"{place}: is {owner}'s, and cannot be told as {user_name()}",
                    "nothing, if the agent runs as that user",
                    f"sudo -u {owner} stonechat doctor",
                )
        return Finding(
            name, State.FAULT, f"{place}: {why}", costs, f"give the agent's user a directory: {key}"
        )
    made = "" if os.path.isdir(path) else ", where it will be made"
    return Finding(name, State.OK, f"{place}: {user_name()} may write{made}")


def _room(path: str, min_free: int, wanted: int) -> Iterator[Finding]:
    if not hasattr(os, "statvfs"):
        return
    figures = os.statvfs(_existing(path))
    free = figures.f_bavail * figures.f_frsize
    mib = free >> 20
    if free < min_free:
        yield Finding(
            "room",
            State.FAULT,
            f"{mib} MiB free, less than spool.min_free = {min_free >> 20} MiB",
            "the spool folds what it has into coarser windows instead of growing",
            "free space, or set spool.min_free lower",
        )
    elif free < min_free + wanted:
        yield Finding(
            "room",
            State.MISSING,
            f"{mib} MiB free, less than spool and journal may take ({wanted >> 20} MiB)",
            "they are kept smaller than their bounds",
            "free space, or set spool.max_size and journal.max_size lower",
        )
    else:
        yield Finding("room", State.OK, f"{mib} MiB free")
