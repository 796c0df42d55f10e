"""Keys, tokens and passwords."""

from __future__ import annotations

import re
from collections.abc import Iterator

from stonechat_agent.privacy import checks
from stonechat_agent.privacy.spans import Span

_START = "(?<![A-Za-z0-9])"
# Tokens that say by their first characters what they are. Nothing follows an open-ended repeat, so none backtracks far.
_KNOWN = re.compile(
    _START + r"(?:sk-[A-Za-z0-9_-]{16,}"
    r"|[spr]k_(?:live|test)_[A-Za-z0-9]{16,}|whsec_[A-Za-z0-9]{16,}"
    r"|gh[opsur]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}"
    r"|glpat-[A-Za-z0-9_-]{16,}|hf_[A-Za-z0-9]{20,}|npm_[A-Za-z0-9]{30,}|pypi-[A-Za-z0-9_-]{32,}"
    r"|xox[a-z]-[A-Za-z0-9-]{10,}|xapp-[A-Za-z0-9-]{10,}"
    r"|(?:AKIA|ASIA|AGPA|AROA)[A-Z0-9]{16}(?![A-Za-z0-9])|AIza[A-Za-z0-9_-]{30,}|ya29\.[A-Za-z0-9_-]{20,}"
    r"|SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}|dop_v1_[a-f0-9]{32,}|shp(?:at|ca|pa|ss)_[A-Fa-f0-9]{32}"
    r"|\d{8,10}:AA[A-Za-z0-9_-]{30,}|AGE-SECRET-KEY-1[A-Z0-9]{40,}"
    r"|(?<=hooks\.slack\.com/services/)[A-Za-z0-9/]{20,})"
)
_JWT = re.compile(r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]+)?")
_BEARER = re.compile(r"\b(?:bearer|basic) +([A-Za-z0-9._~+/=-]{12,})", re.IGNORECASE)
_USERINFO = re.compile(r"://([^\s/@:\"'<>]{0,64}:[^\s/@\"'<>]{1,256})@")
_PEM_BEGIN = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_PEM_END = re.compile(r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")

_NAME = (
    r"pass(?:word|wd|phrase|code)|pwd|pass(?:w[oö]rt)|kennwort|mot de passe|contrase[nñ]a|senha|wachtwoord|has[lł]o|"
    r"parola(?: d'ordine)?|l[oö]senord|salasana|heslo|[sş]ifre|пароль|密码|密碼|口令|パスワード|비밀번호|كلمة المرور|"
    r"(?:secret|private|access|api|auth|encryption|master|account|signing|license)[_ -]?(?:access[_ -]?)?key|"
    r"(?:client|app|consumer|shared)[_ -]?secret|secret|(?:access|auth|refresh|api|bot|id|session|csrf)[_ -]?token|"
    r"token|credentials?|session(?:[_ -]?id)?|sid"
)
_LINK = (
    r"[\"'`]? {0,3}(?:(?:for|to|für|of|du|de|das) [^\s:=]{1,20} (?:[^\s:=]{1,20} ){0,2})?"
    r"(?::=|=>|[:=]|\b(?:is|was|lautet|ist|est|es|é|è|lyder)\b(?: ?:)?|は|是|为) {0,3}"
)
_ASSIGNMENT = re.compile(
    rf"(?:{_NAME})s?{_LINK}(?:\"([^\"\n]{{3,256}})\"|'([^'\n]{{3,256}})'|`([^`\n]{{3,256}})`|([^\s\"'`<>{{}}()\[\];,&]{{3,512}}))",
    re.IGNORECASE,
)
_PIN = re.compile(r"(?<![A-Za-z])(?:PIN|Pin|pin code|CVV|CVC|TAN)(?:-?code)?(?: is| ist|:|=|: is) {0,2}(\d{3,8})(?!\w)")
_NO_SECRET = re.compile(
    r"(?:your|my|the|dein|example|sample|placeholder|change|insert|enter|none|null|true|false|undefined|str(?:ing)?|int|"
    r"x{3,}|\*{2,}|\.{2,}|env|os\.|process\.|config|settings|self\.|get|input|password|secret|token|key|redacted|\$|%)",
    re.IGNORECASE,
)
_CODE = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+|[A-Za-z_]\w*\(|[A-Za-z]+")
_WORD = re.compile(r"(?<![A-Za-z0-9_+/=-])[A-Za-z0-9_+/-]{24,}={0,2}(?![A-Za-z0-9_+/=])")
_HEX = re.compile(r"(?:0x)?(?:[0-9a-f]{32,}|[0-9A-F]{32,})")
_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
# A long hexadecimal number is taken for a key unless something before it says that it names a content.
_DIGEST_WORD = re.compile(
    r"\b(?:commit|sha-?\d*|sha\d+sum|md5|digest|checksum|hash|blob|tree|revision|rev|etag|git (?:show|checkout|diff|log)"
    r"|merge|parent|HEAD)\b[^\n]{0,16}\Z",
    re.IGNORECASE,
)


def find_keys(text: str) -> Iterator[Span]:
    """Yield keys, tokens and passwords: of known forms, named as such, or drawn at random by the look of them."""
    at = 0
    while (begin := _PEM_BEGIN.search(text, at)) is not None:
        end = _PEM_END.search(text, begin.end())
        at = end.end() if end else len(text)  # a block without an end was cut
        yield Span(begin.start(), at, "key")
    for found in _KNOWN.finditer(text):
        yield Span(found.start(), found.end(), "key")
    if "eyJ" in text:
        for found in _JWT.finditer(text):
            yield Span(found.start(), found.end(), "key")
    for found in _BEARER.finditer(text):
        if any(map(str.isdigit, found[1])):
            yield Span(found.start(1), found.end(1), "key")
    if "://" in text:
        for found in _USERINFO.finditer(text):
            yield Span(found.start(1), found.end(1), "key")
    yield from _assigned(text)
    for found in _WORD.finditer(text):
        if _is_key(text, found):
            yield Span(found.start(), found.end(), "key")


def _assigned(text: str) -> Iterator[Span]:
    at = 0
    while (found := _ASSIGNMENT.search(text, at)) is not None:
        at = found.end()
        group = found.lastindex or 0
        start, value = found.start(group), found[group]
        if group == 4:
            value = value.rstrip(".:!?*|") if not value.endswith(("!!", "??")) else value
            value = value.rstrip("。、").split("です")[0]
            good = len(value) >= 4 and any(map(str.isdigit, value)) and not value.isdigit()
        else:
            good = " " not in value or any(map(str.isdigit, value))
            good = good and _CODE.fullmatch(value) is None
        if good and not _NO_SECRET.match(value):
            yield Span(start, start + len(value), "key")
        else:
            at = max(found.start() + 1, start)  # the value may begin the next: "secret: token=7h3..."
    for found in _PIN.finditer(text):
        yield Span(found.start(1), found.end(1), "key")


def _is_key(text: str, found: re.Match[str]) -> bool:
    word = found[0]
    if _UUID.fullmatch(word):
        return False
    if _HEX.fullmatch(word):
        varied = len(set(word)) >= 8 and any(map(str.isdigit, word)) and any(map(str.isalpha, word))
        return varied and not _DIGEST_WORD.search(text, max(0, found.start() - 40), found.start())
    return word.count("/") <= len(word) // 16 and checks.drawn_at_random(word)
