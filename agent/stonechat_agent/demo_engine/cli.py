"""The command: arguments, start, signals, end."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path

from stonechat import __version__
from stonechat_agent.demo_engine.app import App
from stonechat_agent.demo_engine.dialect import Serving
from stonechat_agent.demo_engine.http import HttpServer
from stonechat_agent.demo_engine.model import LanguageModel
from stonechat_agent.demo_engine.scheduler import Scheduler
from stonechat_models import ModelError, model_path


def main(argv: list[str]) -> int:
    """Serve until SIGTERM or SIGINT. Return 0 after a clean end, 1 when it cannot listen or load, 2 for wrong usage."""
    parser = _parser()
    try:
        arguments = parser.parse_args(argv)
        host, port = _address(arguments.listen)
    except argparse.ArgumentTypeError as error:
        print(f"demo-engine: {error}", file=sys.stderr)
        return 2
    except SystemExit as error:
        return int(error.code or 0)
    try:
        return asyncio.run(_serve(arguments, host, port))
    except KeyboardInterrupt:
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="stonechat demo-engine",
        description="Serve a small language model on this machine, as llama-server and Ollama would.",
    )
    parser.add_argument(
        "--listen",
        default="127.0.0.1:8080",
        metavar="HOST:PORT",
        help="port 0 takes a free one (%(default)s)",
    )
    parser.add_argument(
        "--model", type=Path, metavar="FOLDER", help="a model folder (default: the shipped one)"
    )
    parser.add_argument(
        "--alias", metavar="NAME", help="the model's name in answers (default: as its card says)"
    )
    parser.add_argument("--slots", type=_positive, default=2, help="answers at a time (%(default)s)")
    parser.add_argument(
        "--queue", type=_count, default=16, help="requests that may wait for a slot (%(default)s)"
    )
    parser.add_argument("--threads", type=_positive, default=1, help="threads of one answer (%(default)s)")
    parser.add_argument(
        "--ctx", type=_positive, metavar="TOKENS", help="context of a slot (default: the model's)"
    )
    return parser


def _count(value: str) -> int:
    if not value.isdecimal():
        raise argparse.ArgumentTypeError(f"{value!r} is not a number of 0 or more")
    return int(value)


def _positive(value: str) -> int:
    number = _count(value)
    if number == 0:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _address(value: str) -> tuple[str, int]:
    host, colon, port = value.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"--listen {value!r}: expected HOST:PORT, such as 127.0.0.1:8080")
    return host.removeprefix("[").removesuffix("]"), int(port)


async def _serve(arguments: argparse.Namespace, host: str, port: int) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    app = App(__version__)
    server = HttpServer(app.handle, app.reject)
    # The port first, the model second: whoever connects in between is told that it is loading.
    try:
        host, port = await server.listen(host, port)
    except OSError as error:
        print(
            f"demo-engine: cannot listen on {arguments.listen}: {error.strerror}; stop what uses the port, or choose "
            "another with --listen HOST:PORT",
            file=sys.stderr,
        )
        return 1
    print(f"demo-engine: listening on http://{host}:{port}, loading the model", flush=True)
    scheduler: Scheduler | None = None
    loading = loop.create_task(asyncio.to_thread(_load, arguments), name="demo-engine.load")
    stopping = loop.create_task(stop.wait(), name="demo-engine.stop")
    try:
        await asyncio.wait({loading, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if stop.is_set():
            return 0
        try:
            serving = loading.result()
        except (ModelError, ValueError) as error:
            print(f"demo-engine: {error}", file=sys.stderr)
            return 1
        scheduler = Scheduler(
            serving.model, slots=serving.slots, queue=arguments.queue, context=serving.context
        )
        app.ready(serving, scheduler)
        print(
            f"demo-engine: ready: model {serving.alias}, {serving.model.parameters / 1e6:.1f} M parameters, "
            f"context {serving.context}, {serving.slots} slots",
            flush=True,
        )
        await stop.wait()
        return 0
    finally:
        stopping.cancel()
        await server.close()
        if scheduler is not None:
            await scheduler.close()


def _load(arguments: argparse.Namespace) -> Serving:
    model = LanguageModel(arguments.model or model_path("demo_lm"), arguments.threads)
    context = arguments.ctx or model.context
    if context > model.context:
        raise ValueError(f"--ctx {context}: the model was trained for at most {model.context} tokens")
    alias = arguments.alias or str(model.card["name"])
    build = f"stonechat-{__version__}"
    return Serving(model=model, alias=alias, context=context, slots=arguments.slots, build=build)
