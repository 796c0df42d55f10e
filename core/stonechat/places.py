"""Where a program's files lie, by the environment that it runs in. Pure: nothing here looks at a disk."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping


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

    An absolute path is itself. A bare name is a systemd credential (``LoadCredential=``) where the service has any;
    everything else is relative to the directory of the configuration's file.
    """
    if name.startswith("/"):
        return name
    credentials = environ.get("CREDENTIALS_DIRECTORY", "")
    if credentials and "/" not in name:
        return posixpath.join(credentials, name)
    return posixpath.join(posixpath.dirname(config_file), name)
