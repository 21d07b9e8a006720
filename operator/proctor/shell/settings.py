"""The operator's settings: environment variables with the prefix PROCTOR_OPERATOR_."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from proctor.api import names
from proctor.plan.certificates import Lifetimes
from proctor.plan.world import Platform


class Settings(BaseSettings):
    """Every setting has a default that works but for the agent's image, which only the installation knows."""

    model_config = SettingsConfigDict(env_prefix="PROCTOR_OPERATOR_", frozen=True, extra="forbid")

    agent_image: Annotated[str, Field(description="The image of the default agent, and of the isolation probe.")]
    namespace: Annotated[str, Field(description="Where proctor is installed.")] = names.INSTALL_NAMESPACE
    identity: Annotated[str, Field(description="This replica's name in the Lease; default: host name and a hash.")] = ""
    kubeconfig: Annotated[str | None, Field(description="Only outside of a cluster.")] = None
    gateway_internal_url: Annotated[str | None, Field(description="Where the gateway answers the operator.")] = None
    gateway_token_file: Annotated[str, Field(description="Token with the audience proctor-gateway.")] = (
        "/var/run/secrets/proctor/gateway-token"  # noqa: S105 - a path
    )
    isolated_runtime_class: Annotated[str | None, Field(description="RuntimeClass of profile Isolated.")] = None
    dns_cidrs: Annotated[tuple[str, ...], Field(description="Where DNS answers, besides pods in kube-system.")] = ()
    workers: Annotated[int, Field(ge=1, le=256, description="Reconciles at the same time.")] = 16
    relist_seconds: Annotated[int, Field(ge=10, description="Between two lists that check the watches.")] = 300
    resync_seconds: Annotated[int, Field(ge=10, description="Between two looks at an unchanged object.")] = 600
    reference_poll_seconds: Annotated[int, Field(ge=1, description="Between two reads of what a spec refers to.")] = 60
    isolation_max_age_seconds: Annotated[int, Field(ge=60, description="Before a network is probed again.")] = 21_600
    notify_url: Annotated[
        str | None, Field(pattern="^https?://", description="Gets a CloudEvent for each question to people.")
    ] = None
    anchor_seconds: Annotated[int, Field(ge=5, description="Between two looks at the record's checkpoints.")] = 60
    anchor_file: Annotated[Path | None, Field(description="A file that gets a line for each anchor, beside.")] = None
    record_retention_days: Annotated[int, Field(ge=1, description="As PROCTOR_GATEWAY_RECORD_RETENTION: days.")] = 190
    webhook_port: Annotated[int | None, Field(description="Of the admission webhook; absent: none is served.")] = None
    certificate_poll_seconds: Annotated[int, Field(ge=1, description="Between two looks at the certificates.")] = 30
    certificate_seconds: Annotated[int, Field(ge=10, description="Lifetime of a serving certificate.")] = 90 * 86_400
    authority_seconds: Annotated[int, Field(ge=20, description="Lifetime of what signs them.")] = 365 * 86_400
    report_seconds: Annotated[int, Field(ge=1, description="Between two looks at the policy reports.")] = 60
    port: Annotated[int, Field(description="Of /metrics, /healthz and /readyz.")] = 8080
    log_level: Annotated[str, Field(pattern="^(debug|info|warning|error)$")] = "info"

    def platform(self) -> Platform:
        """What the installation decides for all agents."""
        host = f"{names.GATEWAY}.{self.namespace}.svc"
        return Platform(
            agent_image=self.agent_image,
            namespace=self.namespace,
            gateway_host=host,
            public_url=f"http://{host}:{names.CALLER_PORT}",
            isolated_runtime_class=self.isolated_runtime_class,
            dns_cidrs=self.dns_cidrs,
            resync_seconds=self.resync_seconds,
            reference_poll_seconds=self.reference_poll_seconds,
            isolation_max_age_seconds=self.isolation_max_age_seconds,
        )

    def lifetimes(self) -> Lifetimes:
        """How long the webhook's certificates last."""
        return Lifetimes(timedelta(seconds=self.authority_seconds), timedelta(seconds=self.certificate_seconds))

    def record_retention(self) -> timedelta:
        """How long the gateway keeps a closed log: one that is gone before is missed."""
        return timedelta(days=self.record_retention_days)

    def internal_url(self) -> str:
        """Where the gateway answers the operator."""
        return self.gateway_internal_url or f"http://{names.GATEWAY}.{self.namespace}.svc:{names.INTERNAL_PORT}"
