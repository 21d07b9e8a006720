"""What each reason means, and what a person does next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Remedy:
    """An explanation in plain words, and commands; `{ns}`, `{name}`, `{agent}` and `{revision}` stand for names."""

    meaning: str
    steps: tuple[str, ...] = ()


UNKNOWN: Final = Remedy("this version of kubectl-proctor does not know the reason; its message says more")

OF_AGENT: Final[Mapping[str, Remedy]] = {
    "ConnectorNotFound": Remedy(
        "the spec names a Connector that does not exist in the agent's namespace. What served before goes on serving.",
        (
            "kubectl get connectors -n {ns}",
            "kubectl proctor explain connector",
            "kubectl apply -n {ns} -f CONNECTOR.yaml",
        ),
    ),
    "ConnectorTypeMismatch": Remedy(
        "spec.model needs a Connector of type Model, spec.tools one of type MCP.",
        ("kubectl get connectors -n {ns}", "kubectl edit agent {name} -n {ns}"),
    ),
    "InstructionsNotFound": Remedy(
        "spec.instructionsFrom names a ConfigMap or a key that is not there. It is looked for again every minute.",
        ("kubectl get configmaps -n {ns}",),
    ),
    "PolicyViolation": Remedy(
        "the spec breaks a rule of an enforced policy, so nothing is made of it. What served before goes on serving. "
        "Follow the rule, or ask the policy's owner for an exception.",
        (
            "kubectl get agent {name} -n {ns} -o jsonpath='{{.status.policy.violations}}'",
            "kubectl get policies.proctor.dev,clusterpolicies -A",
        ),
    ),
    "ReplyMismatch": Remedy(
        "a fixed reply of spec.fallbacks is not of the form that spec.output.schema demands of every answer. "
        "What served before goes on serving.",
        ("kubectl edit agent {name} -n {ns}    # spec.fallbacks, or spec.output.schema",),
    ),
    "RuntimeClassNotFound": Remedy(
        "profile Isolated runs pods in another runtime, by a RuntimeClass that this cluster does not have.",
        ("kubectl get runtimeclasses", "kubectl edit agent {name} -n {ns}    # spec.sandbox"),
    ),
    "Suspended": Remedy(
        "somebody pressed the stop button: no task is taken, no call goes out, no pod runs.",
        ('kubectl patch agent {name} -n {ns} --type=merge -p \'{{"spec":{{"suspend":false}}}}\'',),
    ),
    "ProgressDeadlineExceeded": Remedy(
        "the revision did not get ready in time and was given up; it is not tried again until the spec changes.",
        (
            "kubectl proctor logs {name} -n {ns} --revision {revision}",
            "kubectl proctor plan -f AGENT.yaml    # what a corrected spec would do",
        ),
    ),
    "NothingServes": Remedy(
        "no revision has been ready yet, so there is nothing to send tasks to.",
        ("kubectl proctor status {name} -n {ns} --wait",),
    ),
    "NoPodReady": Remedy(
        "the revision that should serve has no pod that is ready.",
        ("kubectl proctor logs {name} -n {ns} --previous",),
    ),
    "InvalidSpec": Remedy(
        "the operator cannot read the spec: it was written for another version of proctor.",
        ("kubectl proctor plan -f AGENT.yaml",),
    ),
    "QuotaExceeded": Remedy(
        "the namespace's ResourceQuota does not leave room for the pods.", ("kubectl describe resourcequota -n {ns}",)
    ),
}

_REFUSED: Final = "The stable revision serves; this one is refused until the spec changes, or somebody says retry."
_AFTER: Final = (
    "kubectl proctor rollout diff {name} -n {ns}    what it changed",
    "kubectl proctor rollout retry {name} -n {ns}    tries it again, with the evidence there is",
)
OF_UPGRADE: Final[Mapping[str, Remedy]] = {
    "RolledBack": Remedy(f"it had begun to get tasks and was taken back. {_REFUSED}", _AFTER),
    "Harm": Remedy(f"the candidate did worse than stable on the same kind of tasks. {_REFUSED}", _AFTER),
    "GuardBroken": Remedy(f"the candidate broke a limit that needs no statistics. {_REFUSED}", _AFTER),
    "CrashLoop": Remedy(
        f"the candidate's program ends again and again. {_REFUSED}",
        ("kubectl proctor logs {name} -n {ns} --previous", *_AFTER),
    ),
    "ExamFailed": Remedy(
        f"the candidate did not pass its exam, so it never got a task. {_REFUSED}",
        ("kubectl proctor rollout status {name} -n {ns}    which cases, and why", *_AFTER),
    ),
    "ReplayWorse": Remedy(f"it failed tasks that stable had done. {_REFUSED}", _AFTER),
    "MirrorFailed": Remedy(f"it failed copies of live tasks. {_REFUSED}", _AFTER),
    "WatchAlarm": Remedy(f"after its promotion it did worse than it may. {_REFUSED}", _AFTER),
    "Aborted": Remedy(f"somebody withdrew it. {_REFUSED}", _AFTER),
    "ApprovalTimedOut": Remedy(f"nobody approved it in time. {_REFUSED}", _AFTER),
    "Inconclusive": Remedy(
        "the evidence ran out before it was decided, and spec.rollout.analysis.onInconclusive says what then.",
        ("kubectl proctor rollout simulate {name}    what a verdict takes", *_AFTER),
    ),
}

OF_CONDITIONS: Final[Mapping[str, tuple[str, str]]] = {
    "ImagePinned": (
        "image not pinned",
        "push the image to a registry, or name it by digest in spec.runtime.image",
    ),
    "TrafficRouted": (
        "tasks are not split",
        "kubectl describe httproute -n NAMESPACE NAME, and docs/rollouts.md, Weights in an HTTPRoute",
    ),
}
"""Of a condition that is False: a title, and what a person does. Its message says the rest."""

OF_POD: Final[Mapping[str, Remedy]] = {
    "ImagePullBackOff": Remedy(
        "the node cannot get the image: its name is wrong, or the registry wants a credential.",
        ("kubectl get agent {agent} -n {ns} -o jsonpath={{.spec.runtime.image}}",),
    ),
    "CrashLoopBackOff": Remedy(
        "the program ends again and again soon after it starts.",
        ("kubectl proctor logs {agent} -n {ns} --previous",),
    ),
    "OOMKilled": Remedy(
        "the program needs more memory than spec.runtime.resources.limits.memory.",
        ("kubectl proctor explain agent.spec.runtime.resources",),
    ),
    "Unschedulable": Remedy(
        "no node takes the pod: there is no room, or none fulfils what it demands.",
        ("kubectl describe pod {name} -n {ns}", "kubectl get nodes"),
    ),
    "CreateContainerConfigError": Remedy(
        "the node cannot set the container up.", ("kubectl describe pod {name} -n {ns}",)
    ),
}
_SAME_AS: Final = {
    "ErrImagePull": "ImagePullBackOff",
    "ErrImageNeverPull": "ImagePullBackOff",
    "InvalidImageName": "ImagePullBackOff",
    "Error": "CrashLoopBackOff",
    "Completed": "CrashLoopBackOff",
    "CreateContainerError": "CreateContainerConfigError",
    "RunContainerError": "CreateContainerConfigError",
}

OF_CONNECTOR: Final[Mapping[str, Remedy]] = {
    "NotFound": OF_AGENT["ConnectorNotFound"],
    "NotProbed": Remedy("it has not been measured yet; that takes some seconds.", ()),
    "SecretNotFound": Remedy(
        "the Secret with its credential does not exist.",
        ("kubectl get connector {name} -n {ns} -o yaml    # spec.auth",),
    ),
    "SecretKeyMissing": Remedy(
        "the Secret exists, but has no such key.", ("kubectl describe secret -n {ns}    # shows keys, no values",)
    ),
    "SecretForbidden": Remedy(
        "the gateway may not read the Secret: a Role and a RoleBinding have to name it.",
        (
            "kubectl create role proctor-gateway-{name} -n {ns} --verb=get --resource=secrets --resource-name=SECRET",
            "kubectl create rolebinding proctor-gateway-{name} -n {ns} --role=proctor-gateway-{name} "
            "--serviceaccount=proctor-system:proctor-gateway",
        ),
    ),
    "Unauthorized": Remedy(
        "the system does not accept the credential: it is wrong, or has expired.",
        ("kubectl get connector {name} -n {ns} -o yaml    # spec.auth: header and prefix, too",),
    ),
    "Unreachable": Remedy(
        "the gateway cannot connect to the system's URL.",
        ("kubectl get connector {name} -n {ns} -o yaml    # spec.url",),
    ),
    "Timeout": Remedy("the system did not answer in time.", ()),
    "ProtocolError": Remedy(
        "what answers does not speak the protocol of spec.type; often the path in spec.url is missing.",
        ("kubectl get connector {name} -n {ns} -o yaml    # spec.type, spec.url",),
    ),
    "TLSError": Remedy("the system's certificate is not accepted by the gateway.", ()),
    "GatewayUnreachable": Remedy(
        "the operator cannot ask the gateway, so nobody knows whether the system answers.",
        ("kubectl get pods -n proctor-system", "kubectl logs -n proctor-system deploy/proctor-gateway"),
    ),
    "GatewayBehind": Remedy("the gateway has not seen the newest spec yet; that takes some seconds.", ()),
    "DefinitionDrifted": Remedy(
        "a tool's definition is not the one that was pinned; until somebody has read it, the gateway refuses the tool.",
        (
            "kubectl get connector {name} -n {ns} -o yaml    # status.tools[].digest",
            "set spec.tools[].definitionDigest",
        ),
    ),
    "ToolNotFound": Remedy("the system does not offer a tool that the Connector declares.", ()),
    "TypeNotActedOn": Remedy("this version keeps Connectors of this type, but does not act on them.", ()),
}


def of_pod(state: str) -> Remedy:
    """What a pod's state means."""
    return OF_POD.get(_SAME_AS.get(state, state), UNKNOWN)
