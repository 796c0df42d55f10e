"""The types of values in a configuration file: each reads a TOML value and writes it again.

Kinds are strict: ``true`` is no number, ``60`` is no duration, and every error says what would have been right.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

from stonechat import units
from stonechat.ids import identifier

T = TypeVar("T")


class Kind(Generic[T]):
    """One type of value: how it is read from TOML, and written again."""

    def __init__(
        self, name: str, expected: str, read: Callable[[object], T], write: Callable[[T], str] | None = None
    ) -> None:
        self.name = name
        """What the reference calls it: ``duration``, ``URL``."""
        self.expected = expected
        """What it takes, as the rest of "must be ...": shown where the reader itself gives no better reason."""
        self._read = read
        self._write = write or toml_text

    def read(self, value: object) -> T:
        """Return the value of a TOML value.

        Raises:
            ValueError: with the text for `Fault.expected`.
        """
        try:
            return self._read(value)
        except TypeError:
            raise ValueError(f"must be {self.expected}") from None

    def write(self, value: T) -> str:
        """Return TOML text that `read` turns into this value."""
        return self._write(value)


class Address(NamedTuple):
    """Where a server listens. Port 0 lets the system choose one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Url(NamedTuple):
    """Where a client connects. ``path`` starts with "/" or is empty; userinfo, query and fragment are refused."""

    scheme: str
    host: str
    port: int
    path: str

    def __str__(self) -> str:
        return f"{self.scheme}://{Address(self.host, self.port)}{self.path}"


def boolean() -> Kind[bool]:
    """``true`` or ``false``, never 0 or 1."""

    def read(value: object) -> bool:
        if not isinstance(value, bool):
            raise TypeError
        return value

    return Kind("boolean", "true or false", read)


def integer(low: int, high: int) -> Kind[int]:
    """A whole number of low to high."""

    def read(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise TypeError
        return value

    return Kind("integer", f"a whole number of {low} to {high}", read)


def number(low: float, high: float) -> Kind[float]:
    """A number of low to high, whole or not."""

    def read(value: object) -> float:
        # NaN compares false with everything, so it is refused here too.
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise TypeError
        return float(value)

    return Kind("number", f"a number of {low:g} to {high:g}", read)


def duration(low: str, high: str) -> Kind[int]:
    """Nanoseconds, written ``"250ms"``; low and high are written the same way and may be met."""
    return _quantity("duration", units.parse_duration, units.format_duration, low, high)


def size(low: str, high: str) -> Kind[int]:
    """Bytes, written ``"64MiB"``; low and high are written the same way and may be met."""
    return _quantity("size", units.parse_size, units.format_size, low, high)


def _quantity(
    name: str, parse: Callable[[str], int], form: Callable[[int], str], low: str, high: str
) -> Kind[int]:
    least, most = parse(low), parse(high)
    expected = f'a {name} of "{low}" to "{high}"'

    def read(value: object) -> int:
        if not isinstance(value, str):
            raise TypeError
        quantity = parse(value)
        if not least <= quantity <= most:
            raise TypeError
        return quantity

    return Kind(name, expected, read, lambda quantity: toml_text(form(quantity)))


def string(pattern: str, expected: str) -> Kind[str]:
    """Text that matches the whole pattern; ``expected`` says so in words."""
    compiled = re.compile(pattern)

    def read(value: object) -> str:
        if not isinstance(value, str) or compiled.fullmatch(value) is None:
            raise TypeError
        return value

    return Kind("string", expected, read)


def path() -> Kind[str]:
    """A path as text, or "" for none. Nothing is expanded, and whether it exists is the caller's to see."""
    return string(r"[^\0\n]{0,4096}", "a path")


def absolute_path() -> Kind[str]:
    """A path as text that starts with "/", or "" for none."""
    return string(r"(/[^\0\n]{0,4095})?", "an absolute path")


def absolute_paths(limit: int) -> Kind[tuple[str, ...]]:
    """A list of at most ``limit`` paths as text that start with "/"."""
    expected = f'a list of at most {limit} absolute paths such as ["/etc/stonechat/models/spam"]'
    one = re.compile(r"/[^\0\n]{0,4095}")

    def read(value: object) -> tuple[str, ...]:
        if not isinstance(value, list | tuple) or len(value) > limit:
            raise TypeError
        if not all(isinstance(path, str) and one.fullmatch(path) for path in value):
            raise TypeError
        return tuple(value)

    return Kind("list", expected, read, lambda v: toml_text(list(v)))


def one_of(*names: str) -> Kind[str]:
    """One of a closed set of words."""
    expected = "one of " + ", ".join(f'"{name}"' for name in names)

    def read(value: object) -> str:
        if not isinstance(value, str) or value not in names:
            meant = nearest(value, names) if isinstance(value, str) else None
            raise ValueError(f"must be {expected}" + (f'; did you mean "{meant}"?' if meant else ""))
        return value

    return Kind("string", expected, read)


def labels(limit: int) -> Kind[dict[str, str]]:
    """A table of at most ``limit`` labels: names of ``a-z0-9_.-``, at most 63; values of at most 128 characters."""
    expected = f'a table of at most {limit} labels such as {{ site = "berlin" }}'
    key_pattern = re.compile(r"[a-z][a-z0-9_.-]{0,62}", re.ASCII)

    def read(value: object) -> dict[str, str]:
        if not isinstance(value, dict) or len(value) > limit:
            raise TypeError
        for key, text in value.items():
            if key_pattern.fullmatch(key) is None:
                raise ValueError(
                    f'must be {expected}; the label name "{key[:63]}" must be a-z, 0-9, "_", ".", "-" '
                    "and start with a letter"
                )
            if not isinstance(text, str) or not 0 < len(text) <= 128 or not text.isprintable():
                raise ValueError(f"must be {expected}; the label {key} must be text of 1 to 128 characters")
        return dict(value)

    return Kind("table", expected, read)


def names(limit: int) -> Kind[tuple[str, ...]]:
    """A list of at most ``limit`` identifiers."""
    expected = f'a list of at most {limit} names such as ["qwen2.5:0.5b"]'

    def read(value: object) -> tuple[str, ...]:
        if not isinstance(value, list | tuple) or len(value) > limit:
            raise TypeError
        for name in value:
            if not isinstance(name, str) or identifier(name) is None:
                raise ValueError(f'must be {expected}, each of 1 to 64 of A-Z, a-z, 0-9 and "._:/@+-"')
        return tuple(value)

    return Kind("list", expected, read, lambda v: toml_text(list(v)))


def patterns(limit: int) -> Kind[dict[str, str]]:
    """A table of at most ``limit`` regular expressions by name, none of which matches the empty text."""
    expected = f"a table of at most {limit} regular expressions such as {{ order = 'A-[0-9]{{6}}' }}"
    key_pattern = re.compile(r"[a-z][a-z0-9_]{0,30}", re.ASCII)

    def read(value: object) -> dict[str, str]:
        if not isinstance(value, dict) or len(value) > limit:
            raise TypeError
        for key, text in value.items():
            if key_pattern.fullmatch(key) is None:
                raise ValueError(
                    f'must be {expected}; the name "{key[:31]}" must be a-z, 0-9, "_" and start with a letter'
                )
            if not isinstance(text, str) or not 0 < len(text) <= 512:
                raise ValueError(f"must be {expected}; {key} must be text of 1 to 512 characters")
            if wrong := _wrong_with(text):
                raise ValueError(f"must be {expected}; {key} {wrong}")
        return dict(value)

    return Kind("table", expected, read)


def expressions(limit: int, longest: int) -> Kind[tuple[str, ...]]:
    """A list of at most ``limit`` regular expressions of ``longest`` characters; none matches the empty text."""
    expected = f"a list of at most {limit} regular expressions such as ['(?i)\\bno refunds?\\b']"

    def read(value: object) -> tuple[str, ...]:
        if not isinstance(value, list | tuple) or len(value) > limit:
            raise TypeError
        for number, text in enumerate(value, 1):
            if not isinstance(text, str) or not 0 < len(text) <= longest:
                raise ValueError(
                    f"must be {expected}; number {number} must be text of 1 to {longest} characters"
                )
            if wrong := _wrong_with(text):
                raise ValueError(f"must be {expected}; number {number} {wrong}")
        return tuple(value)

    return Kind("list", expected, read, lambda v: toml_text(list(v)))


def expression_or_none(longest: int) -> Kind[str]:
    """A regular expression of at most ``longest`` characters that does not match the empty text, or "" for none."""
    expected = "a regular expression such as '(?i)\\brefund'"

    def read(value: object) -> str:
        if not isinstance(value, str):
            raise TypeError
        if len(value) > longest:
            raise ValueError(f"must be {expected} of at most {longest} characters")
        if value and (wrong := _wrong_with(value)):
            raise ValueError(f"must be {expected}; this {wrong}")
        return value

    return Kind("string", expected, read)


def _wrong_with(pattern: str) -> str:
    """What is wrong with a regular expression, after its name, or "" where nothing is."""
    try:
        matches_nothing = re.compile(pattern).search("")
    except (re.error, RecursionError, OverflowError) as error:
        return f"is not a regular expression: {error}"
    return "must not match the empty text" if matches_nothing else ""


def texts(limit: int, longest: int) -> Kind[tuple[str, ...]]:
    """A list of at most ``limit`` texts of 1 to ``longest`` characters."""
    expected = f'a list of at most {limit} texts of 1 to {longest} characters, such as ["We never close."]'

    def read(value: object) -> tuple[str, ...]:
        if not isinstance(value, list | tuple) or len(value) > limit:
            raise TypeError
        for number, text in enumerate(value, 1):
            if not isinstance(text, str) or not text.strip() or len(text) > longest:
                raise ValueError(f"must be {expected}; number {number} is none")
        return tuple(value)

    return Kind("list", expected, read, lambda v: toml_text(list(v)))


def address() -> Kind[Address]:
    """Host and port to listen on: ``"127.0.0.1:8089"``, ``"[::1]:8089"``, ``"localhost:0"``."""

    def read(value: object) -> Address:
        if not isinstance(value, str):
            raise TypeError
        return _host_and_port(value, default_port=None)

    return Kind(
        "address", 'an address such as "127.0.0.1:8089" or "[::1]:8089"', read, lambda v: toml_text(str(v))
    )


def url(ports: Mapping[str, int], example: str) -> Kind[Url]:
    """A URL with one of the schemes in ``ports``, each with its default port."""
    schemes = " or ".join(f"{scheme}://" for scheme in ports)
    expected = f'a URL that starts with {schemes}, such as "{example}"'

    def read(value: object) -> Url:
        if not isinstance(value, str):
            raise TypeError
        match = re.fullmatch(r"([a-z]+)://([^/?#\s]+)(/[^?#\s]*)?", value, re.ASCII)
        if match is None or match[1] not in ports:
            raise TypeError
        if "@" in match[2]:
            raise ValueError(f"must be {expected}, without a user name or a password in it")
        scheme = match[1]
        host, port = _host_and_port(match[2], default_port=ports[scheme])
        if port == 0:
            raise TypeError
        return Url(scheme, host, port, (match[3] or "").rstrip("/"))

    return Kind("URL", expected, read, lambda v: toml_text(str(v)))


def url_or_none(ports: Mapping[str, int], example: str) -> Kind[Url | None]:
    """As `url`, or "" for None: not in use."""
    kind = url(ports, example)

    def read(value: object) -> Url | None:
        return None if value == "" else kind.read(value)

    return Kind(kind.name, kind.expected, read, lambda v: toml_text("" if v is None else str(v)))


def _host_and_port(text: str, default_port: int | None) -> Address:
    match = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?", text, re.ASCII)
    if match is None:
        raise TypeError
    port = default_port if match[2] is None else int(match[2])
    if port is None or port > 65535:
        raise TypeError
    return Address(match[1].strip("[]"), port)


def toml_text(value: object) -> str:
    """Return a value as TOML would have it, on one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Mapping):
        inside = ", ".join(f"{toml_key(key)} = {toml_text(item)}" for key, item in value.items())
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(toml_text(item) for item in value) + "]"
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text) + '"'


def toml_key(key: str) -> str:
    """Return a key as TOML would have it: bare where it can be."""
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key, re.ASCII) else toml_text(key)


def nearest(word: str, words: Sequence[str]) -> str | None:
    """Return the one of words that word was probably meant to be, if any comes near."""
    import difflib  # only a faulty file pays for it

    found = difflib.get_close_matches(word, words, n=1, cutoff=0.6)
    return found[0] if found else None
