"""`python -m proctor.cli.crds [ROOT]` writes what is made from the models, below ROOT.

That is crds/, docs/kinds.md and the admission rules in manifests/base/admission.yaml.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

from proctor.api import kinds, names, reference, schema
from proctor.policy import admission

_HEADER = "# Made by `make crds` from operator/proctor/api; a test fails when it differs.\n"


class _Plain(yaml.SafeDumper):
    """YAML without anchors, which reviewers of a generated file should not have to follow."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the parent's signature
        return True


def _yaml(document: dict[str, Any]) -> str:
    return _HEADER + yaml.dump(document, Dumper=_Plain, sort_keys=False, width=120, allow_unicode=True)


def rendered() -> dict[str, str]:
    """Every generated file: its path below the repository's root, and its text. The same models give the same text."""
    files = {f"{names.GROUP}_{kind.plural}.yaml": _yaml(schema.definition(kind)) for kind in kinds.ALL}
    # Without an extension, so that `kubectl apply -f crds/` does not take it for an object.
    files["Kustomization"] = _yaml(
        {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": sorted(files)}
    )
    made = {f"crds/{name}": text for name, text in files.items()}
    return made | {"docs/kinds.md": reference.page(kinds.ALL), "manifests/base/admission.yaml": _admission()}


def _admission() -> str:
    header = "# Made by `make crds` from operator/proctor/policy/admission.py; a test fails when it differs.\n"
    texts = (yaml.dump(each, Dumper=_Plain, sort_keys=False, width=120) for each in admission.manifests())
    return header + "---\n".join(texts)


def main(root: Path) -> None:
    """Write every generated file below `root`."""
    for name, text in rendered().items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
