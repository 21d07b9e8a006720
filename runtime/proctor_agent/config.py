"""What the operator declared for this agent: the file behind `PROCTOR_AGENT_CONFIG` and the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

DEFAULT_CONFIG = Path("/etc/proctor/agent.json")


class InvalidConfig(Exception):  # noqa: N818 - it names what happened
    """The declared agent cannot be run; the message says which field, never its value."""


class _Declared(BaseModel):
    # Fields this version does not know are left alone: the operator may be newer than the image, and all that
    # must be enforced is enforced by the gateway.
    model_config = ConfigDict(extra="ignore", frozen=True, alias_generator=to_camel)


class Model(_Declared):
    """The model to ask for; `parameters` go into every request as they are."""

    name: str
    parameters: dict[str, Any] = Field(default_factory=dict)


class Tools(_Declared):
    """The tools of one connector that are shown to the model, in this order."""

    connector: str
    allow: tuple[str, ...] = ()


class Output(_Declared):
    """The JSON schema of the answer."""

    json_schema: Annotated[dict[str, Any], Field(alias="schema")]


class Limits(_Declared):
    """What one task may use. The gateway enforces the same; here they end a task with a clear reason."""

    timeout_seconds: Annotated[float, Field(gt=0)] = 60
    max_steps: Annotated[int, Field(ge=1)] = 12
    max_tokens: Annotated[int, Field(ge=1)] | None = None


class AgentConfig(_Declared):
    """One revision of an agent."""

    name: str
    namespace: str
    revision: str
    instructions: str
    model: Model
    tools: tuple[Tools, ...] = ()
    output: Output | None = None
    limits: Limits = Limits()


def load(environment: Mapping[str, str] = os.environ) -> AgentConfig:
    """The declared agent.

    Raises:
        InvalidConfig: the file is missing, no JSON, or lacks something.
    """
    path = Path(environment.get("PROCTOR_AGENT_CONFIG", DEFAULT_CONFIG))
    try:
        return AgentConfig.model_validate_json(path.read_bytes())
    except OSError as exc:
        raise InvalidConfig(f"{path} cannot be read: {exc.strerror}") from exc
    except ValidationError as exc:
        found = "; ".join(f"{'.'.join(map(str, error['loc'])) or 'file'}: {error['msg']}" for error in exc.errors())
        raise InvalidConfig(f"{path}: {found}") from None


def gateway_url(environment: Mapping[str, str] = os.environ) -> str:
    """The gateway's agent listener, without a slash at its end.

    Raises:
        InvalidConfig: `PROCTOR_GATEWAY_URL` is not set.
    """
    url = environment.get("PROCTOR_GATEWAY_URL", "").rstrip("/")
    if not url.startswith(("http://", "https://")):
        raise InvalidConfig("PROCTOR_GATEWAY_URL must be the http(s) URL of the gateway")
    return url


def model_url(environment: Mapping[str, str] = os.environ) -> str:
    """The base of the OpenAI-compatible API: `OPENAI_BASE_URL`, or /v1 of the gateway."""
    return environment.get("OPENAI_BASE_URL", "").rstrip("/") or f"{gateway_url(environment)}/v1"
