"""Which cluster is used, and what is said when there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from proctor_cluster import explicit, main
from proctor_cluster.errors import ClusterError, NoClusterError
from proctor_cluster.finding import Offer, choose
from proctor_cluster.settings import Settings

EXPLICIT = Offer("explicit", "named", is_asked_for=True, is_running=True)
NOT_NAMED = Offer("explicit", "", lacks=("PROCTOR_KUBECONFIG",))
KIND = Offer("kind", "an engine answers")
NO_KIND = Offer("kind", "an engine answers", lacks=("a container engine",))
NODE = Offer("node", "a node of our own")
NO_NODE = Offer("node", "a node of our own", lacks=("root", "Go >= 1.26"))
RUNNING_NODE = Offer("node", "a node of our own", is_running=True)

CHOICES = {
    "a cluster that was named comes before all others": ([EXPLICIT, KIND, RUNNING_NODE], None, "explicit"),
    "kind comes before a node of our own": ([NOT_NAMED, KIND, NODE], None, "kind"),
    "what runs already comes before what would have to be started": ([NOT_NAMED, KIND, RUNNING_NODE], None, "node"),
    "without a container engine a node of our own is used": ([NOT_NAMED, NO_KIND, NODE], None, "node"),
    "PROCTOR_PROVIDER overrules what runs": ([NOT_NAMED, KIND, RUNNING_NODE], "kind", "kind"),
    "PROCTOR_PROVIDER overrules a named cluster": ([EXPLICIT, KIND, NODE], "node", "node"),
}


@pytest.mark.parametrize(("offers", "wanted", "taken"), CHOICES.values(), ids=CHOICES)
def test_one_cluster_is_chosen(offers, wanted, taken):
    """The choice follows what was asked for, then what runs, then the order kind, node."""
    assert choose(offers, wanted).offer.provider == taken


def test_a_named_cluster_that_cannot_be_had_is_never_replaced():
    """Tests must not run in a cluster that the person did not mean."""
    broken = Offer("explicit", "named", lacks=("the file /nowhere",), is_asked_for=True)
    with pytest.raises(NoClusterError, match="/nowhere"):
        choose([broken, KIND, RUNNING_NODE])


def test_without_any_cluster_all_that_is_missing_is_said():
    """One message lists what each way of having a cluster lacks."""
    with pytest.raises(NoClusterError) as nowhere:
        choose([NOT_NAMED, NO_KIND, NO_NODE])
    for word in ("PROCTOR_KUBECONFIG", "a container engine", "root", "Go >= 1.26"):
        assert word in str(nowhere.value)


def test_no_cluster_has_an_exit_code_of_its_own(capsys, monkeypatch):
    """Scripts tell "there is none here" (69) from "it failed" (1) by the exit code."""
    monkeypatch.setenv("PROCTOR_KUBECONFIG", "/nowhere")
    assert main.main(["find"]) == 69
    assert "/nowhere" in capsys.readouterr().err


KUBECONFIG = """
current-context: production
contexts: [{name: production, context: {}}, {name: staging, context: {}}]
"""


def test_the_current_context_of_a_file_with_several_is_not_taken(tmp_path):
    """Which of several clusters is meant must be said: the current one may be production."""
    path = tmp_path / "config"
    path.write_text(KUBECONFIG)
    lacks = explicit.offer(_settings(PROCTOR_KUBECONFIG=str(path))).lacks
    assert any("PROCTOR_CONTEXT (one of production, staging)" in lack for lack in lacks)


def test_a_context_that_the_file_lacks_is_named(tmp_path):
    """A misspelt context is found before anything is asked of a cluster."""
    path = tmp_path / "config"
    path.write_text(KUBECONFIG)
    lacks = explicit.offer(_settings(PROCTOR_KUBECONFIG=str(path), PROCTOR_CONTEXT="stagign")).lacks
    assert any("stagign" in lack and "production, staging" in lack for lack in lacks)


def test_a_kubeconfig_that_was_not_given_to_us_is_not_looked_at():
    """KUBECONFIG and ~/.kube/config belong to the person."""
    offer = explicit.offer(_settings(KUBECONFIG="/root/.kube/config", HOME="/root"))
    assert not offer.is_asked_for
    assert offer.lacks


WRONG_SETTINGS = {
    "a name with capitals": {"PROCTOR_CLUSTER": "Dev"},
    "a name that is too long": {"PROCTOR_CLUSTER": "a" * 31},
    "a provider that is none": {"PROCTOR_PROVIDER": "minikube"},
    "a switch that is neither on nor off": {"PROCTOR_NETWORK_POLICY": "no"},
}


@pytest.mark.parametrize("env", WRONG_SETTINGS.values(), ids=WRONG_SETTINGS)
def test_a_setting_that_means_nothing_is_an_error(env):
    """A misspelt setting is never read as its default."""
    with pytest.raises(ClusterError):
        Settings.read(env)


def _settings(**env: str) -> Settings:
    return Settings.read({"PROCTOR_CACHE": str(Path("/nonexistent")), **env})
