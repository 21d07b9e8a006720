"""What policies say about the content of answers: words back to data, and no key to an agent, whole or in a stream."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from proctor.api.permissions import DataRules, Detector
from proctor.policy import keys
from proctor.policy.effective import Effective
from proctor.policy.facts import leaves
from proctor.policy.holdback import KeyFound, Window
from proctor.policy.masks import Masks
from proctor_gateway.rules.errors import Denied
from proctor_gateway.rules.reasons import Reason
from proctor_gateway.rules.tasks import Fault
from proctor_gateway.rules.wire import written

_DONE: Final = b"[DONE]"
_FIELDS: Final = ("content", "reasoning_content", "reasoning", "refusal")


@dataclass(frozen=True)
class Screen:
    """What holds for one call: the words that stand for data, if any, and whether keys are looked for."""

    masks: Masks | None = None
    is_searched: bool = False

    @property
    def is_open(self) -> bool:
        """Whether everything passes as it is."""
        return self.masks is None and not self.is_searched

    def fault(self, value: Any) -> Fault | None:
        """Why the value is withheld; None if it may be shown. Never says what was found."""
        if not self.is_searched:
            return None
        kinds = sorted({each.kind for text in leaves(value) for each in keys.find(text)})
        if not kinds:
            return None
        return Fault(Reason.POLICY_DENIED, f"data/blockSecrets: the answer holds {', '.join(kinds)} and is withheld")

    def answer(self, body: bytes) -> bytes:
        """A model's whole answer with what its words stand for."""
        return self.masks.unmask_json(body.decode()).encode() if self.masks is not None else body


def screen_of(effective: Effective) -> Screen:
    """What the enforced policies want done with what is said."""
    rules = list(effective.of("data", DataRules))
    detectors: set[Detector] = {name for each in rules if each.binds("redact") for name in each.content.redact}
    is_searched = any(each.content.block_secrets and each.binds("blockSecrets") for each in rules)
    return Screen(Masks(detectors) if detectors else None, is_searched)


@dataclass
class Flow:
    """One stream of a model, event by event. What could be half of a key or of a word waits for its other half."""

    screen: Screen
    _windows: dict[tuple[int, str, int], Window] = field(default_factory=dict)
    _frame: dict[str, Any] = field(default_factory=dict)

    def pass_on(self, event: bytes) -> list[bytes]:
        """The events to pass on for this one. Raises Denied where a key would be."""
        if self.screen.is_open:
            return [event]
        try:
            return list(self._passed(event))
        except KeyFound as exc:
            said = f"data/blockSecrets: the stream holds {exc.kind} and ends here"
            raise Denied(Reason.POLICY_DENIED, said) from exc

    def _passed(self, event: bytes) -> Iterator[bytes]:
        data = b"\n".join(line[5:].strip() for line in event.splitlines() if line.startswith(b"data:"))
        if data == _DONE:
            yield from self._rest()
            yield event
            return
        try:
            chunk = json.loads(data)
        except ValueError:
            chunk = None
        if not isinstance(chunk, dict) or not isinstance(chunk.get("choices"), list):
            yield event
            return
        self._frame = {key: value for key, value in chunk.items() if key not in {"choices", "usage"}}
        for choice in chunk["choices"]:
            self._through(choice)
        yield _event(chunk)

    def _through(self, choice: dict[str, Any]) -> None:
        index, delta = choice.get("index", 0), choice.setdefault("delta", {})
        is_last = choice.get("finish_reason") is not None
        for name in _FIELDS:
            if isinstance(delta.get(name), str):
                delta[name] = self._window(index, name, 0).feed(delta[name])
        for call in delta.get("tool_calls") or ():
            function = call.get("function") or {}
            if isinstance(function.get("arguments"), str):
                window = self._window(index, "arguments", call.get("index", 0))
                function["arguments"] = window.feed(function["arguments"])
        if is_last:
            for (of, name, number), window in self._windows.items():
                if of == index:
                    _add(delta, name, number, window.end())

    def _rest(self) -> Iterator[bytes]:
        """What was held back of a stream that ended without saying why."""
        for (index, name, number), window in self._windows.items():
            left = window.end()
            if left:
                delta: dict[str, Any] = {}
                _add(delta, name, number, left)
                yield _event({**self._frame, "choices": [{"index": index, "delta": delta, "finish_reason": None}]})

    def _window(self, index: int, name: str, number: int) -> Window:
        key = (index, name, number)
        if key not in self._windows:
            self._windows[key] = Window(self.screen.masks, self.screen.is_searched, in_json=name == "arguments")
        return self._windows[key]


def _add(delta: dict[str, Any], name: str, number: int, text: str) -> None:
    if not text:
        return
    if name != "arguments":
        delta[name] = (delta.get(name) or "") + text
        return
    calls = delta.setdefault("tool_calls", [])
    known = next((each for each in calls if each.get("index", 0) == number), None)
    if known is None:
        calls.append({"index": number, "function": {"arguments": text}})
    else:
        function = known.setdefault("function", {})
        function["arguments"] = (function.get("arguments") or "") + text


def _event(chunk: Mapping[str, Any]) -> bytes:
    return b"data: " + written(chunk) + b"\n\n"
