"""Postal addresses: a street and a number, as several countries write them.

Only the street and the house number are certain enough to be found, with what follows them (flat, post code, town)
where it stands in a form of its own. A street without a number, and the name of a place, stay.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from stonechat_agent.privacy.spans import Span

_UP = "A-ZÀ-ÖØ-ÞĀĂĄĆČĎĐĒĖĘĚĞĢĪĮİĶĹĻĽŁŃŅŇŌŐŒŔŘŚŞŠŢŤŪŮŰŲŹŻŽ"
_LOW = "a-zß-öø-ÿāăąćčďđēėęěğģīįıķĺļľłńņňōőœŕřśşšţťūůűųźżž"
_ANY = _UP + _LOW
_CAPITAL = rf"[{_UP}][{_ANY}'-]{{0,24}}"
_HOUSE = r"\d{1,4}(?: ?[a-z](?![a-z]))?(?:[/-]\d{1,4}[a-z]?)?(?![\w%])"
_TOWN = rf"(?:, ?(?:[A-Z]-)?\d{{3,5}}(?: ?\d\d)?(?: [A-Z]{{2}})? {_CAPITAL}(?: {_CAPITAL})?)?"

# Patterns begin with a digit, which the engine looks for fast, and then look back.
_ENGLISH = re.compile(
    r"(?P<number>\d(?<![\w.,:/-]\d)\d{0,4}[A-Za-z]?(?:[-/]\d{1,5})?),? (?:[NSEW]\.? |[NS][EW] )?"
    rf"(?:(?:{_CAPITAL}|\d{{1,3}}(?:st|nd|rd|th))\.? ){{1,4}}"
    r"(?:Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Courts?|Ct|Place|Pl|Squares?|Sq|Terrace|Ter|Way"
    r"|Parkway|Pkwy|Highway|Hwy|Crescent|Cres|Close|Circles?|Cir|Row|Gardens|Gdns|Mews|Grove|Quay|Walk|Alley|Loop"
    r"|Trail|Broadway|Esplanade|Parade|Motorway|Expressway|Freeway|Turnpike|Bypass|Causeway|Plaza|Path|Pike|Ridge"
    r"|Crossing|Heights|Hollow|Landing|Manor|Meadows?|Trace|Glen|Hill|Rise|Wharf|Yard|Point)"
    r"(?![A-Za-z])\.?(?: [NSEW]{1,2}(?!\w))?(?:,? (?:[Aa]pt|[Ss]uite|[Uu]nit|[Ff]lat|[Ff]loor|#)\.? ?\w{1,5})?"
    rf"(?:, {_CAPITAL}(?: {_CAPITAL})?,? (?:[A-Z]{{2}} \d{{5}}(?:-\d{{4}})?"
    rf"|[A-Z]{{1,2}}\d[A-Z\d]? ?\d[A-Z]{{2}})(?!\w))?"
)
_FLAT_BEFORE = re.compile(r"(?:\b[Ff]lat|[Aa]pt\.?|[Uu]nit|[Aa]partment|[Ss]uite|[Ss]tudio) \w{1,5},? \Z")
# "In 2008 Wall Street crashed" is no address.
_YEAR_BEFORE = re.compile(
    r"(?:\b(?:in|since|by|from|of|until|after|before|during|around|to|and)|[,-]) ?\Z", re.IGNORECASE
)
_FRENCH = re.compile(
    r"\d(?<![\w.,/-]\d)\d{0,3}(?: ?(?:bis|ter|quater|[A-D]))?,? (?:[Rr]ue|[Aa]venue"
    r"|[Aa]v\.|[Bb]oulevard|[Bb]d\.?|[Pp]lace"
    r"|[Aa]ll[ée]e|[Cc]hemin|[Ii]mpasse|[Qq]uai|[Rr]oute|[Cc]ours|[Ss]quare|[Pp]assage|[Ff]aubourg|[Ss]entier|[Rr]uelle)"
    rf"(?: (?:de la|de l'|de|du|des|d'|la|le|les|au|aux))?[ '](?:{_CAPITAL}|\d{{1,2}} {_CAPITAL})"
    rf"(?:[ -](?:(?:de|du|des|la|le|et) )?{_CAPITAL}){{0,3}}{_TOWN}"
)
# Czech and Slovak: the form of the post code is what makes it certain.
_BEFORE_CODE = re.compile(rf"\d{{1,4}}(?:/\d{{1,4}})?, \d{{3}} \d\d {_CAPITAL}")
_STREET_BEFORE = re.compile(rf"{_CAPITAL}(?: {_CAPITAL})? \Z")

# German, Dutch, Scandinavian and Finnish: one word that ends like a street, before the number.
_ENDS = (
    "straße", "strasse", "str.", "weg", "platz", "allee", "gasse", "ring", "damm", "ufer", "chaussee", "steig", "pfad",
    "markt", "stieg", "straat", "laan", "plein", "gracht", "kade", "singel", "dijk", "dreef", "steeg", "boulevard",
    "gatan", "vägen", "väg", "gränd", "stigen", "torget", "gade", "stræde", "vej", "vænget", "torv", "plads",
    "gata", "gate", "veien", "vegen", "katu", "kuja", "polku", "bulevardi", "ntie",
)  # fmt: skip
_WORDS = (
    "Straße",
    "Strasse",
    "Str.",
    "Weg",
    "Platz",
    "Allee",
    "Gasse",
    "Ring",
    "Damm",
    "Ufer",
    "Markt",
    "Allé",
)
_BEFORE_HOUSE = re.compile(r" (?<=[a-zßé.] )(?:[Nn]r\.? ?)?\d")
_GERMANIC = re.compile(
    rf"(?P<street>(?:{_CAPITAL} ){{0,2}}(?:[{_UP}][{_ANY}-]{{1,40}}?(?:{'|'.join(map(re.escape, _ENDS))})"
    rf"|[{_UP}][{_LOW}]{{2,20}}(?:e|er|s|en) (?:{'|'.join(map(re.escape, _WORDS))})"
    rf"|[{_UP}][{_ANY}-]{{2,40}}[- ](?:{'|'.join(map(re.escape, _WORDS))})|Unter den Linden))"
    rf" (?:[Nn]r\.? ?)?{_HOUSE}{_TOWN}"
)
_NOT_A_STREET = re.compile(
    r"(?:[Pp]ark|[Ss]itz|[Ss]teh|[Aa]rbeits|[Ss]piel|[Ss]peicher|[Ss]tell|[Zz]elt|[Aa]bstell|[Ll]ager|[Ll]iege|[Rr]ast"
    r"|[Ff]laggen|[Ss]port|[Gg]olf|[Tt]ennis|[Cc]amping|[Aa]usbildungs|[Ss]tudien|[Ff]enster)platz"
    r"|Umweg|Ausweg|Hinweg|Rückweg|Heimweg|Fahrweg|Bremsweg|Boxring|Feuerring|Staudamm|Sackgasse|Luftweg|Rechtsweg"
    r"|^(?:During|Spring|String|Bring|Ring|Weg|Platz|Markt|Gate|The|A|Der|Die|Das|Den|Dem|De|Het)\b"
)
# "Am Alten Markt 7": so much in German begins like that that a post code must follow.
_PREPOSITION = re.compile(
    r"(?<!\w)(?:Am|An der|An den|Im|In der|In den|Auf der|Auf dem|Unter den|Zum|Zur|Beim|Hinter der|Vor dem)"
    rf" {_CAPITAL}(?: {_CAPITAL})? \d{{1,4}} ?[a-z]?,? ?(?:[A-Z]{{1,2}}-)?\d{{4,5}} {_CAPITAL}"
    rf"|(?<!\w)Laan van {_CAPITAL} \d{{1,4}}(?!\w)"
)
_BOX = re.compile(r"(?<!\w)(?:P\. ?O\. ?|PO )Box \d{1,6}(?!\w)|(?<!\w)Postfach \d[\d ]{1,8}(?!\w)")
_BELGIAN = re.compile(
    rf"(?<!\w)(?:Rue|Avenue|Boulevard|Chaussée) (?:(?:de la|de|du|des) )?{_CAPITAL}(?: {_CAPITAL})? \d{{1,4}}(?![\w%:])"
)
_SOUTHERN = re.compile(
    r"(?<!\w)(?:Calle|C/|Avenida|Avda\.?|Av\.?|Plaza|Pza\.|Paseo|Carrera|Camino|Carretera|Ronda|Travesía|Rambla|Pasaje"
    r"|Callejón|Glorieta|Cuesta|Via|Viale|V\.le|Piazza|P\.za|Piazzale|Corso|Largo|Vicolo|Strada|Lungomare|Contrada|Borgo"
    r"|Rua|Travessa|Praça|Alameda|Estrada|Rodovia|Carrer) "
    rf"(?:(?:de|del|de la|de las|de los|dei|delle|della|dell'|di|do|da|dos|das) ?)?{_CAPITAL}"
    rf"(?: (?:(?:de|del|y|e|dei|di|do|da|dos|das) )?{_CAPITAL}){{0,3}},? (?:n\.?º ?|nº ?|núm\. ?|n\. ?|# ?|s/n ?)?"
    rf"\d{{1,5}}(?: ?[A-Z](?!\w))?(?![\w%]){_TOWN}"
)
_EASTERN = re.compile(
    rf"(?<!\w)(?:ul\.|al\.|pl\.|os\.|ulica |aleja |plac |osiedle )"
    rf" ?{_CAPITAL}(?: {_CAPITAL})? \d{{1,4}}[a-z]?(?:/\d{{1,4}})?{_TOWN}"
    r"|(?<!\w)(?:ул\.|улица|пр\.|проспект|пер\.|переулок|бул\.|бульвар|ш\.|шоссе|наб\.|вул\.)"
    r" ?[А-ЯІЇЄ][а-яіїє-]{1,30}(?: [А-ЯІЇЄ][а-яіїє-]{1,30})?,?"
    r" (?:д\.|дом )? ?\d{1,4}(?:/\d{1,4})?(?: ?[а-я](?!\w))?(?:, ?кв\.? ?\d{1,4})?"
    rf"|(?<!\w){_CAPITAL}(?: {_CAPITAL})? (?:Caddesi|Sokak|Sokağı|Bulvarı|Cad\.|Sok\.) (?:No: ?)?\d{{1,4}}(?!\w)"
)
_HAN = re.compile(
    r"[\u4e00-\u9fff]{1,8}(?:路|街|大道|大街|巷|弄|胡同)\d{1,5}(?:弄\d{1,4})?[号號]"
    r"|[\u3040-\u30ff\u4e00-\u9fff]{1,12}[区市町村郡][\u3040-\u30ff\u4e00-\u9fff]{1,12}\d{1,3}"
    r"(?:丁目|-\d{1,3})(?:-?\d{1,3}(?:番地?|号)?){0,3}"
    r"|[\uac00-\ud7a3]{1,8}(?:로|길) ?\d{1,4}(?:-\d{1,3})?(?:번길 \d{1,4})?(?=[ ,.]|\Z)"
)
# Patterns that begin with words, each with the words of which one must be in the text: looking for those is fast.
_BY_WORDS: tuple[tuple[re.Pattern[str], tuple[str, ...]], ...] = (
    (_BOX, ("Box ", "Postfach ")),
    (
        _PREPOSITION,
        ("Am ", "An de", "Im ", "In de", "Auf de", "Unter den", "Zum ", "Zur ", "Beim ", "Hinter", "Vor dem", "Laan "),
    ),
    (_BELGIAN, ("Rue ", "Avenue ", "Boulevard ", "Chaussée ")),
    (
        _SOUTHERN,
        (
            *("Calle", "C/ ", "Avenida ", "Avda", "Av. ", "Av ", "Plaza "),
            *("Pza. ", "Paseo ", "Carrer", "Camino ", "Ronda "),
            *("Travesía ", "Rambla ", "Pasaje ", "Glorieta ", "Cuesta ", "Via ", "Viale ", "V.le ", "Piazza", "P.za "),
            *("Corso ", "Largo ", "Vicolo ", "Strada ", "Lungomare ", "Contrada ", "Borgo ", "Rua ", "Travessa "),
            *("Praça ", "Alameda ", "Estrada ", "Rodovia "),
        ),
    ),
    (
        _EASTERN,
        (
            *("ul.", "al.", "pl.", "os.", "ulica ", "aleja ", "plac "),
            *("osiedle ", "ул.", "улица", "пр.", "проспект", "пер."),
            *("переулок", "бул.", "бульвар", "ш.", "шоссе", "наб.", "вул.", " Cad", " Sok", " Bulvar"),
        ),
    ),
)  # fmt: skip
_DIGIT = re.compile(r"\d")


def find_places(text: str) -> Iterator[Span]:
    """Yield streets with a house number, and boxes."""
    if not _DIGIT.search(text):
        return
    for found in _ENGLISH.finditer(text):
        number = found["number"]
        year = number.isdigit() and 1700 <= int(number) <= 2099
        if not (year and _YEAR_BEFORE.search(text, max(0, found.start() - 10), found.start())):
            flat = _FLAT_BEFORE.search(text, max(0, found.start() - 18), found.start())
            yield Span(flat.start() if flat else found.start(), found.end(), "address")
    yield from _germanic(text)
    for found in _FRENCH.finditer(text):
        yield Span(found.start(), found.end(), "address")
    for code in _BEFORE_CODE.finditer(text):
        street = _STREET_BEFORE.search(text, max(0, code.start() - 60), code.start())
        if street:
            yield Span(street.start(), code.end(), "address")
    for pattern, words in _BY_WORDS:
        if any(word in text for word in words):
            for found in pattern.finditer(text):
                yield Span(found.start(), found.end(), "address")
    if not text.isascii():
        for found in _HAN.finditer(text):
            yield Span(found.start(), found.end(), "address")


def _germanic(text: str) -> Iterator[Span]:
    """Yield words that end like a street before a house number: looked for from the number backwards."""
    ends = (*_ENDS, *_WORDS, "Linden")
    for house in _BEFORE_HOUSE.finditer(text):
        if not text.endswith(ends, 0, house.start()):
            continue
        for found in _GERMANIC.finditer(text, max(0, house.start() - 80), min(len(text), house.end() + 60)):
            before = text[found.start() - 1] if found.start() else " "
            if before.isalnum() or before == "-" or found.end() < house.end():
                continue
            if not _NOT_A_STREET.search(found["street"]):
                yield Span(found.start(), found.end(), "address")
