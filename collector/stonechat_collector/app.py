"""``stonechat collector``: everything that can be wrong is found first, then the processes run until a signal.

supervisor  broker (unless another is named)   listens for devices, on a socket of the supervisor
            ingest                             takes messages into the store
            rollup                             merges, judges, deletes what is old
            web                                pages and API, on a socket of the supervisor
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
from collections.abc import Mapping
from typing import Any

from stonechat.errors import StonechatError
from stonechat.kinds import Address
from stonechat_collector import logs
from stonechat_collector.hosts import is_loopback
from stonechat_collector.settings import Settings
from stonechat_collector.store import Store
from stonechat_collector.supervise import Role, Supervisor

log = logging.getLogger("stonechat.collector")

NS_PER_MS = 1_000_000
_BACKLOG = 512


class CannotListen(StonechatError):
    """An address that cannot be listened on."""


def main(settings: Settings) -> int:
    """Run the collector in the foreground, and return the exit code.

    Raises:
        StonechatError: it cannot start: the database cannot be used, or an address is taken.
    """
    logs.set_up()
    # Here rather than in three children at once: one makes the tables, and one message says what is wrong.
    Store(settings.store.url).close()
    with contextlib.ExitStack() as stack:
        web = stack.enter_context(listen(settings.web.listen, "web.listen"))
        broker = None
        if settings.broker.starts_embedded:
            broker = stack.enter_context(listen(settings.broker.listen, "broker.listen"))
        roles = roles_of(settings, web, broker)
        return Supervisor(roles, lambda: _say_ready(web, roles)).run()


def listen(address: Address, key: str) -> socket.socket:
    """A listening socket. Raises CannotListen, which names the key of the settings."""
    try:
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        return socket.create_server((address.host, address.port), family=family, backlog=_BACKLOG)
    except OSError as error:
        hint = {
            errno.EADDRINUSE: f"stop the program that has it (ss -ltnp 'sport = {address.port}'), or set {key}",
            errno.EACCES: f"set {key} to a port of 1024 or more",
            errno.EADDRNOTAVAIL: f"set {key} to an address of this machine",
        }.get(error.errno or 0, f"set {key}")
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        raise CannotListen(f"{key} = {address}: cannot listen: {reason}\n  hint: {hint}") from error


def roles_of(settings: Settings, web: socket.socket, broker: socket.socket | None) -> list[Role]:
    """The processes that these settings ask for."""
    store, retention = settings.store.url, settings.retention
    roles = []
    if broker is not None:
        roles.append(Role("broker", {"fd": broker.fileno()}, [broker.fileno()], last_to_stop=True))
    windows_ms = retention.windows_ns // NS_PER_MS
    share = settings.ingest.share_group
    roles.append(
        Role(
            "ingest",
            {
                "store": store,
                # Collectors that share a subscription are several, and each needs a session of its own.
                "name": f"ingest-{socket.gethostname()}" if share else "ingest",
                "target": target_of(settings, broker),
                "batch": settings.ingest.batch,
                "wait_ms": settings.ingest.wait_ns // NS_PER_MS,
                "retention_ms": windows_ms,
            },
        )
    )
    ages = {
        "windows_ms": windows_ms,
        "rollups_ms": retention.rollups_ns // NS_PER_MS,
        "events_ms": retention.events_ns // NS_PER_MS,
        "exchanges_ms": retention.exchanges_ns // NS_PER_MS,
    }
    roles.append(Role("rollup", {"store": store, **ages}))
    url, loopback = _broker_url(settings, broker)
    arguments = {
        "store": store,
        "fd": web.fileno(),
        "loopback_only": is_loopback(settings.web.listen.host),
        "broker_url": url,
        "broker_loopback_only": loopback,
    }
    roles.append(Role("web", arguments, [web.fileno()]))
    return roles


def target_of(settings: Settings, broker: socket.socket | None) -> Mapping[str, Any]:
    """The broker that ingest connects to, as the fields of `link.Target`."""
    if broker is not None:
        host, port = broker.getsockname()[:2]
        # amqtt speaks 3.1.1 alone. Bound to every address it is reached over loopback.
        return {
            "host": {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host),
            "port": port,
            "protocol": "3.1.1",
        }
    named, url = settings.broker, settings.broker.url
    assert url is not None
    return {
        "host": url.host,
        "port": url.port,
        "tls": url.scheme == "mqtts",
        "username": named.username,
        "password_file": named.password_file,
        "ca_file": named.ca_file,
        "cert_file": named.cert_file,
        "key_file": named.key_file,
        "protocol": named.protocol,
        "share": settings.ingest.share_group,
    }


def _broker_url(settings: Settings, broker: socket.socket | None) -> tuple[str, bool]:
    if broker is not None:
        host, port = broker.getsockname()[:2]
        return f"mqtt://{Address(host, port)}", is_loopback(host)
    assert settings.broker.url is not None
    return str(settings.broker.url), is_loopback(settings.broker.url.host)


def _say_ready(web: socket.socket, roles: list[Role]) -> None:
    address = Address(*web.getsockname()[:2])
    arguments = next(role.arguments for role in roles if role.name == "web")
    log.info("ready", extra={"pages": f"http://{address}/", "broker": arguments["broker_url"]})
