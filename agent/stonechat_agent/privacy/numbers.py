"""Numbers that name a person or an account: cards, IBANs, telephones, national identities.

A run of digits with single separators is cut out once and then looked at in Python: by length, grouping, check digits
and the words before it. Runs are found in linear time, and a run is judged in time linear in its groups.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from stonechat_agent.privacy import checks
from stonechat_agent.privacy.spans import Span

_LETTER = "A-Za-z0-9_\u00c0-\u024f"
# One separator between digits, or a parenthesis with a space: "(0) 30", ") 5". Two spaces end a number.
_RUN = re.compile(
    rf"(?<![{_LETTER}])\(?(?:\+ ?)?\(?\d(?:(?: ?\(|\)[ .\-/]?|[ .\-/])?\d)*"
    rf"(?:(?= ?(?:x|ext\.?) ?\d)|(?![{_LETTER}]))"
)
_EXTENSION = re.compile(r" ?(?:x|ext\.?) ?\d{1,6}(?!\w)")
_GROUP = re.compile(r"\d+")
_DATE = re.compile(
    r"(?<!\d)(?:(?:19|20)\d\d([-./])(?:0?[1-9]|1[0-2])\1(?:0?[1-9]|[12]\d|3[01])"
    r"|(?:0?[1-9]|[12]\d|3[01])([-./])(?:0?[1-9]|[12]\d|3[01])\2(?:19|20)\d\d)(?!\d)"
)
# How far before a number the word that names it may stand, in characters.
_BEFORE = 36
_PHONE_WORD = re.compile(
    r"\b(?:tel|phone|telephone|mobile?|cell|call(?:er|ed|ing)?|dial(?:l?ed)?|fax|hotline|whatsapp|sms|handy|text me"
    r"|ring (?:me|us|her|him)|ph|tlf|puh|(?:my|your|her|his|their|our|old|new) number"
    r"|reach (?:me|us|her|him)|m[oó]vil|celular|cellulare|portable|mobil(?:e|nummer|telefon)?|gsm)\b"
    r"|tel[eé]f|telefo|telepho|phone|ruf(?:en|t|nummer)|rückruf|appel[ez]|num[eé]ro de t|ll[aá]ma|chiama|ligue|\bbel\b"
    r"|zadzwo|dzwo|тел|звон|номер|电话|手机|号码|號碼|联系|電話|携帯|전화|هاتف|جوال|फोन|मोबाइल|โทร"
    r"|điện thoại|telpon|telefon",
    re.IGNORECASE,
)
_CALLING_CODES = frozenset(
    map(
        str,
        (
            *(
                1,
                7,
                20,
                27,
                30,
                31,
                32,
                33,
                34,
                36,
                39,
                40,
                41,
                43,
                44,
                45,
                46,
                47,
                48,
                49,
                51,
                52,
                53,
                54,
                55,
                56,
                57,
                58,
            ),
            *(60, 61, 62, 63, 64, 65, 66, 81, 82, 84, 86, 90, 91, 92, 93, 94, 95, 98),
        ),
    )
)
# Of codes with three digits the first two: all codes that begin so are in use or kept for use.
_CALLING_CODE_HEADS = frozenset(
    map(str, (21, 22, 23, 24, 25, 26, 29, 35, 37, 38, 42, 50, 59, 67, 68, 69, 80, 85, 87, 88, 96, 97, 99))
)
# National numbers without separators: a trunk zero and nine or ten digits, or eleven of a German mobile.
_TRUNK = re.compile(r"0[1-9]\d{8,9}|01[567]\d{9}")
_CHINESE = re.compile(r"1[3-9]\d{9}")
_HAN = re.compile("[\u4e00-\u9fff]")
_CARD_WORD = re.compile(
    r"card|kart|carte|carta|tarjeta|cart[aã]o|карт|卡|カード|카드|visa|maestro|\bpan\b", re.IGNORECASE
)
_YEAR = re.compile(r"(?:19|20)\d\d")


def find_numbers(text: str) -> Iterator[Span]:
    """Yield cards, telephones and identities that are runs of digits. A span may hold several kinds at once."""
    for run in _RUN.finditer(text):
        if sum(map(str.isdigit, run[0])) < 7:
            continue
        start = run.start()
        for date in _DATE.finditer(text, run.start(), run.end()):
            yield from _judge(text, start, date.start())
            start = date.end()
        yield from _judge(text, start, run.end())


def _judge(text: str, start: int, end: int) -> Iterator[Span]:
    groups = list(_GROUP.finditer(text, start, end))
    if not groups or sum(map(len, (group[0] for group in groups))) < 7:
        return
    before = text[max(0, start - _BEFORE) : start]
    cards = list(_cards(text, groups, named=_CARD_WORD.search(before) is not None))
    if cards:
        yield from cards
        return
    first = groups[0].start()
    opened = text[start:first]
    begin = start + (len(opened) - len(opened.lstrip()))
    if _is_phone(text[begin : groups[-1].end()], [group[0] for group in groups], before):
        extension = _EXTENSION.match(text, groups[-1].end())
        yield Span(begin, extension.end() if extension else groups[-1].end(), "phone")


def _cards(text: str, groups: list[re.Match[str]], *, named: bool) -> Iterator[Span]:
    at = 0
    while at < len(groups):
        digits, until = "", at
        found = None
        while until < len(groups) and len(digits) < 19:
            if until > at and (
                groups[until].start() - groups[until - 1].end() != 1 or not 3 <= len(groups[until][0]) <= 7
            ):
                break
            digits += groups[until][0]
            until += 1
            whole = until == at + 1 or len(groups[at][0]) == 4
            # With a word for it, old and rare schemes count too.
            rare = named and 12 <= len(digits) <= 19 and len(set(digits)) > 1 and checks.luhn(digits)
            if whole and (rare or (14 <= len(digits) <= 19 and checks.card(digits))):
                found = until
        begin = groups[at].start()
        # The digits after a decimal point are no card.
        decimal = begin >= 2 and text[begin - 1] in ".," and text[begin - 2].isdigit()
        if found is None or decimal:
            at += 1
            continue
        yield Span(begin, groups[found - 1].end(), "card")
        at = found


def _is_phone(shown: str, groups: list[str], before: str) -> bool:
    digits = "".join(groups)
    count = len(digits)
    if shown.startswith(("+", "(+")):
        if len(groups) == 1 and count < 10 and before.rstrip(" ")[-1:].isdigit():  # a sum
            return False
        return _international(digits)
    if digits.startswith("00"):
        return digits[2] != "0" and 11 <= count <= 17 and _international(digits[2:])
    named = _PHONE_WORD.search(before) is not None
    if "." in shown and len(groups) == 2 and not named:  # a decimal fraction
        return False
    in_parentheses = (
        ")" in shown and not _YEAR.fullmatch(groups[0]) and min(map(len, groups[1:]), default=0) >= 2
    )
    if in_parentheses and 8 <= count <= 12 and len(groups) >= 3 - (len(groups[-1]) > 5):
        return True
    shape = [len(group) for group in groups]
    american = (
        (shape == [3, 3, 4] and groups[0][0] > "1" and groups[1][0] > "1")
        or (shape == [1, 3, 3, 4] and groups[0] == "1" and groups[1][0] > "1" and groups[2][0] > "1")
    )  # fmt: skip
    if american and (named or " " not in shown):
        return True
    if digits[0] == "0" and len(set(digits)) > 2:
        if len(groups) == 1:
            counted = digits in "01234567890123456789" or "isbn" in before.lower()
            return (_TRUNK.fullmatch(digits) is not None and not counted) or (named and 9 <= count <= 12)
        if (
            (9 <= count <= 13 or (count == 8 and len(groups) > 3 and "-" in shown))
            and 2 <= shape[0] <= 5
            and min(shape[1:]) >= 2
            and not _steps_evenly(groups)
        ):
            return True
    if shape in ([1, 3, 3, 4], [1, 3, 3, 2, 2]) and digits[0] == "8":  # Russia
        return True
    if shape in ([2, 4, 4], [2, 5, 4]) and " " in shown and "-" in shown and "." not in shown:  # Brazil
        return True
    if len(groups) == 1 and _CHINESE.fullmatch(digits) and _HAN.search(before):
        return True
    return named and 7 <= count <= 13 and len(set(digits)) > 1 and not _steps_evenly(groups)


def _international(digits: str) -> bool:
    """Whether digits after "+" or "00" are a number by ITU-T E.164."""
    if digits[0] == "1":
        return len(digits) == 11 and digits[1] > "1"
    known = digits[:2] in _CALLING_CODES or digits[0] == "7" or digits[:2] in _CALLING_CODE_HEADS
    return known and 8 <= len(digits) <= 15 and len(set(digits)) > 2


def _steps_evenly(groups: list[str]) -> bool:
    """Whether the groups count: 01 02 03 04 05."""
    values = [int(group) for group in groups]
    steps = {after - one for one, after in itertools.pairwise(values)}
    return len(groups) > 3 and len(steps) == 1


_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{2}(?:[ -]?[A-Za-z0-9]){11,30}")


def find_ibans(text: str) -> Iterator[Span]:
    """Yield IBANs with right check digits, compact or in groups, in small letters too."""
    at = 0
    while (found := _IBAN.search(text, at)) is not None:
        at = found.start() + 4
        wanted = checks.IBAN_LENGTHS.get(found[0][:2].upper())
        if wanted is None:
            continue
        compact, end = "", found.start()
        for place, char in enumerate(found[0], found.start()):
            if char not in " -":
                compact += char
            if len(compact) == wanted:
                end = place + 1
                break
        if checks.iban(compact.upper()):
            yield Span(found.start(), end, "iban")
            at = end


def _digits(text: str) -> str:
    return "".join(char for char in text if char.isdigit())


def _named(words: str) -> re.Pattern[str]:
    return re.compile(words, re.IGNORECASE)


# Each: what it looks like; whether it is right; the word that must stand before it where the digits say too little.
_IDENTITIES = (
    (re.compile(r"(?<![\w-])(?!000|666|9)\d{3}-(?!00)\d\d-(?!0000)\d{4}(?![\w-])"), None, None),
    (
        re.compile(r"(?<![\w-])(?!000|666|9)\d{3} ?(?!00)\d\d ?(?!0000)\d{4}(?!\w)"),
        None,
        _named(r"\bssn\b|social security"),
    ),
    (
        re.compile(r"(?<!\w)[A-CEGHJ-PQ-TW-Z][A-NP-Z] ?\d\d ?\d\d ?\d\d ?[A-D](?!\w)"),
        None,
        _named(r"\bnino\b|\bni (?:no|num)|national insurance"),
    ),
    (
        re.compile(r"(?<![\w-])(?:\d{8}|[XYZ]\d{7})-?[A-Z](?![\w-])"),
        lambda text: checks.spanish_id(text.replace("-", "")),
        None,
    ),
    (
        re.compile(r"(?<![\w.-])\d{3}\.\d{3}\.\d{3}-\d\d(?![\w-])"),
        lambda text: checks.brazilian_id(_digits(text)),
        None,
    ),
    (re.compile(r"(?<![\w.-])\d{11}(?!\w)"), checks.brazilian_id, _named(r"\bcpf\b")),
    (
        re.compile(r"(?<!\w)[A-Z]{6}\d\d[A-EHLMPRST]\d\d[A-Z]\d{3}[A-Z](?!\w)", re.ASCII),
        checks.italian_id,
        None,
    ),
    (
        re.compile(r"(?<![\w.])756\.?\d{4}\.?\d{4}\.?\d\d(?!\w)"),
        lambda text: checks.swiss_id(_digits(text)),
        None,
    ),
    (
        re.compile(r"(?<![\w.])[12] ?\d\d ?(?:0[1-9]|1[0-2]) ?\d\d ?\d{3} ?\d{3} ?\d\d(?!\w)"),
        lambda text: checks.french_id(_digits(text)),
        None,
    ),
    (
        re.compile(r"(?<![A-Za-z0-9])[1-9]\d{5}(?:19|20)\d{9}[0-9X](?![A-Za-z0-9])"),
        checks.chinese_id,
        None,
    ),
    (
        re.compile(r"(?<![\w.-])(?:19|20)?\d{6}[-+]\d{4}(?![\w-])"),
        lambda text: checks.luhn(_digits(text)[-10:]),
        None,
    ),
    (
        re.compile(r"(?<![\w.-])\d(?: ?\d){8,11}(?!\w)"),
        None,
        _named(r"pesel|steuer-?id|identifikationsnummer|aadhaa?r|\bbsn\b|burgerservice|personnummer|tax id|\bcpr\b"),
    ),
)  # fmt: skip


# Where an identity can be: six digits, each with a separator at most; or the beginning of a codice fiscale.
_DENSE = re.compile(r"\d(?:[ .+-]?\d){5,}|[A-Z]{6}\d\d")


def find_identities(text: str) -> Iterator[Span]:
    """Yield national identity, tax and social security numbers that are certain by check digits or by name."""
    low, high = -1, -100
    for dense in _DENSE.finditer(text):
        if dense.start() - 8 > high:
            yield from _identities(text, low, high)
            low = max(0, dense.start() - 8)
        high = dense.end() + 12
    yield from _identities(text, low, high)


def _identities(text: str, low: int, high: int) -> Iterator[Span]:
    if low < 0:
        return
    for pattern, is_right, named in _IDENTITIES:
        for found in pattern.finditer(text, low, high):
            if is_right is not None and not is_right(found[0]):
                continue
            if named is None or named.search(text, max(0, found.start() - _BEFORE), found.start()):
                yield Span(found.start(), found.end(), "id")
