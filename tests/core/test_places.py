from __future__ import annotations

import pytest

from stonechat.places import named_file, state_directory


@pytest.mark.parametrize(
    ("environ", "system", "expected"),
    [
        ({"STATE_DIRECTORY": "/var/lib/x", "HOME": "/home/ann"}, False, "/var/lib/x"),
        ({"STATE_DIRECTORY": "/var/lib/x:/var/lib/y"}, True, "/var/lib/x"),
        ({"HOME": "/root"}, True, "/var/lib/stonechat"),
        ({}, False, "/var/lib/stonechat"),
        ({"HOME": "/home/ann"}, False, "/home/ann/.local/state/stonechat"),
        ({"HOME": "/home/ann", "XDG_STATE_HOME": "/data"}, False, "/data/stonechat"),
        ({"HOME": "/home/ann", "XDG_STATE_HOME": "data"}, False, "/home/ann/.local/state/stonechat"),
    ],
)
def test_state_lies_where_the_program_may_write(environ: dict[str, str], system: bool, expected: str) -> None:
    assert state_directory("stonechat", environ, system=system) == expected


@pytest.mark.parametrize(
    ("name", "environ", "expected"),
    [
        ("/a/pw", {"CREDENTIALS_DIRECTORY": "/run/c"}, "/a/pw"),
        ("pw", {"CREDENTIALS_DIRECTORY": "/run/c"}, "/etc/stonechat/pw"),
        ("keys/pw", {}, "/etc/stonechat/keys/pw"),
        ("credential:pw", {"CREDENTIALS_DIRECTORY": "/run/c"}, "/run/c/pw"),
        ("credential:pw", {}, "/run/credentials/pw"),
    ],
)
def test_named_files_are_found(name: str, environ: dict[str, str], expected: str) -> None:
    assert named_file(name, "/etc/stonechat/agent.toml", environ) == expected
