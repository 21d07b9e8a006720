"""What do the patterns of a policy mean? A glob's `*` stands for any characters; all demands of a pattern must hold."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

from proctor.api.connector import Connector, Effect
from proctor.api.permissions import ModelPattern, ToolPattern


@lru_cache(maxsize=4096)
def _expression(glob: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(each) for each in glob.split("*")), re.DOTALL)


def fits(glob: str, name: str) -> bool:
    """Whether the whole name is as the glob says."""
    return glob == "*" or _expression(glob).fullmatch(name) is not None


def fits_any(globs: Iterable[str], name: str) -> bool:
    """Whether the name is as one of the globs says."""
    return any(fits(glob, name) for glob in globs)


def is_model(pattern: ModelPattern, connector: str, labels: Mapping[str, str], model: str) -> bool:
    """Whether the pattern means the model of a Connector with these labels."""
    return (
        fits(pattern.connector, connector)
        and fits(pattern.name, model)
        and all(labels.get(key) == value for key, value in pattern.connector_labels.items())
    )


def is_tool(pattern: ToolPattern, connector: str, tool: str, effect: Effect, data: Iterable[str]) -> bool:
    """Whether the pattern means the tool with this effect that discloses these data classes."""
    return (
        fits(pattern.connector, connector)
        and fits(pattern.tool, tool)
        and (not pattern.effects or effect in pattern.effects)
        and (not pattern.data or not set(pattern.data).isdisjoint(data))
    )


def host_of(connector: Connector) -> str:
    """The host that the Connector's URL names, in lower case."""
    authority = connector.spec.url.partition("://")[2].partition("/")[0]
    host = authority.partition("]")[0].removeprefix("[") if authority.startswith("[") else authority.partition(":")[0]
    return host.lower()
