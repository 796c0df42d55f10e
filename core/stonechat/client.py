"""Tells the agent on this device of exchanges that do not pass its relay: ``stonechat.record(...)``.

It runs within somebody's application, so it never raises, never waits and never grows: what is told is put in a
bounded queue, and one daemon thread, which is there only while something waits, sends it to the agent. What cannot be
sent is dropped and counted. The agent's address is the loopback's unless STONECHAT_URL says otherwise.

This is the one module of the package that does I/O; it needs nothing beyond the standard library, and importing
``stonechat`` alone does not load it.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import queue
import re
import socket
import sys
import threading
import time
import weakref
from collections.abc import Callable
from types import TracebackType
from typing import Any, NamedTuple

DEFAULT_URL = "http://127.0.0.1:8401"
PATH = "/v1/exchanges"

MAX_WAITING = 2_000
"""Records that may wait; what comes while as many do is dropped."""
MAX_WAITING_BYTES = 4 << 20
MAX_RECORD = 512 << 10
"""Bytes of one record, beyond which it is dropped; texts are cut long before."""
MAX_TEXT = 65_536
"""Characters that are sent of one text; the agent keeps no more."""
MAX_AGE_SECONDS = 60.0
"""Time that a record waits for an agent that is away."""

_BATCH_BYTES = 512 << 10
_BATCH_RECORDS = 500
_TIMEOUT_SECONDS = 5.0
_EXIT_SECONDS = 0.5
# Short: since Python 3.12 a fork(2) in a process with several threads warns, and the thread would be the only reason.
_IDLE_SECONDS = 0.1
_RETRY_SECONDS = (0.5, 1.0, 2.0, 5.0)
_MAX_ANSWER = 64 << 10
_MAX_WARNINGS = 16
_MESSAGES = 200
_TEXTS = ("prompt", "response", "reasoning", "error")


class Counts(NamedTuple):
    """What became of the records since the process began."""

    recorded: int
    """Told to this client."""
    accepted: int
    """Taken by the agent."""
    rejected: int
    """Refused by the agent: a key or a value is wrong. The log ``stonechat`` says which, once for each reason."""
    dropped: int
    """Never sent, or sent and not answered: too many waited, the agent was away, or no JSON could be made of it."""


class _Waiting(NamedTuple):
    line: bytes
    at: float


class _Flush:
    """A mark in the queue: everything before it has been dealt with when ``done`` is set."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.sent = False


class Client:
    """Sends records to one agent. All methods may be called from any thread, and none of them raises."""

    def __init__(self, url: str | None = None) -> None:
        """``url``: the agent's local endpoint; STONECHAT_URL, else ``http://127.0.0.1:8401``, where None."""
        self._url = url
        self._warned: set[str] = set()
        self._forked()
        _clients.add(self)

    def _forked(self) -> None:
        """Begin anew. In a child of fork(2) the thread is gone, locks may be held, and the parent sends what waits."""
        # Reentrant, because a signal handler that runs in the middle of `record` may record something itself.
        self._lock = threading.RLock()
        self._queue: queue.SimpleQueue[_Waiting | _Flush] = queue.SimpleQueue()
        self._hurry = threading.Event()
        self._running = False
        self._waiting = self._waiting_bytes = 0
        self._recorded = self._accepted = self._rejected = self._dropped = 0

    def record(self, **told: Any) -> None:
        """Tell the agent of an exchange: see ``stonechat.record``."""
        if sys.is_finalizing():  # the thread may have ended with the lock in its hands
            return
        try:
            line = _line(told)
        except Exception:  # what an application hands over may fail in any way
            line = None
        with self._lock:
            self._recorded += 1
            full = self._waiting >= MAX_WAITING or self._waiting_bytes >= MAX_WAITING_BYTES
            if line is None or full or not self._run():
                self._dropped += 1
                return
            self._waiting += 1
            self._waiting_bytes += len(line)
            self._queue.put(_Waiting(line, time.monotonic()))

    def flush(self, timeout: float = 2.0) -> bool:
        """Wait until what was recorded before is with the agent; False where it is not within ``timeout`` seconds."""
        if sys.is_finalizing():
            return False
        mark = _Flush()
        with self._lock:
            if not self._running and self._queue.empty():
                return True
            if not self._run():
                return False
            self._queue.put(mark)
            self._hurry.set()
        try:
            return mark.done.wait(timeout) and mark.sent
        except (TypeError, ValueError, OverflowError):  # that was no time
            return False

    def counts(self) -> Counts:
        """What became of the records."""
        return Counts(self._recorded, self._accepted, self._rejected, self._dropped)

    def _run(self) -> bool:
        """Have the thread running. Called under the lock."""
        if not self._running:
            self._running = True  # before it does: a signal handler may come in between
            try:
                threading.Thread(target=self._send_all, name="stonechat-client", daemon=True).start()
            except RuntimeError:  # no more threads, or the interpreter is ending
                self._running = False
        return self._running

    # The thread's own from here on

    def _send_all(self) -> None:
        batch: list[_Waiting] = []
        failures = 0
        while True:
            self._hurry.clear()  # whoever sets it from here on cuts the wait below short
            marks = self._gather(batch)
            if not batch and not marks:
                with self._lock:
                    if self._queue.empty():
                        self._waiting = self._waiting_bytes = 0
                        self._running = False
                        return
                continue
            oldest = time.monotonic() - MAX_AGE_SECONDS
            young = [waiting for waiting in batch if waiting.at >= oldest]
            self._settle(batch, dropped=len(batch) - len(young), keep=young)
            batch = young
            sent = not batch or self._send(batch)
            if sent:
                batch, failures = [], 0
            for mark in marks:
                mark.sent = sent
                mark.done.set()
            if not sent:
                self._hurry.wait(_RETRY_SECONDS[min(failures, len(_RETRY_SECONDS) - 1)])
                failures += 1

    def _gather(self, batch: list[_Waiting]) -> list[_Flush]:
        """Add what waits to the batch, and wait for something where there is nothing; the marks met on the way."""
        marks: list[_Flush] = []
        size = sum(len(waiting.line) for waiting in batch)
        wait = not batch
        while size < _BATCH_BYTES and len(batch) < _BATCH_RECORDS:
            try:
                item = self._queue.get(timeout=_IDLE_SECONDS) if wait else self._queue.get_nowait()
            except queue.Empty:
                break
            wait = False
            if isinstance(item, _Flush):
                marks.append(item)
                if batch:
                    break  # what comes behind it is not waited for
            else:
                batch.append(item)
                size += len(item.line)
        return marks

    def _settle(self, batch: list[_Waiting], *, dropped: int, keep: list[_Waiting]) -> None:
        """Account for what leaves the batch."""
        with self._lock:
            self._dropped += dropped
            self._waiting -= len(batch) - len(keep)
            self._waiting_bytes -= sum(len(w.line) for w in batch) - sum(len(w.line) for w in keep)

    def _send(self, batch: list[_Waiting]) -> bool:
        """Send a batch; False where it may be sent again, because the agent cannot have taken it."""
        accepted = rejected = 0
        try:
            status, answer = _post(self._url, b"".join(waiting.line for waiting in batch))
        except _NotSent:
            return False
        except _NoAddress:
            self._warn("STONECHAT_URL must be http://host:port")
        except Exception:  # sent and not answered: once more might count it twice
            pass
        else:
            if status == 503:
                return False
            accepted, rejected = self._read(status, answer, len(batch))
        with self._lock:
            self._accepted += accepted
            self._rejected += rejected
        self._settle(batch, dropped=len(batch) - accepted - rejected, keep=[])
        return True

    def _read(self, status: int, answer: bytes, most: int) -> tuple[int, int]:
        """(Accepted, rejected) as the agent says; nothing where that is no answer of an agent."""
        try:
            told = json.loads(answer)
            accepted, rejected = told["accepted"], len(told["rejected"]) + told.get("more_rejected", 0)
            reasons = {str(line["reason"])[:200] for line in told["rejected"]}
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            if status >= 400:
                self._warn(f"the agent answered {status}")
            return 0, 0
        for reason in sorted(reasons):
            self._warn(reason)
        fits = type(accepted) is int and type(rejected) is int and 0 <= accepted <= most - rejected <= most
        return (accepted, rejected) if fits else (0, 0)

    def _warn(self, reason: str) -> None:
        """Log a reason, once. It names keys and never holds a text."""
        if reason in self._warned or len(self._warned) >= _MAX_WARNINGS:
            return
        self._warned.add(reason)
        import logging

        with contextlib.suppress(Exception):  # an application's own handlers may fail in any way
            logging.getLogger("stonechat").warning("exchange not recorded: %s", reason)


class _NotSent(Exception):
    """The agent cannot have taken it."""


class _NoAddress(Exception):
    """The agent's address is none."""


def _post(url: str | None, body: bytes) -> tuple[int, bytes]:
    """Send lines to the agent: its answer's status and body.

    Written out, because ``http.client`` takes 25 ms to load and has no bound on the time of a whole answer.
    """
    deadline = time.monotonic() + _TIMEOUT_SECONDS
    host, port = _address(url or os.environ.get("STONECHAT_URL") or DEFAULT_URL)
    try:
        connection = socket.create_connection((host, port), timeout=_TIMEOUT_SECONDS)
    except OSError as error:
        raise _NotSent from error
    shown = f"[{host}]" if ":" in host else host
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: {shown}:{port}\r\nContent-Type: application/x-ndjson\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    with connection:
        try:
            connection.sendall(head.encode("ascii") + body)
        except OSError as error:  # a body that has not come whole is not taken
            raise _NotSent from error
        received = b""
        while len(received) < _MAX_ANSWER:
            connection.settimeout(max(0.001, deadline - time.monotonic()))
            piece = connection.recv(16 << 10)
            if not piece:
                break
            received += piece
            if time.monotonic() > deadline:
                raise TimeoutError
    answer_head, _, answer = received.partition(b"\r\n\r\n")
    version, _, rest = answer_head.partition(b" ")
    if not version.startswith(b"HTTP/1."):
        raise ValueError
    return int(rest[:3]), answer


def _address(url: str) -> tuple[str, int]:
    """Host and port of ``http://host:port``. Raises _NoAddress."""
    match = re.fullmatch(r"http://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})/?", url)
    if match is None or not 0 < int(match[2]) < 65536:
        raise _NoAddress
    return match[1].strip("[]"), int(match[2])


def _line(told: dict[str, Any]) -> bytes | None:
    """The record as a line of JSON; None where it is too large."""
    record = {key: value for key, value in told.items() if value is not None}
    for key in _TEXTS:
        text = record.get(key)
        if isinstance(text, str) and len(text) > MAX_TEXT:
            record[key] = text[:MAX_TEXT]
            record["cut"] = True
    if "messages" in record:
        record["messages"], cut = _slim(record["messages"])
        if cut:
            record["cut"] = True
    if "start" not in record:
        # The agent may be away for a moment: the record says itself when it was.
        duration = record.get("duration")
        before = duration if isinstance(duration, (int, float)) and 0 <= duration < 1e7 else 0
        record["start"] = round((time.time() - before) * 1000)
    # As it is, not by escapes: those take twice the bytes of a Chinese text.
    text = json.dumps(record, separators=(",", ":"), default=_plain, skipkeys=True, ensure_ascii=False)
    line = text.encode("utf-8", "surrogatepass") + b"\n"
    return line if len(line) <= MAX_RECORD else None


def _slim(messages: Any) -> tuple[Any, bool]:
    """Messages of which no more is sent than the agent keeps, and whether some text is missing: the latest, whose texts
    are bounded together, and of parts that are no text only the kind, because an image within would be longer than all
    the rest."""
    if not isinstance(messages, (list, tuple)):
        return messages, False
    slim: list[Any] = []
    room = MAX_TEXT
    cut = False

    def fitting(text: str) -> str:
        nonlocal room, cut
        cut = cut or len(text) > room
        kept = text[:room]
        room -= len(kept)
        return kept

    for message in reversed(messages[-_MESSAGES:]):
        if room <= 0:
            break
        content = message.get("content") if isinstance(message, dict) else None
        if isinstance(content, list):
            content = [_part(part, fitting) for part in content]
        elif isinstance(content, str):
            content = fitting(content)
        slim.append({**message, "content": content} if isinstance(message, dict) else message)
    return slim[::-1], cut or len(slim) < len(messages)


def _part(part: Any, fitting: Callable[[str], str]) -> Any:
    if not isinstance(part, dict):
        return part
    text = part.get("text")
    return {"type": part.get("type"), **({"text": fitting(text)} if isinstance(text, str) else {})}


def _plain(value: Any) -> Any:
    """What JSON has for a value that it does not know: a number, a date or a list where it is one, else its type."""
    import datetime

    if isinstance(value, datetime.datetime):
        return (value if value.tzinfo is not None else value.astimezone()).isoformat()
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).decode("utf-8", "replace")
    if isinstance(value, (set, frozenset)):
        return list(value)
    if hasattr(value, "__index__"):
        return int(value)
    if hasattr(value, "__float__"):
        return float(value)
    return f"<{type(value).__name__}>"


class Recording:
    """An exchange under way: see ``stonechat.recording``. What is set on it is told, under the keys of ``record``."""

    model: str | None
    response: str | None
    reasoning: str | None
    tool_calls: Any
    input_tokens: int | None
    output_tokens: int | None
    cached_tokens: int | None
    reasoning_tokens: int | None
    finish_reason: str | None
    status: int | None
    conversation: str | None
    user: str | None

    def __init__(self, client: Client, told: dict[str, Any]) -> None:
        self._told = dict(told)
        self._client = client
        self._began = time.perf_counter()
        self._first: float | None = None
        self._pieces: list[str] = []
        self._chunks = 0
        self._room = MAX_TEXT + 1  # one more, so that a text that is cut is known to be

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_"):
            object.__setattr__(self, name, value)
        else:
            self._told[name] = value

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return self._told.get(name)

    def token(self, text: str | None = None) -> None:
        """Note that a piece of the answer came; the first one is the time to first token.

        Where pieces are given and ``response`` is not set, they are the response.
        """
        if self._first is None:
            self._first = time.perf_counter()
        self._chunks += 1
        if isinstance(text, str) and self._room > 0:
            self._pieces.append(text[: self._room])
            self._room -= len(text)

    def __enter__(self) -> Recording:
        self._began = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(Exception):  # the application's own error is the one that it must see
            self._client.record(**self._all(error))

    async def __aenter__(self) -> Recording:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)

    def _all(self, error: BaseException | None) -> dict[str, Any]:
        """What was set, and what was measured where nothing was set."""
        now = time.perf_counter()
        told: dict[str, Any] = {"duration": now - self._began}
        if self._first is not None:
            told |= {
                "time_to_first_token": self._first - self._began,
                "streamed": True,
                "chunks": self._chunks,
            }
            if self._pieces:
                told["response"] = "".join(self._pieces)
        told |= {key: value for key, value in self._told.items() if value is not None}
        if error is not None and "error" not in told and "outcome" not in told:
            if _is_abort(error):
                told["outcome"] = "aborted"
            else:
                told["error"] = _text_of(error)
                if (known := _error_type(error)) is not None:
                    told.setdefault("error_type", known)
        return told


def _is_abort(error: BaseException) -> bool:
    """Whether the application gave up by itself: cancelled, interrupted, its generator closed."""
    if isinstance(error, (KeyboardInterrupt, SystemExit, GeneratorExit)):
        return True
    return type(error).__name__ in ("CancelledError", "Cancelled")  # of asyncio and anyio; of trio


def _error_type(error: BaseException) -> str | None:
    """The agent's word for an error where its kind tells: libraries of HTTP name theirs alike."""
    name = type(error).__name__
    if isinstance(error, TimeoutError) or "Timeout" in name or name == "timeout":
        return "timeout"
    if isinstance(error, ConnectionRefusedError):
        return "engine_refused"
    if isinstance(error, (ConnectionResetError, BrokenPipeError)):
        return "engine_reset"
    return None


def _text_of(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"[:MAX_TEXT]
    except Exception:
        return type(error).__name__


_clients: weakref.WeakSet[Client] = weakref.WeakSet()


def _each(work: Callable[[Client], object]) -> None:
    for client in list(_clients):
        work(client)


def _at_exit() -> None:
    ends = time.monotonic() + _EXIT_SECONDS
    _each(lambda client: client.flush(max(0.0, ends - time.monotonic())))


_default = Client()
atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: _each(Client._forked))


def record(
    *,
    model: str | None = None,
    prompt: str | None = None,
    messages: Any = None,
    response: str | None = None,
    error: str | None = None,
    duration: float | None = None,
    time_to_first_token: float | None = None,
    input_tokens: int | None = None,
    output_tokens: int | None = None,
    finish_reason: str | None = None,
    conversation: str | None = None,
    user: str | None = None,
    **more: Any,
) -> None:
    """Tell the agent of an exchange with a model. Never raises, never waits; what is not given is unknown.

    Args:
        model: the model that answered.
        prompt: what was asked, as text; or ``messages``, a list of ``{"role": ..., "content": ...}``.
        response: the answer's text.
        error: what went wrong, where something did.
        duration: seconds from asking to the answer's end.
        time_to_first_token: seconds from asking to the first piece of the answer.
        input_tokens, output_tokens: as the engine counted them.
        finish_reason: how the answer ended, such as ``stop`` or ``length``.
        conversation, user: any names; the agent keeps pseudonyms of them.
        more: the other keys of docs/record.md. The agent refuses a record with a key that it does not know, and the
            log ``stonechat`` says so once.
    """
    _default.record(
        model=model,
        prompt=prompt,
        messages=messages,
        response=response,
        error=error,
        duration=duration,
        time_to_first_token=time_to_first_token,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        finish_reason=finish_reason,
        conversation=conversation,
        user=user,
        **more,
    )


def recording(**told: Any) -> Recording:
    """Measure an exchange and tell the agent of it at the end: ``with stonechat.recording(model=...) as call: ...``.

    Set what is known on ``call`` (``call.response = ...``), and call ``call.token()`` at each piece of a streamed
    answer. An error of the application is told of, and passes on untouched. Works in ``async with`` too.
    """
    return Recording(_default, told)


def flush(timeout: float = 2.0) -> bool:
    """Wait until what was recorded before is with the agent; False where it is not within ``timeout`` seconds.

    At the interpreter's exit this is done by itself, for half a second at most.
    """
    return _default.flush(timeout)


def counts() -> Counts:
    """What became of the records of this process."""
    return _default.counts()
