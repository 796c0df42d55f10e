"""The agent itself: whether one runs, and whether its address is its own."""

from __future__ import annotations

from collections.abc import Iterator

from .engines import reach
from .finding import SERVICE_USER, Finding, Patient, State, user_name


def check(patient: Patient) -> Iterator[Finding]:
    listen = patient.settings.local.listen
    if patient.status is not None:
        yield Finding(
            "agent", State.OK, f"version {patient.status['version']} runs: {patient.status['sentence']}"
        )
    elif not reach(listen.host, listen.port):
        yield Finding(
            "agent",
            State.FAULT,
            f"local.listen = {listen}: something answers there that is no agent of this configuration",
            "no status, no local page, no record API",
            "find who holds it (ss -ltnp), or give another address: [local] listen",
        )
    else:
        yield Finding(
            "agent",
            State.MISSING,
            f"none answers at {listen}",
            f"what follows is what {user_name()} may see, which need not be what the service's user may",
            f"systemctl start stonechat-agent, or stonechat agent; or sudo -u {SERVICE_USER} stonechat doctor",
        )
