"""``stonechat requests``: the exchanges that the journal of this device has."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from stonechat_agent.commands import groups, listing, one
from stonechat_agent.commands.arguments import WrongUsage
from stonechat_agent.commands.fields import GROUPABLE, SORTABLE
from stonechat_agent.commands.plain import plain
from stonechat_agent.commands.selection import Selection, check_field, now_ms, order_of, selection_of
from stonechat_agent.commands.table import Layout, render
from stonechat_agent.commands.terminal import Terminal
from stonechat_agent.journal import WHY, Entry, JournalUnreadable, Reader
from stonechat_agent.journal.journal import SLOW_BATCH_SECONDS
from stonechat_agent.settings import load

POLL_SECONDS = 0.5
PAGE = 500


def main(arguments: argparse.Namespace) -> int:
    """Show one exchange, a list, or figures of groups."""
    _refuse_contradictions(arguments)
    selection = selection_of(arguments, now_ms())
    order = order_of(arguments.sort, SORTABLE)
    names = _group_fields(arguments.group_by)
    directory = load(arguments.config, as_service=False).journal.path
    terminal = Terminal()
    with Reader(directory) as reader:
        if arguments.id is not None:
            _show_one(reader, arguments, terminal)
        elif names:
            _show_groups(reader, selection, names, arguments, terminal)
        elif arguments.follow:
            _follow(reader, selection, arguments, terminal)
        else:
            _show_list(reader, selection, order, arguments, terminal)
    return 0


def _refuse_contradictions(arguments: argparse.Namespace) -> None:
    given = [
        ("--where", arguments.where),
        ("--search", arguments.search),
        ("--last", arguments.last),
        ("--group-by", arguments.group_by),
        ("--sort", arguments.sort),
        ("--follow", arguments.follow),
    ]
    options = [option for option, value in given if value not in (None, False)]
    if arguments.id is not None and options:
        raise WrongUsage(
            f"{options[0]}: selects from all exchanges, and ID names one\n  hint: give one of the two"
        )
    for option, others in (("--follow", ("--group-by", "--sort", "--search")), ("--group-by", ("--sort",))):
        for other in others:
            if option in options and other in options:
                raise WrongUsage(f"{other}: does not go with {option}\n  hint: leave one of the two out")
    if arguments.group_by is not None and arguments.texts:
        raise WrongUsage("--texts: groups have no texts\n  hint: leave it out, or --group-by")


def _group_fields(text: str | None) -> list[str]:
    if text is None:
        return []
    names = list(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        check_field("--group-by", name, GROUPABLE)
    return names


def _show_one(reader: Reader, arguments: argparse.Namespace, terminal: Terminal) -> None:
    entry = reader.get(arguments.id)
    if arguments.json:
        _print_json(entry, terminal, texts=arguments.texts)
        return
    lines = [*one.render(entry.row, terminal), "", terminal.styled("texts", "bold")]
    if entry.texts is not None:
        lines += one.render_texts(entry.texts.plain(), terminal)
    else:
        lines += [f"  {line}" for line in why_no_texts(entry.state)]
    terminal.write("\n".join(lines) + "\n")


def why_no_texts(state: str) -> list[str]:
    """Why there are no texts of an exchange, and what would keep those of later ones."""
    lines = [WHY.get(state, f"The journal has none ({state}).")]
    if state in ("none", "not_flagged", "not_sampled"):
        lines.append('To keep those of later exchanges: [privacy] journal = "all" in agent.toml.')
    return lines


def _show_list(
    reader: Reader, selection: Selection, order: str | None, arguments: argparse.Namespace, terminal: Terminal
) -> None:
    limit = arguments.limit or -1
    # One more than is shown tells whether there are more.
    entries = selection.take(reader, order=order, limit=limit + 1 if limit > 0 else -1, texts=arguments.texts)
    more = limit > 0 and len(entries) > limit
    entries = entries[:limit] if more else entries
    if order is None:
        entries = entries[::-1]  # the latest one last, next to the prompt
    if arguments.json:
        for entry in entries:
            _print_json(entry, terminal, texts=arguments.texts)
    elif entries:
        rows = [listing.cells(entry.row, datetime.now()) for entry in entries]
        layout = Layout(listing.COLUMNS, rows, terminal)
        terminal.write(layout.heading + "\n")
        _print_lines(entries, rows, layout, arguments, terminal)
    if not entries:
        _say_that_there_are_none(selection)
    elif more:
        print(f"only {limit} shown, and there are more: --limit 0 shows all", file=sys.stderr)


def _say_that_there_are_none(selection: Selection) -> None:
    if selection.sql or selection.search:
        print("no exchanges that match", file=sys.stderr)
        return
    print("no exchanges yet", file=sys.stderr)
    print(
        f"  hint: the agent writes them down within {SLOW_BATCH_SECONDS:.0f} s of their end", file=sys.stderr
    )


def _print_lines(
    entries: Iterable[Entry],
    rows: Iterable[Sequence[str]],
    layout: Layout,
    arguments: argparse.Namespace,
    terminal: Terminal,
) -> None:
    for entry, cells in zip(entries, rows, strict=True):
        lines = [layout.line(cells, listing.styles(entry.row))]
        if arguments.texts:
            if entry.texts is not None:
                lines += one.render_texts(entry.texts.plain(), terminal)
            else:
                lines.append("  " + why_no_texts(entry.state)[0])
        terminal.write("\n".join(lines) + "\n")


def _follow(reader: Reader, selection: Selection, arguments: argparse.Namespace, terminal: Terminal) -> None:
    limit = arguments.limit or -1
    last = reader.last_seq()
    entries = selection.take(reader, order=None, limit=limit, texts=arguments.texts)[::-1]
    entries = [entry for entry in entries if entry.seq <= last]
    layout: Layout | None = None
    width = None
    told = ""
    while True:
        rows = [listing.cells(entry.row, datetime.now()) for entry in entries]
        if arguments.json:
            for entry in entries:
                _print_json(entry, terminal, texts=arguments.texts)
        elif entries:
            if layout is None or terminal.width != width:
                width = terminal.width
                layout = Layout(listing.COLUMNS, rows, terminal)
                terminal.write(layout.heading + "\n")
            _print_lines(entries, rows, layout, arguments, terminal)
        if len(entries) < PAGE:
            time.sleep(POLL_SECONDS)
        try:
            if reader.last_seq() < last:  # a new journal: the old one was damaged, or taken away
                last = 0
            entries = selection.after(reader, last, PAGE, texts=arguments.texts)
            told = ""
        except JournalUnreadable as error:
            # The agent may be making a new one at this moment; what is wrong for longer is said once.
            entries = []
            if str(error) != told:
                told = str(error)
                print(f"stonechat: {error}", file=sys.stderr)
        if entries:
            last = entries[-1].seq


def _show_groups(
    reader: Reader,
    selection: Selection,
    names: Sequence[str],
    arguments: argparse.Namespace,
    terminal: Terminal,
) -> None:
    found = groups.fold(selection.rows(reader, [*names, *groups.NEEDED]), names)
    shown = found[: arguments.limit] if arguments.limit else found
    if arguments.json:
        for key, group in shown:
            _print_object(groups.as_json(key, group, names), terminal)
    elif shown:
        rows = [groups.cells(key, group, names) for key, group in shown]
        terminal.write(render(groups.columns(names), rows, terminal))
    if not found:
        _say_that_there_are_none(selection)
    elif len(shown) < len(found):
        print(f"only {len(shown)} of {len(found)} groups shown: --limit 0 shows all", file=sys.stderr)


def _print_json(entry: Entry, terminal: Terminal, *, texts: bool) -> None:
    _print_object({**plain(entry, texts=texts), "texts": entry.state}, terminal)


def _print_object(value: dict[str, Any], terminal: Terminal) -> None:
    # ASCII, so that it neither depends on the locale nor commands a terminal.
    terminal.write(json.dumps(value, separators=(",", ":")) + "\n")
