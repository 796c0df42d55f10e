"""``stonechat export``: exchanges as a file."""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from stonechat.errors import StonechatError
from stonechat.exchange_row import FIELDS
from stonechat_agent.commands.arguments import WrongUsage
from stonechat_agent.commands.plain import plain
from stonechat_agent.commands.selection import now_ms, selection_of
from stonechat_agent.journal import Entry, Reader
from stonechat_agent.settings import load

_COLUMNS = tuple(field.name for field in FIELDS)


def main(arguments: argparse.Namespace) -> int:
    """Write the selected exchanges, oldest first."""
    if arguments.texts and arguments.format == "csv":
        raise WrongUsage("--texts: CSV has no place for texts\n  hint: use --format jsonl")
    if arguments.force and arguments.output is None:
        raise WrongUsage("--force: nothing is replaced without --output")
    selection = selection_of(arguments, now_ms())
    with Reader(load(arguments.config, as_service=False).journal.path) as reader:
        entries = selection.every(reader, texts=arguments.texts)
        if arguments.output is None:
            _to_standard_output(entries, arguments)
            return 0
        with _created(arguments.output, replace=arguments.force) as file:
            number = _write(entries, file, arguments)
    plural = "s" if number != 1 else ""
    print(f"{arguments.output}: {number} exchange{plural}", file=sys.stderr)
    return 0


def _to_standard_output(entries: Iterable[Entry], arguments: argparse.Namespace) -> None:
    try:
        _write(entries, sys.stdout, arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        # What waits in the stream would fail once more when Python ends, with a traceback.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise StonechatError(f"standard output: cannot be written: {error.strerror}") from None


def _write(entries: Iterable[Entry], file: TextIO, arguments: argparse.Namespace) -> int:
    number = 0
    if arguments.format == "csv":
        writer = csv.DictWriter(file, _COLUMNS, lineterminator="\n")
        writer.writeheader()
        for entry in entries:
            number += 1
            writer.writerow({name: _cell(value) for name, value in entry.row.items()})
        return number
    for entry in entries:
        number += 1
        file.write(json.dumps(plain(entry, texts=arguments.texts), separators=(",", ":")) + "\n")
    return number


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return " ".join(value)
    if isinstance(value, dict):
        return json.dumps(value, separators=(",", ":"))
    # A spreadsheet takes what begins so for a formula, and the names of models and tools come from strangers.
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@") else value


@contextmanager
def _created(path: str, *, replace: bool) -> Iterator[TextIO]:
    """A new file that only its owner reads, at its place once it is whole."""
    if not replace and os.path.lexists(path):
        raise StonechatError(f"{path}: is there already\n  hint: --force replaces it")
    new = f"{path}.{os.getpid()}.new"
    try:
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StonechatError(
            f"{path}: cannot be written: {error.strerror}\n  hint: see the directory"
        ) from None
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if replace:
            os.replace(new, path)
        else:
            os.link(new, path)  # unlike a rename, never in place of a file that came meanwhile
            os.unlink(new)
    except OSError as error:
        _remove(new)
        raise StonechatError(
            f"{path}: cannot be written: {error.strerror}\n  hint: see the directory"
        ) from None
    except BaseException:
        _remove(new)
        raise


def _remove(path: str) -> None:
    if os.path.lexists(path):
        os.unlink(path)
