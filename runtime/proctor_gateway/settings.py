"""The settings, from environment variables `PROCTOR_GATEWAY_*`. Durations are seconds, sizes are bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from proctor.api import names

Seconds = Annotated[float, Field(gt=0, le=86_400)]
Port = Annotated[int, Field(ge=0, le=65_535)]
Size = Annotated[int, Field(ge=1024, le=1 << 30)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]

_OPERATOR = f"system:serviceaccount:{names.INSTALL_NAMESPACE}:{names.OPERATOR}"
_AUDITOR = f"system:serviceaccount:{names.INSTALL_NAMESPACE}:{names.AUDITOR}"


class Settings(BaseSettings):
    """What an installation may set. Every default is meant to be right for a small cluster."""

    model_config = SettingsConfigDict(env_prefix="PROCTOR_GATEWAY_", frozen=True, extra="ignore")

    host: str = Field("0.0.0.0", description="The address that all listeners bind.")  # noqa: S104 - it is a server
    caller_port: Port = Field(names.CALLER_PORT, description="Callers.")
    agent_port: Port = Field(names.AGENT_FACING_PORT, description="Agent pods.")
    stable_port: Port | None = Field(None, description="Tasks that an HTTPRoute sends to stable. Absent: none come.")
    candidate_port: Port | None = Field(None, description="Tasks that an HTTPRoute sends to a candidate.")
    route_settle: Seconds = Field(
        10,
        description="So long after a change of weights, what an HTTPRoute sends in is no evidence: it may lag behind.",
    )
    internal_port: Port = Field(names.INTERNAL_PORT, description="Metrics, health and the operator's probes.")
    pod_port: Port = Field(names.POD_PORT, description="The port on which agent pods take tasks.")

    store: SecretStr = Field(
        SecretStr("sqlite:////var/lib/proctor/gateway.db"),
        description="`sqlite:///<path>` for one replica, `postgresql://…` for any number. It may hold a password.",
    )
    retention: Annotated[float, Field(gt=0, le=3_650 * 86_400)] = Field(
        7 * 86_400, description="How long ended tasks are kept."
    )
    outcome_retention: Annotated[float, Field(gt=0, le=3_650 * 86_400)] = Field(
        90 * 86_400, description="How long it is kept how a task ended, without what was said in it."
    )

    audience: str = Field(names.AUDIENCE, description="The audience of tokens made for the gateway.")
    operator: str = Field(_OPERATOR, description="The username that may use /internal.")
    review_ttl: Seconds = Field(60, description="How long a TokenReview's answer is used.")
    review_stale: Seconds = Field(
        600,
        description="How long, at most, an answer is used while the API server is away. Never beyond the token's end.",
    )

    secret_ttl: Seconds = Field(60, description="How long a Secret is used before it is read again.")
    policy_ttl: Seconds = Field(
        900,
        description="While nothing was heard of the policies for so long, agents under a policy may write no more, and "
        "read only where `staleReads` says so.",
    )
    watch_timeout: Seconds = Field(60, description="A watch is renewed after this time; a dead one is noticed by then.")
    sync_patience: Seconds = Field(10, description="How long the API server is waited for before the snapshot is used.")

    max_body: Size = Field(4 << 20, description="The largest body of a request, of a caller or of an agent.")
    max_answer: Size = Field(16 << 20, description="The largest answer of a model, of a tool or of an agent.")
    max_result: Size = Field(1 << 20, description="The largest tool result that is handed to an agent.")
    max_shown: Size = Field(16 << 10, description="As much of a call's result is kept for people to see.")
    body_timeout: Seconds = Field(30, description="A request's body must be there by then.")
    max_wait: Seconds = Field(60, description="The longest `wait` of a long poll.")

    queue: Count = Field(100, description="Open tasks of one agent beyond what its ready pods work on; 429 above.")
    queue_timeout: Seconds = Field(300, description="How long a task waits for a pod before it fails.")
    trial_share: Annotated[float, Field(gt=0, le=1)] = Field(
        0.5, description="The share of a pod's places that tasks which are not live may take at most."
    )
    max_losses: Count = Field(3, description="A task that lost its pod or its gateway so often is not begun again.")
    usual_output_tokens: Count = Field(
        4096, description="The longest answer of a model under a budget, where neither request nor Connector says one."
    )
    least_output_tokens: Count = Field(
        256, description="Where the gateway bounds an answer itself: with less left than this no call is made."
    )
    connect_timeout: Seconds = Field(5, description="How long a connection to a pod or an upstream may take.")
    turn_timeout: Seconds = Field(5, description="How long a call waits for a connector's rate or concurrency limit.")
    settle_timeout: Seconds = Field(30, description="How long the end of a task waits for effects that are under way.")

    replay_patience: Seconds = Field(
        3, description="How long a call that was not asked before waits for those that were, when a task runs again."
    )
    heartbeat: Seconds = Field(2, description="How often an instance says that it lives.")
    takeover: Seconds = Field(7, description="The tasks of an instance that was silent for so long are taken over.")
    drain: Seconds = Field(25, description="On SIGTERM running tasks may finish within this time.")

    record_on_failure: Literal["block", "degrade"] = Field(
        "block",
        description="When a record cannot be written: do nothing that would have to be recorded, or do it and count.",
    )
    record_origin: Annotated[str, Field(pattern=r"^[A-Za-z0-9._/-]{1,180}$")] = Field(
        "proctor.dev/record", description="What the names of the record's logs begin with: unique to the installation."
    )
    record_secret: str = Field("proctor-record-key", description="The Secret of the record's keys; filled if empty.")
    record_keys: Path = Field(Path("/var/run/secrets/proctor-record"), description="Where that Secret is mounted.")
    record_checkpoint_records: Count = Field(1000, description="A checkpoint is signed after so many records…")
    record_checkpoint_seconds: Seconds = Field(10, description="…and after this time, if there are new ones.")
    record_rotate_records: Count = Field(1_000_000, description="A log is closed, and another opened, at this size…")
    record_rotate_seconds: Annotated[float, Field(gt=0, le=366 * 86_400)] = Field(30 * 86_400, description="…or age.")
    record_retention: Annotated[float, Field(gt=0, le=36_500 * 86_400)] = Field(
        190 * 86_400, description="How long a log is kept after its end. The EU's AI Act asks for six months."
    )
    record_payloads: bool = Field(
        default=False, description="Whether what is said is kept too: apart, encrypted for each subject."
    )
    auditors: tuple[str, ...] = Field(
        (_AUDITOR,), description="Who else may read the record: usernames, and groups as `group:<name>`. A JSON list."
    )

    log_level: str = Field("info", description="debug, info, warning or error.")

    @property
    def degrades_record(self) -> bool:
        """Whether what cannot be recorded is done all the same."""
        return self.record_on_failure == "degrade"
