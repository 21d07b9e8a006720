"""The tables. Times are UTC, money is text, so that both engines keep and give back exactly what was written."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa


class UtcTime(sa.types.TypeDecorator[datetime]):
    """An aware time. SQLite knows no zones: it keeps the UTC time and the zone is put back on reading."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:  # noqa: ARG002, D102
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:  # noqa: ARG002, D102
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Money(sa.types.TypeDecorator[Decimal]):
    """A decimal as text."""

    impl = sa.String(64)
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: sa.Dialect) -> str | None:  # noqa: ARG002, D102
        return None if value is None else f"{value:f}"

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> Decimal | None:  # noqa: ARG002, D102
        return None if value is None else Decimal(value)


def _json() -> Any:
    # JSON and not JSONB: what was said is given back as it was, and JSONB refuses a NUL that JSON allows.
    return sa.JSON(none_as_null=True)


metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    }
)

tasks = sa.Table(
    "tasks",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("namespace", sa.String(63), nullable=False),
    sa.Column("agent", sa.String(253), nullable=False),
    sa.Column("principal", sa.Text, nullable=False),
    sa.Column("idempotency_key", sa.Text),
    sa.Column("body_digest", sa.String(71), nullable=False),
    sa.Column("input", _json()),
    sa.Column("conversation", sa.Text),
    sa.Column("metadata", _json(), nullable=False),
    sa.Column("purpose", sa.String(16), nullable=False),
    sa.Column("pinned", sa.String(63)),
    sa.Column("entry", sa.String(300)),
    sa.Column("trace_id", sa.String(32), nullable=False),
    sa.Column("parent_span", sa.String(16), nullable=False),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Column("phase", sa.String(16), nullable=False),
    sa.Column("revision", sa.String(63), nullable=False),
    sa.Column("arm", sa.String(16)),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("losses", sa.Integer, nullable=False),
    sa.Column("paused_at", UtcTime),
    sa.Column("leg", sa.Integer, nullable=False, default=0),
    sa.Column("served_by", sa.Text),
    sa.Column("serving", _json()),
    sa.Column("started_at", UtcTime),
    sa.Column("deadline", UtcTime),
    sa.Column("finished_at", UtcTime),
    sa.Column("output", _json()),
    sa.Column("reason", sa.String(64)),
    sa.Column("message", sa.Text),
    sa.Column("owner", sa.String(64)),
    sa.Column("live", sa.Boolean, nullable=False),
    sa.Column("stop", sa.String(64)),
    sa.Column("sequence", sa.Integer, nullable=False),
    sa.Column("steps", sa.Integer, nullable=False),
    sa.Column("tool_calls", sa.Integer, nullable=False),
    sa.Column("input_tokens", sa.BigInteger, nullable=False),
    sa.Column("output_tokens", sa.BigInteger, nullable=False),
    sa.Column("cost", Money),
    sa.Column("counted_cost", Money, nullable=False, default=Decimal(0)),
    sa.Column("counted_tokens", sa.BigInteger, nullable=False, default=0),
    sa.UniqueConstraint("namespace", "agent", "principal", "idempotency_key"),
    sa.Index(None, "namespace", "agent", "phase"),
    sa.Index(None, "namespace", "agent", "principal", "id"),
    sa.Index(None, "owner", "phase"),
    sa.Index(None, "finished_at"),
)
"""`owner` is the instance that drives the task, `stop` the reason for which someone wants it ended.

`attempts` counts dispatches, `losses` those whose pod or gateway went away in the middle.
`purpose` says for whom it runs, `pinned` on which revision it must, `arm` which one was drawn for it.
`live` is the fence: while it is false, the token of the last attempt opens nothing, so that what is judged about the
attempt's calls stays true afterwards.
`paused_at` is since when it waits for people: its deadline moves on by that time. `leg` is which of its fallbacks works
on it, 0 being the agent itself; `served_by` names it, `serving` is its agent and revision if it is another agent.
`counted_*` is what limits of the task are held against: what is spent, and what is reserved for calls that are under
way or whose outcome nobody knows. `cost` is what is known to have been paid, and null once that is not known.
"""

calls = sa.Table(
    "calls",
    metadata,
    sa.Column("task", sa.String(64), sa.ForeignKey("tasks.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("sequence", sa.Integer, primary_key=True),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("connector", sa.String(63), nullable=False),
    sa.Column("name", sa.String(256), nullable=False),
    sa.Column("effect", sa.String(16), nullable=False),
    sa.Column("arguments", _json()),
    sa.Column("digest", sa.String(71), nullable=False),
    sa.Column("occurrence", sa.Integer, nullable=False),
    sa.Column("seen", sa.Integer, nullable=False),
    sa.Column("answered", sa.Boolean, nullable=False),
    sa.Column("void", sa.Boolean, nullable=False),
    sa.Column("sender", sa.String(64)),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("touched", sa.Boolean, nullable=False),
    sa.Column("result", _json()),
    sa.Column("reason", sa.String(64)),
    sa.Column("message", sa.Text),
    sa.Column("input_tokens", sa.BigInteger),
    sa.Column("output_tokens", sa.BigInteger),
    sa.Column("cost", Money),
    sa.Column("reserved_cost", Money),
    sa.Column("reserved_tokens", sa.BigInteger),
    sa.Column("started_at", UtcTime, nullable=False),
    sa.Column("finished_at", UtcTime),
    # How often a call was made before is asked with each: without it a task of a thousand calls reads a thousand.
    sa.Index(None, "task", "digest", "void"),
)

accounts = sa.Table(
    "accounts",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("scope", sa.String(16), nullable=False),
    sa.Column("namespace", sa.String(63), nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("team", sa.Text, nullable=False),
    sa.Column("per", sa.String(8), nullable=False),
    sa.Column("starts_at", UtcTime, nullable=False),
    sa.Column("ends_at", UtcTime, nullable=False),
    sa.Column("spent_cost", Money, nullable=False),
    sa.Column("held_cost", Money, nullable=False),
    sa.Column("spent_tokens", sa.BigInteger, nullable=False),
    sa.Column("held_tokens", sa.BigInteger, nullable=False),
    sa.Column("tasks", sa.BigInteger, nullable=False),
    sa.Column("refused_at", UtcTime),
    sa.Column("refused_cost", Money),
    sa.Column("refused_tokens", sa.BigInteger),
    sa.Index(None, "scope", "per", "starts_at", "namespace", "subject"),
    sa.Index(None, "ends_at"),
)
"""What is spent and reserved by an agent, a team or a namespace in one hour, day or month. Budgets read nothing else.

Changed only under the lock of its key, which the write that changes it names: money is text and so is read, added to
and written. An agent's day is always counted, also where no budget asks for it. `refused_*` is the last call that did
not fit, and what it would have needed.
"""

answers = sa.Table(
    "answers",
    metadata,
    sa.Column("task", sa.String(64), primary_key=True),
    sa.Column("sequence", sa.Integer, primary_key=True),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.ForeignKeyConstraint(["task", "sequence"], ["calls.task", "calls.sequence"], ondelete="CASCADE"),
)
"""What was answered, whole: what an attempt that is begun again is told instead of asking again."""

approvals = sa.Table(
    "approvals",
    metadata,
    sa.Column("task", sa.String(64), sa.ForeignKey("tasks.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("sequence", sa.Integer, primary_key=True),
    sa.Column("namespace", sa.String(63), nullable=False),
    sa.Column("name", sa.String(253), nullable=False),
    sa.Column("spec", _json(), nullable=False),
    sa.Column("asked", sa.Boolean, nullable=False),
    sa.Column("decision", sa.String(63)),
    sa.Column("decided_by", _json()),
    sa.Column("comment", sa.Text),
    sa.Column("answer", _json()),
    sa.UniqueConstraint("namespace", "name"),
)
"""Questions to people: `asked` once the Approval is in the cluster, `decision` once enough people agree."""

outcomes = sa.Table(
    "outcomes",
    metadata,
    sa.Column("task", sa.String(64), primary_key=True),
    sa.Column("namespace", sa.String(63), nullable=False),
    sa.Column("agent", sa.String(253), nullable=False),
    sa.Column("revision", sa.String(63), nullable=False),
    sa.Column("arm", sa.String(16)),
    sa.Column("deadline", UtcTime),
    sa.Column("phase", sa.String(16), nullable=False),
    sa.Column("reason", sa.String(64)),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("seconds", sa.Float, nullable=False),
    sa.Column("steps", sa.Integer, nullable=False),
    sa.Column("tool_calls", sa.Integer, nullable=False),
    sa.Column("tool_errors", sa.Integer, nullable=False),
    sa.Column("input_tokens", sa.BigInteger, nullable=False),
    sa.Column("output_tokens", sa.BigInteger, nullable=False),
    sa.Column("cost", Money),
    sa.Column("escalated", sa.Boolean, nullable=False),
    sa.Column("confidence", sa.Float),
    sa.Column("feedback", sa.Boolean),
    sa.Column("quality", sa.Float),
    sa.Column("comment", sa.Text),
    sa.Column("judged_by", sa.Text),
    sa.Column("judged_at", UtcTime),
    sa.Column("finished_at", UtcTime, nullable=False),
    sa.Index(None, "namespace", "agent", "finished_at"),
    sa.Index(None, "finished_at"),
)
"""One row for each ended live task, without what was said in it; it outlives the task. `seconds` runs from acceptance.

`feedback` is the success that somebody says it was, `quality` from 0 to 1 how good; neither is there until it is said.
"""

assignments = sa.Table(
    "assignments",
    metadata,
    sa.Column("assignment", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("task", sa.String(64), nullable=False),
    sa.Column("namespace", sa.String(63), nullable=False),
    sa.Column("agent", sa.String(253), nullable=False),
    sa.Column("rollout", sa.String(253), nullable=False),
    sa.Column("revision", sa.String(63), nullable=False),
    sa.Column("weight", sa.Integer, nullable=False),
    sa.Column("arm", sa.String(16)),
    sa.Column("propensity", sa.String(16), nullable=False),
    sa.Column("conversation", sa.Boolean, nullable=False),
    sa.Column("counts", sa.Boolean, nullable=False),
    sa.Column("assigned_at", UtcTime, nullable=False),
    sa.Column("deadline", UtcTime, nullable=False),
    sa.Index(None, "namespace", "agent", "rollout", "assignment"),
    sa.Index(None, "assigned_at"),
)
"""One row for each live task that began during an upgrade, in the order in which they were bound to a revision.

The number is that order for every reader: it is counted under a lock that is held until the commit. `counts` says
that the arm was drawn for this very task: neither without an arm, nor a later one of a conversation.
"""

conversations = sa.Table(
    "conversations",
    metadata,
    sa.Column("namespace", sa.String(63), primary_key=True),
    sa.Column("agent", sa.String(253), primary_key=True),
    sa.Column("rollout", sa.String(253), primary_key=True),
    sa.Column("conversation", sa.String(64), primary_key=True),
    sa.Column("arm", sa.String(16)),
    sa.Column("propensity", sa.String(16), nullable=False),
    sa.Column("began_at", UtcTime, nullable=False),
    sa.Index(None, "began_at"),
)
"""On which arm a conversation began during an upgrade. The conversation is named by its SHA-256."""

batches = sa.Table(
    "batches",
    metadata,
    sa.Column("namespace", sa.String(63), primary_key=True),
    sa.Column("agent", sa.String(253), primary_key=True),
    sa.Column("batch", sa.String(253), primary_key=True),
    sa.Column("purpose", sa.String(16), nullable=False),
    sa.Column("digest", sa.String(71), nullable=False),
    sa.Column("timeout", sa.Float),
    sa.Column("concurrency", sa.Integer, nullable=False),
    sa.Column("stubs", _json(), nullable=False),
    sa.Column("owner", sa.String(64)),
    sa.Column("done", sa.Boolean, nullable=False),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Index(None, "done", "owner"),
    sa.Index(None, "created_at"),
)
"""Trials that were asked for together. `owner` is the instance that begins them, `digest` that of what was asked."""

trials = sa.Table(
    "trials",
    metadata,
    sa.Column("namespace", sa.String(63), primary_key=True),
    sa.Column("agent", sa.String(253), primary_key=True),
    sa.Column("batch", sa.String(253), primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True),
    sa.Column("key", sa.String(253), nullable=False),
    sa.Column("revision", sa.String(63), nullable=False),
    sa.Column("input", _json()),
    sa.Column("conversation", sa.Text),
    sa.Column("stubs", _json(), nullable=False),
    sa.Column("original", sa.String(64)),
    sa.Column("task", sa.String(64)),
    sa.Column("reason", sa.String(64)),
    sa.Column("unanswered", sa.Integer, nullable=False),
    sa.ForeignKeyConstraint(
        ["namespace", "agent", "batch"], ["batches.namespace", "batches.agent", "batches.batch"], ondelete="CASCADE"
    ),
    sa.Index(None, "task"),
)
"""One run of one revision. `task` is there once it has begun, `reason` if it cannot be used, `original` if repeated."""

counters = sa.Table(
    "counters",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("value", sa.BigInteger, nullable=False),
)
"""Numbers that only rise."""

readings = sa.Table(
    "readings",
    metadata,
    sa.Column("task", sa.String(64), sa.ForeignKey("tasks.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("attempt", sa.Integer, primary_key=True),
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("connector", sa.String(63), nullable=False),
    sa.Column("tool", sa.String(256), nullable=False),
    sa.Column("trusted", sa.Boolean, nullable=False),
    sa.Column("data", _json(), nullable=False),
    sa.Column("named", sa.Boolean, nullable=False),
    sa.Column("secluded", sa.Boolean, nullable=False),
    sa.Column("vouched", sa.Text, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
)
"""What the attempts of agents under a policy have read: whether it was trusted, of which data classes, and the words of
those tools from which a value may be used where others may not: of trusted ones, of sources that the caller named, and
what is vouched for of the others.
"""

plans = sa.Table(
    "plans",
    metadata,
    sa.Column("task", sa.String(64), sa.ForeignKey("tasks.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("plan", _json(), nullable=False),
)
"""What tasks were going to do, before they read what strangers wrote; where a policy asks for it."""

policy_findings = sa.Table(
    "policy_findings",
    metadata,
    sa.Column("namespace", sa.String(63), primary_key=True),
    sa.Column("agent", sa.String(253), primary_key=True),
    sa.Column("policy", sa.String(384), primary_key=True),
    sa.Column("rule", sa.String(128), primary_key=True),
    sa.Column("mode", sa.String(16), primary_key=True),
    sa.Column("day", sa.String(10), primary_key=True),
    sa.Column("count", sa.BigInteger, nullable=False),
    sa.Column("severity", sa.String(16), nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("last_at", UtcTime, nullable=False),
)
"""How often policies found something in calls, whether it stopped them (Enforce) or not, for each UTC day."""

signing_keys = sa.Table(
    "signing_keys",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("pem", sa.Text, nullable=False),
    sa.Column("created_at", UtcTime, nullable=False),
)

instances = sa.Table(
    "instances",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("started_at", UtcTime, nullable=False),
    sa.Column("seen_at", UtcTime, nullable=False),
    sa.Column("seen", _json()),
)
"""`seen` is the upgrade and its weight that the instance draws by, for each agent that has one."""

known = sa.Table(
    "known",
    metadata,
    sa.Column("kind", sa.String(16), primary_key=True),
    sa.Column("namespace", sa.String(63), primary_key=True),
    sa.Column("name", sa.String(253), primary_key=True),
    sa.Column("body", _json(), nullable=False),
)
"""The last known state of the cluster: what a gateway that starts without the API server serves from."""

revisions = sa.Table(
    "revisions",
    metadata,
    sa.Column("namespace", sa.String(63), primary_key=True),
    sa.Column("agent", sa.String(253), primary_key=True),
    sa.Column("revision", sa.String(63), primary_key=True),
    sa.Column("data", _json(), nullable=False),
)
"""What was read of ControllerRevisions: immutable, so kept until the agent's last task has gone."""

reviews = sa.Table(
    "reviews",
    metadata,
    sa.Column("token", sa.String(64), primary_key=True),
    sa.Column("username", sa.Text, nullable=False),
    sa.Column("groups", _json(), nullable=False),
    sa.Column("for_gateway", sa.Boolean, nullable=False),
    sa.Column("reviewed_at", UtcTime, nullable=False),
    sa.Column("usable_until", UtcTime, nullable=False),
)
"""Who bore which token, by the token's SHA-256: used only while the API server cannot be asked."""

record_logs = sa.Table(
    "record_logs",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("origin", sa.String(253), nullable=False),
    sa.Column("verifier", sa.Text, nullable=False),
    sa.Column("holder", sa.String(64)),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("head", sa.String(64), nullable=False),
    sa.Column("frontier", sa.Text, nullable=False),
    sa.Column("signed_size", sa.BigInteger, nullable=False),
    sa.Column("signed_at", UtcTime, nullable=False),
    sa.Column("opened_at", UtcTime, nullable=False),
    sa.Column("closed_at", UtcTime),
    sa.Index(None, "holder"),
)
"""The index of the record's logs. `holder` is the instance that alone writes the log while it is open.

`head` and `frontier` are the end of its chain and of its tree: all that is needed to append to it.
"""

records = sa.Table(
    "records",
    metadata,
    sa.Column("log", sa.String(64), primary_key=True),
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("at", UtcTime, nullable=False),
    sa.Column("type", sa.String(32), nullable=False),
    sa.Column("namespace", sa.String(63)),
    sa.Column("agent", sa.String(253)),
    sa.Column("task", sa.String(64)),
    sa.Column("identity", sa.String(128)),
    sa.Column("line", sa.LargeBinary, nullable=False),
    sa.Column("leaf", sa.LargeBinary, nullable=False),
    sa.UniqueConstraint("identity"),
    sa.Index(None, "namespace", "agent"),
    sa.Index(None, "task"),
)
"""What was decided and done. `line` is the record, byte for byte as it was hashed; the other columns only find it."""

record_nodes = sa.Table(
    "record_nodes",
    metadata,
    sa.Column("log", sa.String(64), primary_key=True),
    sa.Column("level", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("hash", sa.LargeBinary, nullable=False),
)
"""The hashes of complete subtrees of 256, 65536, … records: what proofs need beside the leaves."""

checkpoints = sa.Table(
    "checkpoints",
    metadata,
    sa.Column("log", sa.String(64), primary_key=True),
    sa.Column("size", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("note", sa.Text, nullable=False),
    sa.Column("signed_at", UtcTime, nullable=False),
)
"""What was signed of each log, and when."""

subject_keys = sa.Table(
    "subject_keys",
    metadata,
    sa.Column("subject", sa.String(80), primary_key=True),
    sa.Column("wrapped", sa.LargeBinary, nullable=False),
    sa.Column("created_at", UtcTime, nullable=False),
)
"""The key of each subject's payloads, encrypted with the installation's. Without its row they are noise."""

payloads = sa.Table(
    "payloads",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("subject", sa.String(80), nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Index(None, "subject"),
    sa.Index(None, "created_at"),
)
"""What was said, encrypted, apart from the record, which names it by its id and by a hash."""
