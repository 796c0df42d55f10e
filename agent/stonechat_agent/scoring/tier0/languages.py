"""Which language a text is in, where that is certain: by its script, by letters of its own, or by its little words.

Wrong is worse than nothing here: what is short, mixed, or code gives None.
"""

from __future__ import annotations

import re

_STOP = {
    "en": (
        "a an the of and to in is that it for you with on are this be as have from or by not but what "
        "which your can will how they their there was were has would should about into these my me i do "
        "does if when who why could"
    ),
    "de": (
        "der die das und ist nicht ein eine einen zu den mit von für auf sich des dem im als auch es an "
        "werden aus wie wird sind oder ich sie wir du mir mich kann können bei zum zur über nach durch "
        "haben hat was wer wo warum"
    ),
    "fr": (
        "le la les et des est un une du dans que qui pour pas sur avec plus par ce il elle sont au aux ne "
        "se en vous nous cette ces son sa ses ou mais être je tu peut comme quel quelle quels leur moi "
        "mon ma"
    ),
    "es": (
        "a el la los las y de que en un una es por con para no se del al lo como más su sus este esta "
        "pero son o qué cómo puede ser ha muy yo tú mi me cuál cuáles entre también hay"
    ),
    "it": (
        "a il lo la gli le e di che in un una è per con non si del della dei delle da come più sono al "
        "alla questo questa ma o anche nel nella ha essere mi ti puoi quale quali cosa io perché loro"
    ),
    "pt": (
        "o a os as e de que em um uma é para com não se do da dos das no na por como mais ao são ou mas "
        "você seu sua isso este esta foi ser também pode eu me qual quais muito"
    ),
    "nl": (
        "de het een en van is in dat op te zijn met voor niet aan er om ook als bij of naar door maar uit "
        "kan je ik u dit deze worden wordt hebben heeft wat hoe wie waarom mijn"
    ),
    "pl": (
        "w i na z że się nie do to jest o jak za po dla od są może przez czy co ale lub oraz który która "
        "które jego ich być mi mnie ja ty jaki jakie"
    ),
    "sv": (
        "och att det är som en på av för med till den har inte om ett de i jag du kan från eller vid hur "
        "vad så var när mig min ska också sig"
    ),
    "tr": (
        "ve bir bu için ile de da ne çok olarak daha gibi olan en var kadar ama veya nasıl mi mı ben sen "
        "bana benim nedir şu her sonra"
    ),
    "id": (
        "yang dan di untuk dengan adalah dari ini itu pada tidak dalam akan atau ke dapat juga oleh "
        "bagaimana apa saya anda bisa sebagai lebih karena"
    ),
    "vi": (
        "là và của có các một được cho trong không những với người này để từ tôi bạn như về khi đã ra nào "
        "thể cũng"
    ),
    "cs": (
        "je a se na v že to s z do pro jako by jsou nebo ale jak co o by ve které který která kde jeho "
        "může být mi"
    ),
    "fi": ("ja on ei että se oli myös hän ovat kun joka tai mutta niin kuin voi miten mikä ole minun sinun"),
    "ro": (
        "și este de la în cu nu un o pe să din care mai sunt pentru ce sau prin ca fi ai am această acest"
    ),
}
_WORDS_OF: dict[str, tuple[str, ...]] = {}
for _language, _words in _STOP.items():
    for _word in set(_words.split()):
        _WORDS_OF[_word] = (*_WORDS_OF.get(_word, ()), _language)

_FENCED = re.compile(r"^ {0,3}(```+|~~~+).*?(?:^ {0,3}\1|\Z)", re.DOTALL | re.MULTILINE)
_INLINE = re.compile(r"`[^`\n]{1,200}`|https?://\S+|<[^<>\n]{1,200}>")
_WORD = re.compile(r"[^\W\d_]+")
_SCRIPTS = (
    ("kana", re.compile("[\u3040-\u30ff]")),
    ("han", re.compile("[\u3400-\u9fff]")),
    ("hangul", re.compile("[\uac00-\ud7a3]")),
    ("cyrillic", re.compile("[\u0400-\u04ff]")),
    ("arabic", re.compile("[\u0600-\u06ff]")),
    ("devanagari", re.compile("[\u0900-\u097f]")),
    ("greek", re.compile("[\u0370-\u03ff]")),
    ("hebrew", re.compile("[\u0590-\u05ff]")),
    ("thai", re.compile("[\u0e00-\u0e7f]")),
)
_ALONE = {"hangul": "ko", "arabic": "ar", "devanagari": "hi", "greek": "el", "hebrew": "he", "thai": "th"}
_LOOKED_AT = 1500
# A word that speaks of languages or of translating: then the answer may well be in another one.
_SPEAKS_OF_LANGUAGE = re.compile(
    r"translat|transl[ií]t|übersetz|tradu|traduz|vertaal|przet[łl]umacz|перев[её]|översätt|çevir|terjemah|dịch|翻[译譯訳]|訳|번역|ترجم|अनुवाद"
    r"|\b(?:language|sprache|langue|idioma|lingua|taal|j[eę]zyk|язык|dil|bahasa)\b|语言|語|언어"
    r"|english|englis[ck]h|anglais|ingl[eé]s|английск|英[语語文]|영어|bahasa inggris|angielsk|engels|tiếng"
    r"|german|deutsch|allemand|alem[aá]n|tedesc|немецк|德[语語]|ドイツ"
    r"|french|französisch|français|francés|frances|французск|法[语語]|フランス"
    r"|spanish|spanisch|espagnol|español|spagnol|испанск|西班牙"
    r"|italian|italienisch|italien|italiano|итальянск|portugu|polish|polnisch|polski|russian|russisch|russe|ruso|русск|俄"
    r"|chinese|chinesisch|chinois|chino|китайск|中文|汉语|中国語|mandarin|japanese|japanisch|japonais|japon|日[语語本]|korean"
    r"|arabic|hindi|turkish|dutch|swedish|latin|grammar|grammat|vocabular|rhyme|haiku|lyrics|poem|song",
    re.IGNORECASE,
)


def speaks_of_language(text: str) -> bool:
    """Whether a text names a language or asks for a translation."""
    return _SPEAKS_OF_LANGUAGE.search(text) is not None


def language(text: str) -> str | None:
    """Return the ISO 639-1 code of the one language of a text, or None where that is not certain."""
    text = text[:_LOOKED_AT]
    if "```" in text or "~~~" in text:
        text = _FENCED.sub(" ", text)
    text = _INLINE.sub(" ", text)
    letters = sum(map(str.isalpha, text))
    if letters < 8 or sum(map(text.count, "{}()[]<>;=_|")) > 0.1 * letters:  # little, or code and tables
        return None
    counts: dict[str, int] = {}
    if not text.isascii():
        for name, pattern in _SCRIPTS:
            if found := len(pattern.findall(text)):
                counts[name] = found
    east = counts.get("kana", 0) + counts.get("han", 0)
    if east >= 0.5 * letters:
        # Japanese has kana in every sentence; a few in a Chinese text are quoted.
        kana = counts.get("kana", 0)
        return "ja" if kana >= 0.15 * east else "zh" if kana <= 0.02 * east else None
    for name, code in _ALONE.items():
        if counts.get(name, 0) >= 0.6 * letters:
            return code
    other = sum(counts.values())
    cyrillic = counts.get("cyrillic", 0)
    if cyrillic >= 0.6 * letters:
        return _cyrillic(text.lower())
    return _by_words(text) if other < 0.1 * letters else None


def _cyrillic(text: str) -> str | None:
    """Tell Russian from Ukrainian by the letters that only one of them has; other languages have neither or both."""
    russian = sum(map(text.count, "ыэё"))
    ukrainian = sum(map(text.count, "іїєґ"))
    if russian and not ukrainian and not any(map(text.count, "ўђћљњџѓќјқңұө")):
        return "ru"
    return "uk" if ukrainian > 1 and not russian else None


def _by_words(text: str) -> str | None:
    words = _WORD.findall(text.lower())
    if len(words) < 4:
        return None
    # A word of several languages speaks for each of them a little.
    points: dict[str, float] = {}
    seen: dict[str, set[str]] = {}
    hits: dict[str, int] = {}
    for word in words:
        codes = _WORDS_OF.get(word, ())
        for code in codes:
            points[code] = points.get(code, 0.0) + 1 / len(codes)
            hits[code] = hits.get(code, 0) + 1
            seen.setdefault(code, set()).add(word)
    if not points:
        return None
    code, *others = sorted(points, key=points.__getitem__, reverse=True)
    second = points[others[0]] if others else 0.0
    # Distinct words: a name such as "Die Linke" or a column of "no" gives one word many times.
    if (
        hits[code] < 0.2 * len(words)
        or len(seen[code]) < (3 if len(words) < 8 else 4 if len(words) < 30 else 6)
        or points[code] < 1.8 * second
    ):
        return None
    return code
