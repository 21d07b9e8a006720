"""Personal data as numbered words, and back: `<EMAIL_1>` stands for one address wherever it appears.

The numbers follow the order in which things appear. A question to a model holds the whole conversation so far, so the
same conversation always gives the same numbers, and nothing has to be remembered between two questions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Any, Final

from proctor.api.permissions import Detector
from proctor.policy import personal

LONGEST: Final = 24
"""Characters of the longest such word."""
_WORDS: Final = {
    Detector.EMAIL: "EMAIL",
    Detector.PHONE: "PHONE",
    Detector.IBAN: "IBAN",
    Detector.PAYMENT_CARD: "CARD",
    Detector.NATIONAL_ID: "ID",
    Detector.IP_ADDRESS: "IP",
}
_TOKEN: Final = re.compile(r"<(?:EMAIL|PHONE|IBAN|CARD|ID|IP)_[0-9]{1,6}>")


class Masks:
    """The words of one conversation. Grows while texts are masked; then every word can be turned back."""

    def __init__(self, detectors: Collection[Detector]) -> None:
        self._detectors = frozenset(detectors) - personal.UNKNOWN_TO_US
        self._tokens: dict[tuple[Detector, str], str] = {}
        self._originals: dict[str, str] = {}
        self._counts = dict.fromkeys(_WORDS, 0)

    def mask(self, text: str) -> str:
        """The text without personal data."""
        parts, end = [], 0
        for found in personal.find(text, self._detectors):
            parts += [text[end : found.start], self._token(found.detector, text[found.start : found.end])]
            end = found.end
        return "".join([*parts, text[end:]])

    def unmask(self, text: str) -> str:
        """The text with what its words stand for. A word that nobody gave stays as it is."""
        return _TOKEN.sub(lambda match: self._originals.get(match.group(), match.group()), text)

    def unmask_json(self, text: str) -> str:
        """The same within JSON: what is put in is escaped as a part of a JSON string."""
        return _TOKEN.sub(
            lambda match: json.dumps(self._originals.get(match.group(), match.group()), ensure_ascii=False)[1:-1], text
        )

    def question(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """A question to a model (OpenAI's chat completions) without personal data in what is said."""
        messages = body.get("messages")
        if not isinstance(messages, list):
            return dict(body)
        return {**body, "messages": [self._message(each) for each in messages]}

    def _message(self, message: Any) -> Any:
        if not isinstance(message, Mapping):
            return message
        found = dict(message)
        if "content" in found:
            found["content"] = self._content(found["content"])
        if isinstance(found.get("tool_calls"), list):
            found["tool_calls"] = [self._call(each) for each in found["tool_calls"]]
        return found

    def _content(self, content: Any) -> Any:
        if isinstance(content, str):
            return self.mask(content)
        if isinstance(content, list):
            return [
                {**each, "text": self.mask(each["text"])}
                if isinstance(each, Mapping) and isinstance(each.get("text"), str)
                else each
                for each in content
            ]
        return content

    def _call(self, call: Any) -> Any:
        function = call.get("function") if isinstance(call, Mapping) else None
        if not isinstance(function, Mapping) or not isinstance(function.get("arguments"), str):
            return call
        return {**call, "function": {**function, "arguments": self.mask(function["arguments"])}}

    def _token(self, detector: Detector, original: str) -> str:
        known = self._tokens.get((detector, original))
        if known is not None:
            return known
        self._counts[detector] += 1
        token = f"<{_WORDS[detector]}_{self._counts[detector]}>"
        self._tokens[detector, original] = token
        self._originals[token] = original
        return token
