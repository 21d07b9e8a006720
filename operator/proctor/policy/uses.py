"""May an agent use what it is granted? Hosts, models, tools, where data goes, and all three dangers in one agent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from proctor.api.agent import Agent, Model
from proctor.api.connector import Connector, Effect, Tool
from proctor.api.permissions import DataRules, ModelRules, Reaction, ToolRules
from proctor.api.policy import Egress
from proctor.policy.effective import Effective, Rule
from proctor.policy.finding import Finding, found
from proctor.policy.patterns import fits_any, host_of, is_model, is_tool


@dataclass(frozen=True)
class Granted:
    """A tool that the agent may call, and what its Connector declares of it."""

    connector: str
    tool: Tool
    path: str

    @property
    def name(self) -> str:
        """As findings name it."""
        return f"{self.connector}/{self.tool.name}"


def findings(agent: Agent, connectors: Mapping[str, Connector], effective: Effective) -> Iterator[Finding]:
    """What the agent is granted and may not use."""
    models, tools = tuple(models_of(agent)), tuple(granted(agent, connectors))
    for egress in effective.of("egress", Egress):
        yield from _egress(egress, agent, connectors)
    for rule in effective.of("models", ModelRules):
        for path, model in models:
            yield from _model(rule, path, model, connectors)
    for allowed in effective.of("tools", ToolRules):
        for tool in tools:
            yield from _tool(allowed, tool)
        yield from _trifecta(allowed, tools)
    for data in effective.of("data", DataRules):
        yield from _flows(data, models, tools)


def models_of(agent: Agent) -> Iterator[tuple[str, Model]]:
    """Every model that the agent may ask, and where that is declared."""
    yield "spec.model", agent.spec.model
    for index, fallback in enumerate(agent.spec.fallbacks):
        if fallback.model is not None:
            yield f"spec.fallbacks[{index}].model", fallback.model


def granted(agent: Agent, connectors: Mapping[str, Connector]) -> Iterator[Granted]:
    """Every tool that the agent may call. Of one whose Connector is not there the most careful is assumed."""
    for index, grant in enumerate(agent.spec.tools):
        connector = connectors.get(grant.connector)
        for name in grant.allow:
            tool = connector.spec.tool(name) if connector else Tool(name=name)
            yield Granted(grant.connector, tool, f"spec.tools[{index}].allow")


def completes_trifecta(tools: tuple[Granted, ...]) -> str | None:
    """Which tools together read private data, take in untrusted content and write to the outside; None if they do not.

    Each alone is harmless; together they let whoever writes the content send the data away.
    """
    private = next((each.name for each in tools if each.tool.data), None)
    untrusted = next((each.name for each in tools if not each.tool.trusted), None)
    writing = next((each.name for each in tools if each.tool.effect is not Effect.READ), None)
    if private is None or untrusted is None or writing is None:
        return None
    return f"{private} discloses private data, {untrusted} returns untrusted content, {writing} writes to the outside"


def model_fault(
    rule: Rule[ModelRules], connector: str, labels: Mapping[str, str], model: str
) -> tuple[str, str] | None:
    """Which detail of the rule forbids the model, and why."""
    if any(is_model(each, connector, labels, model) for each in rule.content.deny):
        return "deny", f"model {model} of {connector} is denied"
    allowed = rule.content.allow
    if allowed is not None and not any(is_model(each, connector, labels, model) for each in allowed):
        return "allow", f"model {model} of {connector} is not allowed"
    return None


def tool_fault(
    rule: Rule[ToolRules], connector: str, tool: str, effect: Effect, data: tuple[str, ...]
) -> tuple[str, str] | None:
    """Which detail of the rule forbids the tool, and why."""
    if any(is_tool(each, connector, tool, effect, data) for each in rule.content.deny):
        return "deny", f"tool {connector}/{tool} is denied"
    allowed = rule.content.allow
    if allowed is not None and not any(is_tool(each, connector, tool, effect, data) for each in allowed):
        return "allow", f"tool {connector}/{tool} is not allowed"
    return None


def _egress(rule: Rule[Egress], agent: Agent, connectors: Mapping[str, Connector]) -> Iterator[Finding]:
    hosts = rule.content.hosts
    if hosts is None:
        return
    places = [(f"{path}.connector", model.connector) for path, model in models_of(agent)]
    places += [(f"spec.tools[{index}].connector", grant.connector) for index, grant in enumerate(agent.spec.tools)]
    for path, name in places:
        connector = connectors.get(name)
        if connector is not None and not fits_any(hosts, host_of(connector)):
            message = f"Connector {name} names host {host_of(connector)}, allowed: {', '.join(sorted(hosts))}"
            yield found(rule, "hosts", message, path)


def _model(rule: Rule[ModelRules], path: str, model: Model, connectors: Mapping[str, Connector]) -> Iterator[Finding]:
    connector = connectors.get(model.connector)
    labels = connector.metadata.labels if connector else {}
    fault = model_fault(rule, model.connector, labels, model.name)
    if fault is not None:
        yield found(rule, *fault, path)


def _tool(rule: Rule[ToolRules], tool: Granted) -> Iterator[Finding]:
    fault = tool_fault(rule, tool.connector, tool.tool.name, tool.tool.effect, tool.tool.data)
    if fault is not None:
        yield found(rule, *fault, tool.path)


def _trifecta(rule: Rule[ToolRules], tools: tuple[Granted, ...]) -> Iterator[Finding]:
    # With RequireApproval the agent may be as it is: a person is asked before each such write.
    why = completes_trifecta(tools) if rule.content.trifecta is Reaction.DENY else None
    if why is not None:
        yield found(rule, "trifecta", f"{why}: take one of the three away, or have the write approved", "spec.tools")


def _flows(
    rule: Rule[DataRules], models: tuple[tuple[str, Model], ...], tools: tuple[Granted, ...]
) -> Iterator[Finding]:
    # All that a tool returns goes to the model; whether it also goes to another tool is seen at run time.
    for flow in rule.content.deny_flows:
        for tool in tools:
            labels = sorted(set(tool.tool.data) & set(flow.data))
            for path, model in models if labels else ():
                if fits_any(flow.to, model.connector):
                    message = f"{tool.name} discloses {', '.join(labels)}, which must not reach {model.connector}"
                    yield found(rule, "denyFlows", message, path)
