"""Whether an object differs from what we want of it, in the fields that we own."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from proctor.api import digest, names
from proctor.plan.world import Manifest, name_of

_QUANTITY = re.compile(r"^([0-9]+(?:\.[0-9]+)?)(n|u|m|k|Ki|M|Mi|G|Gi|T|Ti)?$")
_SCALE = {
    None: Decimal(1),
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "k": Decimal(10**3),
    "Ki": Decimal(2**10),
    "M": Decimal(10**6),
    "Mi": Decimal(2**20),
    "G": Decimal(10**9),
    "Gi": Decimal(2**30),
    "T": Decimal(10**12),
    "Ti": Decimal(2**40),
}


def stamped(desired: Manifest) -> Manifest:
    """The object with the digest of itself, by which a field that we no longer want is noticed."""
    metadata = desired["metadata"]
    annotations = {**metadata.get("annotations", {}), names.APPLIED: digest.short(desired, 16)}
    return {**desired, "metadata": {**metadata, "annotations": annotations}}


def changed(desired: Iterable[Manifest], observed: Iterable[Manifest]) -> tuple[Manifest, ...]:
    """Those of the desired objects that are not there, or not as desired; stamped, in the order given."""
    there = {(each["kind"], name_of(each)): each for each in observed}
    whole = (stamped(each) for each in desired)
    return tuple(each for each in whole if not _holds(each, there.get((each["kind"], name_of(each)))))


def _holds(desired: object, observed: object) -> bool:
    if desired == observed:
        return True
    # Only what we own is compared: defaults of the API server and fields of others are theirs.
    if isinstance(desired, dict):
        return isinstance(observed, dict) and all(_holds(value, observed.get(key)) for key, value in desired.items())
    if isinstance(desired, list):
        return (
            isinstance(observed, list)
            and len(desired) == len(observed)
            and all(_holds(mine, theirs) for mine, theirs in zip(desired, observed, strict=True))
        )
    return _is_same_quantity(desired, observed)


def _is_same_quantity(desired: object, observed: object) -> bool:
    # The API server writes 0.5 as 500m. Without this an agent's pods would be written again for ever.
    mine, theirs = quantity(desired), quantity(observed)
    return mine is not None and mine == theirs


def quantity(text: Any) -> Decimal | None:
    """The number that a Kubernetes quantity stands for; None if the text is not one."""
    found = _QUANTITY.match(text) if isinstance(text, str) else None
    return Decimal(found[1]) * _SCALE[found[2]] if found else None
