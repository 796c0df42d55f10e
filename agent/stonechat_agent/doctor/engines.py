"""The engines: whether each answers, whether its process can be told, and whether its relay can listen."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from typing import Any

from stonechat_agent.sampling import EngineMatch, cgroups
from stonechat_agent.sampling.engine_search import Found, Search
from stonechat_agent.sampling.files import read_text
from stonechat_agent.settings import Engine

from .finding import Finding, Patient, State, user_name

CONNECT_SECONDS = 2.0


def check_one(patient: Patient, engine: Engine) -> Iterator[Finding]:
    """Give what is so of one engine."""
    yield _answers(engine)
    yield from _process(patient, engine)
    yield _listens(patient, engine)


def reach(host: str, port: int) -> str:
    """Connect by TCP, and hang up. Returns why that does not work; "" where it does."""
    try:
        socket.create_connection((host.strip("[]"), port), timeout=CONNECT_SECONDS).close()
    except TimeoutError:
        return f"no answer in {CONNECT_SECONDS:.0f} s"
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _answers(engine: Engine) -> Finding:
    name = f"{engine.name} upstream"
    why = reach(engine.upstream.host, engine.upstream.port)
    if not why:
        return Finding(name, State.OK, f"{engine.upstream} takes connections")
    return Finding(
        name,
        State.FAULT,
        f"{engine.upstream}: {why}",
        "clients of the relay get 502",
        "start the engine, or name where it answers: [engine] upstream",
    )


def _process(patient: Patient, engine: Engine) -> Iterator[Finding]:
    name = f"{engine.name} process"
    match = EngineMatch(
        engine.name, engine.upstream.host, engine.upstream.port, engine.unit, engine.process, engine.pid_file
    )
    found = Search(match, patient.proc, patient.sys).find()
    costs = "its CPU, memory, page faults, run delay and restarts"
    if found is None:
        named = engine.unit or engine.process or engine.pid_file
        yield Finding(
            name,
            State.MISSING,
            f"nothing is found by {named!r}"
            if named
            else f"cannot be told by its port alone, as {user_name()}",
            costs,
            'name it: [engine] unit = "ollama.service", or process = "llama-server", or pid_file',
        )
        return
    comm = read_text(f"{patient.proc}/{found.pid}/comm") or "?"
    yield Finding(name, State.OK, f"{found.pid} ({comm})")
    yield _accounts(patient, engine, found)


def _accounts(patient: Patient, engine: Engine, found: Found) -> Finding:
    """Tell what may be read of the process, by its group or by its own files."""
    name = f"{engine.name} figures"
    group = found.unit_group or cgroups.group_of(patient.proc, patient.sys, found.pid)
    if group is not None and cgroups.is_unified(patient.sys):
        place = group[len(f"{patient.sys}/fs/cgroup") :]
        if os.access(f"{group}/memory.current", os.R_OK) and os.access(f"{group}/io.stat", os.R_OK):
            return Finding(name, State.OK, f"memory, CPU and reads by its control group {place}")
    if os.access(f"{patient.proc}/{found.pid}/io", os.R_OK) and _may_read(f"{patient.proc}/{found.pid}/io"):
        return Finding(name, State.OK, "CPU, memory and reads by its own files")
    owner = (
        user_name(os.stat(f"{patient.proc}/{found.pid}").st_uid) if hasattr(os, "geteuid") else "another user"
    )
    return Finding(
        name,
        State.MISSING,
        f"it runs as {owner}, in no control group of its own",
        "bytes read, memory with the page cache, and memory on an AMD or Intel GPU",
        f"run it as a systemd unit and name that ([engine] unit), or run the agent as {owner}",
    )


def _may_read(path: str) -> bool:
    """Tell by reading: the kernel refuses /proc/PID/io when it is read, whatever its mode says."""
    try:
        with open(path, "rb") as file:
            file.read(16)
    except OSError:
        return False
    return True


def _listens(patient: Patient, engine: Engine) -> Finding:
    name = f"{engine.name} listen"
    relayed = _relayed(patient.status, engine)
    if relayed:
        return Finding(name, State.OK, f"the agent relays at {engine.listen}")
    why = _taken(engine.listen.host, engine.listen.port)
    if why and relayed is None:
        text = f"{engine.listen}: {why}"
    elif why:
        text = f"{engine.listen}: the agent cannot relay there: {why}"
    else:
        return Finding(name, State.OK, f"{engine.listen} is free")
    return Finding(
        name,
        State.FAULT,
        text,
        "the engine is not relayed there",
        "find who holds it (ss -ltnp), or give the relay another address: [engine] listen",
    )


def _relayed(status: dict[str, Any] | None, engine: Engine) -> bool | None:
    """Tell whether the running agent relays; None where none runs, or runs without this engine."""
    for told in (status or {}).get("engines", ()):
        if told["name"] == engine.name and told["listen"] == str(engine.listen):
            return bool(told["relaying"])
    return None


def _taken(host: str, port: int) -> str:
    """Return why an address cannot be listened at; "" where it can."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            # As the relay does: an address whose last connection is still ending is free.
            if os.name == "posix":
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host.strip("[]"), port))
    except OSError as error:
        return "taken by another program" if error.errno == errno.EADDRINUSE else error.strerror or str(error)
    return ""
