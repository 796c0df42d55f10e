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
    r"|AGE-SECRET-KEY-1[A-Z0-9]{40,})"
)
_KNOWN_STARTS = (
    "sk-", "sk_", "pk_", "rk_", "whsec_", "ghp_", "gho_", "ghs_", "ghu_",
    "ghr_", "github_pat_", "glpat-", "hf_", "npm_",
    "pypi-", "xox", "xapp-", "AKIA", "ASIA", "AGPA", "AROA", "AIza", "ya29.",
    "SG.", "dop_v1_", "shp", "AGE-SECRET-KEY-",
)  # fmt: skip
_BOT = re.compile(r":AA[A-Za-z0-9_-]{30,}")
_BOT_NUMBER = re.compile(r"\d{8,10}\Z")
_HOOK = re.compile(r"hooks\.slack\.com/services/([A-Za-z0-9/]{20,})")
_JWT = re.compile(r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]+)?")
_BEARER = re.compile(r"\b(?:bearer|basic) +([A-Za-z0-9._~+/=-]{12,})", re.IGNORECASE)
_USERINFO = re.compile(r"://([^\s/@:\"'<>]{0,64}:[^\s/@\"'<>]{1,256})@")
_PEM_BEGIN = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_PEM_END = re.compile(r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")

# Names of what people think up themselves, and often of figures alone.
_TYPED = (
    r"pass(?:word|wd|phrase|code|w[oö]rt)|kennwort|mot de passe|contrase[nñ]a|senha|wachtwoord|has[lł]o|"
    r"parola(?: d'ordine)?|l[oö]senord|salasana|heslo|[sş]ifre|пароль|密码|密碼|口令|パスワード|비밀번호|كلمة المرور"
)
_NAME = (
    rf"(?P<typed>{_TYPED})|pass|pwd?|"
    r"(?:secret|private|access|api|auth|encryption|master|account|signing|license)[_ -]?(?:access[_ -]?)?key|"
    r"(?:client|app|consumer|shared)[_ -]?secret|secret|(?:access|auth|refresh|api|bot|id|session|csrf)[_ -]?token|"
    r"(?:wi-?fi|wlan|wireless|network)[ _-](?:key|code)|token|credentials?|session(?:[_ -]?id)?|sid"
)
_LINK = (
    r" {0,3}[\"'`]? {0,3}(?:(?:for|to|für|of|du|de|das) [^\s:=]{1,20} (?:[^\s:=]{1,20} ){0,2})?"
    r"(?::=|=>|[:=]| - |(?P<verb>\b(?:is|was|lautet|ist|est|es|é|è|lyder)\b(?: ?:)?|は|是|为)) {0,3}"
)
_ASSIGNMENT = re.compile(
    rf"(?P<name>{_NAME})s?{_LINK}(?:\"(?P<double>[^\"\n]{{3,256}})\"|'(?P<single>[^'\n]{{3,256}})'|`(?P<code>[^`\n]{{3,256}})`"
    r"|(?P<bare>[^\s\"'`<>{}()\[\];,&]{3,512}))",
    re.IGNORECASE,
)
# Where the name of a secret can begin, in small letters: looked for one by one, which is faster than a pattern.
_NAME_STARTS = (
    "pass", "pw", "wifi", "wi-fi", "wlan", "wireless", "network k", "network_k",
    "kennwort", "mot de", "contrase", "senha", "wachtwoord",
    "hasl", "hasł", "parola", "losen", "lösen", "salasana",
    "heslo", "sifre", "şifre", "пароль", "密码", "密碼", "口令", "パスワード", "비밀번호",
    "كلمة", "secret", "private", "access_",
    "access-", "access k", "access t", "accessk", "accesst", "api", "auth_", "auth-", "auth t", "autht", "auth k",
    "encryption", "master_", "master-", "master k", "account_", "account-k", "account k", "signing", "license_",
    "license-", "license k", "client_", "client-", "client s", "clients", "app_", "app-s", "consumer", "shared_",
    "shared-", "shared s", "refresh", "bot_", "bot-", "bot t", "id_token", "session", "csrf", "token", "credential",
    "sid",
)  # fmt: skip
_PIN = re.compile(
    r"(?<![A-Za-z])(?:(?:PIN|Pin|pin code|CVV|CVC|TAN)(?:-?code)?(?: is| ist|:|=|: is)"
    r"|(?:OTP|otp|(?:[Vv]erification|[Ss]ecurity|[Oo]ne-time|2FA|[Ll]ogin) code|Bestätigungscode|验证码|認証コード)"
    r"(?: is| ist|:|=|: is|是|は)?) {0,2}(\d{3,8})(?!\w)"
)
# What stands after the name of a secret in code and in instructions. With a figure in it, a word such as "mydog2024" is
# taken for a password all the same.
_PLACEHOLDER = re.compile(
    r"(?:your|my|the|dein|example|sample|placeholder|change|insert|enter|none|null|true|false|undefined|env|config|settings"
    r"|get|input|password|secret|token|key|redacted)",
    re.IGNORECASE,
)
_NO_SECRET = re.compile(
    r"[$%{<]|x{3,}|\*{2,}|\.{2,}|(?:os|process|self|config|settings|env)\."
    r"|(?:u?int\d+|float\d+|sha-?\d+|md5|argon2\w*|bcrypt|aes-?\d*|base64|utf-?8|oauth2?|https?:\S*)\Z",
    re.IGNORECASE,
)
_CODE = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+|[A-Za-z_]\w*\(|[A-Za-z]+")
_WORD = re.compile(r"(?<![A-Za-z0-9_+/=-])[A-Za-z0-9_+/-]{24,}={0,2}(?![A-Za-z0-9_+/=])")
_HEX = re.compile(r"(?<![A-Za-z0-9])(?:0x)?(?:[0-9a-f]{32,}|[0-9A-F]{32,})(?![A-Za-z0-9])")
_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
# A long hexadecimal number is taken for a key unless something before it says that it names a content.
_DIGEST_WORD = re.compile(
    r"\b(?:commit|sha-?\d*|sha\d+sum|md5|digest|checksum|hash|blob|tree|revision|rev|etag"
    r"|git (?:show|checkout|diff|log)"
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
    for start in _KNOWN_STARTS:
        at = text.find(start)
        while at >= 0:
            found = _KNOWN.match(text, at)
            if found:
                yield Span(found.start(), found.end(), "key")
            at = text.find(start, found.end() if found else at + 1)
    if ":AA" in text:
        for found in _BOT.finditer(text):
            if number := _BOT_NUMBER.search(text, max(0, found.start() - 10), found.start()):
                yield Span(number.start(), found.end(), "key")
    if "hooks.slack.com" in text:
        for found in _HOOK.finditer(text):
            yield Span(found.start(1), found.end(1), "key")
    if "eyJ" in text:
        for found in _JWT.finditer(text):
            yield Span(found.start(), found.end(), "key")
    lowered = _lowered(text)
    if "bearer " in lowered or "basic " in lowered:
        for found in _BEARER.finditer(text):
            if any(map(str.isdigit, found[1])):
                yield Span(found.start(1), found.end(1), "key")
    if "://" in text:
        for found in _USERINFO.finditer(text):
            yield Span(found.start(1), found.end(1), "key")
    yield from _assigned(text, lowered)
    for found in _WORD.finditer(text):
        word = found[0]
        random = word.count("/") <= len(word) // 16 and checks.drawn_at_random(word)
        if random and not _UUID.fullmatch(word) and not _HEX.fullmatch(word):
            yield Span(found.start(), found.end(), "key")
    for found in _HEX.finditer(text):
        varied = len(set(found[0])) >= 8 and any(map(str.isdigit, found[0])) and not found[0].isdigit()
        if varied and not _DIGEST_WORD.search(text, max(0, found.start() - 40), found.start()):
            yield Span(found.start(), found.end(), "key")


def _places(text: str, word: str) -> Iterator[int]:
    at = text.find(word)
    while at >= 0:
        yield at
        at = text.find(word, at + 1)


def _lowered(text: str) -> str:
    """Return a text in small letters, each of its characters in the same place."""
    lowered = text.lower()
    if len(lowered) != len(text):  # a capital İ becomes two characters
        lowered = "".join(char.lower() if len(char.lower()) == 1 else char for char in text)
    return lowered


def _assigned(text: str, lowered: str) -> Iterator[Span]:
    for start in _NAME_STARTS:
        for at in _places(lowered, start):
            found = _ASSIGNMENT.match(text, at)
            inside = at > 0 and text[at - 1].isascii() and text[at - 1].isalpha()
            if found is not None and inside and (found["verb"] or len(found["name"]) < 5):
                continue  # "contract MyToken is ERC1155", "compass: N45E"
            if found is not None:
                group = found.lastgroup or ""
                value = _value(found[group], quoted=group != "bare", figures=found["typed"] is not None)
                if value:
                    yield Span(found.start(group), found.start(group) + len(value), "key")
    if any(
        word in lowered
        for word in ("pin", "cv", "tan", "otp", " code", "bestätigungs", "验证码", "認証コード")
    ):
        for found in _PIN.finditer(text):
            yield Span(found.start(1), found.end(1), "key")


def _value(value: str, *, quoted: bool, figures: bool) -> str:
    """Return what is secret of what stands after the name of a secret, or nothing where it is none.

    Args:
        figures: whether figures alone may be it. Tokens, sessions and keys are counted more often than told.
    """
    figure = any(map(str.isdigit, value))
    if quoted:
        value = value.rstrip()
        good = figure or (" " not in value and not _CODE.fullmatch(value) and not _PLACEHOLDER.match(value))
    else:
        value = value.rstrip("*|").split("です")[0]
        value = value.rstrip(".:?。、")
        good = figure and len(value) >= 4 and (figures or not value.isdigit())
    return value if good and not _NO_SECRET.match(value) else ""
