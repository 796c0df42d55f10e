"""Postal addresses: a street and a number, as several countries write them.

Only the street and the house number are certain enough to be found, with what follows them (flat, post code, town)
where it stands in a form of its own. A street without a number, and a place name, stay.
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
_PLACE = rf"(?:, ?(?:[A-Z]-)?\d{{3,5}}(?: ?\d\d)?(?: [A-Z]{{2}})? {_CAPITAL}(?: {_CAPITAL})?)?"
_NOT_A_STREET = re.compile(
    r"(?:[Pp]ark|[Ss]itz|[Ss]teh|[Aa]rbeits|[Ss]piel|[Ss]peicher|[Ss]tell|[Zz]elt|[Aa]bstell|[Ll]ager|[Ll]iege|[Ww]ohnungs"
    r"|[Ff]laggen|[Ss]port|[Gg]olf|[Tt]ennis|[Cc]amping|[Aa]us[Bb]ildungs|[Ss]tudien|[Rr]ast|[Ff]enster)platz"
    r"|Umweg|Ausweg|Hinweg|Rückweg|Heimweg|Fahrweg|Bremsweg|Boxring|Feuerring|Staudamm|Sackgasse|Luftweg|Rechtsweg"
)
_YEAR_BEFORE = re.compile(r"(?:\b(?:in|since|by|from|of|until|after|before|during|around|to|and)|[,-]) ?\Z", re.IGNORECASE)

_ENGLISH = re.compile(
    r"(?<![\w.,:/-])(?:(?:[Ff]lat|[Aa]pt\.?|[Uu]nit|[Aa]partment|[Ss]uite) \w{1,5},? )?"
    rf"(?P<number>\d{{1,5}}[A-Za-z]?(?:[-/]\d{{1,5}})?),? (?:[NSEW]\.? |[NS][EW] )?(?:(?:{_CAPITAL}|\d{{1,3}}(?:st|nd|rd|th))\.? ){{1,4}}"
    r"(?:Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Place|Pl|Square|Sq|Terrace|Ter|Way"
    r"|Parkway|Pkwy|Highway|Hwy|Crescent|Cres|Close|Circle|Cir|Row|Gardens|Gdns|Mews|Grove|Quay|Walk|Alley|Loop"
    r"|Trail|Broadway|Esplanade|Parade)(?![A-Za-z])\.?(?: [NSEW]{1,2}(?!\w))?"
    r"(?:,? (?:[Aa]pt|[Ss]uite|[Uu]nit|[Ff]lat|[Ff]loor|#)\.? ?\w{1,5})?"
    rf"(?:, {_CAPITAL}(?: {_CAPITAL})?,? (?:[A-Z]{{2}} \d{{5}}(?:-\d{{4}})?|[A-Z]{{1,2}}\d[A-Z\d]? ?\d[A-Z]{{2}})(?!\w))?"
)
_BOX = re.compile(r"(?<!\w)(?:P\. ?O\. ?|PO |P\.O\.)Box \d{1,6}(?!\w)|(?<!\w)Postfach \d[\d ]{1,8}(?!\w)")
# One word that ends like a street, or begins like a group of words that does.
_GERMANIC = re.compile(
    rf"(?<![{_ANY}\d-])(?P<street>(?:{_CAPITAL} ){{0,2}}(?:[{_UP}][{_ANY}-]{{1,40}}?(?:straße|strasse|str\.|weg|platz|allee"
    r"|gasse|ring|damm|ufer|chaussee|steig|pfad|markt|stieg|straat|laan|plein|gracht|kade|singel|dijk"
    r"|gatan|vägen|väg|gränd|gade|gata|vej|veien|vegen|plads|katu|kuja)"
    r"|[A-ZÄÖÜ][a-zäöüß]{2,20}(?:e|er|s|en) (?:Straße|Strasse|Str\.|Weg|Platz|Allee|Gasse|Ring|Damm|Ufer|Markt)"
    r"|[A-ZÄÖÜ][\wäöüß-]{2,40}-(?:Straße|Strasse|Str\.|Weg|Platz|Allee|Gasse|Ring|Damm|Ufer|Markt)"
    r"|Unter den Linden|Kurfürstendamm|[A-Z][a-z]{4,24}intie))"
    rf" (?:[Nn]r\.? ?)?{_HOUSE}{_PLACE}"
)
# "Am Alten Markt 7": so much in German begins like that that a post code must follow.
_PREPOSITION = re.compile(
    rf"(?<!\w)(?:Am|An der|An den|Im|In der|In den|Auf der|Auf dem|Unter den|Zum|Zur|Beim|Hinter der|Vor dem|Laan van)"
    rf" {_CAPITAL}(?: {_CAPITAL})? \d{{1,4}} ?[a-z]?,? ?(?:[A-Z]{{1,2}}-)?\d{{4,5}} {_CAPITAL}"
    rf"|(?<!\w)Laan van {_CAPITAL} \d{{1,4}}(?!\w)"
)
_FRENCH = re.compile(
    r"(?<![\w.,/-])\d{1,4}(?: ?(?:bis|ter|quater|[A-D]))?,? (?:[Rr]ue|[Aa]venue|[Aa]v\.|[Bb]oulevard|[Bb]d\.?|[Pp]lace|[Aa]ll[ée]e"
    r"|[Cc]hemin|[Ii]mpasse|[Qq]uai|[Rr]oute|[Cc]ours|[Ss]quare|[Pp]assage|[Ff]aubourg|[Ss]entier|[Rr]uelle)"
    rf"(?: (?:de la|de l'|de|du|des|d'|la|le|les|au|aux))?[ '](?:{_CAPITAL}|\d{{1,2}} {_CAPITAL})"
    rf"(?:[ -](?:(?:de|du|des|la|le|et) )?{_CAPITAL}){{0,3}}{_PLACE}"
    rf"|(?<!\w)(?:Rue|Avenue|Boulevard|Chaussée) (?:(?:de la|de|du|des) )?{_CAPITAL}(?: {_CAPITAL})? \d{{1,4}}(?![\w%:])"
)
_SOUTHERN = re.compile(
    r"(?<!\w)(?:Calle|C/|Avenida|Avda\.?|Av\.|Plaza|Pza\.|Paseo|Carrera|Camino|Carretera|Ronda|Travesía"
    r"|Via|Viale|V\.le|Piazza|P\.za|Piazzale|Corso|Largo|Vicolo|Strada|Lungomare"
    r"|Rua|Travessa|Praça|Alameda|Estrada|Rodovia|Carrer) "
    rf"(?:(?:de|del|de la|de las|de los|dei|delle|della|dell'|di|do|da|dos|das) ?)?{_CAPITAL}"
    rf"(?: (?:(?:de|del|y|e|dei|di|do|da|dos|das) )?{_CAPITAL}){{0,3}},? (?:n\.?º ?|nº ?|núm\. ?|n\. ?|# ?|s/n ?)?"
    rf"\d{{1,5}}(?: ?[A-Z](?!\w))?(?![\w%]){_PLACE}"
)
_EASTERN = re.compile(
    rf"(?<!\w)(?:ul\.|al\.|pl\.|os\.) ?{_CAPITAL}(?: {_CAPITAL})? \d{{1,4}}[a-z]?(?:/\d{{1,4}})?{_PLACE}"
    r"|(?<!\w)(?:ул\.|улица|пр\.|проспект|пер\.|переулок|бульвар|шоссе|вул\.) ?[А-ЯІЇЄ][а-яіїє-]{1,30}(?: [А-ЯІЇЄ][а-яіїє-]{1,30})?,?"
    r" (?:д\.|дом )? ?\d{1,4}(?: ?[а-я](?!\w))?(?:, ?кв\.? ?\d{1,4})?"
    rf"|(?<!\w){_CAPITAL}(?: {_CAPITAL})? (?:Caddesi|Sokak|Sokağı|Bulvarı|Cad\.|Sok\.) (?:No: ?)?\d{{1,4}}(?!\w)"
    rf"|(?<!\w)(?P<before_code>{_CAPITAL}(?: {_CAPITAL})? \d{{1,4}}(?:/\d{{1,4}})?, \d{{3}} \d\d {_CAPITAL})"
)
_HAN = re.compile(
    r"[\u4e00-\u9fff]{1,8}(?:路|街|大道|大街|巷|弄|胡同)\d{1,5}(?:弄\d{1,4})?[号號]"
    r"|[\u3040-\u30ff\u4e00-\u9fff]{1,12}[区市町村郡][\u3040-\u30ff\u4e00-\u9fff]{1,12}\d{1,3}(?:丁目|[-−]\d{1,3})(?:[-−]?\d{1,3}(?:番地?|号)?){0,3}"
    r"|[\uac00-\ud7a3]{1,8}(?:로|길) ?\d{1,4}(?:-\d{1,3})?(?:번길 \d{1,4})?(?=[ ,.]|\Z)"
)
_DIGIT = re.compile(r"\d")


def find_places(text: str) -> Iterator[Span]:
    """Yield streets with a house number, and boxes."""
    if not _DIGIT.search(text):
        return
    for found in _ENGLISH.finditer(text):
        number = found["number"]
        year = len(number) == 4 and 1700 <= int(number) <= 2099 if number.isdigit() else False
        if not (year and _YEAR_BEFORE.search(text, max(0, found.start() - 10), found.start())):
            yield Span(found.start(), found.end(), "address")
    for found in _GERMANIC.finditer(text):
        if not _NOT_A_STREET.search(found["street"]):
            yield Span(found.start(), found.end(), "address")
    patterns = [_BOX, _PREPOSITION, _FRENCH, _SOUTHERN, _EASTERN]
    if not text.isascii():
        patterns.append(_HAN)
    for pattern in patterns:
        for found in pattern.finditer(text):
            yield Span(found.start(), found.end(), "address")
