"""Addresses of machines and mailboxes."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator

from stonechat_agent.privacy.spans import Span

_LOCAL = r"A-Za-z0-9\u00c0-\u024f\u0400-\u04ff.!#$%&'*+/=?^_`{|}~-"
_LABEL = r"[A-Za-z0-9\u00c0-\u024f\u0400-\u04ff](?:[A-Za-z0-9\u00c0-\u024f\u0400-\u04ff-]{0,62})"
# The lookbehind lets a match begin only where a local part begins: each character is then tried once.
_EMAIL = re.compile(
    rf"(?<![{_LOCAL}])[{_LOCAL}]+@(?:{_LABEL}\.)+(?:[A-Za-z\u00c0-\u024f\u0400-\u04ff]{{2,24}}|xn--[a-z0-9-]{{2,59}})(?!\()"
)
_DOT = r"(?:\.| ?[(\[{] ?(?:dot|punkt|punto|point|\.) ?[)\]}] ?)"
_USER_OF_URL = re.compile(r"://[^\s/@]*\Z")
_HIDDEN_AT = re.compile(r"[(\[{] ?(?:at|@|arroba) ?[)\]}] ?", re.IGNORECASE)
_HIDDEN_LOCAL = re.compile(r"[A-Za-z0-9._+-]{1,64} ?\Z")
_HIDDEN_DOMAIN = re.compile(rf"[A-Za-z0-9-]{{1,63}}(?:{_DOT}[A-Za-z0-9-]{{1,63}}){{1,8}}", re.IGNORECASE)


def find_emails(text: str) -> Iterator[Span]:
    """Yield mail addresses, also such as ``maria (at) example [dot] org``."""
    if "@" in text:
        for found in _EMAIL.finditer(text):
            start = found.start()
            if "=" in (local := text[start : text.index("@", start)]):  # a parameter: "to=anna@example.com"
                start += local.rindex("=") + 1
            while text[start] in "'`*{|!#/&?^$%~.-":  # quotes and marks of the text around it
                start += 1
            if (
                text[start] != "@"
                and not text.startswith("git@", start)
                and not _USER_OF_URL.search(text, max(0, start - 80), start)
            ):
                yield Span(start, found.end(), "email")
    for found in _HIDDEN_AT.finditer(text):
        name = _HIDDEN_LOCAL.search(text, max(0, found.start() - 64), found.start())
        domain = _HIDDEN_DOMAIN.match(text, found.end())
        if name and domain:
            yield Span(name.start(), domain.end(), "email")


# Patterns begin with a set of characters, which the engine looks for fast, and then look back.
_IPV4 = re.compile(r"\d(?<![\w.]\d)\d{0,2}(?:\.\d{1,3}){3}(?!\.?\w)(?!-\d)", re.ASCII)
_VERSION = re.compile(
    r"(?:\bv|version|release|section|chapter|firmware|build|clause|§|abschnitt|kapitel)\.? ?\Z", re.IGNORECASE
)
_IPV6 = re.compile(
    r"[0-9A-Fa-f:](?<![A-Za-z0-9_:.].)[0-9A-Fa-f:]{1,38}(?:(?:\.\d{1,3}){3})?(?![A-Za-z0-9_:])"
)
_MAC = re.compile(
    r"[0-9A-Fa-f](?<![A-Za-z0-9:-].)[0-9A-Fa-f](?:(?P<sign>[:-])(?:[0-9A-Fa-f]{2}(?P=sign)){4}[0-9A-Fa-f]{2}"
    r"|[0-9A-Fa-f]{2}\.[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4})(?![A-Za-z0-9:-])"
)


def find_machines(text: str) -> Iterator[Span]:
    """Yield IP and hardware addresses. Loopback, "any" and netmasks tell nothing and stay."""
    if text.count(".") >= 3:
        for found in _IPV4.finditer(text):
            parts = found[0].split(".")
            if any(int(part) > 255 or (part[0] == "0" and part != "0") for part in parts):
                continue
            if parts[0] in ("0", "127") or parts[:2] == ["255", "255"]:
                continue
            if not _VERSION.search(text, max(0, found.start() - 12), found.start()):
                yield Span(found.start(), found.end(), "ip")
    if "::" in text or text.count(":") >= 7:
        for found in _IPV6.finditer(text):
            word = found[0]
            if len(word) < 7 or word.count(":") < 2 or sum(map(str.isdigit, word)) < 2:
                continue
            try:
                socket.inet_pton(socket.AF_INET6, word)
            except OSError:
                continue
            yield Span(found.start(), found.end(), "ip")
    if text.count(":") < 5 and text.count("-") < 5 and text.count(".") < 2:
        return
    for found in _MAC.finditer(text):
        yield Span(found.start(), found.end(), "mac")
