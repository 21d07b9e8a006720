"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create every table."""
    op.create_table(
        "instances",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("started_at", _TIME, nullable=False),
        sa.Column("seen_at", _TIME, nullable=False),
        sa.Column("seen", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_instances")),
    )
    op.create_table(
        "counters",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_counters")),
    )
    op.create_table(
        "batches",
        sa.Column("namespace", sa.String(length=63), nullable=False),
        sa.Column("agent", sa.String(length=253), nullable=False),
        sa.Column("batch", sa.String(length=253), nullable=False),
        sa.Column("purpose", sa.String(length=16), nullable=False),
        sa.Column("digest", sa.String(length=71), nullable=False),
        sa.Column("timeout", sa.Float(), nullable=True),
        sa.Column("concurrency", sa.Integer(), nullable=False),
        sa.Column("stubs", sa.JSON(), nullable=False),
        sa.Column("owner", sa.String(length=64), nullable=True),
        sa.Column("done", sa.Boolean(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("namespace", "agent", "batch", name=op.f("pk_batches")),
    )
    op.create_index(op.f("ix_batches_created_at"), "batches", ["created_at"], unique=False)
    op.create_index(op.f("ix_batches_done_owner"), "batches", ["done", "owner"], unique=False)
    op.create_table(
        "trials",
        sa.Column("namespace", sa.String(length=63), nullable=False),
        sa.Column("agent", sa.String(length=253), nullable=False),
        sa.Column("batch", sa.String(length=253), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(length=253), nullable=False),
        sa.Column("revision", sa.String(length=63), nullable=False),
        sa.Column("input", sa.JSON(), nullable=True),
        sa.Column("conversation", sa.Text(), nullable=True),
        sa.Column("stubs", sa.JSON(), nullable=False),
        sa.Column("original", sa.String(length=64), nullable=True),
        sa.Column("task", sa.String(length=64), nullable=True),
        sa.Column("reason", sa.String(length=64), nullable=True),
        sa.Column("unanswered", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["namespace", "agent", "batch"],
            ["batches.namespace", "batches.agent", "batches.batch"],
            name=op.f("fk_trials_namespace_agent_batch"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("namespace", "agent", "batch", "position", name=op.f("pk_trials")),
    )
    op.create_index(op.f("ix_trials_task"), "trials", ["task"], unique=False)
    op.create_table(
        "assignments",
        sa.Column("assignment", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("task", sa.String(length=64), nullable=False),
        sa.Column("namespace", sa.String(length=63), nullable=False),
        sa.Column("agent", sa.String(length=253), nullable=False),
        sa.Column("rollout", sa.String(length=253), nullable=False),
        sa.Column("revision", sa.String(length=63), nullable=False),
        sa.Column("weight", sa.Integer(), nullable=False),
        sa.Column("arm", sa.String(length=16), nullable=True),
        sa.Column("propensity", sa.String(length=16), nullable=False),
        sa.Column("conversation", sa.Boolean(), nullable=False),
        sa.Column("counts", sa.Boolean(), nullable=False),
        sa.Column("assigned_at", _TIME, nullable=False),
        sa.Column("deadline", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("assignment", name=op.f("pk_assignments")),
    )
    op.create_index(op.f("ix_assignments_assigned_at"), "assignments", ["assigned_at"], unique=False)
    op.create_index(
        op.f("ix_assignments_namespace_agent_rollout_assignment"),
        "assignments",
        ["namespace", "agent", "rollout", "assignment"],
        unique=False,
    )
    op.create_table(
        "conversations",
        sa.Column("namespace", sa.String(length=63), nullable=False),
        sa.Column("agent", sa.String(length=253), nullable=False),
        sa.Column("rollout", sa.String(length=253), nullable=False),
        sa.Column("conversation", sa.String(length=64), nullable=False),
        sa.Column("arm", sa.String(length=16), nullable=True),
        sa.Column("propensity", sa.String(length=16), nullable=False),
        sa.Column("began_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("namespace", "agent", "rollout", "conversation", name=op.f("pk_conversations")),
    )
    op.create_index(op.f("ix_conversations_began_at"), "conversations", ["began_at"], unique=False)
    op.create_table(
        "known",
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("namespace", sa.String(length=63), nullable=False),
        sa.Column("name", sa.String(length=253), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "namespace", "name", name=op.f("pk_known")),
    )
    op.create_table(
        "outcomes",
        sa.Column("task", sa.String(length=64), nullable=False),
        sa.Column("namespace", sa.String(length=63), nullable=False),
        sa.Column("agent", sa.String(length=253), nullable=False),
        sa.Column("revision", sa.String(length=63), nullable=False),
        sa.Column("arm", sa.String(length=16), nullable=True),
        sa.Column("deadline", _TIME, nullable=True),
        sa.Column("phase", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("steps", sa.Integer(), nullable=False),
        sa.Column("tool_calls", sa.Integer(), nullable=False),
        sa.Column("tool_errors", sa.Integer(), nullable=False),
        sa.Column("input_tokens", sa.BigInteger(), nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cost", sa.String(64), nullable=True),
        sa.Column("escalated", sa.Boolean(), nullable=False),
        sa.Column("confidence", sa.Float(), nullable=True),
        sa.Column("feedback", sa.Boolean(), nullable=True),
        sa.Column("quality", sa.Float(), nullable=True),
        sa.Column("comment", sa.Text(), nullable=True),
        sa.Column("judged_by", sa.Text(), nullable=True),
        sa.Column("judged_at", _TIME, nullable=True),
        sa.Column("finished_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("task", name=op.f("pk_outcomes")),
    )
    op.create_index(op.f("ix_outcomes_finished_at"), "outcomes", ["finished_at"], unique=False)
    op.create_index(
        op.f("ix_outcomes_namespace_agent_finished_at"), "outcomes", ["namespace", "agent", "finished_at"], unique=False
    )
    op.create_table(
        "reviews",
        sa.Column("token", sa.String(length=64), nullable=False),
        sa.Column("username", sa.Text(), nullable=False),
        sa.Column("groups", sa.JSON(), nullable=False),
        sa.Column("for_gateway", sa.Boolean(), nullable=False),
        sa.Column("reviewed_at", _TIME, nullable=False),
        sa.Column("usable_until", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("token", name=op.f("pk_reviews")),
    )
    op.create_table(
        "revisions",
        sa.Column("namespace", sa.String(length=63), nullable=False),
        sa.Column("agent", sa.String(length=253), nullable=False),
        sa.Column("revision", sa.String(length=63), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("namespace", "agent", "revision", name=op.f("pk_revisions")),
    )
    op.create_table(
        "accounts",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("scope", sa.String(length=16), nullable=False),
        sa.Column("namespace", sa.String(length=63), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("team", sa.Text(), nullable=False),
        sa.Column("per", sa.String(length=8), nullable=False),
        sa.Column("starts_at", _TIME, nullable=False),
        sa.Column("ends_at", _TIME, nullable=False),
        sa.Column("spent_cost", sa.String(64), nullable=False),
        sa.Column("held_cost", sa.String(64), nullable=False),
        sa.Column("spent_tokens", sa.BigInteger(), nullable=False),
        sa.Column("held_tokens", sa.BigInteger(), nullable=False),
        sa.Column("tasks", sa.BigInteger(), nullable=False),
        sa.Column("refused_at", _TIME, nullable=True),
        sa.Column("refused_cost", sa.String(64), nullable=True),
        sa.Column("refused_tokens", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_accounts")),
    )
    op.create_index(op.f("ix_accounts_ends_at"), "accounts", ["ends_at"], unique=False)
    op.create_index(
        op.f("ix_accounts_scope_per_starts_at_namespace_subject"),
        "accounts",
        ["scope", "per", "starts_at", "namespace", "subject"],
        unique=False,
    )
    op.create_table(
        "signing_keys",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("pem", sa.Text(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_signing_keys")),
    )
    op.create_table(
        "tasks",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("namespace", sa.String(length=63), nullable=False),
        sa.Column("agent", sa.String(length=253), nullable=False),
        sa.Column("principal", sa.Text(), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=True),
        sa.Column("body_digest", sa.String(length=71), nullable=False),
        sa.Column("input", sa.JSON(), nullable=True),
        sa.Column("conversation", sa.Text(), nullable=True),
        sa.Column("metadata", sa.JSON(), nullable=False),
        sa.Column("purpose", sa.String(length=16), nullable=False),
        sa.Column("pinned", sa.String(length=63), nullable=True),
        sa.Column("entry", sa.String(length=300), nullable=True),
        sa.Column("trace_id", sa.String(length=32), nullable=False),
        sa.Column("parent_span", sa.String(length=16), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("phase", sa.String(length=16), nullable=False),
        sa.Column("revision", sa.String(length=63), nullable=False),
        sa.Column("arm", sa.String(length=16), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("losses", sa.Integer(), nullable=False),
        sa.Column("paused_at", _TIME, nullable=True),
        sa.Column("leg", sa.Integer(), nullable=False),
        sa.Column("served_by", sa.Text(), nullable=True),
        sa.Column("serving", sa.JSON(), nullable=True),
        sa.Column("started_at", _TIME, nullable=True),
        sa.Column("deadline", _TIME, nullable=True),
        sa.Column("finished_at", _TIME, nullable=True),
        sa.Column("output", sa.JSON(), nullable=True),
        sa.Column("reason", sa.String(length=64), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("owner", sa.String(length=64), nullable=True),
        sa.Column("live", sa.Boolean(), nullable=False),
        sa.Column("stop", sa.String(length=64), nullable=True),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("steps", sa.Integer(), nullable=False),
        sa.Column("tool_calls", sa.Integer(), nullable=False),
        sa.Column("input_tokens", sa.BigInteger(), nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cost", sa.String(64), nullable=True),
        sa.Column("counted_cost", sa.String(64), nullable=False),
        sa.Column("counted_tokens", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tasks")),
        sa.UniqueConstraint(
            "namespace",
            "agent",
            "principal",
            "idempotency_key",
            name=op.f("uq_tasks_namespace_agent_principal_idempotency_key"),
        ),
    )
    op.create_index(op.f("ix_tasks_finished_at"), "tasks", ["finished_at"], unique=False)
    op.create_index(op.f("ix_tasks_namespace_agent_phase"), "tasks", ["namespace", "agent", "phase"], unique=False)
    op.create_index(
        op.f("ix_tasks_namespace_agent_principal_id"), "tasks", ["namespace", "agent", "principal", "id"], unique=False
    )
    op.create_index(op.f("ix_tasks_owner_phase"), "tasks", ["owner", "phase"], unique=False)
    op.create_table(
        "calls",
        sa.Column("task", sa.String(length=64), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("connector", sa.String(length=63), nullable=False),
        sa.Column("name", sa.String(length=256), nullable=False),
        sa.Column("effect", sa.String(length=16), nullable=False),
        sa.Column("arguments", sa.JSON(), nullable=True),
        sa.Column("digest", sa.String(length=71), nullable=False),
        sa.Column("occurrence", sa.Integer(), nullable=False),
        sa.Column("seen", sa.Integer(), nullable=False),
        sa.Column("answered", sa.Boolean(), nullable=False),
        sa.Column("void", sa.Boolean(), nullable=False),
        sa.Column("sender", sa.String(length=64), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("touched", sa.Boolean(), nullable=False),
        sa.Column("result", sa.JSON(), nullable=True),
        sa.Column("reason", sa.String(length=64), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("input_tokens", sa.BigInteger(), nullable=True),
        sa.Column("output_tokens", sa.BigInteger(), nullable=True),
        sa.Column("cost", sa.String(64), nullable=True),
        sa.Column("reserved_cost", sa.String(64), nullable=True),
        sa.Column("reserved_tokens", sa.BigInteger(), nullable=True),
        sa.Column("started_at", _TIME, nullable=False),
        sa.Column("finished_at", _TIME, nullable=True),
        sa.ForeignKeyConstraint(["task"], ["tasks.id"], name=op.f("fk_calls_task"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("task", "sequence", name=op.f("pk_calls")),
    )
    op.create_index(op.f("ix_calls_task_digest_void"), "calls", ["task", "digest", "void"], unique=False)
    op.create_table(
        "answers",
        sa.Column("task", sa.String(length=64), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["task", "sequence"],
            ["calls.task", "calls.sequence"],
            name=op.f("fk_answers_task_sequence"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("task", "sequence", name=op.f("pk_answers")),
    )
    op.create_table(
        "approvals",
        sa.Column("task", sa.String(length=64), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("namespace", sa.String(length=63), nullable=False),
        sa.Column("name", sa.String(length=253), nullable=False),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("asked", sa.Boolean(), nullable=False),
        sa.Column("decision", sa.String(length=63), nullable=True),
        sa.Column("decided_by", sa.JSON(), nullable=True),
        sa.Column("comment", sa.Text(), nullable=True),
        sa.Column("answer", sa.JSON(), nullable=True),
        sa.ForeignKeyConstraint(["task"], ["tasks.id"], name=op.f("fk_approvals_task"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("task", "sequence", name=op.f("pk_approvals")),
        sa.UniqueConstraint("namespace", "name", name=op.f("uq_approvals_namespace_name")),
    )
    op.create_table(
        "readings",
        sa.Column("task", sa.String(length=64), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("connector", sa.String(length=63), nullable=False),
        sa.Column("tool", sa.String(length=256), nullable=False),
        sa.Column("trusted", sa.Boolean(), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("named", sa.Boolean(), nullable=False),
        sa.Column("secluded", sa.Boolean(), nullable=False),
        sa.Column("vouched", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["task"], ["tasks.id"], name=op.f("fk_readings_task"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("task", "attempt", "digest", name=op.f("pk_readings")),
    )
    op.create_table(
        "plans",
        sa.Column("task", sa.String(length=64), nullable=False),
        sa.Column("plan", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["task"], ["tasks.id"], name=op.f("fk_plans_task"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("task", name=op.f("pk_plans")),
    )
    op.create_table(
        "policy_findings",
        sa.Column("namespace", sa.String(length=63), nullable=False),
        sa.Column("agent", sa.String(length=253), nullable=False),
        sa.Column("policy", sa.String(length=384), nullable=False),
        sa.Column("rule", sa.String(length=128), nullable=False),
        sa.Column("mode", sa.String(length=16), nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("severity", sa.String(length=16), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("last_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("namespace", "agent", "policy", "rule", "mode", "day", name=op.f("pk_policy_findings")),
    )
    _create_record()


def _create_record() -> None:
    op.create_table(
        "record_logs",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("origin", sa.String(length=253), nullable=False),
        sa.Column("verifier", sa.Text(), nullable=False),
        sa.Column("holder", sa.String(length=64), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("head", sa.String(length=64), nullable=False),
        sa.Column("frontier", sa.Text(), nullable=False),
        sa.Column("signed_size", sa.BigInteger(), nullable=False),
        sa.Column("signed_at", _TIME, nullable=False),
        sa.Column("opened_at", _TIME, nullable=False),
        sa.Column("closed_at", _TIME, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_record_logs")),
    )
    op.create_index(op.f("ix_record_logs_holder"), "record_logs", ["holder"])
    op.create_table(
        "records",
        sa.Column("log", sa.String(length=64), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("type", sa.String(length=32), nullable=False),
        sa.Column("namespace", sa.String(length=63), nullable=True),
        sa.Column("agent", sa.String(length=253), nullable=True),
        sa.Column("task", sa.String(length=64), nullable=True),
        sa.Column("identity", sa.String(length=128), nullable=True),
        sa.Column("line", sa.LargeBinary(), nullable=False),
        sa.Column("leaf", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("log", "seq", name=op.f("pk_records")),
        sa.UniqueConstraint("identity", name=op.f("uq_records_identity")),
    )
    op.create_index(op.f("ix_records_namespace_agent"), "records", ["namespace", "agent"])
    op.create_index(op.f("ix_records_task"), "records", ["task"])
    op.create_table(
        "record_nodes",
        sa.Column("log", sa.String(length=64), nullable=False),
        sa.Column("level", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("log", "level", "number", name=op.f("pk_record_nodes")),
    )
    op.create_table(
        "checkpoints",
        sa.Column("log", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("signed_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("log", "size", name=op.f("pk_checkpoints")),
    )
    op.create_table(
        "subject_keys",
        sa.Column("subject", sa.String(length=80), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("subject", name=op.f("pk_subject_keys")),
    )
    op.create_table(
        "payloads",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.String(length=80), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payloads")),
    )
    op.create_index(op.f("ix_payloads_subject"), "payloads", ["subject"])
    op.create_index(op.f("ix_payloads_created_at"), "payloads", ["created_at"])


def downgrade() -> None:
    """An installation goes back by restoring its backup: what later versions wrote has no place in older tables."""
    raise NotImplementedError("restore a backup instead")
