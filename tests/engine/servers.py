"""Real llama-servers with the random model, and a client that sees every byte."""

from __future__ import annotations

import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.ports import free_port

CONTEXT = 2048
"""Tokens of context a request, in each of two slots."""

FORMS: dict[str, tuple[str, ...]] = {
    "plain": (),
    "tools": ("--jinja", "--chat-template-file", "{folder}/tools.jinja"),
    "reasoning": ("--jinja", "--chat-template-file", "{folder}/reasoning.jinja"),
    "embeddings": ("--embeddings", "--pooling", "mean"),
    "locked": ("--api-key", "sesame"),
    "unnamed": (),
    "sleepy": ("--sleep-idle-seconds", "2"),
}
"""How the servers are started, beside what all of them have."""


class LlamaServer:
    """One llama-server as a process."""

    def __init__(self, folder: Path, form: str = "plain", log: Path | None = None, port: int = 0) -> None:
        self.folder = folder
        self.form = form
        self.port = port or free_port()
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *, wait: bool = True) -> None:
        # Without an alias the server calls the model by this path.
        name = () if self.form == "unnamed" else ("--alias", "random")
        model = f"../{self.folder.name}/random.gguf"
        form = [part.format(folder=self.folder) for part in FORMS[self.form]]
        common = [
            "--port",
            str(self.port),
            "-c",
            str(2 * CONTEXT),
            "-np",
            "2",
            "-b",
            "512",
            "-t",
            "1",
            "--seed",
            "7",
        ]
        output = self.log.open("ab") if self.log is not None else subprocess.DEVNULL
        self.process = subprocess.Popen(
            [self.folder / "llama-server", "-m", model, *common, *name, *form],
            cwd=self.folder,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        if wait:
            until(lambda: self.get("/health").startswith(b"HTTP/1.1 200"))

    def get(self, path: str) -> bytes:
        """The answer to a GET as it stands on the wire; empty where nobody listens."""
        try:
            return talk(self.port, f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        except OSError:
            return b""

    def kill(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(10)

    def cpu_seconds(self) -> float:
        """Processor time that the server has taken."""
        assert self.process is not None
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100

    def resident_bytes(self) -> int:
        assert self.process is not None
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * 4096


def talk(
    port: int, request: bytes, leave: Callable[[bytes], bool] | None = None, after_seconds: float = 60
) -> bytes:
    """Send a request and return the bytes of the answer, up to the connection's end.

    The client goes away as soon as ``leave`` says so of the bytes so far, or ``after_seconds`` without a further byte.
    """
    got = b""
    with socket.create_connection(("127.0.0.1", port), timeout=after_seconds) as connection:
        connection.sendall(request)
        while leave is None or not leave(got):
            try:
                data = connection.recv(65536)
            except TimeoutError:
                assert leave is not None, "no answer"
                break
            if not data:
                break
            got += data
    return got


@contextmanager
def busy(port: int, request: bytes, clients: int) -> Iterator[None]:
    """So many clients that read a long streamed answer each, and leave at the end of the block."""
    over = threading.Event()
    threads = [
        threading.Thread(target=talk, args=(port, request, lambda got: over.is_set())) for _ in range(clients)
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def until(true: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)
