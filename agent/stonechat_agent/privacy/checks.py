"""Check digits, and whether a word looks drawn at random."""

from __future__ import annotations

import itertools

IBAN_LENGTHS = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BR": 29, "BY": 28,
    "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DK": 18, "DO": 28, "EE": 20, "EG": 29, "ES": 24, "FI": 18,
    "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28, "HR": 21, "HU": 28, "IE": 22,
    "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28, "LC": 32, "LI": 21, "LT": 20,
    "LU": 20, "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MR": 27, "MT": 31, "MU": 30, "NL": 18,
    "NO": 15, "PK": 24, "PL": 28, "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22, "SA": 24, "SC": 31, "SD": 18,
    "SE": 24, "SI": 19, "SK": 24, "SM": 27, "ST": 25, "SV": 28, "TL": 23, "TN": 24, "TR": 26, "UA": 29, "VA": 22,
    "VG": 24, "XK": 20,
}  # fmt: skip
"""Characters of an IBAN by country: the SWIFT registry."""

_NIF = "TRWAGMYFPDXBNJZSQVHLCKE"
_CODICE_ODD = dict(
    zip(
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        (
            *(1, 0, 5, 7, 9, 13, 15, 17, 19, 21),
            *(1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23),
        ),
        strict=True,
    )
)


def luhn(digits: str) -> bool:
    """Whether the last of the digits is right by ISO/IEC 7812-1, annex B."""
    total = 0
    for place, char in enumerate(reversed(digits)):
        value = int(char) << (place & 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def iban(compact: str) -> bool:
    """Whether capitals and digits without spaces are an IBAN: a known country, its length, ISO 7064 MOD 97-10."""
    if IBAN_LENGTHS.get(compact[:2]) != len(compact) or not compact[2:4].isdigit():
        return False
    return int("".join(str(int(char, 36)) for char in compact[4:] + compact[:4])) % 97 == 1


def card(digits: str) -> bool:
    """Whether digits are a payment card's: the length and the first digits of a scheme, and Luhn."""
    head = int(digits[:4]) if len(digits) >= 14 else 0
    length = len(digits)
    known = (
        (4000 <= head < 5000 and length in (16, 19))
        or ((5000 <= head < 6000 or 2221 <= head <= 2720) and length == 16)
        or (3400 <= head < 3500 and length == 15)
        or (3700 <= head < 3800 and length == 15)
        or ((3000 <= head < 3060 or 3600 <= head < 3700 or 3800 <= head < 4000) and length in (14, 16))
        or (3528 <= head < 3590 and length in (16, 19))
        or (6000 <= head < 7000 and length in (16, 18, 19))
    )
    return known and len(set(digits)) > 1 and luhn(digits)


def spanish_id(text: str) -> bool:
    """Whether eight digits, or X, Y, Z and seven, and a letter are a DNI or NIE."""
    number = text[:-1].replace("X", "0").replace("Y", "1").replace("Z", "2")
    return _NIF[int(number) % 23] == text[-1]


def brazilian_id(digits: str) -> bool:
    """Whether eleven digits are a CPF."""
    if len(set(digits)) == 1:
        return False
    for length in (9, 10):
        total = sum(int(digit) * (length + 1 - at) for at, digit in enumerate(digits[:length]))
        if int(digits[length]) != total * 10 % 11 % 10:
            return False
    return True


def italian_id(text: str) -> bool:
    """Whether sixteen capitals and digits are a codice fiscale."""
    total = 0
    for at, char in enumerate(text[:15]):
        total += _CODICE_ODD[char] if at % 2 == 0 else int(char, 36) - (10 if char.isalpha() else 0)
    return chr(65 + total % 26) == text[15]


def french_id(digits: str) -> bool:
    """Whether fifteen digits are a number of the French social security."""
    return 97 - int(digits[:13]) % 97 == int(digits[13:])


def chinese_id(text: str) -> bool:
    """Whether seventeen digits and a digit or X are a resident identity number: ISO 7064 MOD 11-2."""
    total = sum(int(digit) * pow(2, 17 - at, 11) for at, digit in enumerate(text[:17]))
    return "10X98765432"[total % 11] == text[17]


def swiss_id(digits: str) -> bool:
    """Whether thirteen digits are an AHV number: EAN-13 that starts with 756."""
    total = sum(int(digit) * (1, 3)[at % 2] for at, digit in enumerate(digits[:12]))
    return digits.startswith("756") and -total % 10 == int(digits[12])


def drawn_at_random(word: str) -> bool:
    """Whether letters and digits look like a key rather than like words: they change kind again and again.

    In base64 of random bytes six of ten neighbours are of different kinds (small, capital, digit); in names in camel
    case it is one in three at most. Two digits must be among them.
    """
    kinds = ["d" if char.isdigit() else "u" if char.isupper() else "l" for char in word if char.isalnum()]
    if kinds.count("d") < 2 or len(kinds) < 20 or "l" not in kinds or "u" not in kinds:
        return False
    changes = sum(before != after for before, after in itertools.pairwise(kinds))
    return changes >= 0.4 * len(kinds)
