"""What is in the images, and what is not, seen from inside a pod."""

from __future__ import annotations

import json

import pytest

from tests.e2e import pods

LOOK = """
import importlib.util, json, os, shutil
names = ("proctor", "proctor_gateway", "proctor_agent", "proctor_demo", "pip", "kopf", "sqlalchemy", "pydantic_ai")
print(json.dumps({
    "modules": [name for name in names if importlib.util.find_spec(name)],
    "programs": sorted(name for name in os.listdir("/opt/proctor/bin") if not name.startswith("python")),
    "tools": [tool for tool in ("sh", "bash", "apt-get", "dpkg", "gcc", "pip", "curl") if shutil.which(tool)],
    "uid": os.getuid(),
}))
"""

CONTENTS = {
    "proctor-control": (["proctor", "proctor_gateway", "kopf", "sqlalchemy"], ["proctor-gateway", "proctor-operator"]),
    "proctor-agent": (["proctor_agent", "pydantic_ai"], ["proctor-agent", "proctor-agent-probe"]),
    "proctor-demo": (["proctor_demo"], ["proctor-demo"]),
}


@pytest.mark.parametrize("image", CONTENTS)
def test_an_image_holds_one_program_and_no_tools(bare_cluster, images, namespace, image):
    """Its own code and libraries, no other program's, no shell, no package manager; and it runs as nobody special."""
    modules, programs = CONTENTS[image]
    pods.run(bare_cluster, namespace, "look", images[image], LOOK)
    seen = json.loads(pods.finish(bare_cluster, namespace, "look"))
    assert seen == {"modules": modules, "programs": programs, "tools": [], "uid": 65532}
