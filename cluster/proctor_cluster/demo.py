"""The demonstration: an agent is declared, asked from the outside, and everything that it did is shown."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proctor_cluster import diagnosis, install
from proctor_cluster.command import CommandError
from proctor_cluster.errors import ClusterError
from proctor_cluster.forward import forwarded
from proctor_cluster.progress import progress, say

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
    _show_what_there_is(cluster)
    task = _ask(cluster, _REFUND, "approve")
    _show_task(cluster, task)
    _show_payment(cluster, "O-50042")
    _ask(cluster, _TOO_MUCH, "escalate")
    _title("How the agent is now")
    _kubectl(cluster, "get", "agents", "-A", "-o", "wide")
    _proctor(cluster, "status", "refunds", "-n", _SUPPORT)
    _say_what_next(cluster)


def _wait_for_agent(cluster: Cluster) -> None:
    wait = ("-n", _SUPPORT, "wait", f"--timeout={_SECONDS}s", "--for=condition=Ready")
    try:
        with progress("waiting for the connectors and the agent"):
            cluster.kubectl(*wait, "connectors", "--all")
            cluster.kubectl(*wait, "agents", "--all")
    except CommandError as late:
        raise ClusterError(f"{late}\n{diagnosis.report(cluster, [_SUPPORT, install.NAMESPACE])}") from late


def _show_what_there_is(cluster: Cluster) -> None:
    _title("What was declared, and what came of it")
    _kubectl(cluster, "-n", _SUPPORT, "get", "agents,connectors")
    kinds = "controllerrevisions,deployments,pods,serviceaccounts,networkpolicies,poddisruptionbudgets,configmaps"
    _kubectl(cluster, "-n", _SUPPORT, "get", kinds, "-l", "proctor.dev/agent=refunds", "-o", "name")


def _ask(cluster: Cluster, question: str, expected: str) -> dict[str, Any]:
    """Asks as the web shop, from outside of the cluster; the task. Raises ClusterError for another decision."""
    _title("The web shop asks")
    words = ("invoke", "refunds", question, "-n", _SUPPORT, "--service-account", "shop/web")
    say(f"$ kubectl proctor {' '.join(_quoted(word) for word in words)}")
    task: dict[str, Any] = json.loads(_captured(cluster, *words, "-o", "json"))
    say(json.dumps(task["output"], indent=2))
    if (task["output"] or {}).get("decision") != expected:
        raise ClusterError(f"the agent was to {expected}, and the task ended so: {json.dumps(task, indent=2)}")
    return task


def _show_task(cluster: Cluster, task: dict[str, Any]) -> None:
    _title("What it took: every call went through the gateway, which holds the keys")
    words = ("tasks", "refunds", task["id"], "-n", _SUPPORT, "--service-account", "shop/web")
    _proctor(cluster, *words)
    calls = json.loads(_captured(cluster, *words, "-o", "json"))["calls"]
    read = next(call for call in calls if call["name"] == "get_customer")
    say("\nThe row that was read in the CRM:")
    say(_readable(read["result"]))
    say(f"\nCost: {task['usage']['cost']} for {task['usage']['inputTokens']} + {task['usage']['outputTokens']} tokens")


def _show_payment(cluster: Cluster, order: str) -> None:
    _title("What the payments system has in its ledger")
    secret = json.loads(cluster.kubectl("-n", _SYSTEMS, "get", "secret", "keys", "-o", "json"))
    key = base64.b64decode(secret["data"]["payments"]).decode()
    with forwarded(cluster, _SYSTEMS, "service/payments", 8000) as address:
        request = urllib.request.Request(f"http://{address}/ledger", headers={"Authorization": f"Bearer {key}"})
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - loopback
            ledger = json.load(answer)
    paid = [payment for payment in ledger["entries"] if payment["order_id"] == order]
    if not paid:
        raise ClusterError(f"no payment for {order} in the ledger: {ledger}")
    say(json.dumps(paid, indent=2))


def _say_what_next(cluster: Cluster) -> None:
    context = f" --context={cluster.context}" if cluster.context else ""
    program = Path(sys.executable).with_name("kubectl-proctor")
    _title("It goes on running; try")
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


def _title(text: str) -> None:
    say(f"\n── {text} {'─' * max(0, 100 - len(text))}")


def _kubectl(cluster: Cluster, *words: str) -> None:
    say(f"$ kubectl {' '.join(words)}")
    say(cluster.kubectl(*words).rstrip())


def _proctor(cluster: Cluster, *words: str) -> None:
    say(f"$ kubectl proctor {' '.join(words)}")
    sys.stderr.flush()
    # Its own terminal output, with colours where there is a terminal.
    done = subprocess.run(_argv(cluster, *words), env=_environment(), stdout=sys.stderr, check=False)
    if done.returncode:
        raise ClusterError(f"kubectl proctor {words[0]}: exit code {done.returncode}")


def _captured(cluster: Cluster, *words: str) -> str:
    done = subprocess.run(_argv(cluster, *words), env=_environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise ClusterError(f"kubectl proctor {words[0]}: exit code {done.returncode}\n{done.stderr or done.stdout}")
    return done.stdout


def _argv(cluster: Cluster, *words: str) -> list[str]:
    program = str(Path(sys.executable).with_name("kubectl-proctor"))
    context = [f"--context={cluster.context}"] if cluster.context else []
    return [program, *words, f"--kubeconfig={cluster.kubeconfig}", *context]


def _environment() -> dict[str, str]:
    return {"COLUMNS": "140", **os.environ}


def _readable(result: object) -> str:
    try:
        answer = json.loads(result) if isinstance(result, str) else result
    except ValueError:
        return str(result)
    row = answer.get("structuredContent", answer) if isinstance(answer, dict) else answer
    return json.dumps(row, indent=2, ensure_ascii=False)


def _quoted(word: str) -> str:
    return f'"{word}"' if " " in word else word
