"""Where a program's files lie, by the environment that it runs in. Pure: nothing here looks at a disk."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping

CREDENTIAL = "credential:"
"""Before a name, in place of a path: a systemd credential of the service (``LoadCredential=``)."""


def state_directory(service: str, environ: Mapping[str, str], *, system: bool) -> str:
    """Return the directory for state of a service such as ``stonechat``.

    That is what systemd gives (``StateDirectory=``), else ``/var/lib/SERVICE`` for a ``system`` service, that is one
    that may write there, else the user's own by the XDG base directory specification.
    """
    given = environ.get("STATE_DIRECTORY", "").split(":")[0]
    if given:
        return given
    home = environ.get("HOME", "")
    if system or not home:
        return f"/var/lib/{service}"
    state = environ.get("XDG_STATE_HOME", "")
    # The specification: a relative path is to be ignored.
    base = state if state.startswith("/") else posixpath.join(home, ".local/state")
    return posixpath.join(base, service)


def named_file(name: str, config_file: str, environ: Mapping[str, str]) -> str:
    """Return the path of a file that a configuration names.

    ``credential:NAME`` is a systemd credential, an absolute path is itself, and every other path is relative to the
    directory of the configuration's file.
    """
    if name.startswith(CREDENTIAL):
        directory = environ.get("CREDENTIALS_DIRECTORY", "/run/credentials")
        return posixpath.join(directory, name.removeprefix(CREDENTIAL))
    return posixpath.join(posixpath.dirname(config_file), name)
