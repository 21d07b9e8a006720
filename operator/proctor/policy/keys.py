"""Is there a key in a text? Forms that their issuers gave them, and words too random to have been written by a person.

A finding says which kind of key, and where; never the key.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

LONGEST: Final = 512
"""Characters of which a stream must be held back: as much of a key as has to be seen to know it for one."""

_FORMS: Final[tuple[tuple[str, str], ...]] = (
    ("a private key", r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----"),
    ("a JSON web token", r"eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"),
    ("an Anthropic key", r"sk-ant-[A-Za-z0-9_-]{20,}"),
    ("an OpenAI key", r"sk-(?:proj-|svcacct-|admin-)?[A-Za-z0-9_-]{20,}"),
    ("a GitHub token", r"(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{40,})"),
    ("a GitLab token", r"gl(?:pat|rt|dt|cbt|ptt|soat)-[A-Za-z0-9_-]{20,}"),
    ("an AWS access key", r"(?:AKIA|ASIA)[A-Z0-9]{16}"),
    ("a Slack token", r"xox[abeoprs]-[A-Za-z0-9-]{10,}"),
    ("a Slack webhook", r"https://hooks\.slack\.com/services/T[A-Za-z0-9_/-]{20,}"),
    ("a Google API key", r"AIza[A-Za-z0-9_-]{35}"),
    ("a Google OAuth token", r"ya29\.[A-Za-z0-9_-]{20,}"),
    ("a Stripe key", r"(?:sk|rk)_(?:live|test)_[A-Za-z0-9]{16,}"),
    ("a SendGrid key", r"SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}"),
    ("an npm token", r"npm_[A-Za-z0-9]{36}"),
    ("a PyPI token", r"pypi-[A-Za-z0-9_-]{40,}"),
    ("a Hugging Face token", r"hf_[A-Za-z0-9]{30,}"),
    ("a DigitalOcean token", r"do[opr]_v1_[a-f0-9]{64}"),
    ("an Azure storage key", r"AccountKey=[A-Za-z0-9+/]{60,}={0,2}"),
    ("a password in a URL", r"[a-z][a-z0-9+.-]{1,15}://[^\s/:@\"']{1,64}:[^\s/:@\"']{3,128}@"),
)
_KNOWN: Final = tuple((kind, re.compile(rf"(?<![A-Za-z0-9_]){form}")) for kind, form in _FORMS)
_NAMED: Final = re.compile(
    r"(?i)(?:api[-_ ]?key|secret|token|passw(?:or)?d|credential|authorization|bearer)[\"']?\s*(?:[:=]|\bis\b)?\s*[\"']?"
    r"(?P<value>[A-Za-z0-9+/_=.-]{20,200})"
)
_BITS: Final = 3.5
"""Bits of a character: prose, paths and identifiers stay below it, random base64 and hex of this length do not."""


@dataclass(frozen=True)
class Key:
    """A key that was found, without the key."""

    kind: str
    start: int
    end: int


def find(text: str) -> tuple[Key, ...]:
    """The keys in the text, in order; where two forms match, the first in the list of forms."""
    found: list[Key] = []
    for key in (*_by_form(text), *_by_entropy(text)):
        if not any(key.start < each.end and each.start < key.end for each in found):
            found.append(key)
    return tuple(sorted(found, key=lambda each: each.start))


def _by_form(text: str) -> Iterator[Key]:
    for kind, form in _KNOWN:
        for match in form.finditer(text):
            yield Key(kind, match.start(), match.end())


def _by_entropy(text: str) -> Iterator[Key]:
    """Random words that their own text calls a key: a digest or an id is as random, and no secret."""
    for match in _NAMED.finditer(text):
        value = match["value"]
        is_mixed = any(each.isdigit() for each in value) and any(each.isalpha() for each in value)
        if is_mixed and entropy(value) >= _BITS:
            yield Key("a random word that is called a key", match.start("value"), match.end("value"))


def entropy(word: str) -> float:
    """Shannon's entropy of the word's characters, in bits for each character."""
    size = len(word)
    return -sum(count / size * math.log2(count / size) for count in Counter(word).values()) if size else 0.0
