"""`kubectl_complete-proctor`: what kubectl's own shell completion asks for when `kubectl proctor …` is being typed.

The answer is cobra's: a candidate per line, its description behind a tab, and at the end a directive.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from proctor.cli.errors import CliError
from proctor.cli.main import VERBS
from proctor.cli.terminal import Format

_OF_AN_AGENT = {"status", "invoke", "tasks", "logs"}
_WITH_VALUE = {
    "-n",
    "--namespace",
    "--context",
    "--kubeconfig",
    "-o",
    "--output",
    "-f",
    "--filename",
    "-k",
    "--task",
    "--to-revision",
}
_PREFIX = "agent/"


class Directive(IntEnum):
    """What the shell does besides offering the candidates."""

    FILES = 0
    NO_SPACE = 6
    NO_FILES = 4


@dataclass(frozen=True)
class Offer:
    """What may follow."""

    candidates: tuple[str, ...] = ()
    directive: Directive = Directive.NO_FILES


@dataclass(frozen=True)
class Names:
    """Where names come from; each is asked only when it is needed."""

    agents: Callable[[], Iterable[str]]
    namespaces: Callable[[], Iterable[str]]
    fields: Callable[[str], Iterable[str]]


def offer(words: list[str], names: Names) -> Offer:
    """What may stand in place of the last word."""
    *before, last = words or [""]
    option = before[-1] if before else ""
    if option in _WITH_VALUE:
        return _value_of(option, last, names)
    verb, *arguments = _arguments(before) or [""]
    if not verb:
        return _starting(last, VERBS)
    if verb == "explain" and not arguments:
        return _explained(last, names)
    if verb == "rollout":
        from proctor.cli.verbs.rollout import VERBS as WORDS

        return _starting(last, WORDS) if not arguments else _starting(last, names.agents() if not arguments[1:] else ())
    if verb in _OF_AN_AGENT and not arguments:
        return _starting(last, names.agents())
    return Offer()


def _value_of(option: str, last: str, names: Names) -> Offer:
    if option in {"-n", "--namespace"}:
        return _starting(last, names.namespaces())
    if option in {"-o", "--output"}:
        return _starting(last, Format)
    return Offer(directive=Directive.FILES)


def _explained(last: str, names: Names) -> Offer:
    if last.startswith(_PREFIX):
        return _starting(last, (f"{_PREFIX}{each}" for each in names.agents()))
    found = _starting(last, (*names.fields(last), *([] if "." in last else [_PREFIX])))
    return Offer(found.candidates, Directive.NO_SPACE)


def _arguments(words: Iterable[str]) -> list[str]:
    """The words that are neither options nor the values of options."""
    rest = iter(words)
    found = []
    for word in rest:
        if word in _WITH_VALUE:
            next(rest, None)
        elif not word.startswith("-"):
            found.append(word)
    return found


def _starting(last: str, candidates: Iterable[str]) -> Offer:
    return Offer(tuple(sorted(str(each) for each in candidates if str(each).startswith(last))))


def _fields(path: str) -> Iterator[str]:
    from proctor.cli.views import lexicon

    parent, dot, _ = path.rpartition(".")
    if not dot:
        yield from (each.name.lower() for each in lexicon.all_kinds())
        return
    with suppress(lexicon.UnknownWord):
        yield from (f"{parent}.{each.name}" for each in lexicon.explain(parent).fields)


def _value(words: list[str], *options: str) -> str | None:
    places = [index for index, word in enumerate(words[:-1]) if word in options]
    return words[places[-1] + 1] if places else None


def _names(words: list[str]) -> Names:
    from proctor.cli.connecting import connect
    from proctor.cli.resources import AGENTS, NAMESPACES, Resource

    kubeconfig, context = _value(words, "--kubeconfig"), _value(words, "--context")

    def listed(resource: Resource, namespace: str | None) -> list[str]:
        # Nothing is offered where nothing can be asked: an error has no place in a half-typed line.
        with suppress(CliError):
            cluster = connect(Path(kubeconfig) if kubeconfig else None, context, namespace)
            found = cluster.list(resource, cluster.namespace if resource is AGENTS else None)
            return [each["metadata"]["name"] for each in found]
        return []

    return Names(
        agents=lambda: listed(AGENTS, _value(words, "-n", "--namespace")),
        namespaces=lambda: listed(NAMESPACES, None),
        fields=_fields,
    )


def main() -> None:
    """Completes the words of the command line."""
    words = sys.argv[1:]
    found = offer(words, _names(words))
    sys.stdout.write("".join(f"{each}\n" for each in found.candidates) + f":{found.directive.value}\n")


if __name__ == "__main__":
    main()
