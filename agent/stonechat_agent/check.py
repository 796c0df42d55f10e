"""``stonechat check``: everything that is wrong with a configuration, or what it changes from the defaults."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from stonechat import config
from stonechat.errors import ConfigError, Fault

_KINDS = ("agent", "collector")
_MODULES = {"agent": "stonechat_agent.settings", "collector": "stonechat_collector.settings"}


def main(file: str | None, kind: str | None) -> int:
    """Check one file, or those at their default places that exist.

    Prints the faults to stderr and "FILE: ok" with what differs from the defaults to stdout. Returns the exit code: 2
    for any fault, else 0.
    """
    if file is not None:
        return _check(file, kind)
    kinds = _KINDS if kind is None else (kind,)
    files = {name: _settings_of(name).DEFAULT_FILE for name in kinds}
    present = [(name, path) for name, path in files.items() if Path(path).exists()]
    if not present:
        print(f"{' and '.join(files.values())}: not there; the defaults apply")
        return 0
    return max(_check(path, name) for name, path in present)


def _check(file: str, kind: str | None) -> int:
    try:
        module = _settings_of(kind or _kind_of(file))
        settings = module.load(file, as_service=False)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{file}: ok")
    for key, text in config.differences(settings):
        print(f"  {key} = {text}")
    return 0


def _settings_of(kind: str) -> Any:
    # By name: the agent's code does not depend on the collector's. Its settings need no package of the extra.
    return importlib.import_module(_MODULES[kind])


def _kind_of(file: str) -> str:
    """Tell whose file this is: by its name, else by the tables in it.

    Raises:
        ConfigError: it cannot be read, is not TOML, or has tables of both or of neither.
    """
    named = [kind for kind in _KINDS if kind in Path(file).name]
    if len(named) == 1:
        return named[0]
    try:
        content = Path(file).read_bytes()
    except OSError as error:
        raise ConfigError([config.unreadable(file, error)]) from None
    present = set(config.parse_toml(content, file))
    counts = {
        kind: len(present & {table.key for table in config.tables_of(_settings_of(kind).Settings)})
        for kind in _KINDS
    }
    best = max(counts, key=counts.__getitem__)
    if len(set(counts.values())) == 1:
        raise ConfigError(
            [Fault(file, "", "", "neither name nor tables tell whose file it is", "add --kind agent")]
        )
    return best
