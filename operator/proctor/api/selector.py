"""Which objects are meant: Kubernetes' label selectors, and the selectors of agents that are built on them."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from pydantic import ConfigDict, Field

from proctor.api.agent import RiskTier
from proctor.api.fields import ATOMIC, SET, Name, rules
from proctor.api.meta import Spec

_KEY: Final = r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$"
_VALUE: Final = r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$"


LabelKey = Annotated[str, Field(pattern=_KEY, min_length=1, max_length=317)]
LabelValue = Annotated[str, Field(pattern=_VALUE, max_length=63)]
# The keys are not compared with a pattern: the API server knows no bound of a map's keys, so it refuses the cost.
Labels = Annotated[dict[str, LabelValue], Field(max_length=16)]


class Operator(StrEnum):
    """How a label is compared with the values."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


class Requirement(Spec):
    """One demand on a label."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "(self.operator in ['In', 'NotIn']) == (has(self.values) && self.values.size() > 0)",
                "values are needed for In and NotIn, and for no other operator",
                ".values",
            )
        )
    )
    key: LabelKey
    """The key of the label."""
    operator: Operator
    """How it is compared."""
    values: Annotated[tuple[LabelValue, ...], Field(max_length=32, json_schema_extra=SET)] = ()
    """With which values."""


class LabelSelector(Spec):
    """`metav1.LabelSelector`: all demands must hold; an empty one selects everything."""

    match_labels: Labels = Field(default_factory=dict)
    """Labels that must have these values."""
    match_expressions: Annotated[tuple[Requirement, ...], Field(max_length=16, json_schema_extra=ATOMIC)] = ()
    """Further demands on labels."""


class AgentSelector(LabelSelector):
    """Which agents are meant: all demands must hold; an empty one selects every agent in reach."""

    names: Annotated[tuple[Name, ...], Field(max_length=64, json_schema_extra=SET)] = ()
    """Any of these names."""
    risk_tiers: Annotated[tuple[RiskTier, ...], Field(max_length=3, json_schema_extra=SET)] = ()
    """Any of these risk tiers."""


class ClusterAgentSelector(AgentSelector):
    """Which agents in which namespaces are meant: all demands must hold; an empty one selects every agent."""

    namespaces: LabelSelector | None = None
    """By the namespaces' labels; `kubernetes.io/metadata.name` holds a namespace's name."""
