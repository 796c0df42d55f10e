"""Reads a configuration: a parsed TOML document in, frozen dataclasses or every fault at once out.

A table of the file is a frozen dataclass whose fields are made by `option`; the file as a whole is a frozen dataclass
whose fields are made by `table` and `tables`. A default is written as it would stand in the file, and is read the same
way, so that defaults, documentation and files cannot disagree::

    @dataclass(frozen=True)
    class Window:
        length_ns: int = option(kinds.duration("1s", "1h"), "60s", "how long a window is")

A field's key is its name without the unit (``length_ns`` is ``length`` in the file, ``max_size_bytes`` is
``max_size``). A table may have a method ``conflicts(given)`` that yields a `Conflict` for each pair of values that
cannot stand together; ``given`` holds the keys that the file sets. It is called only when each value by itself is
right.

Values that a file may hold by mistake, such as a password in a URL, are masked in faults, since faults reach logs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any, ClassVar, NamedTuple, Protocol, TypeVar, cast

from stonechat.errors import ConfigError, Fault
from stonechat.kinds import Kind, nearest, toml_key, toml_text

T = TypeVar("T")

_KIND = "kind"
_HELP = "help"
_DEFAULT = "default"
_TABLE = "table"
_UNIT_SUFFIXES = ("_ns", "_bytes")
_FOUND_LIMIT = 60


class Conflict(NamedTuple):
    """Two values of one table that cannot both stand; ``key`` is the one to change."""

    key: str
    expected: str
    hint: str = ""


def option(kind: Kind[T], default: object, help: str) -> T:
    """Make a field of a table. ``default`` as it would stand in the file; ``help`` for the reference, one line."""
    value = kind.read(default)
    metadata = {_KIND: kind, _HELP: help, _DEFAULT: default}
    if isinstance(value, dict):
        return field(default_factory=lambda: kind.read(default), metadata=metadata)
    return field(default=value, metadata=metadata)


def table(cls: type[T]) -> T:
    """Make a field for the table ``[name]``, which is read into ``cls``."""
    return field(default_factory=cls, metadata={_TABLE: cls})


def tables(cls: type[T], key: str, *, least: int = 1) -> tuple[T, ...]:
    """Make a field for one ``[key]`` or several ``[[key]]``, each read into ``cls``.

    Without any, there are ``least`` of defaults: 1, or 0 where nothing is meant by leaving it out.
    """
    return field(
        default_factory=lambda: tuple(cls() for _ in range(least)),
        metadata={_TABLE: cls, "key": key, "many": True},
    )


class Dataclass(Protocol):
    """Any dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


D = TypeVar("D", bound=Dataclass)


@dataclass(frozen=True)
class Option:
    """One key of a table, for the reference and for `differences`."""

    name: str
    key: str
    kind: Kind[Any]
    default: object
    help: str


@dataclass(frozen=True)
class Table:
    """One table of a file: its key, the dataclass it is read into, and whether ``[[key]]`` may stand too."""

    name: str
    key: str
    cls: type[Any]
    many: bool

    @property
    def options(self) -> list[Option]:
        """The keys of the table, in the order in which they are declared."""
        return options_of(self.cls)


def options_of(cls: type[Dataclass]) -> list[Option]:
    """Return the options of a table's dataclass; fields made otherwise are not the file's."""
    return [
        Option(f.name, _key_of(f.name), f.metadata[_KIND], f.metadata[_DEFAULT], f.metadata[_HELP])
        for f in fields(cls)
        if _KIND in f.metadata
    ]


def tables_of(cls: type[Dataclass]) -> list[Table]:
    """Return the tables of a file's dataclass; fields made otherwise are not the file's."""
    return [
        Table(f.name, f.metadata.get("key", f.name), f.metadata[_TABLE], f.metadata.get("many", False))
        for f in fields(cls)
        if _TABLE in f.metadata
    ]


def _key_of(name: str) -> str:
    for suffix in _UNIT_SUFFIXES:
        name = name.removesuffix(suffix)
    return name


def read_text(cls: type[D], content: bytes, source: str) -> tuple[D, list[Fault]]:
    """Read the content of a TOML file as `read` does; one that is not TOML gives defaults and one fault."""
    try:
        document = parse_toml(content, source)
    except ConfigError as error:
        return cls(), list(error.faults)
    return read(cls, document, source)


def unreadable(file: str, error: OSError, key: str = "") -> Fault:
    """Return the fault of a file that cannot be read: the configuration itself, or one that its ``key`` names."""
    reason = (error.strerror or str(error)).lower()
    if key:
        return Fault(file, key, toml_text(error.filename), f"cannot be read: {reason}")
    hint = "write it, or leave --config away for the defaults" if isinstance(error, FileNotFoundError) else ""
    return Fault(file, "", "", f"cannot be read: {reason}", hint)


def parse_toml(content: bytes, source: str) -> dict[str, Any]:
    """Parse TOML.

    Raises:
        ConfigError: not UTF-8, or not TOML; with line and column.
    """
    import sys

    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib

    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        fault = Fault(source, f"line {line}", "", "must be UTF-8 text", "save the file as UTF-8")
        raise ConfigError([fault]) from None
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ConfigError([Fault(source, "", "", "is not a configuration: nested too deeply")]) from None
    except ValueError as error:  # TOMLDecodeError, and what int() says of very many digits
        message = str(error)
        match = re.search(r" \(at (line \d+, column \d+|end of document)\)$", message)
        where, what = (match[1], message[: match.start()]) if match else ("", message)
        begins = _line(text, where)
        hint = f"the line begins: {begins}" if begins else ""
        fault = Fault(source, where, "", f"is not TOML: {what[0].lower()}{what[1:]}", hint)
        raise ConfigError([fault]) from None


def _line(text: str, where: str) -> str:
    """The key or table of the line that a TOML error names, without a value: that may be a secret."""
    match = re.match(r"line (\d+)", where)
    lines = text.splitlines()
    number = int(match[1]) if match else len(lines)
    line = lines[number - 1].strip() if 1 <= number <= len(lines) else ""
    # A line that is neither is part of a longer value.
    return line.split("=")[0].strip()[:_FOUND_LIMIT] if "=" in line or line.startswith("[") else ""


def read(cls: type[D], document: Mapping[str, Any], source: str) -> tuple[D, list[Fault]]:
    """Read a parsed document into the file's dataclass, and return it with every fault in the document.

    What the document does not hold, or holds wrongly, has its default. So the caller can go on to look for faults of
    other kinds, such as files that are not there, and report all of them together. With any fault, do not start.
    ``source`` names the file in faults.
    """
    faults: list[Fault] = []
    known = {entry.key: entry for entry in tables_of(cls)}
    values: dict[str, Any] = {}
    for key, value in document.items():
        entry = known.get(key)
        if entry is None:
            expected = "unknown table" if isinstance(value, dict | list) else "a key outside of every table"
            faults.append(Fault(source, toml_key(key), "", expected, _table_hint(key, value, known)))
        elif entry.many:
            values[entry.name] = _read_tables(entry, value, source, faults)
        else:
            values[entry.name] = _read_table(entry.cls, key, value, source, faults)
    made = cls(**values)
    if not faults:
        faults.extend(_conflicts(made, "", set(document), source))
    return made, faults


def _read_tables(entry: Table, value: object, source: str, faults: list[Fault]) -> tuple[Any, ...]:
    if isinstance(value, dict):
        return (_read_table(entry.cls, entry.key, value, source, faults),)
    if not isinstance(value, list) or not value:
        expected = f"must be a table [{entry.key}] or several [[{entry.key}]]"
        faults.append(Fault(source, entry.key, _shown(value), expected))
        return (entry.cls(),)
    return tuple(
        _read_table(entry.cls, f"{entry.key}[{index}]", item, source, faults)
        for index, item in enumerate(value)
    )


def _read_table(cls: type[Any], at: str, value: object, source: str, faults: list[Fault]) -> Any:
    if not isinstance(value, dict):
        faults.append(Fault(source, at, _shown(value), "must be a table"))
        return cls()
    known = {entry.key: entry for entry in options_of(cls)}
    values: dict[str, Any] = {}
    before = len(faults)
    for key, item in value.items():
        entry = known.get(key)
        if entry is None:
            # Not the value: it may be a password under a name that we do not have.
            faults.append(Fault(source, f"{at}.{toml_key(key)}", "", "unknown key", _key_hint(key, known)))
            continue
        try:
            values[entry.name] = entry.kind.read(item)
        except ValueError as error:
            hint = f"delete the line for the default, {toml_text(entry.default)}" if entry.default else ""
            faults.append(Fault(source, f"{at}.{key}", _shown(item), str(error), hint))
    made = cls(**values)
    if len(faults) == before:
        faults.extend(_conflicts(made, at, set(value), source))
    return made


def _conflicts(made: object, at: str, given: set[str], source: str) -> Iterator[Fault]:
    conflicts = getattr(made, "conflicts", None)
    if conflicts is None:
        return
    for conflict in conflicts(given):
        key = f"{at}.{conflict.key}" if at else conflict.key
        yield Fault(source, key, _current(made, conflict.key), conflict.expected, conflict.hint)


def _current(made: object, key: str) -> str:
    for entry in options_of(type(cast("Any", made))):
        if entry.key == key:
            return masked(entry.kind.write(getattr(made, entry.name)))
    return ""


def _table_hint(key: str, value: object, known: Mapping[str, Table]) -> str:
    if not isinstance(value, dict | list):
        homes = [entry.key for entry in known.values() if any(key == o.key for o in entry.options)]
        if homes:
            return "put it under " + " or ".join(f"[{home}]" for home in homes)
    meant = nearest(key, list(known))
    return f"did you mean [{meant}]?" if meant else "the tables are " + ", ".join(f"[{k}]" for k in known)


def _key_hint(key: str, known: Mapping[str, Option]) -> str:
    meant = nearest(key, list(known))
    return f"did you mean {meant}?" if meant else "the keys are " + ", ".join(known)


def differences(settings: Dataclass) -> Iterator[tuple[str, str]]:
    """Yield (key path, TOML text) of every value that is not its default."""
    for entry in tables_of(type(settings)):
        value = getattr(settings, entry.name)
        items = value if entry.many else (value,)
        for index, item in enumerate(items):
            at = f"{entry.key}[{index}]" if len(items) > 1 else entry.key
            default = entry.cls()
            for option_ in entry.options:
                current = getattr(item, option_.name)
                if current != getattr(default, option_.name):
                    yield f"{at}.{option_.key}", masked(option_.kind.write(current))


def masked(text: str) -> str:
    """Return text without what stands before the ``@`` of a URL."""
    return re.sub(r"(://)[^/@\s]*@", r"\1***@", text)


def _shown(value: object) -> str:
    text = masked(toml_text(value))
    return text if len(text) <= _FOUND_LIMIT else text[: _FOUND_LIMIT - 3] + "..."
