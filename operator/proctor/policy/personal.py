"""Where is personal data in a text? Forms that can be checked: a pattern and, where there is one, its check digit.

Names and places have no form: to recognise them takes a model, which is not here (`UNKNOWN_TO_US`).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Final

from proctor.api.permissions import Detector

UNKNOWN_TO_US: Final = frozenset({Detector.PERSON, Detector.LOCATION})
"""What a policy may name and nothing here recognises."""

_EMAIL: Final = re.compile(
    r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,63}"
)
_IBAN: Final = re.compile(r"\b[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b")
_CARD: Final = re.compile(r"(?<![0-9A-Za-z])[3-6][0-9](?:[ -]?[0-9]){11,17}(?![0-9A-Za-z])")
_ADDRESS: Final = re.compile(
    r"(?<![0-9A-Za-z.:])(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3}|(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4})(?![0-9A-Za-z:])"
)
_GROUPS: Final = re.compile(r"(?<![A-Za-z0-9])[A-Z0-9]{1,16}(?:[ .-][A-Z0-9]{1,16}){0,15}(?![A-Za-z0-9])")
_GROUP: Final = re.compile(r"[A-Z0-9]+")
_SIZES: Final = range(8, 17)
_IDS: Final = (
    *("at.vnr", "be.nn", "ch.ssn", "cz.rc", "de.idnr", "dk.cpr", "ee.ik", "es.dni", "es.nie", "fi.hetu", "fr.nir"),
    *("it.codicefiscale", "nl.bsn", "no.fodselsnummer", "pl.pesel", "ro.cnp", "se.personnummer", "us.ssn"),
)
"""Numbers of natural persons with a check digit or a fixed form, by their names in python-stdnum."""


@dataclass(frozen=True)
class Found:
    """Personal data and where it is."""

    detector: Detector
    start: int
    end: int


def find(text: str, detectors: Collection[Detector]) -> tuple[Found, ...]:
    """What of these kinds is in the text, in order; where two kinds overlap, the longer."""
    found = [each for detector in sorted(detectors) for each in _FINDERS.get(detector, _none)(text)]
    chosen: list[Found] = []
    for each in sorted(found, key=lambda one: (one.start - one.end, one.start, one.detector)):
        if not any(each.start < other.end and other.start < each.end for other in chosen):
            chosen.append(each)
    return tuple(sorted(chosen, key=lambda each: each.start))


def is_iban(text: str) -> bool:
    """Whether the check digits are right (ISO 13616, modulo 97)."""
    plain = text.replace(" ", "")
    digits = "".join(str(int(each, 36)) for each in plain[4:] + plain[:4])
    return int(digits) % 97 == 1


def is_card(text: str) -> bool:
    """Whether the check digit is right (ISO/IEC 7812, Luhn)."""
    digits = [int(each) for each in text if each.isdigit()]
    doubled = (each * 2 - 9 if each > 4 else each * 2 for each in digits[-2::-2])  # noqa: PLR2004 - twice five has two digits
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0 and len(set(digits)) > 1


def _of(detector: Detector, pattern: re.Pattern[str], check: Callable[[str], bool]) -> Callable[[str], Iterator[Found]]:
    def found(text: str) -> Iterator[Found]:
        for match in pattern.finditer(text):
            if check(match.group()):
                yield Found(detector, match.start(), match.end())

    return found


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _phones(text: str) -> Iterator[Found]:
    import phonenumbers

    # Without a country a number must say its own: a national number cannot be told from any other number.
    for match in phonenumbers.PhoneNumberMatcher(text, None):
        yield Found(Detector.PHONE, match.start, match.end)


def _national_ids(text: str) -> Iterator[Found]:
    """Numbers are written in groups, and what stands before them may look like one of them."""
    for match in _GROUPS.finditer(text):
        groups = [(each.start() + match.start(), each.end() + match.start()) for each in _GROUP.finditer(match.group())]
        yield from _within(text, groups)


def _within(text: str, groups: list[tuple[int, int]]) -> Iterator[Found]:
    first = 0
    while first < len(groups):
        for last in range(len(groups), first, -1):
            start, end = groups[first][0], groups[last - 1][1]
            if sum(e - s for s, e in groups[first:last]) in _SIZES and _is_national_id(text[start:end]):
                yield Found(Detector.NATIONAL_ID, start, end)
                first = last
                break
        else:
            first += 1


def _is_national_id(text: str) -> bool:
    return any(validate(text) for validate in _validators())


def _validators() -> tuple[Callable[[str], bool], ...]:
    from importlib import import_module

    if not _LOADED:
        _LOADED.extend(import_module(f"stdnum.{name}").is_valid for name in _IDS)
    return tuple(_LOADED)


_LOADED: list[Callable[[str], bool]] = []


def _none(_: str) -> Iterator[Found]:
    return iter(())


_FINDERS: Final[dict[Detector, Callable[[str], Iterator[Found]]]] = {
    Detector.EMAIL: _of(Detector.EMAIL, _EMAIL, lambda _: True),
    Detector.PHONE: _phones,
    Detector.IBAN: _of(Detector.IBAN, _IBAN, is_iban),
    Detector.PAYMENT_CARD: _of(Detector.PAYMENT_CARD, _CARD, is_card),
    Detector.NATIONAL_ID: _national_ids,
    Detector.IP_ADDRESS: _of(Detector.IP_ADDRESS, _ADDRESS, _is_address),
}
