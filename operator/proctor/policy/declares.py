"""Does an agent declare what it must, and nothing beyond its bounds? Fields, labels, SLOs, images, limits, sandbox."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from proctor.api.agent import Agent, AgentSpec, NetworkIsolation, Profile
from proctor.api.bounds import LimitBounds, SandboxBounds
from proctor.api.connector import Connector
from proctor.api.fields import format_duration
from proctor.api.policy import Declaration, Images, Require
from proctor.policy.effective import Effective, Rule
from proctor.policy.finding import Finding, found
from proctor.policy.patterns import fits_any

_PROFILES = (Profile.STANDARD, Profile.HARDENED, Profile.ISOLATED)
_FIELDS = {
    Declaration.EVALS: "spec.evals",
    Declaration.OUTPUT_SCHEMA: "spec.output",
    Declaration.CONFIDENCE: "spec.confidence",
    Declaration.HUMAN_FALLBACK: "spec.fallbacks",
    Declaration.MAX_COST: "spec.limits.maxCost",
    Declaration.MAX_TOKENS: "spec.limits.maxTokens",
    Declaration.PINNED_TOOLS: "spec.tools",
    Declaration.IMAGE_DIGEST: "spec.runtime.image",
}


def findings(agent: Agent, connectors: Mapping[str, Connector], effective: Effective) -> Iterator[Finding]:
    """What is missing, and what is beyond its bounds."""
    for required in effective.of("require", Require):
        yield from _required(agent, connectors, required)
    for images in effective.of("images", Images):
        yield from _images(agent, images)
    for bounds in effective.of("limits", LimitBounds):
        yield from _limits(agent.spec, bounds)


def of_sandbox(agent: Agent, isolation: NetworkIsolation, effective: Effective) -> Iterator[Finding]:
    """Whether the agent is fenced in as it must be, as declared and as measured."""
    for rule in effective.of("sandbox", SandboxBounds):
        least, chosen = rule.content.minimum_profile, agent.spec.sandbox.profile
        if _PROFILES.index(chosen) < _PROFILES.index(least):
            message = f"profile is {chosen}; at least {least} is needed"
            yield found(rule, "minimumProfile", message, "spec.sandbox.profile")
        if rule.content.require_verified_isolation and isolation is not NetworkIsolation.VERIFIED:
            message = f"the network's isolation must be measured as Verified, and is {isolation}"
            yield found(rule, "requireVerifiedIsolation", message, "status.sandbox.networkIsolation")


def _required(agent: Agent, connectors: Mapping[str, Connector], rule: Rule[Require]) -> Iterator[Finding]:
    for field in sorted(rule.content.fields):
        if missing := _missing(agent.spec, connectors, field):
            yield found(rule, field, missing, _FIELDS[field])
    for label in sorted(rule.content.labels):
        if label not in agent.metadata.labels:
            yield found(rule, "labels", f"the label {label} is missing; set it", "metadata.labels")
    declared = {each.indicator.type for each in agent.spec.slos}
    for type_ in sorted(set(rule.content.slos) - declared):
        yield found(rule, "slos", f"an SLO of {type_} is missing; declare one", "spec.slos")


def _missing(spec: AgentSpec, connectors: Mapping[str, Connector], field: Declaration) -> str | None:  # noqa: PLR0911 - a table
    match field:
        case Declaration.EVALS:
            return None if spec.evals else "evals are missing; declare at least one suite"
        case Declaration.OUTPUT_SCHEMA:
            return None if spec.output else "output.schema is missing"
        case Declaration.CONFIDENCE:
            return None if spec.confidence else "confidence is missing"
        case Declaration.HUMAN_FALLBACK:
            return None if any(each.human for each in spec.fallbacks) else "no fallback asks a human; add one"
        case Declaration.MAX_COST:
            return None if spec.limits.max_cost is not None else "limits.maxCost is missing"
        case Declaration.MAX_TOKENS:
            return None if spec.limits.max_tokens is not None else "limits.maxTokens is missing"
        case Declaration.PINNED_TOOLS:
            unpinned = sorted(_unpinned(spec, connectors))
            return f"not pinned by a definitionDigest in its Connector: {', '.join(unpinned)}" if unpinned else None
        case Declaration.IMAGE_DIGEST:
            image = spec.runtime.image
            return None if image is None or "@sha256:" in image else f"image {image} has no digest; add @sha256:…"


def _unpinned(spec: AgentSpec, connectors: Mapping[str, Connector]) -> Iterator[str]:
    for grant in spec.tools:
        connector = connectors.get(grant.connector)
        for tool in grant.allow:
            if connector is not None and connector.spec.tool(tool).definition_digest is None:
                yield f"{grant.connector}/{tool}"


def _images(agent: Agent, rule: Rule[Images]) -> Iterator[Finding]:
    image, allowed = agent.spec.runtime.image, rule.content.registries
    if image is not None and allowed is not None and not fits_any(allowed, image):
        yield found(rule, "registries", f"image {image} is not from {', '.join(sorted(allowed))}", "spec.runtime.image")


def _limits(spec: AgentSpec, rule: Rule[LimitBounds]) -> Iterator[Finding]:
    bounds, limits = rule.content, spec.limits
    compared: tuple[tuple[str, Any, Any], ...] = (
        ("maxTimeout", limits.timeout, bounds.max_timeout),
        ("maxSteps", limits.max_steps, bounds.max_steps),
        ("maxCost", limits.max_cost, bounds.max_cost),
        ("maxTokens", limits.max_tokens, bounds.max_tokens),
    )
    for name, declared, highest in compared:
        field = "timeout" if name == "maxTimeout" else name
        if highest is None:
            continue
        shown = format_duration(highest) if name == "maxTimeout" else str(highest)
        if declared is None:
            yield found(rule, name, f"{field} is missing; declare at most {shown}", f"spec.limits.{field}")
        elif declared > highest:
            said = format_duration(declared) if name == "maxTimeout" else str(declared)
            yield found(rule, name, f"{field} is {said}; at most {shown} is allowed", f"spec.limits.{field}")
