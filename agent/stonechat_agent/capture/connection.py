"""One client's connection through the relay: bytes of both directions and their instants in, finished exchanges out.

Pure: it knows no socket and no clock. Nothing it is fed makes it raise: a parser that fails is dropped for this
connection and counted, and from then on it only ignores what it is given.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

from stonechat.exchange import Exchange, Operation, Outcome
from stonechat.transcript import Transcript

from . import asked, errors
from .body import Body
from .bounds import Bounds, Budget, Counts
from .dialects import Dialect, Route, route
from .http import DropError, Head, Requests, Responses
from .phases import Engine, complete
from .reading import ANY_TEXT, CONTENT, Reading, count, load_answer, load_object, name
from .said import Said
from .texts import Room, storable

_NONE: tuple[Exchange, ...] = ()
_DONE = b"[DONE]"


class _Pending:
    """A request whose answer is not complete. ``exchange`` is None for one that asks nothing of a model."""

    __slots__ = (
        "dialect",
        "engine",
        "exchange",
        "headers",
        "method",
        "prompt_room",
        "reading",
        "request_body",
        "response_body",
        "route",
        "transcript",
    )

    def __init__(self, method: str, found: Route | None, exchange: Exchange | None) -> None:
        self.method = method
        self.route = found
        self.dialect: Dialect | None = found.dialect if found is not None else None
        self.exchange = exchange
        self.reading = Reading()
        self.engine = Engine()
        self.transcript: Transcript | None = None
        self.prompt_room: Room | None = None
        self.headers: dict[bytes, bytes] = {}
        self.request_body: Body | None = None
        self.response_body: Body | None = None


class Connection:
    """The capture of one connection. Instants are nanoseconds of one monotonic clock and never decrease.

    Each method that takes bytes or tells of an event returns the exchanges that it completes. The calls come in the
    order in which things happened; ``client_closed`` or ``engine_closed`` comes last.
    """

    def __init__(self, engine: str, *, bounds: Bounds, budget: Budget, counts: Counts) -> None:
        self._engine = engine
        self._bounds = bounds
        self._budget = budget
        self._counts = counts
        self._requests: Requests | None = Requests(self, bounds.head_bytes)
        self._responses: Responses | None = Responses(self, bounds.head_bytes)
        self._pending: deque[_Pending] = deque()
        self._arriving: _Pending | None = None  # the request whose body is under way
        self._finished: list[Exchange] = []
        self._now_ns = 0
        self._begun_ns = 0
        self._connected_ns: int | None = None
        self._response_begun_ns = 0
        self._client_eof = False
        self._interim = False  # the answer under way is a 1xx

    @property
    def reading(self) -> bool:
        """Whether bytes are still read: False once the parser was dropped or the protocol has changed."""
        return self._requests is not None

    @property
    def outstanding(self) -> int:
        """Requests whose answers are not complete."""
        return len(self._pending)

    @property
    def expects_error(self) -> tuple[str, str] | None:
        """Method of the first outstanding request, and the shape in which its client expects an error (see ``Route``);
        None while there is no such request."""
        if not self._pending:
            return None
        pending = self._pending[0]
        return pending.method, pending.route.error_shape if pending.route is not None else "openai"

    def client_bytes(self, data: bytes, now_ns: int) -> Sequence[Exchange]:
        """Take bytes that the client sent."""
        self._now_ns = now_ns
        if self._requests is not None:
            try:
                self._requests.feed(data)
            except DropError as error:
                self._drop(error.reason)
            except Exception:
                self._drop("internal")
        return self._take()

    def engine_bytes(self, data: bytes, now_ns: int) -> Sequence[Exchange]:
        """Take bytes that the engine sent."""
        self._now_ns = now_ns
        if self._responses is not None:
            try:
                self._responses.feed(data)
            except DropError as error:
                self._drop(error.reason)
            except Exception:
                self._drop("internal")
        return self._take()

    def engine_connected(self, now_ns: int) -> Sequence[Exchange]:
        """The connection to the engine stands."""
        self._connected_ns = now_ns
        for pending in self._pending:
            if pending.exchange is not None:
                pending.exchange.connected_ns = now_ns
        return _NONE

    def engine_refused(self, error_type: str, status: int, now_ns: int) -> Sequence[Exchange]:
        """The engine could not be reached, and the client is told so with this status of HTTP."""
        self._now_ns = now_ns
        while self._pending:
            pending = self._pending.popleft()
            if pending.exchange is not None:
                pending.exchange.status = status
            self._end(pending, Outcome.ERROR, error_type)
        return self._close()

    def client_eof(self, now_ns: int) -> Sequence[Exchange]:
        """The client sends no more. It may still read, so nothing ends by this; but a client that closes in the middle
        of an answer looks just so at first, and an engine that then closes too did not fail."""
        self._client_eof = True
        return _NONE

    def engine_eof(self, now_ns: int) -> Sequence[Exchange]:
        """The engine sends no more: this ends an answer whose length nothing else tells, and cuts off any other."""
        return self._engine_gone(now_ns)

    def engine_closed(self, now_ns: int) -> Sequence[Exchange]:
        """The connection to the engine is gone."""
        finished = self._engine_gone(now_ns)
        self._requests = self._responses = None
        return finished

    def client_closed(self, now_ns: int) -> Sequence[Exchange]:
        """The client is gone: whatever it still waited for is aborted."""
        self._now_ns = now_ns
        while self._pending:
            self._end(self._pending.popleft(), Outcome.ABORTED, None, closed=True)
        return self._close()

    def fall_behind(self, now_ns: int) -> Sequence[Exchange]:
        """Bytes were not given to this capture, for want of time: it reads no more."""
        self._now_ns = now_ns
        self._drop("behind")
        return self._take()

    # RequestListener

    def request_begun(self) -> None:
        self._begun_ns = self._now_ns

    def request_head(self, head: Head) -> None:
        if len(self._pending) >= self._bounds.outstanding:
            raise DropError("outstanding_over_bound")
        found = route(head.method, head.target.decode("latin-1"))
        exchange = None
        if found is not None:
            exchange = Exchange(
                engine=self._engine,
                operation=found.operation,
                dialect=found.dialect.name if found.dialect is not None else None,
                accepted_ns=self._begun_ns,
                connected_ns=self._connected_ns,
                request_bytes=head.size,
            )
            self._counts.in_flight += 1
        else:
            self._counts.other_requests += 1
        pending = _Pending(head.method, found, exchange)
        if exchange is not None:
            pending.headers = head.headers
            pending.request_body = Body(
                self._bounds, self._budget, coding=head.headers.get(b"content-encoding", b"")
            )
        self._arriving = pending
        self._pending.append(pending)

    def request_body(self, data: bytes, size: int) -> None:
        pending = self._arriving
        if pending is not None and pending.exchange is not None and pending.request_body is not None:
            pending.exchange.request_bytes += size
            pending.request_body.feed(data)

    def request_end(self) -> None:
        pending, self._arriving = self._arriving, None
        if pending is None or pending.exchange is None or pending.request_body is None:
            return
        exchange, body = pending.exchange, pending.request_body
        exchange.request_complete_ns = self._now_ns
        if body.note is not None:
            exchange.notes.add(f"request_{body.note}")
        whole = body.whole()
        request = load_object(whole) if whole else None
        body.close()
        pending.request_body = None
        if request is not None:
            exchange.request_model = name(request.get("model"))
            stream = request.get("stream")
            default = pending.dialect is not None and pending.dialect.streams_by_default
            exchange.streamed = stream if isinstance(stream, bool) else default
            # LM Studio's and Responses' word for it, and the only one under which a limit is read.
            pending.reading.output_limit = count(request.get("max_output_tokens"))
            if self._bounds.texts and pending.dialect is not None:
                self._begin_transcript(pending, pending.dialect, request)

    def _begin_transcript(self, pending: _Pending, dialect: Dialect, request: dict[str, Any]) -> None:
        room = pending.prompt_room = Room(self._bounds.prompt_chars, self._budget.texts)
        try:
            turns = dialect.read_request(request)
            pending.transcript = asked.begin(request, pending.headers, turns, room)
        except Exception:
            self._counts.drop("body")
            if pending.exchange is not None:
                pending.exchange.notes.add("parser_failed")
            return
        pending.reading.said = Said(self._bounds, self._budget.texts)

    # ResponseListener

    def answers_head_request(self) -> bool:
        return bool(self._pending) and self._pending[0].method == "HEAD"

    def awaits_head_request(self) -> bool:
        return any(pending.method == "HEAD" for pending in self._pending) if self._pending else False

    def response_begun(self) -> None:
        if not self._pending:
            raise DropError("unsolicited")
        self._response_begun_ns = self._now_ns

    def response_head(self, head: Head) -> None:
        pending = self._pending[0]
        if head.status == 101 or (pending.method == "CONNECT" and 200 <= head.status < 300):
            self._go_opaque(pending, head)
            return
        self._interim = head.status < 200
        if self._interim or pending.exchange is None:
            return
        exchange = pending.exchange
        exchange.status = head.status
        exchange.first_byte_ns = self._response_begun_ns
        exchange.response_bytes = head.size
        pending.engine.is_llamacpp = head.headers.get(b"server", b"").strip().lower() == b"llama.cpp"
        form = self._form(pending, head)
        if form is not None:
            pending.response_body = Body(
                self._bounds, self._budget, coding=head.headers.get(b"content-encoding", b""), form=form
            )

    def response_body(self, data: bytes, size: int) -> None:
        pending = self._pending[0]
        exchange = pending.exchange
        if exchange is None:
            return
        exchange.response_bytes += size
        exchange.last_byte_ns = self._now_ns
        if pending.response_body is not None and data:
            try:
                self._read_pieces(pending, pending.response_body.feed(data))
            except Exception:
                self._drop_body(pending)

    def response_end(self) -> None:
        if self._interim:
            self._interim = False
            return
        if self._pending:
            self._answered(self._pending.popleft())

    # What an answer means

    def _form(self, pending: _Pending, head: Head) -> str | None:
        """Return how the answer's body is read; None where it is not. Also says whether it is streamed."""
        exchange = pending.exchange
        if exchange is None:
            return None
        if head.status >= 400:
            return "whole"
        kind = head.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if kind == b"text/event-stream":
            form = "sse"
        elif kind in {b"application/x-ndjson", b"application/jsonl", b"application/x-jsonlines"}:
            form = "lines"
        elif pending.dialect is not None and pending.dialect.form == "vectors":
            form = "vectors"
        elif exchange.streamed and kind != b"application/json" and pending.dialect is not None:
            form = pending.dialect.form
        else:
            form = "whole"
        exchange.streamed = form in ("sse", "lines")
        return form if pending.dialect is not None else None

    def _read_pieces(self, pending: _Pending, pieces: list[bytes]) -> None:
        exchange, dialect, reading = pending.exchange, pending.dialect, pending.reading
        if exchange is None or dialect is None:
            return
        for piece in pieces:
            if piece.strip() == _DONE:
                reading.ended = True
                continue
            content = load_object(piece)
            if content is None:
                exchange.notes.add("piece_malformed")
                continue
            signs = dialect.read_piece(content, reading)
            if signs & ANY_TEXT:
                exchange.chunks += 1
                pending.engine.last_token_ns = self._now_ns
                if exchange.first_token_ns is None:
                    exchange.first_token_ns = self._now_ns
                if signs & CONTENT and exchange.first_content_ns is None:
                    exchange.first_content_ns = self._now_ns
            elif signs:
                pending.engine.says(signs, self._now_ns)

    def _answered(self, pending: _Pending) -> None:
        """The answer is complete as a message of HTTP."""
        exchange, body, reading = pending.exchange, pending.response_body, pending.reading
        if exchange is None:
            self._end(pending, Outcome.OK, None)
            return
        exchange.last_byte_ns = self._now_ns
        error = None
        try:
            error = self._read_end(pending)
        except Exception:
            self._drop_body(pending)
        if error is None and reading.error is not None:
            error = reading.error
        elif (
            error is None
            and body is not None
            and body.note is None
            and pending.response_body is not None
            and not reading.ended
            and reading.finish is None
        ):
            if self._client_eof:
                # llama-server ends the answer like this, or with nothing in it, once its client sends no more.
                self._end(pending, Outcome.ABORTED, None, closed=True)
                return
            error = "malformed_stream" if exchange.streamed else "malformed_body"
        self._end(pending, Outcome.OK if error is None else Outcome.ERROR, error)

    def _read_end(self, pending: _Pending) -> str | None:
        """Read what the end of the body completes; return the error type that its status stands for."""
        exchange, body = pending.exchange, pending.response_body
        status = exchange.status if exchange is not None else None
        whole = held = None
        if body is not None:
            self._read_pieces(pending, body.finish())
            held = body.whole()
            whole = load_answer(held) if held else None
        if status is not None and status >= 300:
            said: object = whole
            if whole is None and held:
                said = held[: errors.MESSAGE_LIMIT].decode("utf-8", "replace")
            pending.reading.context_limit = count(errors.context_limit(whole))
            pending.reading.error_message = errors.error_message(said)
            return errors.error_type(status, said)
        if whole is not None and pending.dialect is not None:
            pending.dialect.read_whole(whole, pending.reading)
        return None

    def _end(
        self, pending: _Pending, outcome: Outcome, error_type: str | None, *, closed: bool = False
    ) -> None:
        """Let go of a request whose answer is over, one way or another."""
        exchange = pending.exchange
        if pending is self._arriving:
            self._arriving = None
        for body in (pending.request_body, pending.response_body):
            if body is not None:
                body.close()
        transcript = self._end_transcript(pending)
        if exchange is None:
            return
        self._counts.in_flight -= 1
        self._counts.exchanges += 1
        exchange.outcome = outcome
        exchange.error_type = error_type
        if closed:
            exchange.closed_ns = self._now_ns
        if pending.response_body is not None and pending.response_body.note is not None:
            exchange.notes.add(pending.response_body.note)
        if pending.reading.load_only:
            exchange.notes.add("load_only")
            exchange.operation = Operation.OTHER
            transcript = None
        exchange.transcript = transcript
        complete(exchange, pending.reading, pending.engine)
        self._finished.append(exchange)

    def _end_transcript(self, pending: _Pending) -> Transcript | None:
        """Return all that was said, and let go of what it took to gather it."""
        transcript, said = pending.transcript, pending.reading.said
        if transcript is not None and said is not None:
            said.finish(transcript, pending.reading.calls)
            transcript.error = storable(pending.reading.error_message)
            body, exchange = pending.response_body, pending.exchange
            unread = exchange is not None and "parser_failed" in exchange.notes
            if unread or (body is not None and body.note is not None):
                transcript.cut = True
        if said is not None:
            said.close()
        if pending.prompt_room is not None:
            pending.prompt_room.close()
        pending.transcript = pending.reading.said = pending.prompt_room = None
        return transcript

    # Ends

    def _engine_gone(self, now_ns: int) -> Sequence[Exchange]:
        self._now_ns = now_ns
        if self._responses is not None:
            try:
                self._responses.finish()
            except Exception:
                self._drop("internal")
        while self._pending:
            if self._client_eof:
                self._end(self._pending.popleft(), Outcome.ABORTED, None, closed=True)
            else:
                self._end(self._pending.popleft(), Outcome.ERROR, "engine_reset")
        return self._take()

    def _go_opaque(self, pending: _Pending, head: Head) -> None:
        self._counts.opaque += 1
        self._pending.popleft()
        if pending.exchange is not None:
            pending.exchange.status = head.status
        self._end(pending, Outcome.OK, None)
        self._stop_reading()

    def _drop_body(self, pending: _Pending) -> None:
        self._counts.drop("body")
        if pending.exchange is not None:
            pending.exchange.notes.add("parser_failed")
        if pending.response_body is not None:
            pending.response_body.close()
            pending.response_body = None

    def _drop(self, reason: str) -> None:
        """Read no more of this connection. What was under way is given as far as it is known, or counted as lost."""
        if self._requests is not None:
            self._counts.drop(reason)
            self._stop_reading()

    def _stop_reading(self) -> None:
        self._requests = self._responses = None
        while self._pending:
            pending = self._pending.popleft()
            exchange = pending.exchange
            if exchange is not None and exchange.status is None:
                self._counts.lost += 1
                self._counts.in_flight -= 1
                for body in (pending.request_body, pending.response_body):
                    if body is not None:
                        body.close()
                self._end_transcript(pending)
                continue
            if exchange is not None:
                exchange.notes.add("parser_failed")
                exchange.last_byte_ns = None
            failed = exchange is not None and exchange.status is not None and exchange.status >= 300
            self._end(
                pending,
                Outcome.ERROR if failed else Outcome.OK,
                errors.error_type(exchange.status, None) if failed and exchange is not None else None,
            )

    def _close(self) -> Sequence[Exchange]:
        self._requests = self._responses = None
        return self._take()

    def _take(self) -> Sequence[Exchange]:
        if not self._finished:
            return _NONE
        finished, self._finished = self._finished, []
        return finished
