"""The demonstration: an agent is declared, asked from the outside, and everything that it did is shown."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proctor_cluster import diagnosis, install, upgrades
from proctor_cluster.command import CommandError
from proctor_cluster.errors import ClusterError
from proctor_cluster.ledger import payments
from proctor_cluster.progress import progress, say
from proctor_cluster.stage import Stage, quoted

if TYPE_CHECKING:
    from proctor_cluster.cluster import Cluster
    from proctor_cluster.settings import Settings

_SAMPLE = install.MANIFESTS / "samples" / "refunds"
_SYSTEMS, _SUPPORT = "demo-systems", "support"
_SECONDS = 120
_REFUND = "Customer C-1042 asks for a refund of order O-50042 (50 EUR): the kettle leaks"
_TOO_MUCH = "Customer C-1044 asks for a refund of order O-50044 (480 EUR): changed my mind"


def demo(settings: Settings) -> None:
    """Installs proctor and the refunds sample, asks the agent, shows what happened. May be run again.

    Raises ClusterError when something does not come up or the story does not end as it must.
    """
    cluster, references = install.install(settings)
    install.apply(settings, cluster, _SAMPLE, references)
    install.wait_for_rollout(cluster, _SYSTEMS)
    _wait_for_agent(cluster)
    stage = Stage(cluster)
    _show_what_there_is(stage)
    task = _ask(stage, _REFUND, "approve")
    _show_task(stage, task)
    _show_payment(stage, "O-50042")
    _ask(stage, _TOO_MUCH, "escalate")
    install.apply(settings, cluster, upgrades.SAMPLE, references)
    _wait_for_agent(cluster)
    upgrades.show(stage)
    stage.title("How the agent is now")
    stage.kubectl("get", "agents", "-A", "-o", "wide")
    stage.proctor("status", "refunds", "-n", _SUPPORT)
    _say_what_next(stage)


def _wait_for_agent(cluster: Cluster) -> None:
    wait = ("-n", _SUPPORT, "wait", f"--timeout={_SECONDS}s", "--for=condition=Ready")
    try:
        with progress("waiting for the connectors and the agent"):
            cluster.kubectl(*wait, "connectors", "--all")
            cluster.kubectl(*wait, "agents", "--all")
    except CommandError as late:
        raise ClusterError(f"{late}\n{diagnosis.report(cluster, [_SUPPORT, install.NAMESPACE])}") from late


def _show_what_there_is(stage: Stage) -> None:
    stage.title("What was declared, and what came of it")
    stage.kubectl("-n", _SUPPORT, "get", "agents,connectors")
    kinds = "controllerrevisions,deployments,pods,serviceaccounts,networkpolicies,poddisruptionbudgets,configmaps"
    stage.kubectl("-n", _SUPPORT, "get", kinds, "-l", "proctor.dev/agent=refunds", "-o", "name")


def _ask(stage: Stage, question: str, expected: str) -> dict[str, Any]:
    """Asks as the web shop, from outside of the cluster; the task. Raises ClusterError for another decision."""
    stage.title("The web shop asks")
    words = ("invoke", "refunds", question, "-n", _SUPPORT, "--service-account", "shop/web")
    say(f"$ kubectl proctor {' '.join(quoted(word) for word in words)}")
    task: dict[str, Any] = json.loads(stage.captured(*words, "-o", "json"))
    say(json.dumps(task["output"], indent=2))
    if (task["output"] or {}).get("decision") != expected:
        raise ClusterError(f"the agent was to {expected}, and the task ended so: {json.dumps(task, indent=2)}")
    return task


def _show_task(stage: Stage, task: dict[str, Any]) -> None:
    stage.title("What it took: every call went through the gateway, which holds the keys")
    words = ("tasks", "refunds", task["id"], "-n", _SUPPORT, "--service-account", "shop/web")
    stage.proctor(*words)
    calls = json.loads(stage.captured(*words, "-o", "json"))["calls"]
    read = next(call for call in calls if call["name"] == "get_customer")
    say("\nThe row that was read in the CRM:")
    say(_readable(read["result"]))
    say(f"\nCost: {task['usage']['cost']} for {task['usage']['inputTokens']} + {task['usage']['outputTokens']} tokens")


def _show_payment(stage: Stage, order: str) -> None:
    stage.title("What the payments system has in its ledger")
    paid = payments(stage.cluster, order)
    if not paid:
        raise ClusterError(f"no payment for {order} in the ledger")
    say(json.dumps(paid, indent=2))


def _say_what_next(stage: Stage) -> None:
    cluster = stage.cluster
    context = f" --context={cluster.context}" if cluster.context else ""
    program = Path(sys.executable).with_name("kubectl-proctor")
    stage.title("It goes on running; try")
    say(f"""\
export KUBECONFIG={cluster.kubeconfig}{context and f"   # and add{context}"}
export PATH={program.parent}:{cluster.kubectl_program.parent}:$PATH
kubectl get agents -A -o wide
kubectl proctor status refunds -n {_SUPPORT}
kubectl proctor explain agent/refunds -n {_SUPPORT}
kubectl -n {_SUPPORT} patch agent refunds --type merge -p '{{"spec":{{"runtime":{{"image":"localhost/nothing:1"}}}}}}'
                                              # a broken upgrade: the old revision goes on serving
kubectl -n {_SUPPORT} patch agent refunds --type merge -p '{{"spec":{{"suspend":true}}}}'
                                              # the stop button
make down                                     # leaves nothing behind""")


def _readable(result: object) -> str:
    try:
        answer = json.loads(result) if isinstance(result, str) else result
    except ValueError:
        return str(result)
    row = answer.get("structuredContent", answer) if isinstance(answer, dict) else answer
    return json.dumps(row, indent=2, ensure_ascii=False)
