"""``stonechat log``: what happened on this device, out of the journal's events."""

from __future__ import annotations

import argparse
import json
import sys
import time

from stonechat.event import Severity
from stonechat.sentences import sentence
from stonechat_agent.commands import figures
from stonechat_agent.commands.selection import now_ms, span_ms
from stonechat_agent.commands.terminal import Terminal, harmless
from stonechat_agent.journal import JournalEvent, JournalUnreadable, Reader
from stonechat_agent.settings import load

POLL_SECONDS = 0.5
PAGE = 500

_STYLES: dict[int, str] = {Severity.WARNING: "yellow", Severity.CRITICAL: "red"}


def main(arguments: argparse.Namespace) -> int:
    """Print events, the latest one last."""
    conditions, parameters = ["severity >= ?"], [int(Severity[arguments.severity.upper()])]
    if arguments.last is not None:
        conditions.append("wall >= ?")
        parameters.append(now_ms() - span_ms(arguments.last, "--last"))
    condition = " AND ".join(conditions)
    limit = arguments.limit or -1
    terminal = Terminal()
    with Reader(load(arguments.config, as_service=False).journal.path) as reader:
        last = reader.last_seq("events")
        events = reader.events(condition, parameters, limit=limit + 1 if limit > 0 else -1)[::-1]
        if limit > 0 and len(events) > limit:
            events = events[1:]
            print(f"only the latest {limit} shown: --limit 0 shows all", file=sys.stderr)
        if not events and not arguments.follow:
            print("no events that match", file=sys.stderr)
        told = ""
        while True:
            for event in events:
                terminal.write(_line(event, terminal, as_json=arguments.json) + "\n")
            if not arguments.follow:
                return 0
            last = max([last, *(event.seq for event in events)])
            time.sleep(POLL_SECONDS)
            try:
                if reader.last_seq("events") < last:  # a new journal
                    last = 0
                events = reader.events(
                    f"seq > ? AND {condition}", (last, *parameters), order="seq", limit=PAGE
                )
                told = ""
            except JournalUnreadable as error:
                # The agent may be making a new one at this moment; what is wrong for longer is said once.
                events = []
                if str(error) != told:
                    told = str(error)
                    print(f"stonechat: {error}", file=sys.stderr)


def _line(event: JournalEvent, terminal: Terminal, *, as_json: bool) -> str:
    severity = _severity(event.severity)
    if as_json:
        return json.dumps(
            {
                "start": event.wall,
                "severity": severity,
                "kind": event.kind,
                "key": event.key,
                "count": event.times,
                "attributes": event.attributes,
            },
            separators=(",", ":"),
        )
    moment = figures.moment(event.wall, today=None)
    style = _STYLES.get(event.severity)
    said = harmless(sentence(event.kind, event.key, event.attributes, event.times))
    return f"{moment}  {terminal.styled(f'{severity:8}', *([style] if style else []))}  {said}"


def _severity(number: int) -> str:
    try:
        return Severity(number).name.lower()
    except ValueError:
        return str(number)
