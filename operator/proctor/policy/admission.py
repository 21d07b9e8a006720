"""The rules that the API server itself holds, so that they hold while the operator is down.

For each kind of policy and each mode there is one ValidatingAdmissionPolicy, whose parameters are the policies: a new
policy needs nothing else. What needs another object (a Connector's host, a tool's effect, the measured isolation) or
CEL of the policy's own is not decided here: it passes, and the operator and the gateway decide.

CEL in the API server knows no time. It knows when the object was last written, which at the moment of writing is now:
so enforceFrom, the end of an exception and a freeze are kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from proctor.api import names
from proctor.api.policy import Declaration, Mode

_ACTIONS: Final = {Mode.ENFORCE: ["Deny"], Mode.WARN: ["Warn", "Audit"], Mode.AUDIT: ["Audit"]}
_LABELS: Final = {"app.kubernetes.io/part-of": "proctor"}
_KINDS: Final = ("ClusterPolicy", "Policy")


@dataclass(frozen=True)
class _Check:
    """A detail of a rule: what must be true of the Agent, and what is said if it is not. Both are CEL."""

    rule: str
    holds: str
    message: str
    present: str = ""
    """The field of the policy that demands it, if it is not the one of the rule's name."""


def manifests() -> Iterator[dict[str, Any]]:
    """The ValidatingAdmissionPolicies and their bindings."""
    for kind in _KINDS:
        for mode in Mode:
            yield _policy(kind, mode)
            yield _binding(kind, mode)


def _name(kind: str, mode: Mode) -> str:
    return f"proctor-{kind.lower()}-{mode.lower()}"


def _policy(kind: str, mode: Mode) -> dict[str, Any]:
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": _name(kind, mode), "labels": _LABELS},
        "spec": {
            "failurePolicy": "Fail",
            "paramKind": {"apiVersion": names.API_VERSION, "kind": kind},
            "matchConstraints": {
                "resourceRules": [
                    {
                        "apiGroups": [names.GROUP],
                        "apiVersions": [names.VERSION],
                        "operations": ["CREATE", "UPDATE"],
                        "resources": ["agents"],
                    }
                ]
            },
            "matchConditions": [{"name": name, "expression": text} for name, text in _CONDITIONS],
            "variables": [{"name": name, "expression": text} for name, text in _variables(mode)],
            "validations": [_validation(each) for each in _CHECKS],
        },
    }


def _binding(kind: str, mode: Mode) -> dict[str, Any]:
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": _name(kind, mode), "labels": _LABELS},
        "spec": {
            "policyName": _name(kind, mode),
            "validationActions": _ACTIONS[mode],
            # Without a namespace a Policy is looked for where the Agent is.
            "paramRef": {"selector": {}, "parameterNotFoundAction": "Allow"},
        },
    }


def _validation(check: _Check) -> dict[str, Any]:
    part, _, detail = check.rule.partition("/")
    demanded = f"!has(params.spec.{part}) || !has(params.spec.{part}.{check.present or detail})"
    excepted = f"variables.excepted.exists(r, '{part}' in r || '{check.rule}' in r)"
    return {
        "expression": f"!variables.holds || {demanded} || {excepted} || ({check.holds})",
        "messageExpression": f"variables.policy + ' {check.rule}: ' + {check.message}",
        "reason": "Forbidden",
    }


_CONDITIONS: Final = (
    # Whoever deletes must always be able to, and so must whoever annotates; what is not changed was judged before.
    (
        "is-declared-anew",
        "!has(object.metadata.deletionTimestamp) && (request.operation == 'CREATE' || object.spec != oldObject.spec || "
        "object.metadata.?labels != oldObject.metadata.?labels)",
    ),
    # The stop button always works. What is suspended calls nothing; that it starts again is a change of its own.
    ("is-not-the-stop-button", "request.operation == 'CREATE' || !object.spec.suspend || oldObject.spec.suspend"),
)


def _given(field: str, empty: str) -> str:
    return f"(has({field}) ? {field} : {empty})"


def _selects(selector: str) -> str:
    """Whether a selector of agents means the object."""
    return " && ".join(
        (
            f"(!has({selector}.names) || {selector}.names.size() == 0 || "
            f"(has(object.metadata.name) && object.metadata.name in {selector}.names))",
            f"(!has({selector}.riskTiers) || {selector}.riskTiers.size() == 0 || "
            f"object.spec.riskTier in {selector}.riskTiers)",
            _matches(selector, "variables.labels"),
            f"(!has({selector}.namespaces) || ({_matches(f'{selector}.namespaces', 'variables.namespaceLabels')}))",
        )
    )


def _matches(selector: str, labels: str) -> str:
    """Whether a label selector means these labels."""
    found = f"(e.key in {labels} && {labels}[e.key] in {_given('e.values', '[]')})"
    return (
        f"(!has({selector}.matchLabels) || {selector}.matchLabels.all(k, k in {labels} && "
        f"{labels}[k] == {selector}.matchLabels[k])) && "
        f"(!has({selector}.matchExpressions) || {selector}.matchExpressions.all(e, "
        f"e.operator == 'In' ? {found} : e.operator == 'NotIn' ? !{found} : "
        f"e.operator == 'Exists' ? e.key in {labels} : !(e.key in {labels})))"
    )


def _fits(glob: str, text: str) -> str:
    """Whether the text is as the glob says. A glob holds no other character that a pattern would take for its own."""
    return f"{text}.matches('^' + {glob}.replace('.', '[.]').replace('*', '.*') + '$')"


def _pattern(field: str) -> str:
    return _given(f"p.{field}", "'*'")


def _span(text: str) -> str:
    """A duration such as `1d12h`: CEL knows no days."""
    days = f"duration(string(int('0' + {text}.find('^[0-9]+d').replace('d', '')) * 24) + 'h')"
    rest = f"{text}.replace({text}.find('^[0-9]+d'), '')"
    return f"({days} + duration({rest} == '' ? '0s' : {rest}))"


_NOW: Final = (
    "timestamp((['1970-01-01T00:00:00Z'] + "
    "(has(object.metadata.creationTimestamp) ? [string(object.metadata.creationTimestamp)] : []) + "
    "(has(object.metadata.managedFields) ? object.metadata.managedFields.filter(f, has(f.time))"
    ".map(f, string(f.time)) : [])).max())"
)
_MODEL_FITS: Final = f"{_fits(_pattern('connector'), 'm.connector')} && {_fits(_pattern('name'), 'm.name')}"
_TOOL_FITS: Final = f"{_fits(_pattern('connector'), 'g.connector')} && {_fits(_pattern('tool'), 't')}"
_TOOL_IS_PLAIN: Final = "(!has(p.effects) || p.effects.size() == 0) && (!has(p.data) || p.data.size() == 0)"


def _variables(mode: Mode) -> Iterator[tuple[str, str]]:
    yield "policy", "params.kind + '/' + params.metadata.name"
    yield "now", _NOW
    yield "labels", _given("object.metadata.labels", "{}")
    yield "namespaceLabels", _given("namespaceObject.metadata.labels", "{}")
    yield (
        "mode",
        "has(params.spec.enforceFrom) && timestamp(params.spec.enforceFrom) <= variables.now ? 'Enforce' : "
        "params.spec.mode",
    )
    selects = f"!has(params.spec.selector) || ({_selects('params.spec.selector')})"
    yield "holds", f"variables.mode == '{mode}' && !has(params.metadata.deletionTimestamp) && ({selects})"
    yield (
        "excepted",
        "has(params.spec.exceptions) ? params.spec.exceptions.filter(x, variables.now < timestamp(x.expiresAt) && "
        "timestamp(x.expiresAt) <= variables.now + duration('2160h') && "
        f"{_selects('x.selector')}).map(x, x.rules) : []",
    )
    fallbacks = _given("object.spec.fallbacks", "[]")
    yield "models", f"[object.spec.model] + {fallbacks}.filter(f, has(f.model)).map(f, f.model)"
    yield "tools", _given("object.spec.tools", "[]")
    steps = "object.spec.rollout.steps"
    yield "steps", f"has(object.spec.rollout) && has({steps}) ? {steps} : []"
    yield "weights", "variables.steps.filter(s, has(s.weight)).map(s, s.weight)"
    yield (
        "isUpgraded",
        "request.operation == 'UPDATE' && ("
        + " || ".join(f"object.spec.?{each} != oldObject.spec.?{each}" for each in _BEHAVIOUR)
        + ")",
    )


_BEHAVIOUR: Final = (
    *("instructions", "instructionsFrom", "model", "tools", "output", "limits", "fallbacks", "confidence", "sandbox"),
    *("runtime.?image", "runtime.?command", "runtime.?args", "runtime.?env", "runtime.?resources"),
)

_DECLARED: Final = {
    Declaration.EVALS: "has(object.spec.evals) && object.spec.evals.size() > 0",
    Declaration.OUTPUT_SCHEMA: "has(object.spec.output)",
    Declaration.CONFIDENCE: "has(object.spec.confidence)",
    Declaration.HUMAN_FALLBACK: "has(object.spec.fallbacks) && object.spec.fallbacks.exists(f, has(f.human))",
    Declaration.MAX_COST: "has(object.spec.limits) && has(object.spec.limits.maxCost)",
    Declaration.MAX_TOKENS: "has(object.spec.limits) && has(object.spec.limits.maxTokens)",
    Declaration.IMAGE_DIGEST: "!has(object.spec.runtime) || !has(object.spec.runtime.image) || "
    "object.spec.runtime.image.contains('@sha256:')",
}


def _limit(name: str, field: str, fits: str) -> _Check:
    declared = f"has(object.spec.limits) && has(object.spec.limits.{field})"
    return _Check(
        f"limits/{name}",
        f"{declared} && {fits}",
        f"'spec.limits.{field} must be at most ' + string(params.spec.limits.{name})",
    )


def _decimals(mine: str, bound: str) -> str:
    return f"quantity({mine}).compareTo(quantity({bound})) <= 0"


def _analysis(name: str, field: str) -> _Check:
    analysis = "object.spec.rollout.analysis"
    declared = f"!has(object.spec.rollout) || !has({analysis}) || !has({analysis}.{field})"
    bound = f"params.spec.rollout.{name}"
    return _Check(
        f"rollout/{name}",
        f"{declared} || {_decimals(f'{analysis}.{field}', bound)}",
        f"'spec.rollout.analysis.{field} must be at most ' + {bound}",
    )


_CHECKS: Final = (
    *(
        _Check(
            f"require/{field}",
            f"!('{field}' in params.spec.require.fields) || ({holds})",
            f"'{field} must be declared'",
            "fields",
        )
        for field, holds in _DECLARED.items()
    ),
    _Check(
        "require/labels",
        "params.spec.require.labels.all(l, l in variables.labels)",
        "'metadata.labels must have ' + params.spec.require.labels.filter(l, !(l in variables.labels)).join(', ')",
    ),
    _Check(
        "require/slos",
        f"params.spec.require.slos.all(t, {_given('object.spec.slos', '[]')}.exists(s, s.indicator.type == t))",
        "'spec.slos must have an objective of each of ' + params.spec.require.slos.join(', ')",
    ),
    _Check(
        "images/registries",
        "!has(object.spec.runtime) || !has(object.spec.runtime.image) || "
        f"params.spec.images.registries.exists(g, {_fits('g', 'object.spec.runtime.image')})",
        "'spec.runtime.image must be from ' + params.spec.images.registries.join(', ')",
    ),
    _Check(
        "models/deny",
        "params.spec.models.deny.all(p, (has(p.connectorLabels) && p.connectorLabels.size() > 0) || "
        f"!variables.models.exists(m, {_MODEL_FITS}))",
        "'a model of spec.model or spec.fallbacks is denied'",
    ),
    _Check(
        "models/allow",
        f"variables.models.all(m, params.spec.models.allow.exists(p, {_MODEL_FITS}))",
        "'a model of spec.model or spec.fallbacks is not allowed'",
    ),
    _Check(
        "tools/deny",
        f"params.spec.tools.deny.all(p, !({_TOOL_IS_PLAIN}) || "
        f"!variables.tools.exists(g, g.allow.exists(t, {_TOOL_FITS})))",
        "'a tool of spec.tools is denied'",
    ),
    _Check(
        "tools/allow",
        f"variables.tools.all(g, g.allow.all(t, params.spec.tools.allow.exists(p, {_TOOL_FITS})))",
        "'a tool of spec.tools is not allowed'",
    ),
    _limit(
        "maxTimeout", "timeout", f"{_span('object.spec.limits.timeout')} <= {_span('params.spec.limits.maxTimeout')}"
    ),
    _limit("maxSteps", "maxSteps", "object.spec.limits.maxSteps <= params.spec.limits.maxSteps"),
    _limit("maxCost", "maxCost", _decimals("object.spec.limits.maxCost", "params.spec.limits.maxCost")),
    _limit("maxTokens", "maxTokens", "object.spec.limits.maxTokens <= params.spec.limits.maxTokens"),
    _Check(
        "sandbox/minimumProfile",
        "['Standard', 'Hardened', 'Isolated'].indexOf(params.spec.sandbox.minimumProfile) <= "
        "['Standard', 'Hardened', 'Isolated'].indexOf(has(object.spec.sandbox) && has(object.spec.sandbox.profile) ? "
        "object.spec.sandbox.profile : 'Standard')",
        "'spec.sandbox.profile must be at least ' + params.spec.sandbox.minimumProfile",
    ),
    _Check(
        "rollout/requireSteps",
        "params.spec.rollout.requireSteps.all(k, variables.steps.exists(s, k == 'Evals' ? has(s.evals) : "
        "k == 'Replay' ? has(s.replay) : k == 'Mirror' ? has(s.mirror) : k == 'Weight' ? has(s.weight) : "
        "has(s.approval)))",
        "'spec.rollout.steps must have ' + params.spec.rollout.requireSteps.join(', ')",
    ),
    _Check(
        "rollout/maxInitialWeight",
        "(variables.weights + [100])[0] <= params.spec.rollout.maxInitialWeight",
        "'the first weight of spec.rollout.steps must be at most ' + string(params.spec.rollout.maxInitialWeight)",
    ),
    _Check(
        "rollout/maxWeightStep",
        "(variables.weights + [100]).all(w, w - ([0] + variables.weights.filter(x, x < w)).max() <= "
        "params.spec.rollout.maxWeightStep)",
        "'the weights of spec.rollout.steps must rise by at most ' + string(params.spec.rollout.maxWeightStep)",
    ),
    _Check(
        "rollout/minDuration",
        "variables.steps.all(s, !has(s.weight) || (has(s.until) && "
        f"{_span(_given('s.until.minDuration', repr('10m')))} >= {_span('params.spec.rollout.minDuration')}))",
        "'each weight of spec.rollout.steps must be held for ' + params.spec.rollout.minDuration",
    ),
    _Check(
        "rollout/minTasks",
        "variables.steps.all(s, !has(s.weight) || (has(s.until) && "
        f"{_given('s.until.minTasks', '20')} >= params.spec.rollout.minTasks))",
        "'each weight of spec.rollout.steps must wait for ' + string(params.spec.rollout.minTasks) + ' tasks'",
    ),
    _analysis("maxAlpha", "alpha"),
    _analysis("maxBeta", "beta"),
    _Check(
        "rollout/maxMargin",
        "!has(object.spec.rollout) || !has(object.spec.rollout.analysis) || "
        "!has(object.spec.rollout.analysis.metrics) || object.spec.rollout.analysis.metrics.all(m, "
        f"{_decimals('m.margin', 'params.spec.rollout.maxMargin')})",
        "'each margin of spec.rollout.analysis.metrics must be at most ' + params.spec.rollout.maxMargin",
    ),
    _Check(
        "rollout/onInconclusive",
        "(has(object.spec.rollout) && has(object.spec.rollout.analysis) && "
        "has(object.spec.rollout.analysis.onInconclusive) ? object.spec.rollout.analysis.onInconclusive : 'Hold') in "
        "params.spec.rollout.onInconclusive",
        "'spec.rollout.analysis.onInconclusive must be one of ' + params.spec.rollout.onInconclusive.join(', ')",
    ),
    _Check(
        "rollout/freeze",
        "!variables.isUpgraded || params.spec.rollout.freeze.all(f, !has(f.once) || "
        "variables.now < timestamp(f.once.from) || variables.now >= timestamp(f.once.until))",
        "'no upgrade begins now: ' + params.spec.rollout.freeze.filter(f, has(f.once) && "
        "variables.now >= timestamp(f.once.from) && variables.now < timestamp(f.once.until))"
        ".map(f, f.name + ' until ' + string(f.once.until) + ', ' + f.reason).join('; ')",
    ),
)
