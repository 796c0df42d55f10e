"""The style sheets, scripts and icon of the pages: read once, named by their content, kept compressed in memory.

A name carries a hash of the content (``/assets/3fa9c17b/app.css``), so a browser may keep it for ever, and an upgrade
of the collector never meets a stale copy. Together they are some tens of kilobytes.
"""

from __future__ import annotations

import gzip
from hashlib import blake2b
from importlib.resources import files
from typing import NamedTuple

_TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}

NAMES = ("app.css", "live.js", "charts.js", "icon.svg", "uplot/uPlot.iife.min.js", "uplot/uPlot.min.css")


class Asset(NamedTuple):
    """One file as it is served: its bytes, the same compressed with gzip, its media type and its entity tag."""

    body: bytes
    packed: bytes
    media_type: str
    etag: str


class Assets:
    """All assets by the path under which they are served, and the path of each by its name."""

    def __init__(self) -> None:
        self.by_path: dict[str, Asset] = {}
        self._paths: dict[str, str] = {}
        root = files(__package__) / "static"
        for name in NAMES:
            body = root.joinpath(*name.split("/")).read_bytes()
            digest = blake2b(body, digest_size=6).hexdigest()
            path = f"{digest}/{name.rpartition('/')[2]}"
            self.by_path[path] = Asset(
                body, gzip.compress(body, 9, mtime=0), _TYPES[name.rpartition(".")[2]], f'"{digest}"'
            )
            self._paths[name] = f"/assets/{path}"

    def path(self, name: str) -> str:
        """The address of an asset. Raises KeyError for a name that there is not."""
        return self._paths[name]
