from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stonechat import config, kinds
from stonechat.config import Conflict, option
from stonechat.errors import Fault
from stonechat.kinds import Address, Url


@dataclass(frozen=True)
class Pump:
    """A table that may stand several times."""

    name: str = option(kinds.string("[a-z]+", "a word"), "pump", "name")
    period_ns: int = option(kinds.duration("1s", "1h"), "60s", "how often")
    buffer_bytes: int = option(kinds.size("1KiB", "1GiB"), "64MiB", "how much")

    def conflicts(self, given: set[str]) -> Iterator[Conflict]:
        if self.name == "dry" and "buffer" in given:
            yield Conflict("buffer", "cannot stand with name", "delete it")


@dataclass(frozen=True)
class Panel:
    """A table with one option of every other kind."""

    lit: bool = option(kinds.boolean(), False, "whether it is lit")
    rows: int = option(kinds.integer(1, 9), 3, "how many rows")
    scale: float = option(kinds.number(0.5, 2), 1, "how large")
    theme: str = option(kinds.one_of("dark", "light"), "dark", "how it looks")
    listen: Address = option(kinds.address(), "127.0.0.1:80", "where")
    link: Url | None = option(kinds.url_or_none({"mqtt": 1883}, "mqtt://host"), "", "to where")
    labels: dict[str, str] = option(kinds.labels(2), {}, "what it is")
    file: str = option(kinds.absolute_path(), "", "which file")
    serial: int = field(default=7)


@dataclass(frozen=True)
class Plant:
    """A file."""

    panel: Panel = config.table(Panel)
    pumps: tuple[Pump, ...] = config.tables(Pump, key="pump")
    spares: tuple[Pump, ...] = config.tables(Pump, key="spare", least=0)
    source: str = ""

    def conflicts(self, given: set[str]) -> Iterator[Conflict]:
        if len({pump.name for pump in self.pumps}) < len(self.pumps):
            yield Conflict("pump", "must have different names")


def read(document: dict[str, Any]) -> tuple[Plant, list[Fault]]:
    return config.read(Plant, document, "plant.toml")


def faults(document: dict[str, Any]) -> list[str]:
    return [str(fault) for fault in read(document)[1]]


def test_an_empty_file_is_all_defaults() -> None:
    plant, found = config.read_text(Plant, b"", "plant.toml")
    assert not found
    assert plant == Plant()
    assert plant.pumps == (Pump(),)
    assert plant.pumps[0].period_ns == 60_000_000_000
    assert plant.spares == ()
    assert plant.panel.listen == Address("127.0.0.1", 80)
    assert plant.panel.link is None


def test_values_are_read_into_their_types() -> None:
    content = b"""
        [panel]
        lit = true
        rows = 9
        scale = 2
        theme = "light"
        listen = "[::1]:0"
        link = "mqtt://broker.example"
        labels = { site = "berlin", "ring.2" = "caf\xc3\xa9" }
        file = "/a/b"
        [[pump]]
        name = "a"
        period = "1.5s"
        buffer = "1KiB"
        [[pump]]
        name = "b"
    """
    plant, found = config.read_text(Plant, content, "plant.toml")
    assert not found
    assert plant.panel == Panel(
        lit=True,
        rows=9,
        scale=2.0,
        theme="light",
        listen=Address("::1", 0),
        link=Url("mqtt", "broker.example", 1883, ""),
        labels={"site": "berlin", "ring.2": "café"},
        file="/a/b",
    )
    assert isinstance(plant.panel.scale, float)
    assert plant.pumps == (Pump("a", 1_500_000_000, 1024), Pump("b"))


def test_one_table_is_one_of_many() -> None:
    assert read({"pump": {"name": "a"}})[0].pumps == (Pump("a"),)
    assert read({"spare": [{}, {"name": "b"}]})[0].spares == (Pump(), Pump("b"))


@pytest.mark.parametrize(
    ("table", "key", "value", "expected"),
    [
        ("panel", "lit", 1, "must be true or false"),
        ("panel", "lit", "true", "must be true or false"),
        ("panel", "rows", True, "must be a whole number of 1 to 9"),
        ("panel", "rows", 2.0, "must be a whole number of 1 to 9"),
        ("panel", "rows", 10, "must be a whole number of 1 to 9"),
        ("panel", "rows", 0, "must be a whole number of 1 to 9"),
        ("panel", "scale", True, "must be a number of 0.5 to 2"),
        ("panel", "scale", float("nan"), "must be a number of 0.5 to 2"),
        ("panel", "scale", float("inf"), "must be a number of 0.5 to 2"),
        ("panel", "scale", "1", "must be a number of 0.5 to 2"),
        ("panel", "theme", "drak", 'must be one of "dark", "light"; did you mean "dark"?'),
        ("panel", "theme", 5, 'must be one of "dark", "light"'),
        ("panel", "listen", 80, 'must be an address such as "127.0.0.1:8089" or "[::1]:8089"'),
        ("panel", "listen", "80", 'must be an address such as "127.0.0.1:8089" or "[::1]:8089"'),
        ("panel", "listen", "a:65536", 'must be an address such as "127.0.0.1:8089" or "[::1]:8089"'),
        ("panel", "listen", "::1:80", 'must be an address such as "127.0.0.1:8089" or "[::1]:8089"'),
        ("panel", "link", "http://a", 'must be a URL that starts with mqtt://, such as "mqtt://host"'),
        ("panel", "link", "mqtt://a:0", 'must be a URL that starts with mqtt://, such as "mqtt://host"'),
        ("panel", "link", "mqtt://a/?b", 'must be a URL that starts with mqtt://, such as "mqtt://host"'),
        (
            "panel",
            "link",
            "mqtt://***@a",
            'must be a URL that starts with mqtt://, such as "mqtt://host", without a user name or a password in it',
        ),
        ("panel", "file", "a/b", "must be an absolute path"),
        ("panel", "file", ["/a"], "must be an absolute path"),
        ("pump", "name", "A", "must be a word"),
        ("pump", "name", "a\n", "must be a word"),
        ("pump", "period", 60, 'must be a duration of "1s" to "1h"'),
        ("pump", "period", "2h", 'must be a duration of "1s" to "1h"'),
        ("pump", "period", "1min", 'must be a duration such as "250ms", "60s", "10m", "1h" or "7d"'),
        ("pump", "buffer", "1B", 'must be a size of "1KiB" to "1GiB"'),
        ("pump", "buffer", "1M", 'must be a size such as "500B", "1KiB", "10MB" or "64MiB"'),
    ],
)
def test_a_wrong_value_says_where_what_and_what_else(
    table: str, key: str, value: object, expected: str
) -> None:
    plant, found = read({table: {key: value}})
    (fault,) = found
    assert (fault.source, fault.key, fault.expected) == ("plant.toml", f"{table}.{key}", expected)
    assert fault.found == kinds.toml_text(value)
    assert plant == Plant()


@pytest.mark.parametrize(
    "value", [{"a": "b", "c": "d", "e": "f"}, {"Site": "x"}, {"a": ""}, {"a": 1}, {"a": "x\ny"}, "a"]
)
def test_wrong_labels_are_refused(value: object) -> None:
    (fault,) = read({"panel": {"labels": value}})[1]
    assert fault.key == "panel.labels"
    assert fault.expected.startswith('must be a table of at most 2 labels such as { site = "berlin" }')


def test_all_faults_come_together_in_the_order_of_the_file() -> None:
    document = {
        "theme": "dark",
        "panle": {},
        "panel": {"lit": 1, "row": 2, "rows": 0},
        "pump": [{"name": "a"}, {"name": "B", "colour": "red"}, 5],
    }
    assert faults(document) == [
        "plant.toml: theme: a key outside of every table\n  hint: put it under [panel]",
        "plant.toml: panle: unknown table\n  hint: did you mean [panel]?",
        "plant.toml: panel.lit = 1: must be true or false",
        "plant.toml: panel.row: unknown key\n  hint: did you mean rows?",
        "plant.toml: panel.rows = 0: must be a whole number of 1 to 9\n  hint: delete the line for the default, 3",
        'plant.toml: pump[1].name = "B": must be a word\n  hint: delete the line for the default, "pump"',
        "plant.toml: pump[1].colour: unknown key\n  hint: the keys are name, period, buffer",
        "plant.toml: pump[2] = 5: must be a table",
    ]


def test_what_is_right_is_kept_beside_what_is_wrong() -> None:
    plant, found = read({"panel": {"rows": 5, "lit": 1}, "pump": {"name": "a", "x": 1}})
    assert len(found) == 2
    assert plant.panel.rows == 5
    assert plant.pumps == (Pump("a"),)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"panel": 5}, "plant.toml: panel = 5: must be a table"),
        ({"panel": [{}]}, "plant.toml: panel = [{}]: must be a table"),
        ({"pump": "x"}, 'plant.toml: pump = "x": must be a table [pump] or several [[pump]]'),
        ({"pump": []}, "plant.toml: pump = []: must be a table [pump] or several [[pump]]"),
    ],
)
def test_what_is_no_table_is_a_fault(document: dict[str, Any], expected: str) -> None:
    plant, found = read(document)
    assert [str(fault) for fault in found] == [expected]
    assert plant == Plant()


def test_conflicts_are_found_between_right_values_only() -> None:
    conflict = 'plant.toml: pump.buffer = "1MiB": cannot stand with name\n  hint: delete it'
    assert faults({"pump": {"name": "dry", "buffer": "1MiB"}}) == [conflict]
    assert faults({"pump": {"name": "dry"}}) == []
    assert faults({"pump": [{}, {}]}) == ["plant.toml: pump: must have different names"]
    # The table's values are not all known, so nothing is said about how they go together.
    assert len(faults({"pump": {"name": "dry", "buffer": "1M"}})) == 1


@pytest.mark.parametrize(
    ("content", "where", "hint"),
    [
        (b"a = 1\nb =\n", "line 2, column 4", "the line begins: b"),
        (b"[panel]\nlit = true\n[panel]\n", "line 3, column 7", "the line begins: [panel]"),
        (b"[panel\n", "line 1, column 7", "the line begins: [panel"),
        (b'a = """x', "end of document", "the line begins: a"),
        (b'a = """\nx', "end of document", ""),
        (b"a = " + b"9" * 5000, "", "the line begins: a"),
    ],
)
def test_what_is_not_toml_says_where(content: bytes, where: str, hint: str) -> None:
    plant, (fault,) = config.read_text(Plant, content, "plant.toml")
    assert (fault.source, fault.key, fault.hint) == ("plant.toml", where, hint)
    assert fault.expected.startswith("is not TOML: ")
    assert plant == Plant()


def test_what_is_not_utf_8_says_where() -> None:
    (fault,) = config.read_text(Plant, b"a = 1\nb = '\xff'", "plant.toml")[1]
    assert str(fault) == "plant.toml: line 2: must be UTF-8 text\n  hint: save the file as UTF-8"


def test_what_is_nested_too_deeply_is_a_fault() -> None:
    (fault,) = config.read_text(Plant, b"a = " + b"[" * 100_000, "plant.toml")[1]
    assert (fault.source, fault.key) == ("plant.toml", "")


def test_a_strange_key_stays_on_its_line() -> None:
    assert faults({"a\nb": {}})[0].startswith('plant.toml: "a\\u000ab": unknown table')
    assert faults({"panel": {"": 1}})[0].startswith('plant.toml: panel."": unknown key')


@pytest.mark.parametrize(
    "content",
    [
        b'[panel]\nlink = "mqtt://ann:hunter2@broker"\n',
        b'[panel]\nlink = "amqp://ann:hunter2@broker"\n',
        b'[panel]\npassword = "hunter2"\n',
        b'[panel]\npassword = "hunter2\n',
        b'[pannel]\npassword = "hunter2"\n',
        b'password = "hunter2"\n',
        b'password = """\nhunter2\n',
    ],
)
def test_secrets_are_masked_in_faults(content: bytes) -> None:
    found = config.read_text(Plant, content, "plant.toml")[1]
    assert found
    assert "hunter2" not in "".join(map(str, found))


def test_long_values_are_cut_in_faults() -> None:
    (fault,) = read({"pump": {"name": "A" * 10_000}})[1]
    assert len(fault.found) == 60


def test_differences_are_what_the_file_would_have_to_say() -> None:
    document = {
        "panel": {"labels": {"a": "b"}, "listen": "[::1]:5"},
        "pump": [{}, {"name": "b", "period": "120s"}],
    }
    plant = read(document)[0]
    assert list(config.differences(plant)) == [
        ("panel.listen", '"[::1]:5"'),
        ("panel.labels", '{ a = "b" }'),
        ("pump[1].name", '"b"'),
        ("pump[1].period", '"2m"'),
    ]
    assert list(config.differences(Plant())) == []


@given(
    st.builds(
        Panel,
        lit=st.booleans(),
        rows=st.integers(1, 9),
        scale=st.floats(0.5, 2),
        theme=st.sampled_from(["dark", "light"]),
        listen=st.builds(Address, st.sampled_from(["::1", "a.b", "127.0.0.1"]), st.integers(0, 65535)),
        link=st.none()
        | st.builds(Url, st.just("mqtt"), st.just("h"), st.integers(1, 65535), st.sampled_from(["", "/a"])),
        labels=st.dictionaries(
            st.from_regex("[a-z]{1,5}", fullmatch=True), st.text('ab"\\ é', min_size=1), max_size=2
        ),
        file=st.sampled_from(["", "/a", '/a"b\\', "/é"]),
    )
)
def test_what_is_written_reads_back(panel: Panel) -> None:
    lines = [f"{o.key} = {o.kind.write(getattr(panel, o.name))}" for o in config.options_of(Panel)]
    plant, found = config.read_text(Plant, ("[panel]\n" + "\n".join(lines)).encode(), "plant.toml")
    assert not found
    assert plant.panel == panel


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["panel", "pump", "name", "lit", "labels", "x"]), inner, max_size=3)
    ),
)


@given(st.dictionaries(st.sampled_from(["panel", "pump", "lit", "é"]), json_like))
def test_no_document_makes_the_reader_raise(document: dict[str, Any]) -> None:
    plant, found = read(document)
    assert isinstance(plant, Plant)
    assert all(fault.source == "plant.toml" and fault.key for fault in found)


@given(st.binary(max_size=200))
def test_no_file_makes_the_reader_raise(content: bytes) -> None:
    config.read_text(Plant, content, "plant.toml")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"order": "A-[0-9"}, "order is not a regular expression"),
        ({"order": "[0-9]*"}, "must not match the empty text"),
        ({"Order!": "x"}, 'the name "Order!"'),
        ({"order": ""}, "text of 1 to 512 characters"),
        ({"order": 1}, "text of 1 to 512 characters"),
        ([], "a table of at most 2"),
        ({"a": "x", "b": "x", "c": "x"}, "a table of at most 2"),
    ],
)
def test_what_is_no_table_of_patterns(value: object, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        kinds.patterns(2).read(value)


def test_patterns_are_kept_as_they_are() -> None:
    assert kinds.patterns(2).read({"order": "A-[0-9]{6}"}) == {"order": "A-[0-9]{6}"}


@pytest.mark.parametrize("value", ["/a", ["a"], [""], ["/a", "/b", "/c"], [1], ["/a\0"], None])
def test_what_is_no_list_of_paths(value: object) -> None:
    with pytest.raises(ValueError, match="a list of at most 2 absolute paths"):
        kinds.absolute_paths(2).read(value)


def test_paths_read_back() -> None:
    kind = kinds.absolute_paths(2)
    assert kind.read(["/a b", "/c"]) == ("/a b", "/c")
    assert kind.write(("/a b", "/c")) == '["/a b", "/c"]'
