"""A scripted model of a test's own, with its key and the gateway's right to read it, in the test's namespace."""

from __future__ import annotations

import yaml

from tests.e2e.declared import Manifest
from tests.e2e.refunds import SAMPLE


def scripted_model(namespace: str, image: str, rules: str) -> tuple[Manifest, ...]:
    """A Deployment `model` that answers by these rules."""
    systems = yaml.safe_load_all((SAMPLE / "systems.yaml").read_text())
    ours = [each for each in systems if each["metadata"]["name"] in {"keys", "scripted-model"}]
    text = yaml.safe_dump_all(ours).replace("demo-systems", namespace).replace("scripted-model", "model")
    made = list(yaml.safe_load_all(text.replace("image: proctor-demo", f"image: {image}")))
    kept = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "model", "namespace": namespace}}
    return ({**kept, "data": {"rules.yaml": rules}}, *made)


def model_connector(namespace: str) -> tuple[Manifest, ...]:
    """The sample's way to its model, with its key and the right to read it, in this namespace."""
    text = (SAMPLE / "connectors.yaml").read_text().replace("namespace: support", f"namespace: {namespace}")
    made = [each for each in yaml.safe_load_all(text) if each["kind"] != "Namespace"]
    kept = tuple(each for each in made if each["metadata"]["name"] not in {"crm", "payments"})
    for each in kept:
        if each["metadata"]["name"] == "llm":
            each["spec"]["url"] = f"http://model.{namespace}.svc:8000/v1"
    return kept
