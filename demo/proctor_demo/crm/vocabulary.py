"""The words of which the invented people are made."""

from __future__ import annotations

from typing import NamedTuple


class City(NamedTuple):
    """A city, its country (ISO 3166-1 alpha-2) and the country's dialling code."""

    name: str
    country: str
    dialling_code: int


class Article(NamedTuple):
    """Something one can order; the price in EUR."""

    sku: str
    name: str
    price: float


FIRST_NAMES = tuple(
    """
    Anna Ben Clara David Elif Finn Greta Hugo Ines Jonas Katarzyna Luca Marta Noah Olga Pavel Quentin Rosa
    Sören Tomás Uma Victor Wiebke Xenia Yusuf Zoë Amélie Bruno Chiara Dario Emma Farid Gabriel Hanna Ivan Jana
    """.split()  # noqa: SIM905 - names are read more easily without quotes
)
LAST_NAMES = tuple(
    """
    Abel Baumann Costa Dubois Eriksen Fischer García Hansen Ivanova Jansen Kowalski Lindqvist Moreau Nowak Okafor
    Peeters Quist Rossi Schneider Tanaka Urban Virtanen Weber Yildiz Zimmermann Bianchi Castro Dahl Esposito Fuchs
    Gruber Horváth Jensen Keller Laurent Meyer
    """.split()  # noqa: SIM905 - names are read more easily without quotes
)
STREETS = ("Mill Lane", "Station Road", "Lindenallee", "Rue des Écoles", "Via Garibaldi", "Calle Mayor", "Kerkstraat")
CITIES = (
    City("Berlin", "DE", 49),
    City("Hamburg", "DE", 49),
    City("Vienna", "AT", 43),
    City("Lyon", "FR", 33),
    City("Utrecht", "NL", 31),
    City("Bologna", "IT", 39),
    City("Valencia", "ES", 34),
    City("Gdańsk", "PL", 48),
)
ARTICLES = (
    Article("KIT-204", "Electric kettle", 49.9),
    Article("KIT-118", "Cast-iron pan", 64.0),
    Article("ESP-310", "Hand coffee grinder", 89.0),
    Article("ESP-900", "Espresso grinder", 480.0),
    Article("BAG-110", "Canvas backpack", 79.9),
    Article("LMP-031", "Reading lamp", 19.9),
    Article("LMP-077", "Floor lamp", 129.0),
    Article("TEX-412", "Wool plaid", 45.0),
    Article("TEX-020", "Linen towel, set of two", 24.5),
    Article("OFF-555", "Standing desk mat", 38.75),
    Article("GAR-301", "Bird feeder", 27.3),
    Article("GAR-999", "Raised garden bed", 219.0),
)
NOTES = (
    "Prefers to be written to, not called.",
    "Moved house last year; the address was checked.",
    "Asked for an invoice with a VAT number.",
    "Parcel left with a neighbour, customer was fine with it.",
    "Complained about packaging; apologised and sent a voucher over 5 EUR.",
    "Speaks little English; answer in German.",
)
