"""``stonechat models``: which models judge answers here, whether their files are whole, and how to add one."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from stonechat.errors import ConfigError, StonechatError
from stonechat_agent import settings
from stonechat_agent.commands.arguments import WrongUsage
from stonechat_agent.commands.figures import size
from stonechat_agent.commands.table import Column, render
from stonechat_agent.commands.terminal import Terminal, harmless
from stonechat_agent.scoring.folders import folders
from stonechat_agent.scoring.judging import card as cards
from stonechat_models import ModelError, model_path, read_card, shipped, verify

FAILED = 1

_COLUMNS = (
    Column("NAME"),
    Column("VERSION"),
    Column("KIND"),
    Column("TIER", right=True),
    Column("LANGUAGES", rank=1),
    Column("SIZE", right=True),
    Column("WHERE", rank=2, cut_to=20),
)


class _Place(NamedTuple):
    """A folder that should hold a model."""

    folder: Path
    is_shipped: bool


def main(arguments: argparse.Namespace) -> int:
    """Do what the action says. Returns 1 where a model has a fault.

    Raises:
        StonechatError: a model cannot be added, or none has the name that was given.
    """
    loaded = settings.load(arguments.config, as_service=False)
    places = [_Place(model_path(name), True) for name in shipped()]
    places += [_Place(Path(folder), False) for folder in folders(loaded)]
    if arguments.action == "add":
        if len(arguments.which) != 1:
            raise WrongUsage("models add takes one folder\n  hint: stonechat models add ./my-classifier")
        from stonechat_agent.commands.models.adding import add

        return add(Path(arguments.which[0]), loaded, replace=arguments.replace)
    if arguments.action == "list":
        if arguments.which:
            raise WrongUsage(
                "models list takes no names\n  hint: stonechat models verify NAME says all of one"
            )
        return _list(places, as_json=arguments.json)
    return _verify(_chosen(places, arguments.which))


def _list(places: Sequence[_Place], *, as_json: bool) -> int:
    terminal = Terminal()
    rows = []
    code = 0
    for place in places:
        try:
            found = _described(place)
        except (ModelError, ConfigError) as error:
            code = FAILED
            _complain(place.folder, error)
            continue
        if as_json:
            terminal.write(json.dumps(found) + "\n")
        rows.append(found)
    if not as_json:
        terminal.write(render(_COLUMNS, [_row(found) for found in rows], terminal))
    return code


def _described(place: _Place) -> dict[str, Any]:
    """What `list --json` prints of a model."""
    raw = read_card(place.folder)
    if raw.get("kind") in cards.TIERS or not place.is_shipped:
        card = cards.load(place.folder)
        tier: int | None = card.tier
        languages: Sequence[str] = card.languages
        files: Sequence[str] = tuple(card.files)
    else:
        tier, languages, files = None, raw.get("languages", ()), tuple(raw.get("files", {}))
    paths = [place.folder / name for name in files]
    return {
        "name": raw["name"],
        "version": raw["version"],
        "kind": raw["kind"],
        "tier": tier,
        "languages": list(languages),
        "licence": raw.get("licence", ""),
        "size_bytes": sum(path.stat().st_size for path in paths if path.is_file()),
        "shipped": place.is_shipped,
        "folder": str(place.folder),
    }


def _row(found: dict[str, Any]) -> list[str]:
    return [
        found["name"],
        found["version"],
        found["kind"],
        "-" if found["tier"] is None else str(found["tier"]),
        ",".join(found["languages"]) or "all",
        size(found["size_bytes"]),
        "shipped" if found["shipped"] else found["folder"],
    ]


def _chosen(places: Sequence[_Place], names: Sequence[str]) -> Iterator[_Place]:
    """Yield the models that are meant by names, or by folders, which need not be added; all of them without any."""
    if not names:
        yield from places
    for name in names:
        found = [place for place in places if name in (place.folder.name, _name(place.folder))]
        if not found and Path(name).is_dir():
            found = [_Place(Path(name), False)]
        if not found:
            known = ", ".join(sorted({_name(place.folder) for place in places}))
            raise StonechatError(f"no model '{harmless(name)}'\n  hint: there are {known}; or give a folder")
        yield from found


def _name(folder: Path) -> str:
    try:
        return str(read_card(folder).get("name", folder.name))
    except ModelError:
        return folder.name


def _verify(places: Iterator[_Place]) -> int:
    code = 0
    for place in list(places):
        try:
            raw = read_card(place.folder)
            judges = raw.get("kind") in cards.TIERS or not place.is_shipped
            card = cards.load(place.folder) if judges else None
            verify(place.folder)
            if card is not None:
                from stonechat_agent.scoring.judging.judges import opened

                opened(card, threads=1)
        # Whatever a file of strangers makes of the libraries that read it.
        except Exception as error:
            code = FAILED
            _complain(place.folder, error)
            continue
        print(f"{harmless(str(raw['name']))} {harmless(str(raw['version']))}: ok")
    return code


def _complain(folder: Path, error: Exception) -> None:
    lines = (harmless(line) for line in str(error).splitlines() if not line.startswith("  hint:"))
    reason = "; ".join(line.removeprefix(f"{folder}/") for line in lines) or type(error).__name__
    print(f"{harmless(str(folder))}: refused: {reason}", file=sys.stderr)
