"""Addresses: what may be written, what is opened, and what is said where that does not work."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from stonechat_agent.relay import AddressError, Endpoint, listen_sockets, parse_endpoint


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("127.0.0.1:8080", Endpoint("127.0.0.1", 8080)),
        (" localhost:1 ", Endpoint("localhost", 1)),
        ("[::1]:8080", Endpoint("::1", 8080)),
        ("http://127.0.0.1:8080", Endpoint("127.0.0.1", 8080)),
        ("http://127.0.0.1:8080/", Endpoint("127.0.0.1", 8080)),
        ("http://engine", Endpoint("engine", 80)),
        ("http://[::1]", Endpoint("::1", 80)),
        ("unix:/run/engine.sock", Endpoint(path="/run/engine.sock")),
        ("unix:///run/engine.sock", Endpoint(path="/run/engine.sock")),
    ],
)
def test_addresses(text: str, endpoint: Endpoint) -> None:
    assert parse_endpoint(text, "k") == endpoint
    assert parse_endpoint(str(endpoint), "k") == endpoint


@pytest.mark.parametrize(
    "text",
    [
        "",
        "8080",
        ":8080",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:port",
        "127.0.0.1:65536",
        "::1:8080",
        "unix:relative",
        "https://127.0.0.1:8080",
        "http://127.0.0.1:8080/v1",
        "http://",
    ],
)
def test_what_is_no_address_is_said_with_its_setting(text: str) -> None:
    with pytest.raises(AddressError) as caught:
        parse_endpoint(text, "engine.url")
    assert str(caught.value).startswith(f"engine.url = {text}: ")
    assert "\n  hint: " in str(caught.value)


def test_a_port_in_use_is_said_with_the_address_and_the_setting() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(AddressError) as caught:
            listen_sockets(address)
    assert str(caught.value) == (
        f"engine.listen = {address}: the address is already in use\n"
        "  hint: stop what listens there (ss -ltnp shows it), or set engine.listen to another port"
    )


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(AddressError, match="this machine has no such address"):
        listen_sockets("192.0.2.1:8080")
    with pytest.raises(AddressError, match="is not known"):
        listen_sockets("no-such-host.invalid:8080")


def test_a_stale_socket_file_is_replaced_and_a_live_one_is_not(tmp_path: object) -> None:
    path = f"{tmp_path}/relay.sock"
    (first,) = listen_sockets(f"unix:{path}")
    with pytest.raises(AddressError, match="already in use"):
        listen_sockets(f"unix:{path}")
    first.close()
    (second,) = listen_sockets(f"unix:{path}")
    second.close()


def test_a_plain_file_is_not_replaced(tmp_path: object) -> None:
    path = f"{tmp_path}/notes.txt"
    with open(path, "w") as file:
        file.write("mine")
    with pytest.raises(AddressError, match="already in use"):
        listen_sockets(f"unix:{path}")
    with open(path) as file:
        assert file.read() == "mine"


PASSED = """
import os, socket, sys
os.environ["LISTEN_PID"] = str(os.getpid())
from stonechat_agent.relay import listen_sockets
print([s.getsockname()[1] for s in listen_sockets(sys.argv[1])])
"""


def test_sockets_passed_by_systemd_are_found_by_name() -> None:
    with socket.socket() as one, socket.socket() as two:
        for sock in (one, two):
            sock.bind(("127.0.0.1", 0))
            sock.listen()
        ports = [sock.getsockname()[1] for sock in (one, two)]

        def passed(spec: str) -> str:
            def place() -> None:
                # Over the numbers that systemd uses; high copies first, so that neither overwrites the other.
                copies = [os.dup(sock.fileno()) for sock in (one, two)]
                for number, copy in enumerate(copies, 3):
                    os.dup2(copy, number)

            return subprocess.run(
                [sys.executable, "-c", PASSED, spec],
                env={
                    **os.environ,
                    "PYTHONPATH": os.pathsep.join(sys.path),
                    "LISTEN_FDS": "2",
                    "LISTEN_FDNAMES": "llama:ollama",
                },
                pass_fds=(3, 4),
                preexec_fn=place,
                capture_output=True,
                text=True,
                check=True,
            ).stdout.strip()

        assert passed("systemd") == str(ports)
        assert passed("systemd:ollama") == str(ports[1:])


def test_sockets_that_systemd_did_not_pass_are_said() -> None:
    with pytest.raises(AddressError, match="systemd passed no socket to this process"):
        listen_sockets("systemd", environ={})
    with pytest.raises(AddressError, match="systemd passed no socket to this process"):
        listen_sockets("systemd", environ={"LISTEN_PID": "1", "LISTEN_FDS": "1"})
    with pytest.raises(AddressError, match="none of this name"):
        environ = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "0"}
        listen_sockets("systemd:llama", environ=environ)
